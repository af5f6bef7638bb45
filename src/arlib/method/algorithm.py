"""Algorithm 1 from its step 4 on: scores to affective regions to the image's label."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from arlib.method.fusion import late_fusion
from arlib.method.ranking import (
    affective_score,
    normalize_objectness,
    suppress,
    take_regions,
    top_regions,
)
from arlib.method.sentiment import sentiment_range, sentiment_score

RULE_2018: dict[str, Any] = {
    "k": 8,
    "alpha": 0.6,
    "beta": 0.3,
    "form": "linear",
    "fusion": "convex",
    "normalize": "minmax",
}
"""The authors' rule of 2018 (Yang et al., "Visual sentiment prediction based on automatic discovery
of affective regions", IEEE Transactions on Multimedia 20) as settings of `predict_labels`."""


def affective_regions(
    scores: xr.Dataset,
    k: int,
    *,
    alpha: float = 1.0,
    base: float | str = "e",
    rank_by: str = "both",
    form: str = "euclidean",
    normalize: str = "none",
    min_sentiment: float | None = None,
    nms: float | None = None,
) -> xr.Dataset:
    """Choose each image's K most affective regions: Algorithm 1, steps 4 to 8.

    Args:
        scores: Of images and their regions, with ``objectness``, ``box`` and
            ``region_probability``.
        k: K, at least 1.
        alpha: Eq. 2's tradeoff, as for `affective_score`.
        base: Eq. 1's logarithm, as for `sentiment_score`.
        rank_by: ``"both"`` ranks by Eq. 2, ``"objectness"`` and ``"sentiment"`` by one of the two
            scores alone: "obj + senti", "obj" and "senti" in the paper's Table 1.
        form: Eq. 2's form, ``"euclidean"`` or ``"linear"``.
        normalize: How Eq. 2 takes objectness and sentiment score, each within its image:
            ``"none"`` as they are, or as for `normalize_objectness`.
        min_sentiment: Eq. 1's score below which a region is dropped before anything is ranked: the
            paper drops regions of little sentiment "at the initial stage" (Sec. 3) and gives no
            value. None drops none. It takes from the best K those that their objectness alone put
            there; an image may be left with fewer than K regions, or none.
        nms: Non-maximum suppression: the intersection over union with a better region above which
            one is dropped before the best K are taken, in [0, 1]; None drops none.

    Returns:
        Best first along ``rank`` = 1 … K: ``region`` (image, rank), the index in `scores` or -1;
        ``objectness`` and ``sentiment_score``, not normalised, and ``affective_score`` (image,
        rank); ``box`` (image, rank, corner); ``probability`` (image, rank, emotion). NaN where an
        image has no more regions.

    Raises:
        ValueError: Where a setting is none of the above or out of its range, a region's
            probabilities are no distribution, or Eq. 2 would square a negative sentiment score,
            which can happen with more than two emotions and ranks the regions of the highest
            entropy high.

    Example:
        >>> scores = xr.Dataset({
        ...     "objectness": (("image", "region"), [[0.5, 0.4]]),
        ...     "box": (("image", "region", "corner"), [[[0, 0, 9, 9], [2, 2, 5, 5]]]),
        ...     "region_probability": (("image", "region", "emotion"), [[[0.5, 0.5], [1.0, 0.0]]]),
        ... })
        >>> affective_regions(scores, k=2).region.values
        array([[1, 0]])
        >>> affective_regions(scores, k=2, rank_by="objectness").region.values
        array([[0, 1]])
        >>> affective_regions(scores, k=2, min_sentiment=0.5).region.values
        array([[ 1, -1]])
    """
    objectness, probability = scores.objectness, scores.region_probability
    low, _ = sentiment_range(scores.sizes["emotion"], base)
    if low < 0 and form == "euclidean" and rank_by == "both" and normalize == "none":
        raise ValueError(
            f"with {scores.sizes['emotion']} emotions and base {base!r} Eq. 1 reaches {low:.2f}, "
            'which Eq. 2 would square: use base="classes", or form="linear"'
        )
    sentiment = sentiment_score(probability, "emotion", base)
    if min_sentiment is not None:
        if not min_sentiment <= 1:  # NaN too
            raise ValueError(f"min_sentiment must be at most 1, Eq. 1's most, not {min_sentiment}")
        enough = sentiment >= min_sentiment
        objectness, sentiment = objectness.where(enough), sentiment.where(enough)
    affective = affective_score(
        normalize_objectness(objectness, normalize),
        normalize_objectness(sentiment, normalize),
        alpha,
        form,
    )
    ranked = {"both": affective, "objectness": objectness, "sentiment": sentiment}
    if rank_by not in ranked:
        raise ValueError(f'rank_by must be "both", "objectness" or "sentiment", not {rank_by!r}')
    best = ranked[rank_by]
    region = top_regions(best if nms is None else suppress(best, scores.box, nms, k), k)
    quantities = {
        "objectness": objectness,
        "sentiment_score": sentiment,
        "affective_score": affective,
        "box": scores.box,
        "probability": probability,
    }
    chosen = {name: take_regions(values, region) for name, values in quantities.items()}
    return xr.Dataset({"region": region, **chosen}, coords={"rank": np.arange(1, k + 1)})


def predict_labels(
    scores: xr.Dataset,
    k: int,
    *,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: float | str = "e",
    rank_by: str = "both",
    form: str = "euclidean",
    fusion: str = "sum",
    normalize: str = "none",
    min_sentiment: float | None = None,
    nms: float | None = None,
) -> xr.Dataset:
    """Predict each image's label from it and its K most affective regions: Algorithm 1.

    Args:
        scores: As for `affective_regions`, with ``global_probability``.
        k: K, at least 1.
        alpha: Eq. 2's tradeoff.
        beta: Eq. 3's tradeoff, as for `late_fusion`; 0 leaves the regions out.
        base: Eq. 1's logarithm.
        rank_by: ``"both"``, ``"objectness"`` or ``"sentiment"``, as for `affective_regions`.
        form: Eq. 2's form, ``"euclidean"`` or ``"linear"``.
        fusion: Eq. 3's form, ``"sum"`` or ``"convex"``.
        normalize: Of objectness and sentiment score, as for `affective_regions`.
        min_sentiment: Of Eq. 1, below which a region is dropped, as for `affective_regions`.
        nms: Overlap with a better region above which one is dropped, as for `affective_regions`.

    Returns:
        ``response`` (image, emotion), Eq. 3's Y, which sums to 1 + beta (to 1 for an image without
        regions, and in the convex form); ``probability`` (image, emotion), the same divided by its
        sum; ``label`` (image), int8, the emotion with the greatest response, the first of equals.

    Raises:
        ValueError: As for `affective_regions` and `late_fusion`, and where an image
            has no ``global_probability``.

    Example:
        >>> scores = xr.Dataset({
        ...     "objectness": (("image", "region"), [[0.5, 0.4]]),
        ...     "box": (("image", "region", "corner"), [[[0, 0, 9, 9], [2, 2, 5, 5]]]),
        ...     "region_probability": (("image", "region", "emotion"), [[[0.5, 0.5], [1.0, 0.0]]]),
        ...     "global_probability": (("image", "emotion"), [[0.375, 0.625]]),
        ... })
        >>> prediction = predict_labels(scores, k=1)
        >>> prediction.response.values, prediction.label.values
        (array([[0.875, 0.625]]), array([0], dtype=int8))
    """
    global_probability = scores.global_probability
    missing = global_probability.isnull().any("emotion").values
    if missing.any():
        name = scores.image.values[missing][0] if "image" in scores.coords else missing.argmax()
        raise ValueError(f"global_probability of image {str(name)!r} is NaN: it needs a prediction")
    regions = affective_regions(
        scores,
        k,
        alpha=alpha,
        base=base,
        rank_by=rank_by,
        form=form,
        normalize=normalize,
        min_sentiment=min_sentiment,
        nms=nms,
    )
    response = late_fusion(global_probability, regions.probability, beta, fusion)
    return xr.Dataset(
        {
            "response": response,
            "probability": response / response.sum("emotion"),
            "label": response.argmax("emotion").astype(np.int8),
        }
    )
