"""Run Algorithm 1 for many settings at once: labels for every K, accuracy for K, alpha, beta."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from arlib.evaluation.metrics import known_images
from arlib.evaluation.significance import wilson
from arlib.method import (
    affective_score,
    late_fusion,
    predict_labels,
    sentiment_score,
    take_regions,
    top_regions,
)

_TENTHS = tuple(i / 10 for i in range(11))

_BLOCK = 1024  # images at once: bounds the memory for any number of images


class _Settings(NamedTuple):
    """What a sweep varies, as arrays, and what it does not."""

    k: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    base: float | str
    rank_by: str
    form: str
    fusion: str


def predicted_labels(
    scores: xr.Dataset,
    k: Iterable[int] = range(1, 21),
    *,
    alpha: float = 1.0,
    beta: float = 0.5,
    **others: Any,
) -> xr.DataArray:
    """Predict each image's label by Algorithm 1, for every K at once: (image, k), int8."""
    settings = _settings(scores, k, alpha, beta, **others)
    global_ = scores.global_probability.transpose("image", "emotion")
    missing = global_.isnull().any("emotion").values
    if missing.any():
        i = int(missing.argmax())
        name = scores.image.values[i] if "image" in scores.coords else i
        raise ValueError(f"global_probability of image {str(name)!r} is NaN: it needs a prediction")
    label = np.empty((global_.shape[0], settings.k.size), np.int8)
    for block, _, labels in _predictions(scores, np.arange(len(label)), global_.values, settings):
        label[block] = labels[..., 0]
    coords = {"k": settings.k} | ({"image": scores.image} if "image" in scores.coords else {})
    return xr.DataArray(label, coords, ("image", "k"), "label")


def sweep(
    scores: xr.Dataset,
    k: Iterable[int] = range(1, 21),
    alpha: npt.ArrayLike = _TENTHS,
    beta: npt.ArrayLike = _TENTHS,
    *,
    base: float | str = "e",
    rank_by: str = "both",
    form: str = "euclidean",
    fusion: str = "sum",
    confidence: float = 0.95,
) -> xr.Dataset:
    """Measure Algorithm 1 for every K, alpha and beta.

    Regions are ranked once for each alpha; the running mean of their predictions, best first, then
    serves every K and beta at once. Estimates and intervals are those of `evaluate`.

    Args:
        scores: As for `arlib.method.predict_labels`, with ``label``; images with -1 are left out.
            With ``fold``, means are over folds, as in `evaluate`.
        k: Numbers of regions, each at least 1.
        alpha: Eq. 2's tradeoffs, shape (a,).
        beta: Eq. 3's tradeoffs, shape (b,).
        base: Eq. 1's logarithm.
        rank_by: ``"both"``, ``"objectness"`` or ``"sentiment"``; alpha matters only for the first.
        form: Eq. 2's form, ``"euclidean"`` or ``"linear"``.
        fusion: Eq. 3's form, ``"sum"`` or ``"convex"``.
        confidence: Of the intervals, in (0, 1).

    Returns:
        ``accuracy``, ``accuracy_low``, ``accuracy_high`` and ``balanced_accuracy`` (k, alpha,
        beta), all float64; attributes ``images`` (that count) and ``unknown`` (left out). Balanced
        accuracy is NaN where an emotion has no image.

    Raises:
        ValueError: As for `arlib.method.predict_labels`, where no k, alpha, beta or label is given,
            and where confidence is out of its range.

    Example:
        >>> scores = xr.Dataset({
        ...     "objectness": (("image", "region"), [[0.5, 0.4], [0.5, 0.4]]),
        ...     "box": (("image", "region", "corner"), np.ones((2, 2, 4))),
        ...     "region_probability": (
        ...         ("image", "region", "emotion"), [[[0.5, 0.5], [1, 0]], [[1, 0], [0.5, 0.5]]]),
        ...     "global_probability": (("image", "emotion"), [[0.375, 0.625], [0.375, 0.625]]),
        ...     "label": ("image", [0, 1]),
        ... })
        >>> sweep(scores, [1], alpha=[1.0], beta=[0.0, 0.25, 0.5]).accuracy.values
        array([[[0.5, 0.5, 0.5]]])
    """
    settings = _settings(scores, k, alpha, beta, base, rank_by, form, fusion)
    fold = scores.fold if "fold" in scores else None
    global_, truth, folds, kept = known_images(scores.global_probability, scores.label, fold)
    n, m = global_.shape

    # the images of each fold and emotion, and how many of them each setting predicts right
    ids, fold = np.unique(folds, return_inverse=True)
    group = np.eye(ids.size * m, dtype=np.float32)[:, fold * m + truth]  # (fold and emotion, image)
    ranked = settings.alpha.size if rank_by == "both" else 1
    hits = np.zeros((ranked, len(group), settings.k.size * settings.beta.size))
    for block, i, labels in _predictions(scores, kept, global_, settings):
        right = (labels == truth[block, None, None]).astype(np.float32)
        hits[i] += group[:, block] @ right.reshape(len(right), -1)
    right_in = hits.reshape(ranked, ids.size, m, -1)

    # accuracies, spread over (k, alpha, beta)
    images = group.sum(1, dtype=float).reshape(ids.size, m, 1)
    accuracy = (right_in.sum(2) / images.sum(1)).mean(1)
    low, high = wilson(accuracy, ids.size**2 / (1 / images.sum((1, 2))).sum(), confidence)
    with np.errstate(invalid="ignore"):
        shares = np.where(images > 0, right_in / images, 0).sum(1) / (images > 0).sum(0)
    measured = {
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "balanced_accuracy": shares.mean(1),
    }
    coords = {"k": settings.k, "alpha": settings.alpha, "beta": settings.beta}
    shape = tuple(values.size for values in coords.values())
    variables = {}
    for name, values in measured.items():
        values = values.reshape(ranked, shape[0], shape[2]).swapaxes(0, 1)  # (k, ranking, beta)
        variables[name] = tuple(coords), np.broadcast_to(values, shape).copy()
    return xr.Dataset(variables, coords, {"images": n, "unknown": scores.sizes["image"] - n})


def _settings(
    scores: xr.Dataset,
    k: Iterable[int],
    alpha: npt.ArrayLike,
    beta: npt.ArrayLike,
    base: float | str = "e",
    rank_by: str = "both",
    form: str = "euclidean",
    fusion: str = "sum",
) -> _Settings:
    """Gather the settings, refusing what Algorithm 1 would refuse."""
    ks, alphas, betas = np.array(list(k)), np.atleast_1d(alpha), np.atleast_1d(beta)
    for name, values in (("k", ks), ("alpha", alphas), ("beta", betas)):
        if not values.size:
            raise ValueError(f"{name} must hold at least one value")
    if ks.dtype.kind not in "iu" or ks.min() < 1:
        raise ValueError(f"k must hold whole numbers of at least 1, not {ks.tolist()}")
    no_image = scores.isel(image=slice(0))
    for a, b in [(a, betas[0]) for a in alphas] + [(alphas[0], b) for b in betas]:
        predict_labels(
            no_image, 1, alpha=a, beta=b, base=base, rank_by=rank_by, form=form, fusion=fusion
        )
    return _Settings(ks, alphas, betas, base, rank_by, form, fusion)


def _predictions(
    scores: xr.Dataset, images: np.ndarray, global_: np.ndarray, settings: _Settings
) -> Iterator[tuple[slice, int, np.ndarray]]:
    """Predict a block of images for one alpha at a time: block, alpha's index, (image, k, beta)."""
    objectness = scores.objectness.transpose("image", "region")
    probability = scores.region_probability.transpose("image", "region", "emotion")
    sentiment = sentiment_score(probability, "emotion", settings.base)
    # one alpha stands for all that rank alike
    alphas = settings.alpha if settings.rank_by == "both" else settings.alpha[:1]
    for start in range(0, images.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        o, p, s = (a[images[block]].values for a in (objectness, probability, sentiment))
        for i, alpha in enumerate(alphas):
            affective = affective_score(o, s, alpha, settings.form)
            score = {"both": affective, "objectness": o, "sentiment": s}[settings.rank_by]
            chosen = take_regions(p, top_regions(score, int(settings.k.max())))
            mean = _running_mean(chosen)[:, settings.k - 1]  # (image, k, emotion)
            response = late_fusion(
                global_[block, None, None], mean[:, :, None, None], settings.beta, settings.fusion
            ).astype(np.result_type(global_, chosen))  # equal there is equal in Algorithm 1
            yield block, i, response.argmax(-1)


def _running_mean(probability: np.ndarray) -> np.ndarray:
    """Average the first 1, 2, … K regions that exist: (image, K, emotion), NaN where none does."""
    exists = ~np.isnan(probability).any(-1, keepdims=True)
    total = np.where(exists, probability, 0).cumsum(1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return total / exists.cumsum(1)
