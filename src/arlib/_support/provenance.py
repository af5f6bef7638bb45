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
    "lightning",
    "scikit-learn",
    "scikit-image",
)


def machine() -> dict[str, Any]:
    """Describe processor, cores, GPU and versions."""
    import torch

    packages = ("arlib", "torch", "torchvision", "opencv-contrib-python", "numpy", "scikit-learn")
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

    A package below `arlib` ("networks", "experiments.baselines") counts with every package that it
    imports, directly or not; a module ("experiments.synthetic") counts alone.
    """
    digest = hashlib.sha256()
    for path in sorted({path for part in parts for path in _files(part)}):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    versions = [f"{package}=={_version(package)}" for package in _VERSIONS]
    digest.update("\n".join([sys.version, *versions]).encode())
    return digest.hexdigest()


@cache
def packages_below(package: str) -> frozenset[str]:
    """Name the packages that a package imports, directly or not, and itself."""
    below: set[str] = set()
    waiting = [package]
    while waiting:
        name = waiting.pop()
        if name not in below:
            below.add(name)
            waiting += {each for path in _sources(name) for each in _imported_packages(path)}
    return frozenset(below)


def _files(part: str) -> set[Path]:
    module = ROOT.joinpath(*part.split(".")).with_suffix(".py")
    if module.is_file():
        return {module}
    if not _sources(part):
        raise ValueError(f"the library has no package or module {part!r}")
    return {path for package in packages_below(part) for path in _sources(package)}


def _sources(package: str) -> list[Path]:
    return sorted(ROOT.joinpath(*package.split(".")).rglob("*.py"))


def _imported_packages(path: Path) -> set[str]:
    """Name the packages of the library that a file imports, at its top or in a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    own = path.relative_to(ROOT).parts[0]
    packages = {name.split(".")[1] for name in names if name.startswith("arlib.")}
    return {name for name in packages - {own} if (ROOT / name).is_dir()}


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
