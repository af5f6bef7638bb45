"""Pieces of work in this process and in Dask's workers: tries, deaths, full disks, Ctrl-C."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from operator import add, truediv
from pathlib import Path

import pytest

from arlib.scoring import workers
from arlib.scoring.workers import NonRetryableError, by_dask, in_this_process

PIECES = Path(__file__).with_name("soak") / "pieces.py"
pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")


@pytest.mark.parametrize(
    "engine",
    [in_this_process, pytest.param(partial(by_dask, processes=2), marks=pytest.mark.slow)],
)
def test_every_piece_is_done_once_and_one_that_always_fails_stops_no_other(engine):
    outcomes = list(engine(partial(truediv, 6), [1, 0, 2, 3]))
    assert len(outcomes) == 4
    by_number = {outcome.number: outcome for outcome in outcomes}
    assert by_number[0].failed
    assert by_number[0].errors == ("ZeroDivisionError: division by zero",) * 3
    assert [by_number[number].value for number in (1, 2, 3)] == [6, 3, 2]
    assert not any(by_number[number].errors for number in (1, 2, 3))


@pytest.mark.parametrize("engine", [in_this_process, by_dask])
def test_no_piece_no_outcome(engine):
    assert list(engine(partial(add, 1), [])) == []


@pytest.fixture(scope="module")
def scheduler():
    """The address of a running scheduler, whose worker is a thread of this process."""
    from distributed import LocalCluster

    settings = {"n_workers": 1, "processes": False, "protocol": "tcp://", "dashboard_address": None}
    with LocalCluster(**settings, scheduler_kwargs={"dashboard_address": "127.0.0.1:0"}) as cluster:
        yield cluster.scheduler_address


def test_a_running_scheduler_does_more_pieces_than_it_is_given_at_once(scheduler):
    outcomes = list(by_dask(partial(add, 1), range(200), scheduler=scheduler))
    failing = by_dask(partial(truediv, 6), [0], scheduler=scheduler, tries=2)
    assert [len(outcome.errors) for outcome in failing] == [2]
    assert sorted(outcome.number for outcome in outcomes) == list(range(200))
    assert all(outcome.value == outcome.number + 1 for outcome in outcomes)


def test_no_room_for_one_is_no_room_for_all(scheduler, tmp_path):
    with pytest.raises(NonRetryableError, match=r"^OSError: .* No space left on device$"):
        list(by_dask(partial(full, tmp_path), [9, 0], scheduler=scheduler))
    assert len(list(tmp_path.glob("9-*"))) == 1


def full(folder, number):
    """Leave a file for the try; for the piece 9 there is no room."""
    (folder / f"{number}-{time.time_ns()}").touch()
    if number == 9:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return number


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), NonRetryableError("another job")]
)
def test_a_non_retryable_error_ends_it(error):
    tried = []

    def work(number):
        tried.append(number)
        raise error

    with pytest.raises(type(error)):
        list(in_this_process(work, [1, 2]))
    assert tried == [1]


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'arlib\[cluster\]'"):
        list(by_dask(str, [1]))


def start(folder, numbers):
    command = [sys.executable, str(PIECES), str(folder), json.dumps(numbers)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def finish(process):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(out)


def test_a_killed_worker_stops_no_other_and_its_piece_is_tried_again(tmp_path):
    result = finish(start(tmp_path, [0, 1, 2, 3, 4, 5]))
    outcomes = {outcome["number"]: outcome for outcome in result["outcomes"]}
    assert sorted(outcomes) == [0, 1, 2, 3, 4, 5]
    assert outcomes[1]["errors"] == ["its worker died"]
    assert outcomes[2]["errors"] == ["its worker died"] * 3
    assert outcomes[2]["value"] is None
    assert outcomes[3]["errors"] == ["RuntimeError: not yet"] * 2
    done = [outcomes[number]["value"] for number in (0, 1, 3, 4, 5)]
    assert all(done)
    assert result["parent"] not in done
    tries = {n: len(list(tmp_path.glob(f"{n}-*"))) for n in range(6)}
    # a value is lost where its worker dies before it is fetched: Dask does such a piece again
    least = {0: 1, 1: 2, 2: 3, 3: 3, 4: 1, 5: 1}
    assert tries[2] == 3
    assert all(tries[number] >= least[number] for number in least)


def test_a_value_lost_with_its_worker_is_an_error_of_its_piece():
    class Future:
        status = "finished"

        def result(self):
            raise RuntimeError("not twice")

    value, error = workers._ended(Future())
    assert value is None
    assert str(error) == "not twice"


@pytest.mark.parametrize("there", [0, 1])
def test_a_new_worker_that_is_late_stops_nothing_unless_none_is_there(there):
    class Client:
        def wait_for_workers(self, n, timeout):
            if n > there:
                raise TimeoutError(f"Only {there}/{n} workers arrived")

    if there:
        assert workers._await_workers(Client(), 2) is None
        return
    with pytest.raises(TimeoutError, match="Only 0/1"):
        workers._await_workers(Client(), 2)


@pytest.mark.parametrize("how", [pytest.param("Ctrl-C", marks=pytest.mark.slow), "kill -9"])
def test_workers_end_with_their_parent(tmp_path, how):
    parent = start(tmp_path, [7, 7])
    until = time.monotonic() + 120
    while len(tries := list(tmp_path.glob("7-*"))) < 2:
        assert time.monotonic() < until, "the pieces were never begun"
        time.sleep(0.05)
    workers = [psutil.Process(int(path.name.split("-")[2])) for path in tries]
    if how == "Ctrl-C":  # which a terminal sends to every process of the group
        os.killpg(parent.pid, signal.SIGINT)
    else:
        parent.kill()
    _, errors = parent.communicate(timeout=120)
    assert parent.returncode == (-9 if how == "kill -9" else -signal.SIGINT), errors
    assert psutil.wait_procs(workers, timeout=60)[1] == []
