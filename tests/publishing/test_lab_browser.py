"""Every chapter in JupyterLab, in a real browser, from top to bottom, in a bare clone."""

import re
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from skimage import data
from tests.book.conftest import copy_sources
from tests.lab_server import (
    TOKEN,
    a_control_draws_anew,
    build,
    lab_server,
    on_recorded_run,
    reads_as_a_page,
    run_all,
    shows_no_markup,
    texts,
)

from arlib.publishing.editions import chapter_paths

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab_browser")]

ROOT = Path(__file__).parents[2]
CHAPTERS = [path.name for path in chapter_paths(ROOT)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the book where nothing was built: its address, and the copy."""
    root = tmp_path_factory.mktemp("clone")
    copy_sources(root)
    place = tmp_path_factory.mktemp("lab")
    with lab_server(root, place, "--expose-app-in-browser") as (address, _):
        yield address, root


@pytest.fixture
def page(lab, browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_before_it_runs_a_chapter_reads_as_a_page_with_its_expressions(page, lab, name):
    address, _ = lab
    page.goto(f"{address}/lab/tree/{name}?token={TOKEN}&reset")
    page.locator(".jp-Notebook .jp-MarkdownCell h1").first.wait_for()
    for text in texts(page).values():
        shows_no_markup(text)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_from_top_to_bottom(page, lab, name):
    _, root = lab
    done = run_all(page, lab, name)
    for cell in done.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output.get("text")
    reads_as_a_page(page, done, build(ROOT / "book" / name, root))
    if name.startswith(("04", "05", "06a")):
        a_control_draws_anew(page)
    if name.startswith("07"):
        the_explorer_answers(page)
        a_photograph_is_taken(page)
        the_explorer_follows_the_theme(page)


@pytest.mark.parametrize("stem", ["03_sentiment_score", "04_affective_regions", "05_fusion"])
def test_a_chapter_on_a_recorded_run_reads_as_a_page(page, lab, stem):
    """The quick part of the tests here: nothing is trained."""
    _, root = lab
    chapter = on_recorded_run(ROOT / "book" / f"{stem}.ipynb", root / "book")
    built = build(chapter, root)
    reads_as_a_page(page, run_all(page, lab, chapter.name), built)


@pytest.mark.parametrize("name", ["glossary", "notation", "references", "guide/intervals", "start"])
def test_a_page_that_a_chapter_links_to_is_rendered(page, lab, name):
    address, _ = lab
    page.goto(f"{address}/lab/tree/{name}.md?token={TOKEN}&reset")
    view = page.locator(".jp-MarkdownViewer")
    view.locator("h1").wait_for()
    view.locator("a[href]").first.wait_for()
    shows_no_markup(view.inner_text())
    assert not view.locator(".text-yellow-600, .text-red-500").count()


def test_it_opens_at_a_page_from_which_a_chapter_opens(page, lab):
    address, _ = lab
    page.goto(f"{address}/?token={TOKEN}")
    page.locator(".jp-MarkdownViewer h1", has_text="Start here").wait_for()
    page.locator(".jp-MarkdownViewer a", has_text="Late fusion").click()
    page.locator(".jp-Notebook h1", has_text="Late fusion").wait_for()


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


def the_explorer_follows_the_theme(page):
    card = page.locator(".arlib-explorer").first.locator(".card")
    assert "dark" not in card.get_attribute("class").split()
    switch = (
        "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
    )
    page.evaluate(switch)
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    page.locator(".arlib-explorer .card.dark").first.wait_for()
