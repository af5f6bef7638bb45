"""Every figure of the book, a function each: data in, a matplotlib `Figure` out."""

from arlib.figures.pictures import draw_boxes, show_picture, show_prediction
from arlib.figures.style import COLOURS, MARKERS, NEGATIVE, NEUTRAL, POSITIVE, new_figure

__all__ = [
    "COLOURS",
    "MARKERS",
    "NEGATIVE",
    "NEUTRAL",
    "POSITIVE",
    "draw_boxes",
    "new_figure",
    "show_picture",
    "show_prediction",
]
