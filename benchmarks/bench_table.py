"""Time Table 1's columns and Fig. 4's curves, and their peak memory.

    python benchmarks/bench_table.py

Random scores, two emotions, five folds, each case in a process of its own for its peak memory: 603
images x 100 regions with every measured row and control, as many as Twitter II has, and 50,000 x
100, about the paper's Flickr column, with the rows and selection rules that scores alone can fill.
"""

import subprocess
import sys
import time

import numpy as np
import xarray as xr

from arlib.evaluation import Run, curves, methods, table1
from arlib.evaluation.rows import Unavailable
from bench_sweep import peak_mb, random_scores
from timing import interleave

SMALL, LARGE = 603, 50_000
CONTROLS = ("grid", "centre crops", "ten-crop")


def random_run(n_images, measured, n_crops=20, seed=1):
    """Random scores in five folds; with `measured`, random rows and controls beside them."""
    scores = random_scores(n_images)
    keys = np.arange(n_images)
    scores = scores.assign(fold=("image", keys % 5)).assign_coords(image=keys)
    if not measured:
        return Run("random", scores)
    rng = np.random.default_rng(seed)
    bare, names = Run("random", scores), []
    for method in methods():
        try:
            method.predict(bare)
        except Unavailable:
            names.append(method.name)
    baselines = xr.Dataset(
        {
            "probability": (
                ("method", "image", "emotion"),
                rng.dirichlet([1, 1], (len(names), n_images)).astype(np.float32),
            ),
            "control_probability": (
                ("control", "image", "rank", "emotion"),
                rng.dirichlet([1, 1], (len(CONTROLS), n_images, n_crops)).astype(np.float32),
            ),
        },
        coords={"method": np.array(names, object), "control": np.array(CONTROLS, object)},
    )
    return Run("random", scores, baselines)


def measure(n_images):
    """Print the seconds of a column and of the curves, and this process' peak memory."""
    run = random_run(n_images, measured=n_images == SMALL)
    print(f"{n_images} images x 100 regions; before any row {peak_mb():.0f} MB", flush=True)
    cases = {"Table 1": lambda: table1([run]), "curves, all rules": lambda: curves(run)}
    if n_images == SMALL:
        interleave(cases)
    else:
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            print(f"  {name:20}  {time.perf_counter() - start:8.2f} s", flush=True)
    print(f"  peak {peak_mb():.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(int(sys.argv[1]))
    else:
        for images in (SMALL, LARGE):
            subprocess.run([sys.executable, __file__, str(images)], check=True)
