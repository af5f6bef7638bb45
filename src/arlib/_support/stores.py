"""Zarr stores that are read as they were written: each lists its files, their sizes and hashes."""

import hashlib
import json
import stat
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from arlib._support.files import StoreError
from arlib._support.storage import write_atomic

_ROOT = "zarr.json"  # holds the list, and so is not in it
_LIST = "content"


def fill_values(data: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Choose a fill value for each array that its data never has: variable -> xarray's encoding."""
    # Zarr gives the fill value for a chunk that is not there, and writes no chunk that holds
    # nothing else: with NaN or 0, a lost chunk would pass for data
    encoding = {}
    for name, array in data.variables.items():
        fill: Any = "\0"
        if array.dtype.kind == "f":
            fill = -np.inf
        elif array.dtype.kind in "iu":
            bounds = np.iinfo(array.dtype)
            fill = bounds.min or bounds.max
        elif not array.size:  # of no type
            continue
        encoding[str(name)] = {"fill_value": fill, "_FillValue": None}
    return encoding


def write_store(data: xr.Dataset, folder: Path) -> None:
    """Write arrays and their attributes as a finished store."""
    data.to_zarr(folder, mode="w-", encoding=fill_values(data), consolidated=False)
    finish_store(folder)


def finish_store(folder: Path, attributes: Mapping[str, Any] | None = None) -> None:
    """Add to a written store the list of its files, without which none opens, and attributes."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    files = {}
    for name in names:
        if name != _ROOT and (folder / name).is_file():
            content = (folder / name).read_bytes()
            files[name] = f"{len(content)} {hashlib.sha256(content).hexdigest()}"
    group = json.loads((folder / _ROOT).read_bytes())
    plain = json.loads(json.dumps(group["attributes"] if attributes is None else attributes))
    plain.pop(_LIST, None)
    listed = {"files": files, "sha256": _sha256_of(plain, files)}
    group["attributes"] = {**plain, _LIST: listed}
    write_atomic(folder / _ROOT, json.dumps(group, indent=1) + "\n")


def open_store(folder: Path) -> xr.Dataset:
    """Open a finished store: every name and size is checked now, each content when it is read."""
    attributes, files = _listed(folder)
    for name, (size, _) in files.items():
        _check_size(folder, name, size)
    store = _FinishedStore(folder, attributes, files)
    try:
        return xr.open_zarr(store, consolidated=False, chunks=None, zarr_format=3)
    except (StoreError, OSError):
        raise
    except Exception as error:  # Zarr and xarray raise many kinds
        raise StoreError(f"{folder} is no store of arrays ({_one_line(error)})") from error


def check_store(folder: Path) -> None:
    """Read every file of a finished store; `StoreError` names one that is not as written."""
    attributes, files = _listed(folder)
    store = _FinishedStore(folder, attributes, files)
    for name in files:
        store.read(name)


def is_finished_store(folder: Path) -> bool:
    """Tell whether a folder, no link, is a finished store, damaged or not, with nothing else."""
    try:
        _, files = _listed(folder)
    except (StoreError, OSError):
        return False
    known = {_ROOT, *files}
    return not folder.is_symlink() and all(
        path.relative_to(folder).as_posix() in known
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


def _listed(folder: Path) -> tuple[dict[str, Any], dict[str, tuple[int, str]]]:
    """Read a store's attributes and the list of its files: name -> size, SHA-256."""
    path = folder / _ROOT
    try:
        attributes = json.loads(path.read_bytes())["attributes"]
        content = attributes.pop(_LIST, None)
        if content is None:
            raise StoreError(
                f"{folder} has no list of its files: it is unfinished, or of an older version of "
                "arlib: create it again"
            )
        entries = {name: entry.split() for name, entry in content["files"].items()}
        files = {name: (int(size), sha256) for name, (size, sha256) in entries.items()}
        intact = content["sha256"] == _sha256_of(attributes, content["files"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{path} is damaged ({_one_line(error)}): {_REMEDY}") from error
    if not intact:
        raise StoreError(f"{path} is not what was written: {_REMEDY}")
    return attributes, files


_REMEDY = "restore it, or remove the store and create it again"


def _check_size(folder: Path, name: str, size: int) -> None:
    path = folder / name
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"{path} is missing: {_REMEDY}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        raise StoreError(
            f"{path} has {status.st_size:,} bytes, and was written with {size:,}: {_REMEDY}"
        )


def _sha256_of(attributes: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    text = json.dumps([attributes, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


class _FinishedStore(Store):
    """A read-only store of the listed files, each held against its hash whenever it is read."""

    # complete by itself, and no subclass of Zarr's own: its reader would come to know other ways in

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(
        self, folder: Path, attributes: Mapping[str, Any], files: Mapping[str, tuple[int, str]]
    ):
        super().__init__(read_only=True)
        self.folder, self.files = folder, files
        group = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
        self.root = json.dumps(group).encode()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _FinishedStore)
            and self.folder == other.folder
            and self.root == other.root
            and self.files == other.files
        )

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, name: str) -> bytes:
        """Read a complete file; `StoreError` where it is not the one that was written."""
        if name == _ROOT:
            return self.root
        size, sha256 = self.files[name]
        _check_size(self.folder, name, size)
        content = (self.folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            path = self.folder / name
            raise StoreError(f"{path} has changed since it was written: {_REMEDY}")
        return content

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        if byte_range is not None:
            raise ValueError("a part of a file cannot be verified")
        if not await self.exists(key):
            return None
        return prototype.buffer.from_bytes(self.read(key))  # a thread costs more than it saves

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        return key == _ROOT or key in self.files

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()

    async def delete(self, key: str) -> None:
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        for key in (_ROOT, *self.files):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        below = (key.removeprefix(start) for key in (_ROOT, *self.files) if key.startswith(start))
        for name in dict.fromkeys(key.partition("/")[0] for key in below):
            yield name
