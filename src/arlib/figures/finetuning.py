"""Chapter 2: synthetic scenes, learning curves, differences, calibration."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from arlib.figures.style import (
    COLOURS,
    MARKERS,
    NEUTRAL,
    SMALL,
    WIDTH,
    draw_differences,
    draw_lines,
    new_figure,
)


def show_rows(rows: Mapping[str, np.ndarray]) -> Figure:
    """Show images in rows, each with a name.

    Args:
        rows: name -> (n, H, W, 3) uint8 RGB, the same n and size everywhere.
    """
    count = len(next(iter(rows.values())))
    figure, axes = new_figure(1, len(rows), height=0.3 + WIDTH / count * len(rows))
    for panel, (name, images) in zip(np.ravel(axes), rows.items(), strict=True):
        panel.imshow(np.concatenate(list(images), axis=1))
        panel.set_title(name, fontsize=SMALL, loc="left")
        panel.set_axis_off()
    return figure


def plot_learning(curves: Mapping[str, pd.DataFrame], chance: float) -> Figure:
    """Plot accuracy on held-out images over the steps of training.

    Args:
        curves: name -> columns `step` and `val_accuracy`, as `arlib.networks.learning_curve`.
        chance: accuracy of a guess.
    """
    figure, axes = new_figure(height=3.2)
    steps = {name: (curve["step"] + 1, curve["val_accuracy"]) for name, curve in curves.items()}
    draw_lines(axes, steps, markersize=4)
    axes.axhline(chance, color=NEUTRAL, linestyle=":", label="chance")
    axes.set(xlabel="step of training", ylabel="accuracy, held out")
    axes.legend(fontsize=SMALL, frameon=False)
    return figure


def plot_differences(table: pd.DataFrame, metric: str) -> Figure:
    """Show how far pairs of networks are apart, with intervals.

    Args:
        table: a row a pair, named by what was changed; columns `difference`, `low` and `high`, as
            those of `arlib.evaluation.compare`.
        metric: what is compared.
    """
    figure, axes = new_figure(height=0.9 + 0.3 * len(table))
    draw_differences(axes, table, "difference", f"difference in {metric}")
    axes.set_ylim(len(table) - 0.5, -0.5)
    return figure


def plot_reliability(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot accuracy over confidence; on the diagonal the two are equal.

    Args:
        tables: name -> `arlib.evaluation.reliability`.
    """
    figure, axes = new_figure(width=4.2, height=3.6)
    axes.plot([0.5, 1], [0.5, 1], color=NEUTRAL, linestyle=":")
    draw_lines(axes, {name: (table.confidence, table.accuracy) for name, table in tables.items()})
    axes.set(xlabel="confidence", ylabel="accuracy")
    axes.legend(fontsize=SMALL, frameon=False)
    return figure


def plot_gain(gains: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Plot the gain of fusion over the local share: every run, and the mean with its interval.

    Args:
        gains: columns `share` and `gain`, a row a run.
        summary: index share; columns `mean`, `low` and `high`.
    """
    figure, axes = new_figure(width=5.5, height=3.2)
    axes.axhline(0, color=NEUTRAL, linestyle=":")
    axes.plot(
        gains["share"],
        gains["gain"],
        linestyle="",
        marker=MARKERS[1],
        color=COLOURS[1],
        alpha=0.7,
        label="a seed",
    )
    axes.errorbar(
        summary.index,
        summary["mean"],
        yerr=[summary["mean"] - summary["low"], summary["high"] - summary["mean"]],
        color=COLOURS[0],
        marker=MARKERS[0],
        capsize=4,
        label="mean, 95 % interval",
    )
    axes.set(xlabel="local share", ylabel="AUC, fused - full image")
    axes.legend(fontsize=SMALL, frameon=False)
    return figure
