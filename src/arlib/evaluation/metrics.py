"""Measure predictions: metrics beside the majority line, with intervals; and compare two."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import special, stats

from arlib.evaluation.significance import (
    fold_differences,
    fold_means,
    mcnemar,
    quantile,
)

METRICS = ("accuracy", "balanced_accuracy", "auc")


def majority_rate(
    labels: npt.ArrayLike | xr.DataArray, folds: npt.ArrayLike | xr.DataArray | None = None
) -> float:
    """Compute the accuracy of always predicting the commonest label.

    Args:
        labels: Shape (n,), integer; -1 is unknown and left out.
        folds: Shape (n,), integer, of which the rate is the mean over folds, as `evaluate` gives
            the accuracy; -1 is in no fold and left out. None is one fold.

    Returns:
        A rate in (0, 1].

    Raises:
        ValueError: Where no label is known.

    Example:
        >>> majority_rate([0, 0, 1, 0, -1])
        0.75
        >>> majority_rate([0, 0, 1, 0], folds=[1, 1, 1, 2])
        0.8333333333333333
    """
    labels = np.asarray(labels)
    known = labels >= 0
    if not known.any():
        raise ValueError(f"no image has a label: all {labels.size} are -1")
    of_image = np.zeros_like(labels) if folds is None else np.asarray(folds)
    commonest = np.bincount(labels[known]).argmax()
    return float(fold_means(labels[known] == commonest, of_image[known])[0])


def evaluate(
    probability: npt.ArrayLike | xr.DataArray,
    labels: npt.ArrayLike | xr.DataArray,
    *,
    folds: npt.ArrayLike | xr.DataArray | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure predictions: accuracy, balanced accuracy and AUC, each beside the majority line.

    Each is measured within a fold and averaged over folds, since each fold has a network, or a
    head, of its own: how its probabilities compare with another's is not part of the method.
    Balanced accuracy is the mean over emotions of the share predicted right. The AUC is of emotion
    0, the positive one; with more than two emotions it is the mean over each against the rest. A
    fold that lacks an emotion has no share of it, and no AUC, and is left out of their means.

    The intervals are over images, and none is resampled: Wilson's score interval for the accuracy;
    for balanced accuracy those of its shares, put together as Newcombe does (MOVER; Statistics in
    Medicine 17, 1998); DeLong's for the AUC (Biometrics 44, 1988), of its logit. There is none for
    an AUC of 0 or 1, of equal probabilities, or where an emotion has a single image in a fold.

    Args:
        probability: Shape (image, emotion), finite; Eq. 3's response serves as well, if it has the
            same sum in every image.
        labels: Shape (image,), integer: the true emotion; -1 is unknown and left out.
        folds: Shape (image,), integer; -1 is in no fold and left out. None, or -1 throughout, is
            one fold.
        confidence: Of the intervals, in (0, 1).

    Returns:
        Rows ``accuracy``, ``balanced_accuracy``, ``auc``; columns ``estimate``, ``low``, ``high``,
        ``majority`` (always predicting the commonest label: its rate, 1 / M and 0.5), ``images``
        (that count) and ``unknown`` (left out). Balanced accuracy and AUC are NaN where an emotion
        has no image, AUC where no fold has all emotions.

    Raises:
        ValueError: Where shapes or values are not as above, or no label is known.

    Example:
        >>> table = evaluate([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]], [0, 0, 1, 1])
        >>> table.estimate.to_dict()
        {'accuracy': 0.75, 'balanced_accuracy': 0.75, 'auc': 0.75}
    """
    shares, truth, fold, place = known_images(probability, labels, folds)
    hit = shares.argmax(-1) == truth
    recalls = [
        fold_means(hit[truth == c], fold[truth == c], confidence=confidence)
        for c in range(shares.shape[1])
        if (truth == c).any()
    ]
    area, parts = auc_parts(shares, truth, fold)
    bounds = (math.nan, math.nan)
    if 0 < area < 1:  # of the logit, whose deviation is that over a (1 - a)
        limits = auc_interval(special.logit(area), parts / (area * (1 - area)), confidence)
        bounds = special.expit(limits[1]), special.expit(limits[2])
    rows = [
        fold_means(hit, fold, confidence=confidence),
        _mean_of(recalls, shares.shape[1]),
        (area, *bounds),
    ]
    table = pd.DataFrame(rows, pd.Index(METRICS, name="metric"), ["estimate", "low", "high"], float)
    lines = [majority_rate(truth, fold), 1 / shares.shape[1], 0.5]
    return table.assign(majority=lines, images=place.size, unknown=np.size(labels) - place.size)


def compare(
    one: npt.ArrayLike | xr.DataArray,
    other: npt.ArrayLike | xr.DataArray,
    labels: npt.ArrayLike | xr.DataArray,
    *,
    folds: npt.ArrayLike | xr.DataArray | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure how far two predictions of the same images are apart, by `evaluate`'s three metrics.

    The intervals are of the paired difference: Tango's score interval for the accuracy (Statistics
    in Medicine 17, 1998), those of the emotions put together for balanced accuracy, as Newcombe
    does, and DeLong's for the AUC. None is resampled.

    Args:
        one: Shape (image, emotion), as for `evaluate`.
        other: The same shape.
        labels: As for `evaluate`.
        folds: As for `evaluate`.
        confidence: Of the intervals, in (0, 1).

    Returns:
        Rows as `evaluate`'s; columns ``one``, ``other``, ``difference`` (other - one), ``low``,
        ``high`` and ``p``, of no difference: McNemar's exact test for the accuracy, DeLong's for
        the AUC, NaN for balanced accuracy. The AUC has neither p nor interval where both rank the
        images alike.

    Raises:
        ValueError: As for `evaluate`.

    Example:
        >>> one, other = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [[0.8, 0.2], [0.7, 0.3], [0.1, 0.9]]
        >>> compare(one, other, [0, 0, 1]).difference.round(3).to_dict()
        {'accuracy': 0.333, 'balanced_accuracy': 0.25, 'auc': 0.0}
    """
    before, truth, fold, _ = known_images(one, labels, folds)
    after, *_ = known_images(other, labels, folds)
    labels_before, labels_after = before.argmax(-1), after.argmax(-1)
    hits = labels_before == truth, labels_after == truth
    recalls = [
        fold_differences(hits[0][of], hits[1][of], fold[of], confidence=confidence)
        for of in (truth == c for c in range(before.shape[1]))
        if of.any()
    ]
    (a, a_parts), (b, b_parts) = auc_parts(before, truth, fold), auc_parts(after, truth, fold)
    deviation, low, high = auc_interval(b - a, b_parts - a_parts, confidence)
    rows = {
        "accuracy": (
            *fold_differences(hits[0], hits[1], fold, confidence=confidence),
            mcnemar(labels_before, labels_after, truth),
        ),
        "balanced_accuracy": (*_mean_of(recalls, before.shape[1]), math.nan),
        "auc": (b - a, low, high, 2 * special.ndtr(-abs(b - a) / deviation)),
    }
    table = pd.DataFrame.from_dict(rows, "index", float, ["difference", "low", "high", "p"])
    for place, (name, shares) in enumerate({"one": before, "other": after}.items()):
        table.insert(place, name, evaluate(shares, truth, folds=fold).estimate)
    return table.rename_axis("metric")


def _mean_of(
    intervals: list[tuple[np.ndarray, np.ndarray, np.ndarray]], emotions: int
) -> tuple[float, float, float]:
    """Average independent estimates, and put their intervals together: MOVER."""
    if len(intervals) < emotions:
        return math.nan, math.nan, math.nan
    estimate, low, high = np.transpose(intervals).astype(float)
    mean = float(estimate.mean())
    down, up = (float(np.linalg.norm(side - estimate)) / emotions for side in (low, high))
    return mean, mean - down, mean + up


def auc_parts(
    shares: np.ndarray, truth: np.ndarray, folds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the AUC of (…, image, emotion), and each image's part in its deviation, (…, image).

    The parts' squares add to DeLong's variance, those of a difference of parts to its variance.
    """
    m = shares.shape[-1]
    complete = [
        np.flatnonzero(folds == fold)
        for fold in np.unique(folds)
        if np.unique(truth[folds == fold]).size == m
    ]
    parts = np.zeros(shares.shape[:-1])
    if not complete or m < 2:
        return np.full(shares.shape[:-2], np.nan), parts
    emotions = range(1) if m == 2 else range(m)  # of two, either one's AUC is the other's
    areas = []
    for images in complete:
        for c in emotions:
            positive = truth[images] == c
            placement = _placements(shares[..., images, c], positive)
            area = placement[..., positive].mean(-1)
            areas.append(area)
            n = np.where(positive, positive.sum(), (~positive).sum())  # of the image's own side
            scale = np.sqrt(np.where(n > 1, n * (n - 1.0), np.nan))
            parts[..., images] += (placement - area[..., None]) / scale
    return np.mean(areas, axis=0), parts / len(areas)


def auc_interval(
    area: np.ndarray, parts: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bound a difference of AUC (…) by its images' parts (…, image): deviation, low, high."""
    deviation = np.linalg.norm(parts, axis=-1)
    deviation = np.where(deviation > 0, deviation, np.nan)
    half = quantile(confidence) * deviation
    return deviation, area - half, area + half


def _placements(score: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Compute the share of the other side's images that each is in the right order with."""
    # by ranks, as Sun and Xu (IEEE Signal Processing Letters 21, 2014); a tie counts half
    rank = stats.rankdata(score, axis=-1)
    for side in (positive, ~positive):
        rank[..., side] -= stats.rankdata(score[..., side], axis=-1)
    return np.where(positive, rank / (~positive).sum(), 1 - rank / positive.sum())


def known_images(
    probability: npt.ArrayLike | xr.DataArray,
    labels: npt.ArrayLike | xr.DataArray,
    folds: npt.ArrayLike | xr.DataArray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Check predictions (image, emotion), labels and folds; keep the known, and their place."""
    if isinstance(probability, xr.DataArray):
        probability = probability.transpose("image", "emotion")
        if isinstance(labels, xr.DataArray):
            probability, labels = xr.align(probability, labels, join="exact")
    probability, labels = np.asarray(probability), np.asarray(labels)
    if probability.ndim != 2 or labels.shape != probability.shape[:1]:
        raise ValueError(
            "probability must have the shape (image, emotion) and labels (image,), "
            f"not {probability.shape} and {labels.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, not {labels.dtype}")
    m = probability.shape[1]
    wrong = (labels < -1) | (labels >= m)
    if wrong.any():
        raise ValueError(f"labels must be in [-1, {m}) for {m} emotions, not {labels[wrong][0]}")
    fold = np.full_like(labels, -1) if folds is None else np.asarray(folds)
    if fold.shape != labels.shape:
        raise ValueError(f"folds must have the shape (image,), {labels.shape}, not {fold.shape}")
    if not (labels >= 0).any():
        raise ValueError(f"no image has a label: all {labels.size} are -1")
    fold = fold if (fold >= 0).any() else np.zeros_like(labels)
    known = (labels >= 0) & (fold >= 0)
    if not known.any():
        raise ValueError(f"no image with a label has a fold: all {labels.size} are -1")
    wrong = ~np.isfinite(probability).all(-1) & known
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"probability must be finite; of image {i} it is {probability[i].tolist()}"
        )
    place = np.flatnonzero(known)
    return probability[place], labels[place].astype(np.intp), fold[place], place
