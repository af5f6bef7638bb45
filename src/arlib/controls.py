"""Regions that nobody chose: what affective regions must beat at equal cost."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from arlib.datasets import Dataset
from arlib.judges import Judges, judge_boxes
from arlib.proposals import CenterCrops, FiveCrops, Grid, Proposals

MOST = 20
"""The most regions of a control: as many as the largest K that is looked at."""

WINDOWS: dict[str, Callable[[np.ndarray], Proposals]] = {
    "grid": Grid(MOST),
    "centre crops": CenterCrops(MOST),
}
"""Windows that do not look at the picture, in their own order; ten-crop comes beside them."""


def control_probabilities(
    dataset: Dataset, judges: Judges, *, progress: bool = True
) -> xr.DataArray:
    """Judge the windows of each control in every image.

    Args:
        dataset: the images.
        judges: who judges which fold.
        progress: show bars.

    Returns:
        (control, image, rank, emotion) float32, in each control's own order; NaN beyond its
        windows and where the image is unreadable; where a picture is too small for different
        windows, the last is repeated. "ten-crop" holds the middle, its mirror image, a
        corner, its mirror image, and so on (Krizhevsky et al. 2012).
    """
    said = {name: _judged(judges, dataset, make, progress) for name, make in WINDOWS.items()}
    five = [_judged(judges, dataset, FiveCrops(), progress, mirror) for mirror in (False, True)]
    ten = np.stack(five, axis=2)  # (image, crop, mirrored, emotion)
    said["ten-crop"] = ten.reshape(len(ten), -1, ten.shape[-1])
    rows = np.full((len(said), len(dataset), MOST, len(dataset.emotions)), np.nan, np.float32)
    for row, one in zip(rows, said.values(), strict=True):
        row[:, : one.shape[1]] = one
    return xr.DataArray(
        rows,
        dims=("control", "image", "rank", "emotion"),
        coords={
            "control": np.array(list(said), object),
            "image": dataset.keys.astype(object),
            "rank": np.arange(1, MOST + 1),
            "emotion": np.array(dataset.emotions, object),
        },
        name="control_probability",
    )


def _judged(
    judges: Judges,
    dataset: Dataset,
    propose: Callable[[np.ndarray], Proposals],
    progress: bool,
    mirror: bool = False,
) -> np.ndarray:
    """(n, R, M): R windows in every image."""
    most = int(propose.max_regions)  # type: ignore[attr-defined]

    def boxes(_: int, image: np.ndarray) -> np.ndarray:
        found = propose(image).boxes
        return found[np.minimum(np.arange(most), len(found) - 1)]

    return judge_boxes(judges, dataset, boxes, mirror=mirror, progress=progress)
