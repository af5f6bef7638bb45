"""Runs of tiny scorings in processes that may be killed, and what they leave; used by scripts here.

The parent only imports and waits: each run is a fork, so that it starts in milliseconds.
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from arlib import datasets
from arlib.networks import load_backbone
from arlib.proposals import Grid
from arlib.scoring.distributed import score_in_shards
from arlib.scoring.jobs import Job

SHARD = 4
DONE, FAILED = 0, 4


def make_job(root: Path, n: int = 11, seed: int = 0) -> Job:
    """Photographs of noise, one of them unreadable, and a random network."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    for number in range(n):
        path = root / ("positive", "negative")[number % 2] / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    (root / "positive" / "0002.png").write_bytes(b"no image")
    network = load_backbone("vgg_tiny", classes=2, weights="random", seed=seed)
    chosen = datasets.load("folder", root, n_folds=2)
    return Job(chosen, Grid(max_regions=3), network, settings={"workers": 1, "device": "cpu"})


def start(job: Job, out: Path, **settings) -> int:
    """Score in a fork; exit status DONE, or FAILED after any error."""
    pid = os.fork()
    if pid:
        return pid
    try:
        settings = {"shard_size": SHARD, "progress": False, **settings}
        score_in_shards(lambda: job, out, **settings)
        os._exit(DONE)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        os._exit(FAILED)


def finish(pid: int) -> int:
    """Wait for a run: its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_after(pid: int, seconds: float) -> int:
    """Kill a run -9 at that time, unless it ended before: its exit status."""
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)  # a zombie takes it too
    return finish(pid)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
