"""Define the figures' sizes, and colours that differ in grey and to the colour-blind too."""

from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from arlib.figures.dark import BookFigure

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito's palette; positive is darker than negative, so that grey keeps them apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
POSITIVE, NEGATIVE = COLOURS[:2]
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
NEUTRAL = "#555555"
WIDTH = 5.5
"""Inches: a point is then nearly a pixel on a telephone."""

SMALL = 9
"""Points of what is written in figures; axes' labels have one more."""

_SIZES = {
    "font.size": SMALL,
    "axes.titlesize": SMALL,
    "axes.labelsize": SMALL + 1,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
}


def new_figure(columns: int = 1, rows: int = 1, *, width: float = WIDTH, height: float = 3) -> Any:
    """Create a figure of width x height inches in the book's style, and its axes."""
    import seaborn as sns  # takes a second, which `arlib predict` saves

    with sns.axes_style("whitegrid"), sns.plotting_context("paper", rc=_SIZES):
        figure = BookFigure(figsize=(width, height), layout="constrained", facecolor="white")
        axes = figure.subplots(rows, columns)
    return figure, axes


def new_note(text: str) -> Any:
    """Create a figure that shows a text in place of data."""
    figure, axes = new_figure(height=1)
    axes.text(0.5, 0.5, text, ha="center", va="center", color=NEUTRAL)
    axes.set_axis_off()
    return figure


def set_title(axes: Axes, title: str, width: int = 44) -> None:
    """Write a title above a panel from its left edge; beyond `width` characters it is wrapped."""
    parts = [title] if len(title) <= width else title.split(" · ")
    lines = [line for part in parts for line in wrap(part, width)]
    axes.set_title("\n".join(lines), fontsize=SMALL, loc="left")


def draw_lines(
    axes: Axes, curves: Mapping[str, tuple[Any, Any]], *, markers: bool = True, **style: Any
) -> None:
    """Draw a line for each name of x and y, each with its own colour, dashes and marker."""
    for number, (name, (x, y)) in enumerate(curves.items()):
        marker = MARKERS[number] if markers else ""
        look: Any = {"color": COLOURS[number], "linestyle": LINES[number], "marker": marker}
        axes.plot(x, y, label=name, **look, **style)


def draw_intervals(axes: Axes, table: "pd.DataFrame", estimate: str, *, label: str = "") -> None:
    """Draw a table's column `estimate` with intervals from `low` to `high`, first row on top."""
    rows = table[[estimate, "low", "high"]].astype(float)
    y = np.arange(len(rows))
    middle, half = (rows["low"] + rows["high"]) / 2, (rows["high"] - rows["low"]) / 2
    # bars around the middle: their halves are not negative, whatever rounding does at an end
    axes.errorbar(middle, y, xerr=half, capsize=3, fmt="none", ecolor=COLOURS[0])
    look: Any = {"linestyle": "", "color": COLOURS[0], "marker": MARKERS[0]}
    axes.plot(rows[estimate], y, label=label, **look)
    axes.invert_yaxis()


def draw_differences(axes: Axes, table: "pd.DataFrame", estimate: str, xlabel: str) -> None:
    """Draw a table's differences about a line at zero, as `draw_intervals`, each row named."""
    draw_intervals(axes, table, estimate)
    axes.axvline(0, color=NEUTRAL, linewidth=1)
    axes.set_yticks(np.arange(len(table)), table.index, fontsize=SMALL)
    axes.set_xlabel(f"{xlabel}, 95 % interval")


def label_bar(axes: Axes, label: str) -> None:
    """Label the colour bar that seaborn drew for a panel's map, in the size of other text."""
    bar = axes.collections[0].colorbar
    assert bar is not None
    bar.set_label(label, fontsize=SMALL + 1)
    bar.ax.tick_params(labelsize=SMALL)
