"""Chapters 3 and 4: how decided regions are, and which of them are chosen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from arlib.figures.images import draw_boxes
from arlib.figures.style import COLOURS, LINES, MARKERS, NEUTRAL, draw_intervals, new_figure


def plot_sentiment_score(curves: Mapping[str, np.ndarray], probability: np.ndarray) -> Figure:
    """Plot Eq. 1 against the probability of the first of two emotions.

    Args:
        curves: name -> Senti_score, (n,).
        probability: (n,) in [0, 1].
    """
    figure, axes = new_figure(height=3)
    for number, (name, score) in enumerate(curves.items()):
        axes.plot(probability, score, color=COLOURS[number], linestyle=LINES[number], label=name)
    axes.set(xlabel="P(positive)", ylabel="sentiment score")
    axes.legend()
    return figure


def plot_confidence(whole: np.ndarray, regions: np.ndarray, bounds: tuple[float, float]) -> Figure:
    """Compare the sentiment scores of full images with those of regions, as shares of each.

    Args:
        whole: (n,) sentiment scores of full images.
        regions: (m,) those of regions, without NaN.
        bounds: the least and greatest possible score.
    """
    figure, axes = new_figure(height=3)
    bins = np.linspace(*bounds, 29)
    styles = {"alpha": 0.75, "density": True}
    axes.hist(regions, bins, color=COLOURS[1], label="regions", **styles)
    axes.hist(
        whole,
        bins,
        color=COLOURS[0],
        label="full images",
        histtype="step",
        linewidth=2.5,
        density=True,
    )
    axes.set(xlabel="sentiment score", ylabel="density")
    axes.legend(loc="upper right")
    return figure


def plot_accuracy_by_score(table: pd.DataFrame, majority: float) -> Figure:
    """Plot how often full images are judged rightly, from the least to the most decided.

    Args:
        table: a row a group, with `score` (its mean), `accuracy`, `low` and `high`.
        majority: the accuracy of always answering the commonest label.
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
    axes.legend(loc="lower right")
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
    tiles = axes.hexbin(objectness[~chosen], sentiment[~chosen], **grid)
    some = np.flatnonzero(chosen)
    some = some[:: max(1, len(some) // 800)]
    axes.plot(
        objectness[some],
        sentiment[some],
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
    axes.legend(loc="lower right")
    figure.colorbar(tiles, ax=axes, label="regions not chosen, a tile")
    return figure


def plot_overlap(shares: pd.DataFrame) -> Figure:
    """Plot, against alpha, what share of the chosen regions one score alone would choose too.

    Args:
        shares: index = alpha, a column a score.
    """
    figure, axes = new_figure(height=3)
    for number, name in enumerate(shares.columns):
        axes.plot(
            shares.index,
            shares[name],
            color=COLOURS[number],
            marker=MARKERS[number],
            linestyle=LINES[number],
            label=f"also chosen by {name}",
        )
    axes.set(xlabel="alpha", ylabel="share of the K regions", ylim=(0, 1.02), xscale="symlog")
    axes.set_xlim(0, None)
    axes.legend()
    return figure


def show_selection(
    choices: Mapping[str, np.ndarray],
    every: np.ndarray,
    picture: np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> Figure:
    """Draw the few of an image's regions that each rule chooses, over the picture or over all.

    Args:
        choices: rule -> (K, 4) xyxy, best first.
        every: (N, 4) xyxy of all of its regions, which set the canvas.
        picture: (H, W, 3) uint8 RGB beneath the chosen ones; None draws all regions there instead.
        known: (R, 4) xyxy, regions that are known to carry the sentiment; NaN rows for none.
    """
    figure, axes = new_figure(len(choices), width=7.5, height=3)
    for panel, (name, boxes) in zip(np.ravel(axes), choices.items(), strict=True):
        if picture is None:
            draw_boxes(panel, every, colours="#cccccc", linewidth=0.5)
        else:
            panel.imshow(picture)
        if known is not None:
            there = known[~np.isnan(known).any(axis=1)]
            draw_boxes(panel, there, colours="black", linewidth=4)
            draw_boxes(panel, there, colours=COLOURS[1], linewidth=2)
        numbers = [str(rank) for rank in range(1, len(boxes) + 1)]
        draw_boxes(panel, boxes, colours=COLOURS[0], labels=numbers, linewidth=1.5)
        panel.set(xlim=(0, every[:, 2].max()), ylim=(every[:, 3].max(), 0), aspect="equal")
        panel.set_title(name, fontsize=10)
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
    return figure


MEASURES = ("hit rate", "mean IoU", "pointing game")


def plot_localization(located: Mapping[str, pd.DataFrame]) -> Figure:
    """Show each way's hit rate, mean IoU and pointing game with intervals; or that none is known.

    Args:
        located: way -> `arlib.evaluation.locate`; empty where no region is known.
    """
    if not located:
        figure, axes = new_figure(height=1)
        told = "the regions that carry the sentiment are not known in this dataset"
        axes.text(0.5, 0.5, told, ha="center", va="center", color=NEUTRAL)
        axes.set_axis_off()
        return figure
    figure, axes = new_figure(len(MEASURES), width=7.5, height=0.9 + 0.28 * len(located))
    place = np.arange(len(located))
    for number, (panel, measure) in enumerate(zip(axes, MEASURES, strict=True)):
        rows = pd.DataFrame({name: table.loc[measure] for name, table in located.items()}).T
        draw_intervals(panel, rows, "estimate")
        panel.set_yticks(place, list(located) if number == 0 else [""] * len(located), fontsize=9)
        panel.set(xlim=(0, 1), title=measure)
        panel.title.set_fontsize(10)
    return figure
