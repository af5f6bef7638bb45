"""The whole method on one picture, as the paper's Fig. 2."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from arlib.figures.pictures import draw_boxes, show_picture
from arlib.figures.style import COLOURS, NEGATIVE, NEUTRAL, POSITIVE, new_figure

if TYPE_CHECKING:
    from arlib.prediction import Prediction


def show_pipeline(
    image: np.ndarray,
    boxes: np.ndarray,
    objectness: np.ndarray,
    sentiment: np.ndarray,
    prediction: "Prediction",
) -> Figure:
    """Show a picture on its way: proposed, scored, ranked and fused (Sun et al. 2016, Fig. 2).

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) xyxy in pixels, every proposal.
        objectness: (N,), of each.
        sentiment: (N,), its sentiment score, Eq. 1.
        prediction: of that picture, from `arlib.predict` or `prediction_from_scores`.

    Returns:
        A figure of four panels; a region that agrees with the label is blue, another orange.

    Example:
        >>> from arlib.prediction import Prediction
        >>> even, none = {"positive": 0.5, "negative": 0.5}, np.zeros(0)
        >>> picture = np.zeros((9, 9, 3), np.uint8)
        >>> found = Prediction("positive", even, even, even, ())
        >>> len(show_pipeline(picture, np.zeros((0, 4)), none, none, found).axes)
        4
    """
    height, width = image.shape[:2]
    figure, panels = new_figure(2, 2, width=9, height=min(10, 1.4 + 8.4 * height / width))
    (start, proposed), (plane, fused) = panels
    label, regions = prediction.label, prediction.regions
    show_picture(start, image, "1. The picture")
    show_picture(proposed, image, f"2. Its {len(boxes)} proposals")
    draw_boxes(proposed, boxes, colours=COLOURS[0], linewidth=0.6)

    agree = [region.probability[label] == max(region.probability.values()) for region in regions]
    colours = [POSITIVE if same else NEGATIVE for same in agree]
    plane.scatter(objectness, sentiment, s=14, facecolors="none", edgecolors=NEUTRAL)
    chosen = [(region.objectness, region.sentiment_score) for region in regions]
    plane.scatter(*np.reshape(chosen, (-1, 2)).T, s=36, c=colours, edgecolors="white")
    plane.set(xlabel="objectness", ylabel="sentiment score, Eq. 1")
    plane.set_title(f"3. The {len(regions)} farthest from the origin, Eq. 2", fontsize=10)

    shares = (prediction.global_probability[label], prediction.probability[label])
    says = "4. {}: {:.2f} of the whole, {:.2f} fused, Eq. 3".format(label, *shares)
    show_picture(fused, image, says)
    numbers = [str(number) for number in range(1, len(regions) + 1)]
    corners = np.array([region.box for region in regions]).reshape(-1, 4)
    draw_boxes(fused, corners, colours=colours, labels=numbers)
    return figure
