"""Interleaved timing: every variant once, in turn, so that a drifting machine is fair to all."""

import time
from statistics import median


def interleave(variants, runs=5, clock=time.perf_counter):
    """Run every variant `runs` times in turn after one warm-up, and print a row for each.

    Args:
        variants: name -> function without arguments; the first is what others are compared with.
        runs: how often each is counted, at least 5 for a figure that is quoted.
        clock: seconds; `time.process_time` counts those of the processor alone.

    Returns:
        name -> seconds, one a counted run.
    """
    seconds = {name: [] for name in variants}
    for _ in range(runs + 1):
        for name, variant in variants.items():
            start = clock()
            variant()
            seconds[name].append(clock() - start)
    kept = {name: times[1:] for name, times in seconds.items()}
    first = next(iter(kept.values()))
    for name, times in kept.items():
        ratios = [own / base for own, base in zip(times, first, strict=True)]
        print(
            f"{name:36} min {min(times):8.3f} s   median {median(times):8.3f} s   "
            f"x{median(ratios):.2f} of the first   ({runs} runs)"
        )
    return kept
