"""The generator of affective scenes: what causes what, and every setting of signal and noise.

    global ~ N(0, 1)         the image's own mood: light, warmth, weather
    local  ~ N(0, 1)         the mood of its expressive objects
    valence = sqrt(1 - share) * global + sqrt(share) * local

Nothing else carries sentiment: shapes, surfaces, colours, places and sizes are drawn
independently of both moods. An object's class (shape and surface) has a typical colour, as things
have.
"""

from dataclasses import dataclass

import numpy as np

from arlib.datasets.files import DatasetError
from arlib.datasets.scenes.shapes import ANGLES, COLOURS, EXTENTS, SHAPES, SURFACES

PATCH = 56
"""Pixels that the patch of an object is wide and high; no object is larger."""


@dataclass(frozen=True)
class SceneGenerator:
    """Settings of the synthetic scenes; gains are by one standard deviation of mood.

    Attributes:
        size: height and width of an image in pixels.
        local_share: the share of valence's variance that is the objects' expression, in [0, 1].
        expressive: fewest and most objects with a face, each in the local mood.
        plain: fewest and most objects without one.
        radius: smallest and largest radius of an object.
        light_signal: brightness by the global mood, as a share of it.
        light_noise: brightness by chance, likewise.
        warmth_signal: red over blue by the global mood, as a share.
        warmth_noise: red over blue by chance, likewise.
        weather_signal: sunshine (above 0) or rain (below 0) by the global mood.
        weather_noise: the same by chance.
        expression_noise: how far an object's expression strays from the local mood.
        tone: how much lighter an object of the best mood is, beside its face; darker of the worst.
        colour_noise: how far an object's colour strays from its class's, in grey levels.
        texture: standard deviation of the background's slow colours, in grey levels.
        pixel_noise: standard deviation of the camera's noise, in grey levels.
        annotator_noise: standard deviation of an annotator's error, in units of valence.
        tag_noise: likewise, of the person who tags an image with an adjective.
        tag_flip: share of tags whose adjective has the wrong sign for no reason.
        close_ups: share of the tagged images that show one expressive object close up.

    Raises:
        DatasetError: a setting is out of its range.

    Example:
        >>> SceneGenerator(local_share=1.0).size
        128
    """

    size: int = 128
    local_share: float = 0.5
    expressive: tuple[int, int] = (1, 3)
    plain: tuple[int, int] = (1, 4)
    radius: tuple[float, float] = (13.0, 26.0)
    light_signal: float = 0.10
    light_noise: float = 0.10
    warmth_signal: float = 0.10
    warmth_noise: float = 0.10
    weather_signal: float = 0.5
    weather_noise: float = 0.7
    expression_noise: float = 0.5
    tone: float = 0.35
    colour_noise: float = 30.0
    texture: float = 16.0
    pixel_noise: float = 8.0
    annotator_noise: float = 0.4
    tag_noise: float = 0.5
    tag_flip: float = 0.1
    close_ups: float = 0.4

    def __post_init__(self) -> None:
        """Refuse settings that draw nothing sensible."""
        if not 0 <= self.local_share <= 1:
            raise DatasetError(f"local_share must lie in [0, 1], not {self.local_share}")
        if self.size < PATCH:
            raise DatasetError(f"size must be {PATCH} or more, not {self.size}")
        if not 0 < self.radius[0] <= self.radius[1] <= PATCH / 2 - 1:
            raise DatasetError(f"radius must rise within (0, {PATCH / 2 - 1}], not {self.radius}")
        for low, high in (self.expressive, self.plain):
            if not 0 <= low <= high:
                raise DatasetError(f"a number of objects must rise from 0, not {(low, high)}")


@dataclass(frozen=True)
class Scenes:
    """Content of n images with J places for objects each, back to front; no pixel yet."""

    generator: SceneGenerator
    global_mood: np.ndarray  # (n,) the image's own mood
    local_mood: np.ndarray  # (n,) its objects' mood
    light: np.ndarray  # (n,) brightness, as a share
    warmth: np.ndarray  # (n,) red over blue, as a share
    weather: np.ndarray  # (n,) sunshine above 0, rain below
    ground: np.ndarray  # (n, 3) the background's colour
    gradient: np.ndarray  # (n, 2) how the light falls off along y and x
    texture: np.ndarray  # (n, 3, 8, 8) the background's slow colours
    grain: np.ndarray  # (n, 2) where the camera's noise begins
    present: np.ndarray  # (n, J) bool, whether there is an object
    face: np.ndarray  # (n, J) bool, whether it has a face
    shape: np.ndarray  # (n, J) index into SHAPES
    surface: np.ndarray  # (n, J) index into SURFACES
    center: np.ndarray  # (n, J, 2) x, y in pixels
    radius: np.ndarray  # (n, J) pixels
    turn: np.ndarray  # (n, J) in 1/720 of a full turn, from x to y
    colour: np.ndarray  # (n, J, 3) RGB
    expression: np.ndarray  # (n, J) the object's own mood; 0 without a face

    def __len__(self) -> int:
        """Count the images."""
        return len(self.global_mood)

    @property
    def valence(self) -> np.ndarray:
        """The images' true sentiment: (n,), standard normal, positive above 0."""
        share = self.generator.local_share
        return np.sqrt(1 - share) * self.global_mood + np.sqrt(share) * self.local_mood

    def boxes(self) -> np.ndarray:
        """Tight boxes of all objects: (n, J, 4) float32 xyxy in pixels; NaN where there is none."""
        extent = EXTENTS[self.shape, self.turn % ANGLES]  # (n, J, 4)
        box = np.tile(self.center, 2) + self.radius[..., None] * extent
        box = np.clip(box, 0, self.generator.size).astype(np.float32)
        return np.where(self.present[..., None], box, np.float32(np.nan))


def draw_scenes(generator: SceneGenerator, n: int, seed: int) -> Scenes:
    """Draw the content of n images, which `render` turns into pixels.

    Args:
        generator: the settings.
        n: how many.
        seed: of everything random; another n is another draw.

    Returns:
        Arrays with a row for each image: `valence`, `global_mood` and `local_mood` (n,); `present`
        and `face` (n, J) bool, whether an object is at each of J places and whether it has a face;
        `boxes()` (n, J, 4) float32 xyxy in pixels, NaN where there is none; and what else is drawn.

    Example:
        >>> draw_scenes(SceneGenerator(), 5, seed=0).valence.shape
        (5,)
    """
    rng = np.random.default_rng(seed)
    places = generator.expressive[1] + generator.plain[1]
    global_mood, local_mood = rng.normal(size=(2, n))
    # objects: where, of which class, and their colours and expressions
    face, present = _place_objects(generator, n, rng)
    reach = PATCH // 2 - 8  # an object may reach over the image's border a little
    expression = local_mood[:, None] + generator.expression_noise * rng.normal(size=(n, places))
    shape = rng.integers(0, len(SHAPES), (n, places))
    surface = rng.integers(0, len(SURFACES), (n, places))
    colour = COLOURS[shape, surface] + generator.colour_noise * rng.normal(size=(n, places, 3))

    def cue(signal: float, noise: float) -> np.ndarray:
        return (signal * global_mood + noise * rng.normal(size=n)).astype(np.float32)

    return Scenes(
        generator,
        global_mood,
        local_mood,
        light=cue(generator.light_signal, generator.light_noise),
        warmth=cue(generator.warmth_signal, generator.warmth_noise),
        weather=cue(generator.weather_signal, generator.weather_noise),
        ground=rng.uniform(110, 150, (n, 3)).astype(np.float32),
        gradient=rng.normal(0, 0.15, (n, 2)).astype(np.float32),
        texture=rng.normal(0, generator.texture, (n, 3, 8, 8)).astype(np.float32),
        grain=rng.integers(0, 64, (n, 2)),
        present=present,
        face=face,
        shape=shape,
        surface=surface,
        center=rng.integers(reach, generator.size - reach + 1, (n, places, 2)),
        radius=rng.uniform(*generator.radius, (n, places)).astype(np.float32),
        turn=rng.integers(-60, 61, (n, places)),
        colour=colour.astype(np.float32),
        expression=np.where(face, expression, 0).astype(np.float32),
    )


def _place_objects(
    generator: SceneGenerator, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw which of the J places hold an object with a face, and any object: two (n, J) bool."""
    most = generator.expressive[1]
    place = np.arange(most + generator.plain[1])
    faces = rng.integers(generator.expressive[0], most + 1, (n, 1))
    plain = rng.integers(generator.plain[0], generator.plain[1] + 1, (n, 1))
    face = place < faces
    present = face | ((place >= most) & (place < most + plain))
    order = rng.permuted(np.tile(place, (n, 1)), axis=1)  # from back to front
    return np.take_along_axis(face, order, 1), np.take_along_axis(present, order, 1)
