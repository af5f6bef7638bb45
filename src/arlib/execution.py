"""One chapter executed, and nothing taken on trust: every cell must have run, and ended well.

papermill alone calls a notebook done whose kernel was killed, or that left by `sys.exit(0)`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from arlib.early_end import end_early
from arlib.editions import EditionError, chapter_parameters
from arlib.replacing import write_whole
from arlib.shelf import LabelsNeeded

TIMEOUT = 3600.0
"""Seconds that a cell may take, unless told otherwise."""

INJECTED = "injected-parameters"
"""What papermill tags the cell of parameters with."""

NOBODY_THERE = {"live": 0}
"""Parameters of a chapter that is executed for its page: no kernel stands behind that."""


def execute_chapter(
    source: Path, target: Path, parameters: Mapping[str, Any], *, timeout: float = TIMEOUT
) -> None:
    """Execute one chapter with those parameters that it declares, and verify that all of it ran.

    A chapter that comes to where it needs labels, and has none, ends there with a note. Its
    parameter `live`, if it has one, is 0 unless given: no kernel stands behind a page.

    Args:
        source: the chapter, as it is in the repository.
        target: where the executed one is written, whole or not at all; the kernel runs there.
        parameters: name -> value.
        timeout: seconds that a cell may take.

    Raises:
        EditionError: names the chapter and the cell that failed, took too long, left early, killed
            its kernel or did not run; or what could not be written. Nothing is at `target` then.
    """
    declared = chapter_parameters(source)
    given = NOBODY_THERE | dict(parameters)
    mine = {name: value for name, value in given.items() if name in declared}
    working = target.with_name(f".{target.name}.running.ipynb")
    target.unlink(missing_ok=True)
    try:
        early = _run(source, working, mine, timeout)
        notebook = _read(source, working)
        if early:
            notebook = end_early(notebook, LabelsNeeded.__name__)
        else:
            verify(notebook, nbformat.read(source, as_version=4), source.name)
        write_whole(target, nbformat.writes(notebook))
    except OSError as error:
        raise EditionError(f"{source.name} could not be written: {error}") from error
    finally:
        working.unlink(missing_ok=True)


def verify(done: nbformat.NotebookNode, source: nbformat.NotebookNode, name: str) -> None:
    """Check that an executed chapter is the whole source, each cell run and none in error.

    Args:
        done: the executed notebook.
        source: what it was made from.
        name: of the chapter, for the message.

    Raises:
        EditionError: names the first cell that is not so.

    Example:
        >>> from nbformat.v4 import new_code_cell, new_notebook
        >>> cell = new_code_cell("1 + 1")
        >>> verify(new_notebook(cells=[cell]), new_notebook(cells=[cell]), "one.ipynb")
        Traceback (most recent call last):
        ...
        arlib.editions.EditionError: one.ipynb, cell 0 did not run: '1 + 1'
    """
    cells = [cell for cell in done.cells if INJECTED not in cell.metadata.get("tags", [])]
    if [cell.source for cell in cells] != [cell.source for cell in source.cells]:
        raise EditionError(f"{name}: the executed chapter has other cells than its source")
    for number, cell in enumerate(done.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        where = f"{name}, cell {number}"
        for output in cell.outputs:
            if output.output_type == "error":
                raise EditionError(f"{where} ended with {output.ename}: {output.evalue}")
        if cell.execution_count is None:
            raise EditionError(f"{where} did not run: {cell.source[:60]!r}")


def _run(source: Path, working: Path, parameters: Mapping[str, Any], timeout: float) -> bool:
    """Execute into `working`; True where the chapter ended early for want of labels."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    try:
        execute_notebook(
            str(source),
            str(working),
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",  # a notebook whose metadata were stripped does not say so
            resources={"metadata": {"path": str(working.parent)}},  # where the kernel runs
            progress_bar=False,
            execution_timeout=timeout,
            start_timeout=max(60, min(timeout, 300)),
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
    except PapermillExecutionError as error:
        if error.ename == LabelsNeeded.__name__:
            return True
        raise EditionError(
            f"{source.name}, cell {error.exec_count}: {error.ename}: {error.evalue}"
        ) from error
    except CellTimeoutError as error:
        where = _last_cell(source, working)
        raise EditionError(f"{where} took longer than {timeout:g} s") from error
    except DeadKernelError as error:
        raise EditionError(f"{_last_cell(source, working)}: its kernel died") from error
    except (RuntimeError, TimeoutError) as error:  # the kernel did not start, or no longer answers
        raise EditionError(f"{_last_cell(source, working)}: {error}") from error
    return False


def _read(source: Path, working: Path) -> nbformat.NotebookNode:
    try:
        notebook = nbformat.read(working, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, nbformat.ValidationError) as error:
        raise EditionError(f"{source.name}: what was executed is half a notebook") from error
    return notebook


def _last_cell(source: Path, working: Path) -> str:
    """Name the chapter and the cell that was begun last, as papermill wrote down."""
    try:
        cells = nbformat.read(working, as_version=4).cells
    except (OSError, ValueError):
        return source.name
    begun = [n for n, c in enumerate(cells) if c.metadata.get("papermill", {}).get("start_time")]
    return f"{source.name}, cell {begun[-1]}" if begun else source.name
