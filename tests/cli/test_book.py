"""`arlib lab` starts a server in whose kernel a chapter runs beside the recorded runs."""

import json
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import websocket
from tests.book.conftest import copy_sources
from tests.lab_server import (
    TOKEN,
    a_control_draws_anew,
    ask,
    build,
    lab_server,
    on_recorded_run,
    reads_as_a_page,
    run_all,
)

from arlib.cli.book import KERNEL, MYST, check_lab

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("lab")  # one server


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the book where nothing was built."""
    root = tmp_path_factory.mktemp("clone")
    copy_sources(root)
    return root


@pytest.fixture(scope="module")
def server(clone, tmp_path_factory):
    """A running `arlib lab`: its address and what it printed."""
    with lab_server(clone, tmp_path_factory.mktemp("lab")) as running:
        yield running


def execute(address, kernel, code):
    """Execute code in a kernel over the channel that a browser uses, and return what it prints."""
    url = f"{address.replace('http', 'ws')}/api/kernels/{kernel}/channels?token={TOKEN}"
    channel = websocket.create_connection(url, timeout=90)
    request = uuid.uuid4().hex
    header = {"msg_id": request, "msg_type": "execute_request", "username": "", "session": request}
    content = {"code": code, "silent": False, "store_history": False, "stop_on_error": True}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    channel.send(json.dumps(message | {"channel": "shell"}))
    printed = ""
    try:
        while True:
            reply = json.loads(channel.recv())
            if reply["parent_header"].get("msg_id") != request:
                continue
            content = reply["content"]
            if reply["msg_type"] == "stream" and content["name"] == "stdout":
                printed += content["text"]
            if reply["msg_type"] == "execute_reply":
                assert content["status"] == "ok", content
            if reply["msg_type"] == "status" and content["execution_state"] == "idle":
                return printed
    finally:
        channel.close()


def test_it_prints_what_chapters_will_use(server):
    _, log = server
    assert f"the kernel python3 is {sys.executable}" in log
    assert "ARLIB_DATA is not set: chapters show the synthetic scenes and recorded runs" in log


def test_it_opens_a_page_that_says_where_to_start_and_pages_rendered(server):
    address, log = server
    assert f"{address}/lab/tree/start.md?token=" in log
    assert ask(address, "contents/start.md")["content"].startswith("# Start here\n")
    plugin = "@jupyterlab/docmanager-extension:plugin"
    viewers = ask(address, f"settings/{plugin}", at="lab/api")["schema"]["properties"]
    assert viewers["defaultViewers"]["default"] == {"markdown": "Markdown Preview"}


def test_every_cell_is_attached_as_a_chapter_opens(server):
    """Or *Run All Cells* finds no expression in a text that the browser has not come to."""
    address, _ = server
    plugin = "@jupyterlab/notebook-extension:tracker"
    settings = ask(address, f"settings/{plugin}", at="lab/api")["schema"]["properties"]
    assert settings["windowingMode"]["default"] == "none"


def test_every_chapter_is_listed_and_names_a_kernel_that_exists(server):
    address, _ = server
    listed = {entry["name"] for entry in ask(address, "contents")["content"]}
    kernels = ask(address, "kernelspecs")["kernelspecs"]
    chapters = sorted((ROOT / "book").glob("0*.ipynb"))
    for path in chapters:
        assert path.name in listed
        assert json.loads(path.read_text())["metadata"]["kernelspec"]["name"] in kernels
    assert chapters


def test_a_chapter_s_cell_runs_in_this_environment_beside_the_recorded_runs(server):
    address, _ = server
    of = {"path": "03_sentiment_score.ipynb", "name": "03", "type": "notebook"}
    session = ask(address, "sessions", **of, kernel={"name": KERNEL})
    code = """import sys
from arlib.experiments import find_run
run = find_run("oasis-squeezenet1_1")
print(sys.executable, run.scores.sizes["image"], run.facts["dataset"]["images"], sep="|")"""
    executable, scored, counted = execute(address, session["kernel"]["id"], code).strip().split("|")
    assert executable == sys.executable
    assert int(scored) == int(counted) > 100


def test_a_chapter_reads_as_its_page(server, clone, browser):
    """By *Run All Cells*; tests/publishing/test_lab_browser.py has others, by Shift+Enter."""
    address, _ = server
    chapter = on_recorded_run(ROOT / "book" / "05_fusion.ipynb", clone / "book")
    built = build(chapter, clone)
    page = browser.new_page(viewport={"width": 1400, "height": 3000})
    page.set_default_timeout(60_000)
    reads_as_a_page(page, run_all(page, (address, clone), chapter.name, by_menu=True), built)
    a_control_draws_anew(page)
    page.close()


def test_another_environment_s_kernel_is_refused(tmp_path, monkeypatch):
    spec = {"argv": ["/opt/other/bin/python", "-m", "x"], "display_name": "", "language": "python"}
    folder = tmp_path / "kernels" / KERNEL
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"starts /opt/other/bin/python, which is not "):
        check_lab(ROOT)


def test_a_missing_jupyterlab_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    with pytest.raises(ImportError, match="JupyterLab is not installed here: make lab"):
        check_lab(ROOT)


def test_a_folder_of_data_that_does_not_exist_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("ARLIB_CACHE", raising=False)
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "absent"))
    lines = check_lab(tmp_path)
    assert lines[1] == f"ARLIB_DATA names {tmp_path / 'absent'}, which is no folder: " + (
        "no photographs are found"
    )
    assert lines[2] == "networks of the synthetic scenes are trained first, in minutes, once"
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    (tmp_path / "_build" / "cache").mkdir(parents=True)
    assert len(check_lab(tmp_path)) == 1


def test_jupyterlab_loads_what_renders_a_chapter_s_text():
    command = [sys.executable, "-m", "jupyterlab.labextensions", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = [each for each in (done.stdout + done.stderr).splitlines() if MYST in each]
    words = re.sub(r"\x1b\[\d+m", "", line).split()
    assert words[1].startswith("v2.6.")
    assert words[2:4] == ["enabled", "OK"]


@pytest.mark.parametrize(
    ("extensions", "line"),
    [
        ({}, "jupyterlab-myst 2.6 is not installed here: chapters show raw markup"),
        ({"jupyterlab-myst": {"version": "2.7.0"}}, "jupyterlab-myst is 2.7.0: chapters show raw"),
    ],
)
def test_a_missing_extension_is_named_with_how_to_get_it(extensions, line, monkeypatch):
    name = "jupyterlab_server.config.get_federated_extensions"
    monkeypatch.setattr(name, lambda path: extensions)
    lines = check_lab(ROOT)
    assert lines[1].startswith(line)
    assert lines[2] == f'{sys.executable} -m pip install "jupyterlab-myst==2.6.*"'


def test_make_lab_calls_it():
    rule = re.search(r"^lab:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule[1] == "$(BIN)/arlib lab"
