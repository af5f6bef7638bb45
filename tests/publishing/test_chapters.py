"""Chapters that end otherwise than well: each is told from a good one, with chapter and cell."""

import os
import subprocess

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from arlib.publishing.chapters import execute_chapter, verify
from arlib.publishing.editions import EditionError

SPEC = {"name": "python3", "display_name": "Python 3"}


def execute(folder, *cells, **settings):
    """Title, parameters, cells; the first of them is cell 2 of the source, 3 when executed."""
    tagged = new_code_cell("k = 1", metadata={"tags": ["parameters"]})
    source = new_notebook(
        cells=[new_markdown_cell("# Title"), tagged, *map(new_code_cell, cells)],
        metadata={"kernelspec": SPEC},
    )
    target = folder / "out" / "one.ipynb"
    target.parent.mkdir(exist_ok=True)
    nbformat.write(source, folder / "one.ipynb")
    execute_chapter(folder / "one.ipynb", target, {"k": 2}, **settings)
    return nbformat.read(target, as_version=4)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["import os; os._exit(0)", "2"], r"one\.ipynb, cell 3: its kernel died"),
        (["1", "import os; os._exit(0)"], r"one\.ipynb, cell 4: its kernel died"),
        (["import os; os.kill(os.getpid(), 9)", "2"], r"one\.ipynb, cell 3: its kernel died"),
        (["import sys; sys.exit(0)", "2"], r"one\.ipynb, cell 3 ended with SystemExit: 0"),
        (["1", "raise SystemExit"], r"one\.ipynb, cell 4 ended with SystemExit"),
        (["import sys; sys.exit(3)"], r"one\.ipynb, cell \d: SystemExit: 3"),
        (["import time; time.sleep(600)"], r"one\.ipynb, cell 3 took longer than 4 s"),
        (["import os; os.kill(os.getpid(), 19)"], r"one\.ipynb, cell 3 took longer than 4 s"),
        (["1 / 0", "2"], r"one\.ipynb, cell \d: ZeroDivisionError: division by zero"),
    ],
)
def test_no_bad_end_is_taken_for_a_good_one(tmp_path, cells, message):
    with pytest.raises(EditionError, match=message):
        execute(tmp_path, *cells, timeout=4)
    assert list((tmp_path / "out").iterdir()) == [], "half a chapter is left"


def test_a_good_end(tmp_path):
    done = execute(tmp_path, "print(k)", "")
    assert done.cells[3].outputs[0].text == "2\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one.ipynb"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root alone")
@pytest.mark.parametrize("kib", [4, 16])
def test_a_full_disk(tmp_path, kib):
    """Too small for the notebook at first, or for what its cells print."""
    disk = tmp_path / "out"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(disk)], check=True)
    try:
        with pytest.raises(EditionError, match=r"one\.ipynb could not be written: .*No space left"):
            execute(tmp_path, "print('x' * 9000)", "print('y' * 9000)")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def notebook():
    return new_notebook(cells=[new_markdown_cell("# T"), new_code_cell("1"), new_code_cell("")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cells: cells.pop(), "has other cells than its source"),
        (lambda cells: cells.append(new_code_cell("3")), "has other cells than its source"),
        (lambda cells: cells[0].update(source="2"), "has other cells than its source"),
        (lambda cells: cells[1].update(execution_count=None), "cell 1 did not run: '1'"),
        (
            lambda cells: cells[1].update(
                outputs=[new_output("error", ename="E", evalue="v", traceback=[])]
            ),
            "cell 1 ended with E: v",
        ),
    ],
)
def test_what_is_not_whole_is_named(change, message):
    source, done = notebook(), notebook()
    done.cells[1].execution_count = 1
    verify(done, source, "one.ipynb")
    change(done.cells)
    with pytest.raises(EditionError, match=message):
        verify(done, source, "one.ipynb")
