"""Proposal methods by name."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from arlib.proposals.controls import CenterCrops, FiveCrops, Grid, RandomBoxes
from arlib.proposals.edge_boxes import EdgeBoxes
from arlib.proposals.saliency import Saliency
from arlib.proposals.selective_search import SelectiveSearch
from arlib.proposals.types import Proposals

_METHODS: dict[str, Any] = {
    "edge_boxes": EdgeBoxes,
    "selective_search": SelectiveSearch,
    "grid": Grid,
    "random_boxes": RandomBoxes,
    "center_crops": CenterCrops,
    "five_crops": FiveCrops,
    "saliency": Saliency,
}


def make(name: str, **settings: Any) -> Callable[[np.ndarray], Proposals]:
    """Make a proposal method by name.

    Args:
        name: "edge_boxes", "selective_search", "grid", "random_boxes", "center_crops",
            "five_crops" or "saliency".
        settings: its fields.

    Raises:
        ValueError: no such method or setting, or a setting out of its range.

    Example:
        >>> make("grid", max_regions=5)
        Grid(max_regions=5)
    """
    if name not in _METHODS:
        raise ValueError(f"no proposal method {name!r}; there are {', '.join(_METHODS)}")
    known = [field.name for field in fields(_METHODS[name])]
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        raise ValueError(f"{name} has no setting {unknown[0]!r}; there are {', '.join(known)}")
    return _METHODS[name](**settings)
