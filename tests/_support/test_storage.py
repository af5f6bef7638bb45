"""Folders that take each other's place: at every moment there is one, and it is complete."""

import os
import threading

import pytest

from arlib._support import storage
from arlib._support.storage import (
    exchange,
    flush_folder,
    place_folder,
    refuse_output,
    replace_folder,
    write_atomic,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_folder_takes_the_place_of_a_folder_alone(tmp_path, kind):
    fresh, target = folder(tmp_path / "fresh", "new"), tmp_path / "site"
    kept = folder(tmp_path / "elsewhere", "kept")
    if kind == "file":
        target.write_text("kept")
    else:
        target.symlink_to(kept if kind == "link" else tmp_path / "gone")
    with pytest.raises(OSError, match="site is not a folder that can be replaced: remove it"):
        replace_folder(fresh, target)
    with pytest.raises(OSError, match="site exists already"):
        place_folder(fresh, target, overwrite=False)
    assert (fresh / "a").read_text() == "new"
    assert (kept / "a").read_text() == "kept"
    assert target.is_file() if kind == "file" else target.is_symlink()


class TestAFileIsWrittenOrLeft:
    def test_a_link_is_replaced_and_not_followed(self, tmp_path):
        (tmp_path / "foreign").write_text("photograph")
        (tmp_path / "link").symlink_to(tmp_path / "foreign")
        write_atomic(tmp_path / "link", "new")
        assert (tmp_path / "link").read_text() == "new"
        assert (tmp_path / "foreign").read_text() == "photograph"

    @pytest.mark.parametrize(
        ("name", "error"),
        [
            ("folder", IsADirectoryError),
            ("absent/x.json", FileNotFoundError),
            ("file/x.json", NotADirectoryError),
            ("n" * 256, OSError),
        ],
    )
    def test_the_error_names_the_file_that_was_asked_for(self, tmp_path, name, error):
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        with pytest.raises(error) as raised:
            write_atomic(tmp_path / name, "x")
        assert raised.value.filename == str(tmp_path / name)
        assert "\n" not in str(raised.value)
        assert names(tmp_path) == ["file", "folder"]

    def test_without_permission_the_old_one_stays(self, tmp_path, monkeypatch):
        def refuse(*_):
            raise PermissionError(13, "Permission denied", "a temporary name")

        path = tmp_path / "x.json"
        path.write_text("old")
        monkeypatch.setattr("pathlib.Path.replace", refuse)
        with pytest.raises(PermissionError, match=r"Permission denied: '.*/x.json'$"):
            write_atomic(path, "new")
        assert names(tmp_path) == ["x.json"]
        assert path.read_text() == "old"

    def test_a_name_may_be_as_long_as_a_name_may_be(self, tmp_path):
        write_atomic(tmp_path / ("n" * 255), "x")
        assert (tmp_path / ("n" * 255)).read_text() == "x"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Photographs, reached by several names, from a folder that is not theirs."""
    (tmp_path / "data" / "photos" / "sea").mkdir(parents=True)
    (tmp_path / "data" / "photos" / "sea" / "1.jpg").write_text("x")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to("../data/photos")
    (tmp_path / "here" / "data").symlink_to("../data")
    os.link(tmp_path / "data/photos/sea/1.jpg", tmp_path / "here" / "hard.jpg")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "data" / "photos"


SPELLINGS = ["../data/photos", "../data/photos/", "link", "data/photos", "../here/../data/photos"]


@pytest.mark.parametrize("given", [*SPELLINGS, None])
@pytest.mark.parametrize("out", SPELLINGS)
@pytest.mark.parametrize(
    ("below", "relation"), [("", "is"), ("/s.zarr", "lies in"), ("/sea/new/s", "lies in")]
)
def test_an_output_in_an_input_is_refused_however_it_is_spelt(photos, given, out, below, relation):
    given = photos if given is None else type(photos)(given)
    with pytest.raises(FileExistsError, match=f"{relation} the input .*: name another output"):
        refuse_output(type(photos)(out + below), [given])


@pytest.mark.parametrize("out", ["..", "data", "../data", "/"])
def test_an_output_that_holds_an_input_is_refused(photos, out):
    with pytest.raises(FileExistsError, match="holds the input link: name another output"):
        refuse_output(type(photos)(out), [type(photos)("link")])


def test_a_hard_link_is_the_file_and_a_neighbour_is_not(photos):
    image = photos / "sea" / "1.jpg"
    with pytest.raises(FileExistsError, match="is the input"):
        refuse_output(type(photos)("hard.jpg"), [image])
    for free in ("s.zarr", "../data/photos.zarr", "../data/photos-2", "../photos"):
        refuse_output(type(photos)(free), [photos, image])


def test_a_link_to_itself_is_no_output(photos):
    type(photos)("loop").symlink_to("loop")
    for out in ("loop", "loop/s.zarr"):
        with pytest.raises(FileExistsError, match=f"{out} links to itself: name another output"):
            refuse_output(type(photos)(out), [type(photos)("link")])


def test_what_is_there_is_ones_own_or_refused(photos):
    own = {"ours": lambda path: path.name == "hard.jpg", "what": "ours"}
    refuse_output(type(photos)("hard.jpg"), **own)
    for taken in ("link", "data"):
        with pytest.raises(FileExistsError, match="exists already and is not ours: name another"):
            refuse_output(type(photos)(taken), **own)
    type(photos)("dangling").symlink_to("gone")
    with pytest.raises(FileExistsError, match="dangling exists already"):
        refuse_output(type(photos)("dangling"), **own)
