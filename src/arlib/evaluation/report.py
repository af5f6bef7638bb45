"""Table 1 of runs, or two runs compared, as text, CSV or JSON; and predictions image by image."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from arlib.evaluation.rows import Unavailable, methods
from arlib.evaluation.runs import Run
from arlib.evaluation.significance import fold_means, mcnemar
from arlib.evaluation.tables import paper_table
from arlib.method import usable_base

_COUNTS = ["could", "changed", "corrected", "degraded"]


def compare_runs(one: Run, other: Run, *, n_bootstrap: int = 1000) -> pd.DataFrame:
    """Measure how far apart two runs are, row by row.

    Of the same images, the interval is that of the images' own differences, resampled. Of other
    images it is put together from the two accuracies' intervals, by MOVER (Newcombe, Statistics
    in Medicine 17, 1998): from each difference of a limit and its estimate, squared and added.

    Args:
        one: A run.
        other: A run; where its images are the same, differences are paired.
        n_bootstrap: Resamples behind each interval.

    Returns:
        A row a method that both have: ``one``, ``other``, ``difference`` (other - one), ``low``,
        ``high`` (95 %, over images) and, where the images are the same, ``p`` (McNemar's exact);
        NaN otherwise.

    Raises:
        ValueError: They predict other emotions, a run has no labels, or the same images have other
            labels.
    """
    one, other = one.tested(), other.tested()
    for run in (one, other):
        run.require_labels(f"Comparing {run.name}")
    emotions = [run.scores.emotion.values.tolist() for run in (one, other)]
    if emotions[0] != emotions[1]:
        lists = " and ".join(", ".join(each) for each in emotions)
        raise ValueError(f"{one.name} and {other.name} predict other emotions: {lists}")
    paired = one.scores.image.values.tolist() == other.scores.image.values.tolist()
    if paired and (one.labels != other.labels).any():
        raise ValueError(f"{one.name} and {other.name} have other labels for the same images")
    compare = _paired if paired else _unpaired
    rows: dict[str, list[float]] = {}
    for method in methods(base=usable_base(one.scores.sizes["emotion"])):
        try:
            responses = [method.predict(run).response for run in (one, other)]
        except Unavailable:
            continue
        rows[method.name] = compare((one, other), responses, n_bootstrap)
    names = ["one", "other", "difference", "low", "high", "p"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    return table.rename_axis("method")


def _paired(runs: Sequence[Run], responses: Sequence[np.ndarray], n_bootstrap: int) -> list[float]:
    """Compare predictions of the same images."""
    usable = (runs[0].labels >= 0) & np.isfinite(responses).all((0, -1))
    before, after = (response.argmax(-1)[usable] for response in responses)
    truth, folds = runs[0].labels[usable], runs[0].folds[usable]
    hits = np.stack([before == truth, after == truth]).astype(float)
    means, _, _ = fold_means(hits, folds, n_bootstrap=1)
    difference = fold_means(hits[1] - hits[0], folds, n_bootstrap=n_bootstrap)
    return [*map(float, (*means, *difference)), mcnemar(before, after, truth)]


def _unpaired(
    runs: Sequence[Run], responses: Sequence[np.ndarray], n_bootstrap: int
) -> list[float]:
    """Compare predictions of different images by the two intervals, as MOVER."""
    intervals = []
    for run, response in zip(runs, responses, strict=True):
        usable = (run.labels >= 0) & np.isfinite(response).all(-1)
        hit = (response.argmax(-1) == run.labels)[usable]
        interval = fold_means(hit, run.folds[usable], n_bootstrap=n_bootstrap)
        intervals.append(list(map(float, interval)))
    (a, a_low, a_high), (b, b_low, b_high) = intervals
    low = b - a - np.hypot(b - b_low, a_high - a)
    high = b - a + np.hypot(b_high - b, a - a_low)
    return [a, b, b - a, float(low), float(high), float("nan")]


def predictions(runs: Iterable[Run]) -> pd.DataFrame:
    """List every row's prediction of every image.

    Returns:
        ``run``, ``image``, ``label``, ``fold``, ``method`` and each emotion's share, which sum to
        1; a row a run, method and image.
    """
    parts = []
    for run in runs:
        emotions = run.scores.emotion.values.tolist()
        for method in methods(base=usable_base(len(emotions))):
            try:
                response = method.predict(run).response
            except Unavailable:
                continue
            shares = response / response.sum(-1, keepdims=True)
            part = pd.DataFrame(shares.round(6), columns=emotions)
            part.insert(0, "method", method.name)
            part.insert(0, "fold", run.scores.fold.values)
            part.insert(0, "label", run.labels)
            part.insert(0, "image", run.scores.image.values)
            part.insert(0, "run", run.name)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def format_table(table: Mapping[str, pd.DataFrame] | pd.DataFrame, form: str = "text") -> str:
    """Write Table 1, or the comparison of two runs.

    Args:
        table: Columns from `table1`, or the table of `compare_runs`.
        form: ``"text"`` to be read, with the paper's own table below the columns; ``"csv"``, every
            number, a row a (column and) method; ``"json"``, likewise as (column ->) method ->
            number, null where there is none.

    Raises:
        ValueError: Another form.
    """
    if form not in ("text", "csv", "json"):
        raise ValueError(f'form must be "text", "csv" or "json", not {form!r}')
    if isinstance(table, pd.DataFrame):
        if form == "text":
            return table.to_string(float_format="{:.3f}".format)
        return table.to_csv() if form == "csv" else json.dumps(_filled(table), indent=1)
    if form == "text":
        return _text(table)
    if form == "csv":
        return pd.concat(dict(table), names=["column"]).to_csv()
    return json.dumps({name: _filled(column) for name, column in table.items()}, indent=1)


def _filled(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return table.astype(object).where(table.notna(), None).to_dict(orient="index")


def _text(tables: Mapping[str, pd.DataFrame]) -> str:
    """Write columns as people read them, with the paper's own below."""
    parts = ["Accuracy in %: mean over folds [95 % interval over images]", "", _grid(tables), ""]
    parts += ["* differs from VGGNet + ft (McNemar's exact test, Holm-adjusted p < 0.05)"]
    parts += ["v lies below the majority line", ""]
    for name, table in tables.items():
        parts += [name, _details(table), ""]
    return "\n".join([*parts, _paper()])


def _grid(tables: Mapping[str, pd.DataFrame]) -> str:
    """Write every row of every column, and the majority line."""
    grid = pd.DataFrame({name: table.apply(_cell, axis=1) for name, table in tables.items()})
    heads = {name: f"{name} (n = {table.images.max():.0f})" for name, table in tables.items()}
    grid = grid.rename(columns=heads)
    grid.loc["always the commonest label"] = [
        f"{100 * table.majority.max():.1f}" for table in tables.values()
    ]
    return grid.rename_axis(None).to_string()


def _cell(row: pd.Series) -> str:
    """Write one cell: 71.0 [68.2, 73.9], with its marks; a dash for a row that is missing."""
    if np.isnan(row.accuracy):
        return "–"
    interval = "" if np.isnan(row.low) else f" [{100 * row.low:.1f}, {100 * row.high:.1f}]"
    marks = ("*" if row.p_holm < 0.05 else "") + ("v" if row.accuracy < row.majority else "")
    return f"{100 * row.accuracy:.1f}{interval}{marks:<2}"


def _details(table: pd.DataFrame) -> str:
    """Write what changed, what was picked, what is missing."""
    details = table[["balanced_accuracy", "auc", *_COUNTS, "p_holm"]][table.accuracy.notna()]
    text = details.map("{:.3f}".format)
    text[_COUNTS] = details[_COUNTS].map("{:.0f}".format)
    lines = [text.replace("nan", "").rename_axis(None).to_string()]
    for name, row in table.iterrows():
        if row.note:
            lines.append(f"  {name}: {row.note}")
        if not np.isnan(row.picked):
            lines.append(
                f"  {name}: picked on the tested images, K = {row.picked_k:.0f} would give "
                f"{100 * row.picked:.1f}"
            )
    return "\n".join(lines)


def _paper() -> str:
    """Write the paper's own table."""
    table = paper_table()
    text = (100 * table).map("{:.1f}".format)
    text.loc["always the commonest label"] = [
        "not known" if np.isnan(rate) else f"{100 * rate:.1f}"
        for rate in table.attrs["majority"].values()
    ]
    return f"The paper's own table, of other data and another network\n{text.to_string()}\n"
