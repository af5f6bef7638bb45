"""A world of its own: drawn pictures whose sentiment, and the regions that carry it, are known."""

from arlib.datasets.scenes.benchmark import (
    ADJECTIVES,
    OBJECTS,
    annotated,
    folded,
    ground_truth,
    objects,
    tagged,
)
from arlib.datasets.scenes.generator import SceneGenerator, Scenes, draw_scenes
from arlib.datasets.scenes.rendering import render
from arlib.datasets.scenes.shapes import SHAPES, SURFACES

__all__ = [
    "ADJECTIVES",
    "OBJECTS",
    "SHAPES",
    "SURFACES",
    "SceneGenerator",
    "Scenes",
    "annotated",
    "draw_scenes",
    "folded",
    "ground_truth",
    "objects",
    "render",
    "tagged",
]
