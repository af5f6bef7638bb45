"""Downloads from a server on this machine: verified and unpacked by name, or refused."""

import hashlib
import io
import os
import re
import stat
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from arlib.datasets import catalog
from arlib.datasets.catalog import Download, Entry
from arlib.datasets.download import fetch, fetch_entry, unpack
from arlib.datasets.files import DatasetError


def zipped(*members, kind=stat.S_IFREG, method=zipfile.ZIP_DEFLATED):
    """A zip archive of (name, content), in order, as bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, method
            info.external_attr = (kind | 0o644) << 16
            file.writestr(info, content)
    return buffer.getvalue()


class Server:
    """Serves `content`; `cut` closes the connection after so many bytes."""

    def __init__(self):
        self.content = zipped(
            ("release/photos/one.jpg", os.urandom(300_000)),
            ("release/labels.txt", b"one.jpg 1"),
            ("release/readme.txt", b"not taken"),
        )
        self.cut = self.status = None
        self.requests = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/a.zip"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request):
        self.requests += 1
        if self.status:
            request.send_error(self.status)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(self.content)))
        request.end_headers()
        request.wfile.write(self.content[: self.cut])
        request.close_connection = True

    def entry(self, **changes):
        """A dataset `toy` in a catalogue that the server has."""
        facts = {
            "url": self.url,
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "take": {"release/photos": "images", "release/labels.txt": "labels.txt"},
        }
        return Entry("toy", fetch_into="toy", downloads=[Download(**(facts | changes))])


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def quiet(_):
    pass


def leftovers(root):
    """Files and folders but for the folder of archives."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*")} - {
        ".downloads",
        ".downloads/toy",
    }


def test_a_dataset_arrives_complete_and_nothing_else_stays(server, tmp_path):
    messages = []
    into = fetch_entry(server.entry(), tmp_path, messages.append)
    assert into == tmp_path / "toy"
    assert leftovers(into) == {"images", "images/one.jpg", "labels.txt"}
    assert (into / "labels.txt").read_text() == "one.jpg 1"
    assert leftovers(tmp_path) == {"toy", *(f"toy/{name}" for name in leftovers(into))}
    assert list((tmp_path / ".downloads").iterdir()) == []
    assert messages == [f"downloading {server.url} (0.3 MB)", "unpacking a.zip"]
    (ordinary := tmp_path / "ordinary").mkdir()
    assert into.stat().st_mode == ordinary.stat().st_mode, "open to others"


def test_a_verified_archive_is_not_asked_for_again(server, tmp_path):
    entry = server.entry()
    second = replace(entry.downloads[0], url=server.url.replace("a.zip", "b.zip"), sha256="0" * 64)
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"b\.zip is not what it was"):
            fetch_entry(replace(entry, downloads=[*entry.downloads, second]), tmp_path, quiet)
        assert leftovers(tmp_path) == {".downloads/toy/a.zip"}
    assert server.requests == 3, "a.zip once, b.zip twice"
    assert fetch_entry(entry, tmp_path, quiet).is_dir()
    assert server.requests == 3


def test_a_broken_connection_leaves_nothing(server, tmp_path):
    server.cut = 100_000
    with pytest.raises(OSError, match=r"100000|IncompleteRead|broken"):
        fetch_entry(server.entry(), tmp_path, quiet)
    assert leftovers(tmp_path) == set()
    server.cut = None
    assert fetch_entry(server.entry(), tmp_path, quiet).is_dir()


def test_wrong_bytes_are_removed_and_both_hashes_named(server, tmp_path):
    entry = server.entry()
    server.content = server.content[:-1] + bytes([server.content[-1] ^ 1])
    with pytest.raises(DatasetError, match=r"a\.zip is not what it was, and was removed") as caught:
        fetch_entry(entry, tmp_path, quiet)
    assert entry.downloads[0].sha256 in str(caught.value)
    assert hashlib.sha256(server.content).hexdigest() in str(caught.value)
    assert leftovers(tmp_path) == set()


def test_a_file_that_the_server_lacks(server, tmp_path):
    server.status = 404
    with pytest.raises(OSError, match=rf"404 .*{re.escape(server.url)}"):
        fetch_entry(server.entry(), tmp_path, quiet)


def test_no_server(server, tmp_path):
    entry = server.entry()
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(OSError, match=r"/a\.zip"):
        fetch_entry(entry, tmp_path, quiet)


def test_a_disk_without_room_is_refused_before(server, tmp_path):
    with pytest.raises(DatasetError, match=r"GB free; 3000000\.0 GB are needed"):
        fetch_entry(server.entry(bytes=10**15), tmp_path, quiet)
    assert server.requests == 0


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_a_dataset_that_is_there_is_left_alone(server, tmp_path, kind):
    path = tmp_path / "toy"
    if kind == "dangling link":
        path.symlink_to("gone")
    else:
        path.mkdir() if kind == "folder" else path.touch()
    with pytest.raises(DatasetError, match=r"toy is there already: `arlib data check toy`, or re"):
        fetch_entry(server.entry(), tmp_path, quiet)
    assert server.requests == 0


def test_an_archive_without_what_is_looked_for(server, tmp_path):
    with pytest.raises(DatasetError, match=r"a\.zip holds no release/absent"):
        fetch_entry(server.entry(take={"release/absent": "x"}), tmp_path, quiet)
    assert leftovers(tmp_path) == {".downloads/toy/a.zip"}


@pytest.mark.parametrize("name", [n for n in catalog.known() if not catalog.entry(n).downloads])
def test_what_cannot_be_fetched_is_explained(name, tmp_path):
    with pytest.raises(DatasetError) as caught:
        fetch(name, tmp_path, say=quiet)
    assert catalog.entry(name).no_fetch in str(caught.value)
    assert f"`arlib data where {name}` says how to get it" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class TestHostileArchives:
    """A server that is trusted, by its hash, with an archive that is not."""

    def refusal(self, server, tmp_path, content):
        """Fetch the folder `p`, and return why it was refused; nothing may be left."""
        server.content = content
        (root := tmp_path / "data").mkdir()
        with pytest.raises(DatasetError) as caught:
            fetch_entry(server.entry(take={"p": "images"}), root, quiet)
        assert [path.name for path in tmp_path.iterdir()] == ["data"]
        assert leftovers(root) == {".downloads/toy/a.zip"}
        return str(caught.value)

    @pytest.mark.parametrize(
        "name", ["p/../../../out.txt", "p/..", "p/a/../../../x", "p/a\\..\\..\\out.txt"]
    )
    def test_a_path_that_leaves(self, name, server, tmp_path):
        """Even where the first member is sound."""
        message = self.refusal(server, tmp_path, zipped(("p/1.jpg", b"1"), (name, b"2")))
        assert message == f"a.zip: {name!r} is refused: its path leaves the folder"

    @pytest.mark.parametrize("name", ["/etc/arlib", "../out.txt", "C:/out.txt", "pp/x", "q"])
    def test_a_path_outside_of_what_is_taken_is_not_unpacked(self, name, server, tmp_path):
        server.content = zipped((name, b"evil"), ("p/1.jpg", b"1"))
        into = fetch_entry(server.entry(take={"p": "images"}), tmp_path, quiet)
        assert leftovers(into) == {"images", "images/1.jpg"}
        assert leftovers(tmp_path) == {"toy", "toy/images", "toy/images/1.jpg"}

    @pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
    def test_a_link_or_a_device(self, kind, server, tmp_path):
        message = self.refusal(server, tmp_path, zipped(("p/x", b"/etc/passwd"), kind=kind))
        assert message == "a.zip: 'p/x' is refused: it is no regular file"

    def test_a_bomb(self, server, tmp_path):
        content = zipped(*((f"p/{i}", b"0" * 600_000) for i in range(2)))
        message = self.refusal(server, tmp_path, content)
        assert message == f"a.zip: p has more than {20 * len(content):,} bytes"

    def test_a_bomb_that_declares_another_size(self, server, tmp_path):
        """It is unpacked no further than it declares, and its checksum is then another."""
        content = bytearray(zipped(("p/x", b"0" * 600_000)))
        for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
            start = content.index(signature) + offset
            content[start : start + 4] = (1000).to_bytes(4, "little")
        assert "Bad CRC-32" in self.refusal(server, tmp_path, bytes(content))

    def test_a_name_that_comes_twice(self, server, tmp_path):
        message = self.refusal(server, tmp_path, zipped(("p/x", b"1"), ("p/./x", b"2")))
        assert message == "a.zip: 'p/./x' is refused: it comes twice"

    def test_an_encrypted_archive(self, server, tmp_path):
        content = bytearray(zipped(("p/x", b"1")))
        content[content.index(b"PK\1\2") + 8] |= 1
        assert "is encrypted" in self.refusal(server, tmp_path, bytes(content))

    def test_no_archive(self, server, tmp_path):
        message = self.refusal(server, tmp_path, b"Rar!\x1a\x07")
        assert message == "a.zip: damaged, or not supported (File is not a zip file)"

    def test_a_damaged_archive(self, server, tmp_path):
        content = bytearray(zipped(("p/x", os.urandom(50_000)), method=zipfile.ZIP_STORED))
        content[len(content) // 2] ^= 255
        assert "damaged, or not supported (Bad CRC-32" in self.refusal(
            server, tmp_path, bytes(content)
        )


def test_a_file_and_a_folder_are_taken_by_their_names(tmp_path):
    members = ("a/b.json", b"{}"), ("v/1.jpg", b"1"), ("v/w/2", b"2"), ("vv/3", b"3")
    (tmp_path / "a.zip").write_bytes(zipped(*members))
    unpack(tmp_path / "a.zip", {"a/b.json": "c.json", "v": "images"}, tmp_path / "out")
    assert leftovers(tmp_path / "out") == {
        "c.json",
        "images",
        "images/1.jpg",
        "images/w",
        "images/w/2",
    }
