"""What lies in a folder: pictures by their ending, links followed, no pixel touched."""

import os
from collections.abc import Iterator
from pathlib import Path

from arlib.datasets.dataset import DatasetError

ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
"""What the name of a picture may end in, in lower or upper case."""


def is_image(name: str) -> bool:
    """Tell by its ending whether a file is a picture.

    Example:
        >>> is_image("holiday/Sea.JPG"), is_image("notes.txt")
        (True, False)
    """
    return os.path.splitext(name)[1].lower() in ENDINGS  # noqa: PTH122, of half a million names


def walk(root: str | Path) -> Iterator[str]:
    """Find every file in a folder and the folders below; links to folders are followed.

    Args:
        root: the folder.

    Returns:
        Paths relative to `root`, with "/" between folders, in the order of their parts. Names that
        begin with a dot are left out, and so is what is neither a file nor a folder.

    Raises:
        DatasetError: a folder cannot be read, a name is no UTF-8, a link leads to nothing or to a
            folder above itself.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "joy").mkdir()
        >>> for name in ("joy/b.png", "joy/a.jpg", ".hidden", "notes.txt"):
        ...     (root / name).touch()
        >>> list(walk(root))
        ['joy/a.jpg', 'joy/b.png', 'notes.txt']
    """
    return _walk(os.fspath(root), "", {})


def folders(root: str | Path) -> list[str]:
    """Name the folders in a folder, by name, without those that begin with a dot.

    Raises:
        DatasetError: as `walk`.
    """
    return [entry.name for entry in _entries(os.fspath(root)) if _is_folder(entry)]


def files(root: str | Path) -> list[str]:
    """Name the files in a folder, not below, by name, without those that begin with a dot.

    Raises:
        DatasetError: as `walk`.
    """
    return [entry.name for entry in _entries(os.fspath(root)) if _is_file(entry)]


def _walk(folder: str, prefix: str, above: dict[tuple[int, int], str]) -> Iterator[str]:
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror}") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise DatasetError(
            f"{folder} is a link to {above[here]}, a folder above itself: remove the link"
        )
    for entry in _entries(folder):
        if _is_folder(entry):
            yield from _walk(entry.path, f"{prefix}{entry.name}/", {**above, here: folder})
        elif _is_file(entry):
            yield prefix + entry.name


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
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
            f"{os.fsencode(entry.path)!r}: a name that is no UTF-8: rename the file; for a whole "
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
        raise DatasetError(f"{entry.path} is a link to nothing: remove it, or mend it")
    return False
