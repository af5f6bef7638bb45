"""From a staged book to its site: Jupyter Book called, its pages mended, notebooks beside them."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

from arlib.cards import front, with_card
from arlib.editions import EditionError, chapters, pages_of
from arlib.execution import INJECTED
from arlib.lighter import lighten
from arlib.pages import mend_site, with_downloads
from arlib.public import Public
from arlib.replacing import replace_folder
from arlib.shown import add_dark_figures

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
    mend_site(fresh)
    add_dark_figures(stage, fresh)
    lighten(fresh)
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
