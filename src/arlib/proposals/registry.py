"""Proposal methods by name."""

from dataclasses import fields
from typing import Any

from arlib._support.settings import check_settings
from arlib.proposals.controls import CenterCrops, FiveCrops, Grid, RandomBoxes
from arlib.proposals.edge_boxes import EdgeBoxes
from arlib.proposals.saliency import Saliency
from arlib.proposals.selective_search import SelectiveSearch
from arlib.proposals.types import Propose

_METHODS: dict[str, Any] = {
    "edge_boxes": EdgeBoxes,
    "selective_search": SelectiveSearch,
    "grid": Grid,
    "random_boxes": RandomBoxes,
    "center_crops": CenterCrops,
    "five_crops": FiveCrops,
    "saliency": Saliency,
}


def make_proposals(name: str, **settings: Any) -> Propose:
    """Make a proposal method by name.

    Args:
        name: "edge_boxes", "selective_search", "grid", "random_boxes", "saliency"; "center_crops",
            boxes around the centre, each smaller than the one before; or "five_crops", the centre
            and the four corners at 224/256 of the sides, ten-crop (Krizhevsky et al. 2012) without
            its mirror images.
        settings: its fields, such as `max_regions`.

    Returns:
        The method, a frozen dataclass: image (H, W, 3) uint8 RGB -> `Proposals`.

    Raises:
        ValueError: no such method or setting, or a setting out of its range.

    Example:
        >>> make_proposals("grid", max_regions=5)
        Grid(max_regions=5)
    """
    if name not in _METHODS:
        raise ValueError(f"no proposal method {name!r}; there are {', '.join(_METHODS)}")
    defaults = {field.name: field.default for field in fields(_METHODS[name])}
    return _METHODS[name](**check_settings(settings, defaults, name))
