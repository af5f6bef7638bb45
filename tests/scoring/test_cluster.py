"""Scoring by Dask's workers, here and on a cluster, of which one is killed in mid-shard."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from arlib.scoring.scores import open_scores

pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")

SCORE = [sys.executable, "-m", "arlib.cli", "score", "--dataset", "scenes-annotated"]
SCORE += ["--backbone", "vgg_tiny", "--weights", "random", "--shard-size", "100"]
SCORE += ["--proposals", "grid", "--max-regions", "4"]


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)
    return value


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a command; all are ended with the test."""
    begun = []

    def start(*command):
        with (tmp_path / f"{len(begun)}.log").open("w") as log:
            begun.append(subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


def in_mid_shard(folder, workers):
    return lambda: len(list((folder / "s.zarr.partial").glob("temporary/*/*"))) == workers


def check_against_one_process(folder):
    """Compare `s.zarr` with the scores of a run in one process."""
    subprocess.run([*SCORE, "--out", "t.zarr"], cwd=folder, check=True)
    one, other = (open_scores(folder / name).load() for name in ("s.zarr", "t.zarr"))
    assert one.image.values.tolist() == other.image.values.tolist()
    np.testing.assert_array_equal(one.box, other.box)
    np.testing.assert_allclose(one.region_probability, other.region_probability, atol=1e-6)
    assert one.attrs["key"] == other.attrs["key"]
    assert not (folder / "s.zarr.partial").exists()


@pytest.mark.slow
def test_a_clusters_worker_killed_in_mid_shard(tmp_path, start):
    dask = [sys.executable, "-m", "dask"]
    facts = tmp_path / "scheduler.json"
    options = ["--host", "127.0.0.1", "--no-dashboard"]
    start(*dask, "scheduler", *options, "--port", "0", "--scheduler-file", str(facts))
    address = wait_for(lambda: facts.exists() and json.loads(facts.read_text() or "{}"))["address"]
    worker = [*dask, "worker", address, *options, "--no-nanny", "--nthreads", "1", "--resources"]
    victim, _ = start(*worker, "GPU=1"), start(*worker, "GPU=1")
    idle = start(*worker, "OTHER=1")  # has no GPU, so it gets no shard
    scoring = start(*SCORE, "--scheduler", address, "--resource", "GPU", "1", "--out", "s.zarr")
    wait_for(in_mid_shard(tmp_path, 2))
    victim.kill()
    assert scoring.wait(timeout=300) == 0, (tmp_path / "4.log").read_text()
    assert "600 images scored, 0 left out" in (tmp_path / "4.log").read_text()
    assert idle.poll() is None
    check_against_one_process(tmp_path)


@pytest.mark.slow
def test_a_process_of_this_machine_killed_in_mid_shard(tmp_path, start):
    scoring = start(*SCORE, "--workers", "2", "--out", "s.zarr")
    wait_for(in_mid_shard(tmp_path, 2))
    children = psutil.Process(scoring.pid).children()
    workers = [child for child in children if "--multiprocessing-fork" in child.cmdline()]
    assert len(workers) == 2
    workers[0].kill()
    assert scoring.wait(timeout=300) == 0, (tmp_path / "0.log").read_text()
    log = (tmp_path / "0.log").read_text()
    assert "succeeded after 1 failures: its worker died" in log
    assert "600 images scored, 0 left out" in log
    check_against_one_process(tmp_path)
