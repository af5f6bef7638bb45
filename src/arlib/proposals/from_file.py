"""Boxes of one's own: proposals that were made elsewhere, read from a file."""

import copy
import csv
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from arlib._support.files import one_line
from arlib.proposals.types import Proposals, Propose, check_count, clipped

_LOG = logging.getLogger(__name__)

COLUMNS = ("image", "x0", "y0", "x1", "y1", "score")
"""What a CSV file of boxes must have; others are passed over."""

TYPES = (".csv", ".json")

_TOLERANCE = 1.0  # pixels by which a box may lie outside its image: corners are rounded


@dataclass(frozen=True)
class FileBoxes:
    r"""Give the boxes that a file holds for an image, whoever proposed them.

    A CSV file has the columns image, x0, y0, x1, y1 and score, corners in pixels. A JSON file is
    COCO's of results, a list of ``{"image_id", "bbox": [x, y, width, height], "score"}``, each
    perhaps with a "file_name"; or an object with the lists "images", of ``{"id", "file_name"}``,
    and "annotations", which are such results.

    An image of a dataset is found by its key, else by its file's name, with the type or without;
    by an `image_id` that is a number where that is what the file is called, as COCO's are. An image
    that the file does not name has no boxes.

    Attributes:
        path: of the file.
        max_regions: N, the most boxes an image, those of the highest scores.
        sha256: of the file's bytes.

    Raises:
        ValueError: there is no such file; or it holds what is no box of an image: other columns, a
            number that is not finite, corners in the wrong order, a score below 0.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "boxes.csv")
        >>> head, rows = "image,x0,y0,x1,y1,score", "a.jpg,0,0,9,9,0.5\na.jpg,2,2,6,6,0.8"
        >>> _ = path.write_text(f"{head}\n{rows}\n")
        >>> boxes = FileBoxes(str(path)).bind(["photos/a.jpg", "photos/b.jpg"])
        >>> boxes(np.zeros((10, 10, 3), np.uint8), "photos/a.jpg").boxes.tolist()
        [[2.0, 2.0, 6.0, 6.0], [0.0, 0.0, 9.0, 9.0]]
    """

    path: str
    max_regions: int = 100
    sha256: str = field(init=False)

    names: ClassVar[Mapping[str, str | None] | None] = None  # of a dataset's keys, in the file

    boxes: ClassVar[Mapping[str, np.ndarray]]  # a name -> (n, 5) x0, y0, x1, y1, score

    def __post_init__(self) -> None:
        """Read the file."""
        check_count("max_regions", self.max_regions, 1)
        try:
            content = Path(self.path).read_bytes()
        except OSError as error:
            raise ValueError(f"no file of boxes {self.path}: {error.strerror}") from error
        object.__setattr__(self, "sha256", hashlib.sha256(content).hexdigest())
        self.__dict__["boxes"] = _read(Path(self.path), content)

    def bind(self, keys: Iterable[str]) -> "FileBoxes":
        """Find the images of a dataset in the file, by their keys; what is bound to them stays so.

        A warning counts the images that the file does not name.

        Raises:
            ValueError: there is no image; or the file names none of them, or two by one name.
        """
        keys = [str(key) for key in keys]
        if not keys:
            raise ValueError(f"{self.path}: no image is given")
        if self.names is not None and self.names.keys() >= set(keys):
            return self
        names: dict[str, str | None] = dict.fromkeys(keys)
        for of_key, of_name in ((str, str), (_file, _file), (_stem, _stem), (_number, str)):
            given = _apart(of_name, self.boxes)
            names |= {key: name or given.get(of_key(key)) for key, name in names.items()}
        first: dict[str, str] = {}
        for key, name in names.items():
            if name and first.setdefault(name, key) != key:
                raise ValueError(
                    f"{self.path}: {name!r} may be {first[name]!r} or {key!r}: give their keys"
                )
        if not first:
            own = repr(next(iter(self.boxes))) if self.boxes else "no box"
            raise ValueError(
                f"{self.path} names none of the {len(keys)} images: it has {own}, they are "
                f"{keys[0]!r} and so on"
            )
        if (missing := [*names.values()].count(None)) > 0:
            found, of = len(names) - missing, len(names)
            words = "%s names %d of %d images; the others have no regions"
            _LOG.warning(words, self.path, found, of)
        bound = copy.copy(self)
        bound.__dict__["names"] = names
        return bound

    def __call__(self, image: np.ndarray, key: str | None = None) -> Proposals:
        """Give the boxes of an image (H, W, 3) by its key in the dataset that this is bound to."""
        if key is None or self.names is None or key not in self.names:
            raise ValueError(f"{self.path} has boxes by images' names, and this image has none")
        name = self.names[key]
        rows = self.boxes[name] if name else np.empty((0, 5))
        height, width = image.shape[:2]
        limits = np.array([width, height, width, height]) + _TOLERANCE
        outside = ((rows[:, :4] < -_TOLERANCE) | (rows[:, :4] > limits)).any(axis=1)
        if outside.any():
            raise ValueError(
                f"{self.path}: a box of {name}, {rows[outside][0, :4].tolist()}, is not within the "
                f"image, which has {width} x {height} pixels"
            )
        return clipped(rows[:, :4], rows[:, 4], image, self.max_regions)


def bound(method: Propose, keys: Iterable[str]) -> Propose:
    """Prepare a proposal method for a dataset: a file of boxes finds its images, by their keys.

    Args:
        method: any proposal method.
        keys: of all images of the dataset.

    Returns:
        The method, to be called by `propose_named`; any but a file of boxes is what it was.

    Raises:
        ValueError: as of `FileBoxes.bind`.

    Example:
        >>> from arlib.proposals import Grid
        >>> bound(Grid(max_regions=3), ["a.jpg"])
        Grid(max_regions=3)
    """
    return method.bind(keys) if isinstance(method, FileBoxes) else method


def propose_named(method: Propose, image: np.ndarray, key: str) -> Proposals:
    """Propose boxes for an image of the dataset that a method is prepared for.

    Args:
        method: as `bound` gives it.
        image: (H, W, 3) uint8 RGB.
        key: the image's in the dataset, by which a file of boxes finds it.

    Returns:
        Boxes in pixels of the image, best first.

    Raises:
        ValueError: a box of the file is not within the image, or the key is not of the dataset.

    Example:
        >>> from arlib.proposals import Grid
        >>> len(propose_named(Grid(max_regions=3), np.zeros((40, 60, 3), np.uint8), "a.jpg"))
        3
    """
    return method(image, key) if isinstance(method, FileBoxes) else method(image)


def _file(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _stem(name: str) -> str:
    return PurePosixPath(_file(name)).stem


def _number(name: str) -> str:
    """Name an image by its number, where it has one, as an `image_id`: "000139.jpg" is "#139"."""
    return f"#{int(_stem(name))}" if _stem(name).isdecimal() else name


def _apart(form: Callable[[str], str], names: Iterable[str]) -> dict[str, str]:
    """Index names by a form of them; of two that share it, neither."""
    forms = {name: form(name) for name in names}
    times = Counter(forms.values())
    return {short: name for name, short in forms.items() if times[short] == 1}


def _read(path: Path, content: bytes) -> dict[str, np.ndarray]:
    """Read a file of boxes: an image's name -> (n, 5) x0, y0, x1, y1, score."""
    if path.suffix.lower() not in TYPES:
        raise ValueError(f"{path}: a file of boxes is X.csv or X.json")
    boxes: dict[str, list[list[float]]] = {}
    for where, name, values in (_csv if path.suffix.lower() == ".csv" else _coco)(path, content):
        try:
            row = [float(value) for value in values]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {one_line(error)}") from error
        x0, y0, x1, y1, score = row
        if not np.isfinite(row).all():
            raise ValueError(f"{where}: a number is not finite, {row}")
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"{where}: a box needs x0 < x1 and y0 < y1, not {row[:4]}")
        if score < 0:
            raise ValueError(f"{where}: a score must be at least 0, as Eq. 2 squares it: {score}")
        boxes.setdefault(name, []).append(row)
    return {name: np.array(rows) for name, rows in boxes.items()}


def _csv(path: Path, content: bytes) -> Iterator[tuple[str, str, list[Any]]]:
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
        table = list(rows)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ValueError(f"{path}: {one_line(error)}") from error
    for number, row in enumerate(table, 2):
        if not row["image"]:
            raise ValueError(f"{path}, row {number}: no image is named")
        yield f"{path}, row {number}", row["image"], [row[name] for name in COLUMNS[1:]]


def _coco(path: Path, content: bytes) -> Iterator[tuple[str, str, list[Any]]]:
    try:
        results, files = json.loads(content), {}
        if isinstance(results, dict):
            files = {image["id"]: image["file_name"] for image in results["images"]}
            results = results["annotations"]
        results = [*results]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not in COCO's form of results: {one_line(error)}") from error
    for number, result in enumerate(results):
        where = f"{path}, result {number}"
        try:
            image, score = result["image_id"], result["score"]
            x, y, width, height = map(_number_of, result["bbox"])
            if files and image not in files:
                raise ValueError(f"image_id {image!r} is not in the list of images")
            name = result.get("file_name") or files.get(image, image)
            name = f"#{name}" if isinstance(name, int) else str(name)
            values = [x, y, x + width, y + height, _number_of(score)]
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{where}: {one_line(repr(error))}") from error
        yield where, name, values


def _number_of(value: Any) -> float:
    """Take a number of JSON: no text that looks like one, no true."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{one_line(repr(value), 60)} is not a number")
    return float(value)
