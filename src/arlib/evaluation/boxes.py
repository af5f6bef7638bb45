"""Overlap of boxes; recall of proposals; localisation of the region that ranks first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import stats

from arlib._support.progress import progress_bar
from arlib.evaluation.metrics import compare
from arlib.evaluation.significance import fold_means
from arlib.method import affective_regions

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Numbers of boxes an image at which recall is measured."""


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


def recall_curves(
    methods: Mapping[str, Callable[[np.ndarray], Any]],
    truth: Any,
    *,
    counts: Sequence[int] = COUNTS,
    iou: float = 0.5,
    max_images: int | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.Series]:
    """Measure proposal methods on ground truth, all of them on one image before the next.

    Recall at n is the share of all objects that one of the best n boxes of their image overlaps by
    `iou` or more (Hosang et al., "What makes for effective detection proposals?", 2016, Sec. 4).

    Args:
        methods: Name -> proposal method; each should propose `max(counts)` boxes.
        truth: Images and the boxes of their objects, such as `arlib.datasets.load_coco` gives.
        counts: Numbers of boxes an image.
        iou: The overlap that counts as covered, in (0, 1].
        max_images: Take only the first so many images.
        progress: Show a bar.

    Returns:
        Recall in [0, 1], a row a count and a column a method; and seconds an image by method, the
        median over images.

    Raises:
        ImageError: An image cannot be read.
        ValueError: There is no object at all, or `iou` or a count is out of its range.
    """
    objects = truth.boxes[:max_images]
    boxes: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for number in progress_bar(range(len(objects)), unit="image", show=progress, desc="proposals"):
        image = truth.read(number)
        for name, propose in methods.items():
            start = time.perf_counter()
            boxes[name].append(propose(image).boxes)
            seconds[name].append(time.perf_counter() - start)
    curves = {name: recall(boxes[name], objects, counts, iou) for name in methods}
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    index = pd.Index(counts, name="boxes")
    return pd.DataFrame(curves, index=index), pd.Series(medians, name="seconds an image")


def locate(
    top: npt.ArrayLike,
    known: npt.ArrayLike,
    *,
    points: npt.ArrayLike | None = None,
    iou: float = 0.5,
) -> pd.DataFrame:
    """Score one box an image against the known regions, with intervals over images.

    Args:
        top: (n, 4) xyxy in pixels, the region that ranks first; NaN where there is none.
        known: (n, R, 4) xyxy in pixels; images without a known region are left out.
        points: (n, 2) x, y in pixels where the method points, NaN where it does not; None takes
            the centres of `top`.
        iou: The overlap from which a region counts as hit.

    Returns:
        Rows "hit rate", "mean IoU" and "pointing game" (is the point within a known region; Zhang
        et al. 2016); columns `estimate`, `low` and `high`, the 95 % interval: Wilson's of the two
        shares, Student's t of the mean IoU (NaN for a single image). An image without a box is a
        miss, of IoU 0.

    Raises:
        ValueError: No image has a known region, a box ends before it starts, or `iou` is not in
            (0, 1].

    Example:
        >>> table = locate([[0, 0, 10, 10], [0, 0, 2, 2]], [[[0, 0, 10, 8]], [[5, 5, 9, 9]]])
        >>> table.estimate.tolist()
        [0.5, 0.4, 0.5]
    """
    _check_iou(iou)
    boxes = _boxes("top", np.asarray(top, float))
    regions = _boxes("known", np.asarray(known, float))
    at = (boxes[:, :2] + boxes[:, 2:]) / 2 if points is None else np.asarray(points, float)
    usable = ~np.isnan(regions).any(-1).all(-1)
    if not usable.any():
        raise ValueError("no image has a known region")
    boxes, regions, at = boxes[usable, None], regions[usable], at[usable, None]
    overlap = np.nan_to_num(best_overlap(boxes, regions)[:, 0])
    inside = (regions[..., :2] <= at) & (at <= regions[..., 2:])  # (n, R, 2)
    shares = np.stack([overlap >= iou, inside.all(-1).any(-1)])
    hit, pointing = np.transpose(fold_means(shares, np.zeros(len(overlap), int)))
    mean = overlap.mean()
    error = stats.sem(overlap) if len(overlap) > 1 else np.nan
    half = stats.t.ppf(0.975, max(len(overlap) - 1, 1)) * error
    rows = {
        "hit rate": hit,
        "mean IoU": (mean, *np.clip([mean - half, mean + half], 0, 1)),
        "pointing game": pointing,
    }
    return pd.DataFrame.from_dict(rows, "index", float, ["estimate", "low", "high"])


def locate_rules(
    scores: xr.Dataset,
    known: npt.ArrayLike,
    *,
    alpha: float = 1.0,
    base: float | str = "e",
    iou: float = 0.5,
    seed: int = 0,
    others: Mapping[str, npt.ArrayLike] | None = None,
) -> pd.DataFrame:
    """Compare the region that each rule ranks first with a random proposal of the same image.

    Args:
        scores: Of n images.
        known: (n, R, 4) xyxy in pixels, as of `locate`; images without a known region are left out.
        alpha: Eq. 2's tradeoff.
        base: Eq. 1's logarithm.
        iou: The overlap from which a region counts as hit.
        seed: Of the random proposals.
        others: Name -> (n, 4) xyxy in pixels, one box an image that something else chose, such as
            ``cam_box`` of a run's baselines; NaN where there is none.

    Returns:
        Rows "Eq. 2", "objectness", "sentiment" and `others`: ``random`` and ``first``, the shares
        of images in which a random proposal and the first one hit a known region; their difference
        ``gain`` with its limits ``low`` and ``high``, Tango's interval, and ``p``, McNemar's exact
        test.

    Raises:
        ValueError: No image has a known region, or `iou` is not in (0, 1].
    """
    _check_iou(iou)
    regions = _boxes("known", np.asarray(known, float))
    usable = ~np.isnan(regions).any(-1).all(-1)
    if not usable.any():
        raise ValueError("no image has a known region")

    def hit(box: np.ndarray) -> np.ndarray:
        """The shares of hit and miss in each image, one of them 1: (image, 2)."""
        overlap = np.nan_to_num(best_overlap(box[usable, None], regions[usable])[:, 0])
        return np.eye(2)[(overlap < iou).astype(int)]

    drawn = np.random.default_rng(seed).random(scores.objectness.shape)
    drawn[scores.objectness.isnull().values] = -1
    boxes = scores.box.transpose("image", "region", "corner").values.astype(float)
    random = hit(boxes[np.arange(len(boxes)), drawn.argmax(1)])
    truth, rows = np.zeros(len(random), int), {}
    first: dict[str, npt.ArrayLike] = {}
    for name, rank_by in (("Eq. 2", "both"), ("objectness",) * 2, ("sentiment",) * 2):
        ranked = affective_regions(scores, 1, rank_by=rank_by, alpha=alpha, base=base)
        first[name] = ranked.box.values[:, 0]
    for name, box in {**first, **(others or {})}.items():
        rows[name] = compare(random, hit(np.asarray(box, float)), truth).loc["accuracy"]
    names = {"one": "random", "other": "first", "difference": "gain"}
    table = pd.DataFrame(rows).T.rename(columns=names)
    return table[["random", "first", "gain", "low", "high", "p"]].astype(float)


def map_ratio(weights: npt.ArrayLike, box: npt.ArrayLike) -> float:
    """Compare the mean of a map within a box with that of the complete map.

    Args:
        weights: (H, W), at least 0, of each pixel, such as how often people marked it.
        box: (4,) xyxy in pixels, x0 < x1 and y0 < y1; NaN where there is none.

    Returns:
        1 where the box holds as much as any other of its size does on average, more where it holds
        more; NaN without a box, and of a map of zeros.

    Raises:
        ValueError: The map has another shape, or the box covers none of its pixels.

    Example:
        >>> map_ratio([[0, 0, 1, 1], [0, 0, 1, 1]], [2, 0, 4, 2])
        2.0
    """
    weights, corners = np.asarray(weights, float), np.asarray(box, float)
    if weights.ndim != 2:
        raise ValueError(f"a map must be (H, W), not {weights.shape}")
    if np.isnan(corners).any() or not weights.any():
        return float("nan")
    x0, y0 = np.floor(corners[:2]).astype(int)
    x1, y1 = np.ceil(corners[2:]).astype(int)
    inside = weights[y0:y1, x0:x1]
    if not inside.size:
        raise ValueError(f"the box {corners.tolist()} covers no pixel of a map of {weights.shape}")
    return float(inside.mean() / weights.mean())


def recall(
    boxes: Sequence[npt.ArrayLike],
    truth: Sequence[npt.ArrayLike],
    counts: npt.ArrayLike,
    iou: float = 0.5,
) -> np.ndarray:
    """Measure the share of all images' true boxes that one of the first n proposals covers."""
    if len(boxes) != len(truth):
        raise ValueError(f"boxes are of {len(boxes)} images, but truth is of {len(truth)}")
    _check_iou(iou)
    counts = np.asarray(counts)
    if counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ValueError(f"counts must be whole numbers of at least 0, not {counts.tolist()}")
    ranks = [_first(box_iou(b, t) >= iou) for b, t in zip(boxes, truth, strict=True)]
    rank = np.sort(np.concatenate([*ranks, np.empty(0)]))
    if not rank.size:
        raise ValueError("truth must hold at least one box")
    return np.searchsorted(rank, counts, side="left") / rank.size


def best_overlap(boxes: npt.ArrayLike, known: npt.ArrayLike) -> np.ndarray:
    """Measure (n, K) boxes' IoU with the known region that each overlaps most, NaN for none."""
    overlap = box_iou(boxes, known)  # (n, K, R)
    missing = np.isnan(overlap)
    best = np.where(missing, -1, overlap).max(axis=-1, initial=-1)
    return np.where(missing.all(axis=-1), np.nan, best)


def _first(covers: np.ndarray) -> np.ndarray:
    """Index of the first true row of each column of (N, M), infinite where there is none."""
    never = np.ones((1, covers.shape[1]), bool)
    rank = np.concatenate([covers, never]).argmax(0).astype(float)
    return np.where(rank == len(covers), np.inf, rank)


def _boxes(name: str, boxes: npt.ArrayLike) -> np.ndarray:
    """Check boxes (…, N, 4), and make them floating."""
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


def _check_iou(iou: float) -> None:
    if not 0 < iou <= 1:
        raise ValueError(f"iou must be in (0, 1], not {iou}")
