"""Interleaved timing: every variant once, in turn, so that a drifting machine is fair to all."""

import os
import subprocess
import sys
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


_LOOP = """
import os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
exec(sys.argv[1])
print("ready", file=answers, flush=True)
for line in sys.stdin:
    print(step(), file=answers, flush=True)
"""


class Process:
    """A process of its own, of this or of other source, that does `step()` of a code when called.

    Args:
        source: the folder that `arlib` is imported from.
        code: Python that defines `step`, whose value is printed and returned as text.
        env: further variables.
    """

    def __init__(self, source, code, **env):
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LOOP, code],
            env=os.environ | {"PYTHONPATH": str(source)} | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def __call__(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a timed process ended with status {self.process.wait()}")
        return answer.rstrip("\n")

    def close(self):
        self.process.stdin.close()
        self.process.wait()
