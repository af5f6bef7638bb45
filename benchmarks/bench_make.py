"""Time `make book` and `make test` from clean, after the install, and once more with nothing to do.

    python benchmarks/bench_make.py

Removes _build/ before each of the first two; minutes, so each is run once.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUIET = {name: value for name, value in os.environ.items() if name != "ARLIB_DATA"}


def timed(target):
    start = time.perf_counter()
    subprocess.run(["make", "--silent", target], cwd=ROOT, env=QUIET, check=True)
    return time.perf_counter() - start


subprocess.run(["make", "--silent", "install"], cwd=ROOT, check=True)
shutil.rmtree(ROOT / "_build", ignore_errors=True)
for target in ("book", "test"):
    print(f"make {target}: {timed(target):.1f} s, again {timed(target):.2f} s", flush=True)
