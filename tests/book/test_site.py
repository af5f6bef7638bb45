"""The built pages: complete by themselves, linked, and rendered by a browser at two widths."""

import http.server
import re
import threading
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from arlib.publishing.editions import page_names

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """Collects what a page links to, loads, and anchors."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.ids, self.images = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found["id"]} if "id" in found else set()
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon"):
            self.loaded.append(found["href"])
        if tag in ("script", "img", "iframe", "source") and found.get("src"):
            self.loaded.append(found["src"])
        if tag == "img":
            self.images.append(found)


@pytest.fixture(scope="session")
def site(book):
    return book / "html"


@pytest.fixture(scope="session")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def test_every_page_of_the_contents_is_there(site):
    for name in page_names(ROOT):
        assert (site / f"{name}.html").is_file(), name


def test_pages_load_nothing_from_another_host(pages):
    for path, page in pages.items():
        for address in page.loaded:
            assert not re.match(r"(https?:)?//", address), f"{path.name}: {address}"


def test_every_link_within_the_site_leads_somewhere(pages):
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link) or link in ("#", ""):
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name.split("?")[0]).resolve() if name else path
            assert target.exists(), f"{path.name}: {link}"
            if anchor and target in pages:
                assert anchor in pages[target].ids, f"{path.name}: {link}"


def test_every_figure_has_alt_text_and_a_numbered_caption(site, pages):
    for path in sorted((site / "book").glob("0*.html")):
        shown = [image for image in pages[path].images if "_images/" in image["src"]]
        assert len(shown) >= 2
        for image in shown:
            assert len(image.get("alt", "")) > 30, f"{path.name}: {image['src']}"
        text = path.read_text()
        light = [image["src"] for image in shown if image.get("class") == "only-light"]
        dark = [image["src"] for image in shown if image.get("class") == "only-dark"]
        assert dark == [f"{source.removesuffix('.webp')}-dark.webp" for source in light]
        assert len(shown) == 2 * len(light)  # every figure has both forms
        assert len(re.findall(r"Fig\. \d+", text)) >= len(light)


def test_no_page_shows_an_unresolved_reference(site):
    for path in site.rglob("*.html"):
        if "_static" in path.parts:
            continue
        text = re.sub(r"<(script|style)[\s\S]*?</\1>", "", path.read_text())
        for left in ("{glue", "{ref}", "{eq}", "{doc}", "{cite}", "np.float64("):
            assert left not in text, f"{path.name}: {left}"
        assert "Traceback" not in text or path.parent.name == "api", path.name  # its examples


def test_every_page_of_the_book_has_the_icon(site, pages):
    for path, page in pages.items():
        if path not in (site / "404.html", site / "index.html"):  # the latter only leads on
            icons = [name for name in page.loaded if name.endswith("favicon.svg")]
            assert len(icons) == 1, path.name
            assert (path.parent / icons[0]).resolve() == site / "_static" / "favicon.svg"
    assert (site / "_static" / "favicon.svg").is_file()


@pytest.mark.parametrize(
    ("address", "home"),
    [
        ("http://example.org/book/none.html", "http://example.org/"),
        (
            "http://someone.github.io/affective/book/none.html",
            "http://someone.github.io/affective/",
        ),
    ],
)
def test_under_any_address_the_page_for_lost_readers_leads_home(browser, site, address, home):
    page = browser.new_page()
    page.route("**/*", lambda route: route.fulfill(path=site / "404.html", status=404))
    page.goto(address)
    assert page.get_by_role("link", name="its first page").evaluate("a => a.href") == home
    page.close()


def test_equations_have_the_numbers_of_the_paper(site):
    for number, (label, page) in enumerate(
        [
            ("senti", "03_sentiment_score"),
            ("ar", "04_affective_regions"),
            ("fusion", "05_fusion"),
        ],
        1,
    ):
        text = (site / "book" / f"{page}.html").read_text()
        found = re.search(rf'id="equation-eq-{label}">\s*<span class="eqno">\((\d+)\)', text)
        assert found is not None, page
        assert int(found.group(1)) == number, page


@pytest.fixture(scope="session")
def served(site):
    """The site over HTTP, and every path that was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            asked.append((self.path, int(code)))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=str(site))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_explorers_of_chapter_7_move_and_follow_the_theme(browser, served, width):
    """On the built page: all start, a slider moves one of them, the book's switch reaches all."""
    address, asked = served
    del asked[:]
    outside, said = [], []
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.on("request", lambda request: outside.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{address}/book/07_explorer.html")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    explorers = page.locator(".arlib-explorer")
    cards = page.locator(".arlib-explorer .card")
    assert explorers.count() == cards.count() == 5
    labels = page.locator(".arlib-explorer .regions caption")
    before = labels.all_inner_texts()
    slider = explorers.nth(1).get_by_label("K, regions")
    slider.focus()
    page.keyboard.press("Home")
    after = labels.all_inner_texts()
    changed = [a != b for a, b in zip(after, before, strict=True)]
    assert changed == [False, True, False, False, False]
    colours = set()
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.wait_for_timeout(50)
        ground = "all => all.map(card => getComputedStyle(card).backgroundColor)"
        (colour,) = set(cards.evaluate_all(ground))
        colours.add(colour)
    assert len(colours) == 2
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert said == []
    assert [url for url in outside if not url.startswith((address, "data:"))] == []
    assert [path for path, code in asked if code >= 400] == []
    context.close()
