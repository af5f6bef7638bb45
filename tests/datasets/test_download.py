"""Downloads from a server of flesh and blood on this machine: broken off, wrong, resumed, full."""

import hashlib
import io
import os
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from arlib.datasets import catalog, download as module
from arlib.datasets.catalog import Download, Entry
from arlib.datasets.dataset import DatasetError
from arlib.datasets.download import download, fetch


def archive():
    """A zip archive of 3 MB that hardly shrinks."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("release/pictures/one.jpg", os.urandom(3_000_000))
        file.writestr("release/labels.txt", "one.jpg 1")
        file.writestr("release/readme.txt", "not taken")
    return buffer.getvalue()


class Server:
    """Serves `content`; `cut` closes the connection after so many bytes, once."""

    def __init__(self):
        self.content, self.cut, self.ranges, self.asked = archive(), None, True, []
        self.shift, self.status = 0, None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/a.zip"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        begin = 0
        if self.status:
            request.send_error(self.status)
            return
        if wanted and self.ranges:
            begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) + self.shift
            request.send_response(206)
            total = len(self.content)
            request.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        else:
            request.send_response(200)
        body = self.content[begin:]
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.cut is not None:
            body, self.cut = body[: self.cut], None
        request.wfile.write(body)
        request.close_connection = True

    def entry(self, **changes):
        facts = {
            "url": self.url,
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "take": {"release/pictures": "images", "release/labels.txt": "labels.txt"},
        }
        return Download(**(facts | changes))


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def toy(server, monkeypatch):
    """A dataset `toy` in the catalogue that the server has."""
    facts = {"title": "Toy", "labelled": "nobody", "licence": "CC0", "traps": (), "steps": ()}
    of = Entry(name="toy", fetch_into="toy", downloads=(server.entry(),), **facts)
    monkeypatch.setattr(module, "entry", lambda _: of)
    return of


def quiet(_):
    pass


def test_a_file_arrives_under_its_name(server, tmp_path):
    found = download(server.entry(), tmp_path, say=quiet)
    assert found == tmp_path / "a.zip"
    assert found.read_bytes() == server.content
    assert list(tmp_path.iterdir()) == [found]


def test_a_verified_file_is_not_asked_for_again(server, tmp_path):
    for _ in range(2):
        download(server.entry(), tmp_path, say=quiet)
    assert server.asked == [None]


def test_a_broken_connection_goes_on_where_it_broke(server, tmp_path):
    server.cut = 30 * module.CHUNK + 5
    with pytest.raises(
        OSError, match=r"1,966,080 of 3,\d+,\d+ bytes are at .*a\.zip\.part; the sa"
    ):
        download(server.entry(), tmp_path, say=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip.part"]
    assert (tmp_path / "a.zip.part").read_bytes() == server.content[:1_966_080]
    assert download(server.entry(), tmp_path, say=quiet).read_bytes() == server.content
    assert server.asked == [None, "bytes=1966080-"]


def test_an_interruption_leaves_the_part(server, tmp_path, monkeypatch):
    class Stop(KeyboardInterrupt):
        pass

    def stopped(self, chunk):
        raise Stop

    with monkeypatch.context() as during:
        during.setattr("tqdm.auto.tqdm.update", stopped)
        with pytest.raises(Stop):
            download(server.entry(), tmp_path, say=quiet)
    (part,) = tmp_path.iterdir()
    assert part.read_bytes() == server.content[: module.CHUNK]
    assert download(server.entry(), tmp_path, say=quiet).read_bytes() == server.content
    assert server.asked == [None, f"bytes={module.CHUNK}-"]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(server.content[:1000])
    server.ranges = False
    assert download(server.entry(), tmp_path, say=quiet).read_bytes() == server.content
    assert server.asked == ["bytes=1000-"]


def test_a_part_that_is_whole_is_not_downloaded(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(server.content)
    assert download(server.entry(), tmp_path, say=quiet).read_bytes() == server.content
    assert server.asked == []


def test_a_part_that_is_too_long_starts_over(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(server.content + b"more")
    assert download(server.entry(), tmp_path, say=quiet).read_bytes() == server.content
    assert server.asked == [None]


def test_another_range_than_asked_for_is_refused(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(server.content[:1000])
    server.shift = -7
    with pytest.raises(DatasetError, match="sends another range than from 1,000"):
        download(server.entry(), tmp_path, say=quiet)
    assert (tmp_path / "a.zip.part").read_bytes() == server.content[:1000]


def test_wrong_bytes_are_removed_and_both_hashes_told(server, tmp_path):
    right = server.entry()
    server.content = server.content[:-1] + bytes([server.content[-1] ^ 1])
    served = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(DatasetError) as caught:
        download(right, tmp_path, say=quiet)
    assert right.sha256 in str(caught.value)
    assert served in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_part_is_found_out_and_the_next_try_starts_over(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    with pytest.raises(DatasetError, match="is not what it was, and was removed"):
        download(server.entry(), tmp_path, say=quiet)
    assert list(tmp_path.iterdir()) == []
    assert download(server.entry(), tmp_path, say=quiet).read_bytes() == server.content


def test_a_file_of_another_size_is_refused_before_it_is_downloaded(server, tmp_path):
    with pytest.raises(DatasetError, match=r"has 3,\d+,\d+ bytes there, and 3,500,000 in the cat"):
        download(server.entry(bytes=3_500_000), tmp_path, say=quiet)
    assert list(tmp_path.iterdir()) == []


def test_what_the_server_lacks_is_told(server, tmp_path):
    server.status = 404
    with pytest.raises(OSError, match=r"a\.zip: 0 of 3,\d+,\d+ bytes .*404"):
        download(server.entry(), tmp_path, say=quiet)


def test_no_server_is_told(server, tmp_path):
    of = server.entry()
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(OSError, match=re.escape(of.url)):
        download(of, tmp_path, say=quiet)


def test_a_disk_without_room_is_told_before(server, tmp_path):
    with pytest.raises(DatasetError, match=r"GB free; 3000000\.0 GB are needed"):
        download(server.entry(bytes=10**15), tmp_path, say=quiet)
    assert server.asked == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")  # noqa: PTH110
def test_a_disk_that_fills_up_is_told(server, tmp_path):
    (tmp_path / "a.zip.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device; 0 of 3") as caught:
        download(server.entry(), tmp_path, say=quiet)
    assert caught.value.errno == 28


def test_a_dataset_arrives_whole_and_nothing_else_stays(toy, server, tmp_path):
    said = []
    into = fetch("toy", tmp_path, say=said.append)
    assert into == tmp_path / "toy"
    assert {path.relative_to(into).as_posix() for path in into.rglob("*")} == {
        "images",
        "images/one.jpg",
        "labels.txt",
    }
    assert list((tmp_path / ".downloads").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"toy", ".downloads"}
    assert said == [f"downloading {server.url} (3.0 MB)", "unpacking a.zip"]


def test_a_dataset_that_is_there_is_left_alone(toy, server, tmp_path):
    (tmp_path / "toy").mkdir()
    with pytest.raises(DatasetError, match=r"toy is there already: `arlib data check toy`, or ta"):
        fetch("toy", tmp_path, say=quiet)
    assert server.asked == []


def test_a_broken_fetch_makes_no_folder_and_goes_on(toy, server, tmp_path):
    server.cut = 10 * module.CHUNK
    with pytest.raises(OSError, match="655,360 of"):
        fetch("toy", tmp_path, say=quiet)
    assert [path.name for path in tmp_path.iterdir()] == [".downloads"]
    assert fetch("toy", tmp_path, say=quiet).is_dir()
    assert server.asked == [None, "bytes=655360-"]


def test_an_archive_without_what_is_looked_for_is_told(toy, server, tmp_path, monkeypatch):
    lacking = server.entry(take={"release/absent": "x"})
    monkeypatch.setattr(module, "entry", lambda _: Entry(**{**vars(toy), "downloads": (lacking,)}))
    with pytest.raises(DatasetError, match=r"toy: a\.zip holds no release/absent"):
        fetch("toy", tmp_path, say=quiet)
    assert [path.name for path in tmp_path.iterdir()] == [".downloads"]


@pytest.mark.parametrize("name", [n for n in catalog.known() if not catalog.entry(n).downloads])
def test_what_cannot_be_fetched_says_why_and_what_to_do(name, tmp_path):
    with pytest.raises(DatasetError) as caught:
        fetch(name, tmp_path, say=quiet)
    assert catalog.entry(name).no_fetch in str(caught.value)
    assert f"`arlib data where {name}` says how to get it" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
