"""Write files and folders atomically, replace only one's own, lock, and name caches' folders."""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import socket
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from arlib._support.provenance import code_sha256

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


class BusyError(ValueError):
    """Another process writes the same output."""


def refuse_output(
    out: Path,
    inputs: Iterable[Path] = (),
    *,
    ours: Callable[[Path], bool] | None = None,
    what: str = "",
) -> None:
    """Raise where writing to a path would harm an input, or replace what is not one's own.

    Args:
        out: a file or a folder, there or not.
        inputs: files and folders that are read; `out` must not be, hold or lie in one of them,
            by whatever names and links they are reached.
        ours: whether what is at `out` may be replaced; None asks nothing of it.
        what: such a thing, in words.

    Raises:
        FileExistsError: it names `out`, and the input.
    """
    try:
        out.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:  # it cannot be resolved
            raise FileExistsError(f"{out} links to itself: name another output") from error
    for given in inputs:
        for inner, outer, verb in ((out, given, "lies in"), (given, out, "holds")):
            if _same(out, given):
                raise FileExistsError(f"{out} is the input {given}: name another output")
            resolved = inner.resolve()
            if any(_same(folder, outer) for folder in resolved.parents):
                raise FileExistsError(f"{out} {verb} the input {given}: name another output")
    if ours is not None and os.path.lexists(out) and not ours(out):
        raise FileExistsError(
            f"{out} exists already and is not {what}: name another output, or remove it"
        )


def _same(one: Path, other: Path) -> bool:
    """Tell whether two paths, there or not, name one file: also by hard links, or letter case."""
    with suppress(OSError):
        return one.samefile(other)
    return one.resolve() == other.resolve()


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file under another name and rename it, so that a reader finds the old or the new."""
    # a link is not followed: it is replaced, and what it points to stays as it is
    fresh = path.with_name(f".arlib-{uuid.uuid4().hex[:12]}")  # shorter than a name may be
    try:
        with fresh.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise type(error)(error.errno, error.strerror, str(path)) from error
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def replace_folder(fresh: Path, target: Path) -> None:
    """Rename a complete folder to a name on its file system, and remove the folder of that name."""
    # Linux exchanges two names in one step. Elsewhere the old folder is renamed first, and a crash
    # between the two renames leaves it beside the target, as .NAME.replaced-...
    if not os.path.lexists(target):
        fresh.rename(target)
        return
    if target.is_symlink() or not target.is_dir():
        raise NotADirectoryError(f"{target} is not a folder that can be replaced: remove it")
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
        if os.path.lexists(target):
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
    """Flush every file and folder below a folder to the disk, so that a rename may follow."""
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def exclusive_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file while the block runs; raise `BusyError`, or wait, while another has it.

    What is at the path and is no lock file, such as a link, is left as it is: `FileExistsError`.
    """
    # a killed process holds nothing: the lock is the system's, the file only its name
    lock = FileLock(path, timeout=-1 if wait else 0, fallback_to_soft=False)
    try:
        _acquire(lock, path)
    except Timeout as error:
        raise BusyError(f"{path} is held by {_holder(path) or 'another process'}") from error
    try:
        _write_holder(path)
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is released: a process that waits opens a new one
        lock.release()


_HELD_BY = "process "


def _acquire(lock: FileLock, path: Path) -> None:
    for left in range(99, -1, -1):
        path.parent.mkdir(parents=True, exist_ok=True)
        _holder(path)
        try:
            lock.acquire()
        except FileNotFoundError:
            if not left:
                raise
            continue  # its last holder has just removed the folder
        return


def _holder(path: Path) -> str:
    """Read who holds a lock, "" if nobody does; `FileExistsError` where the file is no lock."""
    try:
        status = path.lstat()
        lock = stat.S_ISREG(status.st_mode) and status.st_nlink <= 1
        text = path.read_bytes()[:200].decode(errors="replace") if lock else ""
    except FileNotFoundError:
        return ""
    if not lock or not text.startswith(_HELD_BY[: len(text)]):
        raise FileExistsError(f"{path} is no lock file of arlib's: remove it")
    return text


def _write_holder(path: Path) -> None:
    text = f"{_HELD_BY}{os.getpid()} on {socket.gethostname()}"
    handle = os.open(path, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, "w") as file:
        file.write(text)


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
