"""Table 1 of runs, or two runs compared, as text, CSV or JSON; and predictions image by image."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from arlib.evaluation.further import further_methods
from arlib.evaluation.metrics import compare, evaluate
from arlib.evaluation.rows import FURTHER, RowPrediction, Unavailable, methods, usable_shares
from arlib.evaluation.runs import Run
from arlib.evaluation.tables import paper_table
from arlib.method import usable_base

_FURTHER = [method.name for method in further_methods()]
_LAST = "VGGNet + ft + obj + senti + lf (K)"


def compare_runs(one: Run, other: Run) -> pd.DataFrame:
    """Measure how far apart two runs are, row by row.

    Of the same images the numbers are those of `compare`. Of other images an interval is put
    together from those of the two estimates, by MOVER (Newcombe, Statistics in Medicine 17, 1998):
    from each difference of a limit and its estimate, squared and added.

    Args:
        one: A run.
        other: A run; where its images are the same, differences are paired.

    Returns:
        A row a method that both have and metric of `evaluate`: ``one``, ``other``, ``difference``
        (other - one), ``low``, ``high`` (95 %, over images) and, where the images are the same,
        ``p``; NaN otherwise.

    Raises:
        ValueError: They predict different emotions, a run has no labels, or the same images have
            different labels.
    """
    one, other = one.tested(), other.tested()
    for run in (one, other):
        run.require_labels(f"Comparing {run.name}")
    emotions = [run.scores.emotion.values.tolist() for run in (one, other)]
    if emotions[0] != emotions[1]:
        lists = " and ".join(", ".join(each) for each in emotions)
        raise ValueError(f"{one.name} and {other.name} predict different emotions: {lists}")
    paired = one.scores.image.values.tolist() == other.scores.image.values.tolist()
    if paired and (one.labels != other.labels).any():
        raise ValueError(f"{one.name} and {other.name} have different labels for the same images")
    tables: dict[str, pd.DataFrame] = {}
    for method in methods(base=usable_base(one.scores.sizes["emotion"])):
        try:
            rows = [method.predict(run) for run in (one, other)]
        except Unavailable:
            continue
        if paired:
            (first, second), labels = usable_shares(one, rows)
            tables[method.name] = compare(first, second, labels, folds=one.folds)
        else:
            tables[method.name] = _unpaired((one, other), rows)
    return pd.concat(tables, names=["method"])


def verdicts(table: pd.DataFrame, *, level: float = 0.05) -> pd.DataFrame:
    """Sum up, over its columns, whether the second row of each pair is better than the first.

    Args:
        table: From `compare_rows`, or any with its ``gain`` and ``p_holm``, of which the first
            level of the index is what is summed up.
        level: Holm's p below which a difference is beyond chance.

    Returns:
        A row a pair: ``columns``, in which both rows are measured; ``tested``, those that test
        them; ``better`` and ``worse``, those where the second row is so beyond chance; ``low`` and
        ``high``, the extreme gains; and ``verdict``: "holds" where it is better in every column
        that tests it, "holds in part" where in some and worse in none; "contradicted" and
        "contradicted in part" likewise where it is worse; "mixed" where it is both, "not shown"
        where it is neither, "not testable here" where no column tests it.

    Example:
        >>> index = pd.MultiIndex.from_product([["both"], ["here", "there"]])
        >>> rows = pd.DataFrame({"gain": [0.1, 0.0], "p_holm": [0.01, 0.8]}, index=index)
        >>> verdicts(rows).verdict["both"]
        'holds in part'
    """
    sure = table.p_holm < level
    counts = pd.DataFrame(
        {
            "columns": table.gain.notna(),
            "tested": table.p_holm.notna(),
            "better": sure & (table.gain > 0),
            "worse": sure & (table.gain < 0),
        }
    )
    of_pair = {"level": 0, "sort": False}
    result = counts.groupby(**of_pair).sum()
    gains = table.gain.groupby(**of_pair)
    result["low"], result["high"] = gains.min(), gains.max()
    result["verdict"] = np.select(
        [
            result.tested == 0,
            (result.better > 0) & (result.worse > 0),
            result.worse == result.tested,
            result.worse > 0,
            result.better == result.tested,
            result.better > 0,
        ],
        [
            *("not testable here", "mixed", "contradicted", "contradicted in part"),
            *("holds", "holds in part"),
        ],
        "not shown",
    )
    return result


def _unpaired(runs: Sequence[Run], rows: Sequence[RowPrediction]) -> pd.DataFrame:
    """Compare predictions of different images by the two intervals, as MOVER."""
    measured = []
    for run, row in zip(runs, rows, strict=True):
        (shares,), labels = usable_shares(run, [row])
        measured.append(evaluate(shares, labels, folds=run.folds))
    a, b = measured
    difference = b.estimate - a.estimate
    return pd.DataFrame(
        {
            "one": a.estimate,
            "other": b.estimate,
            "difference": difference,
            "low": difference - np.hypot(b.estimate - b.low, a.high - a.estimate),
            "high": difference + np.hypot(b.high - b.estimate, a.estimate - a.low),
            "p": np.nan,
        }
    )


def predictions(runs: Iterable[Run]) -> pd.DataFrame:
    """List every row's prediction of every image, but the oracle's.

    Returns:
        ``run``, ``image``, ``label``, ``fold``, ``method`` and each emotion's share, which sum to
        1; a row a run, method and image.
    """
    parts = []
    for run in runs:
        emotions = run.scores.emotion.values.tolist()
        base = usable_base(len(emotions))
        beyond = [each for each in further_methods(base=base) if each.family == FURTHER]
        for method in [*methods(base=base), *beyond]:
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


def format_number(value: float, form: str = ".1f") -> str:
    """Write a number; NaN, such as the AUC where one emotion alone is true, is a dash.

    Args:
        value: Any.
        form: As after the colon of an f-string.

    Example:
        >>> format_number(2 / 3), format_number(np.nan, "+.3f")
        ('0.7', '–')
    """
    return "–" if np.isnan(value) else f"{value:{form}}"


def format_interval(values: npt.ArrayLike, form: str = "+z.1f") -> str:
    """Write an estimate with the limits of its interval, where it has any.

    Args:
        values: The estimate, the lower and the upper limit, (3,).
        form: Of each, as after the colon of an f-string.

    Example:
        >>> format_interval([2.0, -0.25, 4.25]), format_interval([2.0, np.nan, np.nan], ".0f")
        ('+2.0 [-0.2, +4.2]', '2')
    """
    estimate, low, high = np.asarray(values, float)
    limits = "" if np.isnan(low) else f" [{low:{form}}, {high:{form}}]"
    return format_number(estimate, form) + limits


def format_range(values: npt.ArrayLike, form: str = "+z.1f") -> str:
    """Write the lowest and the highest of some numbers, as one where both are printed alike.

    Args:
        values: Any numbers; NaN are left out, and without any other the range is a dash.
        form: Of each end, as after the colon of an f-string.

    Example:
        >>> format_range([0.4, np.nan, -1.0]), format_range([0.21, 0.24]), format_range([])
        ('-1.0 to +0.4', '+0.2', '–')
    """
    numbers = np.asarray(values, float)
    numbers = numbers[~np.isnan(numbers)]
    if not numbers.size:
        return format_number(np.nan)
    low, high = (f"{end:{form}}" for end in (numbers.min(), numbers.max()))
    return low if low == high else f"{low} to {high}"


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


def _filled(table: pd.DataFrame) -> dict[str, Any]:
    rows = table.astype(object).where(table.notna(), None)
    if rows.index.nlevels > 1:
        return {name: _filled(rows.loc[name]) for name in rows.index.unique(0)}
    return rows.to_dict(orient="index")


def _text(tables: Mapping[str, pd.DataFrame]) -> str:
    """Write columns as people read them, with the paper's own below."""
    parts = ["Accuracy in %: mean over folds [95 % interval over images]", "", _grid(tables), ""]
    parts += ["* differs from VGGNet + ft (McNemar's exact test, Holm-adjusted p < 0.05)"]
    parts += ["c gives every image one label, and is not tested; b has an AUC below 0.5, likewise"]
    parts += ["v lies below the majority line", ""]
    for table in tables.values():
        parts += [table.attrs["title"], _details(table), ""]
    return "\n".join([*parts, _paper()])


def _grid(tables: Mapping[str, pd.DataFrame]) -> str:
    """Write every row of every column, and the majority line."""
    grid = pd.DataFrame({name: table.apply(_cell, axis=1) for name, table in tables.items()})
    heads = [(table.attrs["heads"], table.images.max()) for table in tables.values()]
    dataset = [f"{words} (n = {images:.0f})" for (words, _), images in heads]
    network = [words for (_, words), _ in heads]
    grid.columns = pd.MultiIndex.from_arrays([dataset, network] if any(network) else [dataset])
    grid.loc["always the commonest label"] = [
        f"{100 * table.majority.max():.1f}" for table in tables.values()
    ]
    return grid.rename_axis(None).to_string()


def _cell(row: pd.Series) -> str:
    """Write one cell: 71.0 [68.2, 73.9], with its marks; a dash for a row that is missing."""
    if np.isnan(row.accuracy):
        return "–"
    marks = ("*" if row.p_holm < 0.05 else "") + row.mark[:1]
    marks += "v" if round(row.accuracy, 3) < round(row.majority, 3) else ""  # as printed
    return f"{interval(100 * row[['accuracy', 'low', 'high']])}{marks:<2}"


def interval(numbers: pd.Series, form: str = ".1f") -> str:
    """Write an estimate and its limits: 71.0 [68.2, 73.9]; nothing for what is NaN."""
    estimate, low, high = map(float, numbers)
    if np.isnan(estimate):
        return ""
    return f"{estimate:{form}}" + ("" if np.isnan(low) else f" [{low:{form}}, {high:{form}}]")


def _details(table: pd.DataFrame) -> str:
    """Write the other measures, what changed, what was picked, what is missing."""
    measured = table[table.accuracy.notna()]
    triples = {
        "balanced": ("balanced_accuracy", "balanced_low", "balanced_high", 100, ".1f"),
        "AUC": ("auc", "auc_low", "auc_high", 1, ".3f"),
        "gain": ("gain", "gain_low", "gain_high", 100, "+z.1f"),
        "balanced gain": (
            *("balanced_gain", "balanced_gain_low", "balanced_gain_high"),
            *(100, "+z.1f"),
        ),
        "AUC gain": ("auc_gain", "auc_gain_low", "auc_gain_high", 1, "+z.3f"),
    }
    text = pd.DataFrame(
        {
            head: (scale * measured[names]).apply(interval, axis=1, form=form)
            for head, (*names, scale, form) in triples.items()
        }
    )
    others = {
        **dict.fromkeys(("could", "changed", "corrected", "degraded"), ".0f"),
        **dict.fromkeys(("p_holm", "auc_p_holm", "matched_p"), ".3f"),
    }
    for name, form in others.items():
        text[name] = measured[name].map(f"{{:{form}}}".format).replace("nan", "")
    lines = [text.rename_axis(None).to_string()]
    families = table.loc[table.tests.notna() | table.auc_tests.notna()]
    for beyond, rows in families.groupby(families.index.isin(_FURTHER)):
        n, of_auc = rows[["p", "auc_p"]].count()
        which = "rows beyond the paper's" if beyond else "rows"
        lines.append(
            f"  Holm's p is over the {n} {which} that are tested, of the AUC over {of_auc}"
        )
    for name, row in table.iterrows():
        if row.note:
            lines.append(f"  {name}: {row.note}")
        if not np.isnan(row.picked):
            lines.append(
                f"  {name}: picked on the tested images, K = {row.picked_k:.0f} would give "
                f"{100 * row.picked:.1f}"
            )
    if not np.isnan(detectable := table.detectable.get(_LAST, np.nan)):
        lines.append(
            f"  {_LAST}: a gain of {100 * detectable:.1f} points or more would be found in 4 of 5 "
            "such samples"
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
