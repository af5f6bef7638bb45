"""Numbered pieces of work on a Dask cluster: any number of machines that share a folder."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from arlib.engines import TRIES, HopelessError, Outcome, Work, described, hopeless

if TYPE_CHECKING:
    from distributed import Client, Future


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
        work: as of `arlib.engines.in_turn`; small when pickled, since it travels with each piece.
        numbers: of the pieces.
        scheduler: its address, such as "tcp://10.0.0.5:8786".
        resources: what a worker must have free for a piece, as it was told by
            `dask worker --resources`, such as {"GPU": 1}.
        tries: how often a piece may fail.

    Raises:
        ImportError: Dask is not installed.
        OSError: no scheduler answers there.
        HopelessError: with what a hopeless error said.
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
                if hopeless(error):
                    raise HopelessError(described(error)) from error
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
