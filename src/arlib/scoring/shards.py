"""A shard: some of the images, scored into a folder of its own, which appears whole or not at all.

Its name covers what decides its numbers: the images' bytes, the code, the weights, the
parameters. So a name that is there is work that need not be done again.
"""

import gc
import hashlib
import json
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xarray as xr

from arlib._support.storage import flush_folder
from arlib.datasets import ImageError
from arlib.scoring.jobs import Job
from arlib.scoring.scorer import score
from arlib.scoring.scores import CHUNK, ScoresError, ScoresWriter, open_scores
from arlib.scoring.workers import NonRetryableError

_ONE = threading.Lock()  # a worker may have threads; its network serves one at a time


class ShardError(ValueError):
    """A shard whose images changed under way, or whose folder does not hold what it should."""


@dataclass(frozen=True)
class Part:
    """A finished shard.

    Attributes:
        number: which.
        folder: where it is.
        images: (n,) hashes of the images, in order, readable or not.
        unreadable: key -> why, of those that are left out.
        scores_sha256: of its scores as read back from the disk; None where no image is readable.
        seconds: that scoring took.
        reused: it was there already.
    """

    number: int
    folder: Path
    images: tuple[str, ...]
    unreadable: dict[str, str] = field(default_factory=dict)
    scores_sha256: str | None = None
    seconds: float = 0.0
    reused: bool = False

    def open(self) -> xr.Dataset | None:
        """Read the scores into memory; None where no image is readable.

        Raises:
            ShardError: they are damaged.
        """
        if self.scores_sha256 is None:
            return None
        try:
            scores = open_scores(self.folder / "scores.zarr").load()
            found = scores_sha256(scores)
        except Exception as error:  # damaged chunks raise whatever their codec does
            raise ShardError(f"{self.folder} is damaged ({error}): remove it") from error
        if found != self.scores_sha256:
            raise ShardError(f"{self.folder} is damaged (another hash): remove it")
        return scores


def shard_rows(n: int, size: int, number: int) -> np.ndarray:
    """Say which of n images are in a shard: consecutive ones.

    Example:
        >>> shard_rows(10, 4, 2)
        array([8, 9])
    """
    return np.arange(number * size, min(n, (number + 1) * size))


def score_shard(job: Job, size: int, number: int, folder: Path, temporary: Path) -> Part:
    """Score a shard, unless it has been already.

    Args:
        job: what is scored, by what.
        size: images in a shard.
        number: which shard.
        folder: takes the shard's own folder, `NUMBER-KEY`, in one rename.
        temporary: where that grows; on the same file system, and there already.

    Returns:
        The shard, on the disk.

    Raises:
        ShardError: an image changed while it was scored.
        FileNotFoundError: `temporary` is gone: whoever asked for the shard has ended.
    """
    rows = shard_rows(len(job.dataset), size, number)
    with _ONE:
        images = tuple(job.image_sha256(int(row)) for row in rows)
        place = folder / f"{number:06d}-{job.key(list(images))[:24]}"
        if place.is_dir():
            try:
                part = read_part(place, number)
                part.open()
                return part
            except ShardError:
                shutil.rmtree(place)
        fresh = temporary / f"{number:06d}-{uuid.uuid4().hex[:12]}"
        fresh.mkdir()
        try:
            _score_into(job, rows, number, images, fresh)
            if tuple(job.image_sha256(int(row)) for row in rows) != images:
                raise ShardError(f"an image of shard {number} changed while it was scored")
            try:
                fresh.rename(place)
            except OSError:
                if not place.is_dir():
                    raise  # else another worker was first, with the same
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            gc.collect()  # a network fused for inference is a cycle, as large as the network
    return replace(read_part(place, number), reused=False)


def read_part(folder: Path, number: int) -> Part:
    """Read what a finished shard's folder says of it.

    Raises:
        ShardError: it says nothing, or nonsense.
    """
    try:
        facts = json.loads((folder / "part.json").read_text())
        facts["images"] = tuple(facts["images"])
        return Part(number=number, folder=folder, reused=True, **facts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{folder} is no finished shard: remove it") from error


def scores_sha256(scores: xr.Dataset) -> str:
    """Hash every array and coordinate of scores, in order of their names.

    Example:
        >>> one = xr.Dataset({"a": ("x", np.zeros(2))}, coords={"x": ["p", "q"]})
        >>> scores_sha256(one) == scores_sha256(one.assign(a=one.a + 1))
        False
    """
    digest = hashlib.sha256()
    for name in sorted(map(str, scores.variables)):
        values = scores[name].values
        told = json.dumps([name, scores[name].dims, values.shape])
        plain = values.dtype.kind in "fiu"
        digest.update(told.encode() + (values.dtype.str.encode() if plain else b""))
        digest.update(values.tobytes() if plain else json.dumps(values.tolist()).encode())
    return digest.hexdigest()


def _score_into(
    job: Job, rows: np.ndarray, number: int, images: tuple[str, ...], fresh: Path
) -> None:
    started = time.perf_counter()
    part = job.dataset.subset(rows)
    settings = {"progress": False, **job.settings}
    found = None
    try:
        made = score(
            part, job.proposals, job.network, out=fresh / "scores.zarr", head=job.head, **settings
        )
        found, unreadable = scores_sha256(made.load()), dict(made.attrs["unreadable"])
        there = made.image.values.tolist()
    except ScoresError:
        unreadable, there = _unreadable(job, rows), []
        if len(unreadable) < len(rows):
            raise
    expected = [key for key in part.keys.tolist() if key not in unreadable]
    if there != expected:
        raise ShardError(f"shard {number} holds {len(there)} images, not {len(expected)}")
    facts = {
        "images": images,
        "unreadable": unreadable,
        "scores_sha256": found,
        "seconds": round(time.perf_counter() - started, 3),
    }
    (fresh / "part.json").write_text(json.dumps(facts) + "\n")


def _unreadable(job: Job, rows: np.ndarray) -> dict[str, str]:
    """Say which of some images cannot be read, and why."""
    why = {}
    for row in rows.tolist():
        try:
            job.dataset.read(row)
        except ImageError as error:
            why[str(job.dataset.keys[row])] = error.reason
    return why


def assemble(parts: Sequence[Part], job: Job, out: Path) -> None:
    """Write all shards as one store, in whole chunks, holding a shard and a chunk in memory.

    Unreadable images are left out, so that shards and chunks do not fall together: the rows are
    packed anew. That is copying, a small part of what scoring them took.

    Args:
        parts: every shard, in order.
        job: what they are of.
        out: the store, which is on the disk, for good, when this returns.

    Raises:
        ShardError: a shard is damaged.
        ScoresError: not one image could be read.
    """
    unreadable: dict[str, str] = {}
    images: list[str] = []
    held: xr.Dataset | None = None
    with ScoresWriter(out) as writer:
        for part in parts:
            images += part.images
            unreadable |= part.unreadable
            scores = part.open()
            if scores is None:
                continue
            writer.attrs.update(scores.attrs)
            held = scores if held is None else xr.concat([held, scores], "image", join="exact")
            full = held.sizes["image"] // CHUNK * CHUNK
            for start in range(0, full, CHUNK):
                writer.append(held.isel(image=slice(start, start + CHUNK)))
            held = held.isel(image=slice(full, None))
        if held is not None and held.sizes["image"]:
            writer.append(held)
        writer.attrs.update(unreadable=unreadable, key=job.key(images))
    flush_folder(out)


_HELD: dict[str, Job] = {}  # run -> its job, in this process


@dataclass(frozen=True)
class ShardWork:
    """Scores a shard by its number; small when pickled, since it holds no network.

    Attributes:
        make: makes the job, once in a process.
        run: a name for the run; the job is held under it.
        job_sha256: of the job of the process that hands out shards.
        size: images in a shard.
        folder: `OUT.partial`.
    """

    make: Callable[[], Job]
    run: str
    job_sha256: str
    size: int
    folder: Path

    def __call__(self, number: int) -> Part:
        """Score a shard, or find that it was.

        Raises:
            NonRetryableError: this process would make another job.
        """
        job = _HELD.get(self.run) or self.hold(self.make())
        return score_shard(job, self.size, number, self.folder / "parts", self.temporary)

    @property
    def temporary(self) -> Path:
        """Where shards of this run grow."""
        return self.folder / "temporary" / self.run

    def hold(self, job: Job) -> Job:
        """Keep the run's job in this process, in the place of an earlier run's.

        Raises:
            NonRetryableError: it is another job.
        """
        if job.sha256 != self.job_sha256:
            raise NonRetryableError(
                f"the worker on {socket.gethostname()} has other code, weights or settings than "
                "the process that hands out shards"
            )
        _HELD.clear()
        _HELD[self.run] = job
        return job
