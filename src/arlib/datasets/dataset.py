"""The dataset: where its images are, their labels and folds, and what else is known of them."""

import contextlib
import csv
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arlib._support.progress import progress_bar
from arlib.datasets.files import DatasetError
from arlib.datasets.folds import COLUMNS, stratified_folds
from arlib.datasets.images import MAX_PIXELS, read_image
from arlib.datasets.labels import POLARITY

_MOMENT = 2.0  # seconds of reading before a bar shows

_HASHED: dict[bytes, str] = {}  # images and the state of their files -> SHA-256


@dataclass(frozen=True)
class Dataset:
    """Images, their labels and their folds; pixels are read when they are asked for.

    Attributes:
        name: of the dataset.
        root: the folder that `files` are relative to.
        keys: (n,) str, unique: an image's name in the scores.
        files: (n,) str, paths relative to `root`; of images that are drawn, their numbers.
        labels: (n,) int8, indices into `emotions`; -1 = unknown.
        folds: (n,) int8, the fold in which an image is tested; -1 = none.
        emotions: the M classes, in order.
        counts: what was counted while reading, such as rows without an image.
        draw: number -> (H, W, 3) uint8 RGB, for images that are drawn; None reads files.
        max_pixels: of a file, as of `read_image`; a larger image is an error.
        regions: (n, R, 4) float32 xyxy in pixels, the regions that are known to carry the
            sentiment, NaN where an image has fewer; None where they are not known.
        tags: (n,) str, what people wrote to the images, or an attribute of what they show; "" where
            an image has none, None where nothing is known.
        agreement: (n,) int8, how many annotators gave the label; None where it is not known.
        valence: (n,) float, the sentiment that images were drawn with, above 0 positive, whatever
            people say of them; None where it is not known.
        maps: (n,) str, files of maps of the regions that carry the emotion, relative to `root`,
            "" where an image has none; None where there are none.
        notes: what was read otherwise than it is written, or passed over, in sentences.

    Raises:
        DatasetError: the arrays differ in length, a key comes twice, or a label is out of range.

    Example:
        >>> from arlib.datasets import load
        >>> dataset = load("scenes-folded", n=50)
        >>> len(dataset), dataset.emotions[dataset.labels[0]], dataset.read(0).shape
        (50, 'positive', (128, 128, 3))
    """

    name: str
    root: Path
    keys: np.ndarray
    files: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    emotions: tuple[str, ...] = POLARITY
    counts: Mapping[str, int] = field(default_factory=dict)
    draw: Callable[[int], np.ndarray] | None = None
    max_pixels: int = MAX_PIXELS
    regions: np.ndarray | None = None
    tags: np.ndarray | None = None
    agreement: np.ndarray | None = None
    valence: np.ndarray | None = None
    maps: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the arrays belong together."""
        lengths = {name: len(array) for name, array in self._arrays().items()}
        if len(set(lengths.values())) != 1:
            raise DatasetError(f"{self.name}: arrays of different lengths: {lengths}")
        twice = repeated_key(self.keys)
        if twice is not None:
            raise DatasetError(f"{self.name}: the key {twice!r} comes twice")
        if len(self) and not -1 <= self.labels.min() <= self.labels.max() < len(self.emotions):
            raise DatasetError(f"{self.name}: labels must lie in -1..{len(self.emotions) - 1}")

    def __len__(self) -> int:
        """Count the images."""
        return len(self.keys)

    def path(self, index: int) -> Path:
        """Locate an image's file."""
        return self.root / str(self.files[index])

    def read(self, index: int) -> np.ndarray:
        """Read or draw an image: (H, W, 3) uint8 RGB, upright.

        Raises:
            ImageError: the file is no image, or cannot be read.
            DatasetError: what was drawn is no image, such as one of floats, where NaN can hide.
        """
        if self.draw is None:
            return read_image(self.path(index), max_pixels=self.max_pixels)
        image = self.draw(int(self.files[index]))
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DatasetError(
                f"{self.name}: {self.keys[index]} is drawn as {image.dtype} {image.shape}; "
                "an image is (H, W, 3) uint8"
            )
        return image

    def read_map(self, index: int) -> np.ndarray:
        """Read the map of the regions that carry an image's emotion.

        Returns:
            (H, W) float32 in [0, 1], the file's grey levels over the greatest that they can be;
            a larger value is more of the emotion.

        Raises:
            DatasetError: the image has no map.
            ImageError: its file is no image, or cannot be read.
        """
        if self.maps is None or not self.maps[index]:
            raise DatasetError(f"{self.name}: {self.keys[index]} has no map")
        path = self.root / str(self.maps[index])
        grey = read_image(path, max_pixels=self.max_pixels)  # (H, W, 3), thrice the same
        return grey.mean(axis=-1, dtype=np.float32) / 255

    def subset(self, index: npt.ArrayLike) -> "Dataset":
        """Take some of the images, by indices, a mask or a slice; `counts` stays as it was."""
        index = index if isinstance(index, slice) else np.asarray(index)
        arrays: dict[str, Any] = {name: array[index] for name, array in self._arrays().items()}
        if self.files is self.keys:  # one array stays one
            arrays["files"] = arrays["keys"]
        return replace(self, **arrays)

    def by_tag(self) -> "Dataset":
        """Label the images by what people wrote to them, -1 for nothing, not by their sentiment.

        Raises:
            ValueError: the images have no tags.

        Example:
            >>> from arlib.datasets import load
            >>> load("scenes-tagged", n=40).by_tag().emotions[:2]
            ('angry bean', 'angry cog')
        """
        if self.tags is None:
            raise ValueError(f"{self.name} has no tags")
        tags, labels = np.unique(self.tags, return_inverse=True)
        if len(tags) and not tags[0]:  # sorted: "" is the first
            tags, labels = tags[1:], labels - 1
        return replace(
            self,
            name=f"{self.name} by tag",
            labels=labels.astype(np.int16 if len(tags) < 2**15 else np.int32),
            emotions=tuple(tags.tolist()),
        )

    def with_stratified_folds(self, n_folds: int, seed: int) -> "Dataset":
        """Number the labelled images' folds anew, 1 ... n_folds, each with every label's share.

        Args:
            n_folds: at least 2, at most the images of the rarest label; 0 for none.
            seed: of the shuffle.

        Raises:
            DatasetError: a label has fewer images than there are folds.
        """
        return replace(self, folds=stratified_folds(self.labels, n_folds, seed, self.emotions))

    def save_folds(self, path: str | Path) -> None:
        """Write the folds to a CSV file that `load(..., folds=path)` reads.

        Args:
            path: the file, overwritten where it exists; its columns are `image`, an image's key,
                and `fold`, -1 = none.

        Example:
            >>> import tempfile
            >>> from arlib.datasets import load
            >>> path = Path(tempfile.mkdtemp(), "split.csv")
            >>> load("scenes-tagged", n=40).save_folds(path)
            >>> path.read_text().split()[:2]
            ['image,fold', 'scenes-tagged-000000,-1']
        """
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(zip(self.keys.tolist(), self.folds.tolist(), strict=True))

    def sha256(self) -> str:
        """Hash keys, labels, folds and, of images in files, every byte: which data these were.

        The bytes are read once a process, while no file changes; a bar shows after `_MOMENT`.
        """
        digest = hashlib.sha256()
        for array in (self.keys, self.labels, self.folds):
            digest.update("\n".join(map(str, array.tolist())).encode())
        if self.draw is not None:
            return digest.hexdigest()
        rows, state = range(len(self)), digest.copy()
        for row in rows:
            state.update(_file_state(self.path(row)).encode())
        if state.digest() not in _HASHED:
            name = f"{self.name}, SHA-256"
            for row in progress_bar(rows, unit="image", desc=name, delay=_MOMENT):
                path, content = self.path(row), b""
                with contextlib.suppress(OSError):  # an image that cannot be read is one of none
                    content = path.read_bytes() if path.is_file() else b""
                digest.update(content)
            _HASHED[state.digest()] = digest.hexdigest()
        return _HASHED[state.digest()]

    def _arrays(self) -> dict[str, np.ndarray]:
        known = {name: getattr(self, name) for name in _ARRAYS}
        return {name: array for name, array in known.items() if array is not None}


_ARRAYS = ("keys", "files", "labels", "folds", "regions", "tags", "agreement", "valence", "maps")


def _file_state(path: Path) -> str:
    """Tell which file a path names, and whether it was written to since."""
    try:
        status = path.stat()
    except OSError as error:
        return f"{path} {error.errno}"
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return f"{path} {status.st_dev} {status.st_ino} {status.st_size} {times}"


def repeated_key(keys: np.ndarray, hash_of: Callable[[str], int] = hash) -> str | None:
    """Find a key that comes twice; of half a million, hashes sort faster than strings."""
    hashes = np.sort(np.fromiter(map(hash_of, keys), np.int64, len(keys)))
    if (hashes[1:] != hashes[:-1]).all():
        return None
    unique, count = np.unique(keys, return_counts=True)  # hashes of two keys may be equal
    return str(unique[count > 1][0]) if (count > 1).any() else None


@dataclass(frozen=True)
class GroundTruth:
    """Images and the boxes of the objects in them."""

    boxes: tuple[np.ndarray, ...]  # of each image, (m, 4) float32 xyxy in pixels; m may be 0
    read: Callable[[int], np.ndarray]  # number of an image -> (H, W, 3) uint8 RGB

    def __len__(self) -> int:
        """Count the images."""
        return len(self.boxes)


def build(
    name: str,
    root: Path,
    rows: Mapping[str, tuple[str, int, int]],
    counts: Mapping[str, int],
) -> Dataset:
    """Make a dataset of positive and negative images from key -> (file, label, fold), in order."""
    if not rows:
        raise DatasetError(f"{name}: no image under {root}")
    files, labels, folds = zip(*rows.values(), strict=True)
    return Dataset(
        name=name,
        root=root,
        keys=np.array(list(rows)),
        files=np.array(files),
        labels=np.array(labels, np.int8),
        folds=np.array(folds, np.int8),
        counts=dict(counts),
    )
