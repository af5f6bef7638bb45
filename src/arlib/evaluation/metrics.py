"""Measure predictions: metrics beside the majority line, with intervals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from arlib.evaluation.significance import interval_tails


def majority_rate(labels: npt.ArrayLike | xr.DataArray) -> float:
    """Compute the accuracy of always predicting the commonest label.

    Args:
        labels: Shape (n,), integer; -1 is unknown and left out.

    Returns:
        A rate in (0, 1].

    Raises:
        ValueError: Where no label is known.

    Example:
        >>> majority_rate([0, 0, 1, 0, -1])
        0.75
    """
    labels = np.asarray(labels)
    known = labels[labels >= 0]
    if not known.size:
        raise ValueError(f"no image has a label: all {labels.size} are -1")
    return float(np.bincount(known).max() / known.size)


def evaluate(
    probability: npt.ArrayLike | xr.DataArray,
    labels: npt.ArrayLike | xr.DataArray,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure predictions: accuracy, balanced accuracy and AUC, each beside the majority line.

    The AUC is of emotion 0, the positive one; with more than two emotions it is the mean over each
    against the rest. All intervals are percentile bootstraps over images, from the same resamples;
    a resample that lacks an emotion has no balanced accuracy and no AUC, and is left out of theirs.

    Args:
        probability: Shape (image, emotion), finite; Eq. 3's response serves as well, if it has the
            same sum in every image.
        labels: Shape (image,), integer: the true emotion; -1 is unknown and left out.
        confidence: Of the intervals, in (0, 1).
        n_bootstrap: Resamples, at least 1.
        seed: Of the resampling.

    Returns:
        Rows ``accuracy``, ``balanced_accuracy``, ``auc``; columns ``estimate``, ``low``, ``high``,
        ``majority`` (always predicting the commonest label: its rate, 1 / M and 0.5), ``images``
        (that count) and ``unknown`` (left out). Balanced accuracy and AUC are NaN where an emotion
        has no image.

    Raises:
        ValueError: Where shapes or values are not as above, or no label is known.

    Example:
        >>> table = evaluate([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]], [0, 0, 1, 1])
        >>> table.estimate.to_dict()
        {'accuracy': 0.75, 'balanced_accuracy': 0.75, 'auc': 0.75}
    """
    tails = interval_tails(confidence, n_bootstrap)
    probability, truth, unknown = known_images(probability, labels)
    n, m = probability.shape
    predicted = probability.argmax(-1)
    estimate = [accuracy_score(truth, predicted), np.nan, np.nan]
    if np.unique(truth).size == m:
        areas = [roc_auc_score(truth == c, probability[:, c]) for c in _auc_emotions(m)]
        estimate[1:] = balanced_accuracy_score(truth, predicted), np.mean(areas)
    draws = _bootstrap(probability, truth, n_bootstrap, np.random.default_rng(seed))  # (3, draw)
    kept = [draw[~np.isnan(draw)] for draw in draws]
    low, high = np.transpose([np.quantile(d, tails) if d.size else (np.nan,) * 2 for d in kept])
    return pd.DataFrame(
        {
            "estimate": np.array(estimate, float),
            "low": low,
            "high": high,
            "majority": [majority_rate(truth), 1 / m, 0.5],
            "images": n,
            "unknown": unknown,
        },
        index=pd.Index(["accuracy", "balanced_accuracy", "auc"], name="metric"),
    )


def known_images(
    probability: npt.ArrayLike | xr.DataArray, labels: npt.ArrayLike | xr.DataArray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Check predictions (image, emotion) and labels; keep the known ones, count the others."""
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
    known = labels >= 0
    if not known.any():
        raise ValueError(f"no image has a label: all {labels.size} are -1")
    wrong = ~np.isfinite(probability).all(-1) & known
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"probability must be finite; of image {i} it is {probability[i].tolist()}"
        )
    return probability[known], labels[known].astype(np.intp), int((~known).sum())


def _auc_emotions(m: int) -> range:
    return range(1) if m == 2 else range(m)  # of two, either one's AUC is the other's


def _bootstrap(
    probability: np.ndarray,
    truth: np.ndarray,
    n_bootstrap: int,
    rng: np.random.Generator,
    block: int = 2**20,
) -> np.ndarray:
    """Measure resamples: (accuracy, balanced accuracy, AUC; draw), `block` images at once."""
    n = truth.size
    step = max(1, block // n)
    measured = []
    for start in range(0, n_bootstrap, step):
        b = min(step, n_bootstrap - start)
        drawn = rng.integers(n, size=(b, n)) + n * np.arange(b)[:, None]
        weight = np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)
        measured.append(_weighted_metrics(probability, truth, weight))
    return np.concatenate(measured, axis=1)


def _weighted_metrics(probability: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Measure with image j counted weight[i, j] times: (3, i)."""
    m = probability.shape[1]
    one_hot = np.eye(m)[truth]  # (image, emotion)
    right = probability.argmax(-1) == truth
    images, hits = weight @ one_hot, weight @ (one_hot * right[:, None])  # (i, emotion)
    with np.errstate(invalid="ignore"):
        balanced = (hits / images).mean(-1)
        areas = [_weighted_auc(probability[:, c], truth == c, weight) for c in _auc_emotions(m)]
    return np.stack([hits.sum(-1) / images.sum(-1), balanced, np.mean(areas, axis=0)])


def _weighted_auc(score: np.ndarray, positive: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Compute the share of (positive, negative) pairs in the right order, a tie counting half."""
    order = np.argsort(score)
    score, positive, weight = score[order], positive[order], weight[:, order]
    ties = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])  # where each group begins
    above = np.add.reduceat(weight * positive, ties, axis=1)  # (i, group)
    below = np.add.reduceat(weight * ~positive, ties, axis=1)
    pairs = np.einsum("ig,ig->i", above, below.cumsum(1) - below / 2)
    return pairs / (above.sum(1) * below.sum(1))
