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
from arlib.datasets import ImageError, read_image
from arlib.networks import LinearHead, WeightsError, load_backbone

SOURCE = Path(__file__).parents[2] / "src" / "arlib"

READ = """
import json, resource, sys, time
from arlib.datasets import ImageError, read_image
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)
began = time.process_time()
try:
    result = f"read {read_image(sys.argv[1]).shape}"
except ImageError as error:
    result = error.reason
print(json.dumps([result, time.process_time() - began]))
"""


def refused(path):
    """Read a file in a process that may take 1 GB and 2 s of work; return why it is refused."""
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    reason, seconds = json.loads(done.stdout)
    assert seconds < 2
    return reason


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


def test_text_that_unpacks_to_more_than_there_is(tmp_path):
    path = tmp_path / "text.png"
    text = b"zTXtComment\0\0" + zlib.compress(b"\0" * 2**28)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    image = png(8, 8)
    path.write_bytes(image[:33] + chunk + image[33:])
    assert refused(path).startswith("damaged (ValueError: Decompressed data too large")


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
            if called in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"):
                found.append((path.name, called))
            if called == "torch.load" and given.get("weights_only") != "True":
                found.append((path.name, called))
            if given.get("allow_pickle") == "True":
                found.append((path.name, called))
    assert found == []


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
display(HTML(table_html(dict.fromkeys(names, table), dict.fromkeys(names, run))))
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
