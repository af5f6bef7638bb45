"""Boxes: how far two overlap, and how many of the true ones a set of proposals covers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm.auto import tqdm

from arlib.evaluation.significance import bootstrap_mean


def box_iou(a: npt.ArrayLike, b: npt.ArrayLike) -> np.ndarray:
    r"""Measure how far each box of one set overlaps each box of another.

    .. math:: \mathit{IoU}(a, b) = \frac{|a \cap b|}{|a \cup b|}

    The intersection over union, as in Everingham et al., "The PASCAL Visual Object Classes
    Challenge" (2010), Sec. 4.2, with areas of (x1 - x0) (y1 - y0).

    Args:
        a: Shape (…, N, 4), xyxy with x0 <= x1 and y0 <= y1; a row of NaN where there is no box.
        b: Shape (…, M, 4), likewise, with leading axes that broadcast with those of `a`.

    Returns:
        IoU in [0, 1], shape (…, N, M), in the precision of the boxes; integer boxes give float64.
        0 for two boxes without area, NaN beside a box of NaN.

    Raises:
        ValueError: Where the last axis is not 4 long, or a box ends before it starts.

    Example:
        >>> box_iou([[0, 0, 10, 10]], [[0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10]]).round(3)
        array([[1.   , 0.333, 0.   ]])
    """
    a, b = _boxes("a", a)[..., :, None, :], _boxes("b", b)[..., None, :, :]
    start, end = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.maximum(end - start, 0).prod(-1)  # (…, N, M)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return shared / np.where(union == 0, 1, union)


def recall(
    boxes: Sequence[npt.ArrayLike],
    truth: Sequence[npt.ArrayLike],
    iou: float = 0.5,
    counts: npt.ArrayLike | None = None,
) -> Any:
    """Measure the share of true boxes that at least one of the first n proposals covers.

    The true boxes of all images are pooled, so an image counts by how many it has; the detection
    recall of Hosang et al., "What makes for effective detection proposals?" (2016), Sec. 4.

    Args:
        boxes: Of each image, proposals of shape (N, 4), xyxy, best first; N may differ.
        truth: Of each image, true boxes of shape (M, 4), xyxy; M may be 0.
        iou: The least IoU at which a proposal covers a true box, in (0, 1].
        counts: The numbers n, whole, at least 0, any shape; None takes every proposal.

    Returns:
        Recall in [0, 1], float64, in the shape of `counts`; one number where that is None.

    Raises:
        ValueError: Where the two lists differ in length, there is no true box at all, or `iou` or
            a count is out of its range.

    Example:
        >>> proposals = [[[0, 0, 9, 9], [20, 20, 40, 40]], [[0, 0, 5, 5]]]
        >>> objects = [[[0, 0, 10, 10], [20, 20, 40, 42]], [[50, 50, 60, 60]]]
        >>> recall(proposals, objects, counts=[1, 2]).round(3)
        array([0.333, 0.667])
    """
    if len(boxes) != len(truth):
        raise ValueError(f"boxes are of {len(boxes)} images, but truth is of {len(truth)}")
    if not 0 < iou <= 1:
        raise ValueError(f"iou must be in (0, 1], not {iou}")
    counts = np.asarray(np.iinfo(np.int64).max if counts is None else counts)
    if counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ValueError(f"counts must be whole numbers of at least 0, not {counts.tolist()}")
    pairs = [(_boxes("boxes", b), _boxes("truth", t)) for b, t in zip(boxes, truth, strict=True)]
    ranks = [_first(box_iou(b, t) >= iou) for b, t in pairs]
    rank = np.sort(np.concatenate([*ranks, np.empty(0)]))
    if not rank.size:
        raise ValueError("truth must hold at least one box")
    return np.searchsorted(rank, counts, side="left") / rank.size


def _first(covers: np.ndarray) -> np.ndarray:
    """Index of the first true row of each column of (N, M), infinite where there is none."""
    never = np.ones((1, covers.shape[1]), bool)
    rank = np.concatenate([covers, never]).argmax(0).astype(float)
    return np.where(rank == len(covers), np.inf, rank)


def _boxes(name: str, boxes: npt.ArrayLike) -> np.ndarray:
    boxes = np.asarray(boxes)
    if boxes.shape == (0,):
        boxes = boxes.reshape(0, 4)  # an empty list
    if boxes.ndim < 2 or boxes.shape[-1] != 4:
        raise ValueError(f"{name} must have shape (…, N, 4), not {boxes.shape}")
    boxes = boxes if boxes.dtype.kind == "f" else boxes.astype(np.float64)
    backwards = (boxes[..., 2:] < boxes[..., :2]).any(-1)
    if backwards.any():
        raise ValueError(
            f"{name} must have x0 <= x1 and y0 <= y1, not {boxes[backwards][0].tolist()}"
        )
    return boxes


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


COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Numbers of boxes an image at which recall is told."""


def recall_curves(
    methods: Mapping[str, Callable[[np.ndarray], object]],
    truth: Any,
    *,
    counts: Sequence[int] = COUNTS,
    iou: float = 0.5,
    max_images: int | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.Series]:
    """Measure methods on ground truth, picture by picture and in turn.

    Recall at n is the share of all objects that one of the best n boxes of their picture overlaps
    by `iou` or more (Hosang et al. 2016).

    Args:
        methods: name -> proposal method; each should propose `max(counts)` boxes.
        truth: images and the boxes of their objects, such as `arlib.datasets.load_coco` gives.
        counts: numbers of boxes an image.
        iou: the overlap that counts as found, in (0, 1].
        max_images: take only the first so many pictures.
        progress: show a bar.

    Returns:
        recall in [0, 1], a row a count and a column a method; and seconds an image by method, the
        median over pictures.

    Raises:
        ImageError: a picture cannot be read.
    """
    objects = truth.boxes[:max_images]
    found: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for number in tqdm(range(len(objects)), unit="image", disable=not progress, desc="proposals"):
        image = truth.read(number)
        for name, propose in methods.items():
            started = time.perf_counter()
            found[name].append(propose(image).boxes)  # type: ignore[attr-defined]
            seconds[name].append(time.perf_counter() - started)
    curves = {name: recall(boxes, objects, iou=iou, counts=counts) for name, boxes in found.items()}
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    index = pd.Index(counts, name="boxes")
    return pd.DataFrame(curves, index=index), pd.Series(medians, name="seconds an image")
