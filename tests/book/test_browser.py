"""Every page of the book in a real browser, opened from disk: at two widths, in light and dark."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from arlib.publishing.editions import page_names

ROOT = Path(__file__).parents[2]
LISTED = page_names(ROOT)
CHAPTERS = [f"book/{path.stem}" for path in sorted((ROOT / "book").glob("0*.ipynb"))]
COLOURFUL = ["book/index", *CHAPTERS[3:], "book/status", "404"]  # what others show, these do too
WIDTHS = {"desktop": 1280, "phone": 390}
on = pytest.mark.pages
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]

# MathJax that has not set all formulas yet is waited for.
SET = "!window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"
BROKEN = """[...document.images].filter(image => !(image.complete && image.naturalWidth))
    .map(image => image.src)"""
UNTOLD = "[...document.images].filter(image => !image.alt.trim()).map(image => image.src)"
CUT = """[...document.querySelectorAll("article pre")]
    .filter(block => block.scrollWidth > block.clientWidth + 1).map(block => block.innerText)"""
# Equations that begin left of what can be scrolled to.
BEFORE = """[...document.querySelectorAll("div.math mjx-math")]
    .filter(equation => equation.getBoundingClientRect().left < 0).map(each => each.textContent)"""
# Formulas within a line that fade at their end, as what can be scrolled does.
FADED = """[...document.querySelectorAll("mjx-container:not([display])")]
    .filter(each => getComputedStyle(each).maskImage !== "none").map(each => each.textContent)"""
# Images that are not as wide for their height as they should be; cards fit theirs into a frame.
STRETCHED = """theme => [...document.querySelectorAll(`article img.only-${theme}`)]
    .filter(image => getComputedStyle(image).objectFit === "fill")
    .filter(image => Math.abs(image.clientWidth / image.clientHeight /
        (image.naturalWidth / image.naturalHeight) - 1) > 0.03).map(image => image.src)"""
# The library's pages repeat one form hundreds of times: a few entries stand for all.
FEWER = "document.querySelectorAll('dl.py:nth-of-type(n + 6)').forEach(entry => entry.remove())"
RAW = r"""[...document.querySelectorAll("article p, article li, article td, figcaption")]
    .map(e => e.innerText)
    .filter(text => /\\\(|\$\$|<\/|\{glue|\{ref\}|\{eq\}|\{doc\}/.test(text))"""


@pytest.fixture(scope="module", params=[*LISTED, "genindex", "search", "404"])
def page(request, browser, book):
    """An open page; `asked` and `said` are what it loaded and what it complained of."""
    path = book / "html" / f"{request.param}.html"
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.name, page.asked, page.said = request.param, [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("requestfailed", lambda request: page.said.append(f"not loaded: {request.url}"))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("console", lambda line: page.said.append(line.text) if line.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_function(SET)
    page.asked_first = list(page.asked)
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    yield page
    context.close()


def test_it_asks_nothing_of_another_host_and_complains_of_nothing(page):
    assert [url for url in page.asked if urlsplit(url).scheme not in ("file", "data")] == []
    assert page.said == []


def test_it_fits_a_desktop_and_a_phone(page):
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(BEFORE) == []
    page.set_viewport_size({"width": 1280, "height": 900})


def load_all(page):
    """Also what lies below, is folded, or is there for the other theme."""
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.evaluate("[...document.images].forEach(image => image.loading = 'eager')")
    page.wait_for_function("[...document.images].every(image => image.complete)")


def test_every_image_is_there_and_described(page):
    load_all(page)
    assert page.evaluate(BROKEN) == []
    assert page.evaluate(UNTOLD) == []


def test_its_text_and_mathematics_are_set(page):
    if page.name != "search":
        assert page.locator("h1", has_text=re.compile(r"\w{3}")).count() > 0
    assert page.locator("mjx-merror").count() == 0
    assert page.evaluate(FADED) == []
    assert page.evaluate(RAW) == []
    if page.name in CHAPTERS:
        assert page.locator("mjx-container").count() > 0


@pytest.mark.parametrize(
    ("theme", "rules"),
    [
        ("light", {"type": "tag", "values": WCAG}),
        pytest.param("dark", {"values": ["color-contrast"]}, marks=on(*COLOURFUL)),
    ],
)
def test_axe_finds_no_violation_of_wcag(page, theme, rules):
    """WCAG 2.1 A and AA, on the complete page with the theme's own parts; in dark, its colours."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.evaluate(FEWER)
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    options = {"runOnly": {"type": "rule", **rules}, "resultTypes": ["violations"]}
    found = axe.run(page, options=options).response["violations"]
    violations = [(v["id"], [node["target"] for node in v["nodes"]]) for v in found]
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert violations == []


@on("book/index", *CHAPTERS)
@pytest.mark.parametrize(("theme", "other"), [("light", "dark"), ("dark", "light")])
def test_a_figure_is_shown_in_the_form_of_the_theme(page, theme, other):
    load_all(page)
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    shown, hidden = (page.locator(f"article img.only-{each}") for each in (theme, other))
    assert shown.count() == hidden.count() > 0
    assert all(image.is_visible() for image in shown.all())
    assert not any(image.is_visible() for image in hidden.all())
    for width in (WIDTHS["phone"], WIDTHS["desktop"]):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(STRETCHED, theme) == []
    page.evaluate("document.documentElement.dataset.theme = 'light'")


@on(*CHAPTERS)
def test_no_line_of_code_or_output_is_cut_on_a_desktop(page):
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate(CUT) == []


@on(*CHAPTERS)
def test_a_chapter_weighs_no_more_than_3_megabytes(page):
    """With all that it loads when it is opened, mathematics, styles and fonts among it."""
    asked = [url for url in page.asked_first if url.startswith("file:")]
    files = {Path(unquote(urlsplit(url).path)) for url in asked}
    assert 0 < sum(path.stat().st_size for path in files) <= 3_000_000


def test_the_keyboard_reaches_the_content(visit):
    """By the link that skips what is the same on every page; what has the focus shows it."""
    page = visit("book/05_fusion.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText").strip() == "Skip to main content"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main-content"
    for _ in range(3):
        page.keyboard.press("Tab")
        inside = "document.querySelector('#main-content').contains(document.activeElement)"
        assert page.evaluate(inside)
    style = "getComputedStyle(document.activeElement)"
    shown = page.evaluate(f"[{style}.outlineStyle, {style}.boxShadow]")
    assert shown != ["none", "none"]


@pytest.fixture
def visit(browser, book):
    """Return a function that opens a page of the site."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)

    def opened(address):
        page.goto((book / "html" / "search.html").as_uri().replace("search.html", address))
        return page

    yield opened
    context.close()


@pytest.mark.parametrize("term", ["objectness", "temperature", "McNemar"])
def test_search_finds(visit, term):
    page = visit(f"search.html?q={term}")
    found = page.locator("#search-results ul.search li a")
    found.first.wait_for()
    assert any("book/" in link for link in found.evaluate_all("all => all.map(a => a.href)"))


def test_previous_and_next_follow_the_contents(book):
    """As the table of contents has it, sections after the page that they belong to."""
    site, seen = book / "html", [LISTED[0]]
    while True:
        page = site / f"{seen[-1]}.html"
        text = page.read_text()
        back = re.search(r'class="left-prev"\s+href="([^"]+)"', text)
        if len(seen) > 1:
            assert (page.parent / back[1]).resolve() == site / f"{seen[-2]}.html"
        onward = re.search(r'class="right-next"\s+href="([^"]+)"', text)
        if onward is None:
            break
        following = (page.parent / onward[1]).resolve()
        seen.append(following.relative_to(site).with_suffix("").as_posix())
    assert seen == LISTED
