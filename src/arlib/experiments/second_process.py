"""A second process that does a protocol's steps from the last one on, until it meets the first."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from threading import Thread
from typing import Any

from arlib.experiments.planning import Plan
from arlib.experiments.protocol import Protocol, restore_protocol

PAYS = 60.0
"""Seconds that must be left to do: the process itself takes some to begin."""


@contextmanager
def second_process(protocol: Protocol, plan: Plan, *, alone: bool = False) -> Iterator[None]:
    """Let a second process do what comes last while this one does what comes first.

    Both keep what they made in the cache, where the other finds it, and have half of the cores: the
    small networks of synthetic scenes learn no faster with two threads than with one. It is started
    for synthetic scenes, without a GPU, where `PAYS` seconds or more are left to do, and not where
    this process stays `alone`, having processes of its own. It ends with the block, or with this
    process. What fails there fails here as well, and is said here.
    """
    cores = os.cpu_count() or 1
    if alone or plan.gpu or plan.seconds < PAYS or cores < 2 or not protocol.synthetic:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    half = max(1, min(threads, cores // 2))
    helper = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(half)},
        text=True,
    )
    assert helper.stdin
    torch.set_num_threads(half)
    try:
        with suppress(OSError):  # it has ended
            print(json.dumps([asdict(protocol), plan.columns]), file=helper.stdin, flush=True)
        yield
    finally:
        torch.set_num_threads(threads)
        helper.kill()
        helper.wait()
        with suppress(OSError):
            helper.stdin.close()


def work_ahead() -> None:
    """Do what a protocol's rows need and then the rows, the last column first.

    Settings and columns come as a line of JSON by standard input, with whose end this process ends.
    """
    settings, columns = json.loads(sys.stdin.readline())

    def end() -> None:
        sys.stdin.read()
        os._exit(1)

    Thread(target=end, daemon=True).start()
    protocol = restore_protocol(settings)
    stages = protocol.stages(progress=False)
    needs: dict[str, Callable[[], Any]] = {
        "pcnn-caffenet": partial(stages.pcnn, protocol.caffenet),
        "sentibank": lambda: stages.bank,
        "deepsentibank": lambda: stages.deep,
        "pcnn-vggnet": partial(stages.pcnn, protocol.backbone),
        "wscnet": stages.coupled,
    }
    steps = [step for row, step in needs.items() if row in protocol.rows]
    steps += [partial(stages.baselines, column) for column in reversed(columns)]
    for step in steps:
        with suppress(Exception):  # which the other process meets too, and says
            step()


if __name__ == "__main__":
    work_ahead()
