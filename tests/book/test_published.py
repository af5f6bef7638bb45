"""What the site offers beside the chapters: how it was made, other editions, notebooks, cards."""

import importlib.util
import json
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from arlib.publishing import build_site, chapters, editions_page, pages_of

ROOT = Path(__file__).parents[2]
CHAPTERS = chapters(ROOT)
PAGES = pages_of(ROOT)


@pytest.fixture(scope="module")
def facts(book):
    return json.loads((book / "edition.json").read_text())


def soup_of(book, name):
    text = (book / "html" / f"{name}.html").read_text(encoding="utf-8")
    return BeautifulSoup(text, "html.parser")


def tables_of(soup):
    """Caption -> rows of texts."""
    return {
        table.caption.get_text(): [[cell.get_text() for cell in row("td")] for row in table("tr")]
        for table in soup.select("table.facts")
    }


def test_the_status_page_says_what_the_run_noted(book, facts):
    tables = tables_of(soup_of(book, "book/status"))
    made = dict(tables["The edition, the machine and the versions"][1:])
    assert made["edition"] == "smoke"
    assert made["finished"] == facts["finished"]
    packages = ("arlib", "python", "torch", "torchvision", "opencv-contrib-python", "jupyter-book")
    for package in packages:
        assert made[package] == facts["machine"][package]
    took = dict(tables["How long each chapter took; two are executed at a time"][1:])
    for chapter in CHAPTERS:
        assert took[str(chapter)] == f"{facts['seconds'][str(chapter)]:.0f}"
    given = dict(tables["Parameters of all chapters, seeds among them"][1:])
    assert given["seed"] == str(facts["parameters"]["seed"])
    assert given.keys() == facts["parameters"].keys()


def test_the_editions_page_lists_editions_and_recorded_runs(book, facts):
    tables = tables_of(soup_of(book, "book/editions"))
    (editions,) = [rows for caption, rows in tables.items() if caption.startswith("The editions")]
    shown = {row[0]: row for row in editions[1:]}
    assert shown.keys() == {path.stem for path in (ROOT / "editions").glob("*.yaml")}
    assert shown["smoke"][4] == facts["parameters"]["run"]
    assert shown["smoke"][6] == f"{100 * facts['headline']['whole']:.1f} %"
    assert shown["twitter2"][2] == "–"
    (runs,) = [rows for caption, rows in tables.items() if caption.startswith("The runs")]
    recorded = {path.parent.name for path in (ROOT / "book" / "results").glob("*/run.json")}
    assert recorded <= {row[0] for row in runs[1:]}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_a_chapter_is_there_as_a_notebook_with_outputs_and_without(book, chapter):
    links = soup_of(book, chapter.with_suffix("")).select("p.downloads a[download]")
    page = book / "html" / chapter
    whole, plain = (nbformat.read(page.parent / link["href"], as_version=4) for link in links)
    source = nbformat.read(ROOT / chapter, as_version=4)
    assert [cell.source for cell in plain.cells] == [cell.source for cell in source.cells]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in plain.cells)
    assert any(cell.get("outputs") for cell in whole.cells)
    for notebook in (whole, plain):
        nbformat.validate(notebook)


def test_without_a_repository_no_page_links_to_one(book):
    for name in PAGES:
        header = soup_of(book, name).select_one(".article-header-buttons")
        assert header.select("a[href^=http]") == [], name
        assert header.select(".dropdown-launch-buttons, .dropdown-source-buttons") == [], name


def test_every_page_says_what_it_is_where_it_is_linked(book):
    titles = set()
    for name in PAGES:
        soup = soup_of(book, name)
        said = {meta["property"]: meta["content"] for meta in soup.select("meta[property]")}
        assert said["og:title"], name
        titles.add(said["og:title"])
        assert len(said["og:description"]) > 10, name
        assert not set("\\[]") & set(said["og:description"]), name
        picture = (book / "html" / f"{name}.html").parent / said["og:image"]
        with Image.open(picture) as card:
            assert card.size == (int(said["og:image:width"]), int(said["og:image:height"])), name
    assert len(titles) > len(PAGES) - 2  # two are called "Experiments"


def test_the_front_leads_to_the_first_page(book):
    soup = soup_of(book, "index")
    assert soup.body.a["href"] == f"{PAGES[0]}.html"
    assert soup.select_one('meta[property="og:image"]')["content"] == "_static/card.png"


def copy_edition(book, root, name, *, k=None):
    """A built edition under another name; with another K, and another output of chapter 5."""
    made = root / "_build" / name
    shutil.copytree(book / "html" / "_sources", made / "html" / "_sources")
    told = json.loads((book / "edition.json").read_text())
    if k is not None:
        told["parameters"]["k"] = k
        path = made / "html" / "_sources" / "book" / "05_fusion.ipynb"
        chapter = nbformat.read(path, as_version=4)
        code = [cell for cell in chapter.cells if cell.cell_type == "code"]
        code[-1].outputs = [nbformat.v4.new_output("stream", text="<b>otherwise</b>\n")]
        nbformat.write(chapter, path)
    (made / "edition.json").write_text(json.dumps(told))
    return told


@pytest.fixture(scope="module")
def several(book, tmp_path_factory):
    """The editions page where three were built, alone in a site with the book's own settings."""
    root = tmp_path_factory.mktemp("several")
    (root / "editions").mkdir()
    told = copy_edition(book, root, "one")
    copy_edition(book, root, "two", k=3)
    copy_edition(book, root, "alike")
    stage = root / "_build" / "one" / "source"
    for folder in ("_static", "_extra"):
        shutil.copytree(ROOT / "book" / folder, stage / "book" / folder)
    shutil.copy(ROOT / "book" / "references.bib", stage / "book")
    shutil.copy(ROOT / "_config.yml", stage)
    (stage / "book" / "index.md").write_text("# A book\n\nIts text.\n")
    part = {"caption": "All", "chapters": [{"file": "book/editions"}]}
    toc = {"format": "jb-book", "root": "book/index", "parts": [part]}
    (stage / "_toc.yml").write_text(yaml.safe_dump(toc))
    executed = book / "source" / "book"
    (stage / "book" / "editions.md").write_text(editions_page(root, "one", told, executed))
    return build_site(stage, root / "_build" / "one").parent / "book" / "editions.html"


@pytest.fixture
def page(browser, several):
    context = browser.new_context(viewport={"width": 390, "height": 900})
    page = context.new_page()
    page.set_default_timeout(5000)
    page.said = []
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.goto(several.as_uri())
    yield page
    assert page.said == []
    context.close()


def test_two_editions_are_compared_on_the_page_by_keyboard(page):
    one, other = page.get_by_label("The edition"), page.get_by_label("beside")
    assert (one.input_value(), other.input_value()) == ("one", "alike")
    assert (
        " 0 parameters differ; 0 cells print otherwise" in page.get_by_role("status").inner_text()
    )
    assert page.locator("#compare-found > *").count() == 0
    other.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert other.input_value() == "two"
    assert (
        " 1 parameters differ; 1 cells print otherwise" in page.get_by_role("status").inner_text()
    )
    assert page.locator("#compare-found table").first.locator("td").all_inner_texts() == [
        "k",
        "8",
        "3",
    ]
    summary = page.locator("#compare-found summary")
    assert summary.inner_text() == "05_fusion: 1 print otherwise"
    summary.focus()
    page.keyboard.press("Enter")
    cells = page.locator("#compare-found details td").all_inner_texts()
    assert cells[2].strip() == "<b>otherwise</b>"  # a text, not an element
    assert page.locator("#compare-found b").count() == 0


def test_the_comparison_is_for_everyone(page):
    if importlib.util.find_spec("axe_playwright_python") is None:
        pytest.skip("axe is not installed")
    from axe_playwright_python.sync_playwright import Axe

    page.get_by_label("beside").select_option("two")
    page.locator("#compare-found summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.add_style_tag(content="* { transition: none !important }")
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        rules = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
        found = Axe().run(page, options={"runOnly": rules}).response["violations"]
        assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found] == []
