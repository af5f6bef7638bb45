"""Pieces of work in two processes beside this one: `pieces.py FOLDER NUMBERS` prints JSON.

Each try leaves a file NUMBER-TIME-PROCESS in the folder; `work` decides which pieces fail, and how.
"""

import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

from arlib.scoring.workers import by_dask

# Each worker would import PyTorch, in seconds, to share the cores among its threads.
sys.modules["torch"] = SimpleNamespace(
    set_num_threads=lambda threads: None, cuda=SimpleNamespace(device_count=lambda: 0)
)
ROOT = Path(sys.argv[1])


def work(number: int) -> int:
    """Do a piece: 1 dies at its first try, 2 always; 3 fails twice; 7 hangs."""
    (ROOT / f"{number}-{time.time_ns()}-{os.getpid()}").touch()
    before = len(list(ROOT.glob(f"{number}-*"))) - 1
    if (number == 1 and not before) or number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3 and before < 2:
        raise RuntimeError("not yet")
    if number == 7:
        time.sleep(600)
    return os.getpid()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    outcomes = [asdict(each) for each in by_dask(work, json.loads(sys.argv[2]), processes=2)]
    print(json.dumps({"parent": os.getpid(), "outcomes": outcomes}))
