"""Every figure of the book, a function each: data in, a matplotlib `Figure` out."""

from arlib.figures.pictures import draw_boxes, show_picture, show_prediction
from arlib.figures.proposals import plot_objectness, plot_recall, show_edges, show_proposals
from arlib.figures.style import COLOURS, LINES, MARKERS, NEGATIVE, NEUTRAL, POSITIVE, new_figure

__all__ = [
    "COLOURS",
    "LINES",
    "MARKERS",
    "NEGATIVE",
    "NEUTRAL",
    "POSITIVE",
    "draw_boxes",
    "new_figure",
    "plot_objectness",
    "plot_recall",
    "show_edges",
    "show_picture",
    "show_prediction",
    "show_proposals",
]
