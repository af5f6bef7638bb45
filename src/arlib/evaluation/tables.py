"""Table 1: every row for every column, with intervals and tests; and the paper's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from arlib.evaluation.metrics import evaluate, majority_rate
from arlib.evaluation.rows import REFERENCE, Method, RowPrediction, Unavailable, methods
from arlib.evaluation.runs import Run
from arlib.evaluation.significance import can_change, fold_means, holm, label_changes, mcnemar
from arlib.method import usable_base

NUMBERS = [
    *("accuracy", "low", "high", "majority", "balanced_accuracy", "auc", "p", "p_holm"),
    *("could", "changed", "corrected", "degraded", "picked_k", "picked", "images"),
]
COLUMNS = [*NUMBERS, "note"]

_FROZEN = "not fine-tuned: frozen, under a linear head."


def table1(
    runs: Iterable[Run],
    rows: Sequence[Method] | None = None,
    *,
    beta: float = 0.5,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Compute Table 1: every column that the runs fill, see `Run.columns`.

    Args:
        runs: Of any datasets.
        rows: The methods; None takes `methods()`, with a logarithm that suits the emotions.
        beta: Eq. 3's tradeoff in those rows, for the bound on changed labels.
        n_bootstrap: Resamples behind each interval.
        seed: Of the resampling.

    Returns:
        Column -> a row a method. ``accuracy`` is the mean over folds, ``low`` and ``high`` its 95 %
        interval over images, NaN where a fold has one image; ``majority``, ``balanced_accuracy``
        and ``auc`` are over all images;
        ``p`` is McNemar's exact p against "VGGNet + ft" and ``p_holm`` Holm's over the column's
        rows; ``changed``, ``corrected`` and ``degraded`` count labels against that row, ``could``
        those that Eq. 3 can change at all (NaN for rows that are no late fusion); ``picked_k`` and
        ``picked`` are the K picked on the tested images and its accuracy; ``images`` is the number
        predicted. A row that is not available is NaN, and ``note`` gives the reason.

    Raises:
        ValueError: Two columns have one name.
    """
    tables: dict[str, pd.DataFrame] = {}
    for column in (column for run in runs for column in run.columns()):
        if column.name in tables:
            raise ValueError(
                f"two columns are called {column.name}: use --compare for two runs of one name"
            )
        tables[column.name] = _column(column, rows, beta, n_bootstrap, seed)
    return tables


def _column(
    run: Run, rows: Sequence[Method] | None, beta: float, n_bootstrap: int, seed: int
) -> pd.DataFrame:
    """Fill one column of Table 1."""
    if rows is None:
        rows = methods(beta=beta, base=usable_base(run.scores.sizes["emotion"]))
    table = pd.DataFrame(index=pd.Index([row.name for row in rows], name="method"), columns=COLUMNS)
    table["note"] = ""

    # what each row predicts, or why it cannot
    predicted: dict[str, RowPrediction] = {}
    for row in rows:
        try:
            predicted[row.name] = row.predict(run)
        except Unavailable as reason:
            table.loc[row.name, "note"] = str(reason)

    # each row's own numbers, then those against the reference row
    for name, prediction in predicted.items():
        if run.frozen and name.startswith(REFERENCE):
            prediction = prediction._replace(note=f"{_FROZEN} {prediction.note}".strip())
        for key, value in _measures(run, prediction, n_bootstrap, seed).items():
            table.loc[name, key] = value
    if REFERENCE in predicted:
        _compare(table, run, predicted, beta)
    return table.astype(dict.fromkeys(NUMBERS, float))


def _measures(run: Run, prediction: RowPrediction, n_bootstrap: int, seed: int) -> dict[str, Any]:
    """Measure one row by itself."""
    usable = (run.labels >= 0) & np.isfinite(prediction.response).all(-1)
    truth, response = run.labels[usable].astype(int), prediction.response[usable]
    hit = response.argmax(-1) == truth
    accuracy, low, high = fold_means(hit, run.folds[usable], n_bootstrap=n_bootstrap, seed=seed)
    shares = response / response.sum(-1, keepdims=True)
    over_images = evaluate(shares, truth, n_bootstrap=1).estimate
    measures = {
        "accuracy": float(accuracy),
        "low": float(low),
        "high": float(high),
        "majority": majority_rate(truth),
        "balanced_accuracy": over_images["balanced_accuracy"],
        "auc": over_images["auc"],
        "images": int(usable.sum()),
        "note": prediction.note,
    }
    if np.isnan(low):
        measures["note"] = f"{prediction.note} No interval: a fold has one image.".strip()
    if prediction.picked is not None:
        measures["picked_k"], measures["picked"] = prediction.picked
    return measures


def _compare(
    table: pd.DataFrame, run: Run, predicted: Mapping[str, RowPrediction], beta: float
) -> None:
    """Add what changed against the reference row, and how likely chance alone does that."""
    before = predicted[REFERENCE].response
    for name, prediction in predicted.items():
        if name == REFERENCE:
            continue
        both = np.isfinite(before).all(-1) & np.isfinite(prediction.response).all(-1)
        truth = np.where(both, run.labels, -1)
        labels = np.nan_to_num(before).argmax(-1), np.nan_to_num(prediction.response).argmax(-1)
        for key, count in label_changes(*labels, truth)._asdict().items():
            table.loc[name, key] = count
        table.loc[name, "p"] = mcnemar(*labels, truth)
        if "lf" in name:
            could = can_change(before, beta)
            table.loc[name, "could"] = int((could & (truth >= 0)).sum())
    table["p_holm"] = holm(table["p"].astype(float).to_numpy())


def paper_table() -> pd.DataFrame:
    """Read the paper's Table 1: a row a method, a column a dataset; accuracy in [0, 1].

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


def _majority(images: int, positive: int | None) -> float:
    return float("nan") if positive is None else max(positive, images - positive) / images
