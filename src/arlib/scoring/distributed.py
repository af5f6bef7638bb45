"""Scoring in shards: on one machine or many, through crashes; done again, only the rest is done.

OUT.partial/lock             held by the one process that hands out shards
OUT.partial/parts/           finished shards, `arlib.scoring.shards`
OUT.partial/temporary/       what workers are at
OUT                          all of it, in one rename, when every shard is there
"""

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import xarray as xr
from tqdm.auto import tqdm

from arlib._support.storage import exclusive_lock, place_folder
from arlib.scoring.jobs import Job
from arlib.scoring.scores import ScoresError, open_scores
from arlib.scoring.shards import Part, ShardWork, assemble
from arlib.scoring.workers import Outcome, by_dask, in_this_process

SHARD_SIZE = 1024


class FailedShardsError(ScoresError):
    """Shards that failed as often as they may; the others are kept.

    Attributes:
        errors: number of a shard -> what its tries said.
    """

    def __init__(self, errors: Mapping[int, tuple[str, ...]], shards: int, size: int, kept: Path):
        told = [f"shard {n} (images {n * size} and on): {e[-1]}" for n, e in errors.items()]
        super().__init__(
            f"{len(errors)} of {shards} shards failed and were set aside; the others are kept in "
            f"{kept}: mend what is wrong, and run the same again\n" + "\n".join(told)
        )
        self.errors = dict(errors)


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        shards: how many there are.
        reused: how many were there already.
        retried: number of a shard -> what its failed tries said, of those that came in the end.
    """

    shards: int
    reused: int
    retried: Mapping[int, tuple[str, ...]]


def score_in_shards(
    make: Callable[[], Job],
    out: str | Path,
    *,
    shard_size: int = SHARD_SIZE,
    processes: int = 1,
    scheduler: str | None = None,
    resources: Mapping[str, float] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[xr.Dataset, Report]:
    """Score a dataset shard by shard into one Zarr store, and go on where a run was cut off.

    Args:
        make: makes the job, here and once in each worker; picklable where there are workers,
            such as `functools.partial(named_job, dataset="oasis")`.
        out: the store; `OUT.partial` beside it holds finished shards until all are there. On a
            cluster, every machine must see both under the same path.
        shard_size: images in a shard.
        processes: on this machine; 1 works in this one.
        scheduler: address of a Dask scheduler, whose workers then do it.
        resources: what a Dask worker needs for a shard, such as {"GPU": 1}.
        overwrite: replace what is at `out`, in one step when the new scores are whole.
        progress: show a bar.

    Returns:
        The scores, in the dataset's order, and what was done. Where `out` holds the scores of this
        very job, there was nothing to do.

    Raises:
        BusyError: another run is at work on `out`.
        FileExistsError: `out` holds something else, and `overwrite` is false.
        FailedShardsError: shards failed too often; nothing is at `out`.
        NonRetryableError: a disk is full, or a worker has other code or weights.
        ScoresError: not one image could be read.
    """
    if shard_size < 1 or processes < 1:
        raise ValueError(f"shard_size and processes must be 1 or more: {shard_size}, {processes}")
    out, job = Path(out), make()
    folder = out.with_name(f"{out.name}.partial")
    shards = -(-len(job.dataset) // shard_size)
    with _claimed(folder):
        if out.exists() and not overwrite:
            _check_same(out, job)
            scores, report = open_scores(out), Report(shards, shards, {})
        else:
            work = ShardWork(make, uuid.uuid4().hex, job.sha256, shard_size, folder)
            work.hold(job)
            outcomes = _dealt(work, range(shards), processes, scheduler, resources)
            parts, report = _collected(outcomes, job, shard_size, shards, folder, progress)
            assemble(parts, job, folder / "whole.zarr")
            place_folder(folder / "whole.zarr", out, overwrite=overwrite)
            scores = open_scores(out)
        _remove_all_but(folder, "lock")
    return scores, report


def _dealt(
    work: ShardWork,
    numbers: range,
    processes: int,
    scheduler: str | None,
    resources: Mapping[str, float] | None,
) -> Iterator[Outcome]:
    """Have the shards done, by whomever; what earlier runs left half done is out of their reach."""
    (work.folder / "parts").mkdir(exist_ok=True)
    if work.temporary.parent.exists():  # in one step, so that a straggler finds nothing there
        work.temporary.parent.rename(work.folder / f"old-{work.run}")
    _remove_all_but(work.folder, "parts")
    work.temporary.mkdir(parents=True)
    if scheduler is None and processes == 1:
        yield from in_this_process(work, numbers)
    else:
        processes = min(processes, max(1, len(numbers)))
        yield from by_dask(
            work, numbers, processes=processes, scheduler=scheduler, resources=resources
        )


def _collected(
    outcomes: Iterator[Outcome], job: Job, size: int, shards: int, folder: Path, progress: bool
) -> tuple[list[Part], Report]:
    parts: dict[int, Part] = {}
    failed: dict[int, tuple[str, ...]] = {}
    retried: dict[int, tuple[str, ...]] = {}
    with tqdm(
        total=len(job.dataset), unit="image", desc=job.dataset.name, disable=not progress
    ) as bar:
        for outcome in outcomes:
            if outcome.failed:
                failed[outcome.number] = outcome.errors
                continue
            parts[outcome.number] = outcome.value
            if outcome.errors:
                retried[outcome.number] = outcome.errors
            bar.update(len(outcome.value.images))
    if failed:
        raise FailedShardsError(dict(sorted(failed.items())), shards, size, folder)
    in_order = [parts[number] for number in range(shards)]
    return in_order, Report(shards, sum(part.reused for part in in_order), retried)


def _check_same(out: Path, job: Job) -> None:
    """Refuse to go on beside the scores of something else."""
    try:
        key = open_scores(out).attrs.get("key")
    except ScoresError:
        key = None
    if key != job.key([job.image_sha256(index) for index in range(len(job.dataset))]):
        raise FileExistsError(
            f"{out} exists already, and holds no scores of these very images by this code and "
            "these weights and parameters: remove it, or ask to overwrite it"
        )


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    try:
        with exclusive_lock(folder / "lock"):
            yield
    finally:
        with suppress(OSError):  # shards are kept there, or another run is at work
            folder.rmdir()


def _remove_all_but(folder: Path, *names: str) -> None:
    for path in folder.iterdir():
        if path.is_dir() and path.name not in names:
            shutil.rmtree(path, ignore_errors=True)
