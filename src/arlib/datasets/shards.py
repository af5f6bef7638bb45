"""Arrow shards of Hugging Face's `datasets`: mapped into memory, decoded image by image."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError
from arlib.datasets.folds import parse_fold
from arlib.datasets.images import MAX_PIXELS, ImageError, rgb_of
from arlib.datasets.labels import encode


def is_shards(path: Path) -> bool:
    """Tell whether a folder is one that `datasets` saved."""
    return (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file()


def shards(root: Path, **columns: str | None) -> Dataset:
    """Open what `datasets.Dataset.save_to_disk` wrote; a column "fold" is taken by itself."""
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise DatasetError(f"{root} holds Arrow shards: pip install 'arlib[datasets]'") from error
    try:
        split = load_from_disk(str(root))
    except Exception as error:  # pyarrow and datasets raise many kinds
        raise DatasetError(f"{root}: no complete set of shards ({error})") from error
    if isinstance(split, dict):
        raise DatasetError(f"{root} holds the splits {sorted(split)}: name the folder of one")
    if "fold" in split.features:
        columns.setdefault("fold", "fold")
    return wrap_split(split, Path(root).name, **columns)


def wrap_split(
    split: Any,
    name: str,
    *,
    image: str | None = "image",
    label: str | None = "label",
    fold: str | None = None,
) -> Dataset:
    """Wrap a split of a Hugging Face dataset; an image's key is its row's number from 0."""
    # check the columns
    features = split.features
    for column in (image, label, fold):
        if column is not None and column not in features:
            raise DatasetError(f"{name}: no column {column!r} among {sorted(features)}")
    if type(features[image]).__name__ != "Image":
        raise DatasetError(f"{name}: {image!r} is no column of images: {features[image]}")
    n = len(split)
    if not n:
        raise DatasetError(f"{name}: the split is empty")
    # labels by the names of a `ClassLabel`, or by the values themselves
    values = [None] * n if label is None else _column(split, label)
    names = getattr(features[label], "names", None) if label is not None else None
    if names is None:
        texts = ["" if value is None else str(value).strip() for value in values]
    else:
        texts = ["" if value in (None, -1) else names[value] for value in values]
    labels, emotions, notes = encode(texts, names, lambda index: f"{name}, row {index}", name)
    folds = [
        parse_fold("" if value is None else str(value), f"{name}, row {index}")
        for index, value in enumerate([None] * n if fold is None else _column(split, fold))
    ]
    keys = np.array([str(index) for index in range(n)])
    return Dataset(
        name=name,
        root=Path(),
        keys=keys,
        files=keys,
        labels=labels,
        folds=np.array(folds, np.int8),
        emotions=emotions,
        notes=notes,
        draw=_ImageColumn(split.select_columns([image]).with_format(None), str(image)),
    )


class _ImageColumn:
    """Decodes the image in a row; a class, so that worker processes can be sent it."""

    def __init__(self, split: Any, column: str) -> None:
        self.split, self.column = split, column

    def __call__(self, number: int) -> np.ndarray:
        row = f"row {number}"
        try:
            image = self.split[number][self.column]
        except Exception as error:  # a damaged file can raise anything in Pillow's format readers
            raise ImageError(row, f"damaged ({type(error).__name__}: {error})") from error
        if not isinstance(image, Image.Image):
            raise ImageError(row, "no image")
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width} x {image.height}"
            raise ImageError(row, f"{size} exceeds {MAX_PIXELS:,} pixels")
        return rgb_of(image, Path(row))


def _column(split: Any, name: str) -> list[Any]:
    return list(split.select_columns([name]).with_format(None)[name])
