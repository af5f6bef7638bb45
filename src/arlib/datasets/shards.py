"""Arrow shards of Hugging Face's `datasets`: mapped into memory, decoded image by image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arlib._support.files import one_line
from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError
from arlib.datasets.folds import parse_fold
from arlib.datasets.images import MAX_PIXELS, ImageError, decode_image, read_image
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
        raise DatasetError(f"{root}: no complete set of shards ({one_line(error)})") from error
    if isinstance(split, dict):
        raise DatasetError(f"{root} holds the splits {sorted(split)}: name the folder of one")
    if "fold" in split.features:
        columns.setdefault("fold", "fold")
    try:
        return wrap_split(split, Path(root).name, **columns)
    except DatasetError:
        raise
    except Exception as error:  # values that a damaged shard no longer has
        raise DatasetError(f"{root}: its shards are damaged ({one_line(error)})") from error


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
    undecoded = type(features[image])(decode=False)  # our decoder does it
    files = split.select_columns([image]).with_format(None).cast_column(image, undecoded)
    return Dataset(
        name=name,
        root=Path(),
        keys=keys,
        files=keys,
        labels=labels,
        folds=np.array(folds, np.int8),
        emotions=emotions,
        notes=notes,
        draw=ImageColumn(files, str(image)),
    )


@dataclass(frozen=True)
class ImageColumn:
    """Decodes the image in a row; a class, so that worker processes can be sent it."""

    split: Any  # rows of {column: {"bytes": of a file, or None, "path": of one, or None}}
    column: str
    max_pixels: int = MAX_PIXELS

    def __call__(self, number: int) -> np.ndarray:
        """Decode the image in a row: (H, W, 3) uint8 RGB."""
        try:
            cell = self.split[number][self.column] or {}
        except Exception as error:  # of a damaged shard, pyarrow raises many kinds
            raise ImageError(f"row {number}", f"damaged ({type(error).__name__})") from error
        if cell.get("bytes") is not None:
            return decode_image(cell["bytes"], f"row {number}", max_pixels=self.max_pixels)
        if not cell.get("path"):
            raise ImageError(f"row {number}", "no image")
        return read_image(cell["path"], max_pixels=self.max_pixels)


def _column(split: Any, name: str) -> list[Any]:
    return list(split.select_columns([name]).with_format(None)[name])
