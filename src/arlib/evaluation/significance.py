"""Test whether a difference is more than chance: label changes, exact tests, fold means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import optimize, special, stats

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
    # the i-th smallest of n is multiplied by n - i + 1, then made at least as large as the ones
    # before it and at most 1 (Holm, Scandinavian Journal of Statistics 6, 1979); statsmodels'
    # function collects garbage at every call, which takes as long as all the rest of Table 1
    adjusted = np.array(p_values, dtype=np.float64)
    tested = ~np.isnan(adjusted)
    wrong = tested & ~((adjusted >= 0) & (adjusted <= 1))
    if wrong.any():
        raise ValueError(f"a p-value must be between 0 and 1, not {adjusted[wrong][0]}")
    values = adjusted[tested]
    order = values.argsort()
    raised = values[order] * np.arange(values.size, 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(raised), 1)
    adjusted[tested] = values
    return adjusted


def fold_means(
    hits: npt.ArrayLike, folds: npt.ArrayLike, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average hits (…, image) over each fold's images, then over folds: (estimate, low, high)."""
    # Hits between 0 and 1, such as means over draws, spread less than Wilson's interval allows for.
    shares, n = _fold_shares(hits, folds)
    return shares, *wilson(shares, n, confidence)


def wilson(shares: np.ndarray, n: float, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Bound shares of n images (Wilson, Journal of the American Statistical Association 22, 1927).

    The score interval, which holds for few images and for shares near 0 or 1.
    """
    z = quantile(confidence)
    centre = (shares + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(shares * (1 - shares) / n + z**2 / (4 * n**2))
    low, high = np.clip([centre - half, centre + half], 0, 1)
    return np.minimum(low, shares), np.maximum(high, shares)


def fold_differences(
    before: npt.ArrayLike, after: npt.ArrayLike, folds: npt.ArrayLike, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average after - before, hits (…, image) likewise: (difference, low, high)."""
    difference = np.asarray(after, float) - np.asarray(before, float)
    gained, n = _fold_shares(np.maximum(difference, 0), folds)
    lost, _ = _fold_shares(np.maximum(-difference, 0), folds)
    square, _ = _fold_shares(difference**2, folds)

    # Tango's score interval (Statistics in Medicine 17, 1998), which holds for few images that
    # differ, and for none. Means over draws differ by less than 1: Kish's effective number of them,
    # (sum d)^2 / sum d^2, each of the size `scale`, has the same mean and spread.
    z, some = quantile(confidence), np.where(square > 0, gained + lost, 1)
    scale = np.where(square > 0, square, 1) / some
    b, c = gained / scale, lost / scale

    def beyond(delta: np.ndarray) -> np.ndarray:
        """Compute Tango's statistic, in the shares of images that gain and lose."""
        linear = (2 - b + c) * delta - b - c
        root = np.sqrt(np.maximum(linear**2 + 8 * c * delta * (1 - delta), 0))
        spread = (root - linear) / 2 + delta * (1 - delta)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num((b - c - delta) * np.sqrt(n / np.maximum(spread, 0)))

    low, high = (_root(beyond, level, b.shape) for level in (z, -z))
    estimate = gained - lost
    return estimate, np.minimum(low * scale, estimate), np.maximum(high * scale, estimate)


def smallest_difference(
    n: int, discordant: float, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Compute the difference of accuracy that McNemar's exact test finds with a given power.

    Args:
        n: Images.
        discordant: The share of images that only one of the two methods predicts right.
        power: The chance that the test finds the difference, in (0, 1).
        alpha: The level of the test, in (0, 1).

    Returns:
        The least difference in (0, 1], of as many discordant images as are given, or of more where
        these are too few for any; NaN where all images together are too few.

    Example:
        >>> round(smallest_difference(603, 0.08), 3)
        0.033
    """
    # of D discordant images, binomial, the better method predicts B right, binomial too; the test
    # finds it where B exceeds `limit` (Connor, Biometrics 43, 1987, but exact)
    counts = np.arange(1, n + 1)
    limit = stats.binom.isf(alpha / 2, counts, 0.5)

    def shortfall(difference: float) -> float:
        share = max(discordant, difference)
        finds = stats.binom.sf(limit, counts, (1 + difference / share) / 2)
        return float(stats.binom.pmf(counts, n, share) @ finds) - power

    if shortfall(1.0) < 0:
        return math.nan
    return float(optimize.brentq(shortfall, 1e-9, 1, xtol=1e-6))


def quantile(confidence: float) -> float:
    """Compute the normal quantile z of a two-sided interval: 1.96 of 95 %."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, not {confidence}")
    return float(special.ndtri((1 + confidence) / 2))


def _fold_shares(hits: npt.ArrayLike, folds: npt.ArrayLike) -> tuple[np.ndarray, float]:
    """Average over folds, and give the number of images that vary as much in one fold."""
    hits, folds = np.asarray(hits, np.float64), np.asarray(folds)
    if folds.ndim != 1 or hits.shape[-1:] != folds.shape:
        raise ValueError(
            "hits must have the shape (…, image) and folds (image,), "
            f"not {hits.shape} and {folds.shape}"
        )
    tested = folds >= 0
    if not tested.any():
        raise ValueError(f"no image has a fold: all {folds.size} are -1")
    _, fold, sizes = np.unique(folds[tested], return_inverse=True, return_counts=True)
    values = hits[..., tested]
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("hits must be finite and in [0, 1]")
    means = [values[..., fold == i].mean(-1) for i in range(sizes.size)]
    return np.mean(means, axis=0), float(sizes.size**2 / (1 / sizes).sum())


def _root(
    function: Callable[[np.ndarray], np.ndarray], level: float, shape: tuple[int, ...]
) -> np.ndarray:
    """Bisect where falling functions cross a level in [-1, 1]."""
    low, high = np.full(shape, -1.0), np.full(shape, 1.0)
    for _ in range(40):
        middle = (low + high) / 2
        above = function(middle) > level
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def at_base_rate(
    share: np.ndarray,
    truth: np.ndarray,
    folds: np.ndarray,
    without: Callable[[int], np.ndarray] | None = None,
) -> np.ndarray:
    """Predict emotion 0 for as large a share of each fold as has it on the other folds: (image,).

    `share` (image,) is its probability, and `without` gives it as of classifiers that saw no label
    of a fold. A method's threshold then no longer counts, its order does.
    """
    labels = np.zeros(len(share), int)
    for fold in np.unique(folds).tolist():
        others, own = folds != fold, folds == fold
        known = (without(fold) if without else share)[others]
        labels[own] = share[own] < np.quantile(known, (truth[others] != 0).mean())
    return labels


def nested_choice(
    right: npt.ArrayLike,
    folds: npt.ArrayLike,
    apart: Mapping[int, npt.ArrayLike] | None = None,
) -> np.ndarray:
    """Choose an option of right (image, option) for each fold by the other folds: (image,).

    `apart` maps a fold to what is right for its choice, by classifiers that did not see its labels.
    """
    folds = np.asarray(folds)
    ids = np.unique(folds[folds >= 0])
    if ids.size < 2:
        raise ValueError(f"a choice needs two folds, one to choose for and others: not {ids.size}")

    # A setting that was chosen on the images it is measured on is measured too well (Varma and
    # Simon, BMC Bioinformatics 7, 2006). Here a fold's option is the first with the highest mean,
    # over the other folds, of the accuracy in a fold; images in fold -1 take the best over all.
    plain = _fold_hits(right, folds)
    option = np.full(folds.shape, plain.sum(0).argmax(), np.int64)
    for i, fold in enumerate(ids.tolist()):
        hits = _fold_hits(apart[fold], folds) if apart else plain
        option[folds == fold] = np.delete(hits, i, axis=0).sum(0).argmax()
    return option


def best_option(right: npt.ArrayLike, folds: npt.ArrayLike) -> int:
    """Choose the first option of right (image, option) with the highest mean over folds."""
    return int(_fold_hits(right, folds).sum(0).argmax())


def _fold_hits(right: npt.ArrayLike, folds: npt.ArrayLike) -> np.ndarray:
    """Give accuracies (fold, option) over a common denominator: rounding splits equal means."""
    right, folds = np.asarray(right), np.asarray(folds)
    if right.ndim != 2 or right.dtype != bool or folds.shape != right.shape[:1]:
        raise ValueError(
            "right must have the shape (image, option) and be bool, and folds (image,), "
            f"not {right.shape}, {right.dtype} and {folds.shape}"
        )
    ids = np.unique(folds[folds >= 0])
    size = [int((folds == fold).sum()) for fold in ids]
    common = math.lcm(*size)
    hits = [right[folds == fold].sum(0).astype(object) for fold in ids]  # Python's integers
    return np.stack([h * (common // n) for h, n in zip(hits, size, strict=True)])
