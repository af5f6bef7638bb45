"""Time `import arlib` in a fresh interpreter beside an interpreter that imports nothing.

python benchmarks/bench_import.py
"""

import subprocess
import sys
from statistics import median

from timing import interleave


def python(code):
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


times = interleave({"python": python("pass"), "python, import arlib": python("import arlib")}, 11)
bare, imported = times.values()
added = [b - a for a, b in zip(bare, imported, strict=True)]
print(f"import arlib adds min {min(added):.3f} s, median {median(added):.3f} s")
