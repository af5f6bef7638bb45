"""Eq. 2: score how affective regions are, and choose the best K of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr


def affective_score(
    objectness: npt.ArrayLike | xr.DataArray,
    sentiment: npt.ArrayLike | xr.DataArray,
    alpha: npt.ArrayLike | xr.DataArray = 1.0,
    form: str = "euclidean",
) -> Any:
    r"""Weigh a region's objectness against its sentiment.

    .. math:: AR = \sqrt{\mathit{Obj\_score}^2 + \alpha\,\mathit{Senti\_score}^2}

    This is Eq. 2 of the paper, ``form="euclidean"``. The authors' 2018 variant is
    ``form="linear"``, AR = (1 - alpha) Senti_score + alpha Obj_score: there alpha weighs the
    objectness. Eq. 2 squares the sentiment score and so needs it non-negative to rank by it:
    for more than two emotions take ``base="classes"`` in Eq. 1.

    Args:
        objectness: Obj_score, any shape; NaN where there is no region.
        sentiment: Senti_score, a shape that broadcasts with it; NaN where there is no region.
        alpha: The tradeoff, in [0, 1000], for the linear form in [0, 1]; may broadcast too.
        form: ``"euclidean"`` or ``"linear"``.

    Returns:
        AR, the broadcast shape, in the precision of the two scores; a DataArray if one was given.

    Raises:
        ValueError: Where the form is unknown or an alpha is out of its range.

    Example:
        >>> float(affective_score(0.6, 0.8))
        1.0
        >>> float(affective_score(0.6, 0.8, alpha=0.5, form="linear"))
        0.7
    """
    if form not in _FORMS:
        raise ValueError(f'form must be "euclidean" or "linear", not {form!r}')
    check_tradeoff("alpha", alpha, form, share=form == "linear")
    # a list has no dtype; a Python number must stay one, so as not to widen a float32 array
    scores = [np.asarray(s) if isinstance(s, list | tuple) else s for s in (objectness, sentiment)]
    score = xr.apply_ufunc(_FORMS[form], *scores, alpha)
    return score.rename("affective_score") if isinstance(score, xr.DataArray) else score


def top_regions(score: npt.ArrayLike | xr.DataArray, k: int) -> Any:
    """Find the K best regions: Algorithm 1, step 8.

    Args:
        score: Shape (…, N), any real dtype: what to rank by; NaN where there is no region. Of a
            DataArray, N is the dimension ``region``.
        k: K, at least 1; may be more than N.

    Returns:
        Indices into the N regions, shape (…, K), int64, best first, of equal scores the lower index
        first, -1 where no region is left. A DataArray's last dimension is then ``rank``.

    Raises:
        ValueError: Where k is not a whole number of at least 1, or a DataArray has no ``region``.

    Example:
        >>> top_regions([0.5, float("nan"), 0.9, 0.5], k=4)
        array([ 2,  0,  3, -1])
    """
    if not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, not {k!r}")
    if not isinstance(score, xr.DataArray):
        return _top(np.asarray(score), int(k))
    if "region" not in score.dims:
        raise ValueError(f"score must have the dimension 'region', not only {score.dims}")
    return xr.apply_ufunc(
        _top,
        score,
        input_core_dims=[["region"]],
        output_core_dims=[["rank"]],
        kwargs={"k": int(k)},
    ).rename("region")


def suppress(
    score: npt.ArrayLike | xr.DataArray, box: npt.ArrayLike | xr.DataArray, iou: float, k: int
) -> Any:
    """Drop the regions that overlap a better one: greedy non-maximum suppression.

    From the best region on, each that is left drops those after it whose intersection over union
    with it is more than `iou`, as torchvision's ``nms`` does, in all images at once.

    Args:
        score: Shape (…, N), what to rank by, ties as of `top_regions`; NaN where there is no
            region. Of a DataArray, N is the dimension ``region``.
        box: Shape (…, N, 4), xyxy; of a DataArray, 4 is the dimension ``corner``.
        iou: The most overlap of two regions that both stay, in [0, 1].
        k: K, how many regions are wanted: of what ranks after an image's first K that stay,
            nothing need be right.

    Returns:
        The score, NaN where a region was dropped.

    Raises:
        ValueError: Where `iou` is out of its range.

    Example:
        >>> suppress([0.5, 0.9, 0.7], [[0, 0, 9, 9], [0, 0, 9, 8], [5, 5, 9, 9]], iou=0.5, k=3)
        array([nan, 0.9, 0.7])
    """
    if not 0 <= iou <= 1:
        raise ValueError(f"nms must be between 0 and 1, not {iou}")
    if not isinstance(score, xr.DataArray):
        return _suppress(np.asarray(score), np.asarray(box), iou, k)
    core = [["region"], ["region", "corner"]]
    return xr.apply_ufunc(
        _suppress,
        score,
        box,
        input_core_dims=core,
        output_core_dims=[["region"]],
        kwargs={"iou": iou, "k": k},
    )


def take_regions(values: npt.ArrayLike | xr.DataArray, index: npt.ArrayLike | xr.DataArray) -> Any:
    """Look up a quantity of the regions that `top_regions` chose.

    Args:
        values: Shape (…, N, …), where the leading axes are those of `index`: any quantity of a
            region, such as its box. Of a DataArray, N is the dimension ``region``.
        index: Shape (…, K), integer, in [-1, N); of a DataArray, K is the dimension ``rank``.

    Returns:
        Shape (…, K, …), NaN where the index is -1; float dtypes are kept, others become float.

    Raises:
        ValueError: Where an index is out of its range.

    Example:
        >>> take_regions([0.5, 0.25, 0.75], [2, 0, -1])
        array([0.75, 0.5 ,  nan])
    """
    if isinstance(values, xr.DataArray):
        core = [["region"], ["rank"]]
        taken = xr.apply_ufunc(
            _take, values, index, input_core_dims=core, output_core_dims=[["rank"]]
        )
        order = ["rank" if dim == "region" else dim for dim in values.dims]
        return taken.transpose(..., *order).rename(values.name)
    values, index = np.asarray(values), np.asarray(index)
    axis = index.ndim - 1
    rest = (1,) * (values.ndim - index.ndim)
    flat = index.reshape(index.shape[:-1] + rest + index.shape[-1:])  # (…, *1, K)
    return np.moveaxis(_take(np.moveaxis(values, axis, -1), flat), -1, axis)


_LARGEST = 1000.0  # beyond it the other score has no weight, and float16 no room


def check_tradeoff(name: str, value: Any, form: str, *, share: bool) -> None:
    """Refuse a tradeoff that is negative, not a number or too large, or a share above 1."""
    values = np.asarray(value)
    most = 1.0 if share else _LARGEST
    wrong = ~((values >= 0) & (values <= most))  # NaN too
    if wrong.any():
        raise ValueError(
            f"{name} must be between 0 and {most:g} for form {form!r}, not {values[wrong][0]}"
        )


def _euclidean(objectness: Any, sentiment: Any, alpha: Any) -> Any:
    # the squares of small float16 and float32 scores would underflow, and tie
    return np.hypot(objectness, np.sqrt(_like(alpha, objectness, sentiment)) * sentiment)


def _linear(objectness: Any, sentiment: Any, alpha: Any) -> Any:
    alpha = _like(alpha, objectness, sentiment)
    return (1 - alpha) * sentiment + alpha * objectness


def _like(alpha: Any, *scores: Any) -> Any:
    dtype = np.result_type(*scores)
    return np.asarray(alpha, dtype if dtype.kind == "f" else np.float64)


_FORMS: dict[str, Callable[[Any, Any, Any], Any]] = {"euclidean": _euclidean, "linear": _linear}


def _top(score: np.ndarray, k: int) -> np.ndarray:
    score = score if score.dtype.kind == "f" else score.astype(np.float64)  # -score may wrap
    order = np.argsort(-score, axis=-1, kind="stable")[..., :k]  # NaN sorts last
    order = np.where(np.isnan(np.take_along_axis(score, order, -1)), -1, order)
    missing = [(0, 0)] * (order.ndim - 1) + [(0, k - order.shape[-1])]
    return np.pad(order, missing, constant_values=-1)  # (…, K)


def _suppress(score: np.ndarray, box: np.ndarray, iou: float, k: int) -> np.ndarray:
    score = score if score.dtype.kind == "f" else score.astype(np.float64)
    order = np.argsort(-score, axis=-1, kind="stable")  # NaN sorts last
    boxes = np.take_along_axis(box.astype(np.float64), order[..., None], -2)  # (…, N, 4)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    left = ~np.isnan(np.take_along_axis(score, order, -1))  # (…, N)
    for rank in range(score.shape[-1]):
        if (left[..., :rank].sum(-1) >= k).all():
            break
        own, later = boxes[..., rank, None, :], boxes[..., rank + 1 :, :]
        sides = np.minimum(own[..., 2:], later[..., 2:]) - np.maximum(own[..., :2], later[..., :2])
        shared = np.maximum(sides, 0).prod(-1)  # (…, N - rank - 1)
        union = area[..., rank, None] + area[..., rank + 1 :] - shared
        left[..., rank + 1 :] &= ~(left[..., rank, None] & (shared > iou * union))
    kept = np.empty_like(left)
    np.put_along_axis(kept, order, left, -1)
    return np.where(kept, score, np.asarray(np.nan, score.dtype))


def _take(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    n = values.shape[-1]
    wrong = (index < -1) | (index >= n)
    if wrong.any():
        raise ValueError(f"index must be in [-1, {n}) for {n} regions, not {index[wrong][0]}")
    ndim = max(values.ndim, index.ndim)
    values, index = (a[(None,) * (ndim - a.ndim)] for a in (values, index))
    # one region more, the last, of NaN: this is what -1 takes, even where there is no other
    nothing = np.full((*values.shape[:-1], 1), np.nan, np.result_type(values.dtype, np.float16))
    return np.take_along_axis(np.concatenate([values, nothing], -1), index, -1)


def normalize_objectness(objectness: npt.ArrayLike | xr.DataArray, how: str = "none") -> Any:
    """Bring each image's objectness to a common scale.

    Args:
        objectness: (..., N), NaN where there is no region; of a DataArray, N is `region`.
        how: "none" changes nothing; "minmax" maps the image's least to 0 and greatest to 1;
            "rank" maps the best to 1, the next to 1 - 1/n, ..., the last of n to 1/n. Where all
            of an image's scores are equal, both give 1; equal ones share the better rank.

    Returns:
        The same shape and precision; [0, 1] unless "none".

    Raises:
        ValueError: another `how`.

    Example:
        >>> normalize_objectness([0.5, 0.3, 0.1, float("nan")], "minmax").round(2)
        array([1. , 0.5, 0. , nan])
        >>> normalize_objectness([0.5, 0.3, 0.1, float("nan")], "rank").round(2)
        array([1.  , 0.67, 0.33,  nan])
    """
    if how not in _SCALES:
        raise ValueError(f"normalise by one of {', '.join(_SCALES)}, not by {how!r}")
    if isinstance(objectness, xr.DataArray):
        core = [["region"]]
        return xr.apply_ufunc(
            _SCALES[how], objectness, input_core_dims=core, output_core_dims=core
        ).transpose(*objectness.dims)
    return _SCALES[how](np.asarray(objectness))


def _minmax(scores: np.ndarray) -> np.ndarray:
    low = np.fmin.reduce(scores, axis=-1, keepdims=True)
    high = np.fmax.reduce(scores, axis=-1, keepdims=True)
    spread = np.where(high > low, high - low, 1).astype(scores.dtype)
    return np.where(high > low, (scores - low) / spread, scores * 0 + 1)


def _rank(scores: np.ndarray) -> np.ndarray:
    better = (scores[..., None, :] > scores[..., :, None]).sum(-1)  # (..., N)
    count = (~np.isnan(scores)).sum(-1, keepdims=True)
    return (scores * 0 + 1 - better / np.maximum(count, 1)).astype(scores.dtype)


_SCALES = {"none": lambda scores: scores, "minmax": _minmax, "rank": _rank}
