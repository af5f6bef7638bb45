"""Pieces of work in this process and in others beside it: tries, deaths, full disks."""

import errno
import json
import subprocess
import sys
from functools import partial
from operator import add, truediv
from pathlib import Path

import pytest

from arlib.scoring.workers import NonRetryableError, in_processes, in_this_process

PIECES = Path(__file__).with_name("soak") / "pieces.py"


def by_number(outcomes):
    return {one.number: one for one in outcomes}


@pytest.mark.parametrize("engine", [in_this_process, partial(in_processes, processes=2)])
class TestBoth:
    def test_every_piece_is_done_once(self, engine):
        found = by_number(engine(partial(add, 1), range(5)))
        assert {number: one.value for number, one in found.items()} == {n: n + 1 for n in range(5)}
        assert not any(one.errors or one.failed for one in found.values())

    def test_a_piece_that_always_fails_is_set_aside_and_the_others_go_on(self, engine):
        found = by_number(engine(partial(truediv, 6), [0, 1, 2]))
        assert found[0].failed
        assert found[0].errors == ("ZeroDivisionError: division by zero",) * 3
        assert (found[1].value, found[2].value) == (6, 3)

    def test_of_no_piece_comes_nothing(self, engine):
        assert list(engine(partial(add, 1), [])) == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), NonRetryableError("another job")]
)
def test_what_would_meet_every_piece_ends_it(error):
    tried = []

    def work(number):
        tried.append(number)
        raise error

    with pytest.raises(type(error)):
        list(in_this_process(work, [1, 2]))
    assert tried == [1]


def pieces(folder, numbers):
    command = [sys.executable, str(PIECES), str(folder), json.dumps(numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout)


def test_what_kills_its_process_kills_no_other(tmp_path):
    found = pieces(tmp_path, [0, 1, 2, 3, 4, 5])
    outcomes = {one["number"]: one for one in found["found"]}
    assert sorted(outcomes) == [0, 1, 2, 3, 4, 5]
    killed = "its worker was killed by signal 9"
    assert outcomes[1]["errors"] == [killed]
    assert outcomes[2]["errors"] == [killed] * 3
    assert outcomes[2]["value"] is None
    assert outcomes[3]["errors"] == ["RuntimeError: not yet"] * 2
    done = [outcomes[number]["value"] for number in (0, 1, 3, 4, 5)]
    assert all(done)
    assert found["ours"] not in done
    tries = {n: len(list(tmp_path.glob(f"{n}-*"))) for n in range(6)}
    assert tries == {0: 1, 1: 2, 2: 3, 3: 3, 4: 1, 5: 1}


def test_no_room_for_one_is_no_room_for_all(tmp_path):
    found = pieces(tmp_path, [9, 0])
    assert found == {"non_retryable": "OSError: [Errno 28] No space left on device"}
    assert len(list(tmp_path.glob("9-*"))) == 1
