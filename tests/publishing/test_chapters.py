"""Execution of a chapter: complete, ended early for want of labels, or refused with its cell."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from jupyter_client.connect import LocalPortCache
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError
from tests.publishing.conftest import ODD, as_cells, ends

from arlib.publishing.chapters import (
    UNKNOWN,
    Kernels,
    end_early,
    execute_chapter,
    text_values,
    verify,
)
from arlib.publishing.editions import EditionError

SPEC = {"name": "python3", "display_name": "Python 3"}


def execute(folder, *cells, parameters=None, **settings):
    """Title, parameters, cells; the first of them is cell 2 of the source, 3 when executed."""
    tagged = new_code_cell("k = 1", metadata={"tags": ["parameters"]})
    source = new_notebook(
        cells=[new_markdown_cell("# Title"), tagged, *as_cells(cells)],
        metadata={"kernelspec": SPEC},
    )
    target = folder / "out" / "one.ipynb"
    target.parent.mkdir(exist_ok=True)
    nbformat.write(source, folder / "one.ipynb")
    execute_chapter(folder / "one.ipynb", target, parameters or {"k": 2}, **settings)
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
def test_a_chapter_that_fails_is_refused_with_its_cell(tmp_path, cells, message):
    with pytest.raises(EditionError, match=message):
        execute(tmp_path, *cells, timeout=4)
    assert list((tmp_path / "out").iterdir()) == [], "an incomplete chapter is left"


def test_a_complete_chapter_is_written(tmp_path):
    """In a folder whose name has braces, which papermill fills with parameters."""
    folder = tmp_path / ODD
    folder.mkdir()
    numbers = []
    done = execute(folder, "print(k)", "", on_cell=numbers.append)
    assert done.cells[3].outputs[0].text == "2\n"
    assert [path.name for path in (folder / "out").iterdir()] == ["one.ipynb"]
    assert numbers == [0, 1, 2, 3, 4]


EXPRESSIONS = {
    "f'{x:.1%}'": "25.6%",
    'f"{x:,.2f} of {len(s)}"': "0.26 of 8",
    "s": "it's \\n\"",
    "'a' if x > 1 else \"b's\"": "b's",
    "{'k': [1]}['k'][0]": "1",
    "np.float64(0.5).item()": "0.5",
}


def test_expressions_in_the_text_are_evaluated_where_they_stand(tmp_path):
    text = new_markdown_cell("- " + ", **".join(f"{{eval}}`{each}`" for each in EXPRESSIONS))
    again = new_markdown_cell("# {eval}`x`, {eval}``'`' + str(k)``, `{eval}`, {eval} `x`")
    first = "import numpy as np\nx, s = 0.256, 'it\\'s \\\\n\"'"
    done = execute(tmp_path, first, text, "x = 2", again, "print(x)")
    assert dict(text_values(done.cells[4])) == EXPRESSIONS
    assert text_values(done.cells[6]) == [("x", "2"), ("'`' + str(k)", "`2")]
    assert [cell.source for cell in done.cells[4:7:2]] == [text.source, again.source]
    assert [c.execution_count for c in done.cells if c.cell_type == "code"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("expression", "cause"),
    [
        ("absent", "NameError: name 'absent' is not defined"),
        ("f'{k:.1%'", "SyntaxError: "),
    ],
)
def test_an_expression_that_fails_is_refused_with_its_cell(tmp_path, expression, cause):
    text = new_markdown_cell(f"It is {{eval}}`k`, {{eval}}`{expression}`.")
    where = r"^one\.ipynb, cell 4: \{eval\}`" + re.escape(expression)
    with pytest.raises(EditionError, match=f"{where}`: {cause}"):
        execute(tmp_path, "1", text, "2")
    assert list((tmp_path / "out").iterdir()) == [], "an incomplete chapter is left"


def test_a_chapter_runs_in_this_environment_whatever_kernel_jupyter_lists(tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    other = {"argv": ["/removed/bin/python", "-m", "x"], "display_name": "", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(other))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    done = execute(tmp_path, "import sys; print(sys.executable)")
    assert done.cells[-1].outputs[0].text.strip() == sys.executable


@pytest.mark.parametrize("taken", [1, 3])
def test_a_port_that_another_process_took_is_no_failure_unless_it_lasts(
    tmp_path, monkeypatch, taken
):
    """Of a kernel's ports one is in use: once, or whenever a kernel starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        choose, chosen = LocalPortCache.find_available_port, []

        def find(self, ip):
            chosen.append(ip)
            first, number = len(chosen) % 5 == 1, 1 + (len(chosen) - 1) // 5  # five a kernel
            return server.getsockname()[1] if first and number <= taken else choose(self, ip)

        monkeypatch.setattr(LocalPortCache, "find_available_port", find)
        if taken == 1:
            assert execute(tmp_path, "k").cells[-1].outputs
        else:
            with pytest.raises(EditionError, match=r"one\.ipynb: .* died"):
                execute(tmp_path, "k")
    assert len(chosen) == 5 * min(taken + 1, 3)


def test_a_python_that_is_gone_is_named_with_the_chapter(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "removed"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    message = r"^one\.ipynb: its kernel did not start: .*No such file.*/removed'$"
    with pytest.raises(EditionError, match=message):
        execute(tmp_path, "1")
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.ipynb", "out"]


SLEEPY = """import os, pathlib, signal, time
pathlib.Path("kernel").write_text(str(os.getpid()))
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(600)"""


def test_a_killed_process_leaves_neither_its_kernel_nor_the_kernel_s_file(tmp_path):
    code = """
import sys
from pathlib import Path
from arlib.publishing.chapters import execute_chapter
execute_chapter(Path("one.ipynb"), Path("out.ipynb").absolute(), {})
"""
    tagged = new_code_cell("k = 1", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[tagged, new_code_cell(SLEEPY)]), tmp_path / "one.ipynb")
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert ends(int((tmp_path / "kernel").read_text()))
    assert not list((tmp_path / "tmp").glob("*.json"))


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


def test_parameters_reach_the_chapter_that_declares_them(tmp_path):
    done = execute(tmp_path, "print(k)", parameters={"k": 5, "other": 1})
    assert done.cells[-1].outputs[0].text == "5\n"
    injected = [c for c in done.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert len(injected) == 1
    assert "other" not in injected[0].source


@pytest.mark.parametrize(("asked", "threads"), [(None, "4"), ("3", "3")])
def test_kernels_that_run_at_once_share_the_cores(tmp_path, monkeypatch, asked, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    code = 'import os; print(os.environ["OMP_NUM_THREADS"])'
    done = execute(tmp_path, code, kernels=Kernels(2))
    assert done.cells[-1].outputs[0].text == f"{threads}\n"


def test_a_chapter_runs_where_it_is_staged(tmp_path, monkeypatch):
    """Without moving this process there: two chapters are executed at once, by threads."""
    folders, here = set(), str(Path.cwd())
    monkeypatch.setattr("os.chdir", lambda path: folders.add(str(path)))
    done = execute(tmp_path, "import os; print(os.getcwd())")
    assert folders <= {here}
    assert done.cells[-1].outputs[0].text.strip() == str(tmp_path / "out")


TEXTS = ['"); import os; os.abort(); ("', '\\"\n1/0 #', "\u2028\r\n\t'", "{k}", "%s $x `id`"]


def test_a_parameter_s_text_is_text(tmp_path):
    done = execute(tmp_path, "print(ascii(k))", parameters={"k": TEXTS})
    assert done.cells[-1].outputs[0].text == ascii(TEXTS) + "\n"


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
def test_an_incomplete_chapter_is_refused(change, message):
    source, done = notebook(), notebook()
    done.cells[1].execution_count = 1
    verify(done, source, "one.ipynb")
    change(done.cells)
    with pytest.raises(EditionError, match=message):
        verify(done, source, "one.ipynb")


@pytest.fixture(scope="module")
def failed_chapter(tmp_path_factory):
    """What papermill leaves of a chapter whose third cell raises."""
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


def test_the_cells_that_ran_stay_and_a_note_replaces_the_rest(failed_chapter):
    done = end_early(failed_chapter, "LabelsNeeded")
    nbformat.validate(done)
    assert [cell.source for cell in done.cells[:2]] == ["# Title", "print(1)"]
    assert done.cells[1].outputs[0].text == "1\n"
    assert done.cells[2].source.splitlines()[3] == "no labels."
    assert len(done.cells) == 3
    assert done.metadata == failed_chapter.metadata


def test_another_failure_is_no_early_end(failed_chapter):
    with pytest.raises(ValueError, match="no cell failed with KeyError"):
        end_early(failed_chapter, "KeyError")


def test_values_that_were_not_computed_are_glued_as_unknown():
    failed = new_output("error", ename="LabelsNeeded", evalue="no labels", traceback=[])
    cells = [
        new_code_cell('glue("here", 1.0)'),
        new_code_cell("check()", outputs=[failed]),
        new_code_cell('glue("here", 2)\nglue(\n    "table", frame)'),
    ]
    done = end_early(new_notebook(cells=cells), "LabelsNeeded")
    nbformat.validate(done)
    assert done.cells[-1].metadata.tags == ["remove-cell"]
    glued = {o.metadata.scrapbook.name: o.data["text/plain"] for o in done.cells[-1].outputs}
    assert glued == {"table": repr(UNKNOWN)}
