"""`make lab`: a server that starts, in whose kernel a chapter's first cells run beside its runs."""

import json
import re
import sys
import uuid
from pathlib import Path

import pytest
import websocket
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from tests.lab_server import TOKEN, ask, lab_server

from arlib.cli import book as lab
from arlib.publishing import EditionError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running `arlib lab`: its address and what it has said."""
    with lab_server(ROOT, tmp_path_factory.mktemp("lab")) as running:
        yield running


def execute(address, kernel, code):
    """What code prints in a kernel, over the channel that a browser uses."""
    way = f"{address.replace('http', 'ws')}/api/kernels/{kernel}/channels?token={TOKEN}"
    channel = websocket.create_connection(way, timeout=90)
    asked = uuid.uuid4().hex
    header = {"msg_id": asked, "msg_type": "execute_request", "username": "", "session": asked}
    content = {"code": code, "silent": False, "store_history": False, "stop_on_error": True}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    channel.send(json.dumps(message | {"channel": "shell"}))
    printed = ""
    try:
        while True:
            got = json.loads(channel.recv())
            if got["parent_header"].get("msg_id") != asked:
                continue
            if got["msg_type"] == "stream" and got["content"]["name"] == "stdout":
                printed += got["content"]["text"]
            if got["msg_type"] == "execute_reply":
                assert got["content"]["status"] == "ok", got["content"]
            if got["msg_type"] == "status" and got["content"]["execution_state"] == "idle":
                return printed
    finally:
        channel.close()


def test_it_says_what_chapters_will_find(server):
    _, said = server
    assert f"the kernel python3 is {sys.executable}" in said
    assert "ARLIB_DATA is not set: chapters show the synthetic scenes and recorded runs" in said


def test_every_chapter_is_there_and_names_a_kernel_that_is(server):
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
    session = ask(address, "sessions", **of, kernel={"name": lab.KERNEL})
    code = """import sys
from arlib.experiments import find_run
run = find_run("oasis-squeezenet1_1")
print(sys.executable, run.scores.sizes["image"], run.facts["dataset"]["images"], sep="|")"""
    executable, scored, counted = execute(address, session["kernel"]["id"], code).strip().split("|")
    assert executable == sys.executable
    assert int(scored) == int(counted) > 100


def test_another_environment_s_kernel_is_refused(tmp_path, monkeypatch):
    other = KernelSpec(argv=["/opt/other/bin/python", "-m", "x"], resource_dir=str(tmp_path))
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda self, name: other)
    with pytest.raises(EditionError, match=r"starts /opt/other/bin/python, which is not "):
        lab.before_lab(ROOT)


def test_a_missing_jupyterlab_is_said(monkeypatch):
    monkeypatch.setattr(lab, "find_spec", lambda name: None)
    with pytest.raises(EditionError, match="JupyterLab is not installed here: make lab"):
        lab.before_lab(ROOT)


def test_a_folder_of_data_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("ARLIB_CACHE", raising=False)
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "absent"))
    told = lab.before_lab(tmp_path)
    assert told[1] == f"ARLIB_DATA names {tmp_path / 'absent'}, which is no folder: " + (
        "no photographs are found"
    )
    assert told[2] == "networks of the synthetic scenes are trained first, in minutes, once"
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    (tmp_path / "_build" / "cache").mkdir(parents=True)
    assert len(lab.before_lab(tmp_path)) == 1


def test_make_lab_calls_it():
    rule = re.search(r"^lab:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule[1] == "$(BIN)/arlib lab"
