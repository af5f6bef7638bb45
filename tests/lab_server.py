"""Run `arlib lab` for tests: on a free port, without the settings of the person who runs them.

And read chapters there, in a browser.
"""

import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import nbformat
import pytest
import requests

from arlib.publishing.chapters import VALUES, execute_chapter, text_values, verify
from arlib.publishing.editions import EditionError
from arlib.publishing.site import for_sphinx

TOKEN = "for-the-test"
HEADERS = {"Authorization": f"token {TOKEN}"}
MARKUP = re.compile(
    r"\{(eval|cite|term|ref|eq|numref|doc|math|admonition|literalinclude|(py|glue):\w*)\}"
    r"|:::|```|\*\*|glue|\bch0\d-|\(ch-[\w-]+\)="
)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
TEX = re.compile(r"\$|\\[a-zA-Z]")
_DRAWN = {"image/png", "application/vnd.jupyter.widget-view+json", "text/markdown"}
_SHOWN = """() => [...document.querySelectorAll(".jp-Notebook .jp-Cell")].map((cell) => {
    const rest = cell.cloneNode(true);  // what is neither code nor an equation
    rest.querySelectorAll(".katex, code, .jp-InputArea-editor").forEach((part) => part.remove());
    const problems = [...cell.querySelectorAll(".text-yellow-600, .text-red-500, .katex-error")];
    for (const link of cell.querySelectorAll("a[href^='#']")) {  // whose target is not there
        if (!document.getElementById(link.hash.slice(1))) problems.push(link);
    }
    return {
        text: cell.innerText,
        rest: rest.textContent,
        equations: cell.querySelectorAll(".katex-display").length,
        problems: problems.map((part) => part.title || part.textContent),
    };
})"""
_HIDDEN = re.compile(  # blocks that fold, math, targets of links, roles, labels, numbers of a list
    r"^(```|:::).*?^\1$|\$[^$]+\$|\]\([^)]*\)|\{[\w:]+\}`[^`]*`|^\([\w-]+\)=|^\d+\. |\\",
    re.MULTILINE | re.DOTALL,
)
_NOT_SEEN = ("ARLIB_DATA", "ARLIB_CACHE")  # a server gets its own where a test names one
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
    kept = {k: v for k, v in os.environ.items() if k not in _NOT_SEEN}
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
    if body:
        reply = requests.post(f"{address}/{at}/{what}", json=body, headers=HEADERS, timeout=60)
    else:
        reply = requests.get(f"{address}/{at}/{what}", headers=HEADERS, timeout=60)
    reply.raise_for_status()
    return reply.json()


def end_kernels(address):
    """Free the memory of the chapters that were run: they hold up to 2 GB each."""
    for session in ask(address, "sessions"):
        requests.delete(f"{address}/api/sessions/{session['id']}", headers=HEADERS, timeout=60)


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


def texts(page, cells):
    """Number of each cell of text -> what it shows: no markup, no warning, its equations set."""
    before, until = None, time.monotonic() + 60
    while (shown := page.evaluate(_SHOWN)) != before or not all(
        part["text"].strip() for cell, part in zip(cells, shown, strict=False) if is_text(cell)
    ):
        assert time.monotonic() < until, "its texts are not rendered"
        before = shown
        page.wait_for_timeout(300)
    found = {}
    for number, (cell, part) in enumerate(zip(cells, shown, strict=False)):
        assert not part["problems"], part["problems"]
        if is_text(cell):
            found[number] = " ".join(part["text"].split())
            assert not MARKUP.search(found[number]), found[number]
            assert not TEX.search(part["rest"]), part["rest"]
            assert part["equations"] == cell.source.count("```{math}"), found[number]
    return found


def is_text(cell):
    return cell.cell_type == "markdown"


def reads_as_a_page(page, done, built):
    """Whether it has every value, number and printed text of the built chapter: how many numbers.

    A number stands there as often as on the page.
    """
    assert [text_values(cell) for cell in done.cells] == [text_values(c) for c in built.cells]
    assert [printed(cell) for cell in done.cells] == [printed(cell) for cell in built.cells]
    numbers = {number: [] for number, cell in enumerate(done.cells) if is_text(cell)}
    for number, cell in enumerate(for_sphinx(built).cells):
        if is_text(cell):
            numbers[number] += NUMBER.findall(_HIDDEN.sub("", cell.source))
        elif caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
            numbers[number + 1] += NUMBER.findall(_HIDDEN.sub("", caption))
    shown = texts(page, done.cells)
    assert shown.keys() == numbers.keys()
    for number, text in shown.items():
        values = text_values(done.cells[number])
        assert len(values) == done.cells[number].source.count("{eval}")
        for expression, value in values:
            assert " ".join(value.split()) in text, f"{expression}: {value!r} is not in {text!r}"
        absent = Counter(numbers[number]) - Counter(NUMBER.findall(text))
        assert not absent, f"{absent} not in {text!r}"
    return sum(map(len, numbers.values()))


def printed(cell):
    """What a cell of code shows as text or HTML: no figure, no widget, no seconds that it took."""
    outputs = [output for output in cell.get("outputs", []) if output.output_type != "stream"]
    bundles = [output.data for output in outputs if not _DRAWN & output.data.keys()]
    shown = [data.get("text/html", data.get("text/plain", "")) for data in bundles]
    return [each for each in shown if ">s an image<" not in each]


def build(source, root):
    """Execute a chapter as for its page, in a copy of the book, whose cache it shares.

    What the environment names for data is not seen, as `lab_server` does not see it.
    """
    target = root / "_build" / "pages" / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in _NOT_SEEN:
            patch.delenv(name, raising=False)
        execute_chapter(source, target, {}, timeout=PATIENCE)
    return nbformat.read(target, as_version=4)


def on_recorded_run(source, folder):
    """Copy a chapter, and let its run be a recorded one: the copy."""
    chapter = nbformat.read(source, as_version=4)
    for cell in chapter.cells:
        cell.source = cell.source.replace('"scenes-annotated"', '"oasis-squeezenet1_1"')
    nbformat.write(chapter, folder / f"recorded_{source.name}")
    return folder / f"recorded_{source.name}"


def active_cell(page):
    cells = "[...document.querySelectorAll('.jp-Notebook .jp-Cell')]"
    return page.evaluate(f"{cells}.findIndex((cell) => cell.matches('.jp-mod-active'))")


def tab_to(page, element, within=None):
    """Press Tab from the start of an element's cell until it has focus; `within` has its shadow."""
    cell = (within or element).locator("xpath=ancestor::*[contains(@class, 'jp-CodeCell')]")
    cell.locator(".jp-InputPrompt").first.click()
    page.keyboard.press("Escape")
    for _ in range(20):
        page.keyboard.press("Tab")
        if element.evaluate("element => element === element.getRootNode().activeElement"):
            return
    raise AssertionError("Tab does not reach it")


def a_control_draws_anew(page):
    """By keyboard alone: a slider, and a list where there is one; the figure below is another."""
    from playwright.sync_api import expect

    slider = page.locator(".jp-OutputArea .widget-slider").first
    row = slider.locator("xpath=ancestor::*[contains(@class, 'widget-vbox')][1]")
    before = row.locator("img").get_attribute("src")
    shown = slider.locator(".widget-readout").inner_text()
    tab_to(page, slider.locator(".noUi-handle"))
    active = active_cell(page)
    page.keyboard.press("ArrowRight")
    expect(row.locator("img")).not_to_have_attribute("src", before, timeout=60_000)
    assert slider.locator(".widget-readout").inner_text() == str(int(shown) + 1)
    for choice in row.locator("select").all():
        before = row.locator("img").get_attribute("src")
        tab_to(page, choice)
        choose_next(page)
        expect(row.locator("img")).not_to_have_attribute("src", before, timeout=60_000)
    assert active_cell(page) == active


def choose_next(page, steps=1):
    """Open the list that has focus, and choose what lies as many steps below."""
    page.keyboard.press("Space")  # JupyterLab has the arrow keys of one that is closed
    for _ in range(steps):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def run_all(page, lab, name, *, by_menu=False):
    """Press Shift+Enter from the first cell to the last, or choose Run All Cells: what is saved."""
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
    if by_menu:
        for label, kind in (("Run", "lm-MenuBar"), ("Run All Cells", "lm-Menu")):
            exact = re.compile(f"^{label}$")
            page.locator(f".{kind}-itemLabel", has_text=exact).click()
    else:
        press_through(page, source)
    started = time.monotonic()
    while True:
        page.wait_for_timeout(500 + min(4500, 50 * (time.monotonic() - started)))  # saving is work
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
        missing = incomplete(done, source, name)
        if not missing and all(
            len(cell.metadata.get(VALUES, [])) == cell.source.count("{eval}") for cell in done.cells
        ):
            return done
        assert time.monotonic() < started + PATIENCE, missing or "texts have no values"


def press_through(page, source):
    """Press Shift+Enter from the first cell to the last."""
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
