"""What all figures share: sizes, and colours that the colour-blind and grey print tell apart."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from arlib.figures.dark import BookFigure

# Okabe and Ito's palette; positive is darker than negative, so that grey keeps them apart.
POSITIVE, NEGATIVE = "#0072B2", "#E69F00"


COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


MARKERS = ("o", "s", "^", "D", "v", "P")


LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


NEUTRAL = "#555555"


def new_figure(columns: int = 1, rows: int = 1, *, width: float = 7, height: float = 3.6) -> Any:
    """Make an empty figure in the book's style, on a white ground; shown, it has a dark form too.

    Args:
        columns: panels side by side.
        rows: panels above each other.
        width: of the whole, inches.
        height: of the whole, inches.

    Returns:
        The figure and its axes, as `matplotlib.pyplot.subplots` gives them.

    Example:
        >>> figure, (left, right) = new_figure(2)
        >>> len(figure.axes)
        2
    """
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook"):
        figure = BookFigure(figsize=(width, height), layout="constrained", facecolor="white")
        axes = figure.subplots(rows, columns)
    return figure, axes


def draw_intervals(axes: Axes, table: pd.DataFrame, estimate: str, *, label: str = "") -> None:
    """Draw a point with its interval for each row, the first row on top.

    Args:
        axes: where.
        table: a row a point, with `low`, `high` and the column that `estimate` names.
        estimate: the column of the points.
        label: for a legend.
    """
    rows = table[[estimate, "low", "high"]].astype(float)
    axes.errorbar(
        rows[estimate],
        np.arange(len(rows)),
        xerr=[rows[estimate] - rows["low"], rows["high"] - rows[estimate]],
        linestyle="",
        color=COLOURS[0],
        marker=MARKERS[0],
        capsize=3,
        label=label,
    )
    axes.invert_yaxis()
