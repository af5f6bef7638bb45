"""Proposals kept by the content of an image: another network need not search it again."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from arlib._support.storage import cache_folder, write_atomic
from arlib.proposals.types import Proposals


@dataclass(frozen=True)
class Cached:
    """A proposal method whose results are kept on disk, one small file an image."""

    # A file is found by the image's pixels, the method's settings, the source code that proposes
    # and the versions that it uses: when one of them changes, the search is made anew, and so it is
    # where a file cannot be read. Threads and processes may share a folder.

    method: Callable[[np.ndarray], Proposals]  # a dataclass such as `EdgeBoxes`
    root: str | Path | None = None  # None: the library's cache (`ARLIB_CACHE`)

    @property
    def max_regions(self) -> int:
        """The method's N."""
        return int(getattr(self.method, "max_regions"))  # noqa: B009

    @cached_property
    def folder(self) -> Path:
        """The folder of this method's files."""
        settings = [type(self.method).__name__, asdict(self.method)]  # type: ignore[call-overload]
        folder = cache_folder("proposals", {"method": settings}, "proposals")
        return folder if self.root is None else Path(self.root, folder.name)

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB, or look them up."""
        digest = hashlib.sha256(repr((image.shape, image.dtype.str)).encode())
        digest.update(np.ascontiguousarray(image).data)
        path = self.folder / f"{digest.hexdigest()[:32]}.npy"
        proposals = _read(path)
        if proposals is None:
            proposals = self.method(image)
            _write(path, proposals)
        return proposals


def _read(path: Path) -> Proposals | None:
    try:
        table = np.load(path, allow_pickle=False)
        return Proposals(np.ascontiguousarray(table[:, :4]), np.ascontiguousarray(table[:, 4]))
    except (OSError, ValueError, EOFError, IndexError):  # not there, or damaged
        return None


def _write(path: Path, proposals: Proposals) -> None:
    content = io.BytesIO()
    np.save(content, np.column_stack([proposals.boxes, proposals.objectness]))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
