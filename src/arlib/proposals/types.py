"""Proposals: the type that methods return, and the checks that they share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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


Propose = Callable[[np.ndarray], Proposals]
"""A proposal method: image (H, W, 3) uint8 RGB -> `Proposals`."""


def clipped(
    boxes: npt.ArrayLike, objectness: npt.ArrayLike, image: np.ndarray, max_regions: int
) -> Proposals:
    """Clip raw boxes (N, 4) xyxy to the image, and keep `max_regions` distinct ones, best first."""
    height, width = image.shape[:2]
    inside = np.clip(np.reshape(boxes, (-1, 4)), 0, [width, height, width, height])
    inside = inside.astype(np.float32)
    scores = np.asarray(objectness, np.float32)
    order = np.argsort(-scores, kind="stable")
    order = order[(inside[order, :2] < inside[order, 2:]).all(axis=1)]
    first = np.sort(np.unique(inside[order], axis=0, return_index=True)[1])
    kept = order[first][:max_regions]
    return Proposals(inside[kept], scores[kept])


def ranked(boxes: np.ndarray, image: np.ndarray, max_regions: int) -> Proposals:
    """Clip raw boxes that are best first; the objectness is 1 for the first, 1/n for the last."""
    rank = np.arange(len(boxes)) / max(1, len(boxes))
    return clipped(boxes, 1 - rank, image, max_regions)


def working_copy(image: np.ndarray, max_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink an image whose longer side exceeds `max_side`; the factors (4,) bring boxes back."""
    import cv2

    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= max_side:
        return image, np.ones(4)
    size = tuple(max(1, round(side * max_side / longer)) for side in (width, height))
    factors = np.array([width / size[0], height / size[1]])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.tile(factors, 2)


def check_image(image: np.ndarray) -> None:
    """Raise ValueError for anything but (H, W, 3) uint8 with a pixel in it."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image must be (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")


def check_count(name: str, value: int, least: int) -> None:
    """Raise ValueError unless value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def check_between(name: str, value: float, low: float, high: float, ends: str = "()") -> None:
    """Raise ValueError unless value lies between low and high; `ends` "[)" includes low."""
    above = value >= low if ends[0] == "[" else value > low
    below = value <= high if ends[1] == "]" else value < high
    if not (above and below):
        raise ValueError(f"{name} must be in {ends[0]}{low}, {high}{ends[1]}, not {value!r}")
