"""A chapter cut where it needs labels, as papermill really leaves it."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError

from arlib.publishing.chapters import UNKNOWN, end_early


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """What papermill leaves of a chapter whose third cell raises, and that does not stop there."""
    folder = tmp_path_factory.mktemp("chapter")
    code = [
        "print(1)",
        "class LabelsNeeded(ValueError): pass\nraise LabelsNeeded('no labels')",
        "3",
    ]
    cells = [new_markdown_cell("# Title"), *map(new_code_cell, code), new_markdown_cell("after")]
    spec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), folder / "in.ipynb")
    with pytest.raises(PapermillExecutionError):
        execute_notebook(
            str(folder / "in.ipynb"),
            str(folder / "out.ipynb"),
            kernel_name="python3",
            language="python",
            progress_bar=False,
        )
    return nbformat.read(folder / "out.ipynb", as_version=4)


def test_what_ran_stays_and_a_note_takes_the_place_of_the_rest(failed):
    done = end_early(failed, "LabelsNeeded")
    nbformat.validate(done)
    assert [cell.source for cell in done.cells[:2]] == ["# Title", "print(1)"]
    assert done.cells[1].outputs[0].text == "1\n"
    assert done.cells[2].source.splitlines()[3] == "no labels."
    assert len(done.cells) == 3
    assert done.metadata == failed.metadata


def test_another_failure_is_no_early_end(failed):
    with pytest.raises(ValueError, match="no cell failed with KeyError"):
        end_early(failed, "KeyError")


def test_values_that_were_not_come_to_are_told_as_unknown():
    failed = new_output("error", ename="LabelsNeeded", evalue="no labels", traceback=[])
    before = (
        "{glue:text}`here:.2f` and {glue:text}`there:.1%`\n\n```{glue:} table\n:doc: x\n```\nend"
    )
    cells = [
        new_code_cell('glue("here", 1.0)'),
        new_markdown_cell(before),
        new_code_cell("check()", outputs=[failed]),
        new_code_cell('glue("there", 2)\nglue(\n    "table", frame)'),
    ]
    done = end_early(new_notebook(cells=cells), "LabelsNeeded")
    nbformat.validate(done)
    assert done.cells[1].source == f"{{glue:text}}`here:.2f` and {UNKNOWN}\n\n{UNKNOWN}\nend"
    assert cells[1].source == before
    assert done.cells[-1].metadata.tags == ["remove-cell"]
    glued = {o.metadata.scrapbook.name: o.data["text/plain"] for o in done.cells[-1].outputs}
    assert glued == {"there": repr(UNKNOWN), "table": repr(UNKNOWN)}
