"""Table 1: every row for every column, with intervals and tests; and the paper's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from arlib.evaluation.further import further_methods
from arlib.evaluation.metrics import compare, evaluate
from arlib.evaluation.rows import (
    REFERENCE,
    UNTESTED,
    Method,
    RowPrediction,
    Unavailable,
    methods,
    usable_shares,
)
from arlib.evaluation.runs import Run
from arlib.evaluation.significance import (
    at_base_rate,
    can_change,
    holm,
    label_changes,
    mcnemar,
    smallest_difference,
)
from arlib.method import usable_base

NUMBERS = [
    *("accuracy", "low", "high", "majority"),
    *("balanced_accuracy", "balanced_low", "balanced_high", "auc", "auc_low", "auc_high"),
    *("gain", "gain_low", "gain_high", "balanced_gain", "balanced_gain_low", "balanced_gain_high"),
    *("auc_gain", "auc_gain_low", "auc_gain_high"),
    *("p", "p_holm", "p_columns", "tests", "auc_p", "auc_p_holm", "auc_p_columns", "auc_tests"),
    *("matched_corrected", "matched_degraded", "matched_p", "detectable"),
    *("could", "changed", "corrected", "degraded", "picked_k", "picked", "images"),
]
PAIRED = [
    *("one", "other", "paper", "gain", "gain_low", "gain_high"),
    *("balanced_gain", "balanced_gain_low", "balanced_gain_high"),
    *("auc_gain", "auc_gain_low", "auc_gain_high", "p", "auc_p"),
    *("matched_corrected", "matched_degraded", "matched_p", "detectable"),
    *("changed", "corrected", "degraded"),
]
COLUMNS = [*NUMBERS, "mark", "note"]

CONSTANT, BELOW = "constant", "below chance"
"""Marks of rows that are not compared: one label for every image; an AUC below 0.5."""

_FROZEN = "not fine-tuned: frozen, under a linear head."


def table1(
    runs: Iterable[Run],
    rows: Sequence[Method] | None = None,
    *,
    beta: float = 0.5,
    further: bool = False,
) -> dict[str, pd.DataFrame]:
    """Compute Table 1: every column that the runs fill, see `Run.columns`.

    Args:
        runs: Of any datasets.
        rows: The methods; None takes `methods()`, with a logarithm that suits the emotions.
        beta: Eq. 3's tradeoff in those rows, for the bound on changed labels.
        further: Whether None also takes the rows beyond the paper's, `further_methods()`.

    Returns:
        Column -> a row a method, with numbers as of `evaluate` and `compare`, means over folds and
        95 % intervals over images:

        - ``accuracy``, ``low``, ``high``, ``majority``; ``balanced_accuracy`` and ``auc``, with
          ``balanced_low`` and so on; ``images``, the number predicted.
        - Against "VGGNet + ft": ``gain``, ``balanced_gain`` and ``auc_gain``, with their limits;
          ``p`` (McNemar's exact) and ``auc_p`` (DeLong's); ``changed``, ``corrected``,
          ``degraded``, in labels, and ``could``, those that Eq. 3 can change at all.
        - ``p_holm`` is Holm's over the rows that the column tests, ``tests`` their number, the
          paper's and those beyond it apart; ``p_columns`` is over the columns that test the row;
          and likewise of the AUC. A row that predicts what "VGGNet + ft" does is no test, nor are
          the control and the oracle. ``mark`` is "constant"
          where every image gets one label, which tests no accuracy, and "below chance" where the
          AUC is below 0.5, which tests nothing; the same holds of all rows where it marks
          "VGGNet + ft".
        - ``matched_corrected``, ``matched_degraded``, ``matched_p``: the same test of the labels
          where both rows predict an emotion as often as it is true on the other folds. In a
          `nested` run the threshold of a row that scores fill is found by heads that saw no label
          of the tested fold.
        - ``detectable``: the gain of accuracy that a test of these images, of which as many differ,
          would find with 80 % power.
        - ``picked_k`` and ``picked``, the K picked on the tested images and its accuracy.

        A number that is not available is NaN, and ``note`` gives the reason. `attrs` hold the
        column's "title" in words, its two parts as "heads", and as "paper" the column of
        `paper_table` that it stands for, or None.

    Raises:
        ValueError: Two columns have one name.
    """
    tables: dict[str, pd.DataFrame] = {}
    for column in (column for run in runs for column in run.columns()):
        if column.name in tables:
            raise ValueError(
                f"two columns are called {column.name}: use --compare for two runs of one name"
            )
        tables[column.name] = _column(column, rows or _rows(column, beta, further), beta)
        tables[column.name].attrs |= {
            "title": column.title,
            "heads": [column.dataset or column.name, column.network],
            "paper": _paper_column(column),
        }
    for name in dict.fromkeys(name for table in tables.values() for name in table.index):
        columns = [table for table in tables.values() if name in table.index]
        for p in ("p", "auc_p"):
            adjusted = holm([table.loc[name, p] for table in columns])
            for table, value in zip(columns, adjusted.tolist(), strict=True):
                table.loc[name, f"{p}_columns"] = value
    return tables


def _rows(run: Run, beta: float, further: bool) -> list[Method]:
    """List the rows, with a logarithm that suits the emotions."""
    base = usable_base(run.scores.sizes["emotion"])
    return [
        *methods(beta=beta, base=base),
        *(further_methods(beta=beta, base=base) if further else []),
    ]


def _column(run: Run, rows: Sequence[Method], beta: float) -> pd.DataFrame:
    """Fill one column of Table 1."""
    table = pd.DataFrame(index=pd.Index([row.name for row in rows], name="method"), columns=COLUMNS)
    table[["mark", "note"]] = ""

    predicted, reasons = _predictions(run, rows)
    for name, reason in reasons.items():
        table.loc[name, "note"] = reason

    # each row's own numbers, then those against the reference row
    for name, prediction in predicted.items():
        if run.frozen and name.startswith(REFERENCE):
            prediction = prediction._replace(note=f"{_FROZEN} {prediction.note}".strip())
        for key, value in _measures(run, prediction).items():
            table.loc[name, key] = value
    families = {row.name: row.family for row in rows}
    if REFERENCE in predicted:
        for name in predicted.keys() - {REFERENCE}:
            marks = set(table.loc[[name, REFERENCE], "mark"])
            tested = families[name] != UNTESTED
            compared = _compared(run, predicted, (REFERENCE, name), beta, marks, tested)
            for key, value in compared.items():
                table.loc[name, key] = value
    for names in table.groupby(families).groups.values():
        for p, tests in (("p", "tests"), ("auc_p", "auc_tests")):
            values = table.loc[names, p].astype(float).to_numpy()
            table.loc[names, f"{p}_holm"] = holm(values)
            table.loc[names, tests] = np.where(np.isnan(values), np.nan, (~np.isnan(values)).sum())
    return table.astype(dict.fromkeys(NUMBERS, float))


def _predictions(
    run: Run, rows: Iterable[Method]
) -> tuple[dict[str, RowPrediction], dict[str, str]]:
    """Ask each row what it predicts; of one that cannot, the reason."""
    predicted, reasons = {}, {}
    for row in rows:
        try:
            predicted[row.name] = row.predict(run)
        except Unavailable as reason:
            reasons[row.name] = str(reason)
    return predicted, reasons


def compare_rows(
    runs: Iterable[Run],
    pairs: Mapping[str, tuple[str, str]],
    rows: Sequence[Method] | None = None,
    *,
    beta: float = 0.5,
) -> pd.DataFrame:
    """Compare pairs of rows of Table 1, in every column that the runs fill.

    Args:
        runs: Of any datasets.
        pairs: What is compared -> the names of two rows, of which the second may be better.
        rows: The methods; None takes `methods()`, with a logarithm that suits the emotions.
        beta: Eq. 3's tradeoff in those rows.

    Returns:
        A row for each pair and column, its index. ``title`` is the column's, in words; ``one`` and
        ``other`` are the two accuracies; what the second gains over the first has the names that
        `table1` has for gains over "VGGNet + ft", and is tested likewise; ``p_holm`` and
        ``auc_p_holm`` are Holm's over the columns that test the pair. ``paper`` is the gain in the
        column of the paper's table that this one stands for, and ``note`` the reason for a number
        that is not available.

    Raises:
        KeyError: There is no row of that name.
    """
    paper = paper_table()
    records: dict[tuple[str, str], dict[str, Any]] = {}
    for column in (column for run in runs for column in run.columns()):
        named = {row.name: row for row in rows or _rows(column, beta, further=False)}
        wanted = dict.fromkeys(name for pair in pairs.values() for name in pair)
        predicted, reasons = _predictions(column, [named[name] for name in wanted])
        measured = {name: _measures(column, each) for name, each in predicted.items()}
        for what, pair in pairs.items():
            record: dict[str, Any] = {"title": column.title, "note": ""}
            lacking = [name for name in pair if name in reasons]
            if lacking:
                record["note"] = f"{lacking[0]}: {reasons[lacking[0]]}"
            else:
                one, other = (measured[name] for name in pair)
                marks = {one.get("mark", ""), other.get("mark", "")}
                record |= {"one": one["accuracy"], "other": other["accuracy"]}
                tested = UNTESTED not in {named[name].family for name in pair}
                record |= _compared(column, predicted, pair, beta, marks, tested)
            theirs = _paper_column(column)
            if theirs is not None and {*pair} <= {*paper.index}:
                record["paper"] = paper.loc[pair[1], theirs] - paper.loc[pair[0], theirs]
            records[what, column.name] = record
    table = pd.DataFrame.from_dict(records, orient="index", columns=["title", *PAIRED, "note"])
    table.index = pd.MultiIndex.from_tuples(records, names=["pair", "column"])
    for p in ("p", "auc_p"):
        of_pair = table.groupby(level="pair", sort=False)[p]
        table[f"{p}_holm"] = of_pair.transform(lambda values: holm(values.astype(float)))
    return table.astype(dict.fromkeys([*PAIRED, "p_holm", "auc_p_holm"], float))


def _measures(run: Run, prediction: RowPrediction) -> dict[str, Any]:
    """Measure one row by itself."""
    shares, labels = usable_shares(run, [prediction])
    numbers = evaluate(shares[0], labels, folds=run.folds)
    accuracy = numbers.loc["accuracy"]
    measures = {
        **accuracy[["low", "high", "majority", "images"]].to_dict(),
        **_named(numbers.estimate, numbers.low, numbers.high, ""),
        "note": prediction.note,
    }
    predicted = shares[0][labels >= 0].argmax(-1)
    if (predicted == predicted[0]).all():
        measures["mark"] = CONSTANT
    if measures["auc"] < 0.5:
        measures["mark"] = BELOW
    if prediction.picked is not None:
        measures["picked_k"], measures["picked"] = prediction.picked
    return measures


def _compared(
    run: Run,
    predicted: Mapping[str, RowPrediction],
    names: tuple[str, str],
    beta: float,
    marks: set[str],
    tested: bool,
) -> dict[str, Any]:
    """Measure what changed from one row to another, and how likely chance alone does that."""
    reference, name = names
    before, after = predicted[reference], predicted[name]
    (first, second), labels = usable_shares(run, [before, after])
    known = labels >= 0
    if not known.any():
        return {}
    numbers = compare(first, second, labels, folds=run.folds)
    changes = label_changes(first.argmax(-1), second.argmax(-1), labels)
    results: dict[str, Any] = {
        **_named(numbers.difference, numbers.low, numbers.high, "gain"),
        **changes._asdict(),
    }
    if "lf" in name:
        results["could"] = int((can_change(before.response, beta) & known).sum())
    if np.allclose(first, second, rtol=0, atol=1e-6):  # but for float32's rounding
        return results | {"note": f"{after.note} The same predictions as {reference}.".strip()}
    discordant = (changes.corrected + changes.degraded) / known.sum()
    results["detectable"] = smallest_difference(int(known.sum()), discordant)
    if not tested or BELOW in marks:
        return results
    results["auc_p"] = numbers.p["auc"]
    if CONSTANT not in marks:
        results["p"] = numbers.p["accuracy"]
    truth, folds = labels[known], run.folds[known]
    if first.shape[1] == 2 and np.unique(folds).size > 1:
        one, other = (
            at_base_rate(share[known, 0], truth, folds, _inner_shares(prediction, known))
            for share, prediction in ((first, before), (second, after))
        )
        matched = label_changes(one, other, truth)
        results["matched_corrected"], results["matched_degraded"] = matched[1:]
        results["matched_p"] = mcnemar(one, other, truth)
    return results


def _inner_shares(
    prediction: RowPrediction, known: np.ndarray
) -> Callable[[int], np.ndarray] | None:
    """Give the first emotion's share in known images where no label of a fold is used."""
    without = prediction.without
    if without is None:
        return None

    def shares(fold: int) -> np.ndarray:
        response = without(fold)[known]
        return response[:, 0] / response.sum(-1)

    return shares


def _named(estimate: pd.Series, low: pd.Series, high: pd.Series, what: str) -> dict[str, float]:
    """Name the numbers of the three metrics as the table's columns: "auc_low", "auc_gain_low"."""
    named = {}
    short = {"accuracy": "", "balanced_accuracy": "balanced", "auc": "auc"}
    for metric, start in short.items():
        head = "_".join(filter(None, (start, what)))
        named[head if what else metric] = estimate[metric]
        named["_".join(filter(None, (head, "low")))] = low[metric]
        named["_".join(filter(None, (head, "high")))] = high[metric]
    return named


def paper_table() -> pd.DataFrame:
    """Read the paper's Table 1: a row a method, a column a dataset; accuracy in [0, 1].

    Its `attrs` hold "source", "majority" (column -> rate of the commonest label, NaN where it is
    not known), "images" (column -> their number) and "k" (column -> the K of the last row).

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
    table.attrs["images"] = {name: facts["images"] for name, facts in raw["columns"].items()}
    table.attrs["majority"] = {
        name: _majority(facts["images"], facts["positive"])
        for name, facts in raw["columns"].items()
    }
    return table


def _paper_column(column: Run) -> str | None:
    """Look up the column of the paper's Table 1 that a column stands for, by its dataset.

    >>> _paper_column(Run("scenes-annotated, five agree", None))
    'Twitter I, five agree'
    >>> _paper_column(Run("mine", None, facts={"experiment": {"dataset": "twitter2"}}))
    'Twitter II'
    """
    name, _, agreement = column.name.partition(", ")
    if agreement.endswith("agree"):
        return f"Twitter I, {agreement}"
    dataset = column.facts.get("experiment", {}).get("dataset", name)
    stands = {f"twitter1-{n}": f"Twitter I, {n} agree" for n in ("five", "four", "three")}
    stands |= {"scenes-folded": "Twitter II", "twitter2": "Twitter II"}
    stands |= {"scenes-tagged": "Flickr", "vso": "Flickr"}
    return next((paper for start, paper in stands.items() if dataset.startswith(start)), None)


def _majority(images: int, positive: int | None) -> float:
    return float("nan") if positive is None else max(positive, images - positive) / images
