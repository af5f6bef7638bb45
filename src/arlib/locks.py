"""One process at a time: a lock that the system lets go of, however its holder ends."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BusyError(ValueError):
    """Another process is at work on the same output."""


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock file while the block runs; it is removed at the end.

    A killed process holds nothing: the lock is the system's (`flock`), the file only its name.

    Args:
        path: the lock file; its folder is made if need be.

    Raises:
        BusyError: another process holds it, naming its number and its machine.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "lock")
        >>> with only_one(path):
        ...     with only_one(path):
        ...         pass
        Traceback (most recent call last):
        ...
        arlib.locks.BusyError: ...lock is held by process ...
    """
    handle = _held(path)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is let go of: whoever waits sees a new file
        os.close(handle)


def _held(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # its last holder has just removed the folder
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BlockingIOError as error:
            holder = path.read_text() if path.exists() else ""
            os.close(handle)
            raise BusyError(f"{path} is held by {holder or 'another process'}") from error
        except OSError:
            os.close(handle)
            raise
        os.close(handle)  # its holder removed it between our opening and our locking
