"""What pages say of themselves where they are linked: texts, whatever is in them."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from arlib.publishing.site import PICTURE, description, front, with_card

ROOT = Path(__file__).parents[2]
PAGE = "<html><head><title>{} &#8212; A book</title></head><body><article>{}</article></html>"


def metas(page):
    """Name -> content of a page's meta elements, as a browser reads them."""
    soup = BeautifulSoup(page, "html.parser")
    named = soup.select("meta[property], meta[name]")
    return {meta.get("property") or meta["name"]: meta["content"] for meta in named}


def test_a_page_deep_in_the_site():
    page = with_card(PAGE.format("One", "<p>Its text.</p>"), "book/guide/one", site="A book")
    found = metas(page)
    assert found["og:title"] == "One"
    assert found["description"] == found["og:description"] == "Its text."
    assert found["og:image"] == f"../../{PICTURE}"
    assert found["twitter:card"] == "summary_large_image"
    assert "og:url" not in found  # where no address is known
    public = with_card(PAGE.format("One", ""), "book/one", site="A book", address="https://a.org/b")
    assert metas(public)["og:url"] == "https://a.org/b/book/one.html"
    assert metas(public)["og:image"] == f"https://a.org/b/{PICTURE}"
    assert "description" not in metas(public)  # it has no paragraph


MARKUP = "\"><script>alert(1)</script> & 'x'"


def test_markup_in_a_title_or_a_paragraph_is_text():
    shown = MARKUP.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    page = with_card(PAGE.format(shown, f"<p>{shown}</p>"), "book/one", site="A book")
    lead = front("book/one", page)
    for each in (page, lead):
        assert metas(each)["og:title"] == MARKUP
        assert metas(each)["og:description"] == MARKUP
        assert BeautifulSoup(each, "html.parser").find("script") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Short.", "Short."),
        ("One. " + "word " * 60, "One. " + "word " * 38 + "…"),
        ("A sentence of " + "many " * 20 + "words. " + "More " * 40, None),
    ],
)
def test_a_description_is_short_and_ends_well(text, told):
    made = description(BeautifulSoup(f"<article><p>{text}</p></article>", "html.parser"))
    assert made == (told or text.partition(". ")[0] + ".")
    assert len(made) <= 200


def test_the_picture_is_what_the_tool_draws():
    drawn = runpy.run_path(str(ROOT / "tools" / "social_card.py"))["draw"]()
    path = ROOT / "book" / PICTURE
    assert path.stat().st_size < 150_000
    kept = Image.open(path)
    assert kept.size == drawn.size == (1200, 630)
    apart = np.asarray(kept.convert("RGB"), float) - np.asarray(drawn.convert("RGB"), float)
    assert np.abs(apart).mean() < 3  # a font's rendering may differ a little
