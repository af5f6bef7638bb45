"""Hostile files and names: refused soon and in little memory, never run, displayed as text."""

import ast
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import zlib
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup
from hypothesis import given, settings, strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from arlib import publishing
from arlib._support.settings import _TextLoader
from arlib.datasets import ImageError, read_image
from arlib.networks import LinearHead, WeightsError, load_backbone

SOURCE = Path(__file__).parents[2] / "src" / "arlib"

READ = """
import json, resource, sys, time
from arlib.datasets import ImageError, read_image
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)
results = []
for path in sys.argv[1:]:
    began = time.process_time()
    try:
        result = f"read {read_image(path).shape}"
    except ImageError as error:
        result = error.reason
    results.append([result, time.process_time() - began])
print(json.dumps(results))
"""


def refused(*paths):
    """Read files in a process that may take 1 GB, and 2 s a file; return why they are refused."""
    command = [sys.executable, "-W", "error", "-c", READ, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    results = json.loads(done.stdout)
    assert all(seconds < 2 for _, seconds in results), results
    reasons = [reason for reason, _ in results]
    return reasons if len(reasons) > 1 else reasons[0]


def png(width, height, kind=0, bits=8):
    """A PNG of zeros, as small as deflate makes it."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    packer, row = zlib.compressobj(9), b"\0" * (1 + -(-width * bits // 8))
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_a_small_file_of_a_huge_image(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(20_000, 20_000, bits=1))
    assert path.stat().st_size < 60_000
    assert refused(path) == "20000 x 20000 exceeds 80,000,000 pixels"


def test_text_that_unpacks_to_more_than_there_is_is_left_out(tmp_path):
    path = tmp_path / "text.png"
    text = b"zTXtComment\0\0" + zlib.compress(b"\0" * 2**28)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    image = png(8, 8)
    path.write_bytes(image[:33] + chunk + image[33:])
    assert refused(path) == "read (8, 8, 3)"


def tiff(*entries, content=b""):
    """A TIFF of LONG entries, (tag, number), whose pixels lie from byte 8."""
    directory = b"".join(struct.pack("<HHLL", tag, 4, 1, number) for tag, number in entries)
    start = struct.pack("<L", 8 + len(content))
    return b"II*\0" + start + content + struct.pack("<H", len(entries)) + directory + bytes(4)


def encoded(name, size=(64, 64), **options):
    buffer = BytesIO()
    Image.new("RGB", size, "teal").save(buffer, name, **options)
    return buffer.getvalue()


def bombs():
    """Small files of large images, by name, and why they are refused."""
    data = zlib.compress(bytes(4096))
    grey = [(256, 64), (257, 64), (258, 8), (259, 8), (262, 1), (277, 1)]
    tile = [(322, 60_000), (323, 60_000), (324, 8), (325, len(data))]
    yield "tile.tif", tiff(*grey, *tile, content=data), "60000 x 60000 exceeds 80,000,000 pixels"
    large = [(256, 60_000), (257, 60_000), *grey[2:]]
    strip = [(273, 8), (278, 60_000), (279, len(data))]
    yield "large.tif", tiff(*large, *strip, content=data), "60000 x 60000 exceeds 80,000,000 pixels"
    many = [*grey[:5], (277, 65_535), (273, 8), (278, 64), (279, len(data))]
    yield "samples.tif", tiff(*many, content=data), "65535 channels, which are no colour image"
    # JPEG 2000: its codestream may be larger than its header states
    jp2 = encoded("JPEG2000")
    size = jp2.index(b"\xff\x4f\xff\x51") + 8
    lying = jp2[:size] + struct.pack(">LL", 16_000, 16_000) + jp2[size + 8 :]
    yield "lying.jp2", lying, "16000 x 16000 exceeds 20,000,000 pixels"
    # the same in an icon, and a PNG
    for name, inner, kind in (("1.icns", lying, b"ic07"), ("2.icns", png(9_000, 9_000), b"ic08")):
        body = kind + struct.pack(">L", len(inner) + 8) + inner
        content = b"icns" + struct.pack(">L", len(body) + 8) + body
        yield name, content, "no image, or of an unknown format"
    ico = struct.pack("<3H4B2H2L", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    yield "bomb.ico", ico, "no image, or of an unknown format"
    # WebP: the decoder makes room for the canvas when it opens the file
    webp = bytearray(encoded("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"))
    webp[24:30] = (15_999).to_bytes(3, "little") * 2
    yield "canvas.webp", bytes(webp), "16000 x 16000 exceeds 40,000,000 pixels"
    # GIF: a frame may reach beyond the screen
    gif = bytearray(encoded("GIF"))
    place = gif.index(b",", 13 + 3 * 2 ** ((gif[10] & 7) + 1)) + 5
    gif[place : place + 4] = struct.pack("<HH", 12_000, 12_000)
    yield "frame.gif", bytes(gif), "12000 x 12000 exceeds 80,000,000 pixels"
    # a progressive JPEG of scans without end
    jpeg = encoded("JPEG", (4_000, 4_000), progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    scans = jpeg[:-2] + jpeg[last:-2] * 2_000 + jpeg[-2:]
    yield "scans.jpg", scans, f"{jpeg.count(bytes([255, 218])) + 2_000} scans of 4000 x 4000 pixels"
    bmp = struct.pack("<LLLHHLLLLLL", 40, 60_000, 60_000, 1, 8, 1, 0, 0, 0, 0, 0)
    yield (
        "rle.bmp",
        b"BM" + bytes(8) + b"\x36\0\0\0" + bmp,
        "60000 x 60000 exceeds 80,000,000 pixels",
    )
    yield "plain.ppm", b"P3 60000 60000 255\n1 2 3", "60000 x 60000 exceeds 80,000,000 pixels"
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90000 90000\n%%EndComments\nshowpage\n"
    yield "script.eps", eps, "no image, or of an unknown format"


def test_small_files_of_large_images_are_refused_before_they_are_decoded(tmp_path):
    files = list(bombs())
    for name, content, _ in files:
        assert len(content) < 500_000
        (tmp_path / name).write_bytes(content)
    reasons = refused(*[tmp_path / name for name, _, _ in files])
    assert dict(zip([name for name, *_ in files], reasons, strict=True)) == {
        name: reason for name, _, reason in files
    }


@pytest.mark.parametrize("make", ["pipe", "/dev/zero", "/dev/stdin", "folder", "link to a device"])
def test_what_is_no_file(tmp_path, make):
    path = tmp_path / "image.png"
    if make == "pipe":
        os.mkfifo(path)
    elif make == "folder":
        path.mkdir()
    elif make.startswith("link"):
        path.symlink_to("/dev/zero")
    else:
        path = Path(make)
    assert refused(path) in ("not a regular file", "no image, or of an unknown format")


def test_a_file_without_end(tmp_path):
    path = tmp_path / "image.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert refused(path) == f"{2**40:,} bytes exceed {2**28:,}"


def test_a_file_that_grows_while_it_is_read(tmp_path):
    path = tmp_path / "image.webp"
    Image.new("RGB", (64, 48), "red").save(path)
    stop = threading.Event()

    def grow():
        with path.open("ab") as file:
            while not stop.is_set() and file.tell() < 2**27:
                file.write(b"\0" * 2**16)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        reason = refused(path)
    finally:
        stop.set()
        writer.join()
    assert reason.startswith(("read (48, 64, 3)", "no image", "damaged", "cannot", "could not"))


@settings(max_examples=150)
@given(st.data())
def test_a_mutated_file_is_an_image_or_an_image_error(tmp_path_factory, data):
    """Flipped, cut, doubled and inserted bytes of six formats."""
    name = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    buffer = BytesIO()
    Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save(buffer, name)
    raw = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        how = data.draw(st.sampled_from(["flip", "cut", "double", "insert"]))
        if how == "flip":
            raw[place] ^= data.draw(st.integers(1, 255))
        elif how == "cut":
            del raw[place + 1 :]
        elif how == "double":
            raw[place:place] = raw[place : place + 64]
        else:
            raw[place:place] = data.draw(st.binary(min_size=1, max_size=16))
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(raw)
    try:
        image = read_image(path, max_pixels=10**6)
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3


class Evil:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    "name", ["w.safetensors", "w.pth", "w.pt", "w.bin", "w.ckpt", "w.npz", "w"]
)
def test_no_checkpoint_is_unpickled_whatever_its_name(tmp_path, name):
    mark, path = tmp_path / "mark", tmp_path / name
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_backbone("vgg_tiny", weights=path)
    path.with_suffix(".json").write_text('{"emotions": ["a", "b"], "backbone": "vgg_tiny"}')
    with pytest.raises(Exception, match=r"(?i)header|safetensor|invalid"):
        LinearHead.load(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the file does no harm: the test cannot fail"


def test_the_source_opens_nothing_that_can_run_code():
    """Every loader of the library, by name: pickles, unsafe YAML, eval."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                bad = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
                found += [(path.name, name) for name in names if name.split(".")[0] in bad]
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called == "yaml.load" and ast.unparse(node.args[1]) == "_TextLoader":
                continue  # makes texts, lists and mappings alone: below
            if called in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"):
                found.append((path.name, called))
            if called == "torch.load" and given.get("weights_only") != "True":
                found.append((path.name, called))
            if given.get("allow_pickle") == "True":
                found.append((path.name, called))
    assert found == []
    assert issubclass(_TextLoader, yaml.BaseLoader)


HOSTILE = [
    "<script>window.mark = 1</script>.jpg",
    "<img src=x onerror='window.mark=1'>.jpg",
    '"><svg onload=alert(1)>.jpg',
    "a</td></table><iframe src='javascript:alert(1)'></iframe>.jpg",
    "{{ mark }} & <b>bold</b> </title><style>*{display:none}</style>.jpg",
]


def test_names_and_labels_with_markup_are_text_in_the_built_site(tmp_path):
    for folder in ("book", "src/arlib", "editions"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "book" / "index.md").write_text("# A book\n\nIts text.\n")
    code = f"""
from types import SimpleNamespace
import numpy as np
import pandas as pd
from IPython.display import HTML, display
from arlib.figures import table_html
from arlib.evaluation import methods
names = {HOSTILE!r}
display(pd.DataFrame([names] * len(names), index=names, columns=names))
rows = [method.name for method in methods()]
table = pd.DataFrame({{"accuracy": np.nan, "note": names[0], "majority": 0.5}}, index=rows)
told = dict(zip(["command", "commit", "finished"], names[1:], strict=False))
run = SimpleNamespace(name=names[4], facts=told, scores=SimpleNamespace(attrs={{}}))
tables = {{name: table.copy() for name in names}}
for name in names:
    tables[name].attrs.update(title=name, heads=(name, ""), paper=None)
display(HTML(table_html(tables, dict.fromkeys(names, run))))
print(names)
"""
    cells = [
        new_markdown_cell("# A chapter\n\nIts text."),
        new_code_cell("k = 1", metadata={"tags": ["parameters"]}),
        new_code_cell(code.strip()),
        new_code_cell("names[0]"),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), tmp_path / "book" / "one.ipynb")
    toc = {"format": "jb-book", "root": "book/index"}
    toc["parts"] = [{"caption": "All", "chapters": [{"file": "book/one"}]}]
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    config = {"title": "A book", "execute": {"execute_notebooks": "off"}}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config))
    (tmp_path / "editions" / "plain.yaml").write_text("title: Plain\n")
    edition = publishing.load_edition(tmp_path, "plain")
    page = publishing.run_edition(tmp_path, edition, say=str)
    html = (page.parent / "book" / "one.html").read_text()
    _inert(BeautifulSoup(html, "html.parser").find("article"))


def _inert(element):
    """The hostile names are there to read, and none of them is an element."""
    text = element.get_text()
    for name in HOSTILE:
        assert name in text
    assert "onerror" not in {key for tag in element.find_all(True) for key in tag.attrs}
    assert "display:none" not in "".join(tag.get_text() for tag in element.find_all("style"))
    for tag in element.find_all(["iframe", "svg", "b"]):
        assert not tag.get("src", "").startswith("javascript")
        assert tag.name != "b" or tag.get_text() != "bold"
        assert "onload" not in tag.attrs
    assert not [tag for tag in element.find_all("script") if "mark" in tag.get_text()]
