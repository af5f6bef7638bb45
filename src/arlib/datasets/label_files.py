"""Label files: their lines and rows, however they end, and the place of what is wrong in them."""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from arlib.datasets.dataset import DatasetError


def lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Read a text file's lines: UTF-8, with or without a BOM, ended by LF, CR LF or CR, mixed.

    Args:
        path: the file.

    Returns:
        Pairs of a line's number, from 1, and its text without blanks at its ends; blank lines are
        left out.

    Raises:
        DatasetError: the file cannot be read, or a line, which is named, is no UTF-8.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "list.txt")
        >>> _ = path.write_bytes(b"\xef\xbb\xbfa.jpg 1\r\n\r\nb.jpg 0\r")
        >>> list(lines(path))
        [(1, 'a.jpg 1'), (3, 'b.jpg 0')]
    """
    return ((number, text.strip()) for number, text in _decoded(path) if text.strip())


def rows(
    path: Path, needed: Collection[str], *, delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table with a header; cells lose the blanks at their ends, blank lines are left out.

    Args:
        path: the file.
        needed: columns that it must have; it may have others.
        delimiter: what stands between two cells.

    Returns:
        Pairs of the number of a row's last line, from 1, and its cells by column.

    Raises:
        DatasetError: as `lines`, and naming the line: there is no header, it lacks a column or has
            one twice, or a row has another number of cells.
    """
    reader = csv.reader((f"{text}\n" for _, text in _decoded(path)), delimiter=delimiter)
    header: list[str] = []
    while cells := _next(reader, path):
        at = f"{path}, line {reader.line_num}"
        if not header:
            header = cells
            lost = [name for name in needed if name not in header]
            twice = sorted({name for name in header if header.count(name) > 1})
            if lost or twice:
                raise DatasetError(
                    f"{at}: the header {header} "
                    + (f"lacks {', '.join(lost)}" if lost else f"has {', '.join(twice)} twice")
                )
        elif len(cells) != len(header):
            raise DatasetError(f"{at}: {len(cells)} cells, where the header has {len(header)}")
        else:
            yield reader.line_num, dict(zip(header, cells, strict=True))
    if not header:
        raise DatasetError(f"{path}: an empty file, without a header")


def once(seen: dict[str, int], key: str, number: int, path: Path) -> None:
    """Note on which line a key stands.

    Raises:
        DatasetError: it stood on another line before.
    """
    if seen.setdefault(key, number) != number:
        raise DatasetError(f"{path}, line {number}: {key} came already in line {seen[key]}")


def _next(reader: Iterator[list[str]], path: Path) -> list[str]:
    """The next row that has a cell that is not blank; no cell at the end."""
    try:
        for row in reader:
            if any(cells := [cell.strip() for cell in row]):
                return cells
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: {error}") from error  # type: ignore[attr-defined]
    return []


def _decoded(path: Path) -> Iterator[tuple[int, str]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            yield number, line.decode()
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{path}, line {number}: byte {line[error.start]:#x} is no UTF-8: "
                "save the file as UTF-8"
            ) from error
