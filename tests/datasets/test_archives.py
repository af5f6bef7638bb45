"""Archives: what is hostile is refused before anything is written; what is sound arrives whole."""

import io
import os
import stat
import tarfile
import zipfile

import pytest

from arlib.datasets import download as archives
from arlib.datasets.download import ArchiveError, unpack


def tar(path, *members, mode="w:gz"):
    """Write a tar archive of (name, content) or of TarInfo, in order."""
    with tarfile.open(path, mode) as file:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                file.addfile(info, io.BytesIO(member[1]))
    return path


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def special(name, kind):
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


def zipped(path, *members, kind=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
            info.external_attr = ((kind or stat.S_IFREG) | 0o644) << 16
            file.writestr(info, content)
    return path


def refused(archive, tmp_path, **bounds):
    """Unpack, see it refused and nothing new anywhere, and return what was said."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError) as caught:
        unpack(archive, tmp_path / "out", **bounds)
    assert sorted(tmp_path.rglob("*")) == before
    assert str(caught.value).startswith(f"{archive.name}: ")
    return str(caught.value).removeprefix(f"{archive.name}: ")


PATHS = [
    ("/etc/arlib", "its path is absolute"),
    ("../out.txt", "its path has '..'"),
    ("a/../../out.txt", "its path has '..'"),
    ("C:/out.txt", "its path has a drive"),
    ("a\\..\\..\\out.txt", "its path has a backslash"),
]


@pytest.mark.parametrize(("name", "why"), PATHS)
@pytest.mark.parametrize("make", [tar, zipped])
def test_a_path_that_leaves_is_refused(make, name, why, tmp_path):
    """Even where the first member is sound."""
    archive = make(tmp_path / "a", ("good.txt", b"1"), (name, b"2"))
    assert refused(archive, tmp_path) == f"{name!r} is refused: {why}"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([link("l", "/etc")], "'l' is refused: it is a link to '/etc', which is not relative"),
        ([link("l", "C:/x")], "'l' is refused: it is a link to 'C:/x', which is not relative"),
        ([link("a/l", "../../x")], "'a/l' is refused: it is a link to '../../x', which leaves the"),
        ([link("l", "../x", tarfile.LNKTYPE)], "'l' is refused: it is a link to '../x', which"),
        ([link("a/l", "../x", tarfile.LNKTYPE)], "'a/l' is refused: it is a link to '../x', whi"),
        ([link("l", "a"), ("l/x", b"1")], "'l/x' is refused: it lies below a file or a link"),
        ([("l/x", b"1"), link("l", "a")], "'l' is refused: it would take the place of a folder"),
        (
            [link("s", "a/b"), link("t", "s/c")],
            "'t' is refused: it leads through a link",
        ),
        ([link("t", "s/c"), link("s", "a/b")], "'t' is refused: it leads through a link"),
        ([("x", b"1"), ("x/y", b"1")], "'x/y' is refused: it lies below a file or a link"),
        ([special("d", tarfile.CHRTYPE)], "'d' is refused: it is a device, a pipe or the like"),
        ([special("d", tarfile.BLKTYPE)], "'d' is refused: it is a device, a pipe or the like"),
        ([special("d", tarfile.FIFOTYPE)], "'d' is refused: it is a device, a pipe or the like"),
        ([("x", b"1"), ("./x", b"2")], "'./x' is refused: its name comes twice"),
        ([("x", b"1"), ("X", b"2")], "'X' is refused: it differs from 'x' in upper and lower"),
        ([("x/a", b"1"), ("X/b", b"2")], "'X/b' is refused: it differs from 'x' in upper and lo"),
    ],
)
def test_a_hostile_tar_is_refused(members, said, tmp_path):
    assert refused(tar(tmp_path / "a.tar.gz", *members), tmp_path).startswith(said)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_zip_with_anything_but_files_is_refused(kind, tmp_path):
    archive = zipped(tmp_path / "a.zip", ("x", b"/etc"), kind=kind)
    assert refused(archive, tmp_path) == "'x' is refused: it is a device, a pipe or the like"


def test_a_name_that_hides_its_end_is_refused(tmp_path):
    archive = zipped(tmp_path / "a.zip", ("good", b"1"), ("evilZ.jpg", b"1"))
    archive.write_bytes(archive.read_bytes().replace(b"evilZ", b"evil\0"))
    assert refused(archive, tmp_path) == "'evil\\x00.jpg' is refused: it has no name"


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = zipped(tmp_path / "a.zip", ("x", b"1"))
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    assert refused(archive, tmp_path) == "'x' is encrypted"


@pytest.mark.parametrize("make", [tar, zipped])
def test_a_bomb_is_refused_by_its_ratio_and_by_its_size(make, tmp_path):
    archive = make(tmp_path / "a", ("one", b"0" * 600_000), ("two", b"0" * 600_000))
    limit = int(200 * archive.stat().st_size)
    assert limit < 1_200_000
    assert f"than {limit:,} bytes, the bound" in refused(archive, tmp_path)
    said = refused(archive, tmp_path, max_bytes=1_199_999, max_ratio=1e9)
    assert (
        said == "'two' is refused: with it the archive holds more than 1,199,999 bytes, the bound"
    )
    assert unpack(archive, tmp_path / "b", max_bytes=1_200_000, max_ratio=1e9).is_dir()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_sound_tar_arrives_whole(mode, tmp_path):
    archive = tar(tmp_path / "a", ("./p/1.jpg", b"one"), link("p/l.jpg", "1.jpg"), mode=mode)
    into = unpack(archive, tmp_path / "new" / "out", max_ratio=1e9)
    assert (into / "p" / "1.jpg").read_bytes() == b"one"
    assert str((into / "p" / "l.jpg").readlink()) == "1.jpg"
    assert [path.name for path in into.parent.iterdir()] == ["out"]


def test_a_sound_zip_arrives_whole_and_open_to_others(tmp_path):
    into = unpack(zipped(tmp_path / "a.zip", ("p/1.jpg", b"one")), tmp_path / "out")
    assert (into / "p" / "1.jpg").read_bytes() == b"one"
    ordinary = tmp_path / "ordinary"
    ordinary.mkdir()
    assert into.stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.zip"])
def test_a_damaged_archive_leaves_nothing(name, tmp_path):
    noise = os.urandom(50_000)
    if name.endswith("zip"):
        archive = zipped(tmp_path / name, ("x", noise))
    else:
        archive = tar(tmp_path / name, ("x", noise), ("y", noise), mode=f"w:{name.split('.')[-1]}")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 255
    content = content if name.endswith("zip") else content[: len(content) // 2]
    archive.write_bytes(content)
    first = "neither a tar nor" if name.endswith("bz2") else "damaged, or not supported ("
    assert refused(archive, tmp_path).startswith(first)  # bz2 has nothing before its first block


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\x07")
    assert refused(tmp_path / "a.rar", tmp_path) == "neither a tar nor a zip archive, or damaged"


def test_what_is_there_is_not_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match=r"out is there already; take it away to unpack a\.z"):
        unpack(zipped(tmp_path / "a.zip", ("x", b"1")), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_what_fails_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def full(archive, into):
        (into / "half").write_bytes(b"1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "_extract", full)
    archive = zipped(tmp_path / "a.zip", ("x", b"1"))
    with pytest.raises(OSError, match="No space left"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_tarfiles_own_filter_is_on_top(tmp_path, monkeypatch):
    """With this module's check taken away, the library's still refuses."""
    monkeypatch.setattr(archives, "check_members", lambda *_: None)
    archive = tar(tmp_path / "a.tar", ("../out.txt", b"1"), mode="w")
    assert refused(archive, tmp_path).startswith("damaged, or not supported ('../out.txt' would be")
