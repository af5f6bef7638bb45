"""Whether a difference means anything: what changed, what could change, tests and folds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from arlib.method import late_fusion

_BLOCK = 2**22  # drawn images at once: bounds the bootstrap's memory for any number of images


class LabelChanges(NamedTuple):
    """What changed between two predictions, in images: changed at all, to right, from right."""

    changed: int
    fixed: int
    broken: int


def label_changes(
    before: npt.ArrayLike, after: npt.ArrayLike, truth: npt.ArrayLike
) -> LabelChanges:
    """Count the images whose label changed, and for better or worse.

    Args:
        before: Shape (image,), integer: the labels predicted first, say from full images.
        after: The same shape: the labels predicted then, say with regions.
        truth: The same shape: the true labels; images with -1 are left out.

    Returns:
        The counts ``changed``, ``fixed`` and ``broken``; with more than two emotions, some changes
        are neither.

    Raises:
        ValueError: Where the shapes differ.

    Example:
        >>> label_changes(before=[0, 0, 1, 1], after=[0, 1, 0, 0], truth=[0, 1, 0, 1])
        LabelChanges(changed=3, fixed=2, broken=1)
    """
    before, after, truth = np.asarray(before), np.asarray(after), np.asarray(truth)
    if not before.shape == after.shape == truth.shape:
        shapes = f"{before.shape}, {after.shape} and {truth.shape}"
        raise ValueError(f"before, after and truth must have one shape, not {shapes}")
    changed = (before != after) & (truth >= 0)
    fixed, broken = changed & (after == truth), changed & (before == truth)
    return LabelChanges(int(changed.sum()), int(fixed.sum()), int(broken.sum()))


def can_change(
    global_probability: npt.ArrayLike | xr.DataArray, beta: float, form: str = "sum"
) -> np.ndarray:
    """Find the images whose label Eq. 3 can change at all, whatever the regions say.

    The regions speak most for an emotion when all are certain of it: the mean of their predictions
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
    whole = np.asarray(global_probability)
    if whole.ndim != 2:
        raise ValueError(f"global_probability must have the shape (image, M), not {whole.shape}")
    if not np.isfinite(whole).all():
        i = int((~np.isfinite(whole).all(-1)).argmax())
        raise ValueError(f"global_probability must be finite; of image {i} it is {whole[i]}")
    certain = np.eye(whole.shape[1], dtype=whole.dtype)[:, None]  # (M, K = 1, M)
    response = late_fusion(whole[:, None], certain, beta, form)  # (image, M, M)
    return (response.argmax(-1) != whole.argmax(-1)[:, None]).any(-1)


def mcnemar(before: npt.ArrayLike, after: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Give McNemar's exact two-sided p that two predictions are equally often right.

    Of the images that only one of the two gets right, each is as likely to be the one's as the
    other's if they are equally good: a binomial test (McNemar, Psychometrika 12, 1947).

    Args:
        before: Shape (image,), integer: the labels predicted first.
        after: The same shape: the labels predicted then.
        truth: The same shape: the true labels; images with -1 are left out.

    Returns:
        p in (0, 1], 1.0 where no image is right in one only.

    Raises:
        ValueError: Where the shapes differ.

    Example:
        >>> mcnemar(before=[0, 0, 1, 1], after=[1, 1, 1, 1], truth=[1, 1, 1, 0])
        0.5
    """
    from statsmodels.stats import contingency_tables  # seconds to import

    _, fixed, broken = label_changes(before, after, truth)
    if fixed + broken == 0:
        return 1.0
    return float(contingency_tables.mcnemar([[0, broken], [fixed, 0]], exact=True).pvalue)


def holm(p_values: npt.ArrayLike) -> np.ndarray:
    """Adjust p-values for being several: Holm's step-down method.

    The i-th smallest of n is multiplied by n - i + 1, then made at least as large as the ones
    before it and at most 1 (Holm, Scandinavian Journal of Statistics 6, 1979).

    Args:
        p_values: Any shape, in [0, 1]; NaN is no test and is not counted.

    Returns:
        The same shape, float64; NaN stays NaN.

    Raises:
        ValueError: Where a p-value is not in [0, 1].

    Example:
        >>> holm([0.25, 0.125, float("nan")])
        array([0.25, 0.25,  nan])
    """
    from statsmodels.stats import multitest  # seconds to import

    adjusted = np.array(p_values, dtype=np.float64)
    tested = ~np.isnan(adjusted)
    wrong = tested & ~((adjusted >= 0) & (adjusted <= 1))
    if wrong.any():
        raise ValueError(f"a p-value must be between 0 and 1, not {adjusted[wrong][0]}")
    if tested.any():
        adjusted[tested] = multitest.multipletests(adjusted[tested], method="holm")[1]
    return adjusted


def fold_means(
    hits: npt.ArrayLike,
    folds: npt.ArrayLike,
    *,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average over each fold's images, then over folds, with an interval: the paper's protocol.

    The interval is a percentile bootstrap: each resample draws every fold's images anew from that
    fold, folds in ascending order. All rows share the resamples, so the interval of a difference
    between two rows is that of a row of differences.

    Args:
        hits: Shape (…, image), bool or a finite number: 1 where a prediction is right.
        folds: Shape (image,), integer; -1 is left out.
        n_bootstrap: Resamples, at least 1.
        confidence: Of the interval, in (0, 1).
        seed: Of the resampling.

    Returns:
        Estimate, low and high, each of shape (…), float64.

    Raises:
        ValueError: Where hits are not finite, shapes or settings are not as above, or no image has
            a fold.

    Example:
        >>> estimate, low, high = fold_means([[1, 0, 1, 1], [1, 1, 1, 1]], [0, 0, 1, 1])
        >>> estimate
        array([0.75, 1.  ])
        >>> low, high
        (array([0.5, 1. ]), array([1., 1.]))
    """
    hits, folds = np.asarray(hits), np.asarray(folds)
    if folds.ndim != 1 or hits.shape[-1:] != folds.shape:
        raise ValueError(
            "hits must have the shape (…, image) and folds (image,), "
            f"not {hits.shape} and {folds.shape}"
        )
    if n_bootstrap < 1:
        raise ValueError(f"n_bootstrap must be at least 1, not {n_bootstrap}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, not {confidence}")
    ids = np.unique(folds[folds >= 0])
    if not ids.size:
        raise ValueError(f"no image has a fold: all {folds.size} are -1")
    rows, rng = hits.reshape(-1, folds.size), np.random.default_rng(seed)
    estimate, draws = np.zeros(len(rows)), np.zeros((len(rows), n_bootstrap))
    for fold in ids:
        part = rows[:, folds == fold].astype(np.float64)  # (row, image)
        if not np.isfinite(part).all():
            raise ValueError(f"hits must be finite; in fold {fold} there is another value")
        n = part.shape[1]
        estimate += part.sum(1) / n
        block = max(1, _BLOCK // n)
        for start in range(0, n_bootstrap, block):
            some = draws[:, start : start + block]  # (row, draw)
            drawn = (rng.integers(n, size=n) for _ in range(some.shape[1]))
            weight = np.stack([np.bincount(d, minlength=n).astype(float) for d in drawn])
            some += part @ weight.T / n
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(draws / ids.size, tails, axis=1)
    shape = hits.shape[:-1]
    return (estimate / ids.size).reshape(shape), low.reshape(shape), high.reshape(shape)


def nested_choice(right: npt.ArrayLike, folds: npt.ArrayLike) -> np.ndarray:
    """Choose an option for each fold by the other folds' images alone.

    A setting that was chosen on the images it is measured on is measured too well (Varma and
    Simon, BMC Bioinformatics 7, 2006). Here a fold's option is the one with the highest mean, over
    the other folds, of the accuracy in a fold; means are compared as exact fractions.

    Args:
        right: Shape (image, option), bool: whether the option's prediction is right.
        folds: Shape (image,), integer; an image with -1 helps to choose nothing, and gets the
            option that is best over all the folds.

    Returns:
        Shape (image,), int64: the index of its fold's option, the first of equals.

    Raises:
        ValueError: Where there are fewer than two folds, or shapes or dtypes are not as above.

    Example:
        >>> right = [[True, False], [True, False], [False, True]]
        >>> nested_choice(right, [0, 1, 2])
        array([0, 0, 0])
        >>> nested_choice(right, [0, 0, 2])
        array([1, 1, 0])
    """
    right, folds = np.asarray(right), np.asarray(folds)
    if right.ndim != 2 or right.dtype != bool or folds.shape != right.shape[:1]:
        raise ValueError(
            "right must have the shape (image, option) and be bool, and folds (image,), "
            f"not {right.shape}, {right.dtype} and {folds.shape}"
        )
    ids = np.unique(folds[folds >= 0])
    if ids.size < 2:
        raise ValueError(f"a choice needs two folds, one to choose for and others: not {ids.size}")
    size = [int((folds == fold).sum()) for fold in ids]
    # over a common denominator, in Python's integers: rounding would part equal means
    common = math.lcm(*size)
    hits = [right[folds == fold].sum(0).astype(object) for fold in ids]  # (option,) each
    share = np.stack([h * (common // n) for h, n in zip(hits, size, strict=True)])  # (fold, option)
    option = np.full(folds.shape, share.sum(0).argmax(), np.int64)
    for i, fold in enumerate(ids):
        option[folds == fold] = np.delete(share, i, axis=0).sum(0).argmax()
    return option


def bootstrap_mean(
    values: npt.ArrayLike, *, confidence: float = 0.95, n_bootstrap: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Give a mean over images and its percentile bootstrap interval: estimate, low, high.

    Args:
        values: Shape (image,), finite.
        confidence: Of the interval, in (0, 1).
        n_bootstrap: Resamples, at least 1.
        seed: Of the resampling.

    Raises:
        ValueError: Where there is no value.

    Example:
        >>> estimate, low, high = bootstrap_mean([0, 1, 1, 1])
        >>> estimate, 0 <= low < estimate < high <= 1
        (0.75, True)
    """
    values = np.asarray(values, dtype=float)
    if not values.size:
        raise ValueError("there is no value to take a mean of")
    rng, means = np.random.default_rng(seed), []
    block = max(1, _BLOCK // values.size)
    for start in range(0, n_bootstrap, block):
        drawn = rng.integers(values.size, size=(min(block, n_bootstrap - start), values.size))
        means.append(values[drawn].mean(axis=1))
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(np.concatenate(means), tails)
    return float(values.mean()), float(low), float(high)
