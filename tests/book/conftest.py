"""Two editions of the book, each run once for all tests that stand on it, and what they said."""

import ast
import os
import re
import shutil
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import nbformat
import pytest

from arlib.publishing import load_edition, run_edition
from arlib.publishing.chapters import EXPRESSION, text_values

ROOT = Path(__file__).parents[2]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """Give one worker all tests of one edition, so that it is made once, and a page its tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            group = "recorded" if item.path.stem == "test_recorded" else "book"
            item.add_marker(pytest.mark.xdist_group(group))
    others = [item for item in items if not _is_for_its_page(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def _is_for_its_page(item):
    """Whether every mark `pages` of a test, if it has any, names the page that it opens."""
    return all(item.callspec.params["page"] in mark.args for mark in item.iter_markers("pages"))


def copy_sources(root):
    """A copy of the book's sources, so that nothing is built in the repository."""
    for name in ("book", "src", "editions"):
        ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root / name)


def shown_values(path):
    """What an executed chapter's text says, by its expression, and what it glued, by its name.

    Of an expression such as f"{share:.0%}" what stands between the braces is the name.
    """
    values = {}
    for cell in nbformat.read(path, as_version=4).cells:
        for expression, value in text_values(cell):
            values[_name(expression)] = value
        for output in cell.get("outputs", []):
            record = output.get("metadata", {}).get("scrapbook")
            if record:
                text = output["data"][record["mime_prefix"] + "text/plain"]
                with suppress(SyntaxError):  # a table, not a value
                    values[record["name"]] = ast.literal_eval(text)
    return values


def _name(expression):
    return re.sub(r'^f"\{(.*)\}"$', r"\1", expression)


def run_cells(name, parameters):
    """Execute a chapter in this process, without a kernel, which costs as much as most chapters.

    What it says, by its expression; what it glued, by its name; and the values that cells show.
    """
    said, glued, shown, names = {}, {}, [], {}
    for cell in nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type != "code":
            for match in EXPRESSION.finditer(cell.source):
                said[match[2]] = str(eval(match[2], names))
            continue
        tree = ast.parse(cell.source.replace("%matplotlib inline", ""))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), name, "eval"), names))
        if "parameters" in cell.metadata.get("tags", []):
            names |= {key: value for key, value in parameters.items() if key in names}
        names["glue"] = lambda key, value, display: glued.update({key: value})
    return said, glued, shown


@contextmanager
def of_its_own(tmp_path_factory):
    """Neither data nor the cache of the person who runs the tests; one cache for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ARLIB_DATA", raising=False)  # what a reader without data sees
        patch.setenv("ARLIB_CACHE", str(shared / "cache"))
        yield


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """The smoke edition, built: its `_build/smoke`."""
    root = tmp_path_factory.mktemp("book")
    copy_sources(root)
    with of_its_own(tmp_path_factory):
        run_edition(root, load_edition(root, "smoke"), say=print)
    return root / "_build" / "smoke"


@pytest.fixture(scope="session")
def glued(book):
    """Return a function: a chapter's stem -> name -> the value, in the smoke edition."""
    return lambda stem: shown_values(book / "source" / "book" / f"{stem}.ipynb")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """Return a function: a chapter's stem -> what it says on the recorded runs, as `glued` has it.

    Each is executed once, in this process: that kernels do so is for the smoke edition to show.
    """
    parameters = load_edition(ROOT, "recorded", {"scale": 0.02}).parameters

    @cache
    def executed(stem):
        with of_its_own(tmp_path_factory), pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT / "book")
            said, glued, _ = run_cells(stem, parameters)
        return {_name(expression): value for expression, value in said.items()} | glued

    return executed
