"""Write files and folders atomically, lock them, and name the cache's folders."""

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
    """Another process writes the same output."""


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file under another name and rename it, so that a reader finds the old or the new."""
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
    """Rename a complete folder to a name on its file system, and remove what had that name."""
    # Linux exchanges two names in one step. Elsewhere the old folder is renamed first, and a crash
    # between the two renames leaves it beside the target, as .NAME.replaced-...
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
    """Rename a folder to a name; where that is taken, replace what has it, or raise."""
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
    """Swap the names of two paths in one step; False where the system has no such call."""
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
    """Write every file and folder below to the disk before this returns: before a rename."""
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def exclusive_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file while the block runs; raise `BusyError`, or wait, while another has it."""
    # a killed process holds nothing: the lock is the system's, the file only its name
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
        path.unlink(missing_ok=True)  # before it is released: a process that waits opens a new one
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
    """Locate the cache: `ARLIB_CACHE`, else `_build/cache` of a book here or above, or at home."""
    named = os.environ.get("ARLIB_CACHE")
    if named:
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "editions").is_dir():
            return folder / "_build" / "cache"
    return Path.home() / ".cache" / "arlib"


def cache_folder(stage: str, settings: Mapping[str, Any], *code: str) -> Path:
    """Name the folder of what a stage makes from its settings, JSON values, and its `code`."""
    facts = json.dumps([settings, code_sha256(*code)], sort_keys=True)
    return cache_dir() / f"{stage}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
