"""Build a staged book's site by Jupyter Book, and finish its pages in one pass.

It is an extension of Sphinx too: chapters, and the pages that they link to, are written in what
JupyterLab renders, and what Sphinx has another form for is turned into that while it reads them.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import yaml
from bs4 import BeautifulSoup

from arlib._support.storage import replace_folder
from arlib.publishing.chapters import EXPRESSION, INJECTED, VALUES, text_values
from arlib.publishing.editions import EditionError, chapter_paths, page_names
from arlib.publishing.site_images import (
    add_dark_images,
    convert_images,
    copy_dark_images,
    describe_images,
    figure_alts,
    name_webp,
)

NOTEBOOKS = "notebooks"
"""The site's folder of chapters without outputs."""

CARD = {
    "og:image": "_static/card.png",
    "og:image:width": "1200",
    "og:image:height": "630",
    "og:image:alt": "Four synthetic scenes, with the faces that carry their sentiment outlined.",
}
"""The image that stands for a page where it is linked, drawn by `tools/social_card.py`."""

_FORMS = {
    "repository": re.compile(r"https://(github|gitlab)\.com/[\w.-]+/[\w.-]*\w"),
    "address": re.compile(r"https?://[\w.-]+(:\d+)?(/[\w.~-]+)*"),
}
_EXAMPLES = {
    "repository": "https://github.com/OWNER/NAME or one on gitlab.com",
    "address": "https://OWNER.github.io/NAME",
}


def checked_address(kind: str, address: str | None) -> str | None:
    """Return a "repository" or an "address" of the site without its last slash, or refuse it."""
    if address is None:
        return None
    if not _FORMS[kind].fullmatch(address.removesuffix("/")):
        raise EditionError(f"{address!r} is no {kind} such as {_EXAMPLES[kind]}")
    return address.removesuffix("/")


def configure(stage: Path, repository: str | None) -> None:
    """Let a staged book's pages link to its repository, if it has one: source, Colab and Binder."""
    if repository is None:
        return
    launch = {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
    if colab_cell(repository) is not None:
        launch["colab_url"] = "https://colab.research.google.com"
    options = {
        "repository_url": repository,
        "repository_branch": "main",
        "path_to_docs": "",
        "launch_buttons": launch,
        "use_repository_button": True,
        "use_edit_page_button": True,
    }
    path = stage / "_config.yml"
    config = yaml.safe_load(path.read_text())
    # Here and not under `repository`, which the theme's options of a book would hide.
    sphinx = config.setdefault("sphinx", {}).setdefault("config", {})
    sphinx.setdefault("html_theme_options", {}).update(options)
    path.write_text(yaml.safe_dump(config))


def colab_cell(repository: str | None) -> str | None:
    """Write the cell that a chapter needs on Colab, which opens it without its repository.

    None for a repository that Colab cannot open: it opens notebooks on GitHub alone.
    """
    if repository is None or not repository.startswith("https://github.com/"):
        return None
    name = repository.rpartition("/")[2]
    clone = f"!git clone --depth 1 {repository}"
    install = f'!pip install --quiet "./{name}[book,training]"'
    return f"{clone}\n{install}\n%cd {name}/book"


_JUPYTER_BOOK = """
import os, threading
from jupyter_book.cli.main import main

def end_with_parent():
    os.read(0, 1)  # returns when the process at the other end of the pipe is there no more
    os._exit(1)

threading.Thread(target=end_with_parent, daemon=True).start()
main()
"""


def build_site(
    stage: Path, build: Path, *, repository: str | None = None, address: str | None = None
) -> Path:
    """Build the staged book with warnings as errors into `build/html`, and return its front page.

    An `EditionError` holds the end of Jupyter Book's output.
    """
    configure(stage, repository)
    output = build / "site"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-c", _JUPYTER_BOOK, "build", str(stage)]  # of this environment
    command += ["--path-output", str(output), "-W", "--keep-going"]
    reading, writing = os.pipe()
    try:
        done = subprocess.run(command, stdin=reading, capture_output=True, text=True, check=False)
    finally:
        os.close(reading)
        os.close(writing)
    site = output / "_build" / "html"
    if done.returncode or not (site / "index.html").is_file():
        lines = (done.stdout + done.stderr).splitlines()
        causes = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-30:]
        raise EditionError("the site did not build:\n" + "\n".join(causes))
    finish_pages(stage, site, colab_cell(repository), address)
    replace_folder(site, build / "html")
    shutil.rmtree(output)
    return build / "html" / "index.html"


def setup(app: Any) -> dict[str, bool]:
    """Let Sphinx read chapters by `for_sphinx`, and pages by `page_for_sphinx`."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}


def _read(app: Any, name: str, source: list[str]) -> None:
    if app.env.doc2path(name).endswith(".ipynb"):
        source[0] = nbformat.writes(for_sphinx(nbformat.reads(source[0], as_version=4)))
    else:
        source[0] = page_for_sphinx(source[0])


_FOLDED = {"parameters": "the parameters", INJECTED: "what this edition sets"}
_WORDS = ("Show", "Hide")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>$|#~^])")
_CAPTION = re.compile(r"\*([^*].*)\*(?:\n\n|\Z)")
_CODE = re.compile(r"(^```\w+\n.*?^```$)", re.MULTILINE | re.DOTALL)
_ROLES: dict[
    str, str | Callable[[re.Match[str]], str]
] = {  # a form that JupyterLab renders -> what Sphinx has for it
    r"\[[^\]]*\]\([./]*references\.md#(\w+)\)": r"{cite}`\1`",
    r"\[([^\]]*)\]\((?:\.\./)?glossary\.md#([^)]+)\)": lambda m: (
        f"{{term}}`{m[1]} <{unquote(m[2])}>`"
    ),
    r"\[Eq\. \d+\]\([\w./]*#(eq-\w+)\)": r"{eq}`\1`",
    r"(:label: eq-\w+\n):enumerator: \d+\n": r"\1",
    r"```\{math\}\n:enumerator: ([\d.]+)\n(.+)\n```": r"```{math}\n\2 \\tag{\1}\n```",
    r"(?<![}`])`(arlib(?:\.\w+)+)`(?!`)": r"{py:obj}`\1`",
}


def for_sphinx(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Turn an executed chapter, written for JupyterLab, into what MyST-NB makes a page of.

    Values take the place of expressions in its text. Links to a reference, a term or an equation
    become citations, terms and numbers; equations are numbered by Sphinx; the names of `arlib` in
    code's type become links. The paragraph in italics below a figure becomes its caption.
    Parameters are folded: a reader of the site cannot set them.
    """
    cells = [nbformat.from_dict(cell) for cell in notebook.cells]
    for cell in cells:
        for tag in _FOLDED.keys() & {*cell.metadata.get("tags", [])}:
            cell.metadata["tags"].append("hide-input")
            prompts = {f"code_prompt_{word.lower()}": f"{word} {_FOLDED[tag]}" for word in _WORDS}
            cell.metadata["mystnb"] = {**cell.metadata.get("mystnb", {}), **prompts}
        if cell.cell_type == "markdown":
            cell["source"] = _with_roles(_with_values(cell))
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if figure is None or "caption" in figure:
            continue
        caption = _CAPTION.match(after.source) if after else None
        if caption is None:
            raise EditionError(f"no caption in italics below {figure.get('name', 'a figure')}")
        figure["caption"] = caption[1]
        after["source"] = after.source[caption.end() :]
    return nbformat.NotebookNode({**notebook, "cells": cells})


_SOURCES = re.compile(r"<!-- sources -->.*<!-- /sources -->", re.DOTALL)
_GLOSSARY = re.compile(r"^```\{glossary\}\n.*?^```$", re.MULTILINE | re.DOTALL)


def page_for_sphinx(text: str) -> str:
    """Turn a page of Markdown, written for JupyterLab, into what Sphinx makes a page of.

    Links are as in `for_sphinx`; the list of sources becomes the bibliography, and in a glossary
    the definitions of MyST become those of Sphinx.
    """
    text = _SOURCES.sub("```{bibliography}\n:style: plain\n```", text)
    text = _GLOSSARY.sub(lambda match: re.sub(r"(?m)^: ", "  ", match[0]), text)
    return _with_roles(text)


def _with_values(cell: nbformat.NotebookNode) -> str:
    """Put each value in its expression's place, as text in which nothing is markup."""
    values = dict(text_values(cell))

    def replace(match: re.Match[str]) -> str:
        if match[2] not in values:
            raise EditionError(f"not evaluated: {match[0]}")
        return _SPECIAL.sub(r"\\\1", " ".join(values[match[2]].split()))

    return str(EXPRESSION.sub(replace, cell.source))


def _with_roles(text: str) -> str:
    """Use the roles of Sphinx, outside of blocks of code."""
    parts = _CODE.split(text)  # every other one is code
    for form, role in _ROLES.items():
        parts[::2] = [re.sub(form, role, part) for part in parts[::2]]
    return "".join(parts)


def finish_pages(stage: Path, site: Path, colab: str | None, address: str | None) -> None:
    """Read each page of a built site, change what the builder leaves to do, and write it once.

    An `EditionError` names a page of the table of contents that is missing or incomplete.
    """
    names = page_names(stage)
    for name in names:
        if not (site / f"{name}.html").is_file():
            raise EditionError(f"the site did not build: its page {name} is missing")
    title = yaml.safe_load((stage / "_config.yml").read_text())["title"]
    dark_sizes = copy_dark_images(stage, site)
    webp_names, alts = convert_images(site), figure_alts(stage)
    chapters = {path.with_suffix("").as_posix(): path for path in chapter_paths(stage)}
    for path in site.rglob("*.html"):
        name = path.relative_to(site).with_suffix("").as_posix()
        page = fix_page(path.read_text(encoding="utf-8"))
        page = describe_images(page, alts)
        page = name_webp(add_dark_images(page, dark_sizes), webp_names)
        if name in chapters:
            links = _offer_notebook(stage, site, chapters[name])
            page = add_downloads(page, links, colab)
        if name in names:
            if not page.rstrip().endswith("</html>"):
                raise EditionError(f"the site did not build: its page {name} is incomplete")
            card = page_card(page, title)
            root = f"{address}/" if address else ""
            if name == names[0]:
                front = front_page(card, name, root)
            tags = card_tags(card, name, root or "../" * name.count("/"))
            page = page.replace("</title>", f"</title>\n{tags}", 1)
        path.write_text(page, encoding="utf-8")
    (site / "index.html").write_text(front, encoding="utf-8")


_UNUSED = re.compile(
    r"\s*<(script|link)[^>]*(?:sphinx-thebe|/fontawesome\.js)[^>]*>(?:</script>)?"
    r"|\s*<script>(?:const|var|let) (?:THEBE_JS_URL|thebe_selector)\b.*?</script>",
    re.DOTALL,
)

_FIXES = {
    # deprecated by ARIA: references are items of a list
    'role="doc-biblioentry"': 'role="listitem"',
    # a table that scrolls by itself has to be reached by keyboard
    '<table border="1" class="dataframe': '<table tabindex="0" class="dataframe',
    '<div class="pst-scrollable-table-container">': (
        '<div class="pst-scrollable-table-container" tabindex="0">'
    ),
    # what unfolds pages below another in the sidebar has no name
    '<summary><span class="toctree-toggle"': (
        '<summary aria-label="Pages below"><span class="toctree-toggle"'
    ),
}


def fix_page(page: str) -> str:
    """Remove from a page what it does not use, and correct what WCAG 2.1 forbids.

    Thebe, which would fetch code from another host to run cells there, is declared twice, an error
    in every browser; no page uses it. Of icons, the web font remains, and the 1.5 MB of script that
    would draw them once more go.
    """
    for wrong, right in _FIXES.items():
        page = page.replace(wrong, right)
    return _UNUSED.sub("", page)


def _offer_notebook(stage: Path, site: Path, chapter: Path) -> dict[str, str]:
    """Put a chapter without outputs into the site, and return the links to both of its forms."""
    notebook = without_outputs(nbformat.read(stage / chapter, as_version=4))
    (site / NOTEBOOKS).mkdir(exist_ok=True)
    nbformat.write(notebook, site / NOTEBOOKS / chapter.name)
    up = "../" * (len(chapter.parts) - 1)
    return {
        "with outputs": f"{up}_sources/{chapter.as_posix()}",
        "without": f"{up}{NOTEBOOKS}/{chapter.name}",
    }


_OF_A_RUN = ("papermill", "execution", VALUES)  # among a cell's metadata


def without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Make the chapter that was executed: no outputs, no values, no injected parameters."""
    cells = []
    for cell in notebook.cells:
        if INJECTED in cell.metadata.get("tags", []):
            continue
        metadata = {k: v for k, v in cell.metadata.items() if k not in _OF_A_RUN}
        cell = nbformat.NotebookNode({**cell, "metadata": nbformat.from_dict(metadata)})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cells.append(cell)
    metadata = {k: v for k, v in notebook.metadata.items() if k != "papermill"}
    return nbformat.NotebookNode(
        {**notebook, "metadata": nbformat.from_dict(metadata), "cells": cells}
    )


def add_downloads(page: str, links: Mapping[str, str], colab: str | None = None) -> str:
    """Add links, text -> address, to a chapter's notebook below its text, and Colab's cell."""
    items = ", ".join(
        f'<a href="{escape(address)}" download>{escape(text)}</a>'
        for text, address in links.items()
    )
    line = f'<p class="downloads">As a notebook: {items}</p>'
    if colab is not None:
        line += "<p>On Colab, put a cell before the first and run it:</p>"
        line += f'<pre tabindex="0">{escape(colab)}</pre>'
    before, end, after = page.rpartition("</article>")
    return before + line + end + after


def page_card(page: str, site: str) -> dict[str, str]:
    """Gather what stands for a page where it is linked: Open Graph's properties.

    Ours and not `sphinxext-opengraph`'s, whose description runs on into headings, tables and code,
    with citations and LaTeX as they are, and ends within a word, and whose image is relative to the
    site and not to the page where no address is known.
    """
    soup = BeautifulSoup(page, "html.parser")
    title = soup.title.get_text().strip() if soup.title else site
    first = soup.select_one("article p")
    text = first.get_text() if first else ""
    text = re.sub(r"\\\((.*?)\\\)", lambda match: match[1].replace("\\", ""), text, flags=re.DOTALL)
    text = re.sub(r"\s\[[^\]]*\d{4}\w?\]", "", text)
    return {
        "og:title": title.removesuffix(f"— {site}").strip() or site,
        "og:description": textwrap.shorten(text, 200, placeholder=" …"),
        "og:type": "article",
        "og:site_name": site,
        **CARD,
    }


def card_tags(card: Mapping[str, str], name: str, root: str) -> str:
    """Write a card as meta elements, for the page of this name; `root` leads to the site's root.

    Where that is no address, the page has none, and whoever shows the link mostly shows no image.
    """
    tags = {**card, "og:image": root + card["og:image"]}
    if root.startswith("http"):
        tags["og:url"] = f"{root}{name}.html"
    named = {"description": card["og:description"], "twitter:card": "summary_large_image"}
    lines = [f'<meta property="{k}" content="{escape(v)}" />' for k, v in tags.items() if v]
    lines += [f'<meta name="{k}" content="{escape(v)}" />' for k, v in named.items() if v]
    return "\n".join(lines)


_FRONT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<title>{title}</title>
<meta http-equiv="refresh" content="0; url={name}.html" />
{tags}
</head>
<body><p><a href="{name}.html">{title}</a></p></body>
</html>
"""


def front_page(card: Mapping[str, str], name: str, root: str) -> str:
    """Write the page at the site's root, which leads on to the book's first and has its card."""
    tags = card_tags(card, name, root)
    return _FRONT.format(title=escape(card["og:title"]), name=name, tags=tags)
