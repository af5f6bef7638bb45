"""Chapter 1: edge maps, proposed boxes, and their recall."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.ndimage import maximum_filter

from arlib.figures.images import draw_boxes, show_image
from arlib.figures.style import COLOURS, NEUTRAL, SMALL, draw_lines, new_figure


def show_edges(images: Mapping[str, np.ndarray], edges: Mapping[str, np.ndarray]) -> Figure:
    """Show images above their edge maps; strong edges are dark, and a thin line stays visible.

    Args:
        images: name -> (H, W, 3) uint8 RGB.
        edges: name -> (H, W) in [0, 1].
    """
    figure, axes = new_figure(len(images), 2, height=3.5)
    figure.set_layout_engine("compressed")  # no band between rows of images that are less high
    axes = axes.reshape(2, -1)
    for column, name in enumerate(images):
        show_image(axes[0, column], images[name], name)
        # a line of one pixel would fade where its panel has fewer pixels than the image
        lines = maximum_filter(edges[name], max(1, edges[name].shape[1] // 200))
        show_image(axes[1, column], 1 - lines**0.5)  # so that faint ones show
    return figure


def show_proposals(image: np.ndarray, boxes: Mapping[str, np.ndarray]) -> Figure:
    """Draw the boxes of several methods on copies of one image, two in a row.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: method -> (N, 4) xyxy in pixels, best first; the first is drawn thickest.
    """
    rows = -(-len(boxes) // 2)
    figure, axes = new_figure(min(2, len(boxes)), rows, height=2.6 * rows)
    figure.set_layout_engine("compressed")
    for panel, (name, proposed) in zip(np.ravel(axes), boxes.items(), strict=False):
        show_image(panel, image, name)
        draw_boxes(panel, proposed[1:], colours=COLOURS[0], linewidth=1)
        draw_boxes(panel, proposed[:1], colours=COLOURS[1], linewidth=2.5)
    return figure


def plot_objectness(objectness: Mapping[str, np.ndarray]) -> Figure:
    """Plot objectness against rank, a line for each image.

    Args:
        objectness: image -> (N,) scores, best first.
    """
    figure, axes = new_figure(height=3)
    curves = {name: (np.arange(1, len(score) + 1), score) for name, score in objectness.items()}
    draw_lines(axes, curves, markers=False)
    axes.set(xlabel="rank of the region", ylabel="objectness", ylim=(0, None))
    axes.legend(fontsize=SMALL)
    return figure


def plot_recall(curves: pd.DataFrame, iou: float = 0.5) -> Figure:
    """Plot recall, the share of objects found, against the number of boxes.

    Args:
        curves: recall in [0, 1]; index = number of boxes an image, a column a method.
        iou: the overlap that counts as found.
    """
    figure, axes = new_figure()
    draw_lines(axes, {name: (curves.index, curves[name]) for name in curves.columns})
    axes.axvline(100, color=NEUTRAL, linewidth=1)
    axes.set(xscale="log", ylim=(0, 1), xlabel="boxes an image", ylabel=f"recall at IoU {iou:g}")
    axes.legend(fontsize=SMALL)
    return figure
