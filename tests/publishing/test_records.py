"""Editions side by side: what differs is told, what is not there is refused, texts stay texts."""

import json
import re
import shutil
from dataclasses import asdict

import nbformat
import pytest
import yaml
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook, new_output

from arlib import cli
from arlib.experiments import SyntheticProtocol
from arlib.publishing.editions import Edition, EditionError
from arlib.publishing.pages import editions_page, side_by_side, status_page
from arlib.publishing.records import built, compare_editions, facts_of, published

MARKUP = "<script>alert(1)</script> | `x` $y$ {z}"


def executed(*cells):
    """A chapter whose cells printed: (source, text)."""
    made = [
        new_code_cell(source, outputs=[new_output("stream", name="stdout", text=text)])
        for source, text in cells
    ]
    injected = new_code_cell("k = 3", metadata={"tags": ["injected-parameters"]})
    return new_notebook(cells=[injected, *made])


def run(accuracy, **settings):
    """What run.json says, as far as the page reads it."""
    ways = {"full image": accuracy, "+ obj + senti (K = 8)": accuracy + 0.1}
    results = {way: {"accuracy": {"estimate": rate}} for way, rate in ways.items()}
    data = {"images": 40, "majority": 0.6}
    experiment = {"backbones": ["squeezenet1_1"], "max_regions": 30} | settings
    return {"dataset": data, "results": results, "experiment": experiment}


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
        folder = published(tmp_path, name)
        folder.mkdir(parents=True)
        nbformat.write(chapter, folder / "01_a.ipynb")
        given = {"k": k, "seed": 0, "name": MARKUP if name == "two" else "x"}
        edition, seconds = Edition(name, f"The {name}"), {"book/01_a.ipynb": 61.0}
        facts = facts_of(edition, given, seconds, [], run(0.5 + k / 100) if k == 3 else None)
        (tmp_path / "_build" / name / "edition.json").write_text(json.dumps(facts))
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


def compared(page):
    """The JSON in an editions page."""
    return json.loads(re.search(r'id="compare-facts">(.*)</script>', page)[1])


def test_what_the_page_compares_is_what_the_command_says(book):
    page = editions_page(book, "two", built(book)["two"], published(book, "two"))
    told = compared(page)
    assert [edition["name"] for edition in told["editions"]] == ["one", "two"]
    assert [edition["said"] for edition in told["editions"]] == [[0, -1], [1, 0]]
    assert [(cell["source"], cell["texts"]) for cell in told["cells"]] == [
        ("print(k)", ["3", "4"]),
        ("print(9)", ["9"]),
    ]
    assert told["alike"] == compare_editions(book, "one", "two").same == 1


def test_long_texts_that_end_otherwise_are_told_apart():
    texts = {name: "\n".join([*"abcdefg", name]) for name in ("x", "y")}
    facts = {"title": "", "seconds": {}, "parameters": {}}
    told = side_by_side(
        dict.fromkeys(texts, facts), {n: {("01", "f", 0): t} for n, t in texts.items()}
    )
    assert told["cells"][0]["texts"] == ["a\nb\nc\nd\ne\nf\n... and 2 lines more"] * 2
    assert [edition["said"] for edition in told["editions"]] == [[0], [1]]


def test_a_value_that_is_glued_counts(book):
    kind = "application/papermill.record/text/plain"
    for name, value in (("one", "1.5"), ("two", "2.5")):
        meta = {"scrapbook": {"name": "gain", "mime_prefix": "application/papermill.record/"}}
        output = new_output("display_data", data={kind: value}, metadata=meta)
        cell = new_code_cell("glue('gain', gain)", outputs=[output])
        nbformat.write(new_notebook(cells=[cell]), published(book, name) / "02_b.ipynb")
    glued = compare_editions(book, "one", "two").cells[-1]
    assert glued.outputs == ("gain = 1.5", "gain = 2.5")


def test_recorded_runs_and_those_measured_here_are_listed(book):
    folders = {"book/results": run(0.7), "_build/one/results": run(0.8, backbones=["vgg16"])}
    for folder, facts in folders.items():
        (book / folder / "a-run").mkdir(parents=True)
        (book / folder / "a-run" / "run.json").write_text(json.dumps(facts))
    drawn = run(0.5) | {"experiment": {"synthetic": asdict(SyntheticProtocol())}}
    (book / "_build/two/results/drawn").mkdir(parents=True)
    (book / "_build/two/results/drawn/run.json").write_text(json.dumps(drawn))
    unlabelled = run(0.1) | {"results": {}, "dataset": {"images": 2, "majority": None}}
    (book / "_build/one/results/none").mkdir()
    (book / "_build/one/results/none/run.json").write_text(json.dumps(unlabelled))
    page = editions_page(book, "two", built(book)["two"], published(book, "two"))
    for row in (
        "a-run|book/results|squeezenet1_1|30|40|70.0 %|80.0 %|60.0 %|before that was noted",
        "a-run|_build/one/results|vgg16|30|40|80.0 %|90.0 %|60.0 %|before that was noted",
        "drawn|_build/two/results|vgg_tiny|60|40|50.0 %|60.0 %|60.0 %|before that was noted",
        "none|_build/one/results|squeezenet1_1|30|2|–|–|–|before that was noted",
    ):
        assert f"<tr><td>{row.replace('|', '</td><td>')}</td></tr>" in page


def test_one_edition_alone_has_no_picker(book):
    shutil.rmtree(book / "_build" / "one")
    page = editions_page(book, "two", built(book)["two"], published(book, "two"))
    assert "Only this edition was built here" in page
    assert "<select" not in page


@pytest.mark.parametrize("text", ["", "{", "[]", '{"title": "x"}'])
def test_facts_that_are_broken_are_named(book, text):
    (book / "_build" / "one" / "edition.json").write_text(text)
    with pytest.raises(EditionError, match=r"_build/one/edition.json does not say .*: remove it"):
        built(book)


def test_an_edition_from_before_parameters_were_noted(book):
    old = json.dumps({"title": "Old", "seconds": {}})
    (book / "_build" / "one" / "edition.json").write_text(old)
    with pytest.raises(EditionError, match="'one' is of before parameters were noted"):
        compare_editions(book, "one", "two")
    page = editions_page(book, "two", built(book)["two"], published(book, "two"))
    assert "Only this edition was built here" in page


def test_an_edition_whose_site_was_removed(book):
    shutil.rmtree(published(book, "one"))
    with pytest.raises(EditionError, match="the site of edition 'one' is no longer here"):
        compare_editions(book, "one", "two")
    page = editions_page(book, "two", built(book)["two"], published(book, "two"))
    assert "Only this edition was built here" in page


def test_pages_say_it_and_markup_is_text(book):
    facts = built(book)["two"]
    status = status_page("two", facts)
    page = editions_page(book, "two", facts, published(book, "two"))
    assert "<script>" not in status + page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | `x` $y$ {z}" in status
    assert compared(page)["editions"][1]["parameters"]["name"] == json.dumps(MARKUP)
    assert "<td>book/01_a.ipynb</td><td>61</td>" in status
    assert facts["machine"]["torch"] in status
    assert "<td>three</td><td>The three</td><td>–</td><td>–</td>" in page
    assert re.search(r"<td>one</td><td>The one</td>.*?<td>40</td><td>53.0 %</td><td>63.0 %", page)
    assert "<td>two</td><td>The two</td>" in page
    assert "<option selected>two</option>" in page


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
    whole = CliRunner().invoke(cli.app, ["editions", "--format", "json"])
    assert json.loads(whole.output) == built(book) | {"three": None}
    assert "Exit status 0" in CliRunner().invoke(cli.app, ["editions", "compare", "--help"]).output
