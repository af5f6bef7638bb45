"""What all figures share: sizes, and colours that differ in grey and to the colour-blind too."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
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


_SIZES = {
    f"{axis}tick.{which}.{name}": value
    for axis in "xy"
    for which, name, value in (
        ("major", "size", 6),
        ("major", "width", 1.25),
        ("minor", "size", 4),
        ("minor", "width", 1),
    )
}
_LOOK: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": ".8",
    "axes.grid": True,
    "axes.labelcolor": ".15",
    "axes.labelsize": 12,
    "axes.linewidth": 1.25,
    "axes.titlesize": 12,
    "font.sans-serif": ["Arial", "DejaVu Sans", "Liberation Sans", "Bitstream Vera Sans"],
    "font.size": 12,
    "grid.color": ".8",
    "grid.linewidth": 1,
    "legend.fontsize": 11,
    "legend.title_fontsize": 12,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "text.color": ".15",
    **{f"{axis}tick.color": ".15" for axis in "xy"},
    **{f"{axis}tick.labelsize": 11 for axis in "xy"},
    **_SIZES,
    "xtick.bottom": False,
    "ytick.left": False,
}
"""Seaborn's style "whitegrid" in its context "notebook", of which axes are made."""


def new_figure(columns: int = 1, rows: int = 1, *, width: float = 7, height: float = 3.6) -> Any:
    """Create a figure of width x height inches in the book's style, and its axes."""
    with mpl.rc_context(_LOOK):
        figure = BookFigure(figsize=(width, height), layout="constrained", facecolor="white")
        axes = figure.subplots(rows, columns)
    return figure, axes


def new_note(text: str) -> Any:
    """Create a figure that shows a text in place of data."""
    figure, axes = new_figure(height=1)
    axes.text(0.5, 0.5, text, ha="center", va="center", color=NEUTRAL)
    axes.set_axis_off()
    return figure


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
