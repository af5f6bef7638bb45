"""Editions: parameters are checked, every cell runs, the site is built whole or not at all."""

import json
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from arlib import editions
from arlib.editions import Edition, EditionError
from arlib.runs import Experiment

PARAMETERS = "k: int = 8  # K, how many\nalpha: float = 1.0\nruns: list = ['a', 'b']\nname = 'x'"


def chapter(*cells, parameters=PARAMETERS):
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    title = new_markdown_cell("# A chapter\n\nIts text.")
    return new_notebook(
        cells=[title, tagged, *map(new_code_cell, cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )


@pytest.fixture
def book(tmp_path):
    """A book of one page and one chapter, with two editions."""
    (tmp_path / "book").mkdir()
    (tmp_path / "src" / "arlib").mkdir(parents=True)
    (tmp_path / "editions").mkdir()
    (tmp_path / "book" / "index.md").write_text("# A book\n\nIts text.\n")
    nbformat.write(chapter("print('K is', k)"), tmp_path / "book" / "one.ipynb")
    toc = {
        "format": "jb-book",
        "root": "book/index",
        "parts": [{"caption": "All", "chapters": [{"file": "book/one"}]}],
    }
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    config = {"title": "A book", "execute": {"execute_notebooks": "off"}}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config))
    plain = {"title": "As it is", "parameters": {"k": 3}}
    (tmp_path / "editions" / "plain.yaml").write_text(yaml.safe_dump(plain))
    fresh = {
        "title": "Anew",
        "experiment": {"dataset": "twitter2", "backbones": ["squeezenet1_1"], "max_regions": 5},
    }
    (tmp_path / "editions" / "fresh.yaml").write_text(yaml.safe_dump(fresh))
    return tmp_path


def test_the_book_is_found_from_below(book):
    assert editions.find_book(book / "book") == book
    with pytest.raises(EditionError, match="run this inside a clone"):
        editions.find_book("/")


def test_an_edition_is_read_and_overridden(book):
    assert editions.load_edition(book, "plain") == Edition("plain", "As it is", {"k": 3})
    changed = editions.load_edition(book, "plain", {"k": 11, "alpha": 2, "runs": ["c"]})
    assert changed.parameters == {"k": 11, "alpha": 2, "runs": ["c"]}
    fresh = editions.load_edition(book, "fresh", {"max_regions": 7, "k": 2})
    assert fresh.experiment == Experiment("twitter2", ("squeezenet1_1",), max_regions=7)
    assert fresh.parameters == {"k": 2}


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("absent", {}, r"no edition 'absent'; there are fresh, plain"),
        ("plain", {"K": 3}, r"no parameter 'K' in edition plain; there are \['alpha', 'k', 'name'"),
        ("plain", {"max_regions": 3}, "no parameter 'max_regions'"),
        ("plain", {"k": 2.5}, "parameter k must be int like 8, not 2.5"),
        ("plain", {"k": True}, "parameter k must be int"),
        ("plain", {"runs": "a"}, "parameter runs must be list"),
        ("fresh", {"backbone": "x"}, r"no parameter 'backbone' .*'backbones', 'context'"),
    ],
)
def test_what_no_chapter_declares_is_refused(book, name, overrides, message):
    with pytest.raises(EditionError, match=message):
        editions.load_edition(book, name, overrides)


def test_unknown_keys_of_the_file_are_refused(book):
    path = book / "editions" / "fresh.yaml"
    raw = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(raw | {"titel": "x"}))
    with pytest.raises(EditionError, match=r"editions/fresh.yaml: unknown key\(s\) \['titel'\]"):
        editions.load_edition(book, "fresh")
    raw["experiment"]["regions"] = 3
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(EditionError, match=r"unknown key\(s\) \['regions'\]; there are \['backb"):
        editions.load_edition(book, "fresh")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("k = 1 + k", r"one.ipynb: 'k = 1 \+ k' is no literal"),
        ("print(3)", r"'print\(3\)' sets no name"),
        ("a, b = 1, 2", r"'a, b = \(1, 2\)' sets no name|'\(a, b\) = \(1, 2\)' sets no name"),
    ],
)
def test_a_parameters_cell_holds_flat_literals(tmp_path, parameters, message):
    path = tmp_path / "one.ipynb"
    nbformat.write(chapter(parameters=parameters), path)
    with pytest.raises(EditionError, match=message):
        editions.chapter_parameters(path)


def test_a_chapter_needs_one_parameters_cell(tmp_path):
    path = tmp_path / "one.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("k = 1")]), path)
    with pytest.raises(EditionError, match="has 0 cells tagged 'parameters', not one"):
        editions.chapter_parameters(path)


def execute(tmp_path, *cells, parameters=None):
    source, target = tmp_path / "one.ipynb", tmp_path / "out" / "one.ipynb"
    target.parent.mkdir()
    nbformat.write(chapter(*cells), source)
    editions.execute_chapter(source, target, parameters or {})
    return nbformat.read(target, as_version=4)


def test_parameters_reach_the_chapter_that_declares_them(tmp_path):
    done = execute(tmp_path, "print(k, alpha, name)", parameters={"k": 5, "other": 1})
    assert done.cells[-1].outputs[0].text == "5 1.0 x\n"
    injected = [c for c in done.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert len(injected) == 1
    assert "other" not in injected[0].source


def test_a_failing_cell_is_named(tmp_path):
    with pytest.raises(EditionError, match=r"one.ipynb, cell 3: ZeroDivisionError: division"):
        execute(tmp_path, "x = 1", "1 / 0")


def test_a_chapter_runs_where_it_is_staged(tmp_path):
    done = execute(tmp_path, "import os; print(os.getcwd())")
    assert done.cells[-1].outputs[0].text.strip() == str(tmp_path / "out")


def test_a_dying_kernel_is_an_error(tmp_path):
    with pytest.raises(Exception, match=r"(?i)kernel died|dead kernel"):
        execute(tmp_path, "import os; os._exit(1)")


def test_an_edition_becomes_a_site(book):
    said = []
    edition = editions.load_edition(book, "plain")
    page = editions.run_edition(book, edition, say=said.append)
    assert page == book / "_build" / "plain" / "html" / "index.html"
    site = page.parent
    assert (site / "book" / "one.html").read_text().count("K is 3") >= 1
    assert said == ["[1/1] book/one.ipynb", "building the site"]
    facts = json.loads((book / "_build" / "plain" / "edition.json").read_text())
    assert facts["title"] == "As it is"
    assert list(facts["seconds"]) == ["book/one.ipynb"]
    source = nbformat.read(book / "book" / "one.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in source.cells), "the source was written to"

    # A warning of the builder is an error, and the site that was there stays.
    (book / "book" / "index.md").write_text("# A book\n\n{doc}`absent`\n")
    with pytest.raises(EditionError, match=r"(?s)the site did not build.*absent"):
        editions.run_edition(book, edition, say=said.append)
    assert "K is 3" in (site / "book" / "one.html").read_text()


def test_an_edition_with_an_experiment_says_what_is_missing(book, monkeypatch):
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    edition = editions.load_edition(book, "fresh")
    with pytest.raises(ValueError, match=r"twitter2 is not here: get .* set ARLIB_DATA"):
        editions.run_edition(book, edition, say=str)
    assert not (book / "_build" / "fresh" / "html").exists()


def test_every_edition_of_the_book_is_well_formed():
    root = Path(__file__).parents[1]
    assert {"recorded", "smoke", "twitter2", "oasis", "paper"} <= set(editions.available(root))
    for name in editions.available(root):
        edition = editions.load_edition(root, name)
        assert edition.title
    assert editions.load_edition(root, "paper").experiment.backbones == ("vgg16",)
