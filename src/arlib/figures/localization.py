"""Chapter 4: how well regions are found that are known to carry the sentiment."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from arlib.figures.style import NEUTRAL, draw_intervals, new_figure

MEASURES = ("hit rate", "mean IoU", "pointing game")


def plot_localization(located: Mapping[str, pd.DataFrame]) -> Figure:
    """Show each way's hit rate, mean IoU and pointing game with intervals; or that none is known.

    Args:
        located: way -> `arlib.localization.locate`; empty where no region is known.
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
