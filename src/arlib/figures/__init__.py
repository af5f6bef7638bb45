"""Every figure of the book, a function each: data in, a matplotlib `Figure` out."""

from arlib.figures.experiments import plot_curves, plot_sweeps, show_failures
from arlib.figures.finetuning import (
    plot_gain,
    plot_learning,
    plot_reliability,
    show_filters,
    show_rows,
)
from arlib.figures.fusion import plot_decision, plot_flips
from arlib.figures.images import draw_boxes, show_picture, show_pipeline, show_prediction
from arlib.figures.proposals import plot_objectness, plot_recall, show_edges, show_proposals
from arlib.figures.regions import (
    plot_accuracy_by_score,
    plot_decidedness,
    plot_localization,
    plot_overlap,
    plot_plane,
    plot_sentiment_score,
    show_choices,
)
from arlib.figures.style import COLOURS, LINES, MARKERS, NEGATIVE, NEUTRAL, POSITIVE, new_figure
from arlib.figures.table1 import plot_sensitivity, plot_table, table_html

__all__ = [
    "COLOURS",
    "LINES",
    "MARKERS",
    "NEGATIVE",
    "NEUTRAL",
    "POSITIVE",
    "draw_boxes",
    "new_figure",
    "plot_accuracy_by_score",
    "plot_curves",
    "plot_decidedness",
    "plot_decision",
    "plot_flips",
    "plot_gain",
    "plot_learning",
    "plot_localization",
    "plot_objectness",
    "plot_overlap",
    "plot_plane",
    "plot_recall",
    "plot_reliability",
    "plot_sensitivity",
    "plot_sentiment_score",
    "plot_sweeps",
    "plot_table",
    "show_choices",
    "show_edges",
    "show_failures",
    "show_filters",
    "show_picture",
    "show_pipeline",
    "show_prediction",
    "show_proposals",
    "show_rows",
    "table_html",
]
