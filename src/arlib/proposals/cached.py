"""Proposals kept by the content of a picture: another network need not search it again."""

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from arlib._support.provenance import code_sha256
from arlib._support.storage import cache_dir
from arlib.proposals.types import Proposals


@dataclass(frozen=True)
class Cached:
    """A proposal method whose results are kept on disk, one small file a picture.

    A file is found by its pixels, the settings, the source code that proposes and the versions that
    it uses: when one of them changes, the search is made anew. A file
    that cannot be read is made anew too. Threads and processes may share a folder.

    Attributes:
        method: the proposal method, a dataclass such as `EdgeBoxes`.
        root: folder of the cache; None takes `arlib._support.storage.cache_dir()`.

    Example:
        >>> from tempfile import mkdtemp
        >>> from arlib.proposals import Grid
        >>> propose, picture = Cached(Grid(max_regions=4), mkdtemp()), np.zeros((8, 8, 3), np.uint8)
        >>> len(propose(picture)), len(list(propose.folder.iterdir()))
        (4, 1)
    """

    method: Callable[[np.ndarray], Proposals]
    root: str | Path | None = None

    @property
    def max_regions(self) -> int:
        """The method's N."""
        return int(getattr(self.method, "max_regions"))  # noqa: B009

    @cached_property
    def folder(self) -> Path:
        """Where this method's files are."""
        settings = asdict(self.method)  # type: ignore[call-overload]
        told = repr(
            (type(self.method).__name__, sorted(settings.items()), code_sha256("proposals"))
        )
        name = hashlib.sha256(told.encode()).hexdigest()[:16]
        return Path(self.root or cache_dir()) / f"proposals-{name}"

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB, or look them up."""
        digest = hashlib.sha256(repr((image.shape, image.dtype.str)).encode())
        digest.update(np.ascontiguousarray(image).data)
        path = self.folder / f"{digest.hexdigest()[:32]}.npy"
        found = _read(path)
        if found is None:
            found = self.method(image)
            _write(path, found)
        return found


def uncached(proposals: Any) -> Any:
    """Give the method itself, which provenance names, of one that may be cached."""
    return proposals.method if isinstance(proposals, Cached) else proposals


def _read(path: Path) -> Proposals | None:
    try:
        table = np.load(path, allow_pickle=False)
        return Proposals(np.ascontiguousarray(table[:, :4]), np.ascontiguousarray(table[:, 4]))
    except (OSError, ValueError, EOFError, IndexError):  # not there, or damaged
        return None


def _write(path: Path, found: Proposals) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    with part.open("wb") as file:
        np.save(file, np.column_stack([found.boxes, found.objectness]))
    part.rename(path)
