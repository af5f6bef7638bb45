"""Editions side by side: what differs is told, what is not there is refused, texts stay texts."""

import json

import nbformat
import pytest
import yaml
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook, new_output

from arlib import cli
from arlib.comparing import built, compare_editions, editions_page
from arlib.editions import Edition, EditionError
from arlib.status import facts_of, status_page

MARKUP = "<script>alert(1)</script> | `x` $y$ {z}"


def executed(*cells):
    """A chapter whose cells printed: (source, text)."""
    made = [
        new_code_cell(source, outputs=[new_output("stream", name="stdout", text=text)])
        for source, text in cells
    ]
    injected = new_code_cell("k = 3", metadata={"tags": ["injected-parameters"]})
    return new_notebook(cells=[injected, *made])


@pytest.fixture
def book(tmp_path):
    """A book with three editions, two of them built."""
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump({"root": "book/index", "parts": []}))
    for folder in ("editions", "book/results"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("one", "two", "three"):
        (tmp_path / "editions" / f"{name}.yaml").write_text(f"title: The {name}\n")
    chapters = {
        "one": executed(("print(k)", "3\n"), ("print(2)", "2\n")),
        "two": executed(("print(k)", "4\n"), ("print(2)", "2\n"), ("print(9)", "9\n")),
    }
    for k, (name, chapter) in enumerate(chapters.items(), 3):
        folder = tmp_path / "_build" / name / "source" / "book"
        folder.mkdir(parents=True)
        nbformat.write(chapter, folder / "01_a.ipynb")
        given = {"k": k, "seed": 0, "name": MARKUP if name == "two" else "x"}
        facts = facts_of(Edition(name, f"The {name}"), given, {"book/01_a.ipynb": 61.0}, [])
        (folder.parents[1] / "edition.json").write_text(json.dumps(facts))
    return tmp_path


def test_parameters_and_cells_that_differ(book):
    found = compare_editions(book, "one", "two")
    assert found.parameters == {"k": (3, 4), "name": ("x", MARKUP)}
    assert found.same == 1
    told = [(cell.chapter, cell.source, cell.outputs) for cell in found.cells]
    assert told == [
        ("01_a", "print(k)", ("3\n", "4\n")),
        ("01_a", "print(9)", (None, "9\n")),
    ]
    alike = compare_editions(book, "two", "two")
    assert (alike.parameters, alike.cells, alike.same) == ({}, [], 3)


def test_an_edition_that_was_not_built_is_refused(book):
    with pytest.raises(EditionError, match=r"'three' was not built here .*; built: one, two"):
        compare_editions(book, "one", "three")


def test_pages_say_it_and_markup_is_text(book):
    facts = built(book)["two"]
    status, page = status_page("two", facts), editions_page(book, "two", facts)
    for text in (status, page):
        assert "<script>" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; | `x` $y$ {z}" in text
    assert "<td>book/01_a.ipynb</td><td>61</td>" in status
    assert facts["machine"]["torch"] in status
    assert "<td>three</td><td>The three</td><td>–</td><td>–</td>" in page
    assert "<td>two</td><td>The two</td>" in page
    assert "<td>k</td><td>4</td><td>3</td>" in page


def test_the_command_line(book, monkeypatch):
    monkeypatch.chdir(book)
    listed = CliRunner().invoke(cli.app, ["editions"])
    assert listed.exit_code == 0
    names = [line.split()[0] for line in listed.output.splitlines()]
    assert names == ["one", "three", "two"]
    assert "not built" in listed.output.splitlines()[1]
    text = CliRunner().invoke(cli.app, ["editions", "compare", "one", "two"]).output
    assert text.splitlines()[0] == "k: 3 | 4"
    assert "2 cells print otherwise, 1 the same" in text
    assert "(no such cell)" in text
    told = CliRunner().invoke(cli.app, ["editions", "compare", "one", "two", "--format", "json"])
    assert json.loads(told.output)["parameters"]["k"] == [3, 4]
