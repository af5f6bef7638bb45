"""Shapes of objects: outlines in polar form, surfaces, colours."""

import numpy as np

ANGLES = 720
"""Directions in which an outline's radius is tabulated."""

SURFACES = ("plain", "striped", "dotted")


def _outlines() -> dict[str, np.ndarray]:
    t = 2 * np.pi * np.arange(ANGLES) / ANGLES

    def polygon(corners: int, turn: float = 0.0) -> np.ndarray:
        step = 2 * np.pi / corners
        return np.cos(step / 2) / np.cos(np.mod(t + turn, step) - step / 2)

    return {
        "disc": np.ones(ANGLES),
        "egg": 1 / np.sqrt(np.cos(t) ** 2 + (np.sin(t) / 0.7) ** 2),
        "triangle": polygon(3, np.pi / 6),
        "box": polygon(4),
        "diamond": polygon(4, np.pi / 4),
        "hexagon": polygon(6),
        "star": 0.62 + 0.38 * np.cos(5 * t + np.pi / 2),
        "flower": 0.8 + 0.2 * np.cos(7 * t),
        "clover": 0.7 + 0.3 * np.abs(np.cos(2 * t)),
        "cog": 0.85 + 0.15 * np.sign(np.cos(10 * t)),
        "drop": 0.55 + 0.45 * np.abs(np.cos(t / 2 + np.pi / 4)),
        "bean": 0.75 + 0.25 * np.cos(2 * t) + 0.1 * np.sin(t),
    }


SHAPES = tuple(_outlines())

RADII = np.stack([r / r.max() for r in _outlines().values()]).astype(np.float32)
"""(shape, angle): how far the outline is from the centre, at most 1; angles run from x to y."""


def _extents() -> np.ndarray:
    t = 2 * np.pi * np.arange(ANGLES) / ANGLES
    turned = RADII[:, (np.arange(ANGLES)[None] - np.arange(ANGLES)[:, None]) % ANGLES]
    x, y = turned * np.cos(t), turned * np.sin(t)  # (shape, turn, angle)
    return np.stack([x.min(-1), y.min(-1), x.max(-1), y.max(-1)], axis=-1).astype(np.float32)


EXTENTS = _extents()
"""(shape, turn, corner): the tight box xyxy around an outline of radius 1, by its turn."""

COLOURS = np.random.default_rng(2016).uniform(40, 230, (len(SHAPES), len(SURFACES), 3))
"""(shape, surface, RGB): the typical colour of each class."""
