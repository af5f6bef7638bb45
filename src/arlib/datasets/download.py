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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from arlib.datasets.catalog import Download, data_root, entry
from arlib.datasets.dataset import DatasetError

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


CHUNK = 2**16  # bytes between two writes: what is lost at most when a connection breaks


WAIT = (30, 60)  # seconds for a connection, and for the next byte


UNPACKED = 3  # an archive with its content takes less than this many times its own size


def fetch(name: str, root: Path | None = None, say: Callable[[str], Any] = print) -> Path:
    """Download a dataset, verify and unpack it, and put it where `load` looks for it.

    What was downloaded stays under `.downloads/` until the dataset is whole, so that the same
    call goes on where it was interrupted.

    Args:
        name: of the catalogue.
        root: the folder that holds all datasets; None takes `$ARLIB_DATA`.
        say: gets one line for each step.

    Returns:
        The dataset's folder.

    Raises:
        DatasetError: it may not or cannot be fetched, is there already, its archive is not what
            the catalogue says, or the disk is too full.
        OSError: the server or the disk failed; what has arrived is kept.
    """
    of = entry(name)
    if not of.downloads:
        raise DatasetError(
            f"{name} cannot be fetched: {of.no_fetch}. `arlib data where {name}` says how to get it"
        )
    root = data_root() if root is None else root
    into = root / of.fetch_into
    if into.exists():
        raise DatasetError(f"{into} is there already: `arlib data check {name}`, or take it away")
    kept = root / ".downloads" / name
    kept.mkdir(parents=True, exist_ok=True)
    archives = [(each, download(each, kept, say=say)) for each in of.downloads]
    with tempfile.TemporaryDirectory(prefix=f".{into.name}-", dir=root) as hidden:
        whole = Path(hidden, "whole")
        whole.mkdir()
        for number, (each, archive) in enumerate(archives):
            say(f"unpacking {archive.name}")
            content = unpack(archive, Path(hidden, str(number)))
            for source, target in each.take.items():
                if not (content / source).exists():
                    raise DatasetError(f"{name}: {archive.name} holds no {source}")
                (whole / target).parent.mkdir(parents=True, exist_ok=True)
                (content / source).replace(whole / target)
        whole.replace(into)
    shutil.rmtree(kept)
    return into


def download(of: Download, folder: Path, say: Callable[[str], Any] = print) -> Path:
    """Download one file into a folder, or go on with it, and verify it.

    Args:
        of: its address, size and SHA-256.
        folder: where it shall lie; unverified, it is `<name>.part` there.
        say: gets one line.

    Returns:
        The file, verified.

    Raises:
        DatasetError: the content is another one (it is removed), the server's file has another
            size, or the disk is too full.
        OSError: the server or the disk failed; what has arrived is kept.
    """
    import pooch  # type: ignore[import-untyped]

    name = of.url.rpartition("/")[2]
    say(f"downloading {of.url} ({of.bytes / 1e6:,.1f} MB)")
    pooch.get_logger().setLevel("WARNING")
    try:
        found = pooch.retrieve(
            of.url,
            known_hash=f"sha256:{of.sha256}",
            fname=name,
            path=folder,
            downloader=Resuming(folder / f"{name}.part", of.bytes),
        )
    except ValueError as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{of.url} is not what it was, and was removed: {error}") from error
    return Path(found)


class Resuming:
    """A downloader for pooch that goes on with a part of the file (HTTP's Range) if there is one.

    pooch's own starts over: it writes to a temporary name that it removes when it fails.

    Attributes:
        part: where the file grows.
        size: what it must grow to, in bytes.
    """

    def __init__(self, part: Path, size: int):
        self.part, self.size = part, size

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        """Download `url` and move it to `output_file`, both as pooch gives them.

        Raises:
            DatasetError: the server's file has another size, or the disk is too full.
            OSError: the server or the disk failed; the part is kept.
        """
        have = self.part.stat().st_size if self.part.exists() else 0
        if have > self.size:
            self.part.unlink()
            have = 0
        self._require_space(have)
        if have < self.size:
            self._download(url, have)
        self.part.replace(output_file)

    def _download(self, url: str, have: int) -> None:
        import requests
        from tqdm.auto import tqdm

        # compressed on the way, bytes could not be counted
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            with requests.get(url, headers=headers, stream=True, timeout=WAIT) as response:
                response.raise_for_status()
                goes_on = response.status_code == 206
                if goes_on and not response.headers["Content-Range"].startswith(f"bytes {have}-"):
                    raise DatasetError(f"{url}: the server sends another range than from {have:,}")
                self._require_size(url, response, have if goes_on else 0)
                with (
                    self.part.open("ab" if goes_on else "wb") as file,
                    tqdm(
                        total=self.size,
                        initial=have if goes_on else 0,
                        unit="B",
                        unit_scale=True,
                        disable=None,  # where nobody looks on there is no bar
                    ) as bar,
                ):
                    for chunk in response.iter_content(CHUNK):
                        file.write(chunk)
                        bar.update(len(chunk))
        except requests.RequestException as error:
            raise OSError(f"{url}: {self._arrived()} ({error})") from error
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}; {self._arrived()}") from error
        if self.part.stat().st_size != self.size:
            raise OSError(f"{url}: {self._arrived()}")

    def _arrived(self) -> str:
        size = self.part.stat().st_size if self.part.exists() else 0
        return f"{size:,} of {self.size:,} bytes are at {self.part}; the same command goes on there"

    def _require_size(self, url: str, response: Any, begin: int) -> None:
        length = response.headers.get("Content-Length")
        if length and begin + int(length) != self.size:
            raise DatasetError(
                f"{url} has {begin + int(length):,} bytes there, and {self.size:,} in the "
                "catalogue: it is another file now"
            )

    def _require_space(self, have: int) -> None:
        need = UNPACKED * self.size - have
        free = shutil.disk_usage(self.part.parent).free
        if free < need:
            raise DatasetError(
                f"{self.part.parent} has {free / 1e9:.1f} GB free; {need / 1e9:.1f} GB are needed"
            )
