"""Time a sweep over K, alpha and beta, and the same part of it as a loop over Algorithm 1.

    python benchmarks/bench_sweep.py [runs]

The scores are random, of Twitter II's shape: 603 images, 100 regions, 2 emotions. The loop is too
slow for the whole sweep, so the two ways run in turn on the same few settings.
"""

import sys
import time
from itertools import product
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from arlib.algorithm import respond
from arlib.evaluation import sweep
from conftest import make_scores

SCORES = make_scores(603, 100)
SOME_K, SOME = (1, 7, 13, 20), (0.0, 0.5, 1.0)


def whole_sweep():
    return sweep(SCORES)


def part_of_it():
    return sweep(SCORES, SOME_K, SOME, SOME)


def part_as_a_loop():
    labelled = SCORES.isel(image=SCORES.label.values >= 0)
    return [
        float((respond(labelled, k, alpha=alpha, beta=beta).label == labelled.label).mean())
        for k, alpha, beta in product(SOME_K, SOME, SOME)
    ]


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    ways = {
        "whole sweep, 20 x 11 x 11": whole_sweep,
        "sweep, 4 x 3 x 3": part_of_it,
        "loop over respond, 4 x 3 x 3": part_as_a_loop,
    }
    seconds = {name: [] for name in ways}
    for _ in range(runs + 1):  # the first one warms up
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        kept = times[1:]
        print(f"{name:30} min {min(kept):7.3f} s   median {median(kept):7.3f} s   of {runs}")


if __name__ == "__main__":
    main()
