"""Sets whose images people rated for each emotion: the label is the emotion rated highest."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import (
    DatasetError,
    file_names,
    find_delimiter,
    is_image,
    once,
    other_endings,
    passed_over,
    rows,
    unpacked,
    walk,
)
from arlib.datasets.folds import own_folds
from arlib.datasets.labels import MIKELS, view

_ENDINGS = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Rated:
    """Where the ratings of one set are, and its images."""

    emotions: tuple[str, ...]
    tables: Mapping[str, Mapping[str, str]]  # name, of any ending -> column -> emotion; "" is none
    archive: str = ""  # the folder that its archive unpacks to
    images: str = ""  # the folder of its images, beside the tables; "" is that of the tables


_EKMAN = ("anger", "disgust", "fear", "joy", "sadness", "surprise")

RATED = {
    # The readme.txt of its archive: a share of people for each emotion, and for none, "neutral".
    "emotion6": Rated(
        emotions=_EKMAN,
        tables={"ground_truth": {**{each: each for each in _EKMAN}, "neutral": ""}},
        archive="Emotion6",
        images="images",
    ),
    # What programs that read its archive expect, for instance `Graviti-AI/tensorbay-python-sdk` on
    # GitHub: votes, below a header without a name for the first column, and ' around names.
    "abstract": Rated(
        emotions=MIKELS,
        tables={
            "ABSTRACT_groundTruth": {
                **{each: each for each in MIKELS if each not in ("contentment", "sadness")},
                "content": "contentment",
                "sad": "sadness",
            }
        },
        archive="testImages_abstract",
    ),
    # The article's norms, as a program on GitHub reads them: mean ratings, a table for either half.
    # Their categories are letters, some for blends of emotions; the means say which is highest.
    "iaps": Rated(
        emotions=MIKELS,
        tables={
            "Mikels2005negativenorms": {
                "angrmean": "anger",
                "disgmean": "disgust",
                "fearmean": "fear",
                "sadnmean": "sadness",
            },
            "Mikels2005positivenorms": {
                "amusmean": "amusement",
                "awemean": "awe",
                "contmean": "contentment",
                "excimean": "excitement",
            },
        },
        images="images",
    ),
}


def rated(name: str) -> Callable[..., Dataset]:
    """Make the reader of one of these sets; folds are stratified by emotion, for both views."""
    of = RATED[name]

    def read(
        root: str | Path, *, classes: str = "emotions", n_folds: int | None = None, seed: int = 0
    ) -> Dataset:
        # the emotion of each rated image, the first table's first
        root = unpacked(Path(root), of.archive)
        emotion_of: dict[str, str] = {}
        tables = {table: _find_table(name, root, table) for table in of.tables}
        for table, path in tables.items():
            found = _read_table(path, of.tables[table])
            if twice := sorted(found.keys() & emotion_of.keys()):
                raise DatasetError(f"{path}: {twice[:5]} came already in {next(iter(tables))}")
            emotion_of |= found
        row_of: dict[str, str] = {}
        for key in emotion_of:
            if (other := row_of.setdefault(_without_ending(key), key)) != key:
                raise DatasetError(
                    f"{name}: the rows {other} and {key} are of one image, but for its ending: "
                    "leave one"
                )

        # the images that are there, whatever they end in
        if not (root / of.images).is_dir():
            raise DatasetError(
                f"{name}: {root} has no folder {of.images}; `arlib data where {name}` says how to "
                "get it"
            )
        beside = {path.name for path in tables.values()}
        paths = [each for each in walk(root / of.images) if of.images or each not in beside]
        files: dict[str, str] = {}
        for each in filter(is_image, paths):
            stem = _without_ending(each)
            if stem in files:
                raise DatasetError(f"{name}: {files[stem]} and {each} have one name: leave one")
            files[stem] = each
        clear = [key for key, emotion in emotion_of.items() if emotion]
        keys = [key for key in clear if _without_ending(key) in files]
        if not keys:
            raise DatasetError(
                f"{name}: none of the {len(emotion_of):,} rated images is in {root / of.images}; "
                f"`arlib data where {name}` says how to get them"
            )
        labels = np.array([of.emotions.index(emotion_of[key]) for key in keys], np.int8)
        folds, few = own_folds(labels, n_folds, seed, of.emotions, name)
        labels, emotions = view(labels, of.emotions, classes)
        others = other_endings(paths)
        return Dataset(
            name=name,
            root=root,
            keys=np.array(keys),
            files=np.array([str(Path(of.images, files[_without_ending(key)])) for key in keys]),
            labels=labels,
            folds=folds,
            emotions=emotions,
            counts={
                "rows": len(emotion_of),
                "rows of no single emotion": len(emotion_of) - len(clear),
                "rows without image": len(clear) - len(keys),
                "images without label": len(files.keys() - set(map(_without_ending, emotion_of))),
                "other files": others.total(),
            },
            notes=(*few, *passed_over(others)),
        )

    return read


def _find_table(name: str, root: Path, table: str) -> Path:
    """Find a table by its name, in any case and with any ending that tables have."""
    found = [
        each
        for each in file_names(root)
        if each.casefold() in {f"{table}{ending}".casefold() for ending in _ENDINGS}
    ]
    if len(found) > 1:
        raise DatasetError(f"{name}: {' and '.join(found)} in {root} are one table: leave one")
    if not found:
        raise DatasetError(
            f"{name}: {root} has no {table} (.csv, .txt); `arlib data where {name}` says how to "
            "get it"
        )
    return root / found[0]


def _read_table(path: Path, emotion_of: Mapping[str, str]) -> dict[str, str]:
    """Read a table: image -> the emotion that is rated highest, "" for none, or several."""

    def rename(_place: str, header: list[str]) -> list[str]:
        return ["image", *(_bare(cell).casefold().removeprefix("prob. ") for cell in header[1:])]

    highest: dict[str, str] = {}
    seen: dict[str, int] = {}
    table = rows(path, tuple(emotion_of), delimiter=find_delimiter(path), rename=rename)
    for number, row in table:
        key = re.sub(r"^(\d+)\.0$", r"\1", _bare(row["image"]))  # of IAPS, 1050 and not 1050.0
        if not key:
            raise DatasetError(f"{path}, line {number}: no image")
        once(seen, key, number, path)
        ratings = [_rating(row[column], f"{path}, line {number}") for column in emotion_of]
        best = [
            emotion
            for emotion, rating in zip(emotion_of.values(), ratings, strict=True)
            if rating == max(ratings)
        ]
        highest[key] = best[0] if len(best) == 1 else ""
    if not highest:
        raise DatasetError(f"{path}: a header without rows")
    return highest


def _rating(text: str, place: str) -> float:
    try:
        rating = float(_bare(text))
    except ValueError:
        rating = math.nan
    if not 0 <= rating < math.inf:
        raise DatasetError(f"{place}: {text!r} is no rating, a number from 0 up")
    return rating


def _bare(cell: str) -> str:
    """Take off the quotes and brackets that some of these tables have around a name."""
    return cell.strip("'\"[] ")


def _without_ending(path: str) -> str:
    return path.rpartition(".")[0] if is_image(path) else path
