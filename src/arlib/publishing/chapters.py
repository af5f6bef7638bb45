"""Execute a chapter by papermill: all of it, or up to the cell that needs labels and has none.

Its text holds expressions, {eval}`f"{share:.0%}"`, and JupyterLab shows their values. Here too the
kernel evaluates each at its place; values are kept where Jupyter does, in the cell's metadata.
"""

import ast
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from arlib import evaluation
from arlib._support.storage import write_atomic
from arlib.publishing.editions import EditionError, chapter_parameters

TIMEOUT = 3600.0
"""Seconds that a cell may take by default."""

INJECTED = "injected-parameters"
"""The tag of the cell in which papermill sets parameters."""

UNKNOWN = "not measured, for want of labels"
"""Stands for a glued value that was not computed."""

VALUES = "user_expressions"
"""Jupyter's name for what a cell's text evaluated, among its metadata."""

EXPRESSION = re.compile(r"(?<!`)\{eval\}(`+)(.+?)(?<!`)\1(?!`)")
"""An expression in a cell's text."""

_OPTIONS = ["--IPKernelApp.log_level=ERROR", "--HistoryManager.hist_file=:memory:"]
_ERROR_TAG = "papermill-error-cell-tag"  # of the cells that papermill adds to a failed chapter
_NOTE = "```{{admonition}} This chapter ends here\n:class: warning\n\n{}.\n```"
_GLUED = re.compile(r"""\bglue\(\s*["']([^"']+)["']""")

for _name in ("papermill", "traitlets"):  # an EditionError says in one line what they log
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Kernels:
    """The kernels of the chapters that are being executed, which `end` ends all at once.

    Args:
        at_once: how many run at a time, each with its share of the cores: with all of them each
            would wait for the other's threads. `OMP_NUM_THREADS`, where it is set, stays.
    """

    def __init__(self, at_once: int = 1) -> None:
        threads = max(1, (os.cpu_count() or 1) // at_once)
        self._environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
        self._lock = Lock()
        self._running: set[_Kernel] = set()
        self._ended = False

    @contextmanager
    def start(self, folder: Path) -> "Iterator[_Kernel]":
        """Start a kernel in a folder; it ends with the block, politely or killed by an error."""
        kernel = _Kernel(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
        try:
            with self._lock:
                if self._ended:
                    raise RuntimeError("ended before its kernel started")
                try:
                    run_sync(kernel.start_kernel)(
                        cwd=str(folder), extra_arguments=_OPTIONS, env=self._environment
                    )
                except OSError as error:
                    raise RuntimeError(f"its kernel did not start: {error}") from error
                self._running.add(kernel)
            yield kernel
            run_sync(kernel.request_shutdown)()
            run_sync(kernel.finish_shutdown)()
        finally:
            self._running.discard(kernel)
            run_sync(kernel.clean_up)()

    def end(self) -> None:
        """Kill every kernel, and let no other start."""
        with self._lock:
            self._ended = True
            for kernel in self._running.copy():
                run_sync(kernel.kill)()


class _Kernel(AsyncKernelManager):
    """A kernel of this very environment, whatever Jupyter lists by the name `python3`."""

    channels: Any = None

    def client(self, **settings: Any) -> Any:
        """Make what nbclient asks the kernel through, and remember it for `clean_up`."""
        self.channels = super().client(**settings)
        return self.channels

    async def kill(self) -> None:
        """Kill the kernel and its children, if it lives."""
        if self.provisioner is not None:
            await self.provisioner.kill()

    async def clean_up(self) -> None:
        """Close what is open; a kernel that lives is killed."""
        if self.channels is not None:
            self.channels.stop_channels()
        if self.provisioner is not None:
            await self.provisioner.kill()
            await self.provisioner.wait()
        await self.cleanup_resources()


def execute_chapter(
    source: Path,
    target: Path,
    parameters: Mapping[str, Any],
    *,
    timeout: float = TIMEOUT,
    kernels: Kernels | None = None,
    on_cell: Callable[[int], None] = lambda number: None,
) -> None:
    """Execute a chapter with the parameters that it declares, and write it complete or not at all.

    The kernel, one of `kernels`, runs in the folder of `target`; `on_cell` is called with the
    number of every cell that is begun. An `EditionError` names the chapter and the cell that
    failed, took longer than `timeout` seconds, left early, killed its kernel or did not run.
    """
    declared = chapter_parameters(source)
    values = {name: value for name, value in parameters.items() if name in declared}
    working = target.with_name(f".{target.name}.running.ipynb")
    target.unlink(missing_ok=True)
    try:
        labels_missing = _run(source, working, values, timeout, kernels or Kernels(), on_cell)
        notebook = _read(source, working)
        if labels_missing:
            notebook = end_early(notebook, evaluation.LabelsNeeded.__name__)
        else:
            verify(notebook, nbformat.read(source, as_version=4), source.name)
        write_atomic(target, nbformat.writes(notebook))
    except OSError as error:
        raise EditionError(f"{source.name} could not be written: {error}") from error
    finally:
        working.unlink(missing_ok=True)


def verify(notebook: NotebookNode, source: NotebookNode, name: str) -> None:
    """Check that an executed chapter has every cell of its source, each run and none in error."""
    cells = [cell for cell in notebook.cells if INJECTED not in cell.metadata.get("tags", [])]
    if [cell.source for cell in cells] != [cell.source for cell in source.cells]:
        raise EditionError(f"{name}: the executed chapter has other cells than its source")
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        where = f"{name}, cell {number}"
        for output in cell.outputs:
            if output.output_type == "error":
                raise EditionError(f"{where} ended with {output.ename}: {output.evalue}")
        if cell.execution_count is None:
            raise EditionError(f"{where} did not run: {cell.source[:60]!r}")


def _run(
    source: Path,
    working: Path,
    parameters: Mapping[str, Any],
    timeout: float,
    kernels: Kernels,
    on_cell: Callable[[int], None],
    tries: int = 3,
) -> bool:
    """Execute into `working`; True where the chapter ended early for want of labels.

    A kernel dies as it starts where another process took one of its ports since they were chosen:
    then another is started.
    """
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    async def began(cell: NotebookNode, cell_index: int) -> None:
        on_cell(cell_index)
        if cell.cell_type == "markdown" and EXPRESSION.search(cell.source):
            where = f"{source.name}, cell {cell_index}"
            cell.metadata[VALUES] = await _evaluate(kernel, cell.source, where, timeout)

    def ready(notebook: NotebookNode) -> None:
        started.append(True)
        kernel.cleanup_connection_file()

    # papermill fills `{name}` in a path with a parameter
    paths = [str(path).replace("{", "{{").replace("}", "}}") for path in (source, working)]
    started: list[bool] = []
    try:
        with kernels.start(working.parent) as kernel:
            execute_notebook(
                *paths,
                parameters=dict(parameters),
                kernel_name=kernel.kernel_name,
                language="python",  # a notebook whose metadata were stripped does not say so
                progress_bar=False,
                execution_timeout=timeout,
                start_timeout=max(60, min(timeout, 300)),
                km=kernel,
                on_notebook_start=ready,
                on_cell_start=began,
            )
    except PapermillExecutionError as error:
        if error.ename == evaluation.LabelsNeeded.__name__:
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
        if tries > 1 and not started and "died" in str(error):
            return _run(source, working, parameters, timeout, kernels, on_cell, tries - 1)
        raise EditionError(f"{_last_cell(source, working)}: {error}") from error
    return False


async def _evaluate(kernel: _Kernel, text: str, where: str, timeout: float) -> list[dict[str, Any]]:
    """Ask the kernel for the value of each expression in a text: records as Jupyter keeps them."""
    wanted = [match[2] for match in EXPRESSION.finditer(text)]
    numbered = {str(number): expression for number, expression in enumerate(wanted)}
    reply = await kernel.channels.execute(
        "", silent=True, user_expressions=numbered, reply=True, timeout=min(timeout, 60)
    )
    records = []
    for number, expression in numbered.items():
        result = reply["content"]["user_expressions"][number]
        if result["status"] != "ok":
            cause = f"{result['ename']}: {result['evalue']}"
            raise EditionError(f"{where}: {{eval}}`{expression}`: {cause}")
        records.append({"expression": expression, "result": result})
    return records


def text_values(cell: NotebookNode) -> list[tuple[str, str]]:
    """List the expressions of an executed cell's text, each with its value as JupyterLab shows it.

    A text is without quotes.
    """
    values = []
    for record in cell.metadata.get(VALUES, []):
        value = record["result"]["data"]["text/plain"]
        text = str(ast.literal_eval(value)) if value[:1] in "'\"" else value
        values.append((record["expression"], text))
    return values


def _read(source: Path, working: Path) -> NotebookNode:
    try:
        notebook = nbformat.read(working, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, nbformat.ValidationError) as error:
        raise EditionError(f"{source.name}: the executed notebook is incomplete") from error
    return notebook


def _last_cell(source: Path, working: Path) -> str:
    """Name the chapter and the cell that was begun last, by papermill's times."""
    try:
        cells = nbformat.read(working, as_version=4).cells
    except (OSError, ValueError):
        return source.name
    begun = [n for n, c in enumerate(cells) if c.metadata.get("papermill", {}).get("start_time")]
    return f"{source.name}, cell {begun[-1]}" if begun else source.name


def end_early(notebook: NotebookNode, name: str) -> NotebookNode:
    """Cut a chapter at the cell that failed with the error of this name, and put a note there.

    The note has the error's message; papermill's own cells go. What the cells from there on would
    have glued for other pages is `UNKNOWN`.
    """
    kept: list[NotebookNode] = []
    for number, cell in enumerate(notebook.cells):
        if _ERROR_TAG in cell.metadata.get("tags", []):
            continue
        for output in cell.get("outputs", []):
            if output.output_type == "error" and output.ename == name:
                unknown = _glued_names(notebook.cells[number:]) - _glued_names(kept)
                cells = [*kept, new_markdown_cell(_NOTE.format(output.evalue))]
                return NotebookNode({**notebook, "cells": cells + _glue_unknown(unknown)})
        kept.append(cell)
    raise ValueError(f"no cell failed with {name}")


def _glued_names(cells: list[NotebookNode]) -> set[str]:
    """Names of the values that cells glue."""
    return {name for c in cells if c.cell_type == "code" for name in _GLUED.findall(c.source)}


def _glue_unknown(names: set[str]) -> list[NotebookNode]:
    """Make a hidden cell that glues `UNKNOWN` under each name, if there is any."""
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
