"""Describe the machine, the versions and the code that made a result."""

import ast
import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
"""Folder of the library's packages."""

# of what decides the numbers
_VERSIONS = (
    "torch",
    "torchvision",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "pillow",
    "numpy",
    "openvino",
    "efficientnet-lite-pytorch",
    "timm",
    "lightning",
    "scikit-learn",
    "scikit-image",
)

# what names errors, shows progress, reads settings or puts files in their places decides none
_BESIDE = frozenset(
    [
        "experiments/names.py",  # words that are shown
        "networks/models.py",
        *(
            f"_support/{name}.py"
            for name in ("files", "progress", "provenance", "settings", "storage")
        ),
    ]
)


def machine() -> dict[str, Any]:
    """Describe processor, cores, GPU and versions."""
    import torch

    packages = (
        "arlib",
        "torch",
        "torchvision",
        "openvino",
        "opencv-contrib-python",
        "numpy",
        "scikit-learn",
    )
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: _version(package) or _version(f"{package}-headless") for package in packages},
    }


def source_commit() -> str | None:
    """Name the commit of the library's source, with "+" where files differ; None outside of git."""
    # a repository around an installed copy, which it does not track, is not the source's
    git = ["git", "-C", str(ROOT)]
    tracked = [*git, "ls-files", "--error-unmatch", "__init__.py"]
    try:
        ours = subprocess.run(tracked, capture_output=True)
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "."], capture_output=True)
    except FileNotFoundError:
        return None
    if ours.returncode or head.returncode:
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


@cache
def code_sha256(*parts: str) -> str:
    """Hash the code that a result depends on, and the versions of what decides its numbers.

    A module or package below `arlib` ("networks.finetuning", "proposals") counts with all modules
    that it imports, directly or not; a file ("experiments/synthetic.py") counts alone. Comments,
    docstrings and `_BESIDE` do not count.
    """
    digest = hashlib.sha256()
    for path in sorted(covered_files(*parts)):
        statements, _ = _parsed(path.read_bytes())
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + statements)
    versions = [f"{package}=={_version(package)}" for package in _VERSIONS]
    digest.update("\n".join([sys.version, *versions]).encode())
    return digest.hexdigest()


def covered_files(*parts: str) -> frozenset[Path]:
    """Find the files that `code_sha256` hashes."""
    alone = {ROOT / part for part in parts if part.endswith(".py")}
    waiting = []
    for part in parts:
        path = ROOT / part if part.endswith(".py") else ROOT.joinpath(*part.split("."))
        if not (path.is_dir() or path.with_suffix(".py").is_file()):
            raise ValueError(f"the library has no package or module {part!r}")
        waiting += [] if part.endswith(".py") else _defining(part)
    followed: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in followed and path.relative_to(ROOT).as_posix() not in _BESIDE:
            followed.add(path)
            _, imported = _parsed(path.read_bytes())
            waiting += [each for name in imported for each in _defining(name)]
    return frozenset(alone | followed)


def _defining(name: str) -> list[Path]:
    """Find the files of a package, module or what a module defines, by its name below `arlib`."""
    path = ROOT.joinpath(*name.split("."))
    if path.with_suffix(".py").is_file():
        return [path.with_suffix(".py")]
    if path.is_dir():
        return list(path.rglob("*.py"))
    within, _, attribute = name.rpartition(".")
    if not within:  # such as arlib.__version__
        return []
    stub = ROOT.joinpath(*within.split("."), "__init__.pyi")
    if stub.is_file():
        for node in ast.parse(stub.read_bytes()).body:
            if isinstance(node, ast.ImportFrom) and attribute in {a.asname for a in node.names}:
                return _defining(f"{within}.{node.module}")
    return _defining(within)


@cache
def _parsed(source: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Hash a file's statements except docstrings, and list what it imports of the library."""
    tree, names = ast.parse(source), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        for name, body in ast.iter_fields(node):
            if name in ("body", "orelse", "finalbody") and isinstance(body, list):
                setattr(node, name, [each for each in body if not _is_text(each)])
    ours = sorted(name.removeprefix("arlib.") for name in names if name.startswith("arlib."))
    return hashlib.sha256(ast.dump(tree).encode()).digest(), tuple(ours)


def _is_text(statement: ast.stmt) -> bool:
    """Tell whether a statement is a text alone: a docstring, or one below an attribute."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
