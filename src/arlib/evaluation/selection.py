"""Accuracy over K for every rule that selects regions, and what it costs: the paper's Fig. 4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import xarray as xr

from arlib.evaluation.metrics import auc_interval, auc_parts
from arlib.evaluation.rows import KS
from arlib.evaluation.runs import Run
from arlib.evaluation.significance import fold_differences, fold_means
from arlib.method import affective_regions, late_fusion

RULES = {"obj + senti (Eq. 2)": "both", "obj": "objectness", "senti": "sentiment"}
"""The paper's selection rules, as `arlib.method.affective_regions` calls them."""

RANDOM, ALL, CROPS = "random regions", "all regions", "random crops"


def curves(
    run: Run,
    *,
    ks: Sequence[int] = KS,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: float | str = "e",
    n_draws: int = 10,
    seed: int = 0,
) -> xr.Dataset:
    """Measure accuracy over K for every selection rule, with 95 % intervals over images.

    The paper's three rules rank the proposals. "random regions" draws K of the same proposals, and
    is averaged over draws; "all regions" takes every proposal, whatever K. Where the run measured
    them, "grid", "centre crops" and "ten-crop" take the first K of their own crops, and "random
    crops" all of theirs, which are as many as the proposals.

    They do not cost the same: Eq. 2 and the sentiment score rank regions by what the network
    predicts of all N. So "all regions" and "random crops", of which none are chosen, are the
    controls at the cost of Eq. 2; the others cost less.

    Args:
        run: With labels; images without one are left out.
        ks: Numbers of regions.
        alpha: Eq. 2's tradeoff.
        beta: Eq. 3's tradeoff.
        base: Eq. 1's logarithm.
        n_draws: Random orders that are averaged.
        seed: Of the draws.

    Returns:
        ``accuracy``, ``low``, ``high`` (rule, k), means over folds as of `evaluate`; ``gain``,
        ``gain_low``, ``gain_high`` (rule, k): Eq. 2 less each rule, as of `compare`; ``auc`` and
        ``auc_gain`` likewise; and ``cost`` (rule, k), the crops that the network predicts in an
        image, the full one included, on average; `attrs` hold the run's "title".

    Raises:
        ValueError: No image has a label.
    """
    hit, areas, parts = _measure(run, ks, alpha, beta, base, n_draws, seed)
    values, folds = hit.values, hit.fold.values
    arrays = (*fold_means(values, folds), *fold_differences(values, values[0], folds))
    names = ("accuracy", "low", "high", "gain", "gain_low", "gain_high")
    measured = dict(zip(names, arrays, strict=True)) | {"cost": _costs(run.labelled(), hit)}
    gain = areas[0] - areas
    _, low, high = auc_interval(gain, parts[0] - parts, 0.95)
    measured |= {"auc": areas, "auc_gain": gain, "auc_gain_low": low, "auc_gain_high": high}
    variables = {name: (("rule", "k"), array) for name, array in measured.items()}
    coords = {"rule": hit.rule.values, "k": hit.k.values}
    return xr.Dataset(variables, coords, {"title": run.title})


def _costs(run: Run, hit: xr.DataArray) -> np.ndarray:
    """Count the crops that the network predicts in an image, on average: (rule, k)."""
    proposed = run.scores.region_probability.notnull().all("emotion").sum("region").values
    costs = []
    for rule in hit.rule.values.tolist():
        crops = proposed  # every proposal there is, or the first K
        if rule not in (*RULES, RANDOM, ALL):
            own = run.baselines.control_probability.sel(control=rule)  # type: ignore[union-attr]
            crops = own.notnull().all("emotion").sum("rank").values
        all_of_them = RULES.get(rule) in ("both", "sentiment") or rule in (ALL, CROPS)
        scored = [crops if all_of_them else np.minimum(crops, k) for k in hit.k.values]
        costs.append([1 + float(np.mean(each)) for each in scored])
    return np.array(costs)


def hits(
    run: Run,
    *,
    ks: Sequence[int] = KS,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: float | str = "e",
    n_draws: int = 10,
    seed: int = 0,
) -> xr.DataArray:
    """Measure how often each rule predicts each image right, for every K: (rule, k, image)."""
    return _measure(run, ks, alpha, beta, base, n_draws, seed)[0]


def _measure(
    run: Run,
    ks: Sequence[int],
    alpha: float,
    beta: float,
    base: float | str,
    n_draws: int,
    seed: int,
) -> tuple[xr.DataArray, np.ndarray, np.ndarray]:
    """Measure hits (rule, k, image), AUC (rule, k) and the images' parts in it (rule, k, image)."""
    run = run.labelled()
    global_ = run.scores.global_probability.transpose("image", "emotion").values
    regions = run.scores.region_probability.transpose("image", "region", "emotion").values
    rng = np.random.default_rng(seed)

    def fused(orders: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Fuse the first K of each order, for every K: (k, image, emotion)."""
        for order in orders:
            yield np.stack([late_fusion(global_, order[:, :k], beta) for k in ks])

    # rules with an order of their own, random orders, and all of some crops at once
    orders = dict(_orders(run, max(ks), alpha, base))
    at_once = {ALL: regions} | ({CROPS: orders.pop(CROPS)} if CROPS in orders else {})
    rules: dict[str, Iterable[np.ndarray]] = {
        rule: fused([order]) for rule, order in orders.items()
    }
    rules[RANDOM] = fused(_shuffled(regions, rng) for _ in range(n_draws))
    for rule, crops in at_once.items():
        rules[rule] = [np.stack([late_fusion(global_, crops, beta)] * len(ks))]

    # averaged over draws, where a rule has several
    hits, areas, parts = [], [], []
    for responses in rules.values():
        measured = [
            (response.argmax(-1) == run.labels, *auc_parts(response, run.labels, run.folds))
            for response in responses
        ]
        hit, area, part = (np.mean(values, axis=0) for values in zip(*measured, strict=True))
        hits.append(hit.astype(np.float32))
        areas.append(area)
        parts.append(part)
    coords = {
        "rule": list(rules),
        "k": list(ks),
        "image": run.scores.image.values,
        "fold": ("image", run.folds),
    }
    values = xr.DataArray(np.stack(hits), coords, ("rule", "k", "image"), "hit")
    return values, np.stack(areas), np.stack(parts)


def _orders(
    run: Run, most: int, alpha: float, base: float | str
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each rule with its regions' predictions, best first: (image, rank, emotion)."""
    for rule, rank_by in RULES.items():
        chosen = affective_regions(run.scores, most, alpha=alpha, base=base, rank_by=rank_by)
        yield rule, chosen.probability.transpose("image", "rank", "emotion").values
    if run.baselines is not None and "control_probability" in run.baselines:
        crops = run.baselines.control_probability
        for number, name in enumerate(crops.control.values.tolist()):
            yield str(name), crops.isel(control=number).transpose("image", "rank", "emotion").values


def _shuffled(regions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put regions in a random order, those that exist first: (image, region, emotion)."""
    key = rng.random(regions.shape[:2])
    key[np.isnan(regions).any(-1)] = 2
    return np.take_along_axis(regions, key.argsort(axis=1)[..., None], axis=1)
