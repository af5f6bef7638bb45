"""The chain of the paper in miniature: four sets of pictures from one world.

objects   many classes, one object close up                  stands for ImageNet
tagged    an adjective-noun pair each, its sign often wrong  stands for Flickr
judged    five annotators                                    stands for Twitter I
folded    few, unbalanced, five folds                        stands for Twitter II
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import POLARITY, Dataset, DatasetError, GroundTruth
from arlib.datasets.folds import stratified_folds
from arlib.datasets.scenes.generator import SceneGenerator, Scenes, draw_scenes
from arlib.datasets.scenes.rendering import render
from arlib.datasets.scenes.shapes import SHAPES, SURFACES

OBJECTS = tuple(f"{surface} {shape}" for shape in SHAPES for surface in SURFACES)
"""The classes of the object set."""


ADJECTIVES = {
    "positive": ("sunny", "happy", "merry", "gentle"),
    "negative": ("gloomy", "sad", "angry", "bleak"),
}
"""What people call pictures, by the sign that the word has in a lexicon."""


def objects(generator: SceneGenerator, n: int, seed: int = 0) -> Dataset:
    """Make the object set: the front object of each scene, close up, whatever its expression.

    Args:
        generator: the settings.
        n: how many pictures.
        seed: of everything random.

    Returns:
        Pictures of different sizes, labelled with one of `OBJECTS`.

    Example:
        >>> made = objects(SceneGenerator(), 10)
        >>> made.emotions[made.labels[0]]
        'dotted flower'
    """
    scenes = draw_scenes(generator, n, seed)
    rows = np.arange(n)
    front = _front(scenes.present)
    windows = _close_up(scenes, front, np.random.default_rng([seed, 1]), (0.5, 0.9))
    labels = scenes.shape[rows, front] * len(SURFACES) + scenes.surface[rows, front]
    return _dataset(
        "scenes-objects", scenes, rows, labels, np.full(n, -1), emotions=OBJECTS, windows=windows
    )


def tagged(generator: SceneGenerator, n: int, seed: int = 0) -> Dataset:
    """Make the weakly labelled set: the label is the sign of an adjective that one person chose.

    The person feels the valence with an error (`SceneGenerator.tag_noise`), and a share of the tags
    (`SceneGenerator.tag_flip`) is wrong beyond that. A share of the images
    (`SceneGenerator.close_ups`) shows one expressive object close up, as photographs do. A tenth of
    the images is in fold 1, held out; the others are in none, for training.

    Args:
        generator: the settings.
        n: how many pictures, at least 20.
        seed: of everything random.

    Returns:
        The pictures; `tags` holds the adjective-noun pairs, `counts` how many signs are wrong.
    """
    scenes = draw_scenes(generator, n, seed)
    rng = np.random.default_rng([seed, 2])
    felt = scenes.valence + generator.tag_noise * rng.normal(size=n) > 0
    positive = felt ^ (rng.random(n) < generator.tag_flip)
    chosen = rng.random(scenes.present.shape) * scenes.present
    noun = scenes.shape[np.arange(n), chosen.argmax(axis=1)]
    word = rng.integers(len(ADJECTIVES["positive"]), size=n)
    words = np.array([ADJECTIVES[name] for name in POLARITY])[(~positive).astype(int), word]
    tags = np.char.add(np.char.add(words, " "), np.array(SHAPES)[noun])
    labels = (~positive).astype(int)
    tenth = stratified_folds(labels, 10, seed) == 1
    windows = _close_up(scenes, _front(scenes.face), rng, (0.6, 1.2))
    windows[rng.random(n) >= generator.close_ups] = (0, 0, generator.size, generator.size)
    return _dataset(
        "scenes-tagged",
        scenes,
        np.arange(n),
        labels,
        np.where(tenth, 1, -1),
        tags=tags,
        windows=windows,
        counts={"wrong tags": int((positive != (scenes.valence > 0)).sum())},
    )


def annotated(generator: SceneGenerator, n: int, seed: int = 0, *, agreement: int = 3) -> Dataset:
    """Make the set that five people annotated, each with an error of `annotator_noise`.

    Args:
        generator: the settings.
        n: how many pictures are shown to them.
        seed: of everything random.
        agreement: how many of the five must agree on a picture that is kept: 3 (all), 4 or 5.

    Returns:
        Those kept, labelled by the majority, in 5 stratified folds; `counts` says how many
        pictures five, at least four and at least three agree on.

    Raises:
        DatasetError: another agreement.
    """
    if agreement not in (3, 4, 5):
        raise DatasetError(f"agreement must be 3, 4 or 5 of five annotators, not {agreement}")
    scenes = draw_scenes(generator, n, seed)
    positive = _votes(scenes, 5, np.random.default_rng([seed, 3]))
    agree = np.maximum(positive, 5 - positive)
    rows = np.flatnonzero(agree >= agreement)
    labels = (positive[rows] < 3).astype(int)
    counts = {f"{m} agree": int((agree >= m).sum()) for m in (5, 4, 3)}
    made = _dataset(
        "scenes-annotated", scenes, rows, labels, stratified_folds(labels, 5, seed), counts=counts
    )
    return replace(made, agreement=agree[rows].astype(np.int8))


def folded(generator: SceneGenerator, n: int, seed: int = 0, *, positive: float = 0.78) -> Dataset:
    """Make the small, unbalanced set: three annotators, most pictures positive, five folds.

    Args:
        generator: the settings.
        n: how many pictures are kept.
        seed: of everything random.
        positive: the positive share; Twitter II has 0.779.

    Returns:
        The pictures, in 5 stratified folds.
    """
    scenes = draw_scenes(generator, 6 * n, seed)
    labels = (_votes(scenes, 3, np.random.default_rng([seed, 4])) < 2).astype(int)
    wanted = round(positive * n)
    rows = np.sort(
        np.concatenate(
            [np.flatnonzero(labels == 0)[:wanted], np.flatnonzero(labels == 1)[: n - wanted]]
        )
    )
    if len(rows) < n:
        raise DatasetError(f"6 x {n} pictures hold no {n} with a positive share of {positive}")
    kept = labels[rows]
    return _dataset("scenes-folded", scenes, rows, kept, stratified_folds(kept, 5, seed))


def ground_truth(generator: SceneGenerator, n: int, seed: int = 0) -> GroundTruth:
    """Make pictures whose every object is known, to measure proposals against.

    Args:
        generator: the settings.
        n: how many pictures.
        seed: of everything random.

    Returns:
        The pictures and tight boxes of all objects, with and without a face, hidden parts included.

    Example:
        >>> truth = ground_truth(SceneGenerator(), 3)
        >>> truth.read(0).shape, truth.boxes[0].shape
        ((128, 128, 3), (5, 4))
    """
    scenes = draw_scenes(generator, n, seed)
    pairs = zip(scenes.boxes(), scenes.present, strict=True)
    return GroundTruth(
        tuple(boxes[there] for boxes, there in pairs), partial(_picture, scenes, None)
    )


def _front(there: np.ndarray) -> np.ndarray:
    """Which of the J places (n, J) holds the front one of those that are there: (n,)."""
    return np.where(there, np.arange(there.shape[1]), -1).max(axis=1)


def _close_up(
    scenes: Scenes, place: np.ndarray, rng: np.random.Generator, halves: tuple[float, float]
) -> np.ndarray:
    """Windows around one object a picture, of half sides that are `halves` times its side.

    Returns:
        (n, 4) int xyxy in pixels, within the picture.
    """
    n = len(scenes)
    boxes = scenes.boxes()[np.arange(n), place]
    side = np.nanmax(boxes[:, 2:] - boxes[:, :2], axis=1)
    half = side * rng.uniform(*halves, n)
    aside = rng.uniform(-0.15, 0.15, (n, 2)) * side[:, None]
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 + aside
    windows = np.concatenate([center - half[:, None], center + half[:, None]], axis=1)
    return np.clip(np.round(windows), 0, scenes.generator.size).astype(int)


def _votes(scenes: Scenes, annotators: int, rng: np.random.Generator) -> np.ndarray:
    """How many annotators call each picture positive: (n,) int."""
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
    windows: np.ndarray | None = None,
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
        draw=partial(_picture, scenes, windows),
        regions=None if windows is not None else boxes.astype(np.float32),
        tags=tags,
    )


def _picture(scenes: Scenes, windows: np.ndarray | None, row: int) -> np.ndarray:
    (picture,) = render(scenes, [row])
    if windows is None:
        return picture
    x0, y0, x1, y1 = windows[row]
    return np.ascontiguousarray(picture[y0:y1, x0:x1])
