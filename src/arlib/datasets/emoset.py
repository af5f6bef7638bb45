"""EmoSet-118K: photographs and art of Mikels' eight emotions, with attributes of what they show."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from arlib._support.files import one_line
from arlib._support.progress import progress_bar
from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, list_images, passed_over, unpacked
from arlib.datasets.labels import MIKELS, view

EMOTIONS = MIKELS

PARTS = ("train", "val", "test")

ATTRIBUTES = ("scene", "object", "facial_expression", "human_action", "brightness", "colorfulness")
"""What its annotations tell of an image, beside the emotion."""

_MOMENT = 2.0  # seconds of reading annotations before a bar shows


class _Row(NamedTuple):
    emotion: str
    annotation: str  # its file
    part: str
    number: int  # in the part's list


def emoset(root: str | Path, *, classes: str = "emotions", tags: str | None = None) -> Dataset:
    """Read EmoSet-118K (Yang et al. 2023) as its archive unpacks; fold 1 is its test set."""
    root = unpacked(Path(root), "EmoSet-118K")
    if tags not in (None, *ATTRIBUTES):
        raise DatasetError(f"emoset: tags must be {', '.join(ATTRIBUTES)} or none, not {tags!r}")
    rows: dict[str, _Row] = {}
    for part in PARTS:
        for image, row in _read_list(root, part).items():
            if image in rows:
                raise DatasetError(f"{root / part}.json: {image} is in {rows[image].part}.json too")
            rows[image] = row
    folder = root / "image"
    images, others = list_images(folder, "image/") if folder.is_dir() else ([], Counter[str]())
    present = set(images)
    files = [image for image in rows if image in present]
    if not files:
        raise DatasetError(
            f"emoset: none of the {len(rows):,} images is in {folder}; "
            "`arlib data where emoset` says how to get them"
        )
    counts = {
        "rows": len(rows),
        "rows without image": len(rows) - len(files),
        "images without label": len(present - rows.keys()),
        "other files": others.total(),
    }
    tagged = None
    if tags is not None:
        tagged = np.array(_read_tags(root, [rows[image] for image in files], tags))
        counts[f"images without {tags}"] = int((tagged == "").sum())
    labels = np.array([EMOTIONS.index(rows[image].emotion) for image in files], np.int8)
    labels, emotions = view(labels, EMOTIONS, classes)
    return Dataset(
        name="emoset",
        root=root,
        keys=np.array([image.removeprefix("image/") for image in files]),
        files=np.array(files),
        labels=labels,
        folds=np.array([1 if rows[image].part == "test" else -1 for image in files], np.int8),
        emotions=emotions,
        tags=tagged,
        counts=counts,
        notes=passed_over(others),
    )


def _read_list(root: Path, part: str) -> dict[str, _Row]:
    """Read the list of one part: an image's file -> its row."""
    # The README of `JingyuanYY/EmoSet` on GitHub has rows of emotion, name, image and annotation;
    # programs that read the archive, such as `Kahsolt/EmotionSpaces`, expect them without the name.
    path = root / f"{part}.json"
    content = _read_json(path)
    if not isinstance(content, list):
        raise DatasetError(f"{path}: no list of rows")
    rows: dict[str, _Row] = {}
    for number, row in enumerate(content, 1):
        texts = isinstance(row, list) and all(isinstance(each, str) for each in row)
        if not texts or len(row) not in (3, 4) or row[0] not in EMOTIONS:
            raise DatasetError(
                f"{path}, row {number}: {one_line(row)} is no row; a row is an emotion, a name if "
                f"you like, the image and its annotation, and there are {', '.join(EMOTIONS)}"
            )
        image, annotation = (each.replace("\\", "/") for each in row[-2:])
        if image in rows:
            raise DatasetError(f"{path}, row {number}: {one_line(image)} came already")
        rows[image] = _Row(row[0], annotation, part, number)
    return rows


def _read_tags(root: Path, rows: list[_Row], attribute: str) -> list[str]:
    """Read an attribute of each image from its annotation, "" where it has none."""
    tags, within = [], root.resolve()
    for row in progress_bar(rows, unit="image", desc=f"emoset, {attribute}", delay=_MOMENT):
        path = root / row.annotation
        try:
            inside = path.resolve().is_relative_to(within)
        except (OSError, ValueError, RuntimeError):  # a name that none can have, links in a circle
            inside = False
        if not inside:
            raise DatasetError(
                f"{root / row.part}.json, row {row.number}: its annotation, "
                f"{one_line(row.annotation)}, is not within {root}"
            )
        content = _read_json(path)
        if not isinstance(content, dict):
            raise DatasetError(f"{path}: no annotation, but {one_line(content)}")
        if content.get("emotion", row.emotion) != row.emotion:
            emotion = one_line(repr(content["emotion"]))
            raise DatasetError(
                f"{path}: its emotion is {emotion}, and in {row.part}.json {row.emotion}"
            )
        value = content.get(attribute, "")
        tags.append(", ".join(map(str, value)) if isinstance(value, list) else str(value))
    return tags


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{path}: {error.strerror}; `arlib data where emoset` says what its archive holds"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: no JSON, or damaged: {one_line(error)}") from error
