"""What the methods share: settings checked with their names, and a working copy of fair size."""

import numpy as np


def check_count(name: str, value: int, least: int) -> None:
    """Raise ValueError unless value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def check_between(
    name: str,
    value: float,
    low: float,
    high: float,
    *,
    include_low: bool = False,
    include_high: bool = False,
) -> None:
    """Raise ValueError unless value lies between low and high."""
    above = value >= low if include_low else value > low
    below = value <= high if include_high else value < high
    if not (above and below):
        interval = f"{'[' if include_low else '('}{low}, {high}{']' if include_high else ')'}"
        raise ValueError(f"{name} must be in {interval}, not {value!r}")


def working_copy(image: np.ndarray, max_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink a picture whose longer side exceeds `max_side`.

    Args:
        image: (H, W, 3) uint8.
        max_side: pixels.

    Returns:
        The copy, or the image itself; and the factors (4,) that bring its xyxy boxes back.
    """
    import cv2

    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= max_side:
        return image, np.ones(4)
    size = tuple(max(1, round(side * max_side / longer)) for side in (width, height))
    factors = np.array([width / size[0], height / size[1]])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.tile(factors, 2)
