"""Do chosen regions lie where the sentiment is? Overlap, hit rate and the pointing game."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from arlib.boxes import box_iou
from arlib.intervals import bootstrap_mean


def best_overlap(boxes: npt.ArrayLike, known: npt.ArrayLike) -> np.ndarray:
    """Give each box's IoU with the known region that it overlaps most.

    Args:
        boxes: (n, K, 4) xyxy in pixels; NaN rows where an image has fewer.
        known: (n, R, 4) xyxy in pixels, the regions that carry the sentiment; NaN likewise.

    Returns:
        (n, K) in [0, 1]; NaN for a missing box, and in an image without a known region.

    Example:
        >>> best_overlap([[[0, 0, 10, 10]]], [[[5, 0, 15, 10], [0, 0, 10, 8]]])
        array([[0.8]])
    """
    overlap = box_iou(boxes, known)  # (n, K, R)
    missing = np.isnan(overlap)
    best = np.where(missing, -1, overlap).max(axis=-1, initial=-1)
    return np.where(missing.all(axis=-1), np.nan, best)


def points_inside(points: npt.ArrayLike, known: npt.ArrayLike) -> np.ndarray:
    """Play the pointing game: is a point within a known region (Zhang et al. 2016).

    Args:
        points: (n, 2) x, y in pixels; NaN where there is none, which is a miss.
        known: (n, R, 4) xyxy in pixels; NaN rows where an image has fewer.

    Returns:
        (n,) bool.

    Example:
        >>> points_inside([[3, 4], [9, 9]], [[[0, 0, 5, 5]], [[0, 0, 5, 5]]])
        array([ True, False])
    """
    points, known = np.asarray(points, float)[:, None], np.asarray(known, float)
    within = (known[..., :2] <= points) & (points <= known[..., 2:])  # (n, R, 2)
    return np.asarray(within.all(axis=-1).any(axis=-1))


def centers(boxes: npt.ArrayLike) -> np.ndarray:
    """Middle x, y of boxes (..., 4) xyxy: (..., 2).

    Example:
        >>> centers([0, 0, 10, 4])
        array([5., 2.])
    """
    boxes = np.asarray(boxes, float)
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def locate(
    top: npt.ArrayLike,
    known: npt.ArrayLike,
    *,
    points: npt.ArrayLike | None = None,
    iou: float = 0.5,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score one box an image against the known regions, with intervals over images.

    Args:
        top: (n, 4) xyxy in pixels, the region that ranks first; NaN where there is none.
        known: (n, R, 4) xyxy in pixels; images without a known region are left out.
        points: (n, 2) where the method points; None takes the centres of `top`.
        iou: the overlap from which a region counts as hit.
        n_bootstrap: resamples of the images.
        seed: of the resampling.

    Returns:
        Rows "hit rate", "mean IoU" and "pointing game"; columns `estimate`, `low` and `high`, the
        95 % percentile bootstrap interval. An image without a box is a miss, of IoU 0.

    Raises:
        ValueError: no image has a known region, or `iou` is not in (0, 1].

    Example:
        >>> table = locate([[0, 0, 10, 10], [0, 0, 2, 2]], [[[0, 0, 10, 8]], [[5, 5, 9, 9]]])
        >>> table.estimate.tolist()
        [0.5, 0.4, 0.5]
    """
    if not 0 < iou <= 1:
        raise ValueError(f"iou must be in (0, 1], not {iou}")
    top, known = np.asarray(top, float), np.asarray(known, float)
    there = ~np.isnan(known).any(axis=-1).all(axis=-1)
    if not there.any():
        raise ValueError("no image has a known region")
    overlap = np.nan_to_num(best_overlap(top[there, None], known[there])[:, 0])
    pointed = (centers(top) if points is None else np.asarray(points, float))[there]
    measures = {
        "hit rate": overlap >= iou,
        "mean IoU": overlap,
        "pointing game": points_inside(pointed, known[there]),
    }
    rows = {
        name: bootstrap_mean(values, n_bootstrap=n_bootstrap, seed=seed)
        for name, values in measures.items()
    }
    return pd.DataFrame(rows, index=["estimate", "low", "high"]).T
