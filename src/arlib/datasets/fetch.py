"""A dataset whose licence allows it, downloaded: resumed, verified, and whole or not there."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arlib.datasets.archives import unpack
from arlib.datasets.catalog import Download, data_root, entry
from arlib.datasets.dataset import DatasetError

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
