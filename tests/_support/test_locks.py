"""A lock that its holder cannot leave behind, however it ends."""

import os
import subprocess
import sys

import pytest

from arlib._support.storage import BusyError, exclusive_lock

HOLD = """
import sys, time
from pathlib import Path
from arlib._support.storage import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_error_names_the_holder_and_a_killed_holder_holds_nothing(tmp_path):
    path = tmp_path / "partial" / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyError, match=f"held by process {holder.pid} on"),
            exclusive_lock(path),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert path.exists()
    with exclusive_lock(path):
        assert path.read_text().startswith(f"process {os.getpid()} on")
    assert not path.exists()


def test_it_is_let_go_of_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), exclusive_lock(tmp_path / "lock"):
            1 / 0  # noqa: B018
