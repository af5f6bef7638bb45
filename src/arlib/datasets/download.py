"""Datasets whose licence allows a download: fetched, verified, and unpacked member by member."""

import os
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from arlib.datasets.catalog import Download, Entry, data_root, entry
from arlib.datasets.files import DatasetError

MAX_RATIO = 20  # of what is unpacked, over the archive's size; images hardly shrink

SPACE = 3  # an archive with its content takes less than this many times its own size


def fetch(name: str, root: Path | None = None, say: Callable[[str], Any] = print) -> Path:
    """Download a dataset, verify and unpack it, and put it where `load` looks for it.

    Its folder appears only when it is complete. Archives that have arrived and were verified stay
    under `.downloads/` until then, so that the same call does not ask for them again.

    Args:
        name: of the catalogue.
        root: the folder that holds all datasets; None takes `$ARLIB_DATA`.
        say: gets one line for each step.

    Returns:
        The dataset's folder.

    Raises:
        DatasetError: it may not or cannot be fetched, is there already, its archive is not what
            the catalogue says or has a member that must not be unpacked, or the disk is too full.
        OSError: the server or the disk failed.
    """
    of = entry(name)
    if not of.downloads:
        raise DatasetError(
            f"{name} cannot be fetched: {of.no_fetch}. `arlib data where {name}` says how to get it"
        )
    return fetch_entry(of, data_root() if root is None else root, say)


def fetch_entry(of: Entry, root: Path, say: Callable[[str], Any]) -> Path:
    """Fetch an entry of the catalogue into its folder under `root`."""
    into = root / of.fetch_into
    if os.path.lexists(into):
        raise DatasetError(f"{into} is there already: `arlib data check {of.name}`, or remove it")
    free, need = shutil.disk_usage(root).free, SPACE * sum(file.bytes for file in of.downloads)
    if free < need:
        raise DatasetError(f"{root} has {free / 1e9:.1f} GB free; {need / 1e9:.1f} GB are needed")
    archives = root / ".downloads" / of.name
    with tempfile.TemporaryDirectory(prefix=f".{into.name}-", dir=root) as hidden:
        fresh = Path(hidden, into.name)
        fresh.mkdir()
        for file in of.downloads:
            say(f"downloading {file.url} ({file.bytes / 1e6:,.1f} MB)")
            archive = retrieve(file, archives)
            say(f"unpacking {archive.name}")
            unpack(archive, file.take, fresh)
        fresh.rename(into)
    shutil.rmtree(archives)
    return into


def retrieve(file: Download, folder: Path) -> Path:
    """Download a file into a folder, unless it is there, and verify its SHA-256."""
    import pooch  # type: ignore[import-untyped]

    pooch.get_logger().setLevel("WARNING")
    try:
        path = pooch.retrieve(
            file.url,
            known_hash=f"sha256:{file.sha256}",
            fname=file.url.rpartition("/")[2],
            path=folder,
            downloader=pooch.HTTPDownloader(sys.stderr.isatty(), chunk_size=2**16, timeout=60),
        )
    except ValueError as error:
        raise DatasetError(f"{file.url} is not what it was, and was removed: {error}") from error
    return Path(path)


def unpack(archive: Path, take: Mapping[str, str], into: Path) -> None:
    """Unpack the files and folders of a zip archive that `take` names, and nothing else."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            for source, target in take.items():
                members = [
                    member
                    for member in zipped.infolist()
                    if f"{member.filename}/".startswith(f"{source}/") and not member.is_dir()
                ]
                if not members:
                    raise DatasetError(f"{archive.name} holds no {source}")
                bound = MAX_RATIO * archive.stat().st_size
                if sum(member.file_size for member in members) > bound:
                    raise DatasetError(f"{archive.name}: {source} has more than {bound:,} bytes")
                for member in members:
                    path = into / (target + member.filename.removeprefix(source))
                    _extract(zipped, member, path, f"{archive.name}: {member.filename!r}")
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # or encrypted
        raise DatasetError(f"{archive.name}: damaged, or not supported ({error})") from error


def _extract(zipped: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, name: str) -> None:
    """Write one member as a regular file; refuse a path that leaves, a link, a second one."""
    if ".." in PurePosixPath(member.filename).parts or "\\" in member.filename:
        raise DatasetError(f"{name} is refused: its path leaves the folder")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        raise DatasetError(f"{name} is refused: it is no regular file")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise DatasetError(f"{name} is refused: it comes twice")
    with zipped.open(member) as content, path.open("xb") as file:
        shutil.copyfileobj(content, file)
