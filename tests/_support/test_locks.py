"""A lock that its holder cannot leave behind, however it ends."""

import os
import subprocess
import sys

import pytest

from arlib._support import storage
from arlib._support.storage import BusyError, exclusive_lock


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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


def link(path):
    path.symlink_to("foreign")


@pytest.mark.parametrize(
    "make",
    [
        link,
        lambda path: path.symlink_to("gone"),
        lambda path: path.symlink_to(path),
        lambda path: os.link(path.with_name("foreign"), path),
        lambda path: path.write_text("a photograph"),
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
    ],
    ids=["link", "dangling link", "loop", "hard link", "file", "folder", "pipe"],
)
@pytest.mark.parametrize("wait", [False, True])
def test_what_is_no_lock_is_left_as_it_is(tmp_path, make, wait):
    path = tmp_path / "lock"
    (tmp_path / "foreign").write_text("a photograph")
    make(path)
    before = path.lstat()
    with (
        pytest.raises(FileExistsError, match=r"lock is no lock file of arlib's: remove it$"),
        exclusive_lock(path, wait=wait),
    ):
        pass
    assert (tmp_path / "foreign").read_text() == "a photograph"
    assert names(tmp_path) == ["foreign", "lock"]
    assert path.lstat().st_ino == before.st_ino


def test_a_lock_that_becomes_a_link_is_not_written_through(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    (tmp_path / "foreign").write_text("a photograph")
    acquire = storage._acquire

    def swapped(lock, path):
        acquire(lock, path)
        path.unlink()
        link(path)

    monkeypatch.setattr(storage, "_acquire", swapped)
    with pytest.raises(OSError, match="lock"), exclusive_lock(path):
        pass
    assert (tmp_path / "foreign").read_text() == "a photograph"


@pytest.mark.parametrize("text", ["", "proc", "process 99999999 on another"])
def test_what_a_killed_holder_left_is_a_lock(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    with exclusive_lock(tmp_path / "lock"):
        pass
    assert names(tmp_path) == []


def test_a_folder_that_vanishes_again_and_again_is_an_error(tmp_path, monkeypatch):
    def vanished(_):
        raise FileNotFoundError(2, "No such file or directory", "lock")

    monkeypatch.setattr("arlib._support.storage.FileLock.acquire", vanished)
    with pytest.raises(FileNotFoundError), exclusive_lock(tmp_path / "lock"):
        pass
