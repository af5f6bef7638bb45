"""A table of pictures of one's own: CSV or Parquet with `path`, `label` and `fold`."""

import importlib
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset, DatasetError
from arlib.datasets.folds import deal, parse_fold
from arlib.datasets.label_files import rows
from arlib.datasets.labels import encode

COLUMNS = ("path", "label", "fold")


_Cells = list[tuple[str, dict[str, str]]]  # where a row stands, its cells by column


def table(
    path: str | Path, *, emotions: Sequence[str] | None = None, n_folds: int = 5, seed: int = 0
) -> Dataset:
    r"""Read a table of pictures.

    Args:
        path: a CSV file with a header, or a Parquet file (`.parquet`), with the columns `path`,
            relative to the table's own folder; `label`, which may be missing or blank: unknown;
            and `fold`, which may be missing or blank: none.
        emotions: the classes in order; None takes those in the table: positive and negative in
            the paper's order, others by name.
        n_folds: where there is no column `fold`, deals the labelled pictures into so many
            stratified folds, numbered from 1; 0 for none.
        seed: of the folds' shuffle.

    Returns:
        The pictures in the table's order, named after the table, keyed by their path. `counts` has
        "rows" and "rows without image".

    Raises:
        DatasetError: the file is missing or damaged, has no column `path`, or has others than the
            three; naming the line or row: a path that is blank or comes twice, a label that no
            class has, or a fold that is no number from 1 to 127; or no picture is there; or
            Parquet cannot be read without pyarrow.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "sea.jpg").touch()
        >>> _ = (root / "my.csv").write_text("path,label,fold\nsea.jpg,positive,2\n")
        >>> made = table(root / "my.csv")
        >>> made.labels, made.folds, made.emotions
        (array([0], dtype=int8), array([2], dtype=int8), ('positive', 'negative'))
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"no table {path}")
    cells = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    columns = set(cells[0][1]) if cells else set()
    keys = _keys(path, cells)
    there = [index for index, key in enumerate(keys) if os.path.isfile(path.parent / key)]  # noqa: PTH113
    if not there:
        raise DatasetError(
            f"{path}: none of its {len(cells)} pictures is there; "
            f"paths are relative to {path.parent}"
        )
    labels, classes = encode(
        [row.get("label", "") for _, row in cells], emotions, lambda index: cells[index][0]
    )
    folds = np.array([parse_fold(row.get("fold", ""), at) for at, row in cells], np.int8)
    mine, labels = np.array(keys)[there], labels[there]
    return Dataset(
        name=path.stem,
        root=path.parent,
        keys=mine,
        files=mine,
        labels=labels,
        folds=folds[there] if "fold" in columns else deal(labels, n_folds, seed),
        emotions=classes,
        counts={"rows": len(cells), "rows without image": len(cells) - len(there)},
    )


def _keys(path: Path, cells: _Cells) -> list[str]:
    """The paths, "./a.jpg" and "a.jpg" being one."""
    first: dict[str, str] = {}
    for at, row in cells:
        if not row["path"]:
            raise DatasetError(f"{at}: no path")
        key = posixpath.normpath(row["path"])
        if key in first:
            where = first[key].removeprefix(f"{path}, ")
            raise DatasetError(f"{at}: {key} came already in {where}")
        first[key] = at
    return list(first)


def _csv(path: Path) -> _Cells:
    cells = [(f"{path}, line {number}", row) for number, row in rows(path, ("path",))]
    if cells:
        _check_columns(path, cells[0][1])
    return cells


def _parquet(path: Path) -> _Cells:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DatasetError(
            f'{path}: Parquet is read by pyarrow: pip install "arlib[datasets]"'
        ) from error
    try:
        read = parquet.read_table(path)
    except (arrow.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: no Parquet, or damaged: {error}") from error
    _check_columns(path, read.column_names)
    columns = {name: read.column(name).to_pylist() for name in read.column_names}
    texts = {n: ["" if v is None else str(v).strip() for v in c] for n, c in columns.items()}
    return [
        (f"{path}, row {number + 1}", {name: texts[name][number] for name in texts})
        for number in range(read.num_rows)
    ]


def _check_columns(path: Path, columns: Sequence[str] | dict[str, str]) -> None:
    """A misspelt column would be a label unknown, or a fold dealt anew, without a word."""
    if "path" not in columns:
        raise DatasetError(f"{path}: no column path among {list(columns)}")
    if other := [name for name in columns if name not in COLUMNS]:
        raise DatasetError(f"{path}: unknown columns {other}; there are {', '.join(COLUMNS)}")
