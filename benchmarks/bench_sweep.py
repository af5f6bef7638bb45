"""Time sweeps over K, alpha and beta, and their peak memory.

    python benchmarks/bench_sweep.py

The first scores are the recorded ones of Twitter II: 603 images, 100 regions, 2 emotions. The loop
over Algorithm 1 is too slow for every setting, so the two run in turn on the same few. Then random
scores, as many and 50,000 images: each case in a process of its own, for its peak memory, all three
rankings.
"""

import resource
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr

from arlib.evaluation import sweep
from arlib.evaluation.sweeps import predicted_labels
from arlib.experiments import open_run
from arlib.method import predict_labels
from timing import interleave

RECORDED = Path(__file__).parents[1] / "book" / "results" / "twitter2-mobilenet_v2"
SOME_K, SOME = (1, 7, 13, 20), (0.0, 0.5, 1.0)
RANKINGS = ("both", "objectness", "sentiment")


def part_as_a_loop(scores):
    return [
        float((predict_labels(scores, k, alpha=alpha, beta=beta).label == scores.label).mean())
        for k, alpha, beta in product(SOME_K, SOME, SOME)
    ]


def random_scores(n_images, n_regions=100, seed=0):
    """Make scores of two emotions, float32, without a missing label or region."""
    rng = np.random.default_rng(seed)
    region = rng.random((n_images, n_regions), dtype=np.float32)
    global_ = rng.random(n_images, dtype=np.float32)
    return xr.Dataset(
        {
            "objectness": (("image", "region"), rng.random(region.shape, dtype=np.float32)),
            "box": (("image", "region", "corner"), np.ones((*region.shape, 4), np.float32)),
            "region_probability": (
                ("image", "region", "emotion"),
                np.stack([region, 1 - region], -1),
            ),
            "global_probability": (("image", "emotion"), np.stack([global_, 1 - global_], -1)),
            "label": ("image", rng.integers(2, size=n_images, dtype=np.int8)),
        }
    )


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(n_images):
    """Print the seconds of each ranking's sweep and this process' peak memory."""
    scores, total = random_scores(n_images), 0.0
    print(f"{n_images} images x 100 regions; before any sweep {peak_mb():.0f} MB", flush=True)
    for rank_by in RANKINGS:
        start = time.perf_counter()
        sweep(scores, rank_by=rank_by)
        total += time.perf_counter() - start
        print(f"  sweep by {rank_by:12} {time.perf_counter() - start:8.2f} s", flush=True)
    start = time.perf_counter()
    predicted_labels(scores)
    print(f"  predicted_labels      {time.perf_counter() - start:8.2f} s")
    print(f"  three sweeps {total:.2f} s, peak {peak_mb():.0f} MB")


def main():
    scores = open_run(RECORDED).scores.load()
    interleave({"sweep, 20 x 11 x 11": lambda: sweep(scores)}, runs=7)
    interleave(
        {
            "sweep, 4 x 3 x 3": lambda: sweep(scores, SOME_K, SOME, SOME),
            "loop over predict_labels, 4 x 3 x 3": lambda: part_as_a_loop(scores),
        },
        runs=7,
    )
    for n_images in (603, 50_000):
        subprocess.run([sys.executable, __file__, str(n_images)], check=True)


if __name__ == "__main__":
    measure(int(sys.argv[1])) if sys.argv[1:] else main()
