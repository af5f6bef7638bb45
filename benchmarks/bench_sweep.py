"""Time a sweep over K, alpha and beta, and the same part of it as a loop over Algorithm 1.

    python benchmarks/bench_sweep.py

The scores are the recorded ones of Twitter II: 603 images, 100 regions, 2 emotions. The loop is too
slow for the whole sweep, so the two ways run in turn on the same few settings.
"""

from itertools import product
from pathlib import Path

from arlib.algorithm import respond
from arlib.evaluation import sweep
from arlib.runs import open_run
from timing import interleave

RECORDED = Path(__file__).parents[1] / "book" / "results" / "twitter2-mobilenet_v2"
SCORES = open_run(RECORDED)[0].load()
SOME_K, SOME = (1, 7, 13, 20), (0.0, 0.5, 1.0)


def part_as_a_loop():
    return [
        float((respond(SCORES, k, alpha=alpha, beta=beta).label == SCORES.label).mean())
        for k, alpha, beta in product(SOME_K, SOME, SOME)
    ]


interleave({"whole sweep, 20 x 11 x 11": lambda: sweep(SCORES)}, runs=7)
interleave(
    {
        "sweep, 4 x 3 x 3": lambda: sweep(SCORES, SOME_K, SOME, SOME),
        "loop over respond, 4 x 3 x 3": part_as_a_loop,
    },
    runs=7,
)
