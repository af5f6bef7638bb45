"""Chapter 5: the labels that fusion can change, and those that it does."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from arlib.figures.style import (
    LINES,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    SMALL,
    draw_lines,
    new_figure,
)


def plot_label_changes(table: pd.DataFrame) -> Figure:
    """Plot, against beta, the share of labels that fusion could change and that it did change.

    Args:
        table: index = beta; columns `could` and `did`, shares of images in [0, 1].
    """
    figure, axes = new_figure(height=3)
    names = {"could": "could change at most", "did": "changed"}
    draw_lines(axes, {name: (table.index, table[column]) for column, name in names.items()})
    axes.set(xlabel="beta", ylabel="share of images", ylim=(0, None))
    axes.legend(fontsize=SMALL)
    return figure


def plot_decision(
    global_: np.ndarray,
    regions: np.ndarray,
    label: np.ndarray,
    beta: float,
    sides: tuple[str, str] = ("positive", "negative"),
) -> Figure:
    """Show images by the predictions for the full image and its regions, with the decision lines.

    Args:
        global_: (n,) P of the first side, of the full image.
        regions: (n,) mean P of the first side, of the affective regions.
        label: (n,) 0 = first side, 1 = second side; -1 is not drawn.
        beta: of Eq. 3; above the line the response is for the first side.
        sides: their names.
    """
    figure, axes = new_figure(height=5)
    for value, name, colour, marker in (
        (0, f"labelled {sides[0]}", POSITIVE, "o"),
        (1, f"labelled {sides[1]}", NEGATIVE, "^"),
    ):
        of_side = label == value
        axes.plot(
            global_[of_side],
            regions[of_side],
            linestyle="",
            marker=marker,
            markersize=4,
            alpha=0.7,
            color=colour,
            label=name,
        )
    x = np.linspace(0, 1, 101)
    if beta > 0:  # global - 1/2 + beta (regions - 1/2) = 0
        y = 0.5 - (x - 0.5) / beta
        inside = (y >= 0) & (y <= 1)
        axes.plot(x[inside], y[inside], color="black", label=f"Eq. 3 decides, beta = {beta:g}")
    axes.axvline(0.5, color=NEUTRAL, linestyle=LINES[1], label="the full image decides")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    first = f"P({sides[0]})"
    axes.set(xlabel=f"{first} of the full image", ylabel=f"mean {first} of its regions")
    figure.legend(loc="outside lower center", ncols=2, fontsize=SMALL)
    return figure
