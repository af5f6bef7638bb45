"""Does the conclusion hang on what the paper leaves open? One setting changed at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from arlib.evaluation.methods import Run
from arlib.evaluation.significance import fold_means, label_changes
from arlib.method import affective_regions, normalize_objectness, predict_labels, respond_2018


def sensitivity(
    run: Run,
    *,
    k: int = 8,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: float | str = "e",
    others: Mapping[str, xr.Dataset] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure what fusion adds to the full image when one setting differs from the default.

    Args:
        run: with labels.
        k: K of the default.
        alpha: Eq. 2's tradeoff of the default.
        beta: Eq. 3's tradeoff of the default.
        base: Eq. 1's logarithm of the default.
        others: name -> scores of the same images, scored otherwise, such as with other crops.
        n_bootstrap: resamples behind each interval.
        seed: of the resampling.

    Returns:
        A row a setting: ``whole`` and ``fused``, mean accuracy over folds; ``gain``, ``low``,
        ``high``, their difference with its 95 % interval over images; ``changed``, ``fixed``,
        ``broken`` in images; ``same``, the mean share of the default's K regions that are chosen
        too (NaN where regions are others).

    Raises:
        ValueError: no image has a label or a region, or `others` lack an image.
    """
    known = run.labels >= 0
    if not known.any():
        raise ValueError("no image has a label")
    run = run.select(known, run.name)
    default: dict[str, Any] = {"k": k, "alpha": alpha, "beta": beta, "base": base}
    first = _regions(run.scores, **default)
    rows = {}
    for name, (scores, answer) in _settings(run, default, others or {}).items():
        region, labels = answer(scores)
        whole = scores.global_probability.transpose("image", "emotion").values.argmax(-1)
        rows[name] = _row(run, whole, labels, n_bootstrap, seed)
        rows[name]["same"] = np.nan if region is None else overlap(first, region)
    return pd.DataFrame(rows).T.rename_axis("setting")


Answer = Callable[[xr.Dataset], tuple[np.ndarray | None, np.ndarray]]


def _settings(
    run: Run, default: dict[str, Any], others: Mapping[str, xr.Dataset]
) -> dict[str, tuple[xr.Dataset, Answer]]:
    """Name -> the scores and what is done to them."""
    scores = run.scores

    def changed(**settings: Any) -> tuple[xr.Dataset, Answer]:
        return scores, lambda found: _answer(found, **{**default, **settings})

    def scaled(how: str) -> tuple[xr.Dataset, Answer]:
        objectness = normalize_objectness(scores.objectness, how)
        return scores.assign(objectness=objectness), lambda found: _answer(found, **default)

    def fewer(n: int) -> tuple[xr.Dataset, Answer]:
        return scores.isel(region=slice(n)), lambda found: _answer(found, **default)

    k, most = default["k"], scores.sizes["region"]
    rows: dict[str, tuple[xr.Dataset, Answer]] = {
        f"as set: K = {k}, alpha = {default['alpha']:g}, beta = {default['beta']:g}": changed(),
        "Eq. 1 with the logarithm to base M": changed(base="classes"),
        "objectness min-max in each image": scaled("minmax"),
        "objectness by rank in each image": scaled("rank"),
    }
    rows |= {f"N = {n} best proposals": fewer(n) for n in (10, 20, 50) if k <= n < most}
    rows |= {f"alpha = {value:g}": changed(alpha=value) for value in (0.0, 0.1, 10.0)}
    rows |= {f"beta = {value:g}": changed(beta=value) for value in (0.25, 1.0, 2.0)}
    rows[f"rule of 2018, K = {k}"] = scores, lambda found: _answer_2018(found, k)
    if run.baselines is not None and "control_probability" in run.baselines:
        crops = run.baselines.control_probability.sel(control="ten-crop")
        whole = crops.mean("rank").transpose(*scores.global_probability.dims)
        averaged = scores.assign(global_probability=whole.drop_vars("control"))
        rows["full image as the mean of ten crops"] = averaged, lambda f: _answer(f, **default)
    rows |= {
        name: (_aligned(other, scores), lambda found: (None, _answer(found, **default)[1]))
        for name, other in others.items()
    }
    return rows


def _regions(scores: xr.Dataset, k: int, beta: float, **settings: Any) -> np.ndarray:
    return affective_regions(scores, k, **settings).region.values


def _answer(scores: xr.Dataset, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    return _regions(scores, **settings), predict_labels(scores, **settings).label.values


def _answer_2018(scores: xr.Dataset, k: int) -> tuple[np.ndarray, np.ndarray]:
    found = respond_2018(scores, k)
    return found.region.values, found.label.values


def _aligned(other: xr.Dataset, scores: xr.Dataset) -> xr.Dataset:
    place = {key: row for row, key in enumerate(other.image.values.tolist())}
    lost = [key for key in scores.image.values.tolist() if key not in place]
    if lost:
        raise ValueError(f"{len(lost)} images were not scored otherwise, such as {lost[0]!r}")
    return other.isel(image=[place[key] for key in scores.image.values.tolist()])


def _row(
    run: Run, whole: np.ndarray, fused: np.ndarray, n_bootstrap: int, seed: int
) -> dict[str, float]:
    truth, folds = run.labels, run.folds
    hits = np.stack([whole == truth, fused == truth]).astype(float)
    (before, after), _, _ = fold_means(hits, folds, n_bootstrap=1)
    gain, low, high = fold_means(hits[1] - hits[0], folds, n_bootstrap=n_bootstrap, seed=seed)
    change = label_changes(whole, fused, truth)
    return {
        "whole": float(before),
        "fused": float(after),
        "gain": float(gain),
        "low": float(low),
        "high": float(high),
        **change._asdict(),
    }


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
