"""Labels: names of classes -> numbers, and other ways to label the same pictures."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from arlib.datasets.dataset import POLARITY, Dataset, DatasetError


def encode(
    names: Sequence[str], emotions: Sequence[str] | None, place: Callable[[int], str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the classes' names.

    Args:
        names: n names; "" = unknown.
        emotions: the classes in order. None takes those that are found: positive and negative in
            the paper's order if there are no others, otherwise by name.
        place: index of a name -> where it stands, for the error.

    Returns:
        labels: (n,) int8, -1 = unknown.
        emotions: the M classes.

    Raises:
        DatasetError: a name is of no class, or there are fewer than 2 or more than 127 classes.

    Example:
        >>> encode(["joy", "", "fear"], None, "name {}".format)
        (array([ 1, -1,  0], dtype=int8), ('fear', 'joy'))
    """
    if emotions is None:
        found = sorted(set(names) - {""})
        emotions = POLARITY if set(found) <= set(POLARITY) else found
    check_classes(emotions)
    numbers = {name: number for number, name in enumerate(emotions)} | {"": -1}
    try:
        labels = np.fromiter((numbers[name] for name in names), np.int8, len(names))
    except KeyError as error:
        name = error.args[0]
        told = f"{place(list(names).index(name))}: {name!r} is no class"
        raise DatasetError(f"{told}; there are {', '.join(emotions)}") from None
    return labels, tuple(emotions)


def check_classes(emotions: Sequence[str]) -> None:
    """Refuse classes that are too few, too many or not distinct.

    Raises:
        DatasetError: so it is.
    """
    if not 2 <= len(emotions) <= np.iinfo(np.int8).max:
        raise DatasetError(f"there must be 2 to 127 classes, not {len(emotions)}: {emotions[:5]}")
    if len(set(emotions)) < len(emotions):
        raise DatasetError(f"a class comes twice: {list(emotions)}")


def view(
    labels: np.ndarray, emotions: tuple[str, ...], classes: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Leave emotions as they are, or turn them into positive and negative.

    Args:
        labels: (n,) int8, indices into `emotions`, -1 = unknown.
        emotions: names that `arlib.method.polarities` knows.
        classes: "emotions" or "polarity".

    Returns:
        The labels and the classes of that view.

    Raises:
        DatasetError: `classes` is neither.

    Example:
        >>> view(np.array([0, 1, -1], np.int8), ("awe", "fear"), "polarity")
        (array([ 0,  1, -1], dtype=int8), ('positive', 'negative'))
    """
    if classes == "emotions":
        return labels, emotions
    if classes != "polarity":
        raise DatasetError(f"classes must be 'emotions' or 'polarity', not {classes!r}")
    from arlib.method import polarities  # it imports xarray

    return np.where(labels < 0, np.int8(-1), polarities(emotions)[labels]), POLARITY


def by_tag(dataset: Dataset) -> Dataset:
    """Label the pictures by what people wrote to them, instead of its sentiment.

    Raises:
        ValueError: nothing is known of that.

    Example:
        >>> from arlib.datasets import load
        >>> by_tag(load("scenes-tagged", n=40)).emotions[:2]
        ('angry bean', 'angry cog')
    """
    if dataset.tags is None:
        raise ValueError(f"{dataset.name} has no tags")
    pairs, labels = np.unique(dataset.tags, return_inverse=True)
    return replace(
        dataset,
        name=f"{dataset.name} by tag",
        labels=labels.astype(np.int16),
        emotions=tuple(pairs.tolist()),
    )
