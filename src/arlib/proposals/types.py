"""What every proposal method returns, and what is done to its scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr


@dataclass(frozen=True)
class Proposals:
    """Boxes that may hold an object, best first.

    Attributes:
        boxes: (N, 4) float32 xyxy in pixels, x0 < x1 and y0 < y1; N may be 0.
        objectness: (N,) float32, descending: Obj_score, on a scale of the method's own.

    Raises:
        ValueError: the arrays are not as above.

    Example:
        >>> len(Proposals(np.float32([[0, 0, 9, 9]]), np.float32([0.5])))
        1
    """

    boxes: np.ndarray
    objectness: np.ndarray

    def __post_init__(self) -> None:
        """Check shapes, dtypes, corners and order."""
        boxes, objectness = self.boxes, self.objectness
        if boxes.shape != (len(objectness), 4) or objectness.ndim != 1:
            raise ValueError(
                f"boxes (N, 4) and objectness (N,) are {boxes.shape}, {objectness.shape}"
            )
        if boxes.dtype != np.float32 or objectness.dtype != np.float32:
            raise ValueError(f"both must be float32, not {boxes.dtype} and {objectness.dtype}")
        if not (np.isfinite(boxes).all() and (boxes[:, :2] < boxes[:, 2:]).all()):
            raise ValueError("boxes must be finite, with x0 < x1 and y0 < y1")
        if not np.isfinite(objectness).all() or (np.diff(objectness) > 0).any():
            raise ValueError("objectness must be finite and descending")

    def __len__(self) -> int:
        """Count the boxes."""
        return len(self.objectness)


def clipped(
    boxes: npt.ArrayLike, objectness: npt.ArrayLike, image: np.ndarray, max_regions: int
) -> Proposals:
    """Make proposals of raw boxes: inside the image, none twice, best first, at most `max_regions`.

    Args:
        boxes: (N, 4) xyxy in pixels; may reach beyond the image.
        objectness: (N,).
        image: (H, W, ...), whose size counts.
        max_regions: how many are kept.
    """
    height, width = image.shape[:2]
    inside = np.clip(np.reshape(boxes, (-1, 4)), 0, [width, height, width, height])
    inside = inside.astype(np.float32)
    scores = np.asarray(objectness, np.float32)
    order = np.argsort(-scores, kind="stable")
    order = order[(inside[order, :2] < inside[order, 2:]).all(axis=1)]
    first = np.sort(np.unique(inside[order], axis=0, return_index=True)[1])
    kept = order[first][:max_regions]
    return Proposals(inside[kept], scores[kept])


def normalize_objectness(objectness: npt.ArrayLike | xr.DataArray, how: str = "none") -> Any:
    """Bring each image's objectness to a common scale.

    Args:
        objectness: (..., N), NaN where there is no region; of a DataArray, N is `region`.
        how: "none" changes nothing; "minmax" maps the image's least to 0 and greatest to 1;
            "rank" maps the best to 1, the next to 1 - 1/n, ..., the last of n to 1/n. Where all
            of an image's scores are equal, both give 1; equal ones share the better rank.

    Returns:
        The same shape and precision; [0, 1] unless "none".

    Raises:
        ValueError: another `how`.

    Example:
        >>> normalize_objectness([0.5, 0.3, 0.1, float("nan")], "minmax").round(2)
        array([1. , 0.5, 0. , nan])
        >>> normalize_objectness([0.5, 0.3, 0.1, float("nan")], "rank").round(2)
        array([1.  , 0.67, 0.33,  nan])
    """
    if how not in _SCALES:
        raise ValueError(f"how must be one of {', '.join(_SCALES)}, not {how!r}")
    if isinstance(objectness, xr.DataArray):
        core = [["region"]]
        return xr.apply_ufunc(
            _SCALES[how], objectness, input_core_dims=core, output_core_dims=core
        ).transpose(*objectness.dims)
    return _SCALES[how](np.asarray(objectness))


def _minmax(scores: np.ndarray) -> np.ndarray:
    low = np.fmin.reduce(scores, axis=-1, keepdims=True)
    high = np.fmax.reduce(scores, axis=-1, keepdims=True)
    spread = np.where(high > low, high - low, 1).astype(scores.dtype)
    return np.where(high > low, (scores - low) / spread, scores * 0 + 1)


def _rank(scores: np.ndarray) -> np.ndarray:
    better = (scores[..., None, :] > scores[..., :, None]).sum(-1)  # (..., N)
    count = (~np.isnan(scores)).sum(-1, keepdims=True)
    return (scores * 0 + 1 - better / np.maximum(count, 1)).astype(scores.dtype)


_SCALES = {"none": lambda scores: scores, "minmax": _minmax, "rank": _rank}
