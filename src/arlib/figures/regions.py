"""Chapters 3 and 4: sentiment scores, the regions that rank best, and where these are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from arlib.figures.images import draw_boxes, draw_image
from arlib.figures.style import (
    COLOURS,
    LINES,
    MARKERS,
    NEUTRAL,
    SMALL,
    draw_intervals,
    draw_lines,
    new_figure,
    new_note,
)


def plot_sentiment_score(curves: Mapping[str, np.ndarray], probability: np.ndarray) -> Figure:
    """Plot Eq. 1 against the probability of the first of two emotions.

    Args:
        curves: name -> Senti_score, (n,).
        probability: (n,) in [0, 1].
    """
    figure, axes = new_figure(height=3)
    draw_lines(axes, {name: (probability, score) for name, score in curves.items()}, markers=False)
    axes.set(xlabel="P(positive)", ylabel="sentiment score")
    axes.legend(fontsize=SMALL)
    return figure


def plot_confidence(full: np.ndarray, regions: np.ndarray, bounds: tuple[float, float]) -> Figure:
    """Compare the sentiment scores of full images with those of regions, as shares of each.

    Args:
        full: (n,) sentiment scores of full images.
        regions: (m,) those of regions, without NaN.
        bounds: the least and greatest possible score.
    """
    figure, axes = new_figure(height=3)
    bins = np.linspace(*bounds, 29)
    filled: Any = {"color": COLOURS[1], "alpha": 0.75, "density": True}
    axes.hist(regions, bins, label="regions", **filled)
    outlined: Any = {"color": COLOURS[0], "histtype": "step", "linewidth": 2.5, "density": True}
    axes.hist(full, bins, label="full images", **outlined)
    axes.set(xlabel="sentiment score", ylabel="density")
    axes.legend(loc="upper right", fontsize=SMALL)
    return figure


def plot_accuracy_by_score(table: pd.DataFrame, majority: float) -> Figure:
    """Plot the accuracy on full images, from the lowest to the highest sentiment score.

    Args:
        table: a row a group, with `score` (its mean), `accuracy`, `low` and `high`.
        majority: the accuracy of always predicting the commonest label.
    """
    figure, axes = new_figure(height=3)
    errors = [table.accuracy - table.low, table.high - table.accuracy]
    axes.errorbar(
        table.score,
        table.accuracy,
        yerr=errors,
        color=COLOURS[0],
        marker=MARKERS[0],
        capsize=3,
        label="accuracy, 95 % interval",
    )
    axes.axhline(majority, color=NEUTRAL, linestyle=LINES[1], label="always the commonest label")
    axes.set(xlabel="mean sentiment score of the group", ylabel="accuracy", ylim=(0, 1.02))
    axes.legend(loc="lower right", fontsize=SMALL)
    return figure


def plot_plane(
    objectness: np.ndarray, sentiment: np.ndarray, chosen: np.ndarray, alpha: float
) -> Figure:
    """Show regions by their two scores, the chosen ones marked, with lines of equal Eq. 2.

    Args:
        objectness: (n,) without NaN.
        sentiment: (n,).
        chosen: (n,) bool.
        alpha: of Eq. 2.
    """
    figure, axes = new_figure(height=4.2)
    grid = {"gridsize": 45, "mincnt": 1, "bins": "log", "cmap": "Greys"}
    if not chosen.all():
        tiles = axes.hexbin(objectness[~chosen], sentiment[~chosen], **grid)
        bar = figure.colorbar(tiles, ax=axes)
        bar.set_label("regions not chosen, per tile", fontsize=SMALL)
        bar.ax.tick_params(labelsize=SMALL)
    marked = np.flatnonzero(chosen)
    marked = marked[:: max(1, len(marked) // 800)]
    axes.plot(
        objectness[marked],
        sentiment[marked],
        linestyle="",
        marker=MARKERS[0],
        markersize=3,
        color=COLOURS[0],
        alpha=0.6,
        label="chosen",
    )
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = np.linspace(left, right, 100), np.linspace(bottom, top, 100)
    affective = np.hypot(x[None], np.sqrt(alpha) * y[:, None])
    axes.contour(x, y, affective, levels=8, colors=COLOURS[5], linewidths=0.8)
    axes.set(xlabel="objectness", ylabel="sentiment score")
    axes.legend(loc="upper right", fontsize=SMALL)
    return figure


def plot_overlap(shares: pd.DataFrame) -> Figure:
    """Plot, against alpha, the share of the chosen regions that one score alone chooses too.

    Args:
        shares: index = alpha, a column a score.
    """
    figure, axes = new_figure(height=3)
    curves = {f"also chosen by {name}": (shares.index, shares[name]) for name in shares.columns}
    draw_lines(axes, curves)
    axes.set(xlabel="alpha", ylabel="share of the K regions", ylim=(0, 1.02), xscale="symlog")
    axes.set_xlim(0, None)
    axes.legend(fontsize=SMALL)
    return figure


def show_selection(
    selected: Mapping[str, np.ndarray],
    boxes: np.ndarray,
    image: np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> Figure:
    """Draw the regions of one image that each selection rule chooses.

    Args:
        selected: rule -> (K, 4) xyxy in pixels, best first.
        boxes: (N, 4) xyxy of all of its regions, which set the canvas.
        image: (H, W, 3) uint8 RGB beneath the chosen ones; None draws all regions there instead.
        known: (R, 4) xyxy, regions that are known to carry the sentiment; NaN rows for none.
    """
    figure, axes = new_figure(len(selected), height=3)
    for panel, (name, best) in zip(np.ravel(axes), selected.items(), strict=True):
        if image is None:
            draw_boxes(panel, boxes, colours="#cccccc", linewidth=0.5)
        else:
            draw_image(panel, image)
        if known is not None:
            carriers = known[~np.isnan(known).any(axis=1)]
            draw_boxes(panel, carriers, colours="black", linewidth=4)
            draw_boxes(panel, carriers, colours=COLOURS[1], linewidth=2)
        numbers = [str(rank) for rank in range(1, len(best) + 1)]
        draw_boxes(panel, best, colours=COLOURS[0], labels=numbers, linewidth=1.5)
        panel.set(xlim=(0, boxes[:, 2].max()), ylim=(boxes[:, 3].max(), 0), aspect="equal")
        panel.set_title(name, fontsize=SMALL)
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
    return figure


MEASURES = ("hit rate", "mean IoU", "pointing game")


def plot_localization(located: Mapping[str, pd.DataFrame]) -> Figure:
    """Show each selection rule's hit rate, mean IoU and pointing game with their intervals.

    Args:
        located: rule -> `arlib.evaluation.locate`; empty where no region is known, for a note.
    """
    if not located:
        return new_note("the regions that carry the sentiment are not known in this dataset")
    figure, axes = new_figure(len(MEASURES), height=0.9 + 0.28 * len(located))
    place = np.arange(len(located))
    for number, (panel, measure) in enumerate(zip(axes, MEASURES, strict=True)):
        rows = pd.DataFrame({name: table.loc[measure] for name, table in located.items()}).T
        draw_intervals(panel, rows, "estimate")
        panel.set_yticks(
            place, list(located) if number == 0 else [""] * len(located), fontsize=SMALL
        )
        panel.set(xlim=(0, 1), title=measure)
        panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        panel.title.set_fontsize(SMALL)
    return figure
