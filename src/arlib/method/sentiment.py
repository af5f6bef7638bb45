"""Eq. 1: score how much sentiment a region carries, whichever sentiment it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.special import entr

# float16 keeps a probability to 2**-11 of its value, so a stored distribution may miss 1 by 5e-4.
_SUM_TOLERANCE = 1e-3


def sentiment_score(
    probability: npt.ArrayLike | xr.DataArray,
    axis: int | str = -1,
    base: float | str = "e",
) -> Any:
    r"""Score how confident a sentiment distribution is: 1 if certain, least if uniform.

    .. math:: \mathit{Senti\_score} = 1 + \sum_{i=1}^{M} s_i \log s_i \qquad (0 \log 0 = 0)

    This is Eq. 1 of the paper: one minus the entropy. It lies in ``[1 - log M, 1]``, which for the
    natural logarithm and two emotions is [0.307, 1].

    Args:
        probability: s, shape (…, M): distributions over M emotions, in [0, 1], each with sum 1
            to within 0.001. A distribution with NaN in it (no region) has the score NaN.
        axis: The axis of the emotions; for a DataArray also a dimension's name. The default is the
            last axis, or the dimension ``emotion`` of a DataArray that has it.
        base: Of the logarithm: ``"e"``, a number above 1, or ``"classes"`` for M, which makes the
            range [0, 1] for any M.

    Returns:
        The score, shape (…), a DataArray for a DataArray; float16, float32 and float64 are kept,
        anything else becomes float64.

    Raises:
        ValueError: Where a distribution has a negative entry or does not sum to 1, or the base is
            not one of the above.

    Example:
        >>> sentiment_score([[1.0, 0.0], [0.9, 0.1], [0.5, 0.5]]).round(3)
        array([1.   , 0.675, 0.307])
        >>> sentiment_score([[1.0, 0.0], [0.9, 0.1], [0.5, 0.5]], base=2).round(3)
        array([1.   , 0.531, 0.   ])
    """
    if isinstance(probability, xr.DataArray):
        if isinstance(axis, str):
            dim: Any = axis
        else:
            default = axis == -1 and "emotion" in probability.dims
            dim = "emotion" if default else probability.dims[axis]
        score = xr.apply_ufunc(
            _sentiment_score, probability, input_core_dims=[[dim]], kwargs={"base": base}
        )
        return score.rename("sentiment_score")
    if isinstance(axis, str):
        raise ValueError(f"axis {axis!r} names a dimension, but an array has only numbered axes")
    return _sentiment_score(np.moveaxis(np.asarray(probability), axis, -1), base)


def sentiment_range(n_emotions: int, base: float | str = "e") -> tuple[float, float]:
    """Compute the least and the greatest value of Eq. 1, (1 - log M, 1).

    Args:
        n_emotions: M, at least 1.
        base: As for `sentiment_score`.

    Returns:
        The score of the uniform distribution and that of a certain one.

    Raises:
        ValueError: Where the base is not one that `sentiment_score` takes.

    Example:
        >>> sentiment_range(2)
        (0.3068528194400547, 1.0)
        >>> sentiment_range(8)[0] < 0
        True
    """
    return 1 - math.log(n_emotions) / _log_base(base, n_emotions), 1.0


def _sentiment_score(probability: np.ndarray, base: float | str) -> Any:
    dtype = probability.dtype if probability.dtype.kind == "f" else np.dtype(np.float64)
    # float16 would lose the entropy of a nearly certain distribution while it is summed
    s = probability.astype(np.result_type(dtype, np.float32), copy=False)  # (…, M)
    _check_distributions(s)
    return (1 - entr(s).sum(-1) / _log_base(base, s.shape[-1])).astype(dtype)  # (…)


def usable_base(n_emotions: int) -> str:
    """Choose the logarithm for Eq. 2, which must not square a negative score.

    Args:
        n_emotions: M, at least 1.

    Returns:
        ``"e"``, as the paper, where Eq. 1 then cannot be negative: up to two emotions; otherwise
        ``"classes"``.

    Example:
        >>> usable_base(2), usable_base(8)
        ('e', 'classes')
    """
    return "e" if sentiment_range(n_emotions)[0] >= 0 else "classes"


def _log_base(base: float | str, n_emotions: int) -> float:
    if base == "e":
        return 1.0
    if base == "classes":
        if n_emotions < 2:
            raise ValueError(f'base "classes" needs at least 2 emotions, not {n_emotions}')
        return math.log(n_emotions)
    if isinstance(base, str) or not 1 < base < math.inf:
        raise ValueError(f'base must be "e", "classes" or a number above 1, not {base!r}')
    return math.log(base)


def _check_distributions(s: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):
        wrong = (s < 0).any(-1) | (abs(s.sum(-1) - 1) > _SUM_TOLERANCE)
    if wrong.any():
        where = tuple(map(int, np.argwhere(wrong)[0]))
        raise ValueError(
            "probability must be non-negative and sum to 1 over the emotions; "
            f"at {where} it is {s[where].tolist()} (are these logits, before the softmax?)"
        )
