"""A table of images of one's own: CSV or Parquet with `path`, `label` and `fold`."""

import importlib
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, rows
from arlib.datasets.folds import parse_fold, stratified_folds
from arlib.datasets.labels import encode

COLUMNS = ("path", "label", "fold")

_Cells = list[tuple[str, dict[str, str]]]  # where a row stands, its cells by column


def table(
    path: str | Path, *, emotions: Sequence[str] | None = None, n_folds: int = 5, seed: int = 0
) -> Dataset:
    """Read a table of images, whose paths are relative to its own folder."""
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"no table {path}")
    cells = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    columns = set(cells[0][1]) if cells else set()
    keys = _keys(path, cells)
    present = [index for index, key in enumerate(keys) if os.path.isfile(path.parent / key)]  # noqa: PTH113
    if not present:
        raise DatasetError(
            f"{path}: none of its {len(cells)} images is there; paths are relative to {path.parent}"
        )
    labels, classes = encode(
        [row.get("label", "") for _, row in cells], emotions, lambda index: cells[index][0]
    )
    folds = np.array([parse_fold(row.get("fold", ""), place) for place, row in cells], np.int8)
    files, labels = np.array(keys)[present], labels[present]
    return Dataset(
        name=path.stem,
        root=path.parent,
        keys=files,
        files=files,
        labels=labels,
        folds=folds[present] if "fold" in columns else stratified_folds(labels, n_folds, seed),
        emotions=classes,
        counts={"rows": len(cells), "rows without image": len(cells) - len(present)},
    )


def _keys(path: Path, cells: _Cells) -> list[str]:
    """List the paths; "./a.jpg" and "a.jpg" are the same."""
    first: dict[str, str] = {}
    for place, row in cells:
        if not row["path"]:
            raise DatasetError(f"{place}: no path")
        key = posixpath.normpath(row["path"])
        if key in first:
            before = first[key].removeprefix(f"{path}, ")
            raise DatasetError(f"{place}: {key} came already in {before}")
        first[key] = place
    return list(first)


def _read_csv(path: Path) -> _Cells:
    cells = [(f"{path}, line {number}", row) for number, row in rows(path, ("path",))]
    if cells:
        _check_columns(path, list(cells[0][1]))
    return cells


def _read_parquet(path: Path) -> _Cells:
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
    _check_columns(path, content.column_names)
    columns = {name: content.column(name).to_pylist() for name in content.column_names}
    texts = {n: ["" if v is None else str(v).strip() for v in c] for n, c in columns.items()}
    return [
        (f"{path}, row {number + 1}", {name: texts[name][number] for name in texts})
        for number in range(content.num_rows)
    ]


def _check_columns(path: Path, columns: list[str]) -> None:
    """Refuse a misspelt column: it would be labels unknown, or folds anew, without a word."""
    if "path" not in columns:
        raise DatasetError(f"{path}: no column path among {columns}")
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise DatasetError(f"{path}: unknown columns {unknown}; there are {', '.join(COLUMNS)}")
