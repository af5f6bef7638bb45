"""Which code made a number: a hash over the modules that one module stands on, and no others."""

import ast
import hashlib
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

_ROOT = Path(__file__).parent
_PACKAGES = ("torch", "torchvision", "opencv-contrib-python", "pillow", "numpy")


@cache
def modules_below(module: str) -> tuple[str, ...]:
    """Name the library's modules that a module imports, those that they import, and itself.

    Args:
        module: its dotted name, such as "arlib.scoring".

    Raises:
        ValueError: the library has no such module.

    Example:
        >>> modules_below("arlib.boxes")
        ('arlib.boxes',)
        >>> "arlib.crops" in modules_below("arlib.scoring")
        True
        >>> "arlib.figures" in modules_below("arlib.scoring")
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
        >>> code_sha256("arlib.scoring") == code_sha256("arlib.figures.style")
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
