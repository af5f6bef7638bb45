"""A table of images of one's own: CSV or Parquet with `path`, `label` and `fold`."""

import importlib
import os
import posixpath
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, find_delimiter, is_image, rows
from arlib.datasets.folds import fixed_folds, is_part, own_folds, parse_fold
from arlib.datasets.labels import encode

COLUMNS = {
    "path": ("file", "filename", "filepath", "image", "image_path", "img", "img_path"),
    "label": ("emotion", "sentiment", "class", "category"),
    "fold": ("split",),
}
"""What a column holds, and by which other names it is known; case, spaces, - and _ do not count."""

_Cells = list[tuple[str, dict[str, str]]]  # where a row stands, its cells by column


def table(
    path: str | Path,
    *,
    emotions: Sequence[str] | None = None,
    n_folds: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Read a table of images, whose paths are relative to its own folder."""
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"no table {path}")
    columns: list[str] = []
    notes: list[str] = []
    cells = (_read_parquet if path.suffix.lower() == ".parquet" else _read_csv)(
        path, columns, notes
    )
    if not cells:
        raise DatasetError(f"{path}: a header without rows")
    keys = _keys(path, cells)
    present = _present(path, list(keys), notes)
    labels, classes, of_labels = encode(
        [row.get("label", "") for _, row in cells],
        emotions,
        lambda index: cells[index][0],
        str(path),
    )
    labels = labels[present]
    if "fold" in columns:
        folds, of_folds = _parse_folds(path, cells)
        folds = folds[present]
    else:
        folds, of_folds = own_folds(labels, n_folds, seed, classes, str(path))
    files = np.array(list(keys))[present]
    return Dataset(
        name=path.stem,
        root=path.parent,
        keys=files,
        files=files,
        labels=labels,
        folds=folds,
        emotions=classes,
        counts={"rows": len(cells), "rows without image": len(cells) - len(present)},
        notes=(*notes, *of_labels, *of_folds),
    )


def _keys(path: Path, cells: _Cells) -> dict[str, str]:
    """List the paths as they are found, with their places; "./a.jpg" and "a.jpg" are the same."""
    first: dict[str, str] = {}
    for place, row in cells:
        if not row["path"]:
            raise DatasetError(f"{place}: no path")
        if "://" in row["path"]:
            raise DatasetError(f"{place}: {row['path']} is no file: download the images")
        key = _spelled_as_found(path.parent, posixpath.normpath(row["path"]))
        if key in first:
            before = first[key].removeprefix(f"{path}, ")
            raise DatasetError(f"{place}: {key} came already in {before}")
        first[key] = place
    return first


def _spelled_as_found(folder: Path, key: str) -> str:
    """Spell a path as the file system has it: backslashes as /, letters composed or not."""
    slashed = posixpath.normpath(key.replace("\\", "/"))
    composed = (unicodedata.normalize("NFC", slashed), unicodedata.normalize("NFD", slashed))
    for spelled in dict.fromkeys((key, slashed, *composed)):
        if os.path.isfile(folder / spelled):  # noqa: PTH113, of half a million names
            return spelled
    return key


def _present(path: Path, keys: list[str], notes: list[str]) -> list[int]:
    """Find the images that are there, most of them at least; note which are not, or outside."""
    folder = path.parent.resolve()
    there = [os.path.isfile(folder / key) for key in keys]  # noqa: PTH113
    lost = [key for key, is_there in zip(keys, there, strict=True) if not is_there]
    if lost:
        are = f"{len(lost):,} of its {len(keys):,} images"
        what = f"{are} {'is' if len(lost) == 1 else 'are'} not there, such as {lost[0]}"
        if len(lost) > len(keys) / 2:
            raise DatasetError(
                f"{path}: {what}; paths are relative to {folder}: get the images, or remove their "
                "rows"
            )
        notes.append(what)
    outside = [
        key
        for key in keys
        if key.startswith("../") or (key.startswith("/") and not key.startswith(f"{folder}/"))
    ]
    if outside:
        count = f"{len(outside):,} of its images"
        notes.append(f"{count} lie outside of the table's folder, such as {outside[0]}")
    return [index for index, is_there in enumerate(there) if is_there]


def _parse_folds(path: Path, cells: _Cells) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the column of folds: numbers, or the parts of a split."""
    texts = [row["fold"] for _, row in cells]
    parts = {text for text in texts if is_part(text)}
    if not parts:
        folds = [parse_fold(text, place) for text, (place, _) in zip(texts, cells, strict=True)]
        return np.array(folds, np.int8), ()
    numbers, described = fixed_folds(parts, str(path))
    numbers |= {"": -1, "-1": -1}
    for (place, _), text in zip(cells, texts, strict=True):
        if text not in numbers:
            raise DatasetError(f"{place}: {text!r} is no fold beside {', '.join(sorted(parts))}")
    return np.array([numbers[text] for text in texts], np.int8), (described,)


def _read_csv(path: Path, columns: list[str], notes: list[str]) -> _Cells:
    def rename(place: str, header: list[str]) -> list[str]:
        columns.extend(_named(place, header, notes))
        return columns

    delimiter = find_delimiter(path)
    read = rows(path, (), delimiter=delimiter, rename=rename)
    return [(f"{path}, line {number}", row) for number, row in read]


def _read_parquet(path: Path, columns: list[str], notes: list[str]) -> _Cells:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DatasetError(
            f'{path}: Parquet is read by pyarrow: pip install "arlib[datasets]"'
        ) from error
    try:
        content = parquet.read_table(path)
    except (arrow.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: no Parquet, or damaged: {error}") from error
    columns += _named(str(path), content.column_names, notes)
    texts = {
        name: ["" if value is None else str(value).strip() for value in column.to_pylist()]
        for name, column in zip(columns, content.columns, strict=True)
        if name
    }
    return [
        (f"{path}, row {number + 1}", {name: texts[name][number] for name in texts})
        for number in range(content.num_rows)
    ]


def _named(place: str, header: list[str], notes: list[str]) -> list[str]:
    """Name what each column holds, "" for a numbering that pandas adds.

    A column that is not known is refused: misspelt, it would be labels unknown, or folds anew,
    without a word.
    """
    known = {_squeezed(each): of for of, names in COLUMNS.items() for each in (of, *names)}
    named = ["" if _is_index(cell) else known.get(_squeezed(cell), cell) for cell in header]
    must = "a table has a column " + ", ".join(
        f"{'and, if you like, ' * (of == 'fold')}{of} (or {', '.join(names)})"
        for of, names in COLUMNS.items()
    )
    if "path" not in named:
        if any(map(is_image, header)):
            raise DatasetError(f"{place}: no header: write one above it, such as path,label")
        raise DatasetError(f"{place}: no column path among {header}: {must}")
    if unknown := [of for of in named if of not in ("", *COLUMNS)]:
        raise DatasetError(
            f"{place}: unknown columns {unknown}: {must}; rename or remove the others"
        )
    columns = list(zip(header, named, strict=True))
    if twice := [cell for cell, of in columns if of and named.count(of) > 1]:
        raise DatasetError(f"{place}: columns {', '.join(twice)} mean the same: leave one of them")
    if read_as := [f"{cell} is read as {of}" for cell, of in columns if of and cell.lower() != of]:
        notes.append(f"column {', '.join(read_as)}")
    if passed := [cell or "without name" for cell, of in columns if not of]:
        notes.append(f"column {', '.join(passed)} is passed over")
    return named


def _squeezed(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def _is_index(name: str) -> bool:
    return re.fullmatch(r"|index|Unnamed: \d+|__index_level_\d+__", name) is not None
