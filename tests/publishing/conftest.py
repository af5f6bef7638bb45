"""A small book for the tests of publishing."""

import time

import nbformat
import psutil
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = "k: int = 8  # K, how many\nalpha: float = 1.0\nruns: list = ['a', 'b']\nname = 'x'"


def as_cells(cells):
    """Code where a text stands, the cell where one does."""
    return [new_code_cell(each) if isinstance(each, str) else each for each in cells]


def chapter(*cells, parameters=PARAMETERS):
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    title = new_markdown_cell("# A chapter\n\nIts text.")
    return new_notebook(
        cells=[title, tagged, *as_cells(cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )


def ends(pid):
    """Whether a process ends, within half a minute; one that nobody waits for has ended."""
    try:
        process = psutil.Process(pid)
        deadline = time.monotonic() + 30
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.1)
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


ODD = "{course} b{k} [a]* 'q' \"d\" 50% #é\n"
"""A folder's name that nothing may read anything into."""


@pytest.fixture
def book(tmp_path):
    """A book of one page and one chapter, with two editions, in a folder of an odd name."""
    tmp_path = tmp_path / ODD
    tmp_path.mkdir()
    (tmp_path / "book").mkdir()
    (tmp_path / "src" / "arlib").mkdir(parents=True)
    (tmp_path / "editions").mkdir()
    (tmp_path / "book" / "index.md").write_text("# A book\n\nIts text.\n")
    text = new_markdown_cell("And one more is {eval}`f'<{k + 1}>'`.")
    nbformat.write(chapter("print('K is', k)", text), tmp_path / "book" / "one.ipynb")
    toc = {
        "format": "jb-book",
        "root": "book/index",
        "parts": [{"caption": "All", "chapters": [{"file": "book/one"}]}],
    }
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    sphinx = {"extra_extensions": ["arlib.publishing.site"]}
    config = {"title": "A book", "execute": {"execute_notebooks": "off"}, "sphinx": sphinx}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config))
    plain = {"title": "As it is", "parameters": {"k": 3}}
    (tmp_path / "editions" / "plain.yaml").write_text(yaml.safe_dump(plain))
    fresh = {
        "title": "Anew",
        "experiment": {"dataset": "twitter2", "backbones": ["squeezenet1_1"], "max_regions": 5},
    }
    (tmp_path / "editions" / "fresh.yaml").write_text(yaml.safe_dump(fresh))
    return tmp_path


@pytest.fixture
def scenes_book(book):
    """The same book with an edition of synthetic scenes, and a chapter that names two settings."""
    own = PARAMETERS + "\nmax_regions: int = 60\nlocal_share: float = 0.5\nrun = 'x'"
    code = "from pathlib import Path\nprint(sorted(p.name for p in Path('results').iterdir()))"
    nbformat.write(chapter(code, parameters=own), book / "book" / "one.ipynb")
    raw = {
        "title": "Scenes",
        "experiment": {"dataset": "scenes", "scale": 0.1, "max_regions": 5},
        "parameters": {"k": 3},
    }
    (book / "editions" / "scenes.yaml").write_text(yaml.safe_dump(raw))
    return book


PROTOCOL = {
    "backbone": "vgg_tiny",
    "weights": "random",
    "finetune": {"dataset": "vso", "hold_out": 0.2, "training": {"iterations": 3, "lr": 0.01}},
    "columns": ["twitter2", "vso-held-out"],
    "proposals": "grid",
    "max_regions": 3,
    "rows": ["vggnet"],
}


@pytest.fixture
def protocol_book(book):
    """The same book with an edition of the paper's protocol."""
    raw = {"title": "The protocol", "protocol": PROTOCOL}
    (book / "editions" / "tiny.yaml").write_text(yaml.safe_dump(raw))
    return book
