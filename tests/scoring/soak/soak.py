"""`make soak`: what takes too long for `make test`. Two hundred kills, and 20,000 images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(script, *arguments):
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stdout)
    return json.loads(done.stdout)


def test_two_hundred_kills(tmp_path):
    assert run("kills.py", 200, 1, tmp_path)["kills"] == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root alone")
def test_a_disk_that_fills_up_at_every_write(tmp_path):
    result = run("full_disk.py", 40, tmp_path / "disk")
    assert result["full"] >= 20
    assert result["had room"] >= 1


def test_twenty_thousand_images(tmp_path):
    """Memory stays where it is after the first shards; no file and no process is left open."""
    result = run("many.py", 20_000, tmp_path)
    assert result["images"] == 20_000
    early, late = result["MiB after a tenth"], result["MiB at the end"]
    assert late < early + 64, result
    assert result["open files"][1] <= result["open files"][0] + 2
    assert result["processes"] == 0
    assert result["files left"] == ["s.zarr"]
