"""Chapters 6 to 6c: Table 1 as HTML whose cells open, and as a map; gains, pairs, sensitivity."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import takewhile
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from arlib.evaluation import Run, format_interval, format_number, methods, paper_table
from arlib.figures.style import (
    COLOURS,
    MARKERS,
    NEUTRAL,
    SMALL,
    draw_differences,
    draw_intervals,
    label_bar,
    new_figure,
)

_MAJORITY = "always the commonest label"
"""The last row, of the accuracy without any method."""

_STYLE = """<style>
.arlib-table1 {overflow-x: auto; font-size: 0.85em}
.arlib-table1 td, .arlib-table1 th {text-align: left; vertical-align: top; padding: 0.2em 0.6em}
.arlib-table1 summary {cursor: pointer; white-space: nowrap}
.arlib-table1 dl {margin: 0.3em 0; min-width: 16em; overflow-wrap: anywhere}
.arlib-table1 dt {font-weight: bold} .arlib-table1 dd {margin: 0 0 0.2em 1em}
</style>"""


def table_html(tables: Mapping[str, pd.DataFrame], runs: Mapping[str, Run]) -> str:
    """Write Table 1 as HTML whose every cell opens its provenance; no script is needed.

    Args:
        tables: columns, from `arlib.evaluation.table1`.
        runs: column -> what it was computed from.

    Returns:
        An element for a page; text is escaped.
    """
    refers = {method.name: method.refers for method in methods()}
    titles = [table.attrs["title"] for table in tables.values()]
    heads = "".join(f"<th scope='col'>{escape(title)}</th>" for title in titles)
    rows = [
        f"<tr><th scope='row'>{escape(method)}</th>"
        + "".join(
            f"<td>{_cell(table.loc[method], runs[name], refers[method])}</td>"
            for name, table in tables.items()
        )
        + "</tr>"
        for method in refers
    ]
    lines = "".join(
        f"<td>{format_number(100 * table.majority.max(), '.1f')}</td>" for table in tables.values()
    )
    rows.append(f"<tr><th scope='row'>{_MAJORITY}</th>{lines}</tr>")
    return (
        f"{_STYLE}<div class='arlib-table1'><table><thead><tr><th>accuracy, %</th>{heads}</tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


_MARKS = {
    "constant": "one label for every image",
    "below chance": "an AUC below 0.5",
}


def _cell(row: pd.Series, run: Run, refers: str) -> str:
    """A summary and, behind it, its provenance."""
    facts = run.facts
    if np.isnan(row.accuracy):
        summary, details = ["–"], {"why not": row.note}
    else:
        percent = 100 * row.drop(["mark", "note"]).astype(float)
        balance, auc = format_number(percent.balanced_accuracy), format_number(row.auc, ".3f")
        summary = [
            format_interval(percent[["accuracy", "low", "high"]], ".1f"),
            f"balanced {balance}, AUC {auc}",
            row["mark"],
        ]
        balanced = percent[["balanced_accuracy", "balanced_low", "balanced_high"]]
        details = {
            "method": refers,
            "mark": _MARKS.get(row["mark"], ""),
            "note": row.note,
            "images": f"{row.images:.0f}",
            "balanced accuracy": format_interval(balanced, ".1f"),
            "AUC": format_interval(row[["auc", "auc_low", "auc_high"]], ".3f"),
        }
        if not np.isnan(row.gain):
            details |= _gains(row, percent)
        if not np.isnan(row.could):
            details["Eq. 3 could change"] = f"{row.could:.0f} labels"
        if not np.isnan(row.picked):
            details["K picked on the tested images"] = (
                f"{row.picked_k:.0f}, accuracy {100 * row.picked:.1f}"
            )
    details["run"] = run.name
    for name in ("command", "commit", "finished"):
        details[name] = str(facts.get(name) or "not recorded")
    details["data, SHA-256"] = str(facts.get("dataset", {}).get("sha256", "not recorded"))
    weights = facts.get("weights_sha256") or run.scores.attrs.get("weights_sha256", "not recorded")
    if isinstance(weights, Mapping):  # of a network a fold; run.json has all digits
        weights = ", ".join(f"fold {fold}: {digits[:12]}…" for fold, digits in weights.items())
    details["weights, SHA-256"] = str(weights)
    terms = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in details.items() if text
    )
    head = "<br/>".join(escape(line) for line in summary if line)
    return f"<details><summary>{head}</summary><dl>{terms}</dl></details>"


def _gains(row: pd.Series, percent: pd.Series) -> dict[str, str]:
    """What differs from the reference row, and how that was tested."""
    gains = {
        "accuracy": format_interval(percent[["gain", "gain_low", "gain_high"]], "+z.1f"),
        "balanced": format_interval(
            percent[["balanced_gain", "balanced_gain_low", "balanced_gain_high"]], "+z.1f"
        ),
        "AUC": format_interval(row[["auc_gain", "auc_gain_low", "auc_gain_high"]], "+z.3f"),
    }
    details = {
        "gain": "; ".join(f"{name} {text}" for name, text in gains.items()),
        "labels": f"{row.changed:.0f} changed, {row.corrected:.0f} corrected, "
        f"{row.degraded:.0f} degraded",
    }
    tests = {"McNemar": ("p", "tests"), "DeLong (AUC)": ("auc_p", "auc_tests")}
    for name, (p, n) in tests.items():
        if not np.isnan(row[p]):
            details[name] = (
                f"p {row[p]:.3g}; Holm over {row[n]:.0f} rows {row[f'{p}_holm']:.3g}, "
                f"over columns {row[f'{p}_columns']:.3g}"
            )
    if not np.isnan(row.matched_p):
        details["at matched thresholds"] = (
            f"{row.matched_corrected:.0f} : {row.matched_degraded:.0f}, p {row.matched_p:.3g}"
        )
    if not np.isnan(row.detectable):
        details["found with 80 % power"] = f"{percent.detectable:.1f} points"
    return details


def plot_table(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Show Table 1 above the paper's as one map: accuracies in %, coloured by what they are worth.

    A line is a set of images, a column a method. The colour is the difference from always
    predicting the commonest label, the last column. A cell is grey where there is no accuracy, or
    where that of the last column is not known.

    Args:
        tables: columns of Table 1, from `arlib.evaluation.table1`, at least one.
    """
    import seaborn as sns

    paper = paper_table()
    sets = {table.attrs["title"]: 100 * table.accuracy for table in tables.values()}
    percent = pd.DataFrame(sets).join((100 * paper).add_prefix("the paper · ")).T
    lines = [table.majority.max() for table in tables.values()]
    percent[_MAJORITY] = 100 * np.array([*lines, *paper.attrs["majority"].values()])
    worth = percent.sub(percent[_MAJORITY], axis=0)
    most = np.nanmax(worth.abs().to_numpy(), initial=1)
    figure, axes = new_figure(height=2.9 + 0.33 * len(percent))
    look: dict[str, Any] = {"vmin": -most, "vmax": most, "cmap": "PuOr"}
    look |= {"cbar_kws": {"orientation": "horizontal", "aspect": 40}, "linewidths": 0.5}
    sns.heatmap(worth, ax=axes, annot=percent, fmt=".0f", **look)
    for row, column in zip(*np.nonzero(worth.isna() & percent.notna()), strict=True):
        text = f"{percent.iloc[row, column]:.0f}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center")
    for text in axes.texts:
        text.set_fontsize(SMALL - 1)
    heads = [name.replace(" · ", "\n") for name in percent.index]
    axes.set_yticks(0.5 + np.arange(len(heads)), heads, fontsize=SMALL - 1)
    axes.axhline(len(tables), color="white", linewidth=4)
    axes.grid(False)
    axes.set(xlabel="", ylabel="", facecolor="#e4e4e4")
    label_bar(axes, "points above the last column")
    return figure


def plot_fusion_gains(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Show what the last row of Table 1 gains in every column, and in the paper's, hollow marks.

    Columns of one network, or of one dataset, are a group under its name.

    Args:
        tables: columns, from `arlib.evaluation.table1`, at least one.
    """
    full, fused = "VGGNet + ft", "VGGNet + ft + obj + senti + lf (K)"
    paper = 100 * (paper_table().loc[fused] - paper_table().loc[full])
    columns = list(tables.values())
    lines: list[tuple[str, pd.Series | None]] = []
    for head, group in _grouped([table.attrs["heads"] for table in columns]).items():
        lines += [(head, None), *((name, columns[number].loc[fused]) for number, name in group)]
    ours = pd.DataFrame([{} if row is None else row for _, row in lines])
    ours = 100 * ours[["gain", "gain_low", "gain_high"]].astype(float)
    ours.columns = ["gain", "low", "high"]
    theirs = len(lines) + 1 + np.arange(len(paper))
    lines += [("the paper", None), *((name, paper) for name in paper.index)]
    figure, axes = new_figure(height=0.6 + 0.165 * len(lines))
    draw_intervals(axes, ours, "gain")
    look: Any = {"linestyle": "", "marker": MARKERS[3], "markerfacecolor": "none"}
    axes.plot(paper, theirs, color=COLOURS[5], **look)
    axes.axvline(0, color=NEUTRAL, linewidth=1)
    axes.axhline(theirs[0] - 1.5, color=NEUTRAL, linewidth=1)
    axes.set_yticks(np.arange(len(lines)), [label for label, _ in lines], fontsize=SMALL)
    for label, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if row is None else "normal")
    axes.set(ylim=(len(lines) - 0.5, -0.5), xlabel="accuracy gained, points")
    axes.grid(visible=False, axis="y")
    return figure


def _grouped(heads: Sequence[Sequence[str]]) -> dict[str, list[tuple[int, str]]]:
    """Group neighbours of one network, or of one dataset, whichever are more, by its name.

    A name's later neighbours join its group: name -> the columns' numbers and their other names.
    """
    groups: dict[str, list[tuple[int, str]]] = {}
    start = 0
    while start < len(heads):
        runs = []
        for own, other in ((0, 1), (1, 0)):  # a dataset's networks, a network's datasets
            name = heads[start][own]
            same = takewhile(lambda each: each[own] == name, heads[start:])  # noqa: B023
            runs.append((name, [each[other] for each in same]))
        name, names = max(runs, key=lambda run: len(run[1]) if run[0] else 0)
        groups.setdefault(name, []).extend(enumerate(names, start))
        start += len(names)
    return groups


def plot_pairs(
    table: pd.DataFrame,
    paper: Mapping[str, Sequence[float]],
    groups: Mapping[str, str],
    *,
    metric: Literal["accuracy", "auc"] = "accuracy",
) -> Figure:
    """Show what one row of Table 1 gains over another, for pairs of rows, on one axis.

    Args:
        table: from `arlib.evaluation.compare_rows`, or any with such an index, gains and limits; a
            band a pair, a line a column. A mark is filled where `p_holm` is below 0.05, or, in a
            table without it, where the interval excludes 0.
        paper: pair -> the paper's gains, as hollow marks on the first line of its band; where it
            is empty, bands have no such line.
        groups: column -> what it is of, such as "photographs"; a group has its name, and its
            colour and mark by the order of the names.
        metric: what is gained: "accuracy", or "auc" of the columns `auc_gain` and so on.
    """
    if metric == "auc":
        of_auc = {f"auc_{name}": name for name in ("gain", "gain_low", "gain_high", "p_holm")}
        table = table.drop(columns=of_auc.values(), errors="ignore").rename(columns=of_auc)
    pairs = list(dict.fromkeys(table.index.get_level_values(0)))
    styles = zip((COLOURS[0], COLOURS[5], COLOURS[2]), MARKERS, strict=False)
    looks = dict(zip(sorted({*groups.values()}), styles, strict=False))  # whichever are there
    first = 2.6 if paper else 1.3  # line of a band, below its name and the paper's marks
    height = first + 1 + table.groupby(level=0).size().max()
    sure = (table.gain_low > 0) | (table.gain_high < 0)
    table = table.assign(sure=table["p_holm"] < 0.05 if "p_holm" in table else sure)
    figure, axes = new_figure(width=5, height=0.8 + 0.07 * height * len(pairs))
    axes.axvline(0, color=NEUTRAL, linewidth=1)
    right = axes.get_yaxis_transform()
    for number, pair in enumerate(pairs):
        top, rows = number * height, table.loc[pair]
        axes.axhspan(top - 1.2, top + height - 1.2, color="black", alpha=0.05 * (number % 2), lw=0)
        axes.text(0.01, top, pair, transform=right, va="center", fontsize=SMALL, weight="bold")
        gains = 100 * np.asarray(paper.get(pair, ()), float)
        look: dict[str, Any] = {"linestyle": "", "markersize": 5, "markerfacecolor": "none"}
        axes.plot(gains, np.full(gains.size, top + 1.6), marker="D", color="black", **look)
        lines = top + first + np.arange(len(rows))
        for line, (column, row) in zip(lines, rows.iterrows(), strict=True):
            colour, marker = looks[groups[column]]
            axes.plot([100 * row.gain_low, 100 * row.gain_high], [line, line], color=colour, lw=1)
            look["markerfacecolor"] = colour if row.sure else "white"
            axes.plot(100 * row.gain, line, marker=marker, color=colour, **look)
    names = {"the paper": (1.6, "black")} if paper else {}
    members = [groups[column] for column in table.loc[pairs[0]].index] if pairs else []
    for group, (colour, _) in looks.items():
        names[group] = (first + float(np.mean(np.flatnonzero(np.array(members) == group))), colour)
    for name, (middle, colour) in names.items():
        axes.text(
            *(0.99, middle, name),
            transform=right,
            ha="right",
            va="center",
            color=colour,
            fontsize=SMALL,
        )
    if pairs:  # the names of the groups stand beside the intervals of the first band
        low, high = axes.get_xlim()
        reach = 100 * table.loc[pairs[0]].gain_high.max()
        axes.set_xlim(low, np.nanmax([high, low + (reach - low) / 0.77]))
    what = {"accuracy": "accuracy gained, points", "auc": "AUC gained, hundredths"}
    axes.set(ylim=(height * len(pairs) - 1.2, -1.2), yticks=[], xlabel=what[metric])
    axes.grid(False, axis="y")
    return figure


def plot_sensitivity(table: pd.DataFrame) -> Figure:
    """Show the gain of fusion with its interval for every setting.

    Args:
        table: from `arlib.evaluation.sensitivity`.
    """
    figure, axes = new_figure(height=0.8 + 0.21 * len(table))
    gains = 100 * table[["gain", "low", "high"]]
    draw_differences(axes, gains, "gain", "accuracy gained, points")
    return figure
