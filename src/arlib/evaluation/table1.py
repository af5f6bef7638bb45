"""Table 1: every row for every column, with intervals and tests; and the paper's own beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from arlib.evaluation.methods import REFERENCE, Method, RowPrediction, Run, Unavailable, methods
from arlib.evaluation.metrics import evaluate, majority_rate
from arlib.evaluation.significance import can_change, fold_means, holm, label_changes, mcnemar
from arlib.method import has_polarity, in_polarity, to_polarity, usable_base

COLUMNS = [
    "accuracy",
    "low",
    "high",
    "majority",
    "balanced_accuracy",
    "auc",
    "p",
    "p_holm",
    "could",
    "changed",
    "fixed",
    "broken",
    "picked_k",
    "picked",
    "images",
    "note",
]


_FROZEN = "not fine-tuned: frozen, under a linear head."


def column(
    run: Run,
    rows: Sequence[Method] | None = None,
    *,
    beta: float = 0.5,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Fill one column of Table 1.

    Args:
        run: what a run measured.
        rows: the methods; None takes `arlib.evaluation.methods()`, with a logarithm that suits M.
        beta: Eq. 3's tradeoff in those rows, for the bound on changed labels.
        n_bootstrap: resamples behind each interval.
        seed: of the resampling.

    Returns:
        A row a method. ``accuracy`` is the mean over folds, ``low`` and ``high`` its 95 % interval
        over images; ``majority``, ``balanced_accuracy`` and ``auc`` over all images; ``p`` is
        McNemar's exact p against "VGGNet + ft" and ``p_holm`` Holm's over the column's rows;
        ``changed``, ``fixed`` and ``broken`` count labels against that row, ``could`` those that
        Eq. 3 can change at all (NaN for rows that are no late fusion); ``picked_k`` and ``picked``
        are the K picked on the tested images and its accuracy; ``images`` is the number judged. A
        row that is not to be had is NaN, and ``note`` says why.
    """
    if rows is None:
        rows = methods(beta=beta, base=usable_base(run.scores.sizes["emotion"]))
    judged: dict[str, RowPrediction] = {}
    table = pd.DataFrame(index=pd.Index([row.name for row in rows], name="method"), columns=COLUMNS)
    table["note"] = ""
    for row in rows:
        try:
            judged[row.name] = row.judge(run)
        except Unavailable as reason:
            table.loc[row.name, "note"] = str(reason)
    for name, prediction in judged.items():
        if run.frozen and name.startswith(REFERENCE):
            prediction = prediction._replace(note=f"{_FROZEN} {prediction.note}".strip())
        for key, value in _measured(run, prediction, n_bootstrap, seed).items():
            table.loc[name, key] = value
    if REFERENCE in judged:
        _against(table, run, judged, beta)
    numbers = [name for name in COLUMNS if name != "note"]
    return table.astype(dict.fromkeys(numbers, float))


def _measured(run: Run, prediction: RowPrediction, n_bootstrap: int, seed: int) -> dict[str, Any]:
    """One row's own numbers."""
    usable = (run.labels >= 0) & np.isfinite(prediction.response).all(-1)
    truth, response = run.labels[usable].astype(int), prediction.response[usable]
    hit = response.argmax(-1) == truth
    estimate, low, high = fold_means(hit, run.folds[usable], n_bootstrap=n_bootstrap, seed=seed)
    whole = evaluate(response / response.sum(-1, keepdims=True), truth, n_bootstrap=1).estimate
    found = {
        "accuracy": float(estimate),
        "low": float(low),
        "high": float(high),
        "majority": majority_rate(truth),
        "balanced_accuracy": whole["balanced_accuracy"],
        "auc": whole["auc"],
        "images": int(usable.sum()),
        "note": prediction.note,
    }
    if prediction.picked is not None:
        found["picked_k"], found["picked"] = prediction.picked
    return found


def _against(table: pd.DataFrame, run: Run, judged: dict[str, RowPrediction], beta: float) -> None:
    """Add what changed against the reference row, and how likely chance alone does that."""
    before = judged[REFERENCE].response
    for name, prediction in judged.items():
        if name == REFERENCE:
            continue
        both = np.isfinite(before).all(-1) & np.isfinite(prediction.response).all(-1)
        truth = np.where(both, run.labels, -1)
        labels = np.nan_to_num(before).argmax(-1), np.nan_to_num(prediction.response).argmax(-1)
        table.loc[name, ["changed", "fixed", "broken"]] = list(label_changes(*labels, truth))
        table.loc[name, "p"] = mcnemar(*labels, truth)
        if "lf" in name:
            could = can_change(before, beta)
            table.loc[name, "could"] = int((could & (truth >= 0)).sum())
    table["p_holm"] = holm(table["p"].astype(float).to_numpy())


def columns_of(run: Run) -> list[Run]:
    """Split a run into the columns that it fills: by agreement, and by polarity.

    Args:
        run: of a run.

    Returns:
        For pictures that five people judged "…, five agree", "…, four agree", "…, three agree", as
        the paper's Twitter I; for several emotions with a stated polarity "…, polarity", by the
        sums of `arlib.method.polarity`, and the run itself; otherwise the run itself.
    """
    measured = run.baselines
    if has_polarity(run.scores.emotion.values.tolist()):
        return [_by_polarity(run), run]
    if measured is None or "agreement" not in measured:
        return [run]
    agreement = measured.agreement.values
    named = {5: "five agree", 4: "four agree", 3: "three agree"}
    return [
        run.select(agreement >= least, f"{run.name}, {words}")
        for least, words in named.items()
        if (agreement >= least).any()
    ]


def _by_polarity(run: Run) -> Run:
    measured = run.baselines
    if measured is not None:
        names = ("probability", "control_probability")
        said = measured[[name for name in names if name in measured]]
        summed = to_polarity(said, run.scores.emotion.values.tolist())
        rest = measured.drop_vars([*said, "emotion"], errors="ignore")
        measured = rest.assign({name: summed[name] for name in summed.data_vars})
    scores = in_polarity(run.scores)
    return replace(run, name=f"{run.name}, polarity", scores=scores, baselines=measured)


def pool(runs: Iterable[Run]) -> Run:
    """Put runs of other seeds on other images side by side, each fold of each a fold of its own.

    Means over the folds are then means over folds and seeds.

    Args:
        runs: runs of one experiment, whose images differ; at least one.
    """
    import xarray as xr

    every = list(runs)
    first = every[0]
    if len(every) == 1:
        return first
    span = 1 + max(int(one.folds.max()) for one in every)
    scores, measured = [], []
    for number, one in enumerate(every):
        keys = [f"{number}/{key}" for key in one.scores.image.values.tolist()]
        folds = np.where(one.folds < 0, -1, one.folds + number * span).astype(np.int16)
        scores.append(one.scores.assign_coords(image=keys).assign(fold=("image", folds)))
        if one.baselines is not None:
            measured.append(one.baselines.assign_coords(image=keys))
    how: dict[str, Any] = {"dim": "image", "join": "inner", "combine_attrs": "override"}
    together = (
        xr.concat(measured, data_vars="minimal", **how) if len(measured) == len(every) else None
    )
    return Run(first.name, xr.concat(scores, data_vars="minimal", **how), together, first.facts)


def paper_table() -> pd.DataFrame:
    """Give the paper's Table 1: a row a method, a column a dataset; accuracy in [0, 1].

    Its `attrs` hold "source", "majority" (column -> rate of the commonest label, NaN where it is
    not known) and "k" (column -> the K of the last row).

    Example:
        >>> table = paper_table()
        >>> float(table.loc["VGGNet + ft", "Twitter II"])
        0.723
        >>> below = table["Twitter II"] <= table.attrs["majority"]["Twitter II"] - 0.02
        >>> int(below.sum()), len(table)
        (7, 10)
    """
    raw = json.loads(files("arlib.evaluation").joinpath("paper_table1.json").read_text())
    table = pd.DataFrame(raw["rows"], index=list(raw["columns"])).T.div(100).round(4)
    table.index.name = "method"
    table.attrs["source"] = raw["source"]
    table.attrs["k"] = dict(zip(raw["columns"], raw["k"], strict=True))
    table.attrs["majority"] = {
        name: _majority(facts["images"], facts["positive"])
        for name, facts in raw["columns"].items()
    }
    return table


def paper_column(name: str) -> str | None:
    """Say which column of the paper's Table 1 a column stands for; None where there is none.

    Args:
        name: of the column, which starts with its dataset.

    Example:
        >>> paper_column("scenes-annotated, five agree"), paper_column("twitter2-mobilenet_v2-ft")
        ('Twitter I, five agree', 'Twitter II')
    """
    dataset, _, agreement = name.partition(", ")
    if agreement.endswith("agree"):
        return f"Twitter I, {agreement}"
    stands = {"scenes-folded": "Twitter II", "twitter2": "Twitter II", "scenes-tagged": "Flickr"}
    return next((column for start, column in stands.items() if dataset.startswith(start)), None)


def _majority(images: int, positive: int | None) -> float:
    return float("nan") if positive is None else max(positive, images - positive) / images
