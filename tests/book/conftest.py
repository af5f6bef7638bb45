"""The smoke edition, run once for all tests of chapters and pages, and what it glued."""

import ast
import shutil
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

from arlib import editions

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items):
    """One worker runs all that stands on the built book, so that it is built once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("book"))


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """A copy of the book's sources with the smoke edition built in it: its `_build/smoke`."""
    root = tmp_path_factory.mktemp("book")
    for name in ("book", "src", "editions"):
        ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ARLIB_DATA", raising=False)  # what a reader without data sees
        editions.run_edition(root, editions.load_edition(root, "smoke"), say=print)
    return root / "_build" / "smoke"


@pytest.fixture(scope="session")
def glued(book):
    """Return a function: a chapter's stem -> glue name -> the value that it glued."""

    def of(stem):
        notebook = nbformat.read(book / "source" / "book" / f"{stem}.ipynb", as_version=4)
        values = {}
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                record = output.get("metadata", {}).get("scrapbook")
                if record:
                    text = output["data"][record["mime_prefix"] + "text/plain"]
                    with suppress(SyntaxError):  # a table, not a value
                        values[record["name"]] = ast.literal_eval(text)
        return values

    return of
