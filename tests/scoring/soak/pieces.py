"""Pieces of work in processes beside this one, of which pieces fail, hang or kill; prints JSON."""

import errno
import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from arlib.scoring.workers import NonRetryableError, in_processes

ROOT = Path(sys.argv[1])


def work(number: int) -> int:
    """Piece 1 dies at its first try, 2 at every one; 3 fails twice; 9 finds no room."""
    tries = ROOT / f"{number}-{time.time_ns()}"
    tries.touch()
    before = len(list(ROOT.glob(f"{number}-*"))) - 1
    if (number == 1 and not before) or number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3 and before < 2:
        raise RuntimeError("not yet")
    if number == 9:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return os.getpid()


if __name__ == "__main__":
    try:
        found = [asdict(one) for one in in_processes(work, json.loads(sys.argv[2]), 2)]
        print(json.dumps({"ours": os.getpid(), "found": found}))
    except NonRetryableError as error:
        print(json.dumps({"non_retryable": str(error)}))
