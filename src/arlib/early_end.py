"""A chapter that ends where it needs labels: what ran stays, the rest makes room for a note."""

import re

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

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
