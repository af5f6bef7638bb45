"""Files of a dataset: folders listed in a fixed order, label files read line by line."""

import csv
import os
from collections.abc import Collection, Iterator
from pathlib import Path

ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
"""What the name of an image may end in, in lower or upper case."""


class DatasetError(ValueError):
    """A dataset that is not there, or whose files contradict each other."""


def is_image(name: str) -> bool:
    """Tell by its ending whether a file is an image."""
    return os.path.splitext(name)[1].lower() in ENDINGS  # noqa: PTH122, of half a million names


def list_images(root: Path, prefix: str = "") -> tuple[list[str], int]:
    """List the images in a folder and below, as `walk`, and count its other files."""
    paths = [prefix + path for path in walk(root)]
    images = [path for path in paths if is_image(path)]
    return images, len(paths) - len(images)


def walk(root: str | Path) -> Iterator[str]:
    """Yield the files in a folder and below, by their parts, links followed, without .names."""
    return _walk(os.fspath(root), "", {})


def folder_names(root: str | Path) -> list[str]:
    """Name the folders in a folder, in order, without those that begin with a dot."""
    return [entry.name for entry in _entries(os.fspath(root)) if _is_folder(entry)]


def file_names(root: str | Path) -> list[str]:
    """Name the files in a folder, not below, in order, without those that begin with a dot."""
    return [entry.name for entry in _entries(os.fspath(root)) if _is_file(entry)]


def _walk(folder: str, prefix: str, above: dict[tuple[int, int], str]) -> Iterator[str]:
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror}") from error
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        raise DatasetError(
            f"{folder} is a link to {above[identity]}, a folder above itself: remove the link"
        )
    for entry in _entries(folder):
        if _is_folder(entry):
            yield from _walk(entry.path, f"{prefix}{entry.name}/", {**above, identity: folder})
        elif _is_file(entry):
            yield prefix + entry.name


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            entries = [entry for entry in scan if not entry.name.startswith(".")]
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror}") from error
    for entry in entries:
        if not entry.name.isascii():
            _check_name(entry)
    return sorted(entries, key=lambda entry: entry.name)


def _check_name(entry: os.DirEntry[str]) -> None:
    """Refuse a name that could be written into no table, and printed nowhere."""
    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{os.fsencode(entry.path)!r}: a name that is no UTF-8: rename the file; for a "
            "folder of latin-1 names, convmv -f latin1 -t utf8 -r --notest FOLDER does it"
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # such as a link to itself
        raise DatasetError(f"{entry.path}: {error.strerror}") from error


def _is_file(entry: os.DirEntry[str]) -> bool:
    if entry.is_file():
        return True
    if entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110
        raise DatasetError(f"{entry.path} is a link to nothing: remove it, or fix it")
    return False


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank: UTF-8, ended by LF, CR LF or CR."""
    return ((number, text.strip()) for number, text in _decoded(path) if text.strip())


def rows(
    path: Path, needed: Collection[str], *, delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the last line's number and the cells by column of each row below a table's header."""
    reader = csv.reader((f"{text}\n" for _, text in _decoded(path)), delimiter=delimiter)
    header: list[str] = []
    while cells := _next_row(reader, path):
        place = f"{path}, line {reader.line_num}"
        if not header:
            header = cells
            missing = [name for name in needed if name not in header]
            twice = sorted({name for name in header if header.count(name) > 1})
            if missing or twice:
                why = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(twice)} twice"
                raise DatasetError(f"{place}: the header {header} {why}")
        elif len(cells) != len(header):
            raise DatasetError(f"{place}: {len(cells)} cells, where the header has {len(header)}")
        else:
            yield reader.line_num, dict(zip(header, cells, strict=True))
    if not header:
        raise DatasetError(f"{path}: an empty file, without a header")


def once(seen: dict[str, int], key: str, number: int, path: Path) -> None:
    """Note on which line a key stands; refuse one that stood on another line before."""
    if seen.setdefault(key, number) != number:
        raise DatasetError(f"{path}, line {number}: {key} came already in line {seen[key]}")


def _next_row(reader: Iterator[list[str]], path: Path) -> list[str]:
    """Read the next row that has a cell that is not blank; [] at the end."""
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
