"""JupyterLab on the chapters: in the environment of arlib, and what a reader should know first."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from arlib.editions import EditionError

KERNEL = "python3"
"""What every chapter names as its kernel."""


def before_lab(root: Path) -> list[str]:
    """Check that a chapter's kernel is this environment, and say what it will find here.

    Args:
        root: the book's folder.

    Returns:
        Lines for people.

    Raises:
        EditionError: JupyterLab is missing, or another environment's kernel has the chapters' name.
    """
    if find_spec("jupyterlab") is None:
        raise EditionError("JupyterLab is not installed here: make lab, or pip install arlib[book]")
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec(KERNEL)
    command = spec.argv[0]
    if command not in ("python", "python3", sys.executable):
        raise EditionError(
            f"kernel {KERNEL!r} at {spec.resource_dir} starts {command}, which is not "
            f"{sys.executable}: remove it, or {sys.executable} -m ipykernel install --sys-prefix"
        )
    lines = [f"the kernel {KERNEL} is {sys.executable}"]
    data = os.environ.get("ARLIB_DATA")
    if not data:
        lines.append("ARLIB_DATA is not set: chapters show the drawn world and recorded runs;")
        lines.append("`arlib data list` says which photographs it may hold")
    elif not Path(data).is_dir():
        lines.append(f"ARLIB_DATA names {data}, which is no folder: no photographs are found")
    if not (root / "_build" / "cache").is_dir() and "ARLIB_CACHE" not in os.environ:
        lines.append("networks of the drawn world are trained first, in minutes, once")
    return lines


def start_lab(root: Path, options: Sequence[str]) -> NoReturn:
    """Become JupyterLab on the chapters, in this environment.

    Args:
        root: the book's folder.
        options: its own, such as "--no-browser".
    """
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(root / "book"), *options])
