"""A fresh folder takes an old one's place in one step: at no moment is there none."""

import ctypes
import errno
import os
import shutil
import uuid
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def replace_folder(fresh: Path, target: Path) -> None:
    """Rename a folder to a name that may be taken, and remove what had it.

    Linux exchanges the two names in one step. Where a system or a file system cannot, the old
    folder is first renamed to `.NAME.replaced-...` beside it, and a crash between the two renames
    leaves it there.

    Args:
        fresh: the new folder, whole; on the file system of `target`.
        target: the name that it takes.

    Raises:
        OSError: the rename failed; both folders are as they were.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("fresh", "old"):
        ...     (root / name).mkdir()
        ...     _ = (root / name / "page").write_text(name)
        >>> replace_folder(root / "fresh", root / "old")
        >>> [path.name for path in root.iterdir()], (root / "old" / "page").read_text()
        (['old'], 'fresh')
    """
    if not target.exists():
        fresh.rename(target)
        return
    if exchange(fresh, target):
        shutil.rmtree(fresh, ignore_errors=True)
        return
    old = target.with_name(f".{target.name}.replaced-{uuid.uuid4().hex[:8]}")
    target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def place_folder(fresh: Path, target: Path, *, overwrite: bool) -> None:
    """Rename a folder to a name; where that is taken, replace what has it, or refuse.

    Raises:
        FileExistsError: the name is taken, and `overwrite` is false; both are as they were.
    """
    if overwrite:
        replace_folder(fresh, target)
        return
    try:
        fresh.rename(target)
    except OSError as error:
        if target.exists():
            raise FileExistsError(f"{target} exists already: remove it, or overwrite it") from error
        raise


def exchange(one: Path, other: Path) -> bool:
    """Let two paths swap their names in one step; False where the system has no such call.

    Raises:
        OSError: it has, and it failed.
    """
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if swap is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if swap(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under another name and rename it: whoever reads finds the old or the new, whole.

    Raises:
        OSError: it could not be written; what was there is untouched.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "page")
        >>> write_whole(path, "text")
        >>> path.read_text()
        'text'
    """
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with fresh.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def flush_folder(folder: Path) -> None:
    """Have the disk hold every file and folder below before this returns: before a rename.

    Raises:
        OSError: the disk could not take them.
    """
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
