"""A world of its own: drawn pictures whose sentiment, and the regions that carry it, are known."""

from arlib.datasets.scenes.drawing import render
from arlib.datasets.scenes.sets import (
    ADJECTIVES,
    OBJECTS,
    folded,
    ground_truth,
    judged,
    objects,
    tagged,
)
from arlib.datasets.scenes.shapes import SHAPES, SURFACES
from arlib.datasets.scenes.world import Scenes, World, draw_scenes

__all__ = [
    "ADJECTIVES",
    "OBJECTS",
    "SHAPES",
    "SURFACES",
    "Scenes",
    "World",
    "draw_scenes",
    "folded",
    "ground_truth",
    "judged",
    "objects",
    "render",
    "tagged",
]
