"""Chapter 6: results with their intervals, and sweeps."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from arlib.figures.style import COLOURS, LINES, MARKERS, NEUTRAL, new_figure


def plot_results(tables: Mapping[str, pd.DataFrame], metric: str = "accuracy") -> Figure:
    """Show every method of every run: estimate, interval and the majority line.

    Args:
        tables: run -> a row a method, with `estimate`, `low`, `high` and `majority`.
        metric: names the axis.
    """
    figure, axes = new_figure(1, len(tables), width=7, height=1.1 + 1.4 * len(tables))
    for panel, (run, table) in zip(np.ravel(axes), tables.items(), strict=True):
        place = np.arange(len(table))
        errors = [table.estimate - table.low, table.high - table.estimate]
        panel.errorbar(
            table.estimate,
            place,
            xerr=errors,
            linestyle="",
            color=COLOURS[0],
            marker=MARKERS[0],
            capsize=3,
        )
        panel.axvline(table.majority.iloc[0], color=NEUTRAL, linestyle=LINES[1])
        panel.set_yticks(place, table.index, fontsize=9)
        panel.invert_yaxis()
        panel.set_title(run, fontsize=10, loc="left")
    np.ravel(axes)[-1].set_xlabel(
        f"{metric}, 95 % interval; broken line: always the commonest label"
    )
    return figure


def plot_k(curves: pd.DataFrame, whole: float, majority: float) -> Figure:
    """Plot accuracy against K, as the paper's Fig. 4.

    Args:
        curves: index = K, a column a way to rank.
        whole: accuracy of the whole image alone.
        majority: accuracy of always answering the commonest label.
    """
    figure, axes = new_figure(height=3.4)
    for number, name in enumerate(curves.columns):
        axes.plot(
            curves.index,
            curves[name],
            color=COLOURS[number],
            marker=MARKERS[number],
            linestyle=LINES[number],
            markersize=4,
            label=name,
        )
    axes.axhline(whole, color="black", linewidth=1, label="whole image alone")
    axes.axhline(majority, color=NEUTRAL, linestyle=LINES[1], label="always the commonest label")
    axes.set(xlabel="K, regions fused", ylabel="accuracy")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def plot_sweep(accuracy: xr.DataArray) -> Figure:
    """Show accuracy over alpha and beta as a map.

    Args:
        accuracy: (alpha, beta) in [0, 1].
    """
    figure, axes = new_figure(width=6, height=4)
    alpha, beta = accuracy.alpha.values, accuracy.beta.values
    tiles = axes.pcolormesh(
        beta, alpha, accuracy.transpose("alpha", "beta").values, cmap="cividis", shading="nearest"
    )
    axes.grid(False)
    axes.set(xlabel="beta", ylabel="alpha")
    figure.colorbar(tiles, ax=axes, label="accuracy")
    return figure
