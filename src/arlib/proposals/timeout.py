"""Proposals under a deadline, in a process that is killed when the time is up."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from arlib.datasets import ImageError
from arlib.proposals.types import Proposals, check_between

_START = "import sys; from arlib.proposals.timeout import serve; serve(int(sys.argv[1]))"


@dataclass(frozen=True)
class Deadline:
    """Propose what another method proposes, but for no longer than it may take."""

    # The method runs in a process beside this one, which is killed when the time is up; the image
    # is then left out of the scores, like an unreadable one. An image's way there and back takes a
    # few milliseconds. Threads that ask at the same time have a process each.

    method: Any  # a frozen dataclass of an importable module
    seconds: float = 30.0  # > 0; the first image of a process has its start on top

    def __post_init__(self) -> None:
        """Check the settings."""
        check_between("seconds", self.seconds, 0, np.inf)

    @property
    def max_regions(self) -> int:
        """N of the method."""
        return self.method.max_regions

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB.

        Raises:
            ImageError: the method took too long, or ended its process.
            Exception: what the method raised.
        """
        with _LOCK:
            idle = _IDLE[self]
            server = idle.pop() if idle else None
        server = server or _Server(self.method)
        try:
            proposals, error = server.ask(image, self.seconds)
        except BaseException:
            server.kill()
            raise
        with _LOCK:
            idle.append(server)
        if error is not None:
            raise error
        return proposals


class _Server:
    """A process that proposes, and the line to it."""

    def __init__(self, method: Any):
        ours, theirs = socket.socketpair()
        number = theirs.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, str(number)], pass_fds=[number], stdin=subprocess.DEVNULL
        )
        theirs.close()
        self.line = Connection(ours.detach())
        try:
            self.line.send(method)
            self.line.recv()  # it has started
        except (EOFError, OSError) as error:
            self.kill()
            raise RuntimeError("the process that is to make proposals did not start") from error

    def ask(self, image: np.ndarray, seconds: float) -> tuple[Any, Exception | None]:
        try:
            self.line.send(image)
            if not self.line.poll(seconds):
                raise ImageError("proposals", f"took longer than {seconds:g} s")
            return self.line.recv()
        except (EOFError, ConnectionError) as error:
            code = self.process.wait()
            raise ImageError("proposals", f"ended their process (status {code})") from error

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.line.close()

    def __del__(self) -> None:
        if self.process.poll() is None:
            self.kill()


_IDLE: dict[Deadline, list[_Server]] = defaultdict(list)
_LOCK = threading.Lock()


def serve(number: int) -> None:
    """Propose for the process at the other end of an open socket, until it closes it."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    line = Connection(number)
    method = line.recv()
    line.send(True)
    while True:
        try:
            image = line.recv()
        except EOFError:
            return
        try:
            line.send((method(image), None))
        except Exception as error:
            line.send((None, error))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
