"""Does it matter which regions? Accuracy over K for every way to choose them, at equal cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from arlib.evaluation.methods import KS, Run
from arlib.evaluation.significance import fold_means
from arlib.method import affective_regions, late_fusion

WAYS = {"obj + senti (Eq. 2)": "both", "obj": "objectness", "senti": "sentiment"}
"""The paper's ways to choose regions, as `arlib.method.affective_regions` calls them."""


RANDOM, ALL = "random regions", "all regions"


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
    """Tell whether each way to choose regions is right of each image, for every K.

    The paper's three ways rank the proposals. "random regions" draws K of the same proposals, and
    is averaged over draws; "all regions" takes every proposal, whatever K; "grid", "centre crops"
    and "ten-crop" take the first K of their own windows, where the run measured them.

    Args:
        run: with labels; images without one are left out.
        ks: numbers of regions.
        alpha: Eq. 2's tradeoff.
        beta: Eq. 3's tradeoff.
        base: Eq. 1's logarithm.
        n_draws: random orders that are averaged.
        seed: of the draws.

    Returns:
        (way, k, image) float32 in [0, 1].

    Raises:
        ValueError: no image has a label.
    """
    known = run.labels >= 0
    if not known.any():
        raise ValueError("no image has a label")
    run = run.select(known, run.name)
    scores, truth = run.scores, run.labels
    whole = scores.global_probability.transpose("image", "emotion").values
    found: dict[str, np.ndarray] = {}
    for way, order in _orders(run, max(ks), alpha, base):
        found[way] = _right(whole, order, truth, ks, beta)
    regions = scores.region_probability.transpose("image", "region", "emotion").values
    rng = np.random.default_rng(seed)
    draws = [_right(whole, _shuffled(regions, rng), truth, ks, beta) for _ in range(n_draws)]
    found[RANDOM] = np.mean(draws, axis=0)
    every = late_fusion(whole, regions, beta).argmax(-1) == truth
    found[ALL] = np.tile(every, (len(ks), 1))
    return xr.DataArray(
        np.stack(list(found.values())).astype(np.float32),
        dims=("way", "k", "image"),
        coords={
            "way": list(found),
            "k": list(ks),
            "image": scores.image.values,
            "fold": ("image", run.folds),
        },
        name="hit",
    )


def curves(hit: xr.DataArray, *, n_bootstrap: int = 1000, seed: int = 0) -> xr.Dataset:
    """Average hits over folds, with 95 % intervals over images.

    Args:
        hit: (way, k, image) from `hits`, with the coordinate ``fold``.
        n_bootstrap: resamples behind each interval.
        seed: of the resampling.

    Returns:
        ``accuracy``, ``low``, ``high`` (way, k), and ``gain``, ``gain_low``, ``gain_high`` (way,
        k): Eq. 2 less each way, from the same resamples.
    """
    values, folds = hit.transpose("way", "k", "image").values, hit.fold.values
    settings = {"n_bootstrap": n_bootstrap, "seed": seed}
    plain = fold_means(values, folds, **settings)
    apart = fold_means(values[0] - values, folds, **settings)
    names = ("accuracy", "low", "high", "gain", "gain_low", "gain_high")
    arrays = dict(zip(names, (*plain, *apart), strict=True))
    return xr.Dataset(
        {name: (("way", "k"), array) for name, array in arrays.items()},
        coords={"way": hit.way.values, "k": hit.k.values},
    )


def _orders(
    run: Run, most: int, alpha: float, base: float | str
) -> Iterator[tuple[str, np.ndarray]]:
    """Each way with its regions' predictions, best first: (image, rank, emotion)."""
    for way, rank_by in WAYS.items():
        chosen = affective_regions(run.scores, most, alpha=alpha, base=base, rank_by=rank_by)
        yield way, chosen.probability.transpose("image", "rank", "emotion").values
    if run.baselines is not None and "control_probability" in run.baselines:
        windows = run.baselines.control_probability
        for place, name in enumerate(windows.control.values.tolist()):
            mine = windows.isel(control=place).transpose("image", "rank", "emotion").values
            yield str(name), mine


def _shuffled(regions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Regions in a random order, those that exist first: (image, region, emotion)."""
    key = rng.random(regions.shape[:2])
    key[np.isnan(regions).any(-1)] = 2
    return np.take_along_axis(regions, key.argsort(axis=1)[..., None], axis=1)


def _right(
    whole: np.ndarray, order: np.ndarray, truth: np.ndarray, ks: Sequence[int], beta: float
) -> np.ndarray:
    """Whether fusing the first K is right, for every K: (k, image)."""
    return np.stack([late_fusion(whole, order[:, :k], beta).argmax(-1) == truth for k in ks])
