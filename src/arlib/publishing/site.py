"""What a page says of itself where it is linked: title, description and the book's picture."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from html import escape
from io import BytesIO
from pathlib import Path

import nbformat
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from arlib._support.storage import replace_folder
from arlib.publishing.chapters import INJECTED
from arlib.publishing.editions import EditionError, chapters, pages_of
from arlib.publishing.hosting import Public
from arlib.publishing.site_figures import add_dark_figures

PICTURE = "_static/card.png"
"""Within the site, 1200 x 630 pixels, drawn by `tools/social_card.py`."""


SAYS = "Scenes of the synthetic scenes, with the faces that carry their sentiment outlined."


_LONGEST = 200


def with_card(page: str, name: str, *, site: str, address: str | None = None) -> str:
    """Put Open Graph's and the description's meta elements into a page's head.

    Args:
        page: HTML of Jupyter Book's theme.
        name: of the page within the site, such as "book/index".
        site: the book's title.
        address: the site's public address. Without one the picture's is relative, and those who
            show links to pages mostly leave it out.

    Example:
        >>> page = "<title>Fusion &#8212; A book</title><article><p>Adds.</p></article>"
        >>> made = with_card(page, "book/05", site="A book", address="https://a.org/b")
        >>> for line in made.splitlines()[1:4]:
        ...     print(line)
        <meta name="description" content="Adds." />
        <meta property="og:title" content="Fusion" />
        <meta property="og:description" content="Adds." />
    """
    soup = BeautifulSoup(page, "html.parser")
    title = soup.title.get_text() if soup.title else site
    told = description(soup)
    up = "../" * name.count("/") if address is None else f"{address}/"
    named = {
        "og:title": re.sub(rf"\s+[—-]\s+{re.escape(site)}$", "", title.strip()) or site,
        "og:description": told,
        "og:type": "website" if name.endswith("index") else "article",
        "og:site_name": site,
        "og:url": f"{up}{name}.html" if address else "",
        "og:image": f"{up}{PICTURE}",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": SAYS,
    }
    lines = [_meta("name", "description", told)] if told else []
    lines += [_meta("property", key, value) for key, value in named.items() if value]
    lines.append(_meta("name", "twitter:card", "summary_large_image"))
    return page.replace("</title>", "</title>\n" + "\n".join(lines), 1)


def description(soup: BeautifulSoup) -> str:
    r"""First sentences of a page's first paragraph, as a text; empty where it has none.

    Example:
        >>> page = r"<article><p>The \(\alpha\) of <b>Eq. 2</b> [Sun et al., 2016].</p></article>"
        >>> description(BeautifulSoup(page, "html.parser"))
        'The alpha of Eq. 2.'
    """
    first = soup.select_one("article p")
    text = " ".join(first.get_text().split()) if first else ""
    text = re.sub(r"\\\((.*?)\\\)", lambda found: found[1].replace("\\", ""), text)
    text = re.sub(r" \[[^\]]*\d{4}\w?\]", "", text)
    if len(text) <= _LONGEST:
        return text
    whole = [end.end() for end in re.finditer(r"\w[.?!](?= [A-Z])", text[:_LONGEST])]
    if whole and whole[-1] > _LONGEST // 3:
        return text[: whole[-1]]
    return text[: _LONGEST - 2].rsplit(" ", 1)[0] + " …"


def front(first: str, page: str) -> str:
    """Make the page under the site's own address, which leads on to the first of the book.

    Args:
        first: name of that page, such as "book/index".
        page: its HTML, with a card: this one has the same.

    Example:
        >>> print(front("book/index", "<meta property='og:title' content='A'>"))
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8" />
        <title>A</title>
        <meta http-equiv="refresh" content="0; url=book/index.html" />
        <meta content="A" property="og:title"/>
        </head>
        <body><p><a href="book/index.html">A</a></p></body>
        </html>
        <BLANKLINE>
    """
    soup = BeautifulSoup(page, "html.parser")
    said = soup.select_one('meta[property="og:title"]')
    title = escape(str(said["content"])) if said else first
    shown = soup.select('meta[name="description"], meta[property^="og:"], meta[name^="twitter:"]')
    up = "../" * first.count("/")
    for meta in shown:
        meta["content"] = str(meta["content"]).removeprefix(up)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8" />',
        f"<title>{title}</title>",
        f'<meta http-equiv="refresh" content="0; url={first}.html" />',
        *map(str, shown),
        "</head>",
        f'<body><p><a href="{first}.html">{title}</a></p></body>',
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _meta(kind: str, name: str, content: str) -> str:
    return f'<meta {kind}="{name}" content="{escape(content)}" />'


_UNUSED = re.compile(
    r"\s*<(script|link)[^>]*(?:sphinx-thebe|/fontawesome\.js)[^>]*>(?:</script>)?"
    r"|\s*<script>(?:const|var|let) (?:THEBE_JS_URL|thebe_selector)\b.*?</script>",
    re.DOTALL,
)


_SUMMARY = '<summary aria-label="Pages below"><span class="toctree-toggle"'


_TABLE = '<table class="dataframe" tabindex="0">'


def fix_page(page: str) -> str:
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
        >>> fix_page('<p><script>const THEBE_JS_URL = "https://unpkg.com"; let a = 1;</script></p>')
        '<p></p>'
        >>> fix_page('<div class="citation" id="sun2016" role="doc-biblioentry">')
        '<div class="citation" id="sun2016" role="listitem">'
    """
    page = page.replace('role="doc-biblioentry"', 'role="listitem"')
    page = page.replace(
        '<table border="1" class="dataframe">', '<table class="dataframe" tabindex="0">'
    )
    page = page.replace('<summary><span class="toctree-toggle"', _SUMMARY)
    return _UNUSED.sub("", page)


def fix_site(site: Path) -> None:
    """Mend every page of a site where it lies."""
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        mended = fix_page(page)
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


QUALITY = 92
"""Of what is not kept pixel for pixel; 100 is the most."""


_WORTH = 0.5  # a picture that is this much smaller with loss is a photograph, or holds some


_NAME = re.compile(r"(_images/[^\"'#?]+)\.png")


def convert_images(site: Path) -> None:
    """Replace a built site's images in PNG by WebP, and their names in its pages.

    Args:
        site: its folder; `_images` and the pages are changed.
    """
    images = sorted((site / "_images").glob("*.png"))
    with ThreadPoolExecutor(2) as pool:  # the encoder releases the interpreter's lock
        for path, webp in zip(images, pool.map(as_webp, map(Path.read_bytes, images)), strict=True):
            path.with_suffix(".webp").write_bytes(webp)
            path.unlink()
    made = {f"_images/{path.stem}" for path in images}
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        changed = _NAME.sub(lambda name: f"{name[1]}.webp" if name[1] in made else name[0], page)
        if changed != page:
            path.write_text(changed, encoding="utf-8")


def as_webp(png: bytes) -> bytes:
    """Encode a picture anew: its very pixels, or, where that is half as much or less, nearly so.

    Lines and text stay as they are; photographs lose what is not seen.

    Args:
        png: a picture in PNG.

    Returns:
        WebP.

    Example:
        >>> file = BytesIO()
        >>> Image.new("RGB", (40, 30), "teal").save(file, format="PNG")
        >>> Image.open(BytesIO(as_webp(file.getvalue()))).getpixel((9, 9))
        (0, 128, 128)
    """
    with Image.open(BytesIO(png)) as image:
        plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    exact, nearly = BytesIO(), BytesIO()
    plain.save(exact, format="WEBP", lossless=True, method=4)
    plain.save(nearly, format="WEBP", quality=QUALITY, method=4)
    lossy = len(nearly.getvalue()) <= _WORTH * len(exact.getvalue())
    return nearly.getvalue() if lossy else exact.getvalue()


NOTEBOOKS = "notebooks"
"""The site's folder of chapters without outputs."""


NOWHERE = Public()
"""A book that nobody else finds: on this machine alone."""


def configured(stage: Path, public: Public) -> None:
    """Let a staged book's pages link to its repository: their source, Colab and Binder.

    Args:
        stage: holds `_config.yml`, which is written anew; unless there is no repository.
        public: where others find the book.
    """
    options = public.theme_options()
    if not options:
        return
    path = stage / "_config.yml"
    config = yaml.safe_load(path.read_text())
    # Here and not under `repository`: the theme's options of a book hide what is said there.
    sphinx = config.setdefault("sphinx", {}).setdefault("config", {})
    sphinx.setdefault("html_theme_options", {}).update(options)
    path.write_text(yaml.safe_dump(config))


def build_site(stage: Path, build: Path, public: Public = NOWHERE) -> Path:
    """Build the staged book, warnings as errors, and put the site in its place in one rename.

    Args:
        stage: the book's sources, chapters executed.
        build: where `html` is put.
        public: where others find the book.

    Raises:
        EditionError: with the end of Jupyter Book's output.
    """
    output = build / "site"
    shutil.rmtree(output, ignore_errors=True)
    start = "from jupyter_book.cli.main import main; main()"  # of this very environment
    command = [sys.executable, "-c", start, "build", str(stage)]
    command += ["--path-output", str(output), "-W", "--keep-going"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    fresh = output / "_build" / "html"
    if done.returncode or not (fresh / "index.html").is_file():
        lines = (done.stdout + done.stderr).splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-30:]
        raise EditionError("the site did not build:\n" + "\n".join(told))
    _check_pages(stage, fresh)
    fix_site(fresh)
    add_dark_figures(stage, fresh)
    convert_images(fresh)
    _offer_notebooks(stage, fresh, public.first_on_colab())
    _add_cards(stage, fresh, public.address)
    replace_folder(fresh, build / "html")
    shutil.rmtree(output)
    return build / "html" / "index.html"


def _check_pages(stage: Path, site: Path) -> None:
    """Refuse a site that lacks a page of the table of contents, or holds half of one."""
    for page in pages_of(stage):
        path = site / f"{page}.html"
        if not path.is_file() or not path.read_text().rstrip().endswith("</html>"):
            raise EditionError(f"the site did not build: its page {page} is missing or incomplete")


def _add_cards(stage: Path, site: Path, address: str | None) -> None:
    """Let every page of the contents say what it is where it is linked, and the front with them."""
    title = yaml.safe_load((stage / "_config.yml").read_text())["title"]
    for name in pages_of(stage):
        page = site / f"{name}.html"
        text = with_card(page.read_text(encoding="utf-8"), name, site=title, address=address)
        page.write_text(text, encoding="utf-8")
    first = pages_of(stage)[0]
    lead = front(first, (site / f"{first}.html").read_text(encoding="utf-8"))
    (site / "index.html").write_text(lead, encoding="utf-8")


def _offer_notebooks(stage: Path, site: Path, on_colab: str | None) -> None:
    """Put each chapter without outputs into the site, and links to both forms on its page."""
    (site / NOTEBOOKS).mkdir(exist_ok=True)
    for chapter in chapters(stage):
        notebook = without_outputs(nbformat.read(stage / chapter, as_version=4))
        nbformat.write(notebook, site / NOTEBOOKS / chapter.name)
        page = site / chapter.with_suffix(".html")
        up = "../" * (len(chapter.parts) - 1)
        forms = {
            "with outputs": f"{up}_sources/{chapter.as_posix()}",
            "without": f"{up}{NOTEBOOKS}/{chapter.name}",
        }
        text = with_downloads(page.read_text(encoding="utf-8"), forms, on_colab)
        page.write_text(text, encoding="utf-8")


def without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Make of an executed chapter the one that it was: no outputs, no parameters put in.

    Example:
        >>> from nbformat.v4 import new_code_cell, new_notebook
        >>> cells = [new_code_cell("k = 8"), new_code_cell("k = 3", metadata={"tags": [INJECTED]})]
        >>> [cell.source for cell in without_outputs(new_notebook(cells=cells)).cells]
        ['k = 8']
    """
    cells = []
    for cell in notebook.cells:
        if INJECTED in cell.metadata.get("tags", []):
            continue
        metadata = {k: v for k, v in cell.metadata.items() if k not in ("papermill", "execution")}
        cell = nbformat.NotebookNode({**cell, "metadata": nbformat.from_dict(metadata)})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cells.append(cell)
    metadata = {k: v for k, v in notebook.metadata.items() if k != "papermill"}
    return nbformat.NotebookNode(
        {**notebook, "metadata": nbformat.from_dict(metadata), "cells": cells}
    )
