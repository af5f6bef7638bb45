"""The rule that the authors published in 2018, from the same functions as the paper's Eq. 1 to 3.

Objectness and sentiment scores are min-max normalised within each image, AR = 0.4 senti + 0.6 obj,
K = 8, and the response is 0.7 of the whole image plus 0.3 of the regions' mean (Yang et al. 2018).
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from arlib.fusion import late_fusion
from arlib.proposals.types import normalize_objectness
from arlib.ranking import affective_score, take_regions, top_regions
from arlib.sentiment import sentiment_score

K, OBJECTNESS_SHARE, REGION_SHARE = 8, 0.6, 0.3


def respond_2018(scores: xr.Dataset, k: int = K, *, minmax: bool = True) -> xr.Dataset:
    """Predict each image's label by the rule of 2018.

    Args:
        scores: as `arlib.scores` lays them out.
        k: K.
        minmax: normalise both scores within each image; without, they are taken as they are.

    Returns:
        ``region`` (image, rank), indices best first, -1 where there is none; ``response`` (image,
        emotion), which sums to 1; ``label`` (image,) int8, the first of equals.

    Example:
        >>> scores = xr.Dataset({
        ...     "objectness": (("image", "region"), [[0.5, 0.4, 0.1]]),
        ...     "region_probability": (("image", "region", "emotion"),
        ...                            [[[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]]]),
        ...     "global_probability": (("image", "emotion"), [[0.375, 0.625]]),
        ... })
        >>> respond_2018(scores, k=2).region.values
        array([[1, 0]])
    """
    objectness, sentiment = scores.objectness, sentiment_score(scores.region_probability, "emotion")
    if minmax:
        objectness = normalize_objectness(objectness, "minmax")
        sentiment = normalize_objectness(sentiment, "minmax")
    score = affective_score(objectness, sentiment, OBJECTNESS_SHARE, "linear")
    region = top_regions(score, k)
    chosen = take_regions(scores.region_probability, region)
    response = late_fusion(scores.global_probability, chosen, REGION_SHARE, "convex")
    label = response.argmax("emotion").astype(np.int8)
    return xr.Dataset({"region": region, "response": response, "label": label})


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Give the mean share of chosen regions that two rules have in common.

    Args:
        one: (image, K) indices of regions; -1 where there is none.
        other: the same shape.

    Returns:
        Over images with a region, the mean of how many both chose, over how many the one with fewer
        did, in [0, 1].

    Raises:
        ValueError: other shapes, or no image has a region.

    Example:
        >>> overlap(np.array([[0, 1], [2, -1]]), np.array([[1, 5], [2, -1]]))
        0.75
    """
    if one.shape != other.shape:
        raise ValueError(f"both must have one shape, not {one.shape} and {other.shape}")
    same = (one[:, :, None] == other[:, None, :]) & (one >= 0)[:, :, None]
    count = np.minimum((one >= 0).sum(1), (other >= 0).sum(1))
    there = count > 0
    if not there.any():
        raise ValueError("no image has a region")
    return float((same.any(2).sum(1)[there] / count[there]).mean())
