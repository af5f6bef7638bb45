"""The site beside its chapters: how it was made, other editions, notebooks, cards."""

import importlib.util
import json
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from arlib.publishing.editions import chapter_paths, page_names
from arlib.publishing.pages import editions_page
from arlib.publishing.site import build_site

ROOT = Path(__file__).parents[2]
CHAPTERS = chapter_paths(ROOT)
PAGES = page_names(ROOT)


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


def test_the_status_page_shows_the_facts_of_the_run(book, facts):
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
    assert shown["smoke"][6] == f"{100 * facts['headline']['global']:.1f} %"
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
        soup = soup_of(book, name)
        assert "On Colab, put a cell before the first" not in soup.get_text(), name
        header = soup.select_one(".article-header-buttons")
        assert header.select("a[href^=http]") == [], name
        assert header.select(".dropdown-launch-buttons, .dropdown-source-buttons") == [], name


def test_every_page_has_a_card_for_where_it_is_linked(book):
    titles = set()
    for name in PAGES:
        soup = soup_of(book, name)
        card = {meta["property"]: meta["content"] for meta in soup.select("meta[property]")}
        assert card["og:title"], name
        titles.add(card["og:title"])
        assert len(card["og:description"]) > 10, name
        assert not set("\\[]") & set(card["og:description"]), name
        size = (int(card["og:image:width"]), int(card["og:image:height"]))
        with Image.open((book / "html" / f"{name}.html").parent / card["og:image"]) as image:
            assert image.size == size, name
    assert len(titles) >= len(PAGES) - 2  # two are called "Experiments", and two "Datasets"


def test_the_front_leads_to_the_first_page(book):
    soup = soup_of(book, "index")
    assert soup.body.a["href"] == f"{PAGES[0]}.html"
    assert soup.select_one('meta[property="og:image"]')["content"] == "_static/card.png"


def test_the_first_page_answers_its_question(book, glued):
    """With what chapters glue: two paragraphs, and the figure of the gains with its text."""
    article = soup_of(book, "book/index").select_one("article")
    answer = " ".join(article.get_text().split())
    assert "Fusing affective regions changes the accuracy of the full image by" in answer
    assert "how many are fused is chosen on images that are not tested" in answer
    found = glued("06_experiments")['format_number(100 * numbers.gain_high.max(), "+.1f")']
    assert f"No interval of a gain reaches beyond {found} points" in answer
    assert glued("06a_regions")["answer"] in answer
    alts = [image["alt"] for image in article.select("img.only-light")]
    assert any(
        alt.startswith("A point with a horizontal error bar for each column") for alt in alts
    )


def copy_edition(book, root, name, *, k=None):
    """A built edition under another name; with another K, and another output of chapter 5."""
    copy = root / "_build" / name
    shutil.copytree(book / "html" / "_sources", copy / "html" / "_sources")
    facts = json.loads((book / "edition.json").read_text())
    if k is not None:
        facts["parameters"]["k"] = k
        path = copy / "html" / "_sources" / "book" / "05_fusion.ipynb"
        chapter = nbformat.read(path, as_version=4)
        code = [cell for cell in chapter.cells if cell.cell_type == "code"]
        code[-1].outputs = [nbformat.v4.new_output("stream", text="<b>other</b>\n\ntext\n")]
        nbformat.write(chapter, path)
    (copy / "edition.json").write_text(json.dumps(facts))
    return facts


@pytest.fixture(scope="module")
def several(book, tmp_path_factory):
    """The editions page where three were built, alone in a site with the book's own settings."""
    root = tmp_path_factory.mktemp("several")
    (root / "editions").mkdir()
    facts = copy_edition(book, root, "one")
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
    (stage / "book" / "editions.md").write_text(editions_page(root, "one", facts, executed))
    return build_site(stage, root / "_build" / "one").parent / "book" / "editions.html"


@pytest.fixture
def page(browser, several):
    context = browser.new_context(viewport={"width": 390, "height": 900})
    page = context.new_page()
    page.set_default_timeout(5000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(several.as_uri())
    yield page
    assert errors == []
    context.close()


def test_two_editions_are_compared_on_the_page_by_keyboard(page):
    summaries = page.locator("details.comparison summary")
    lines = summaries.all_inner_texts()
    assert [line.partition(":")[0] for line in lines] == [
        "alike and one",
        "alike and two",
        "one and two",
    ]
    assert ": 0 parameters differ; 0 cells print something else, " in lines[0]
    assert ": 1 parameters differ; 1 cells print something else, " in lines[2]
    comparison = page.locator("details.comparison").nth(2)
    assert not comparison.locator("table").first.is_visible()
    summaries.nth(2).focus()
    page.keyboard.press("Enter")
    parameters, cells = (comparison.locator("table").nth(n).locator("td") for n in (0, 1))
    assert parameters.all_inner_texts() == ["k", "8", "3"]
    chapter, _, _, other = cells.all_inner_texts()
    assert chapter == "05_fusion"
    assert other.strip() == "<b>other</b>\n\ntext"  # a text, not an element
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "TABLE"  # it scrolls by itself


def test_the_comparison_is_for_everyone(page):
    if importlib.util.find_spec("axe_playwright_python") is None:
        pytest.skip("axe is not installed")
    from axe_playwright_python.sync_playwright import Axe

    page.locator("details.comparison summary").nth(2).click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.add_style_tag(content="* { transition: none !important }")
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        rules = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
        found = Axe().run(page, options={"runOnly": rules}).response["violations"]
        assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in found] == []
