"""Time the install from nothing, by uv and by pip, each once, without any cache.

    python benchmarks/install_time.py [uv | pip]

Each makes a virtual environment of its own and removes it: gigabytes, minutes.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
WHAT = ["--constraint", "constraints.txt", "--editable", ".[book,cpu,training,cluster,dev]"]


def timed(tool):
    with tempfile.TemporaryDirectory(prefix="arlib-install-") as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder, "bin", "python"))
        pip = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        command = [*pip, *WHAT]
        if tool == "uv":
            subprocess.run([*pip, "--constraint", "constraints.txt", "uv"], cwd=ROOT, check=True)
            command = [python, "-m", "uv", "--no-cache", "pip", "install", "--quiet"]
            command += ["--python", python, *WHAT]
        subprocess.run(command, cwd=ROOT, check=True)
        return time.perf_counter() - start


if __name__ == "__main__":
    for tool in sys.argv[1:] or ("uv", "pip"):
        print(f"{tool}: {timed(tool):.1f} s", flush=True)
