"""Chapter 6: one failure a cause, with the regions that were fused."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from arlib.algorithm import affective_regions
from arlib.datasets import Dataset
from arlib.figures.pictures import draw_boxes, show_picture
from arlib.figures.style import NEGATIVE, NEUTRAL, POSITIVE, new_figure


def show_failures(
    failed: pd.DataFrame,
    pictures: Dataset | None,
    scores: xr.Dataset,
    *,
    k: int = 8,
    alpha: float = 1.0,
    base: float | str = "e",
) -> Figure:
    """Draw the most certain failure of each cause with its K regions; only of drawn pictures.

    Args:
        failed: from `arlib.failures.causes`.
        pictures: of the scores' images; photographs, or None, give a note instead: they may show
            people, and carry licences of their own.
        scores: of the images, two emotions.
        k: K.
        alpha: Eq. 2's tradeoff.
        base: Eq. 1's logarithm.
    """
    if pictures is None or pictures.draw is None or failed.empty:
        figure, axes = new_figure(height=1)
        told = "nothing failed" if failed.empty else "only drawn pictures are shown"
        axes.text(0.5, 0.5, told, ha="center", va="center", color=NEUTRAL)
        axes.set_axis_off()
        return figure
    shown = failed.groupby("cause", sort=False).head(1)
    figure, axes = new_figure(len(shown), width=1.9 * max(len(shown), 2), height=2.6)
    keys = pictures.keys.tolist()
    rows = [scores.image.values.tolist().index(key) for key in shown.index]
    chosen = affective_regions(scores.isel(image=rows), k, alpha=alpha, base=base)
    for panel, (key, row), box, share in zip(
        np.ravel(axes),
        shown.iterrows(),
        chosen.box.values,
        chosen.probability.values[..., 0],
        strict=True,
    ):
        show_picture(panel, pictures.read(keys.index(key)))
        there = ~np.isnan(share)
        colours = np.where(share[there] >= 0.5, POSITIVE, NEGATIVE).tolist()
        draw_boxes(panel, box[there], colours=colours, linewidth=1)
        label = pictures.emotions[int(pictures.labels[keys.index(key)])]
        panel.set_title(f"{row.cause}\ntruly {label}, given {row.fused:.0%}", fontsize=8)
    return figure
