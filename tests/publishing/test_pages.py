"""Finished pages: what the theme gets wrong is mended, and nothing else changes."""

import pytest

from arlib.publishing.site import fix_page, fix_site, with_downloads

THEBE = """<head>
    <link rel="stylesheet" href="../_static/sphinx-thebe.css?v=4fa983c6" />
    <script src="../_static/scripts/fontawesome.js?digest=55"></script>
    <script src="../_static/scripts/bootstrap.js?digest=55"></script>
    <script>const THEBE_JS_URL = "https://unpkg.com/thebe"; const thebe_selector = ".cell"</script>
    <script async="async" src="../_static/sphinx-thebe.js?v=c100c467"></script>
    <script>const THEBE_JS_URL = "https://unpkg.com/thebe"; const thebe_selector = ".cell"</script>
    <script>DOCUMENTATION_OPTIONS.pagename = 'book/one';</script>
</head>"""


def test_what_no_page_uses_goes_and_the_rest_stays():
    assert (
        fix_page(THEBE)
        == """<head>
    <script src="../_static/scripts/bootstrap.js?digest=55"></script>
    <script>DOCUMENTATION_OPTIONS.pagename = 'book/one';</script>
</head>"""
    )


def test_roles_and_tables():
    references = '<div role="list"><div class="citation" role="doc-biblioentry">[1]</div></div>'
    assert (
        fix_page(references)
        == '<div role="list"><div class="citation" role="listitem">[1]</div></div>'
    )
    table = '<table border="1" class="dataframe"><tr><td>1</td></tr></table>'
    assert fix_page(table) == '<table class="dataframe" tabindex="0"><tr><td>1</td></tr></table>'


def test_text_about_them_is_left_alone():
    said = "<p>The constant THEBE_JS_URL, sphinx-thebe.css and fontawesome.js.</p>"
    assert fix_page(said) == said
    assert fix_page(fix_page(THEBE)) == fix_page(THEBE)


def test_a_site_is_mended_where_it_lies(tmp_path):
    (tmp_path / "book").mkdir()
    page = tmp_path / "book" / "one.html"
    page.write_text(THEBE + "grün", encoding="utf-8")
    fix_site(tmp_path)
    assert page.read_text(encoding="utf-8") == fix_page(THEBE) + "grün"


@pytest.mark.parametrize("name", ["a&b.ipynb", 'a"><script>.ipynb'])
def test_names_in_links_are_texts(name):
    page = with_downloads("<article>T</article><article>U</article>", {"whole": name})
    assert page.startswith("<article>T</article><article>U<p")
    assert "<script>" not in page
    assert "a&b" not in page


def test_what_unfolds_pages_below_has_a_name():
    fold = '<details><summary><span class="toctree-toggle" role="presentation"></span></summary>'
    assert '<summary aria-label="Pages below"><span' in fix_page(fold)
