"""Labels: names of classes become numbers, emotions become positive and negative."""

from collections.abc import Callable, Sequence

import numpy as np

from arlib.datasets.files import DatasetError

POLARITY = ("positive", "negative")
"""The two emotions of the paper, in the order of its P_Pos, P_Neg."""


def encode(
    names: Sequence[str], emotions: Sequence[str] | None, place: Callable[[int], str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the names of classes, "" being unknown, by given emotions or those that occur."""
    if emotions is None:
        present = sorted(set(names) - {""})
        emotions = POLARITY if set(present) <= set(POLARITY) else present
    check_classes(emotions)
    numbers = {name: number for number, name in enumerate(emotions)} | {"": -1}
    try:
        labels = np.fromiter((numbers[name] for name in names), np.int8, len(names))
    except KeyError as error:
        name = error.args[0]
        raise DatasetError(
            f"{place(list(names).index(name))}: {name!r} is no class; "
            f"there are {', '.join(emotions)}"
        ) from None
    return labels, tuple(emotions)


def check_classes(emotions: Sequence[str]) -> None:
    """Refuse classes that are too few, too many or not distinct."""
    if not 2 <= len(emotions) <= np.iinfo(np.int8).max:
        raise DatasetError(f"there must be 2 to 127 classes, not {len(emotions)}: {emotions[:5]}")
    if len(set(emotions)) < len(emotions):
        raise DatasetError(f"a class comes twice: {list(emotions)}")


def view(
    labels: np.ndarray, emotions: tuple[str, ...], classes: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Leave emotions as they are, or turn them into positive and negative."""
    if classes == "emotions":
        return labels, emotions
    if classes != "polarity":
        raise DatasetError(f"classes must be 'emotions' or 'polarity', not {classes!r}")
    from arlib.method import polarities  # it imports xarray

    return np.where(labels < 0, np.int8(-1), polarities(emotions)[labels]), POLARITY
