"""Numbered pieces of work, done in this process, or by Dask: on this machine or on a cluster.

Both functions yield one `Outcome` a piece, as it comes. A piece has so many tries, then it failed.
"""

import errno
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client, Future

Work = Callable[[int], Any]

TRIES = 3
"""How often a piece is tried before it counts as failed."""

_NON_RETRYABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_RESTART = 60  # seconds that a new worker may take until it is there


class NonRetryableError(ValueError):
    """Work that cannot go on, whoever does it: a full disk, or a worker that has another job."""


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended: its value, None where it failed, and the errors of its tries."""

    number: int
    value: Any
    errors: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the piece has no value."""
        return self.value is None


def non_retryable(error: BaseException) -> bool:
    """Check whether an error would occur in every other piece too."""
    return isinstance(error, NonRetryableError) or (
        isinstance(error, OSError) and error.errno in _NON_RETRYABLE
    )


def in_this_process(work: Work, numbers: Sequence[int], *, tries: int = TRIES) -> Iterator[Outcome]:
    """Do every piece in this process, one after another; a non-retryable error is raised."""
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
    """Describe an error in one line."""
    if type(error).__name__ == "KilledWorker":  # whose own text is about Dask's settings
        return "its worker died"
    return " ".join(f"{type(error).__name__}: {error}".split())


def by_dask(
    work: Work,
    numbers: Sequence[int],
    *,
    processes: int = 1,
    scheduler: str | None = None,
    resources: Mapping[str, float] | None = None,
    tries: int = TRIES,
) -> Iterator[Outcome]:
    """Do the pieces by workers of a running Dask scheduler, or by new processes of this machine."""
    # a piece whose worker dies is given to another: on this machine that is one of its tries; a
    # running scheduler does it by itself, as often as its `allowed-failures` says (3)
    try:
        from distributed import KilledWorker, as_completed
    except ImportError as missing:
        raise ImportError(
            "work in several processes or on a cluster needs Dask: pip install 'arlib[cluster]'"
        ) from missing
    errors: dict[int, list[str]] = {}  # of pieces that are tried again
    with _connect(processes, scheduler) as client:
        if scheduler is None:
            work = partial(_share_cores, work, processes)
        todo, again = iter(numbers), deque[int]()
        pieces: dict[Any, int] = {}  # those that the scheduler has, by the key of their future
        waiting = as_completed(loop=client.loop)

        def most() -> int:
            """Count the pieces that the scheduler has at once."""
            # not all of a million; a process of this machine that is there has one, so that no
            # piece dies of another: a new one in place of a dead one may take its time
            threads = client.nthreads()
            if scheduler:
                return max(64, 4 * sum(threads.values()))
            return min(processes, max(1, len(threads)))

        def submit() -> None:
            """Give the scheduler as many pieces as it has room for."""
            for number in islice(chain(_taken(again), todo), max(0, most() - len(pieces))):
                needs = dict(resources or {}) or None
                future = client.submit(work, number, resources=needs, pure=False)
                pieces[future.key] = number
                waiting.add(future)

        submit()
        for future in waiting:
            number = pieces.pop(future.key)
            value, error = _ended(future)
            died = isinstance(error, KilledWorker)
            if error is not None:
                if non_retryable(error):
                    raise NonRetryableError(described(error)) from error
                errors.setdefault(number, []).append(described(error))
            if died and not scheduler:
                _await_workers(client, processes)
            if error is not None and len(errors[number]) < tries and not (died and scheduler):
                again.append(number)
            else:
                yield Outcome(number, value, tuple(errors.pop(number, ())))
            submit()


@contextmanager
def _connect(processes: int, scheduler: str | None) -> Iterator["Client"]:
    """Connect to a running scheduler, or start one, and workers, that end with this block."""
    import dask
    from distributed import Client, LocalCluster

    if scheduler is not None:
        with Client(scheduler, set_as_default=False) as client:
            yield client
        return
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # outcomes hold what matters
    try:
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": 0}),  # tries count here
            LocalCluster(
                n_workers=processes,
                threads_per_worker=1,
                memory_limit=0,  # no worker is ended for its memory
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
    finally:
        logger.setLevel(level)


def _await_workers(client: "Client", processes: int) -> None:
    """Wait until new processes are there for those that died; on a busy machine one is enough."""
    try:
        client.wait_for_workers(processes, timeout=_RESTART)
    except TimeoutError:
        client.wait_for_workers(1, timeout=_RESTART)


def _taken(numbers: deque[int]) -> Iterator[int]:
    """Take the numbers of a queue, one by one."""
    while numbers:
        yield numbers.popleft()


def _share_cores(work: Work, processes: int, number: int) -> Any:
    """Do a piece with this process' share of the cores, or of the GPUs."""
    import torch
    from distributed import get_worker

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    if (gpus := torch.cuda.device_count()) > 1:
        torch.cuda.set_device(int(get_worker().name) % gpus)
    return work(number)


def _ended(future: "Future") -> tuple[Any, BaseException | None]:
    """Give a future's value, or its error."""
    if future.status == "finished":
        try:  # where its worker died after it, and the value with it, Dask does the piece again
            return future.result(), None
        except Exception as error:
            return None, error
    if future.status == "cancelled":  # the scheduler forgot it, as when it was restarted
        return None, ConnectionError("the scheduler lost this piece")
    return None, future.exception()
