"""Which machine, versions and code made a result."""

import ast
import hashlib
import os
import platform
import subprocess
import sys
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Describe what a run was made with: processor, cores, GPU, versions."""
    import torch

    packages = ("arlib", "torch", "torchvision", "opencv-contrib-python", "numpy", "scikit-learn")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def source_commit() -> str | None:
    """Name the commit of the library's source, with "+" where files differ; None outside of git.

    A repository around an installed copy, which it does not track, is not the source's.
    """
    here = _ROOT / "__init__.py"
    git = ["git", "-C", str(here.parent)]
    try:
        ours = subprocess.run([*git, "ls-files", "--error-unmatch", here.name], capture_output=True)
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "."], capture_output=True)
    except FileNotFoundError:
        return None
    if ours.returncode or head.returncode:
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


_ROOT = Path(__file__).parents[1]


_PACKAGES = ("torch", "torchvision", "opencv-contrib-python", "pillow", "numpy")


@cache
def modules_below(module: str) -> tuple[str, ...]:
    """Name the library's modules that a module imports, those that they import, and itself.

    Args:
        module: its dotted name, such as "arlib.scoring.scorer".

    Raises:
        ValueError: the library has no such module.

    Example:
        >>> modules_below("arlib.evaluation.boxes")
        ('arlib.evaluation.boxes', 'arlib.evaluation.significance', ...)
        >>> "arlib.scoring.crops" in modules_below("arlib.scoring.scorer")
        True
        >>> "arlib.figures" in modules_below("arlib.scoring.scorer")
        False
    """
    if _file(module) is None:
        raise ValueError(f"the library has no module {module!r}")
    found: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _imported(name)
    return tuple(sorted(found))


@cache
def code_sha256(module: str) -> str:
    """SHA-256 over a module and all below it, and the versions of what decides pixels and numbers.

    Example:
        >>> code_sha256("arlib.scoring.scorer") == code_sha256("arlib.figures.style")
        False
    """
    digest = hashlib.sha256()
    for name in modules_below(module):
        path = _file(name)
        assert path is not None  # modules_below found it
        digest.update(name.encode() + b"\0" + path.read_bytes())
    told = [f"{package}=={version(package)}" for package in _PACKAGES]
    digest.update("\n".join([sys.version, *told]).encode())
    return digest.hexdigest()


def _file(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != "arlib":
        return None
    base = _ROOT.joinpath(*parts[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imported(module: str) -> list[str]:
    path = _file(module)
    assert path is not None
    named: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            named += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            named += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in named if name != "arlib" and _file(name) is not None]


@lru_cache(maxsize=1)
def source_sha256() -> str:
    """SHA-256 over the library's source files and their names."""
    digest = hashlib.sha256()
    root = _ROOT
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
