"""Eq. 3: fuse the full image's prediction with those of its affective regions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from arlib.method.ranking import check_tradeoff


def late_fusion(
    global_probability: npt.ArrayLike | xr.DataArray,
    region_probability: npt.ArrayLike | xr.DataArray,
    beta: npt.ArrayLike | xr.DataArray = 0.5,
    form: str = "sum",
) -> Any:
    r"""Add the mean prediction of the affective regions to that of the full image.

    .. math:: \vec Y = \vec Y_{Global} + \frac{\beta}{K} \sum_{j=1}^{K} \vec Y_{AR_j}

    This is Eq. 3 of the paper, ``form="sum"``; its Y sums to 1 + beta. The authors' 2018 variant
    is ``form="convex"``, Y = (1 - beta) Y_Global + beta mean(Y_AR), which sums to 1. An image may
    have fewer than K regions: the mean is over those that exist. Without any, Y is Y_Global in
    both forms.

    Args:
        global_probability: Y_Global, shape (…, M), in [0, 1].
        region_probability: Y_AR, shape (…, K, M), in [0, 1]; NaN in the row of a missing region.
            Of a DataArray, K is the dimension ``rank``, else ``region``, and M ``emotion``.
        beta: The tradeoff, shape (…) or a number, in [0, 1000], for the convex form in [0, 1].
        form: ``"sum"`` or ``"convex"``.

    Returns:
        Y, shape (…, M), in the precision of the two predictions; a DataArray for DataArrays.

    Raises:
        ValueError: Where the form is unknown, a beta is out of its range, or a DataArray lacks
            one of the dimensions above.

    Example:
        >>> late_fusion([0.5, 0.5], [[0.75, 0.25], [0.25, 0.75], [1.0, 0.0]], beta=0.75)
        array([1.  , 0.75])
    """
    if form not in ("sum", "convex"):
        raise ValueError(f'form must be "sum" or "convex", not {form!r}')
    check_tradeoff("beta", beta, form, share=form == "convex")
    if not isinstance(region_probability, xr.DataArray):
        arrays = np.asarray(global_probability), np.asarray(region_probability)
        return _late_fusion(*arrays, beta, form)
    dims = region_probability.dims
    ranks = [dim for dim in ("rank", "region") if dim in dims][:1]
    if not ranks or "emotion" not in dims:
        raise ValueError(f"region_probability must have 'rank' or 'region', and 'emotion': {dims}")
    return xr.apply_ufunc(
        _late_fusion,
        global_probability,
        region_probability,
        beta,
        input_core_dims=[["emotion"], [*ranks, "emotion"], []],
        output_core_dims=[["emotion"]],
        kwargs={"form": form},
    ).rename("response")


def _late_fusion(global_: np.ndarray, regions: np.ndarray, beta: Any, form: str) -> np.ndarray:
    """Fuse arrays (…, M) and (…, K, M)."""
    dtype = np.result_type(global_, regions)
    dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    exact = np.float64  # a sum of K in the given precision would lose digits
    beta = np.asarray(beta, exact)[..., None]  # (…, 1)
    exists = ~np.isnan(regions).any(-1, keepdims=True)  # (…, K, 1)
    count = exists.sum(-2)  # (…, 1)
    total = regions.sum(-2, dtype=exact, where=exists)  # (…, M)
    mean = total / np.maximum(count, 1).astype(exact)
    share = 1 - beta if form == "convex" else np.ones_like(beta)
    return np.where(count > 0, share * global_ + beta * mean, global_).astype(dtype, copy=False)
