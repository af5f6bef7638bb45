"""Folders that take each other's place: at every moment there is one, and it is complete."""

import threading

import pytest

from arlib._support import storage
from arlib._support.storage import exchange, flush_folder, place_folder, replace_folder


def folder(path, text):
    path.mkdir()
    for name in ("a", "b"):
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize("can", [True, False])
def test_the_new_one_is_there_and_nothing_else(tmp_path, monkeypatch, can):
    if not can:
        monkeypatch.setattr(storage, "exchange", lambda one, other: False)
    for text in ("first", "second"):
        replace_folder(folder(tmp_path / "fresh", text), tmp_path / "site")
        assert [path.name for path in tmp_path.iterdir()] == ["site"]
        assert (tmp_path / "site" / "b").read_text() == text


def test_a_reader_always_finds_one(tmp_path):
    """The very moments in between: a reader that never stops opens a page every time."""
    site = folder(tmp_path / "site", "0")
    if not exchange(site, folder(tmp_path / "probe", "probe")):
        pytest.skip("this file system cannot exchange names")
    missed, looked, stop = [], [], threading.Event()

    def look():
        while not stop.is_set():
            looked.append(1)
            if not (site / "a").exists():
                missed.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(200):
        replace_folder(folder(tmp_path / "fresh", str(number)), site)
    stop.set()
    reader.join()
    assert len(looked) > 200
    assert not missed


def test_a_taken_name_is_refused_unless_asked(tmp_path):
    fresh, site = folder(tmp_path / "fresh", "new"), folder(tmp_path / "site", "old")
    with pytest.raises(FileExistsError, match="site exists already"):
        place_folder(fresh, site, overwrite=False)
    assert (fresh / "a").read_text(), (site / "a").read_text() == ("new", "old")
    place_folder(fresh, site, overwrite=True)
    assert (site / "a").read_text() == "new"


@pytest.mark.parametrize("can", [True, False])
def test_what_is_not_there_replaces_nothing(tmp_path, monkeypatch, can):
    if not can:
        monkeypatch.setattr(storage, "exchange", lambda one, other: False)
    site = folder(tmp_path / "site", "old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "absent", site)
    assert (site / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_flushing_reads_every_file(tmp_path):
    flush_folder(folder(tmp_path / "site", "x"))
    with pytest.raises(FileNotFoundError):
        flush_folder(tmp_path / "absent")
