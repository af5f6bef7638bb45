"""Editions are listed and compared, on their page and on the command line; texts stay texts."""

import json
import shutil

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from arlib.cli import main
from arlib.publishing.editions import Edition, EditionError
from arlib.publishing.pages import editions_page, status_page
from arlib.publishing.records import compare_editions, facts_of, list_editions

MARKUP = "<script>alert(1)</script> | `x` $y$ {z}"


def executed(*cells):
    """A chapter whose cells printed: (source, text)."""
    injected = new_code_cell("k = 3", metadata={"tags": ["injected-parameters"]})
    printed = [
        new_code_cell(source, outputs=[new_output("stream", name="stdout", text=text)])
        for source, text in cells
    ]
    return new_notebook(cells=[injected, *printed])


def run(accuracy, **settings):
    """What run.json says, as far as the page reads it."""
    rows = {"full image": accuracy, "+ obj + senti (K = 8)": accuracy + 0.1}
    results = {row: {"accuracy": {"estimate": rate}} for row, rate in rows.items()}
    data = {"images": 40, "majority": 0.6}
    experiment = {"dataset": "oasis", "backbones": ["squeezenet1_1"], "max_regions": 30} | settings
    return {"dataset": data, "results": results, "experiment": experiment}


def published(root, name):
    """Folder of the executed chapters in an edition's site."""
    return root / "_build" / name / "html" / "_sources" / "book"


def facts_in(root, name):
    return json.loads((root / "_build" / name / "edition.json").read_text())


def page_of(root, name):
    """An edition's page of editions, as it would be written now, parsed."""
    text = editions_page(root, name, facts_in(root, name), published(root, name))
    assert "\n\n<table" in text
    return BeautifulSoup(text, "html.parser")


def rows_of(table):
    """Rows of texts of a table's body."""
    return [[cell.get_text() for cell in row("td")] for row in table.tbody("tr")]


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
        values = {"k": k, "seed": 0, "name": MARKUP if name == "two" else "x"}
        edition, seconds = Edition(name, f"The {name}"), {"book/01_a.ipynb": 61.0}
        facts = facts_of(edition, values, seconds, [], run(0.5 + k / 100) if k == 3 else None)
        (tmp_path / "_build" / name / "edition.json").write_text(json.dumps(facts))
    return tmp_path


def test_parameters_and_cells_that_differ(book):
    comparison = compare_editions(book, "one", "two")
    assert comparison.parameters == {"k": (3, 4), "name": ("x", MARKUP)}
    assert comparison.same == 1
    assert [(cell.chapter, cell.source, cell.outputs) for cell in comparison.cells] == [
        ("01_a", "print(k)", ("3\n", "4\n")),
        ("01_a", "print(9)", (None, "9\n")),
    ]
    itself = compare_editions(book, "two", "two")
    assert (itself.parameters, itself.cells, itself.same) == ({}, [], 3)


def test_an_edition_that_was_not_built_is_refused(book):
    with pytest.raises(EditionError, match=r"'three' was not built here .*; built: one, two"):
        compare_editions(book, "one", "three")


def test_the_page_shows_what_the_command_prints(book):
    (element,) = page_of(book, "two").select("details.comparison")
    comparison = compare_editions(book, "one", "two")
    assert element.summary.get_text() == f"one and two: {comparison.summary}"
    assert comparison.summary == "2 parameters differ; 2 cells print something else, 1 the same"
    parameters, cells = element.select("table")
    assert rows_of(parameters) == [["k", "3", "4"], ["name", '"x"', json.dumps(MARKUP)]]
    assert rows_of(cells) == [
        ["01_a", "print(k)", "3", "4"],
        ["01_a", "print(9)", "(no such cell)", "9"],
    ]


def test_every_two_editions_are_compared(book):
    shutil.copytree(book / "_build" / "two", book / "_build" / "three")
    summaries = [
        e.get_text() for e in page_of(book, "three").select("details.comparison > summary")
    ]
    assert [line.partition(":")[0] for line in summaries] == [
        "one and three",
        "one and two",
        "three and two",
    ]
    assert (
        summaries[2]
        == "three and two: 0 parameters differ; 0 cells print something else, 3 the same"
    )


def test_long_texts_are_cut_and_blank_lines_stay_in_their_cell(book):
    for name in ("one", "two"):
        lines = "a\n\nc\nd\ne\nf\ng\n" + name
        nbformat.write(executed(("f", lines)), published(book, name) / "01_a.ipynb")
    cell = compare_editions(book, "one", "two").cells[0]
    excerpt = "a\n\nc\nd\ne\nf\n... and 2 lines more"
    assert cell.excerpts == (excerpt, excerpt)
    assert rows_of(page_of(book, "two").select("details.comparison table")[1])[0][2:] == [
        excerpt,
        excerpt,
    ]


def test_a_value_that_is_glued_counts(book):
    kind = "application/papermill.record/text/plain"
    for name, value in (("one", "1.5"), ("two", "2.5")):
        meta = {"scrapbook": {"name": "gain", "mime_prefix": "application/papermill.record/"}}
        output = new_output("display_data", data={kind: value}, metadata=meta)
        cell = new_code_cell("glue('gain', gain)", outputs=[output])
        nbformat.write(new_notebook(cells=[cell]), published(book, name) / "02_b.ipynb")
    glued = compare_editions(book, "one", "two").cells[-1]
    assert glued.outputs == ("gain = 1.5", "gain = 2.5")


def test_values_in_the_text_count(book):
    for name, value in (("one", "0.5"), ("two", "0.6")):
        result = {"status": "ok", "data": {"text/plain": value}, "metadata": {}}
        values = {"user_expressions": [{"expression": "gain", "result": result}]}
        cells = [
            new_markdown_cell("It is {eval}`gain`.", metadata=values),
            new_markdown_cell("So."),
        ]
        nbformat.write(new_notebook(cells=cells), published(book, name) / "02_b.ipynb")
    comparison = compare_editions(book, "one", "two")
    assert comparison.cells[-1].source == "It is {eval}`gain`."
    assert comparison.cells[-1].outputs == ("gain = 0.5", "gain = 0.6")
    assert len([cell for cell in comparison.cells if cell.chapter == "02_b"]) == 1


def test_recorded_runs_and_those_measured_here_are_listed(book):
    folders = {"book/results": run(0.7), "_build/one/results": run(0.8, backbones=["vgg16"])}
    for folder, facts in folders.items():
        (book / folder / "a-run").mkdir(parents=True)
        (book / folder / "a-run" / "run.json").write_text(json.dumps(facts))
    scenes = run(0.5, backbones=["vgg_tiny"], max_regions=60)
    (book / "_build/two/results/scenes").mkdir(parents=True)
    (book / "_build/two/results/scenes/run.json").write_text(json.dumps(scenes))
    unlabelled = run(0.1) | {"results": {}, "dataset": {"images": 2, "majority": None}}
    (book / "_build/one/results/none").mkdir()
    (book / "_build/one/results/none/run.json").write_text(json.dumps(unlabelled))
    never = "before that was noted"
    table = page_of(book, "two").select("table")[1]
    rows = {"|".join(row[:-1]): row[-1] for row in rows_of(table)}
    for row in (
        "a-run|OASIS (a-run) · SqueezeNet 1.1, frozen|book/results|30|40|70.0 %|80.0 %|60.0 %",
        "a-run|OASIS (a-run) · VGG-16, frozen|_build/one/results|30|40|80.0 %|90.0 %|60.0 %",
        "scenes|OASIS (scenes) · small VGG, frozen|_build/two/results|60|40|50.0 %|60.0 %|60.0 %",
        "none|OASIS (none) · SqueezeNet 1.1, frozen|_build/one/results|30|2|–|–|–",
    ):
        assert rows[row] == never


def test_one_edition_alone_is_compared_with_none(book):
    shutil.rmtree(book / "_build" / "one")
    page = page_of(book, "two")
    assert "Only this edition was built here" in page.get_text()
    assert page.select("details.comparison") == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"title": "x"}'])
def test_facts_that_are_broken_are_named(book, text):
    (book / "_build" / "one" / "edition.json").write_text(text)
    with pytest.raises(EditionError, match=r"_build/one/edition.json does not hold .*: remove it"):
        list_editions(book)


def test_an_edition_from_before_parameters_were_noted(book):
    old = json.dumps({"title": "Old", "seconds": {}})
    (book / "_build" / "one" / "edition.json").write_text(old)
    with pytest.raises(EditionError, match="'one' was built before parameters were noted"):
        compare_editions(book, "one", "two")
    assert "Only this edition was built here" in page_of(book, "two").get_text()


def test_an_edition_whose_site_was_removed(book):
    shutil.rmtree(published(book, "one"))
    with pytest.raises(EditionError, match="'one' no longer has its site: build it again"):
        compare_editions(book, "one", "two")
    assert "Only this edition was built here" in page_of(book, "two").get_text()


def test_pages_show_the_facts_and_markup_is_text(book):
    facts = facts_in(book, "two")
    status = BeautifulSoup(status_page("two", facts), "html.parser")
    page = page_of(book, "two")
    assert status("script") == page("script") == []
    build, seconds, parameters = map(rows_of, status("table"))
    assert ["name", MARKUP] in parameters
    assert ["book/01_a.ipynb", "61"] in seconds
    assert ["torch", facts["machine"]["torch"]] in build
    one, three, two = rows_of(page.table)
    assert one[:2] + one[5:] == ["one", "The one", "40", "53.0 %", "63.0 %", "60.0 %"]
    assert three == ["three", "The three", *"–––––––"]
    assert two[:2] == ["two", "The two"]
    for table in (*status("table"), *page("table")):
        assert table.caption.get_text()
        assert all(head["scope"] == "col" for head in table.thead("th"))


def test_the_command_line(book, monkeypatch, capsys):
    def printed(*words):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0
        return capsys.readouterr().out

    monkeypatch.chdir(book)
    listed = printed("editions").splitlines()
    assert [line.split()[0] for line in listed] == ["one", "three", "two"]
    assert "not built" in listed[1]
    text = printed("editions", "compare", "one", "two")
    assert text.splitlines()[0] == "k: 3 | 4"
    assert compare_editions(book, "one", "two").summary in text.splitlines()
    assert "  one:\n    (no such cell)\n  two:\n    9\n" in text
    compared = printed("editions", "compare", "one", "two", "--format", "json")
    assert json.loads(compared)["parameters"]["k"] == [3, 4]
    facts = {name: facts_in(book, name) for name in ("one", "two")}
    assert json.loads(printed("editions", "--format", "json")) == facts | {"three": None}
    assert "Exit status 0" in printed("editions", "compare", "--help")
