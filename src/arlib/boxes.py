"""Boxes: how far two overlap, and how many of the true ones a set of proposals covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


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
