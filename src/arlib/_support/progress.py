"""Show how far a loop is: a bar on a terminal and in a notebook, elsewhere a line now and then.

A notebook that a program executes shows nothing: what it would show stays in its outputs for good.
"""

import math
import sys
from typing import Any

from tqdm import tqdm as plain
from tqdm.asyncio import tqdm as terminal
from tqdm.auto import tqdm

EVERY = 30.0
"""Seconds between two lines."""


def has_reader() -> bool | None:
    """Check whether a reader has the notebook open, or a program runs it; None without a kernel.

    JupyterLab, Jupyter Notebook and VS Code send with a cell that `input()` would be answered;
    papermill, nbconvert and `jupyter execute` that it would not.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = ipython and ipython.get_ipython()
    if not hasattr(shell, "get_parent"):  # Python itself, or IPython in a terminal
        return None
    return bool(shell.get_parent().get("content", {}).get("allow_stdin", False))


class _Lines(plain):
    """Write progress as lines on stderr, the first after `EVERY` seconds."""

    monitor_interval = 0  # no thread that would write more often

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        name = "{desc}: " if settings.get("desc") else ""
        form = (
            name + "{n_fmt} of {total_fmt} {unit}s, {speed}, {elapsed}, {remaining} left{postfix}"
        )
        settings |= {"bar_format": form, "mininterval": EVERY, "miniters": 1, "delay": EVERY}
        super().__init__(*arguments, **settings)

    @property
    def format_dict(self) -> dict[str, Any]:
        """Return what a line shows."""
        facts = super().format_dict
        rate = facts["rate"] or (facts["n"] - facts["initial"]) / max(facts["elapsed"], 1e-9)
        per, seconds = ("s", 1) if rate >= 1 else ("min", 60)
        return facts | {"speed": f"{seconds * rate:.3g} {facts['unit']}s/{per}"}

    @staticmethod
    def status_printer(file: Any) -> Any:
        """Write a new line, where tqdm would overwrite the last one."""
        return lambda text: print(text, file=file, flush=True)

    def moveto(self, n: int) -> None:
        """Do not move: lines of nested loops follow one another."""

    def close(self) -> None:
        """End without a last line."""
        self.delay = math.inf
        super().close()


def progress_bar(*arguments: Any, show: bool = True, **settings: Any) -> plain:
    """Make a progress bar by tqdm, with its arguments, or an object that writes lines instead.

    Args:
        arguments: what to loop over, if anything.
        show: False shows nothing.
        settings: such as `total`, `desc` and `unit`, one thing that is counted.
    """
    in_notebook = tqdm is not terminal
    kind = tqdm if in_notebook or sys.stderr.isatty() else _Lines
    return kind(*arguments, disable=not show or has_reader() is False, **settings)
