"""Every chapter in JupyterLab, in a real browser, from top to bottom, in a bare clone."""

import re
import time
from io import BytesIO
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from skimage import data
from tests.book.conftest import copy_sources
from tests.lab_server import TOKEN, ask, lab_server

from arlib.publishing.chapters import text_values, verify
from arlib.publishing.editions import EditionError, chapter_paths

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab_browser")]

ROOT = Path(__file__).parents[2]
CHAPTERS = [path.name for path in chapter_paths(ROOT)]
MARKUP = re.compile(
    r"\{(eval|cite|term|ref|eq|numref|doc|math|admonition|literalinclude|(py|glue):\w*)\}"
    r"|:::|```|glue|\bch0\d-|\(ch-[\w-]+\)="
)
PATIENCE = 1500  # seconds; the second chapter trains what all others score by


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the book where nothing was built: its address, and the copy."""
    root = tmp_path_factory.mktemp("clone")
    copy_sources(root)
    with lab_server(root, tmp_path_factory.mktemp("lab")) as (address, _):
        yield address, root


@pytest.fixture
def page(lab, browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


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


def reads_as_a_page(page, done):
    """Whether the text is rendered, and each of its expressions stands there as its value."""
    shown = texts(page)
    assert shown.keys() == {n for n, c in enumerate(done.cells) if c.cell_type == "markdown"}
    for number, text in shown.items():
        shows_no_markup(text)
        cell = done.cells[number]
        values = text_values(cell)
        assert len(values) == cell.source.count("{eval}")
        for expression, value in values:
            assert " ".join(value.split()) in text, f"{expression}: {value!r} is not in {text!r}"


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
        page.wait_for_timeout(2000)
        page.keyboard.press("Escape")
        page.keyboard.press("Control+s")
        done = nbformat.read(path, as_version=4)
        if done.cells[-1].source == "":  # Shift+Enter in the last cell adds an empty one
            del done.cells[-1]
        failed = [o for c in done.cells for o in c.get("outputs", []) if o.output_type == "error"]
        assert not failed, failed[0]
        if not (missing := incomplete(done, source, name)):
            return done
        assert time.monotonic() < until, missing


@pytest.mark.parametrize("name", CHAPTERS)
def test_before_it_runs_a_chapter_reads_as_a_page_with_its_expressions(page, lab, name):
    address, _ = lab
    page.goto(f"{address}/lab/tree/{name}?token={TOKEN}&reset")
    page.locator(".jp-Notebook .jp-MarkdownCell h1").first.wait_for()
    for text in texts(page).values():
        shows_no_markup(text)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_from_top_to_bottom(page, lab, name):
    done = run_all(page, lab, name)
    for cell in done.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output.get("text")
    reads_as_a_page(page, done)
    if name.startswith("07"):
        the_explorer_answers(page)
        a_photograph_is_taken(page)


@pytest.mark.parametrize("stem", ["03_sentiment_score", "04_affective_regions", "05_fusion"])
def test_a_chapter_on_a_recorded_run_reads_as_a_page(page, lab, stem):
    """The quick part of the tests here: nothing is trained."""
    _, root = lab
    chapter = nbformat.read(ROOT / "book" / f"{stem}.ipynb", as_version=4)
    for cell in chapter.cells:
        cell.source = cell.source.replace('"scenes-annotated"', '"oasis-squeezenet1_1"')
    nbformat.write(chapter, root / "book" / f"recorded_{stem}.ipynb")
    reads_as_a_page(page, run_all(page, lab, f"recorded_{stem}.ipynb"))


def the_explorer_answers(page):
    explorer = page.locator(".arlib-explorer").first
    explorer.scroll_into_view_if_needed()
    explorer.get_by_label("K, regions").focus()
    page.keyboard.press("Home")
    chosen = "document.querySelector('.arlib-explorer').explorer.result.chosen.length"
    assert page.evaluate(chosen) == 1
    page.keyboard.press("ArrowRight")
    assert page.evaluate(chosen) == 2


def a_photograph_is_taken(page):
    """The widget's button, a file, and an explorer of it; then another proposal method."""
    file = BytesIO()
    Image.fromarray(data.coffee()).save(file, "png")
    button = page.locator(".jp-OutputArea button.widget-upload")
    button.scroll_into_view_if_needed()
    with page.expect_file_chooser() as choosing:
        button.click()
    choosing.value.set_files(
        {"name": "my cup.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    page.locator(".jp-OutputArea .widget-label", has_text="my cup.png: 100 regions").wait_for()
    explorer = page.locator(".arlib-explorer", has_text="my cup.png")
    explorer.wait_for()
    assert explorer.get_by_label("K, regions").is_visible()
    page.locator(".widget-dropdown select").nth(1).select_option("saliency")
    fewer = re.compile(r"my cup\.png: [1-9]\d? regions")
    page.locator(".jp-OutputArea .widget-label", has_text=fewer).wait_for()
