"""Where steps keep what they made, under names that cover settings and source code."""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any


def cache_dir() -> Path:
    """Locate the cache: `ARLIB_CACHE`, or `_build/cache` of the book here or above, or the home's.

    Example:
        >>> import os
        >>> os.environ["ARLIB_CACHE"] = "/tmp/arlib"
        >>> cache_dir().name
        'arlib'
        >>> del os.environ["ARLIB_CACHE"]
    """
    named = os.environ.get("ARLIB_CACHE")
    if named:
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "editions").is_dir():
            return folder / "_build" / "cache"
    return Path.home() / ".cache" / "arlib"


def folder_for(step: str, settings: Mapping[str, Any]) -> Path:
    """Name the folder of what a step makes from settings, by this very source code.

    Args:
        step: what is made.
        settings: JSON values that decide what comes out.

    Example:
        >>> one, two = (folder_for("scores", {"seed": seed}) for seed in (0, 1))
        >>> one.parent == two.parent, one.name == two.name
        (True, False)
    """
    told = json.dumps([settings, source_sha256()], sort_keys=True)
    return cache_dir() / f"{step}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


@lru_cache(maxsize=1)
def source_sha256() -> str:
    """SHA-256 over the library's source files and their names."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
