"""Files of a dataset: folders listed in a fixed order, label files read line by line."""

import codecs
import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from arlib.datasets.images import IMAGE_ENDINGS

_SYSTEM = frozenset({
    "@eadir", "#recycle", "#snapshot", "@recycle", "@tmp",  # storage servers
    "__macosx", "icon\r",  # macOS
    "$recycle.bin", "recycler", "system volume information",  # Windows
    "thumbs.db", "ehthumbs.db", "desktop.ini",
    "lost+found",  # Linux
})  # fmt: skip

_UNREAD = frozenset({
    ".jxl", ".jxr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".svg", ".psd",
    ".exr", ".hdr", ".tga", ".pcx", ".ico",
})  # fmt: skip
"""What images may end in that are not read."""

_ARCHIVES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b")  # zip and xlsx, xls, gzip


class DatasetError(ValueError):
    """A dataset that is not there, or whose files contradict each other."""


def is_image(name: str) -> bool:
    """Tell by its ending whether a file is an image, such as .JPG or Twitter's .jpg_large."""
    return image_ending(name) in IMAGE_ENDINGS


def image_ending(name: str) -> str:
    """Take a name's ending, in lower case: .jpg of a.JPG, a.jpg_large and a.jpg?name=large."""
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122, of half a million names
    return ending if ending[1:].isalnum() else re.sub(r"[_:-][a-z]+$|[?].*", "", ending)


def list_images(root: Path, prefix: str = "") -> tuple[list[str], Counter[str]]:
    """List the images in a folder and below, as `walk`, and count its other files by ending."""
    paths = [prefix + path for path in walk(root)]
    images = [path for path in paths if is_image(path)]
    return images, other_endings(paths if len(images) < len(paths) else ())


def other_endings(paths: Collection[str]) -> Counter[str]:
    """Count the files that are no images by their ending, in lower case."""
    return Counter(Path(path).suffix.lower() for path in paths if not is_image(path))


def passed_over(others: Counter[str]) -> tuple[str, ...]:
    """Note how many files are passed over, by ending, the most frequent first."""
    if not others:
        return ()
    endings = [f"{n:,} {ending or 'without ending'}" for ending, n in others.most_common()]
    files = "file" if others.total() == 1 else "files"
    note = f"{others.total():,} other {files} passed over: {', '.join(endings)}"
    unread = sorted(_UNREAD & others.keys())
    return (f"{note}; to have {', '.join(unread)} read, convert them to JPEG" if unread else note,)


def walk(root: str | Path) -> Iterator[str]:
    """Yield the files in a folder and below, by their parts, links followed.

    What begins with a dot is passed over, and what systems keep for themselves: thumbnails
    (@eaDir, Thumbs.db), waste (#recycle, $RECYCLE.BIN), __MACOSX, lost+found.
    """
    return _walk(os.fspath(root), "", {})


def folder_names(root: str | Path) -> list[str]:
    """Name the folders in a folder, in order, but for those that `walk` passes over."""
    return [entry.name for entry in _entries(os.fspath(root)) if _is_folder(entry)]


def file_names(root: str | Path) -> list[str]:
    """Name the files in a folder, not below, in order, but for those that `walk` passes over."""
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
            entries = [entry for entry in scan if not _is_hidden(entry.name)]
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror}") from error
    for entry in entries:
        if not entry.name.isascii():
            _check_name(entry)
    return sorted(entries, key=lambda entry: entry.name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM


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


def unpacked(root: Path, archive: str) -> Path:
    """Locate the folder that an archive unpacks to, in a dataset's folder, or else that folder."""
    return root / archive if archive and (root / archive).is_dir() else root


def find_delimiter(path: Path) -> str:
    """Find what separates the columns of a header: a comma, a semicolon, a tab or a bar."""
    header = next((text for _, text in lines(path)), "")
    return max(",;\t|", key=header.count)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank: UTF-8, ended by LF, CR LF or CR."""
    return ((number, text.strip()) for number, text in _decoded(path) if text.strip())


def rows(
    path: Path,
    needed: Collection[str],
    *,
    delimiter: str = ",",
    rename: Callable[[str, list[str]], list[str]] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the last line's number and the cells by column of each row below a table's header.

    `rename` is given the header's place and its names, and returns the names to use.
    """
    reader = csv.reader((f"{text}\n" for _, text in _decoded(path)), delimiter=delimiter)
    header: list[str] = []
    while cells := _next_row(reader, path):
        place = f"{path}, line {reader.line_num}"
        if not header:
            header = rename(place, cells) if rename else cells
            missing = [name for name in needed if name not in header]
            twice = sorted({name for name in header if name and header.count(name) > 1})
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
    if content.startswith(_ARCHIVES):
        raise DatasetError(
            f"{path}: a spreadsheet or an archive, not text: save it as CSV in UTF-8, or unpack it"
        )
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # Excel's "Unicode text"
        try:
            content = content.decode("utf-16").encode()
        except UnicodeError as error:
            raise DatasetError(f"{path}: damaged UTF-16: save the file as UTF-8") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{path}, line {number}: byte {line[error.start]:#x} is no UTF-8: "
                "save the file as UTF-8"
            ) from error
        if "\0" in text:
            raise DatasetError(f"{path}, line {number}: a byte 0 is no text: save it as UTF-8")
        yield number, text
