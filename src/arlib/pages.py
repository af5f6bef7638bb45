"""What Jupyter Book's theme gets wrong, mended in its finished pages."""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

_UNUSED = re.compile(
    r"\s*<(script|link)[^>]*(?:sphinx-thebe|/fontawesome\.js)[^>]*>(?:</script>)?"
    r"|\s*<script>(?:const|var|let) (?:THEBE_JS_URL|thebe_selector)\b.*?</script>",
    re.DOTALL,
)

_SUMMARY = '<summary aria-label="Pages below"><span class="toctree-toggle"'
_TABLE = '<table class="dataframe" tabindex="0">'


def mend(page: str) -> str:
    """Take out of a page what it does not use, and what WCAG 2.1 forbids.

    - Thebe, which would fetch code from another host to run cells there, is declared twice, an
      error in every browser; no page uses it. Of icons, the web font remains and the 1.5 MB of
      script that would draw them once more go.
    - The role "doc-biblioentry" of references is deprecated by ARIA: they are items of a list.
    - A table that scrolls by itself has to be reached by keyboard.
    - What unfolds pages below another in the sidebar has no name.

    Args:
        page: HTML.

    Example:
        >>> mend('<p><script>const THEBE_JS_URL = "https://unpkg.com"; let a = 1;</script></p>')
        '<p></p>'
        >>> mend('<div class="citation" id="sun2016" role="doc-biblioentry">')
        '<div class="citation" id="sun2016" role="listitem">'
    """
    page = page.replace('role="doc-biblioentry"', 'role="listitem"')
    page = page.replace(
        '<table border="1" class="dataframe">', '<table class="dataframe" tabindex="0">'
    )
    page = page.replace('<summary><span class="toctree-toggle"', _SUMMARY)
    return _UNUSED.sub("", page)


def mend_site(site: Path) -> None:
    """Mend every page of a site where it lies."""
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        mended = mend(page)
        if mended != page:
            path.write_text(mended, encoding="utf-8")


def with_downloads(page: str, forms: Mapping[str, str], on_colab: str | None = None) -> str:
    """Add links to a chapter's notebook below its text.

    Args:
        page: HTML of Jupyter Book's theme, which has one `article`.
        forms: what a link says -> where it leads.
        on_colab: code that a first cell needs there; None leaves it out.

    Example:
        >>> with_downloads("<article>Text.</article>", {"whole": "1.ipynb"}).partition("</p>")[0]
        '<article>Text.<p class="downloads">As a notebook: <a href="1.ipynb" download>whole</a>'
    """
    links = ", ".join(
        f'<a href="{escape(address)}" download>{escape(said)}</a>'
        for said, address in forms.items()
    )
    line = f'<p class="downloads">As a notebook: {links}</p>'
    if on_colab is not None:
        line += "<p>On Colab, put a cell before the first and run it:</p>"
        line += f'<pre tabindex="0">{escape(on_colab)}</pre>'
    before, end, after = page.rpartition("</article>")
    return before + line + end + after
