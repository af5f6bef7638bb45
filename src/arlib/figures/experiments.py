"""Chapters 6a and 6b: accuracy over K, failures, sweeps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from arlib.datasets import Dataset
from arlib.figures.images import draw_boxes, show_image
from arlib.figures.style import (
    COLOURS,
    LINES,
    MARKERS,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    SMALL,
    new_figure,
    new_note,
    set_title,
)
from arlib.method import affective_regions


def plot_curves(
    columns: Mapping[str, xr.Dataset], majority: Mapping[str, float], k: int | None = None
) -> Figure:
    """Plot accuracy against K for every selection rule, as the paper's Fig. 4.

    Args:
        columns: column -> `arlib.evaluation.curves`; the first rule is shown with its interval.
        majority: column -> accuracy of always predicting the commonest label.
        k: a K to mark.
    """
    n = len(columns)
    wide = min(n, 2)
    figure, axes = new_figure(wide, -(-n // wide), height=0.8 + 2.6 * -(-n // wide))
    panels = np.ravel(axes)
    # a rule looks the same in every panel, also where others lack it
    rules = list(dict.fromkeys(rule for c in columns.values() for rule in c.rule.values.tolist()))
    handles: dict[str, Any] = {}
    for panel, (name, curves) in zip(panels, columns.items(), strict=False):
        first = curves.isel(rule=0)
        panel.fill_between(curves.k, 100 * first.low, 100 * first.high, alpha=0.2, color=COLOURS[0])
        for rule in curves.rule.values.tolist():
            number, flat = rules.index(rule), rule in ("all regions", "random crops")
            panel.plot(
                curves.k,
                100 * curves.accuracy.sel(rule=rule),
                color=COLOURS[number % len(COLOURS)] if number and not flat else "black",
                marker="" if flat else MARKERS[number % len(MARKERS)],
                linestyle=LINES[number % len(LINES)],
                markersize=3,
                linewidth=1.8 if number == 0 else 1,
                label=rule,
            )
        panel.axhline(100 * majority[name], color=NEUTRAL, linestyle=LINES[1], label="majority")
        if k is not None:
            panel.axvline(k, color=NEUTRAL, linestyle=LINES[3], label=f"K = {k}")
        lines, labels = panel.get_legend_handles_labels()
        handles |= dict(zip(labels, lines, strict=True))
        set_title(panel, curves.attrs.get("title", name), 32)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set(xlabel="K, regions fused", ylabel="accuracy, %")
    for panel in panels[n:]:
        panel.set_axis_off()
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=SMALL)
    return figure


def plot_sweeps(maps: Mapping[str, xr.DataArray]) -> Figure:
    """Show what each alpha and beta gain as one map a column, all on one scale.

    Args:
        maps: column -> (alpha, beta), a difference of accuracies in [-1, 1].
    """
    import seaborn as sns

    n = len(maps)
    wide, high = min(n, 3), -(-n // 3)
    figure, axes = new_figure(wide, high, height=1.1 + 2 * high)
    panels = np.ravel(axes)
    most = max(float(np.abs(gain).max()) for gain in maps.values())
    look: dict[str, Any] = {"vmin": -100 * most, "vmax": 100 * most, "cmap": "PuOr"}
    for panel, (name, gain) in zip(panels, maps.items(), strict=False):
        table = 100 * gain.transpose("alpha", "beta").to_pandas()
        sns.heatmap(table, ax=panel, xticklabels=5, yticklabels=5, cbar=False, **look)
        panel.invert_yaxis()
        panel.grid(False)
        set_title(panel, gain.attrs.get("title", name), 20)
    for panel in panels[n:]:
        panel.set_axis_off()
    tiles = panels[0].collections[0]
    bar = figure.colorbar(tiles, ax=axes, orientation="horizontal", aspect=40)
    bar.set_label("accuracy gained over the full image, points", fontsize=SMALL + 1)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def plot_saturation(columns: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the AUC of each row over the number of regions, of proposals and of random crops.

    Args:
        columns: column -> `arlib.evaluation.saturation`, of a few methods.
    """
    import seaborn as sns

    n = len(columns)
    wide = min(n, 2)
    figure, axes = new_figure(wide, -(-n // wide), height=0.8 + 2.3 * -(-n // wide))
    panels = np.ravel(axes)
    methods = list(dict.fromkeys(name for each in columns.values() for name in each.method))
    colours = dict(zip(methods, COLOURS, strict=False))
    dashes = {"proposals": "", "random crops": (3, 2)}
    look: dict[str, Any] = {"x": "n", "y": "auc", "hue": "method", "style": "regions"}
    handles: dict[str, Any] = {}
    for panel, (name, table) in zip(panels, columns.items(), strict=False):
        sns.lineplot(table, ax=panel, palette=colours, dashes=dashes, markers=False, **look)
        lines, labels = panel.get_legend_handles_labels()
        handles |= {
            label: line
            for label, line in zip(labels, lines, strict=True)
            if label not in ("method", "regions")
        }
        panel.get_legend().remove()
        set_title(panel, name, 32)
        panel.set(xscale="log", xlabel="N, regions an image", ylabel="AUC")
        ticks = sorted(table.n.unique())
        ticks = [n for n in ticks if n == ticks[-1] or n < 0.7 * ticks[-1]]  # or two collide
        panel.set_xticks(ticks, ticks)
        panel.minorticks_off()
    for panel in panels[n:]:
        panel.set_axis_off()
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=2, fontsize=SMALL)
    return figure


def show_failures(
    failed: pd.DataFrame,
    dataset: Dataset | None,
    scores: xr.Dataset,
    *,
    k: int = 8,
    alpha: float = 1.0,
    base: float | str = "e",
) -> Figure:
    """Draw the most confident failure of each cause with its K regions.

    Args:
        failed: from `arlib.evaluation.causes`.
        dataset: the scores' images, from `arlib.experiments.shown_images`; None gives a note.
        scores: of the images, two emotions.
        k: K.
        alpha: Eq. 2's tradeoff.
        base: Eq. 1's logarithm.
    """
    if dataset is None or failed.empty:
        return new_note(
            "nothing failed" if failed.empty else "photographs of a published dataset: not shown"
        )
    first = failed.groupby("cause", sort=False).head(1)
    figure, axes = new_figure(len(first), width=1.9 * max(len(first), 2), height=2.6)
    keys = dataset.keys.tolist()
    rows = [scores.image.values.tolist().index(key) for key in first.index]
    chosen = affective_regions(scores.isel(image=rows), k, alpha=alpha, base=base)
    for panel, (key, row), box, share in zip(
        np.ravel(axes),
        first.iterrows(),
        chosen.box.values,
        chosen.probability.values[..., 0],
        strict=True,
    ):
        show_image(panel, dataset.read(keys.index(key)))
        valid = ~np.isnan(share)
        colours = np.where(share[valid] >= 0.5, POSITIVE, NEGATIVE).tolist()
        draw_boxes(panel, box[valid], colours=colours, linewidth=1)
        label = dataset.emotions[int(dataset.labels[keys.index(key)])]
        title = f"{row.cause}\nlabelled {label}\nfused: {row.fused:.0%} {label}"
        panel.set_title(title, fontsize=SMALL)
    return figure
