"""A chapter that ends where it needs labels: what ran stays, the rest makes room for a note."""

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

ERROR_TAG = "papermill-error-cell-tag"
"""What papermill tags the cells with that it adds to a chapter that failed."""


def end_early(notebook: NotebookNode, name: str) -> NotebookNode:
    r"""Cut an executed chapter at the cell that stopped it, and say there what that cell said.

    Args:
        notebook: as papermill leaves it.
        name: the error's class, such as "LabelsNeeded".

    Returns:
        The cells before, without papermill's own, and a note with the error's message.

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
    for cell in notebook.cells:
        if ERROR_TAG in cell.metadata.get("tags", []):
            continue
        for output in cell.get("outputs", []):
            if output.output_type == "error" and output.ename == name:
                note = f"{output.evalue}."
                told = f"```{{admonition}} This chapter ends here\n:class: warning\n\n{note}\n```"
                return NotebookNode({**notebook, "cells": [*kept, new_markdown_cell(told)]})
        kept.append(cell)
    raise ValueError(f"no cell failed with {name}")
