"""Numbered pieces of work, done by this process; each has so many tries, then it is set aside.

`arlib.processes` does the same beside this process, `arlib.cluster` on other machines. All three
call one function, `Work`, and yield one `Outcome` a piece as it comes.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Work = Callable[[int], Any]

TRIES = 3
"""How often a piece is tried before it is set aside."""

_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}  # whoever tries, fails


class HopelessError(ValueError):
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
    def set_aside(self) -> bool:
        """Whether nothing came of it."""
        return self.value is None


def hopeless(error: BaseException) -> bool:
    """Say whether an error would meet every other piece too.

    Example:
        >>> hopeless(OSError(errno.ENOSPC, "No space left on device")), hopeless(ValueError("no"))
        (True, False)
    """
    return isinstance(error, HopelessError) or (
        isinstance(error, OSError) and error.errno in _HOPELESS
    )


def in_turn(work: Work, numbers: Sequence[int], *, tries: int = TRIES) -> Iterator[Outcome]:
    """Do every piece in this process, one after another.

    Args:
        work: number -> what comes of it, never None.
        numbers: of the pieces.
        tries: how often a piece may fail.

    Raises:
        Exception: a hopeless one, see `hopeless`.

    Example:
        >>> [(one.number, one.value, one.errors) for one in in_turn({1: "a"}.__getitem__, [1, 2])]
        [(1, 'a', ()), (2, None, ('KeyError: 2', 'KeyError: 2', 'KeyError: 2'))]
    """
    for number in numbers:
        errors: list[str] = []
        value = None
        while value is None and len(errors) < tries:
            try:
                value = work(number)
            except Exception as error:
                if hopeless(error):
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
