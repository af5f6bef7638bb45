"""Rows beyond the paper's: regions of attention maps, WSCNet, learned fusions, and an oracle.

Two fusions are learned on the other folds, in place of Eq. 2 and 3: one of predictions pooled over
the regions, one that learns which regions to attend to. The oracle takes each image's region by its
label: no choice of one region could do better under Eq. 3 with this beta.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from arlib.evaluation.metrics import evaluate
from arlib.evaluation.rows import (
    FURTHER,
    REFERENCE,
    UNTESTED,
    Method,
    RowPrediction,
    Unavailable,
    full_probability,
    how_learned,
    measured_probability,
    usable_shares,
)
from arlib.evaluation.runs import Run
from arlib.method import affective_regions, late_fusion, sentiment_score

STACKED = f"{REFERENCE} + stacked regions"
ATTENTION = f"{REFERENCE} + attention pooling"
CAM = f"{REFERENCE} + CAM + lf"
WSCNET = "WSCNet + VGGNet"
ORACLE = f"{REFERENCE} + best region (oracle)"

_CS = np.logspace(-3, 2, 6)
"""Inverse strengths of the stacking's penalty, among which it is chosen."""

_POOLED = 4
"""Predictions of an image that are stacked."""

_RIDGE = 1e-3
"""Penalty of the attention's weights: so much times their square, beside the mean log loss."""

_FOLDS = 4
"""The fewest, so that two are left where two are left out."""

_TINY = 1e-6


def further_methods(
    *, k: int = 8, alpha: float = 1.0, beta: float = 0.5, base: float | str = "e"
) -> list[Method]:
    """List the rows beyond the paper's.

    Args:
        k: K of Eq. 2's regions, as one of those that are stacked.
        alpha: Eq. 2's tradeoff.
        beta: Eq. 3's tradeoff.
        base: Eq. 1's logarithm.

    Returns:
        Methods as of `methods`, of which the first two are measured beside the scores; `table1`
        corrects their p among themselves.

    Example:
        >>> [method.name.removeprefix("VGGNet + ft + ") for method in further_methods()][:3]
        ['CAM + lf', 'WSCNet + VGGNet', 'stacked regions']
    """
    equations: dict[str, Any] = {"k": k, "alpha": alpha, "base": base}
    return [
        Method(
            CAM,
            lambda run: _with_cam(run, beta),
            "regions of the predicted emotion's class activation map, predicted on the same map",
            FURTHER,
        ),
        Method(
            WSCNET,
            _with_coupled_head,
            "the network with a head that detects a map of sentiment and classifies with it",
            FURTHER,
        ),
        Method(
            STACKED,
            lambda run: _learned(run, lambda part: _pooled(part, equations), _fit_stacking),
            "logistic regression on the full image's, the regions' mean and largest, and Eq. 2's "
            "predictions, on the other folds",
            FURTHER,
        ),
        Method(
            ATTENTION,
            lambda run: _learned(run, lambda part: _regions(part, base), _fit_attention),
            "Eq. 3 over all regions, weighted by objectness, Eq. 1 and area as learned on the "
            "other folds",
            FURTHER,
        ),
        Method(
            ORACLE,
            lambda run: _oracle(run, beta),
            "Eq. 3 with the region that favours the image's own label most, which reads the label",
            UNTESTED,
        ),
    ]


def saturation(
    run: Run, rows: Sequence[Method], ns: Sequence[int] = (5, 10, 25, 50, 100)
) -> pd.DataFrame:
    """Measure rows by the N proposals of highest objectness, and the oracle also by N random crops.

    With more regions to choose from an oracle finds one for every label, whatever is in them: what
    it reaches on random crops is not due to affective regions.

    Args:
        run: With labels; random crops where its controls hold them.
        rows: The methods.
        ns: Numbers of regions; in place of those above what the run has, as many as it has.

    Returns:
        A row a kind of ``regions`` ("proposals" or "random crops"), ``method`` and ``n``, with the
        ``accuracy`` and ``auc`` of `evaluate`; rows that are not available are left out.
    """
    scores = {"proposals": run.scores}
    crops = _random_crops(run)
    if crops is not None:
        scores["random crops"] = crops
    records = []
    for kind, each in scores.items():
        size = each.sizes["region"]
        for n in sorted({*(n for n in ns if n < size), size}):
            part = replace(run, scores=each.isel(region=slice(n)))
            for row in rows if kind == "proposals" else [r for r in rows if r.name == ORACLE]:
                try:
                    prediction = row.predict(part)
                except Unavailable:
                    continue
                (shares,), labels = usable_shares(part, [prediction])
                measured = evaluate(shares, labels, folds=part.folds).estimate
                records.append((kind, row.name, n, measured["accuracy"], measured["auc"]))
    return pd.DataFrame(records, columns=["regions", "method", "n", "accuracy", "auc"])


def _random_crops(run: Run) -> xr.Dataset | None:
    """Put random crops, where the run has them, in the place of its regions: predictions alone."""
    if run.baselines is None or "control_probability" not in run.baselines:
        return None
    crops = run.baselines.control_probability
    if "random crops" not in crops.control.values:
        return None
    crops = crops.sel(control="random crops", drop=True).rename(rank="region")
    taken = [name for name in ("label", "fold", "global_probability") if name in run.scores]
    return run.scores[taken].assign(region_probability=crops)


def _with_cam(run: Run, beta: float) -> RowPrediction:
    """Fuse by Eq. 3 the full image and the mean over its CAM regions, which was measured."""
    regions = measured_probability(run, CAM)
    return RowPrediction((full_probability(run) + beta * regions) / (1 + beta))


def _with_coupled_head(run: Run) -> RowPrediction:
    """Take what the network with a coupled head predicts of the full image, which was measured."""
    note = "The network stays frozen: only the head is trained." if run.frozen else ""
    return RowPrediction(measured_probability(run, WSCNET), note)


Fitted = Callable[[Any], np.ndarray]
"""Inputs of images -> (image, emotion) probabilities."""


def _learned(
    run: Run,
    inputs_of: Callable[[Run], Any],
    fit: Callable[[Any, np.ndarray, np.ndarray], Fitted],
) -> RowPrediction:
    """Learn a fusion for each fold on the others; where there are inner heads, on their scores.

    The prediction's `without` gives predictions of the other folds in which no label of one fold
    counts: thresholds for that fold are found on them.
    """
    folds, labels = run.folds, run.labels
    known = (labels >= 0) & (folds >= 0)
    tested = np.unique(folds[known]).tolist()
    if len(tested) < _FOLDS:
        raise Unavailable(f"a fusion is learned where there are {_FOLDS} folds: here {len(tested)}")
    own = inputs_of(run)
    apart = {fold: inputs_of(run.leaving_out(fold)) if run.nested else own for fold in tested}

    def predicted(seen: Any, tested_on: Any, without: Sequence[int], fold: int) -> np.ndarray:
        images = known & ~np.isin(folds, without)
        fitted = fit(_take(seen, images), labels[images], folds[images])
        return fitted(_take(tested_on, folds == fold))

    response = np.full((labels.size, run.scores.sizes["emotion"]), np.nan)
    for fold in tested:
        response[folds == fold] = predicted(apart[fold], own, [fold], fold)

    def without(left_out: int) -> np.ndarray:
        others = response.copy()
        for fold in tested:
            if fold != left_out:
                inputs = apart[left_out]
                others[folds == fold] = predicted(inputs, inputs, [left_out, fold], fold)
        return others

    return RowPrediction(response, how_learned(run), without=without if run.nested else None)


def _take(inputs: Any, images: np.ndarray) -> Any:
    """Take the inputs of some images: of an array, or of each of a tuple."""
    if isinstance(inputs, np.ndarray):
        return inputs[images]
    return type(inputs)(*(each[images] for each in inputs))


def _pooled(run: Run, equations: dict[str, Any]) -> np.ndarray:
    """Pool predictions in four ways, as log odds against the last emotion: (image, 4 * (M - 1))."""
    full, regions = _probabilities(run)
    chosen = affective_regions(run.scores, **equations).probability
    best = chosen.transpose("image", "rank", "emotion").values.astype(float)
    some = ~np.isnan(regions).all(axis=(1, 2))
    pooled = [full.copy() for _ in range(_POOLED)]  # an image without regions has the full one
    pooled[1][some] = np.nanmean(regions[some], axis=1)
    pooled[2][some] = np.nanmax(regions[some], axis=1)
    pooled[3][some] = np.nanmean(best[some], axis=1)
    logs = np.log(np.maximum(np.stack(pooled, axis=1), _TINY))  # (image, 4, emotion)
    return (logs[..., :-1] - logs[..., -1:]).reshape(len(full), -1)


def _fit_stacking(inputs: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> Fitted:
    """Fit a logistic regression (Wolpert 1992), its penalty chosen by leaving out a fold."""
    rows, losses = np.arange(len(labels)), np.zeros(len(_CS))
    for fold in np.unique(folds):
        learned = folds != fold
        for place, strength in enumerate(_CS):
            shares = _logistic(inputs[learned], labels[learned], strength)(inputs)
            losses[place] -= np.log(shares[rows, labels])[~learned].sum()
    return _logistic(inputs, labels, float(_CS[losses.argmin()]))


def _logistic(inputs: np.ndarray, labels: np.ndarray, strength: float) -> Fitted:
    """Fit it to inputs of mean 0 and deviation 1; an emotion without an image gets 1e-6."""
    emotions, present = inputs.shape[1] // _POOLED + 1, np.unique(labels)
    if present.size < 2:
        raise Unavailable("a fusion is learned from images of two emotions or more")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    model.fit(inputs, labels)

    def predict(inputs: np.ndarray) -> np.ndarray:
        shares = np.full((len(inputs), emotions), _TINY)
        shares[:, present] = np.maximum(model.predict_proba(inputs), _TINY)
        return shares / shares.sum(-1, keepdims=True)

    return predict


class _Regions(NamedTuple):
    """What the attention takes; 0 where there is no region."""

    full: np.ndarray  # (image, emotion)
    regions: np.ndarray  # (image, region, emotion)
    about: np.ndarray  # (image, region, 3)
    exists: np.ndarray  # (image, region) bool


def _regions(run: Run, base: float | str) -> _Regions:
    """Describe each region by its objectness, Eq. 1 and the logarithm of its area."""
    full, regions = _probabilities(run)
    box = run.scores.box.transpose("image", "region", "corner").values.astype(float)
    area = (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
    objectness = run.scores.objectness.transpose("image", "region").values.astype(float)
    about = np.stack([objectness, sentiment_score(regions, base=base), np.log(area)], axis=-1)
    exists = ~np.isnan(regions).any(-1)
    regions, about = (np.where(exists[..., None], each, 0.0) for each in (regions, about))
    return _Regions(full, regions, about, exists)


def _fit_attention(inputs: _Regions, labels: np.ndarray, _folds: np.ndarray) -> Fitted:
    """Fit the weights of the regions, beta and a bias by the least mean log loss."""
    if not inputs.exists.any():
        raise Unavailable("no image has a region")
    about = inputs.about[inputs.exists]
    mean, deviation = about.mean(0), np.maximum(about.std(0), _TINY)

    def scaled(inputs: _Regions) -> _Regions:
        about = (inputs.about - mean) / deviation
        return inputs._replace(about=np.where(inputs.exists[..., None], about, 0.0))

    taken = scaled(inputs)
    start = np.zeros(taken.about.shape[-1] + 1 + taken.full.shape[-1])
    start[taken.about.shape[-1]] = np.log(0.5)  # beta
    least = minimize(attention_loss, start, (taken, labels), jac=True, method="BFGS")

    def predict(inputs: _Regions) -> np.ndarray:
        return attention(least.x, scaled(inputs))[0]

    return predict


def attention(parameters: np.ndarray, inputs: _Regions) -> tuple[np.ndarray, ...]:
    """Pool regions by attention (Ilse et al. 2018, in place of Eq. 2) and fuse them as Eq. 3.

    `parameters` (D + 1 + M,): a weight for each of the D descriptors of a region, log beta, and a
    bias for each emotion. Returns the probabilities and pooled regions (image, emotion), and the
    attention (image, region).
    """
    n = inputs.about.shape[-1]
    weights, beta, bias = parameters[:n], np.exp(parameters[n]), parameters[n + 1 :]
    logits = inputs.about @ weights  # (image, region)
    most = logits.max(-1, keepdims=True, where=inputs.exists, initial=logits.min())
    share = np.where(inputs.exists, np.exp(logits - most), 0.0)
    share /= np.maximum(share.sum(-1, keepdims=True), 1e-300)  # 0 where an image has no region
    pooled = (share[:, None] @ inputs.regions)[:, 0]  # (image, emotion)
    response = (inputs.full + beta * pooled) * np.exp(bias)
    return response / response.sum(-1, keepdims=True), pooled, share


def attention_loss(
    parameters: np.ndarray, inputs: _Regions, labels: np.ndarray
) -> tuple[float, np.ndarray]:
    """Measure the mean log loss with its penalty, and its gradient by the parameters."""
    probability, pooled, share = attention(parameters, inputs)
    n, (images, emotions) = inputs.about.shape[-1], probability.shape
    true = np.eye(emotions)[labels]
    loss = -np.log(np.maximum((probability * true).sum(-1), 1e-300)).mean()
    by_bias = (probability - true) / images  # (image, emotion)
    beta = np.exp(parameters[n])
    by_response = by_bias / (inputs.full + beta * pooled)
    by_share = beta * (inputs.regions @ by_response[..., None])[..., 0]  # (image, region)
    by_logit = share * (by_share - (share * by_share).sum(-1, keepdims=True))
    by_weights = by_logit.ravel() @ inputs.about.reshape(-1, n)
    gradient = np.concatenate([by_weights, [(beta * pooled * by_response).sum()], by_bias.sum(0)])
    penalised = parameters.copy()
    penalised[n] -= np.log(0.5)  # beta is drawn to the usual one
    return loss + _RIDGE * (penalised**2).sum(), gradient + 2 * _RIDGE * penalised


def _oracle(run: Run, beta: float) -> RowPrediction:
    """Fuse the full image with the region that favours its label most, as no method can choose."""
    full, regions = _probabilities(run)
    if full.shape[-1] < 2 or not (run.labels >= 0).any():
        raise Unavailable("the oracle chooses by labels")
    label, fused = np.maximum(run.labels, 0)[:, None, None], full[:, None] + beta * regions
    true = np.take_along_axis(fused, label, axis=-1)[..., 0]
    others = fused.copy()
    np.put_along_axis(others, label, -np.inf, axis=-1)
    lead = np.where(np.isnan(true), -np.inf, true - others.max(-1))  # over the next emotion
    best = np.take_along_axis(regions, lead.argmax(-1)[:, None, None], axis=1)
    response = np.asarray(late_fusion(full, best, beta))
    response[run.labels < 0] = np.nan
    return RowPrediction(response, "The region is chosen by the image's own label: no method.")


def _probabilities(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Give what the network predicts: (image, emotion) and (image, region, emotion)."""
    regions = run.scores.region_probability.transpose("image", "region", "emotion").values
    return full_probability(run), regions.astype(float)
