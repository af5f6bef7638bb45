"""Test whether a difference means anything: label changes, exact tests, means over folds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from arlib.method import late_fusion


class LabelChanges(NamedTuple):
    """Images whose label changed between two predictions: at all, to right, from right."""

    changed: int
    corrected: int
    degraded: int


def label_changes(
    before: npt.ArrayLike, after: npt.ArrayLike, truth: npt.ArrayLike
) -> LabelChanges:
    """Count the images whose label changed, and for better or worse.

    Args:
        before: Shape (image,), integer: the labels predicted first, say from full images.
        after: The same shape: the labels predicted then, say with regions.
        truth: The same shape: the true labels; images with -1 are left out.

    Returns:
        The counts ``changed``, ``corrected`` and ``degraded``; with more than two emotions, some
        changes are neither.

    Raises:
        ValueError: Where the shapes differ.

    Example:
        >>> label_changes(before=[0, 0, 1, 1], after=[0, 1, 0, 0], truth=[0, 1, 0, 1])
        LabelChanges(changed=3, corrected=2, degraded=1)
    """
    before, after, truth = np.asarray(before), np.asarray(after), np.asarray(truth)
    if not before.shape == after.shape == truth.shape:
        shapes = f"{before.shape}, {after.shape} and {truth.shape}"
        raise ValueError(f"before, after and truth must have one shape, not {shapes}")
    changed = (before != after) & (truth >= 0)
    corrected, degraded = changed & (after == truth), changed & (before == truth)
    return LabelChanges(int(changed.sum()), int(corrected.sum()), int(degraded.sum()))


def can_change(
    global_probability: npt.ArrayLike | xr.DataArray, beta: float, form: str = "sum"
) -> np.ndarray:
    """Find the images whose label Eq. 3 can change at all, whatever is predicted of the regions.

    The regions favour an emotion most when all are certain of it: the mean of their predictions
    is then 1 there and 0 elsewhere, which Eq. 3 multiplies by beta. So an emotion can overtake the
    leader of the full image if the lead is less than beta, and draw level if it is beta, which
    suffices for an emotion with a lower index, since the first of equals wins. With two emotions
    and the leader's probability p the lead is 2p - 1: no label with p > (1 + beta) / 2 changes,
    0.75 for beta = 0.5. In the convex form the lead shrinks to 1 - beta of itself.

    Args:
        global_probability: Y_Global, shape (image, M), in [0, 1].
        beta: The tradeoff, as for `arlib.method.late_fusion`.
        form: ``"sum"`` or ``"convex"``.

    Returns:
        Shape (image,), bool. It is exact in Eq. 3's own arithmetic, ties included.

    Raises:
        ValueError: As for `arlib.method.late_fusion`, and where a probability is not finite or the
            shape is not as above.

    Example:
        >>> can_change([[0.75, 0.25], [0.25, 0.75], [0.625, 0.375]], beta=0.5)
        array([False,  True,  True])
    """
    if isinstance(global_probability, xr.DataArray):
        global_probability = global_probability.transpose("image", "emotion")
    global_ = np.asarray(global_probability)
    if global_.ndim != 2:
        raise ValueError(f"global_probability must have the shape (image, M), not {global_.shape}")
    if not np.isfinite(global_).all():
        i = int((~np.isfinite(global_).all(-1)).argmax())
        raise ValueError(f"global_probability must be finite; of image {i} it is {global_[i]}")
    certain = np.eye(global_.shape[1], dtype=global_.dtype)[:, None]  # (M, K = 1, M)
    response = late_fusion(global_[:, None], certain, beta, form)  # (image, M, M)
    return (response.argmax(-1) != global_.argmax(-1)[:, None]).any(-1)


def mcnemar(before: npt.ArrayLike, after: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Compute McNemar's exact two-sided p that two predictions are equally often right."""
    from statsmodels.stats import contingency_tables  # seconds to import

    # of the images that only one of the two predicts right, each is as likely the one's as the
    # other's: a binomial test (McNemar, Psychometrika 12, 1947)
    _, corrected, degraded = label_changes(before, after, truth)
    if corrected + degraded == 0:
        return 1.0
    counts = [[0, degraded], [corrected, 0]]
    return float(contingency_tables.mcnemar(counts, exact=True).pvalue)


def holm(p_values: npt.ArrayLike) -> np.ndarray:
    """Adjust p-values for being several: Holm's step-down method; NaN is no test and stays NaN."""
    from statsmodels.stats import multitest  # seconds to import

    # the i-th smallest of n is multiplied by n - i + 1, then made at least as large as the ones
    # before it and at most 1 (Holm, Scandinavian Journal of Statistics 6, 1979)
    adjusted = np.array(p_values, dtype=np.float64)
    tested = ~np.isnan(adjusted)
    wrong = tested & ~((adjusted >= 0) & (adjusted <= 1))
    if wrong.any():
        raise ValueError(f"a p-value must be between 0 and 1, not {adjusted[wrong][0]}")
    if tested.any():
        adjusted[tested] = multitest.multipletests(adjusted[tested], method="holm")[1]
    return adjusted


def interval_tails(confidence: float, n_bootstrap: int, least: int = 1) -> tuple[float, float]:
    """Check a bootstrap's settings; give the quantiles that bound its percentile interval."""
    if n_bootstrap < least:
        raise ValueError(f"n_bootstrap must be at least {least}, not {n_bootstrap}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, not {confidence}")
    return (1 - confidence) / 2, (1 + confidence) / 2


def fold_means(
    hits: npt.ArrayLike,
    folds: npt.ArrayLike,
    *,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    block: int = 2**22,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average hits (…, image) over each fold's images, then over folds: (estimate, low, high).

    Where a fold has a single image the interval is NaN: resampled, that image never varies.
    """
    hits, folds = np.asarray(hits), np.asarray(folds)
    if folds.ndim != 1 or hits.shape[-1:] != folds.shape:
        raise ValueError(
            "hits must have the shape (…, image) and folds (image,), "
            f"not {hits.shape} and {folds.shape}"
        )
    tails = interval_tails(confidence, n_bootstrap)
    ids = np.unique(folds[folds >= 0])
    if not ids.size:
        raise ValueError(f"no image has a fold: all {folds.size} are -1")

    # the interval is a percentile bootstrap: each resample draws every fold's images anew from that
    # fold. All rows share the resamples, so the interval of a difference between two rows is that
    # of a row of differences. `block` drawn images at once bound the memory.
    rows, rng = hits.reshape(-1, folds.size), np.random.default_rng(seed)
    estimate, draws = np.zeros(len(rows)), np.zeros((len(rows), n_bootstrap))
    for fold in ids:
        part = rows[:, folds == fold].astype(np.float64)  # (row, image)
        if not np.isfinite(part).all():
            raise ValueError(f"hits must be finite; in fold {fold} there is another value")
        n = part.shape[1]
        estimate += part.sum(1) / n
        step = max(1, block // n)
        for start in range(0, n_bootstrap, step):
            resampled = draws[:, start : start + step]  # (row, draw)
            drawn = (rng.integers(n, size=n) for _ in range(resampled.shape[1]))
            weight = np.stack([np.bincount(d, minlength=n).astype(float) for d in drawn])
            resampled += part @ weight.T / n
    low, high = np.quantile(draws / ids.size, tails, axis=1)
    if (np.bincount(np.searchsorted(ids, folds[folds >= 0])) < 2).any():
        low, high = np.full_like([low, high], np.nan)
    shape = hits.shape[:-1]
    return (estimate / ids.size).reshape(shape), low.reshape(shape), high.reshape(shape)


def nested_choice(right: npt.ArrayLike, folds: npt.ArrayLike) -> np.ndarray:
    """Choose an option of right (image, option) for each fold by the other folds: (image,)."""
    right, folds = np.asarray(right), np.asarray(folds)
    if right.ndim != 2 or right.dtype != bool or folds.shape != right.shape[:1]:
        raise ValueError(
            "right must have the shape (image, option) and be bool, and folds (image,), "
            f"not {right.shape}, {right.dtype} and {folds.shape}"
        )
    ids = np.unique(folds[folds >= 0])
    if ids.size < 2:
        raise ValueError(f"a choice needs two folds, one to choose for and others: not {ids.size}")

    # A setting that was chosen on the images it is measured on is measured too well (Varma and
    # Simon, BMC Bioinformatics 7, 2006). Here a fold's option is the first with the highest mean,
    # over the other folds, of the accuracy in a fold; images in fold -1 take the best over all.
    size = [int((folds == fold).sum()) for fold in ids]
    # over a common denominator, in Python's integers: rounding would part equal means
    common = math.lcm(*size)
    hits = [right[folds == fold].sum(0).astype(object) for fold in ids]  # (option,) each
    share = np.stack([h * (common // n) for h, n in zip(hits, size, strict=True)])  # (fold, option)
    option = np.full(folds.shape, share.sum(0).argmax(), np.int64)
    for i, fold in enumerate(ids):
        option[folds == fold] = np.delete(share, i, axis=0).sum(0).argmax()
    return option
