"""Numbered pieces of work, done in this process, in processes beside it, or on a Dask cluster.

All three call one function, `Work`, and yield one `Outcome` a piece as it comes. Each piece has so
many tries, then it is set aside.
"""

import errno
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client, Future


Work = Callable[[int], Any]


TRIES = 3
"""How often a piece is tried before it is set aside."""


_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}  # whoever tries, fails


class NonRetryableError(ValueError):
    """Work that cannot go on, whoever does it: a full disk, or a worker that has another job."""


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended.

    Attributes:
        number: which piece.
        value: what came of it; None where it was set aside.
        errors: what each failed try said; as many as there are tries if it was set aside.
    """

    number: int
    value: Any
    errors: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether nothing came of it."""
        return self.value is None


def non_retryable(error: BaseException) -> bool:
    """Say whether an error would meet every other piece too.

    Example:
        >>> full = OSError(errno.ENOSPC, "No space left on device")
        >>> non_retryable(full), non_retryable(ValueError("no"))
        (True, False)
    """
    return isinstance(error, NonRetryableError) or (
        isinstance(error, OSError) and error.errno in _HOPELESS
    )


def in_this_process(work: Work, numbers: Sequence[int], *, tries: int = TRIES) -> Iterator[Outcome]:
    """Do every piece in this process, one after another.

    Args:
        work: number -> what comes of it, never None.
        numbers: of the pieces.
        tries: how often a piece may fail.

    Raises:
        Exception: a hopeless one, see `non_retryable`.

    Example:
        >>> outcomes = in_this_process({1: "a"}.__getitem__, [1, 2])
        >>> [(one.number, one.value, one.errors) for one in outcomes]
        [(1, 'a', ()), (2, None, ('KeyError: 2', 'KeyError: 2', 'KeyError: 2'))]
    """
    for number in numbers:
        errors: list[str] = []
        value = None
        while value is None and len(errors) < tries:
            try:
                value = work(number)
            except Exception as error:
                if non_retryable(error):
                    raise
                errors.append(described(error))
        yield Outcome(number, value, tuple(errors))


def described(error: BaseException) -> str:
    """Say an error in one line.

    Example:
        >>> described(KeyError("a"))
        "KeyError: 'a'"
    """
    return " ".join(f"{type(error).__name__}: {error}".split())


def in_processes(
    work: Work, numbers: Sequence[int], processes: int, *, tries: int = TRIES
) -> Iterator[Outcome]:
    """Do the pieces in processes of this machine; a killed one is replaced, its piece tried again.

    Args:
        work: as of `in_this_process`; sent to each process once, so it must be picklable.
        numbers: of the pieces.
        processes: how many.
        tries: how often a piece may fail, or end its process.

    Raises:
        NonRetryableError: with what a hopeless error said.
    """
    todo = deque(numbers)
    told: dict[int, list[str]] = {}
    team: dict[Connection, _Worker] = {}
    threads = max(1, (os.cpu_count() or 1) // processes)
    try:
        while todo or team:
            while todo and len(team) < processes:
                new = _Worker(work, threads)
                team[new.line] = new
            for line, worker in list(team.items()):
                if worker.piece is None and todo:
                    worker.give(todo.popleft())
                elif worker.piece is None:
                    team.pop(line).dismiss()
            ready: list[Any] = wait(list(team)) if team else []  # of no line it waits for ever
            for line in ready:
                worker = team[line]
                number = worker.piece
                assert number is not None  # the others were dismissed
                value, error, ends_all = worker.answer()
                if ends_all:
                    raise NonRetryableError(error)
                if worker.gone:
                    team.pop(line).dismiss()
                if error is None:
                    yield Outcome(number, value, tuple(told.pop(number, ())))
                    continue
                told.setdefault(number, []).append(error)
                if len(told[number]) < tries:
                    todo.append(number)
                else:
                    yield Outcome(number, None, tuple(told.pop(number)))
    finally:
        for worker in team.values():
            worker.dismiss()


class _Worker:
    """One process, the line to it, and the piece that it has."""

    def __init__(self, work: Work, threads: int):
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        self.process.start()
        theirs.close()
        self.piece: int | None = None
        self.gone = False

    def give(self, number: int) -> None:
        self.piece = number
        with suppress(OSError):  # it has just died, which `answer` will find
            self.line.send(number)

    def answer(self) -> tuple[Any, str | None, bool]:
        self.piece = None
        try:
            return self.line.recv()
        except (EOFError, OSError):
            self.process.join()
            self.gone = True
            code = self.process.exitcode or 0
            how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
            return None, f"its worker {how}", False

    def dismiss(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.line.close()


def _serve(line: Connection, work: Work, threads: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    while True:
        number = line.recv()
        answer: tuple[Any, str | None, bool]
        try:
            answer = (work(number), None, False)
        except Exception as error:
            answer = (None, described(error), non_retryable(error))
        line.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def on_cluster(
    work: Work,
    numbers: Sequence[int],
    scheduler: str,
    *,
    resources: Mapping[str, float] | None = None,
    tries: int = TRIES,
) -> Iterator[Outcome]:
    """Do the pieces on the workers of a running Dask scheduler.

    A piece whose worker dies is given to another one by Dask itself, as often as its setting
    `distributed.scheduler.allowed-failures` says (3); then the piece is set aside. Workers may
    come and go meanwhile.

    Args:
        work: as of `in_this_process`; small when pickled, since it travels with each piece.
        numbers: of the pieces.
        scheduler: its address, such as "tcp://10.0.0.5:8786".
        resources: what a worker must have free for a piece, as it was told by
            `dask worker --resources`, such as {"GPU": 1}.
        tries: how often a piece may fail.

    Raises:
        ImportError: Dask is not installed.
        OSError: no scheduler answers there.
        NonRetryableError: with what a hopeless error said.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as missing:
        raise ImportError("a cluster needs Dask: pip install 'arlib[cluster]'") from missing
    told: dict[int, list[str]] = {}
    with Client(scheduler, set_as_default=False) as client:
        todo = iter(numbers)
        pieces: dict[str, int] = {}

        def submit(number: int) -> "Future":
            future = client.submit(
                work, number, resources=dict(resources or {}) or None, pure=False
            )
            pieces[future.key] = number
            return future

        first = [submit(number) for number in islice(todo, _window(client))]
        waiting = as_completed(first, loop=client.loop)
        for future in waiting:
            number = pieces.pop(future.key)
            value, error = _ended(future)
            if error is not None:
                if non_retryable(error):
                    raise NonRetryableError(described(error)) from error
                told.setdefault(number, []).append(described(error))
                if type(error).__name__ != "KilledWorker" and len(told[number]) < tries:
                    waiting.add(submit(number))
                    continue
            yield Outcome(number, value, tuple(told.pop(number, ())))
            for more in islice(todo, max(0, _window(client) - len(pieces))):
                waiting.add(submit(more))


def _window(client: "Client") -> int:
    """How many pieces the scheduler knows of at once: not all of a million."""
    return max(64, 4 * sum(client.nthreads().values()))


def _ended(future: "Future") -> tuple[Any, BaseException | None]:
    if future.status == "finished":
        return future.result(), None
    if future.status == "cancelled":  # the scheduler forgot it, as when it was restarted
        return None, ConnectionError("the scheduler lost this piece")
    return None, future.exception()
