"""Content of images -> their pixels, many images at once, in NumPy alone."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from arlib.datasets.scenes.generator import PATCH, Scenes
from arlib.datasets.scenes.shapes import ANGLES, RADII

_BLOCK = 32  # images at once: their canvases fit the processor's cache

_Y, _X = np.mgrid[:PATCH, :PATCH].astype(np.float32) - np.float32((PATCH - 1) / 2)

_RHO = np.hypot(_X, _Y)

_ANGLE = np.round(np.arctan2(_Y, _X) / (2 * np.pi) * ANGLES).astype(np.int32)


def render(scenes: Scenes, index: npt.ArrayLike) -> np.ndarray:
    """Draw images: background, objects back to front, then the light and the weather on all.

    An image's pixels depend on its own row alone, not on which others are drawn with it.

    Args:
        scenes: their content, as `draw_scenes` gives it.
        index: (b,) int, which to draw.

    Returns:
        (b, size, size, 3) uint8 RGB.

    Example:
        >>> from arlib.datasets.scenes import SceneGenerator, draw_scenes
        >>> render(draw_scenes(SceneGenerator(), 5, seed=0), [3, 4]).shape
        (2, 128, 128, 3)
    """
    index = np.asarray(index, dtype=np.intp).reshape(-1)
    size = scenes.generator.size
    images = np.empty((len(index), size, size, 3), np.uint8)
    for start in range(0, len(index), _BLOCK):
        rows = index[start : start + _BLOCK]
        canvas = _background(scenes, rows)
        for place in range(scenes.present.shape[1]):
            _add_objects(canvas, scenes, rows, place)
        lit = _light(canvas[:, :, PATCH:-PATCH, PATCH:-PATCH], scenes, rows)
        pixels = np.clip(lit, 0, 255).astype(np.uint8)
        images[start : start + _BLOCK] = pixels.transpose(0, 2, 3, 1)  # (b, H, W, RGB)
    return images


def _background(scenes: Scenes, rows: np.ndarray) -> np.ndarray:
    """Draw slow colours on the ground: (b, 3, size + 2 PATCH, size + 2 PATCH), margins empty."""
    size = scenes.generator.size
    canvas = np.zeros((len(rows), 3, size + 2 * PATCH, size + 2 * PATCH), np.float32)
    up = _smooth(scenes.texture.shape[-1], size)
    slow = np.matmul(np.matmul(up, scenes.texture[rows]), up.T)
    canvas[:, :, PATCH:-PATCH, PATCH:-PATCH] = slow + scenes.ground[rows][:, :, None, None]
    return canvas


def _add_objects(canvas: np.ndarray, scenes: Scenes, rows: np.ndarray, place: int) -> None:
    """Draw the object at one place into each image that has one there."""
    with_object = np.flatnonzero(scenes.present[rows, place])
    if not with_object.size:
        return
    cover, paint = _sprites(scenes, rows[with_object], place)
    corners = scenes.center[rows[with_object], place] + PATCH // 2  # + the margin - half a patch
    for image, (x, y), share, colour in zip(with_object, corners, cover, paint, strict=True):
        patch = canvas[image, :, y : y + PATCH, x : x + PATCH]
        patch += share * (colour - patch)


def _sprites(scenes: Scenes, rows: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one object an image: cover (b, 1, PATCH, PATCH) in [0, 1], paint (b, 3, ...)."""

    def of(array: np.ndarray) -> np.ndarray:
        return array[rows, place][:, None, None]

    radius, turn = of(scenes.radius), of(scenes.turn)
    outline = RADII[of(scenes.shape), (_ANGLE - turn) % ANGLES] * radius
    cover = np.clip(outline - _RHO + np.float32(0.5), 0, 1)
    angle = turn.astype(np.float32) * np.float32(2 * np.pi / ANGLES)
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = (_X * cos + _Y * sin) / radius, (_Y * cos - _X * sin) / radius  # upright, radius 1
    shade = _surface(scenes.surface[rows, place], u, v)
    face, light = scenes.face[rows, place], np.ones_like(radius)
    if face.any():
        mood = np.tanh(of(scenes.expression)[face])
        light[face] += np.float32(scenes.generator.tone) * mood
        ink = _face(u[face], v[face], mood, radius[face])
        dim = np.float32(0.3) * shade[face]  # a face is drawn over a fainter surface
        shade[face] = dim + ink * (np.float32(0.85) - dim)
    colour = scenes.colour[rows, place][:, :, None, None] * light[:, None]
    paint = colour * (1 - shade)[:, None]
    return cover[:, None], paint


def _surface(surface: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Shade stripes and dots, by how much darker they are: (b, PATCH, PATCH) in [0, 1]."""
    shade = np.zeros_like(u)
    striped, dotted = surface == 1, surface == 2
    shade[striped] = 0.25 * (np.mod(3 * (u[striped] + v[striped]), 1) < 0.35)
    x, y = np.mod(3.2 * u[dotted], 1) - 0.5, np.mod(3.2 * v[dotted], 1) - 0.5
    shade[dotted] = 0.25 * (x**2 + y**2 < 0.07)
    return shade


def _face(u: np.ndarray, v: np.ndarray, mood: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Draw eyes, brows and mouth by signed distance: mood -1 frowns, +1 smiles."""
    side = np.abs(u)
    eyes = np.hypot(side - 0.28, v + 0.22) - 0.11
    bend = 0.24 * mood * (1 - 2 * (u / 0.46) ** 2)
    mouth = np.maximum(np.abs(v - 0.3 - bend) - 0.075, side - 0.46)
    slant = 0.16 * mood * (side - 0.28) / 0.18
    brows = np.maximum(np.abs(v + 0.48 - slant) - 0.055, np.abs(side - 0.28) - 0.18)
    nearest = np.minimum(np.minimum(eyes, mouth), brows)
    return np.clip(0.5 - nearest * radius, 0, 1)


def _light(canvas: np.ndarray, scenes: Scenes, rows: np.ndarray) -> np.ndarray:
    """Apply light and warmth, then rain or sunshine, then the camera's noise."""
    size = scenes.generator.size
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    fall = scenes.gradient[rows][:, :, None, None]  # (b, 2, 1, 1)
    light = 1 + scenes.light[rows][:, None, None] + fall[:, 0] * ramp[:, None] + fall[:, 1] * ramp
    warmth = scenes.warmth[rows]
    tint = np.stack([1 + warmth, np.ones_like(warmth), 1 - warmth], axis=1)[:, :, None, None]
    lit = canvas * light[:, None] * tint
    rain, sun, grain = _weather(size)
    for image, row in enumerate(rows):
        weather = min(max(scenes.weather[row], -1.5), 1.5)
        lit[image] += np.float32(35 * max(weather, 0)) * sun
        y, x = scenes.grain[row]
        part = np.s_[y : y + size, x : x + size]
        lit[image] += np.float32(40 * max(-weather, 0)) * rain[part]
        lit[image] += np.float32(scenes.generator.pixel_noise) * grain[part]
    return lit


@lru_cache(maxsize=4)
def _weather(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw rain, sunshine and grain: fixed patterns, of which each image gets a part of its own."""
    rng = np.random.default_rng(20160711)
    wide = size + 64
    grain = rng.normal(size=(wide, wide)).astype(np.float32)
    rain = np.zeros((wide, wide), np.float32)
    fall = np.arange(14)
    for y, x in rng.integers(0, wide - len(fall), (wide * wide // 110, 2)):
        rain[y + fall, x + 5 - fall // 3] = 1
    y, x = np.mgrid[:size, :size] / size
    sun = np.exp(-((x - 0.85) ** 2 + (y - 0.1) ** 2) / 0.15).astype(np.float32)
    return rain, sun * np.array([1, 0.9, 0.6], np.float32)[:, None, None], grain


@lru_cache(maxsize=4)
def _smooth(knots: int, size: int) -> np.ndarray:
    """Compute weights (size, knots) that interpolate smoothly between knots."""
    at = (np.arange(size) + 0.5) / size * (knots - 1)
    low = np.minimum(at.astype(int), knots - 2)
    share = at - low
    share = share * share * (3 - 2 * share)
    weights = np.zeros((size, knots), np.float32)
    weights[np.arange(size), low] = 1 - share
    weights[np.arange(size), low + 1] = share
    return weights
