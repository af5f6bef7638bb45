"""Scoring on a Dask cluster of two local workers, one of which is killed in mid-shard."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from arlib.scoring import workers as cluster
from arlib.scoring.scores import open_scores

pytest.importorskip("distributed")

SCORE = [sys.executable, "-m", "arlib.cli", "score", "--dataset", "scenes-annotated"]
SCORE += ["--backbone", "vgg_tiny", "--weights", "random", "--shard-size", "100"]
SCORE += ["--proposals", "grid", "--max-regions", "4"]


def wait_for(found, seconds=120):
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)
    return value


@pytest.fixture
def start(tmp_path):
    """Return a function that starts `dask ...`; all are ended with the test."""
    begun = []

    def start(*arguments):
        command = [sys.executable, "-m", "dask", *arguments]
        with (tmp_path / f"dask-{len(begun)}.log").open("w") as log:
            begun.append(subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_worker_killed_in_mid_shard(tmp_path, start):
    told = tmp_path / "scheduler.json"
    start(
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(told),
    )
    address = wait_for(lambda: told.exists() and json.loads(told.read_text() or "{}"))["address"]
    worker = ["worker", address, "--no-nanny", "--no-dashboard", "--nthreads", "1"]
    worker += ["--host", "127.0.0.1", "--resources"]
    victim, _ = start(*worker, "GPU=1"), start(*worker, "GPU=1")
    idle = start(*worker, "OTHER=1")  # has no GPU, so it gets no shard
    run = [*SCORE, "--scheduler", address, "--resource", "GPU", "1", "--out", "s.zarr"]
    with (tmp_path / "run.log").open("w") as log:
        scoring = subprocess.Popen(run, cwd=tmp_path, stdout=log, stderr=log)
    partial = tmp_path / "s.zarr.partial"

    wait_for(lambda: len(list(partial.glob("temporary/*/*"))) == 2)  # both are in mid-shard
    victim.kill()
    assert scoring.wait(timeout=300) == 0, (tmp_path / "run.log").read_text()
    assert "600 images scored, 0 left out" in (tmp_path / "run.log").read_text()
    assert idle.poll() is None
    subprocess.run([*SCORE, "--out", "t.zarr"], cwd=tmp_path, check=True)
    one, other = (open_scores(tmp_path / name).load() for name in ("s.zarr", "t.zarr"))
    assert one.image.values.tolist() == other.image.values.tolist()
    np.testing.assert_array_equal(one.box, other.box)
    np.testing.assert_allclose(one.region_probability, other.region_probability, atol=1e-6)
    assert one.attrs["key"] == other.attrs["key"]
    assert not partial.exists()


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'arlib\[cluster\]'"):
        list(cluster.on_cluster(str, [1], "tcp://127.0.0.1:1"))
