"""The paper's four kinds of datasets, as synthetic scenes of one generator.

objects     many classes, one object close up                  stands for ImageNet
tagged      an adjective-noun pair each, its sign often wrong  stands for Flickr
annotated   five annotators                                    stands for Twitter I
folded      few, unbalanced, five folds                        stands for Twitter II
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from arlib.datasets.dataset import Dataset, GroundTruth
from arlib.datasets.files import DatasetError
from arlib.datasets.folds import stratified_folds
from arlib.datasets.labels import POLARITY
from arlib.datasets.scenes.generator import SceneGenerator, Scenes, draw_scenes
from arlib.datasets.scenes.rendering import render
from arlib.datasets.scenes.shapes import SHAPES, SURFACES

OBJECTS = tuple(f"{surface} {shape}" for shape in SHAPES for surface in SURFACES)
"""The classes of the object set."""

ADJECTIVES = {
    "positive": ("sunny", "happy", "merry", "gentle"),
    "negative": ("gloomy", "sad", "angry", "bleak"),
}
"""The adjectives of tags, by the sign that the word has in a lexicon."""

GENERATOR = SceneGenerator()


def objects(generator: SceneGenerator = GENERATOR, n: int = 600, seed: int = 0) -> Dataset:
    """Draw the object set: the front object of each scene, close up, whatever its expression."""
    scenes = draw_scenes(generator, n, seed)
    rows = np.arange(n)
    front = _front(scenes.present)
    crops = _close_up(scenes, front, np.random.default_rng([seed, 1]), (0.5, 0.9))
    labels = scenes.shape[rows, front] * len(SURFACES) + scenes.surface[rows, front]
    return _dataset(
        "scenes-objects", scenes, rows, labels, np.full(n, -1), emotions=OBJECTS, crops=crops
    )


def tagged(generator: SceneGenerator = GENERATOR, n: int = 600, seed: int = 0) -> Dataset:
    """Draw the weakly labelled set: the label is the sign of an adjective that one person chose."""
    scenes = draw_scenes(generator, n, seed)
    rng = np.random.default_rng([seed, 2])
    # a person feels the valence with an error, and some adjectives are wrong beyond that
    felt = scenes.valence + generator.tag_noise * rng.normal(size=n) > 0
    positive = felt ^ (rng.random(n) < generator.tag_flip)
    # the noun is one of the objects, the adjective any of its sign
    chosen = rng.random(scenes.present.shape) * scenes.present
    noun = scenes.shape[np.arange(n), chosen.argmax(axis=1)]
    word = rng.integers(len(ADJECTIVES["positive"]), size=n)
    words = np.array([ADJECTIVES[name] for name in POLARITY])[(~positive).astype(int), word]
    tags = np.char.add(np.char.add(words, " "), np.array(SHAPES)[noun])
    labels = (~positive).astype(int)
    # a tenth is held out in fold 1, the others are in none, for training
    held_out = stratified_folds(labels, 10, seed, POLARITY, "scenes-tagged") == 1
    # some images show one expressive object close up, as photographs do
    crops = _close_up(scenes, _front(scenes.face), rng, (0.6, 1.2))
    crops[rng.random(n) >= generator.close_ups] = (0, 0, generator.size, generator.size)
    return _dataset(
        "scenes-tagged",
        scenes,
        np.arange(n),
        labels,
        np.where(held_out, 1, -1),
        tags=tags,
        crops=crops,
        counts={"wrong tags": int((positive != (scenes.valence > 0)).sum())},
    )


def annotated(
    generator: SceneGenerator = GENERATOR, n: int = 600, seed: int = 0, *, agreement: int = 3
) -> Dataset:
    """Draw the set that five people annotated, of which 3 (all), 4 or 5 must agree on an image."""
    if agreement not in (3, 4, 5):
        raise DatasetError(f"agreement must be 3, 4 or 5 of five annotators, not {agreement}")
    scenes = draw_scenes(generator, n, seed)
    positive = _votes(scenes, 5, np.random.default_rng([seed, 3]))
    agree = np.maximum(positive, 5 - positive)
    rows = np.flatnonzero(agree >= agreement)
    labels = (positive[rows] < 3).astype(int)
    counts = {f"{m} agree": int((agree >= m).sum()) for m in (5, 4, 3)}
    folds = stratified_folds(labels, 5, seed, POLARITY, "scenes-annotated")
    dataset = _dataset("scenes-annotated", scenes, rows, labels, folds, counts=counts)
    return replace(dataset, agreement=agree[rows].astype(np.int8))


def folded(
    generator: SceneGenerator = GENERATOR, n: int = 600, seed: int = 0, *, positive: float = 0.78
) -> Dataset:
    """Draw the small, unbalanced set: three annotators, most images positive, five folds."""
    scenes = draw_scenes(generator, 6 * n, seed)
    labels = (_votes(scenes, 3, np.random.default_rng([seed, 4])) < 2).astype(int)
    wanted = round(positive * n)
    first = [np.flatnonzero(labels == 0)[:wanted], np.flatnonzero(labels == 1)[: n - wanted]]
    rows = np.sort(np.concatenate(first))
    if len(rows) < n:
        raise DatasetError(f"6 x {n} images hold no {n} with a positive share of {positive}")
    kept = labels[rows]
    folds = stratified_folds(kept, 5, seed, POLARITY, "scenes-folded")
    return _dataset("scenes-folded", scenes, rows, kept, folds)


SETS: dict[str, Callable[..., Dataset]] = {
    "objects": objects,
    "tagged": tagged,
    "annotated": annotated,
    "folded": folded,
}


SIZES = {"objects": 8000, "tagged": 16000, "annotated": 1600, "folded": 1600}
"""Images of each set at scale 1."""

_LEAST = {"tagged": 300}  # images, whatever the scale: its held-out tenth is five folds again

_MOST_BYTES = 2**29  # of drawn images that are kept, a set


def draw_set(
    name: str, *, scale: float = 0.35, local_share: float = 0.5, seed: int = 0, full: int = 0
) -> Dataset:
    """Draw one of the four sets as the protocol on scenes takes it: no two share an image.

    An image is drawn when it is first read, and kept while this process lives, since several
    networks learn from the same images. Objects do not depend on `local_share`; a tenth of them is
    in fold 1, for testing, as it is of the tagged set.

    Args:
        name: "scenes-objects", "scenes-tagged", "scenes-annotated" or "scenes-folded".
        scale: the size of the set, as a share of `full`.
        local_share: of the generator, the share of the sentiment that objects carry, 0 to 1.
        seed: set number i of the four is drawn with the seed 1000 `seed` + i.
        full: images at scale 1; 0 takes 8,000 objects, 16,000 tagged images, and 1,600 of others.

    Raises:
        DatasetError: no such set.

    Example:
        >>> dataset = draw_set("scenes-tagged", scale=0.02)
        >>> len(dataset), int((dataset.folds == 1).sum()), dataset.valence.shape
        (320, 32, (320,))
    """
    kind = name.removeprefix("scenes-")
    if kind not in SETS or kind == name:
        known = ", ".join(f"scenes-{each}" for each in SETS)
        raise DatasetError(f"no set {name!r} of synthetic scenes; there are {known}")
    n = max(_LEAST.get(kind, 100), round(scale * (full or SIZES[kind])))
    share = GENERATOR.local_share if kind == "objects" else local_share
    return _drawn_once(kind, n, share, 1000 * seed + 1 + list(SETS).index(kind))


@lru_cache(maxsize=len(SETS))
def _drawn_once(kind: str, n: int, local_share: float, seed: int) -> Dataset:
    dataset = SETS[kind](replace(GENERATOR, local_share=local_share), n, seed)
    if kind == "objects":
        tenth = np.arange(n) % 10 == 0
        dataset = replace(dataset, folds=np.where(tenth, 1, -1).astype(np.int8))
    assert dataset.draw is not None
    return replace(dataset, draw=_Kept(dataset.draw))


class _Kept:
    """Draw an image once; a copy in another process starts anew."""

    def __init__(self, draw: Callable[[int], np.ndarray]):
        self.draw, self.images, self.bytes = draw, dict[int, np.ndarray](), 0

    def __call__(self, number: int) -> np.ndarray:
        if number in self.images:
            return self.images[number]
        image = self.draw(number)
        if self.bytes + image.nbytes <= _MOST_BYTES:
            self.images[number], self.bytes = image, self.bytes + image.nbytes
        return image

    def __reduce__(self) -> tuple[Any, ...]:
        return _Kept, (self.draw,)


def ground_truth(generator: SceneGenerator, n: int, seed: int = 0) -> GroundTruth:
    """Draw images whose objects are all known, to measure proposals against.

    Args:
        generator: the settings.
        n: how many images.
        seed: of everything random.

    Returns:
        The images, as `load_coco` gives them, and the tight boxes of all objects, with and without
        a face, hidden parts included.

    Example:
        >>> truth = ground_truth(SceneGenerator(), 3)
        >>> truth.read(0).shape, truth.boxes[0].shape
        ((128, 128, 3), (5, 4))
    """
    scenes = draw_scenes(generator, n, seed)
    pairs = zip(scenes.boxes(), scenes.present, strict=True)
    boxes = tuple(boxes[present] for boxes, present in pairs)
    return GroundTruth(boxes, partial(_draw_image, scenes, None))


def _front(present: np.ndarray) -> np.ndarray:
    """Find which of the J places (n, J) holds the front one of the objects present: (n,)."""
    return np.where(present, np.arange(present.shape[1]), -1).max(axis=1)


def _close_up(
    scenes: Scenes, place: np.ndarray, rng: np.random.Generator, halves: tuple[float, float]
) -> np.ndarray:
    """Crop around one object an image, half sides `halves` times its side: (n, 4) int xyxy."""
    n = len(scenes)
    boxes = scenes.boxes()[np.arange(n), place]
    side = np.nanmax(boxes[:, 2:] - boxes[:, :2], axis=1)
    half = side * rng.uniform(*halves, n)
    aside = rng.uniform(-0.15, 0.15, (n, 2)) * side[:, None]
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 + aside
    crops = np.concatenate([center - half[:, None], center + half[:, None]], axis=1)
    return np.clip(np.round(crops), 0, scenes.generator.size).astype(int)


def _votes(scenes: Scenes, annotators: int, rng: np.random.Generator) -> np.ndarray:
    """Count the annotators who call each image positive: (n,) int."""
    error = scenes.generator.annotator_noise * rng.normal(size=(len(scenes), annotators))
    return (scenes.valence[:, None] + error > 0).sum(axis=1)


def _dataset(
    name: str,
    scenes: Scenes,
    rows: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    *,
    emotions: tuple[str, ...] = POLARITY,
    counts: dict[str, int] | None = None,
    tags: np.ndarray | None = None,
    crops: np.ndarray | None = None,
) -> Dataset:
    boxes = np.where(scenes.face[..., None], scenes.boxes(), np.nan)[rows]
    return Dataset(
        name=name,
        root=Path(),
        keys=np.array([f"{name}-{row:06d}" for row in rows]),
        files=np.array([str(row) for row in rows]),
        labels=labels.astype(np.int8),
        folds=folds.astype(np.int8),
        emotions=emotions,
        counts=counts or {},
        draw=partial(_draw_image, scenes, crops),
        regions=None if crops is not None else boxes.astype(np.float32),
        tags=tags,
        valence=scenes.valence[rows],
    )


def _draw_image(scenes: Scenes, crops: np.ndarray | None, row: int) -> np.ndarray:
    (image,) = render(scenes, [row])
    if crops is None:
        return image
    x0, y0, x1, y1 = crops[row]
    return np.ascontiguousarray(image[y0:y1, x0:x1])
