"""Find why fused predictions are wrong: one cause an image, the first that applies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from arlib.evaluation.boxes import best_overlap
from arlib.method import affective_regions, predict_labels

CAUSES = {
    "no region": "nothing was proposed, and the full image is wrong",
    "degraded by fusion": "the full image alone was right",
    "outvoted": "the regions alone were right, the full image was more confident",
    "not proposed": "no proposal holds a region that carries the sentiment",
    "not chosen": "a proposal holds a region that carries the sentiment, but is not among the K",
    "misread": "one of the K holds a region that carries the sentiment, and is predicted wrongly",
    "both wrong": "the full image and the regions are wrong; where the sentiment lies is not known",
}
"""Each cause with its meaning, in the order in which they are tried."""


def causes(
    scores: xr.Dataset,
    k: int,
    *,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: float | str = "e",
    known: npt.ArrayLike | None = None,
    iou: float = 0.5,
) -> pd.DataFrame:
    """Find the images whose fused label is wrong, and why.

    Args:
        scores: with labels.
        k: K.
        alpha: Eq. 2's tradeoff.
        beta: Eq. 3's tradeoff.
        base: Eq. 1's logarithm.
        known: (n, R, 4) xyxy in pixels, the regions that carry the sentiment, NaN where an image
            has fewer; None where no region is known.
        iou: the overlap from which a box holds a known region.

    Returns:
        A row for each wrong image, by its key: ``cause``, whose meaning is in
        ``attrs["meanings"]``; ``full_image``, ``regions`` and ``fused``, the share that each gives
        the true emotion; the most certain failure first.

    Example:
        >>> scores = xr.Dataset({
        ...     "objectness": (("image", "region"), [[0.5]]), "label": ("image", [0]),
        ...     "box": (("image", "region", "corner"), [[[0, 0, 9, 9]]]),
        ...     "region_probability": (("image", "region", "emotion"), [[[0.1, 0.9]]]),
        ...     "global_probability": (("image", "emotion"), [[0.6, 0.4]]),
        ... }, coords={"image": ["a"]})
        >>> causes(scores, k=1).cause.to_dict()
        {'a': 'degraded by fusion'}
    """
    settings: dict[str, Any] = {"alpha": alpha, "base": base}
    chosen = affective_regions(scores, k, **settings)
    fused = predict_labels(scores, k, beta=beta, **settings)
    truth = scores.label.values
    shares = {
        "full_image": scores.global_probability.transpose("image", "emotion").values,
        "regions": chosen.probability.mean("rank").transpose("image", "emotion").values,
        "fused": fused.probability.transpose("image", "emotion").values,
    }
    right = {name: np.nan_to_num(share).argmax(-1) == truth for name, share in shares.items()}
    is_known, is_proposed, is_chosen = _held(scores, chosen, known, iou)
    conditions = [
        scores.objectness.isnull().all("region").values,
        right["full_image"],
        right["regions"],
        is_known & ~is_proposed,
        is_known & ~is_chosen,
        is_known,
    ]
    rows = np.arange(truth.size)
    table = pd.DataFrame(
        {
            "cause": np.select(conditions, list(CAUSES)[:-1], "both wrong"),
            **{name: share[rows, truth] for name, share in shares.items()},
        },
        index=pd.Index(scores.image.values.tolist(), name="image"),
    )
    wrong = (fused.label.values != truth) & (truth >= 0)
    failed = table[wrong].sort_values("fused", kind="stable")
    failed.attrs["meanings"] = dict(CAUSES)
    return failed


def _held(
    scores: xr.Dataset, chosen: xr.Dataset, known: npt.ArrayLike | None, iou: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether a region is known, whether any proposal holds one, and whether any of the K does."""
    if known is None:
        nowhere = np.zeros(scores.sizes["image"], bool)
        return nowhere, nowhere, nowhere
    is_known = ~np.isnan(np.asarray(known, float)).any(-1).all(-1)
    is_proposed, is_chosen = (
        (np.nan_to_num(best_overlap(boxes.values, known)) >= iou).any(axis=1)
        for boxes in (scores.box, chosen.box)
    )
    return is_known, is_proposed, is_chosen
