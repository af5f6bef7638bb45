"""From a staged book to its site: Jupyter Book called, its pages mended, notebooks beside them."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

from arlib.editions import EditionError, chapters, pages_of
from arlib.execution import INJECTED
from arlib.pages import mend_site, with_downloads
from arlib.replacing import replace_folder

NOTEBOOKS = "notebooks"
"""The site's folder of chapters without outputs."""


def configured(stage: Path, repository: str | None) -> None:
    """Let a staged book's pages link to its repository: its source, Colab and Binder.

    Args:
        stage: holds `_config.yml`, which is written anew.
        repository: its public address; None changes nothing.

    Raises:
        EditionError: it is no address of a repository on a public host.
    """
    if repository is None:
        return
    if not repository.startswith("https://") or repository.count("/") < 4:
        raise EditionError(f"{repository!r} is no address such as https://github.com/OWNER/NAME")
    path = stage / "_config.yml"
    config = yaml.safe_load(path.read_text())
    config["repository"] = {"url": repository.rstrip("/"), "branch": "main", "path_to_book": ""}
    config["launch_buttons"] = {
        "colab_url": "https://colab.research.google.com",
        "binderhub_url": "https://mybinder.org",
        "notebook_interface": "jupyterlab",
    }
    html = config.setdefault("html", {})
    html |= {"use_repository_button": True, "use_edit_page_button": True}
    path.write_text(yaml.safe_dump(config))


def build_site(stage: Path, build: Path) -> Path:
    """Build the staged book, warnings as errors, and put the site in its place in one rename.

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
    mend_site(fresh)
    _offer_notebooks(stage, fresh)
    _check_pages(stage, fresh)
    replace_folder(fresh, build / "html")
    shutil.rmtree(output)
    return build / "html" / "index.html"


def _check_pages(stage: Path, site: Path) -> None:
    """Refuse a site that lacks a page of the table of contents, or holds half of one."""
    for page in pages_of(stage):
        path = site / f"{page}.html"
        if not path.is_file() or not path.read_text().rstrip().endswith("</html>"):
            raise EditionError(f"the site did not build: its page {page} is missing or incomplete")


def _offer_notebooks(stage: Path, site: Path) -> None:
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
        text = with_downloads(page.read_text(encoding="utf-8"), forms)
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
