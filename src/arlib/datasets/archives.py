"""Archive -> folder: every member is checked before anything is written."""

import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MAX_BYTES = 100 * 2**30
"""The default bound of what an archive may hold."""
MAX_RATIO = 200.0
"""The default bound of what an archive may hold, over its own size; pictures hardly shrink."""

DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,  # zipfile's word for a password, a compression or a version that it lacks
)
"""What Python's own modules raise for archives that are damaged or of an unknown kind."""


class ArchiveError(ValueError):
    """An archive that cannot be read, or that has a member which must not be unpacked."""


@dataclass(frozen=True)
class Member:
    """What an archive says of one member: `kind` is file, folder, link, hard link or other."""

    name: str
    size: int
    kind: str
    target: str = ""


def unpack(
    archive: str | Path,
    into: str | Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
) -> Path:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive into a folder that appears when it is whole.

    Every member is checked first: absolute paths, `..`, drives, backslashes, links that leave the
    folder or lead through another link, devices and pipes, names that come twice, also in upper
    and lower case, and the size of all of it. Only then is anything written, into a sibling folder
    under another name, with `tarfile`'s own "data" filter on top.

    Args:
        archive: the file.
        into: the folder to make; its parent is made too.
        max_bytes: the most that all members may hold.
        max_ratio: the most that they may hold, over the archive's size.

    Returns:
        `into`.

    Raises:
        ArchiveError: naming the archive, the member and what is wrong with it.
        FileExistsError: `into` is there already.

    Example:
        >>> import pathlib, tempfile, zipfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with zipfile.ZipFile(folder / "a.zip", "w") as file:
        ...     file.writestr("pictures/one.txt", "1")
        >>> sorted(path.name for path in unpack(folder / "a.zip", folder / "a").rglob("*"))
        ['one.txt', 'pictures']
    """
    archive, into = Path(archive), Path(into)
    if into.exists() or into.is_symlink():
        raise FileExistsError(f"{into} is there already; take it away to unpack {archive.name}")
    limit = min(max_bytes, int(max_ratio * archive.stat().st_size))
    try:
        check_members(archive.name, _members(archive), limit)
        into.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=into.parent))
        try:
            whole = hidden / "whole"
            whole.mkdir()  # mkdtemp's own folder is closed to others
            _extract(archive, whole)
            whole.replace(into)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
    except DAMAGED as error:
        raise ArchiveError(f"{archive.name}: damaged, or not supported ({error})") from error
    return into


def check_members(archive: str, members: Iterator[Member], limit: int) -> None:
    """Refuse the first member that must not be unpacked.

    Args:
        archive: its name, for the message.
        members: in the archive's order.
        limit: the most bytes that all of them may hold.

    Raises:
        ArchiveError: naming the archive, the member and what is wrong with it.
    """
    paths: dict[str, str] = {}  # path in lower case -> as it is written
    files: set[PurePosixPath] = set()
    folders = {PurePosixPath()}
    links: dict[PurePosixPath, PurePosixPath] = {}
    total = 0
    for member in members:
        path, why = PurePosixPath(member.name), _wrong_path(member.name)
        written = {
            paths.setdefault(str(each).casefold(), str(each)) for each in (path, *path.parents)
        }
        total += member.size
        if not why and member.kind == "other":
            why = "it is a device, a pipe or the like"
        elif not why and (others := written - {str(each) for each in (path, *path.parents)}):
            why = f"it differs from {min(others)!r} in upper and lower case alone"
        elif not why and (path in files or path in links):
            why = "its name comes twice"
        elif not why and {*path.parents} & (files | links.keys()):
            why = "it lies below a file or a link"
        elif not why and member.kind != "folder" and path in folders:
            why = "it would take the place of a folder"
        elif not why and total > limit:
            why = f"with it the archive holds more than {limit:,} bytes, the bound"
        if not why and member.kind in ("link", "hard link"):
            base = path.parent if member.kind == "link" else PurePosixPath()
            why = _wrong_target(base, member.target)
            links[path] = PurePosixPath(os.path.normpath(base / member.target))
        elif member.kind == "folder":
            folders.add(path)
        else:
            files.add(path)
        folders.update(path.parents)
        if why:
            raise ArchiveError(f"{archive}: {member.name!r} is refused: {why}")
    for path, target in links.items():
        if {target, *target.parents} & links.keys():
            raise ArchiveError(f"{archive}: {str(path)!r} is refused: it leads through a link")


def _wrong_path(name: str) -> str:
    if not name or "\0" in name:
        return "it has no name"
    if name.startswith("/"):
        return "its path is absolute"
    if "\\" in name:
        return "its path has a backslash"
    if re.match(r"[A-Za-z]:", name):
        return "its path has a drive"
    return "its path has '..'" if ".." in PurePosixPath(name).parts else ""


def _wrong_target(base: PurePosixPath, target: str) -> str:
    if not target or target.startswith("/") or "\\" in target or re.match(r"[A-Za-z]:", target):
        return f"it is a link to {target!r}, which is not relative"
    leads = PurePosixPath(os.path.normpath(base / target))
    return f"it is a link to {target!r}, which leaves the folder" if ".." in leads.parts else ""


def _members(archive: Path) -> Iterator[Member]:
    """List what an archive says of its members, without writing anything."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for each in zipped.infolist():
                if each.flag_bits & 1:
                    raise ArchiveError(f"{archive.name}: {each.filename!r} is encrypted")
                mode = stat.S_IFMT(each.external_attr >> 16)
                kind = "folder" if each.is_dir() else "file"
                if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                    kind = "other"  # a link too: zipfile would write its target as a text
                # zipfile cuts a name at NUL and takes backslashes for slashes: check the original
                yield Member(each.orig_filename, each.file_size, kind)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            for info in tar:
                kinds = {"file": info.isreg(), "folder": info.isdir()}
                kinds |= {"link": info.issym(), "hard link": info.islnk()}
                kind = next((name for name, so in kinds.items() if so), "other")
                yield Member(info.name, info.size, kind, info.linkname)
    else:
        raise ArchiveError(f"{archive.name}: neither a tar nor a zip archive, or damaged")


def _extract(archive: Path, into: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(into)
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(into, filter="data")
