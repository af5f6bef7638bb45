"""Regions drawn on images: boxes, a prediction, the method step by step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from arlib.figures.dark import BookFigure
from arlib.figures.style import COLOURS, NEGATIVE, NEUTRAL, POSITIVE, SMALL, new_figure

if TYPE_CHECKING:
    from arlib.scoring import Prediction

_LONGEST = 1600  # pixels of a drawn image's longer side: Matplotlib takes some 50 bytes a pixel


def draw_image(axes: Axes, image: np.ndarray) -> None:
    """Draw an image, (H, W, 3) uint8 RGB or (H, W) in [0, 1]; the axes count its own pixels."""
    height, width = image.shape[:2]
    factor = -(-max(height, width) // _LONGEST)
    pixels = image if factor == 1 else np.asarray(Image.fromarray(image).reduce(factor))
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, extent=extent)


def show_image(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Show an image, (H, W, 3) uint8 RGB or (H, W) in [0, 1], without ticks."""
    draw_image(axes, image)
    axes.set_title(title, fontsize=SMALL)
    axes.set_axis_off()


def draw_boxes(
    axes: Axes,
    boxes: np.ndarray,
    *,
    colours: str | Sequence[str] = COLOURS[0],
    labels: Sequence[str] | None = None,
    linewidth: float = 2,
) -> None:
    """Outline boxes, (N, 4) xyxy in pixels, with a white rim and, if given, a label each."""
    each = [colours] * len(boxes) if isinstance(colours, str) else list(colours)
    for number, ((x0, y0, x1, y1), colour) in enumerate(zip(boxes, each, strict=True)):
        corner, width, height = (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0
        for line, edge in ((linewidth + 1.5, "white"), (linewidth, colour)):
            axes.add_patch(
                Rectangle(corner, width, height, fill=False, edgecolor=edge, linewidth=line)
            )
        if labels is not None:
            axes.annotate(
                labels[number],
                corner,
                xytext=(2, -2),
                textcoords="offset points",
                va="top",
                fontsize=8,
                color="white",
                bbox={"facecolor": colour, "edgecolor": "white", "pad": 1.5},
            )


def _agreement(prediction: "Prediction") -> tuple[np.ndarray, list[str], list[str]]:
    """The K affective regions' boxes, ranks, and colours: blue if they agree, orange if not."""
    label, regions = prediction.label, prediction.regions
    agree = [region.probability[label] == max(region.probability.values()) for region in regions]
    boxes = np.array([region.box for region in regions]).reshape(-1, 4)
    ranks = [str(rank) for rank in range(1, len(regions) + 1)]
    return boxes, ranks, [POSITIVE if same else NEGATIVE for same in agree]


def show_prediction(image: np.ndarray, prediction: "Prediction") -> Figure:
    """Draw a prediction: the K affective regions on the image, and the probability of each.

    Args:
        image: (H, W, 3) uint8 RGB, the image that was predicted.
        prediction: from `arlib.predict`.

    Returns:
        A figure of two panels; a region that agrees with the label is blue, another orange.

    Example:
        >>> from arlib.scoring import Prediction
        >>> even = {"positive": 0.5, "negative": 0.5}
        >>> len(show_prediction(np.zeros((9, 9, 3), np.uint8),
        ...                     Prediction("positive", even, even, even, ())).axes)
        2
    """
    height, width = image.shape[:2]
    size = 9, min(6, max(3, 4.5 * height / width))
    figure = BookFigure(figsize=size, layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    label, (boxes, ranks, colours) = prediction.label, _agreement(prediction)
    show_image(left, image, label)
    draw_boxes(left, boxes, colours=colours, labels=ranks)
    names = ["fused", "full image", *(f"region {rank}" for rank in ranks)]
    parts = [prediction.probability, prediction.global_probability]
    parts += [region.probability for region in prediction.regions]
    values = [part[label] for part in parts]
    bars = right.barh(names, values, color=[NEUTRAL, NEUTRAL, *colours])
    right.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    right.axvline(1 / len(prediction.probability), color=NEUTRAL, linewidth=1)
    right.grid(axis="x", color="0.8")
    right.set_axisbelow(True)
    right.set(xlim=(0, 1.1), xlabel=f"probability of {label}")
    right.invert_yaxis()
    return figure


def show_pipeline(
    image: np.ndarray,
    boxes: np.ndarray,
    objectness: np.ndarray,
    sentiment: np.ndarray,
    prediction: "Prediction",
) -> Figure:
    """Show the method on one image: propose, score, rank, fuse (Sun et al. 2016, Fig. 2).

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) xyxy in pixels, every proposal.
        objectness: (N,), of each.
        sentiment: (N,), its sentiment score, Eq. 1.
        prediction: of that image, from `arlib.predict` or `prediction_from_scores`.

    Returns:
        A figure of four panels; a region that agrees with the label is blue, another orange.

    Example:
        >>> from arlib.scoring import Prediction
        >>> even, none = {"positive": 0.5, "negative": 0.5}, np.zeros(0)
        >>> image = np.zeros((9, 9, 3), np.uint8)
        >>> prediction = Prediction("positive", even, even, even, ())
        >>> len(show_pipeline(image, np.zeros((0, 4)), none, none, prediction).axes)
        4
    """
    height, width = image.shape[:2]
    figure, panels = new_figure(2, 2, height=min(8, 1.1 + 4.9 * height / width))
    (start, proposed), (plane, fused) = panels
    label, (best, ranks, colours) = prediction.label, _agreement(prediction)
    # the image and its proposals
    show_image(start, image, "1. The image")
    show_image(proposed, image, f"2. Its {len(boxes)} proposals")
    draw_boxes(proposed, boxes, colours=COLOURS[0], linewidth=0.6)
    # the plane of both scores
    plane.scatter(objectness, sentiment, s=14, facecolors="none", edgecolors=NEUTRAL)
    chosen = [(region.objectness, region.sentiment_score) for region in prediction.regions]
    plane.scatter(*np.reshape(chosen, (-1, 2)).T, s=36, c=colours, edgecolors="white")
    plane.set(xlabel="objectness", ylabel="sentiment score, Eq. 1")
    plane.set_title(f"3. The {len(best)} farthest from (0, 0), Eq. 2", fontsize=SMALL)
    # the prediction
    shares = (prediction.global_probability[label], prediction.probability[label])
    show_image(fused, image, "4. {}: {:.2f} alone, {:.2f} fused".format(label, *shares))
    draw_boxes(fused, best, colours=colours, labels=ranks)
    return figure
