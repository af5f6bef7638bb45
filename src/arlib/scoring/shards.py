"""A shard: some of the images, scored into a folder that appears complete or not at all.

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
from typing import Any

import numpy as np
import xarray as xr

from arlib._support.files import read_json
from arlib._support.storage import flush_folder
from arlib.datasets import ImageError
from arlib.scoring.jobs import Job
from arlib.scoring.scorer import score
from arlib.scoring.scores import CHUNK, ScoresError, ScoresWriter, open_scores
from arlib.scoring.workers import NonRetryableError

_ONE = threading.Lock()  # a worker may have threads; its network serves one at a time
_HELD: dict[str, Job] = {}  # run -> its job, in this process


class ShardError(ValueError):
    """A shard whose images changed under way, or whose folder does not hold what it should."""


@dataclass(frozen=True)
class Part:
    """A finished shard on the disk, as its `part.json` describes it."""

    number: int
    folder: Path
    images: tuple[str, ...]  # hashes of all its images, in order, readable or not
    unreadable: dict[str, str] = field(default_factory=dict)  # key -> reason
    scores_sha256: str | None = None  # as read back from the disk; None: no image is readable
    seconds: float = 0.0  # that scoring took
    reused: bool = False  # whether it was there already

    def open(self) -> xr.Dataset | None:
        """Read the scores into memory, None where no image is readable; refuse damaged ones."""
        if self.scores_sha256 is None:
            return None
        try:
            scores = open_scores(self.folder / "scores.zarr").load()
            digest = scores_sha256(scores)
        except Exception as error:  # damaged chunks raise whatever their codec does
            raise ShardError(f"{self.folder} is damaged ({error}): remove it") from error
        if digest != self.scores_sha256:
            raise ShardError(f"{self.folder} is damaged (another hash): remove it")
        return scores


@dataclass(frozen=True)
class ShardWork:
    """Scores a shard by its number; small when pickled, since it holds no network."""

    make: Callable[[], Job]  # called once in a process
    run: str  # a name for the run; the job is held under it
    job_sha256: str  # of the job of the process that hands out shards
    size: int  # images in a shard
    folder: Path  # `OUT.partial`

    def __call__(self, number: int) -> Part:
        """Score a shard unless it is finished; `NonRetryableError` where the job is another."""
        job = _HELD.get(self.run) or self.hold(self.make())
        return score_shard(job, self.size, number, self.folder / "parts", self.temporary)

    @property
    def temporary(self) -> Path:
        """The folder in which shards of this run are written."""
        return self.folder / "temporary" / self.run

    def hold(self, job: Job) -> Job:
        """Keep the run's job in this process, in the place of an earlier run's."""
        if job.sha256 != self.job_sha256:
            raise NonRetryableError(
                f"the worker on {socket.gethostname()} has other code, weights or settings than "
                "the process that hands out shards"
            )
        _HELD.clear()
        _HELD[self.run] = job
        return job


def score_shard(job: Job, size: int, number: int, folder: Path, temporary: Path) -> Part:
    """Score a shard into `folder/NUMBER-KEY`, unless it was; it grows in `temporary` beside it."""
    rows = np.arange(number * size, min(len(job.dataset), (number + 1) * size))
    with _ONE:
        # an intact folder of this name is this shard
        images = tuple(job.image_sha256(row) for row in rows.tolist())
        place = folder / f"{number:06d}-{job.key(list(images))[:24]}"
        if place.is_dir():
            try:
                part = read_part(place, number)
                part.open()
                return part
            except ShardError:
                shutil.rmtree(place)
        # else it is scored, and renamed when it is complete
        fresh = temporary / f"{number:06d}-{uuid.uuid4().hex[:12]}"
        fresh.mkdir()
        try:
            _score_into(job, rows, number, images, fresh)
            if tuple(job.image_sha256(row) for row in rows.tolist()) != images:
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


def _score_into(
    job: Job, rows: np.ndarray, number: int, images: tuple[str, ...], fresh: Path
) -> None:
    """Score rows of the job's dataset into a new folder: `scores.zarr` and `part.json`."""
    started = time.perf_counter()
    dataset = job.dataset.subset(rows)
    out = fresh / "scores.zarr"
    heads = {"head": job.head, "inner": job.inner}
    settings: dict[str, Any] = {**heads, "progress": False, **job.settings}
    digest = None
    try:
        scores = score(dataset, job.proposals, job.network, out=out, **settings)
        digest, unreadable = scores_sha256(scores.load()), dict(scores.attrs["unreadable"])
        keys = scores.image.values.tolist()
    except ScoresError:
        unreadable, keys = _unreadable(job, rows), []
        if len(unreadable) < len(rows):
            raise
    expected = [key for key in dataset.keys.tolist() if key not in unreadable]
    if keys != expected:
        raise ShardError(f"shard {number} holds {len(keys)} images, not {len(expected)}")
    facts = {
        "images": images,
        "unreadable": unreadable,
        "scores_sha256": digest,
        "seconds": round(time.perf_counter() - started, 3),
    }
    (fresh / "part.json").write_text(json.dumps(facts) + "\n")


def _unreadable(job: Job, rows: np.ndarray) -> dict[str, str]:
    """Find which of some images cannot be read: key -> reason."""
    reasons = {}
    for row in rows.tolist():
        try:
            job.dataset.read(row)
        except ImageError as error:
            reasons[str(job.dataset.keys[row])] = error.reason
    return reasons


def read_part(folder: Path, number: int) -> Part:
    """Read a finished shard's `part.json`; `ShardError` where it is missing or damaged."""
    try:
        facts = read_json(folder / "part.json")
        facts["images"] = tuple(facts["images"])
        return Part(number=number, folder=folder, reused=True, **facts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{folder} is no finished shard: remove it") from error


def scores_sha256(scores: xr.Dataset) -> str:
    """Hash every array and coordinate of scores, in order of their names."""
    digest = hashlib.sha256()
    for name in sorted(map(str, scores.variables)):
        values = scores[name].values
        header = json.dumps([name, scores[name].dims, values.shape])
        plain = values.dtype.kind in "fiu"
        digest.update(header.encode() + (values.dtype.str.encode() if plain else b""))
        digest.update(values.tobytes() if plain else json.dumps(values.tolist()).encode())
    return digest.hexdigest()


def assemble(parts: Sequence[Part], job: Job, out: Path, *, chunk: int = CHUNK) -> None:
    """Write all shards, in order, as one store, which is on the disk, for good, at the return."""
    # unreadable images are left out, so that shards and chunks do not fall together: rows are
    # packed anew, with a shard and a chunk in memory at a time
    unreadable: dict[str, str] = {}
    images: list[str] = []
    held: xr.Dataset | None = None
    with ScoresWriter(out, chunk=chunk) as writer:
        for part in parts:
            images += part.images
            unreadable |= part.unreadable
            scores = part.open()
            if scores is None:
                continue
            writer.attrs.update(scores.attrs)
            held = scores if held is None else xr.concat([held, scores], "image", join="exact")
            full = held.sizes["image"] // chunk * chunk
            for start in range(0, full, chunk):
                writer.append(held.isel(image=slice(start, start + chunk)))
            held = held.isel(image=slice(full, None))
        if held is not None and held.sizes["image"]:
            writer.append(held)
        writer.attrs.update(unreadable=unreadable, key=job.key(images))
        if job.model is not None:
            writer.attrs["model"] = dict(job.model)
    flush_folder(out)
