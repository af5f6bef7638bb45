"""Numbered pieces of work, done by processes beside this one; each may die alone."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from arlib.engines import TRIES, HopelessError, Outcome, Work, described, hopeless


def in_processes(
    work: Work, numbers: Sequence[int], processes: int, *, tries: int = TRIES
) -> Iterator[Outcome]:
    """Do the pieces in processes of this machine; a killed one is replaced, its piece tried again.

    Args:
        work: as of `in_turn`; sent to each process once, so it must be picklable.
        numbers: of the pieces.
        processes: how many.
        tries: how often a piece may fail, or end its process.

    Raises:
        HopelessError: with what a hopeless error said.
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
                    raise HopelessError(error)
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
            answer = (None, described(error), hopeless(error))
        line.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
