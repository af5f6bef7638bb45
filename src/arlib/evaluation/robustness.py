"""Measure whether the conclusion depends on what the paper leaves open, a setting at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from arlib.evaluation.metrics import compare
from arlib.evaluation.runs import Run
from arlib.evaluation.significance import label_changes
from arlib.method import RULE_2018, affective_regions, normalize_objectness, predict_labels

Case = tuple[xr.Dataset, dict[str, Any]]
"""Scores, and the settings of `predict_labels` for them."""


def sensitivity(
    run: Run,
    *,
    k: int = 8,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: float | str = "e",
    others: Mapping[str, xr.Dataset] | None = None,
) -> pd.DataFrame:
    """Measure what fusion adds to the full image when one setting differs from the default.

    Args:
        run: With labels.
        k: K of the default.
        alpha: Eq. 2's tradeoff of the default.
        beta: Eq. 3's tradeoff of the default.
        base: Eq. 1's logarithm of the default.
        others: Name -> scores of the same images, scored otherwise, such as with other crops.

    Returns:
        A row a setting: ``full_image`` and ``fused``, mean accuracy over folds; ``gain``, ``low``,
        ``high``, their difference with its 95 % interval, as of `compare`, and ``balanced_gain``
        and ``auc_gain`` with ``balanced_low`` and so on; ``changed``, ``corrected``, ``degraded``
        in images; ``same``, the mean share of the default's K regions that are selected too (NaN
        for other scores, whose regions are others).

    Raises:
        ValueError: No image has a label or a region, or `others` lack an image.
    """
    run = run.labelled()
    default: dict[str, Any] = {"k": k, "alpha": alpha, "beta": beta, "base": base}
    first = _selected(run.scores, default)
    rows = {}
    for name, (scores, settings) in _cases(run, default).items():
        rows[name] = _row(run, scores, settings)
        rows[name]["same"] = overlap(first, _selected(scores, settings))
    for name, scores in (others or {}).items():
        rows[name] = _row(run, _aligned(scores, run.scores), default)
        rows[name]["same"] = np.nan
    return pd.DataFrame(rows).T.rename_axis("setting")


def redundancy(
    run: Run,
    *,
    k: int = 8,
    iou: float = 0.5,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: float | str = "e",
) -> pd.Series:
    """Measure how many of the best K regions are views of one place, and what dropping them does.

    A region is redundant where greedy non-maximum suppression drops it: one that ranks higher, and
    stays, overlaps it by more than `iou`. Others take its place.

    Args:
        run: With labels.
        k: K.
        iou: The intersection over union above which two regions are of one place.
        alpha: Eq. 2's tradeoff.
        beta: Eq. 3's tradeoff.
        base: Eq. 1's logarithm.

    Returns:
        ``redundant``, the share of the best K regions that suppression drops, over all images;
        ``fused`` and ``suppressed``, the accuracy without it and with it, a mean over folds;
        ``gain``, ``low``, ``high`` and ``p``, their difference with its 95 % interval and McNemar's
        exact test; ``auc``, ``auc_suppressed``, ``auc_gain``, ``auc_low``, ``auc_high`` and
        ``auc_p`` likewise, by DeLong; ``changed``, ``corrected``, ``degraded``, in images.

    Raises:
        ValueError: No image has a label or a region, or `iou` is not in [0, 1].
    """
    run = run.labelled()
    settings: dict[str, Any] = {"k": k, "alpha": alpha, "base": base}
    best, rest = (_selected(run.scores, {**settings, "nms": nms}) for nms in (None, iou))
    stays = (best[:, :, None] == rest[:, None, :]).any(-1)[best >= 0]
    if not stays.size:
        raise ValueError("no image has a region")
    fused, other = (
        predict_labels(run.scores, beta=beta, nms=nms, **settings) for nms in (None, iou)
    )
    shares = [each.probability.transpose("image", "emotion").values for each in (fused, other)]
    table = compare(shares[0], shares[1], run.labels, folds=run.folds)
    rows: dict[str, float] = {"redundant": float(1 - stays.mean())}
    names = ["one", "other", "difference", "low", "high", "p"]
    heads = {
        "accuracy": ["fused", "suppressed", "gain", "low", "high", "p"],
        "auc": ["auc", "auc_suppressed", "auc_gain", "auc_low", "auc_high", "auc_p"],
    }
    for metric, head in heads.items():
        rows |= dict(zip(head, table.loc[metric, names].astype(float), strict=True))
    changes = label_changes(fused.label.values, other.label.values, run.labels)
    return pd.Series(rows | changes._asdict(), name=run.name)


def _cases(run: Run, default: dict[str, Any]) -> dict[str, Case]:
    """List the cases, name -> scores and settings, each with one thing changed from the default."""
    scores, k, most = run.scores, default["k"], run.scores.sizes["region"]

    def scaled(how: str) -> xr.Dataset:
        return scores.assign(objectness=normalize_objectness(scores.objectness, how))

    cases: dict[str, Case] = {
        f"as set: K = {k}, alpha = {default['alpha']:g}, beta = {default['beta']:g}": (
            scores,
            default,
        ),
        "Eq. 1 with the logarithm to base M": (scores, {**default, "base": "classes"}),
        "objectness min-max in each image": (scaled("minmax"), default),
        "objectness by rank in each image": (scaled("rank"), default),
    }
    for n in (10, 20, 50):
        if k <= n < most:
            cases[f"N = {n} best proposals"] = scores.isel(region=slice(n)), default
    for name, values in {"alpha": (0.0, 0.1, 10.0), "beta": (0.25, 1.0, 2.0)}.items():
        for value in values:
            cases[f"{name} = {value:g}"] = scores, {**default, name: value}
    cases[f"rule of 2018, K = {k}"] = scores, {**RULE_2018, "k": k}
    if run.baselines is not None and "control_probability" in run.baselines:
        crops = run.baselines.control_probability.sel(control="ten-crop").drop_vars("control")
        mean = crops.mean("rank").transpose(*scores.global_probability.dims)
        averaged = scores.assign(global_probability=mean)
        cases["full image as the mean of ten crops"] = averaged, default
    return cases


def _selected(scores: xr.Dataset, settings: Mapping[str, Any]) -> np.ndarray:
    """Indices of the K regions, (image, K)."""
    ranking = {name: settings[name] for name in settings if name not in ("beta", "fusion")}
    return affective_regions(scores, **ranking).region.values


def _aligned(other: xr.Dataset, scores: xr.Dataset) -> xr.Dataset:
    """Take other scores of the same images, in the same order."""
    place = {key: row for row, key in enumerate(other.image.values.tolist())}
    keys = scores.image.values.tolist()
    lost = [key for key in keys if key not in place]
    if lost:
        raise ValueError(f"{len(lost)} images have no other scores, such as {lost[0]!r}")
    return other.isel(image=[place[key] for key in keys])


def _row(run: Run, scores: xr.Dataset, settings: dict[str, Any]) -> dict[str, float]:
    """Compare the full image's labels with the fused ones."""
    fused = predict_labels(scores, **settings)
    full = scores.global_probability.transpose("image", "emotion")
    table = compare(full.values, fused.probability.values, run.labels, folds=run.folds)
    accuracy = table.loc["accuracy"]
    row = {"full_image": accuracy.one, "fused": accuracy.other}
    heads = {"accuracy": "", "balanced_accuracy": "balanced_", "auc": "auc_"}
    for metric, head in heads.items():
        names = [f"{head}gain", f"{head}low", f"{head}high"]
        row |= dict(zip(names, table.loc[metric, ["difference", "low", "high"]], strict=True))
    changes = label_changes(full.values.argmax(-1), fused.label.values, run.labels)
    return row | changes._asdict()


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Compute the mean share of (image, K) selected regions, -1 for none, that two rules share."""
    if one.shape != other.shape:
        raise ValueError(f"both must have one shape, not {one.shape} and {other.shape}")
    one, other = (each[:, (each >= 0).any(0)] for each in (one, other))  # K may be above N
    same = (one[:, :, None] == other[:, None, :]) & (one >= 0)[:, :, None]
    count = np.minimum((one >= 0).sum(1), (other >= 0).sum(1))
    if not count.any():
        raise ValueError("no image has a region")
    return float((same.any(2).sum(1)[count > 0] / count[count > 0]).mean())
