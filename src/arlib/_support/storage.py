"""Files and folders that appear complete or not at all, locks, and the cache folder."""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from arlib._support.provenance import code_sha256

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


class BusyError(ValueError):
    """Another process is at work on the same output."""


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file under another name and rename it, so that a reader finds the old or the new.

    Raises:
        OSError: it could not be written; what was there is untouched.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "page")
        >>> write_atomic(path, "text")
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


def replace_folder(fresh: Path, target: Path) -> None:
    """Rename a folder to a name that may be taken, and remove what had it.

    Linux exchanges the two names in one step. Where a system or a file system cannot, the old
    folder is first renamed to `.NAME.replaced-...` beside it, and a crash between the two renames
    leaves it there.

    Args:
        fresh: the new folder, complete; on the file system of `target`.
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
    if number in _NOT_SUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


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


@contextmanager
def exclusive_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file while the block runs; it is removed at the end.

    A killed process holds nothing: the lock is the system's (`filelock`), the file only its name.

    Args:
        path: the lock file; its folder is made if need be.
        wait: wait until it is free, instead of raising.

    Raises:
        BusyError: another process holds it, naming its number and its machine.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "lock")
        >>> with exclusive_lock(path):
        ...     with exclusive_lock(path):
        ...         pass
        Traceback (most recent call last):
        ...
        arlib._support.storage.BusyError: ...lock is held by process ...
    """
    lock = FileLock(path, timeout=-1 if wait else 0, fallback_to_soft=False)
    try:
        _acquire(lock, path)
    except Timeout as error:
        holder = path.read_text() if path.exists() else ""
        raise BusyError(f"{path} is held by {holder or 'another process'}") from error
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is released: whoever waits opens a new file
        lock.release()


def _acquire(lock: FileLock, path: Path) -> None:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except FileNotFoundError:
            continue  # its last holder has just removed the folder
        return


def cache_dir() -> Path:
    """Locate the cache: `ARLIB_CACHE`, or `_build/cache` of the book here or above, or the home's.

    Example:
        >>> import os
        >>> os.environ["ARLIB_CACHE"] = "/tmp/arlib"
        >>> cache_dir().name
        'arlib'
        >>> del os.environ["ARLIB_CACHE"]
    """
    named = os.environ.get("ARLIB_CACHE")
    if named:
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "editions").is_dir():
            return folder / "_build" / "cache"
    return Path.home() / ".cache" / "arlib"


def cache_folder(stage: str, settings: Mapping[str, Any], *code: str) -> Path:
    """Name the folder of what a stage makes from its settings, by the code that it depends on.

    Args:
        stage: what is made.
        settings: JSON values that decide what comes out.
        code: the packages and modules that it depends on, as `code_sha256` takes them.

    Example:
        >>> one, two = (cache_folder("scores", {"seed": seed}, "scoring") for seed in (0, 1))
        >>> one.parent == two.parent, one.name == two.name
        (True, False)
    """
    facts = json.dumps([settings, code_sha256(*code)], sort_keys=True)
    return cache_dir() / f"{stage}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
