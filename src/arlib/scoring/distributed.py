"""Scoring in shards: on one machine or many, through crashes; done again, only the rest is done.

OUT.partial/lock             held by the one process that hands out shards
OUT.partial/parts/           finished shards, `arlib.scoring.shards`
OUT.partial/temporary/       shards that workers have begun
OUT                          all of it, in one rename, when every shard is there
"""

import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from arlib._support.progress import progress_bar
from arlib._support.storage import exclusive_lock, place_folder, refuse_output
from arlib._support.stores import StoreError, check_store
from arlib.scoring.jobs import Job, named_job
from arlib.scoring.scores import ScoresError, open_scores, refuse_scores_output
from arlib.scoring.shards import Part, ShardWork, assemble
from arlib.scoring.workers import Outcome, by_dask, in_this_process


class FailedShardsError(ScoresError):
    """Shards that failed as often as they may, with `errors`: number -> those of its tries."""

    def __init__(self, errors: Mapping[int, tuple[str, ...]], shards: int, size: int, kept: Path):
        lines = [f"shard {n} (images {n * size} and on): {e[-1]}" for n, e in errors.items()]
        super().__init__(
            f"{len(errors)} of {shards} shards failed; the others are kept in {kept}: fix the "
            "cause, and run the same again\n" + "\n".join(lines)
        )
        self.errors = dict(errors)


@dataclass(frozen=True)
class Report:
    """Report of a run: the number of shards, of those reused, and the errors before others came."""

    shards: int
    reused: int
    retried: Mapping[int, tuple[str, ...]]


def score_in_shards(
    make: Mapping[str, Any] | Callable[[], Job],
    out: str | Path,
    *,
    shard_size: int = 1024,
    processes: int = 1,
    scheduler: str | None = None,
    resources: Mapping[str, float] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[xr.Dataset, Report]:
    """Score a dataset shard by shard into one Zarr store, and go on where a run was cut off.

    Args:
        make: what to score, by names, from which each worker makes the same job; or a function
            that makes the job, here and once in each worker, picklable where there are workers.
            The names are settings of `score`, a precision "auto" being resolved here, and

            - `dataset`, a name in `arlib.datasets.load`, with its further arguments in
              `dataset_settings`; or else `images`, a folder of images without labels; and
              `max_pixels` of an image (None, for the default of `arlib.datasets.read_image`);
            - `model`, what was trained, as `arlib.networks.load_model` takes it, whose facts the
              scores then keep as `attrs["model"]`; or `head`, a linear head's file; or `backbone`,
              a network that predicts by its own classes, and its `weights` ("auto"), as in
              `arlib.networks.load_backbone`; none of them takes the package's own head;
            - `proposals` ("edge_boxes"), `max_regions` (100) and `deadline` (None), as in
              `arlib.proposals.make_proposals`.
        out: the store; `OUT.partial` beside it holds finished shards until all are there. On a
            cluster, every machine must see both under the same path.
        shard_size: images in a shard.
        processes: on this machine; 1 works in this one, more need Dask.
        scheduler: address of a Dask scheduler, whose workers then score.
        resources: what a Dask worker needs for a shard, such as {"GPU": 1}.
        overwrite: replace the scores at `out`, in one step when the new ones are complete.
        progress: show a bar.

    Returns:
        The scores, in the dataset's order, and a report: `shards`, how many there are; `reused`,
        how many were there already; `retried`, number of a shard that failed before it came ->
        its errors. Where `out` holds the scores of this very job, there was nothing to do.

    Raises:
        BusyError: another run is at work on `out`.
        FileExistsError: `out` holds other scores, and `overwrite` is false; or it, or
            `OUT.partial`, holds anything that is not of a scoring.
        ValueError: both or neither of `dataset` and `images`, more than one of `model`, `head` and
            `backbone`, or no such name; shards failed too often, a disk is full, or a worker has
            other code or weights; nothing is at `out`, finished shards are kept.
        ScoresError: no image could be read; or the scores at `out` are damaged.
        ImportError: Dask is needed and not installed.

    Example:
        >>> import tempfile
        >>> names = {"dataset": "scenes-annotated", "dataset_settings": {"n": 20},
        ...          "backbone": "vgg_tiny", "weights": "random", "proposals": "grid"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scores, report = score_in_shards(
        ...         names, Path(folder, "scores.zarr"), shard_size=8, progress=False
        ...     )
        >>> scores.sizes["image"], report.shards
        (20, 3)
    """
    if shard_size < 1 or processes < 1:
        raise ValueError(f"shard_size and processes must be 1 or more: {shard_size}, {processes}")
    if isinstance(make, Mapping):
        make = partial(named_job, **make)
    out = Path(out)
    folder = out.with_name(f"{out.name}.partial")
    refuse_scores_output(out)
    job = make()
    shards = -(-len(job.dataset) // shard_size)
    with _claim(folder):
        refuse_output(folder, ours=_is_unfinished, what="what an unfinished scoring left")
        # nothing to do
        if out.exists() and not overwrite:
            scores = _finished(out, job)
            _remove_all_but(folder, "lock")
            return scores, Report(shards, shards, {})
        # what earlier runs left half done is put out of their reach
        (folder / "parts").mkdir(exist_ok=True)
        work = ShardWork(make, uuid.uuid4().hex, job.sha256, shard_size, folder)
        if work.temporary.parent.exists():  # in one step, so that a late worker finds nothing
            work.temporary.parent.rename(folder / f"old-{work.run}")
        _remove_all_but(folder, "parts")
        work.temporary.mkdir(parents=True)
        work.hold(job)
        # every shard, by this process or by others
        outcomes: Iterator[Outcome]
        if scheduler is None and processes == 1:
            outcomes = in_this_process(work, range(shards))
        else:
            workers = min(processes, max(1, shards))
            outcomes = by_dask(
                work, range(shards), processes=workers, scheduler=scheduler, resources=resources
            )
        parts, report = _collect(outcomes, job, shard_size, shards, folder, progress)
        # one store of all of them
        assemble(parts, job, folder / "all.zarr")
        refuse_scores_output(out)
        place_folder(folder / "all.zarr", out, overwrite=overwrite)
        _remove_all_but(folder, "lock")
    return open_scores(out), report


def _collect(
    outcomes: Iterator[Outcome], job: Job, size: int, shards: int, folder: Path, progress: bool
) -> tuple[list[Part], Report]:
    """Wait for every shard; raise `FailedShardsError` at the end where some failed."""
    parts: dict[int, Part] = {}
    failed: dict[int, tuple[str, ...]] = {}
    retried: dict[int, tuple[str, ...]] = {}
    with progress_bar(
        total=len(job.dataset), unit="image", desc=job.dataset.name, show=progress
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


def _finished(out: Path, job: Job) -> xr.Dataset:
    """Open the scores of this very job; refuse to go on beside damaged ones, or others."""
    try:
        check_store(out)
        scores = open_scores(out)
    except StoreError as error:
        raise ScoresError(f"{error}; to score again, overwrite it") from error
    if scores.attrs.get("key") != job.key([job.image_sha256(n) for n in range(len(job.dataset))]):
        raise FileExistsError(
            f"{out} exists already, and holds no scores of these very images by this code and "
            "these weights and parameters: remove it, or ask to overwrite it"
        )
    return scores


_UNFINISHED = re.compile(
    r"lock|\.?all\.zarr(\.partial-[0-9a-f]+)?(/.+)?|(temporary|old-[0-9a-f]+)(/[0-9a-f]+)?"
    r"|parts(/[0-9]{6,}-[0-9a-f]+)?"
)


def _is_unfinished(folder: Path) -> bool:
    """Tell whether a folder holds nothing but what a scoring puts into `OUT.partial`."""
    paths = (*folder.glob("*"), *folder.glob("*/*"))
    return not folder.is_symlink() and all(
        _UNFINISHED.fullmatch(path.relative_to(folder).as_posix()) for path in paths
    )


@contextmanager
def _claim(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; remove the folder at the end if nothing is kept there."""
    try:
        with exclusive_lock(folder / "lock"):
            yield
    finally:
        with suppress(OSError):  # shards are kept there, or another run is at work
            folder.rmdir()


def _remove_all_but(folder: Path, *names: str) -> None:
    """Remove the folders in a folder, but for some."""
    for path in folder.iterdir():
        if path.is_dir() and path.name not in names:
            shutil.rmtree(path, ignore_errors=True)
