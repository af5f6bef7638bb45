"""A chapter that ends where it needs labels: what ran stays, the rest makes room for a note."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from arlib._support.storage import write_atomic
from arlib.experiments import LabelsNeeded
from arlib.publishing.editions import EditionError, chapter_parameters

ERROR_TAG = "papermill-error-cell-tag"
"""What papermill tags the cells with that it adds to a chapter that failed."""


UNKNOWN = "not measured, for want of labels"
"""Stands for a glued value that was not come to."""


_GLUED = re.compile(r"""\bglue\(\s*["']([^"']+)["']""")


_ROLE = re.compile(r"\{glue:[a-z]*\}`([^`:]+)(:[^`]*)?`")


_DIRECTIVE = re.compile(r"^```\{glue:[a-z]*\} (\S+)\n.*?^```$", re.MULTILINE | re.DOTALL)


def end_early(notebook: NotebookNode, name: str) -> NotebookNode:
    r"""Cut an executed chapter at the cell that stopped it, and say there what that cell said.

    Args:
        notebook: as papermill leaves it.
        name: the error's class, such as "LabelsNeeded".

    Returns:
        The cells before, without papermill's own, and a note with the error's message. Values that
        the rest would have glued are `UNKNOWN`, in these cells and for other pages.

    Raises:
        ValueError: no cell failed with such an error.

    Example:
        >>> from nbformat.v4 import new_code_cell, new_notebook, new_output
        >>> failed = new_output("error", ename="LabelsNeeded", evalue="no labels", traceback=[])
        >>> cells = [new_code_cell("1"), new_code_cell("2", outputs=[failed]), new_code_cell("3")]
        >>> [cell.source for cell in end_early(new_notebook(cells=cells), "LabelsNeeded").cells]
        ['1', '```{admonition} This chapter ends here\n:class: warning\n\nno labels.\n```']
    """
    kept: list[NotebookNode] = []
    for number, cell in enumerate(notebook.cells):
        if ERROR_TAG in cell.metadata.get("tags", []):
            continue
        for output in cell.get("outputs", []):
            if output.output_type == "error" and output.ename == name:
                note = f"{output.evalue}."
                told = f"```{{admonition}} This chapter ends here\n:class: warning\n\n{note}\n```"
                unknown = _glued(notebook.cells[number:]) - _glued(kept)
                cells = [*_without(kept, unknown), new_markdown_cell(told), *_unknown(unknown)]
                return NotebookNode({**notebook, "cells": cells})
        kept.append(cell)
    raise ValueError(f"no cell failed with {name}")


def _glued(cells: list[NotebookNode]) -> set[str]:
    """The names of the values that cells glue."""
    return {name for c in cells if c.cell_type == "code" for name in _GLUED.findall(c.source)}


def _without(cells: list[NotebookNode], unknown: set[str]) -> list[NotebookNode]:
    """The cells, with a word in the place of each value that is not known."""

    def say(match: re.Match[str]) -> str:
        return UNKNOWN if match[1] in unknown else match[0]

    return [
        NotebookNode({**cell, "source": _ROLE.sub(say, _DIRECTIVE.sub(say, cell.source))})
        if cell.cell_type == "markdown"
        else cell
        for cell in cells
    ]


def _unknown(names: set[str]) -> list[NotebookNode]:
    """A hidden cell that glues a word for each value that is not known, if there is any."""
    outputs = [
        new_output(
            "display_data",
            {"text/plain": repr(UNKNOWN), "text/html": f"<p>{UNKNOWN}</p>"},
            metadata={"scrapbook": {"name": name, "mime_prefix": ""}},
        )
        for name in sorted(names)
    ]
    hidden = {"tags": ["remove-cell"]}
    return [new_code_cell("", outputs=outputs, metadata=hidden)] if outputs else []


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
        write_atomic(target, nbformat.writes(notebook))
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
        arlib.publishing.editions.EditionError: one.ipynb, cell 0 did not run: '1 + 1'
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
