"""Proposal methods by name."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from arlib._support.settings import check_settings
from arlib.proposals.cached import Cached
from arlib.proposals.controls import CenterCrops, FiveCrops, Grid, RandomBoxes
from arlib.proposals.edge_boxes import EdgeBoxes
from arlib.proposals.from_file import TYPES, FileBoxes
from arlib.proposals.saliency import Saliency
from arlib.proposals.selective_search import SelectiveSearch
from arlib.proposals.timeout import Deadline
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


def make_proposals(
    name: str, *, cached: bool = False, deadline: float | None = None, **settings: Any
) -> Propose:
    """Make a proposal method by name.

    Args:
        name: "edge_boxes", "selective_search", "grid", "random_boxes", "saliency"; "center_crops",
            boxes around the centre, each smaller than the one before; or "five_crops", the centre
            and the four corners at 224/256 of the sides, ten-crop (Krizhevsky et al. 2012) without
            its mirror images. Or X.csv or X.json, a file of boxes that were proposed elsewhere,
            for the images that it names, as `FileBoxes` reads it.
        cached: keep proposals on disk (`ARLIB_CACHE`), found by the image's pixels, the settings,
            the code and the versions that it uses; an image that is there is not searched again.
        deadline: seconds that an image may take, > 0; None sets no limit. The method then runs in
            a process that is killed when the time is up, and the image counts as unreadable.
        settings: its fields, such as `max_regions`.

    Returns:
        The method, a frozen dataclass: image (H, W, 3) uint8 RGB -> `Proposals`.

    Raises:
        ValueError: no such method or setting, or a setting out of its range.

    Example:
        >>> make_proposals("grid", max_regions=5)
        Grid(max_regions=5)
        >>> import numpy as np
        >>> propose = make_proposals("grid", deadline=60, max_regions=5)
        >>> len(propose(np.zeros((40, 60, 3), np.uint8)))
        5
    """
    if is_file_of_boxes(name):  # nothing is searched for: neither kept nor limited
        return FileBoxes(name, **check_settings(settings, {"max_regions": 100}, name))
    if name not in _METHODS:
        known = ", ".join(_METHODS)
        raise ValueError(
            f"no proposal method {name!r}; there are {known}, and a file of boxes, X.csv or X.json"
        )
    defaults = {field.name: field.default for field in fields(_METHODS[name])}
    method = _METHODS[name](**check_settings(settings, defaults, name))
    method = Cached(method) if cached else method
    return method if deadline is None else Deadline(method, deadline)


def is_file_of_boxes(name: str) -> bool:
    """Tell whether the name of a proposal method is that of a file of boxes: X.csv or X.json.

    Args:
        name: as `make_proposals` takes it.

    Example:
        >>> is_file_of_boxes("edge_boxes"), is_file_of_boxes("photos/boxes.json")
        (False, True)
    """
    return Path(name).suffix.lower() in TYPES
