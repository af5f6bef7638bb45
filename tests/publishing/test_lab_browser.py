"""Every chapter in JupyterLab, in a real browser, from top to bottom, in a bare clone."""

import re
from io import BytesIO
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from skimage import data
from tests.book.conftest import copy_sources
from tests.lab_server import (
    MARKUP,
    TOKEN,
    a_control_draws_anew,
    active_cell,
    build,
    choose_next,
    end_kernels,
    lab_server,
    on_recorded_run,
    reads_as_a_page,
    run_all,
    tab_to,
    texts,
)

from arlib.publishing.editions import chapter_paths

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab_browser")]

ROOT = Path(__file__).parents[2]
CONTRASTS = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const luminance = (...layers) => {  // of colours, from below to above
        for (const colour of layers) {
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
        }
        const linear = [...canvas.getImageData(0, 0, 1, 1).data].map((value) =>
            value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const texts = ".myst :not(.katex *), .jp-OutputArea-output :is(th, td, pre), .widget-label,"
        + " .widget-readout, .jp-OutputArea-output :is(button, option)";
    return [...document.querySelectorAll(`.jp-Notebook :is(${texts})`)]
        .filter((each) => each.checkVisibility()
            && [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
        .map((each) => {
            const behind = [];
            for (let part = each; part; part = part.parentElement) {
                behind.unshift(getComputedStyle(part).backgroundColor);
            }
            const below = luminance("white", ...behind);
            const above = luminance("white", ...behind, getComputedStyle(each).color);
            const [low, high] = [below, above].sort((a, b) => a - b);
            return { text: each.textContent.slice(0, 60), ratio: (high + 0.05) / (low + 0.05) };
        });
}"""
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
    end_kernels(lab[0])


@pytest.mark.parametrize("name", CHAPTERS)
def test_before_it_runs_a_chapter_reads_as_a_page_with_its_expressions(page, lab, name):
    address, _ = lab
    page.goto(f"{address}/lab/tree/{name}?token={TOKEN}&reset")
    page.locator(".jp-Notebook .jp-MarkdownCell h1").first.wait_for()
    assert texts(page, nbformat.read(ROOT / "book" / name, as_version=4).cells)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_from_top_to_bottom(page, lab, name):
    _, root = lab
    done = run_all(page, lab, name)
    for cell in done.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output.get("text")
    reads_as_a_page(page, done, build(ROOT / "book" / name, root))
    code = "".join(cell.source for cell in done.cells)
    if "figures.knobs(" in code:
        a_control_draws_anew(page)
    if "upload_widget(" in code:
        the_explorer_answers(page)
        a_photograph_is_taken(page)
    is_readable_in_both_themes(page)


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
    assert not MARKUP.search(view.inner_text())
    assert not view.locator(".text-yellow-600, .text-red-500").count()


def test_it_opens_at_a_page_from_which_a_chapter_opens(page, lab):
    address, _ = lab
    page.goto(f"{address}/?token={TOKEN}")
    page.locator(".jp-MarkdownViewer h1", has_text="Start here").wait_for()
    page.locator(".jp-MarkdownViewer a", has_text="Late fusion").click()
    page.locator(".jp-Notebook h1", has_text="Late fusion").wait_for()


def the_explorer_answers(page):
    """By keyboard alone: a slider, then the table of regions; JupyterLab takes none of the keys."""
    explorer = page.locator(".arlib-explorer").first
    tab_to(page, explorer.get_by_label("K, regions"), within=explorer)
    active = active_cell(page)
    page.keyboard.press("Home")
    chosen = "document.querySelector('.arlib-explorer').explorer.result.chosen.length"
    assert page.evaluate(chosen) == 1
    page.keyboard.press("ArrowRight")
    assert page.evaluate(chosen) == 2
    tab_to(page, explorer.get_by_role("button", name="Region of rank 1,"), within=explorer)
    for key in ("ArrowDown", "Enter"):
        page.keyboard.press(key)
    pinned = explorer.locator("button[aria-pressed=true]")
    assert pinned.all_inner_texts() == ["2"]
    page.keyboard.press("Escape")
    assert not pinned.count()
    assert active_cell(page) == active


def a_photograph_is_taken(page):
    """By keyboard alone: the button, a file, an explorer of it; other proposals, fewer of them."""
    file = BytesIO()
    Image.fromarray(data.coffee()).save(file, "png")
    widget = page.locator(".jp-OutputArea .widget-vbox")
    with page.expect_file_chooser() as choosing:  # Tab leaves time to tell the browser so
        tab_to(page, widget.locator("button.widget-upload"))
        page.keyboard.press("Enter")
    choosing.value.set_files(
        {"name": "my cup.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    widget.locator(".widget-label", has_text="my cup.png: 100 regions").wait_for()
    explorer = page.locator(".arlib-explorer", has_text="my cup.png")
    explorer.get_by_label("K, regions").wait_for()
    tab_to(page, widget.locator("select").nth(1))
    active = active_cell(page)
    choose_next(page, 3)  # edge boxes, Selective Search, grid, saliency
    fewer = re.compile(r"my cup\.png: [1-9]\d? regions")
    widget.locator(".widget-label", has_text=fewer).wait_for()
    tab_to(page, widget.locator(".noUi-handle"))
    page.keyboard.press("Home")
    widget.locator(".widget-label", has_text="my cup.png: 1 regions").wait_for()
    assert active_cell(page) == active


def is_readable_in_both_themes(page):
    """Texts, tables and widgets have WCAG's contrast, and explorers follow the theme.

    What lies inside an explorer is measured in tests/figures/test_explorer_browser.py.
    """
    for theme, is_light in (("JupyterLab Dark", "false"), ("JupyterLab Light", "true")):
        change = "name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
        page.evaluate(change, theme)
        page.locator(f"body[data-jp-theme-light={is_light}]").wait_for(state="attached")
        page.wait_for_timeout(500)
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 20
        assert [each for each in contrasts if each["ratio"] < 4.5] == []
        for card in page.locator(".arlib-explorer .card").all():
            assert ("dark" in card.get_attribute("class").split()) == (is_light == "false")
