"""Hugging Face's `datasets`: shards that are mapped into memory, decoded picture by picture."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from arlib.datasets.dataset import Dataset, DatasetError
from arlib.datasets.folds import parse_fold
from arlib.datasets.images import MAX_PIXELS, ImageError, rgb_of
from arlib.datasets.labels import encode


def huggingface(
    dataset: Any, *, image: str = "image", label: str | None = "label", fold: str | None = None
) -> Dataset:
    """Wrap a split of a Hugging Face dataset.

    Args:
        dataset: a `datasets.Dataset`, such as `load_dataset(name)["train"]`.
        image: its column of pictures, of the feature `Image`.
        label: its column of labels: a `ClassLabel`, whose names become the emotions in its order,
            or texts or numbers, whose classes go as in `table`; None leaves labels unknown, as
            does -1 in a `ClassLabel`, "" or None.
        fold: its column of folds, 1 to 127; None for none.

    Returns:
        The pictures in the split's order, keyed by their row's number from 0. They are decoded
        one by one when they are read, as `read_image` shows them.

    Raises:
        DatasetError: it is a dictionary of splits, or a stream, or empty; a column is missing or
            `image` is none of pictures; naming the row, a fold that is none; or as `table` of
            classes.

    Example:
        >>> huggingface({"train": ..., "test": ...})
        Traceback (most recent call last):
        ...
        arlib.datasets.dataset.DatasetError: huggingface: choose a split of ['test', 'train'], ...
    """
    if isinstance(dataset, dict):
        raise DatasetError(f"huggingface: choose a split of {sorted(dataset)}, as dataset['train']")
    if not hasattr(dataset, "__len__"):
        raise DatasetError("huggingface: a stream has no order: load it without streaming=True")
    features = dataset.features
    for column in (image, label, fold):
        if column is not None and column not in features:
            raise DatasetError(f"huggingface: no column {column!r} among {sorted(features)}")
    if type(features[image]).__name__ != "Image":
        raise DatasetError(f"huggingface: {image!r} is no column of pictures: {features[image]}")
    n = len(dataset)
    if not n:
        raise DatasetError("huggingface: the split is empty")
    values = [None] * n if label is None else _column(dataset, label)
    names = getattr(features[label], "names", None) if label is not None else None
    if names is None:
        texts = ["" if value is None else str(value).strip() for value in values]
    else:
        texts = ["" if value in (None, -1) else names[value] for value in values]
    labels, emotions = encode(texts, names, "huggingface, row {}".format)
    folds = [None] * n if fold is None else _column(dataset, fold)
    numbers = [
        parse_fold("" if value is None else str(value), f"huggingface, row {index}")
        for index, value in enumerate(folds)
    ]
    keys = np.array([str(index) for index in range(n)])
    return Dataset(
        name=dataset.info.dataset_name or "huggingface",
        root=Path(),
        keys=keys,
        files=keys,
        labels=labels,
        folds=np.array(numbers, np.int8),
        emotions=emotions,
        draw=_Pictures(dataset.select_columns([image]).with_format(None), image),
    )


def shards(root: Path, **columns: Any) -> Dataset:
    """Open what `datasets.Dataset.save_to_disk` wrote: a folder of Arrow shards.

    The shards are mapped, not read: memory holds keys, labels and the picture at hand, however
    large the set. Its name is the folder's.

    Args:
        root: the folder.
        columns: `image`, `label` and `fold` of `huggingface`; a column "fold" is taken by itself.

    Raises:
        DatasetError: the package `datasets` is not installed; the folder cannot be opened; or as
            `huggingface`.
    """
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise DatasetError(f"{root} holds Arrow shards: pip install 'arlib[datasets]'") from error
    try:
        split = load_from_disk(str(root))
    except Exception as error:  # pyarrow and datasets raise many kinds
        raise DatasetError(f"{root}: no whole set of shards ({error})") from error
    if isinstance(split, dict):
        raise DatasetError(f"{root} holds the splits {sorted(split)}: name the folder of one")
    if "fold" in split.features:
        columns.setdefault("fold", "fold")
    return replace(huggingface(split, **columns), name=Path(root).name)


def is_shards(path: Path) -> bool:
    """Tell whether a folder is one that `datasets` saved."""
    return (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file()


class _Pictures:
    """A row's number -> its picture; a class, so that worker processes can be sent it."""

    def __init__(self, dataset: Any, column: str) -> None:
        self.dataset, self.column = dataset, column

    def __call__(self, number: int) -> np.ndarray:
        where = f"row {number}"
        try:
            picture = self.dataset[number][self.column]
        except Exception as error:  # a damaged file can raise anything in Pillow's format readers
            raise ImageError(where, f"damaged ({type(error).__name__}: {error})") from error
        if not isinstance(picture, Image.Image):
            raise ImageError(where, "no picture")
        if picture.width * picture.height > MAX_PIXELS:
            size = f"{picture.width} x {picture.height}"
            raise ImageError(where, f"{size} exceeds {MAX_PIXELS:,} pixels")
        return rgb_of(picture, Path(where))


def _column(dataset: Any, name: str) -> list[Any]:
    return list(dataset.select_columns([name]).with_format(None)[name])
