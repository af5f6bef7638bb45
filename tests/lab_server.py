"""Run `arlib lab` for tests: on a free port, without the settings of the person who runs them.

And read chapters there, in a browser.
"""

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import nbformat
import requests

from arlib.publishing.chapters import execute_chapter, text_values, verify
from arlib.publishing.editions import EditionError
from arlib.publishing.site import for_sphinx

TOKEN = "for-the-test"
MARKUP = re.compile(
    r"\{(eval|cite|term|ref|eq|numref|doc|math|admonition|literalinclude|(py|glue):\w*)\}"
    r"|:::|```|glue|\bch0\d-|\(ch-[\w-]+\)="
)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_HIDDEN = re.compile(  # blocks that fold, math, targets of links, roles, labels, numbers of a list
    r"^(```|:::).*?^\1$|\$[^$]+\$|\]\([^)]*\)|\{[\w:]+\}`[^`]*`|^\([\w-]+\)=|^\d+\. |\\",
    re.MULTILINE | re.DOTALL,
)
PATIENCE = 1500  # seconds; the second chapter trains what all others score by


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def lab_server(root, place, *options, **environment):
    """Start it in `root`, with its own folders under `place`: its address, and what it printed."""
    port = free_port()
    folders = {f"JUPYTER_{kind}_DIR": str(place / kind) for kind in ("RUNTIME", "CONFIG", "DATA")}
    folders["JUPYTERLAB_SETTINGS_DIR"] = folders["JUPYTERLAB_WORKSPACES_DIR"] = str(place / "lab")
    kept = {k: v for k, v in os.environ.items() if k not in ("ARLIB_DATA", "ARLIB_CACHE")}
    command = [sys.executable, "-m", "arlib.cli", "lab", "--no-browser", f"--port={port}"]
    command += [f"--IdentityProvider.token={TOKEN}", "--ServerApp.port_retries=0", "--allow-root"]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options],
            cwd=root,
            stdout=log,
            stderr=log,
            env=kept | folders | environment,
        )
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + 90
    try:
        while True:
            assert process.poll() is None, (place / "log").read_text()
            assert time.monotonic() < until, "it did not start"
            try:
                ask(address, "status")
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield address, (place / "log").read_text()
    finally:
        process.terminate()
        process.wait(30)


def ask(address, what, *, at="api", **body):
    """Ask an interface of the server, and return its answer."""
    headers = {"Authorization": f"token {TOKEN}"}
    if body:
        reply = requests.post(f"{address}/{at}/{what}", json=body, headers=headers, timeout=60)
    else:
        reply = requests.get(f"{address}/{at}/{what}", headers=headers, timeout=60)
    reply.raise_for_status()
    return reply.json()


def incomplete(done, source, name):
    """What is missing before all of a chapter has run, or ""."""
    try:
        verify(done, source, name)
    except EditionError as error:
        return str(error)
    return ""


def has_kernel(address, name):
    """Whether a notebook's kernel waits for cells."""
    return any(
        session["path"] == name and session["kernel"]["execution_state"] == "idle"
        for session in ask(address, "sessions")
    )


def texts(page):
    """Number of each cell of text -> what it shows; a cell is rendered when it comes into view."""
    found, top, panel = {}, 0, page.locator(".jp-Notebook .jp-WindowedPanel-outer")
    while True:
        panel.evaluate("(panel, top) => panel.scrollTop = top", top)
        page.wait_for_timeout(300)
        for cell in page.locator(".jp-Notebook .jp-MarkdownCell").all():
            number = int(cell.get_attribute("data-windowed-list-index"))
            if text := " ".join(cell.inner_text().split()):  # or it is out of view
                found[number] = text
            warnings = cell.locator(".text-yellow-600, .text-red-500")
            assert not warnings.count(), warnings.first.get_attribute("title")
        height, seen = panel.evaluate("panel => [panel.scrollHeight, panel.clientHeight]")
        if top + seen >= height:
            return found
        top += seen // 2


def shows_no_markup(text):
    """Whether a rendered text has no role, no fence and no name of a value."""
    assert not MARKUP.search(text), text


def reads_as_a_page(page, done, built):
    """Whether the text is rendered, with every value and every number of the built chapter."""
    shown = texts(page)
    assert shown.keys() == {n for n, c in enumerate(done.cells) if c.cell_type == "markdown"}
    for number, text in shown.items():
        shows_no_markup(text)
        cell = done.cells[number]
        values = text_values(cell)
        assert len(values) == cell.source.count("{eval}")
        for expression, value in values:
            assert " ".join(value.split()) in text, f"{expression}: {value!r} is not in {text!r}"
    assert [text_values(cell) for cell in done.cells] == [text_values(c) for c in built.cells]
    for number, cell in enumerate(for_sphinx(built).cells):
        if cell.cell_type == "markdown":
            numbers = NUMBER.findall(_HIDDEN.sub("", cell.source))
            absent = [each for each in numbers if each not in shown[number]]
            assert not absent, f"{absent} of {cell.source!r} not in {shown[number]!r}"


def build(source, root):
    """Execute a chapter as for its page, in a copy of the book, whose cache it shares."""
    target = root / "_build" / "pages" / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    execute_chapter(source, target, {}, timeout=PATIENCE)
    return nbformat.read(target, as_version=4)


def on_recorded_run(source, folder):
    """Copy a chapter, and let its run be a recorded one: the copy."""
    chapter = nbformat.read(source, as_version=4)
    for cell in chapter.cells:
        cell.source = cell.source.replace('"scenes-annotated"', '"oasis-squeezenet1_1"')
    nbformat.write(chapter, folder / f"recorded_{source.name}")
    return folder / f"recorded_{source.name}"


def a_control_draws_anew(page):
    """The first slider's arrow key moves it, and nothing else; the figure below is another."""
    from playwright.sync_api import expect

    slider = page.locator(".jp-OutputArea .widget-slider").first
    slider.scroll_into_view_if_needed()
    figure = slider.locator("xpath=ancestor::*[contains(@class, 'widget-vbox')][1]//img")
    before, cell = figure.get_attribute("src"), page.locator(".jp-Notebook .jp-mod-active")
    shown = slider.locator(".widget-readout").inner_text()
    slider.locator(".noUi-handle").focus()
    active = cell.get_attribute("data-windowed-list-index")
    page.keyboard.press("ArrowRight")
    expect(figure).not_to_have_attribute("src", before, timeout=60_000)
    assert slider.locator(".widget-readout").inner_text() == str(int(shown) + 1)
    assert cell.get_attribute("data-windowed-list-index") == active


def run_all(page, lab, name):
    """Press Shift+Enter from the first cell to the last: the notebook as it is then saved."""
    address, root = lab
    path = root / "book" / name
    source = nbformat.read(path, as_version=4)
    page.goto(f"{address}/lab/tree/{name}?token={TOKEN}&reset")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    until = time.monotonic() + 60
    while not has_kernel(address, name):
        assert time.monotonic() < until, "its kernel did not start"
        page.wait_for_timeout(500)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    first = page.locator(".jp-Notebook .jp-Cell").first
    first.locator(".jp-InputPrompt").click()  # its text may hold links
    page.keyboard.press("Escape")
    page.locator(".jp-Notebook .jp-Cell.jp-mod-active").wait_for()
    assert "jp-mod-active" in first.get_attribute("class")
    first_code = [cell.cell_type for cell in source.cells].index("code")
    for _ in source.cells[: first_code + 1]:
        page.keyboard.press("Shift+Enter")
    # A kernel that comes later than the keys runs none of the cells.
    page.locator(".jp-InputPrompt", has_text="[1]:").wait_for()
    for _ in source.cells[first_code + 1 :]:
        page.keyboard.press("Shift+Enter")
    until = time.monotonic() + PATIENCE
    while True:
        page.wait_for_timeout(500)
        page.keyboard.press("Escape")
        page.keyboard.press("Control+s")
        try:
            done = nbformat.read(path, as_version=4)
        except ValueError:  # it is just being saved
            continue
        if done.cells[-1].source == "":  # Shift+Enter in the last cell adds an empty one
            del done.cells[-1]
        failed = [o for c in done.cells for o in c.get("outputs", []) if o.output_type == "error"]
        assert not failed, failed[0]
        if not (missing := incomplete(done, source, name)):
            return done
        assert time.monotonic() < until, missing
