"""Time how long the Visual Sentiment Ontology's 484,258 images take to list, and the memory.

    python benchmarks/bench_listing.py

Makes a tree of empty files in its layout, in a temporary folder, and lists it in fresh processes;
prints seconds and peak resident memory, imports included, of each.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGES, PAIRS, RUNS = 484_258, 1_553, 5
LISTING = """
import resource, sys, time
start = time.perf_counter()
from arlib.datasets import load
imported = time.perf_counter()
dataset = load("vso", sys.argv[1])
done = time.perf_counter()
assert len(dataset) == int(sys.argv[2]) and dataset.counts["pairs"] == int(sys.argv[3])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(imported - start, done - imported, peak)
"""


def make(root):
    """Empty files with names as long as Flickr's, and pairs as long as the longest, 24 letters."""
    table = []
    for number in range(PAIRS):
        pair = f"adjective_{number:04}_and_noun"[:24].ljust(24, "x")
        folder = root / "bi_concepts1553" / pair
        folder.mkdir(parents=True)
        table.append(f"\t{pair} [sentiment: {1 - 2 * (number % 2)}.25] [#imgs: 312]")
        for image in range(number, IMAGES, PAIRS):
            (folder / f"{5_000_000_000 + image}_{image * 7919 % 16**10:010x}.jpg").touch()
    (root / "3244ANPs.txt").write_text("\n".join(table))


with tempfile.TemporaryDirectory() as temporary:
    start = time.perf_counter()
    make(Path(temporary))
    print(f"made {IMAGES:,} files in {time.perf_counter() - start:.0f} s", flush=True)
    command = [sys.executable, "-c", LISTING, temporary, str(IMAGES), str(PAIRS)]
    for run in range(RUNS):
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        imported, listed, peak = map(float, output.split())
        print(
            f"run {run + 1}: import {imported:.2f} s, list {listed:.2f} s, peak {peak:.0f} MB",
            flush=True,
        )
