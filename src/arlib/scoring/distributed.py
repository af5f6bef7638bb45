"""Score in shards, on one machine or many; after a crash only the remaining shards are scored.

OUT.partial/lock             held by the one process that hands out shards
OUT.partial/parts/           finished shards, `arlib.scoring.shards`
OUT.partial/temporary/       shards that workers have begun
OUT                          all of it, in one rename, when every shard is there
"""

import hashlib
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib._support.files import StoreError
from arlib._support.progress import progress_bar
from arlib._support.storage import exclusive_lock, place_folder, refuse_output
from arlib._support.stores import check_store
from arlib.datasets import Dataset
from arlib.proposals import Propose
from arlib.scoring.cross_fold import Classifiers
from arlib.scoring.jobs import Job, named_job
from arlib.scoring.scores import ScoresError, open_scores, refuse_scores_output, save_scores
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
            - `trusted` (False), whether a model or head may name a function to import and call;
            - `proposals` ("edge_boxes", or a file of boxes), `max_regions` (100) and `deadline`
              (None), as in `arlib.proposals.make_proposals`.
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
            scores = _finished(out, _key(job))
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


def score_cross_fold(
    classifiers: Classifiers,
    dataset: Dataset,
    proposals: Propose,
    out: str | Path,
    *,
    again: Callable[[], tuple[Classifiers, Dataset, Propose]] | None = None,
    shard_size: int = 1024,
    processes: int = 1,
    scheduler: str | None = None,
    resources: Mapping[str, float] | None = None,
    progress: bool = True,
    **settings: Any,
) -> tuple[xr.Dataset, Report]:
    """Score every image by its fold's classifier, as `score_in_shards`, into one Zarr store.

    Args:
        classifiers: the network, and heads, of each fold.
        dataset: the images.
        proposals: image -> Proposals.
        out: the store to write; it appears only when it is complete. `OUT.folds` beside it holds
            what was scored until then, where networks differ.
        again: makes the first three anew, in each worker; picklable, small. Without it they are
            pickled themselves.
        shard_size: images in a shard.
        processes: on this machine, as in `score_in_shards`.
        scheduler: address of a Dask scheduler, likewise.
        resources: of its workers, likewise.
        progress: show a bar.
        settings: of `score`.

    Returns:
        The scores in the dataset's order, and a report; `weights_sha256` is one per fold if
        networks differ.

    Raises:
        ValueError: a fold has no network or no head, or as `score_in_shards` raises.

    Example:
        >>> import tempfile
        >>> from arlib.datasets import load
        >>> from arlib.networks import load_backbone
        >>> from arlib.proposals import Grid
        >>> scenes = load("scenes-annotated", n=20)
        >>> networks = {
        ...     fold: load_backbone("vgg_tiny", classes=2, weights="random", seed=fold)
        ...     for fold in set(scenes.folds.tolist())
        ... }
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scores, _ = score_cross_fold(
        ...         Classifiers(networks), scenes, Grid(2), Path(folder, "s.zarr"), progress=False
        ...     )
        >>> len(scores.attrs["weights_sha256"]) == len(networks)
        True
    """
    jobs = _jobs(classifiers, dataset, proposals, settings)
    makers: list[Callable[[], Job]] = [partial(jobs.__getitem__, n) for n in range(len(jobs))]
    if again is not None and (processes > 1 or scheduler is not None):
        makers = [partial(_job_again, again, settings, number) for number in range(len(jobs))]
    how: dict[str, Any] = {
        "shard_size": shard_size,
        "processes": processes,
        "scheduler": scheduler,
        "resources": resources,
        "progress": progress,
    }
    if len(jobs) == 1:
        return score_in_shards(makers[0], out, **how)
    out = Path(out)
    refuse_scores_output(out)
    key = hashlib.sha256("\n".join(map(_key, jobs)).encode()).hexdigest()
    if out.exists():
        return _finished(out, key), Report(len(jobs), len(jobs), {})
    # each network scores its folds' images; then back to the dataset's order
    folder = out.with_name(f"{out.name}.folds")
    folder.mkdir(parents=True, exist_ok=True)
    done = [
        score_in_shards(maker, folder / f"{number}.zarr", **how)
        for number, maker in enumerate(makers)
    ]
    scored = [scores.load() for scores, _ in done]
    together = xr.concat(scored, "image", combine_attrs="override", join="exact")
    place = {name: row for row, name in enumerate(dataset.keys.tolist())}
    order = np.argsort([place[name] for name in together.image.values.tolist()])
    weights = {
        ",".join(map(str, np.unique(job.dataset.folds).tolist())): scores.attrs["weights_sha256"]
        for job, scores in zip(jobs, scored, strict=True)
    }
    unreadable = {k: v for scores in scored for k, v in scores.attrs["unreadable"].items()}
    attrs = {"weights_sha256": weights, "unreadable": unreadable, "key": key}
    save_scores(together.isel(image=order).assign_attrs(attrs), out)
    shutil.rmtree(folder)
    shards, reused = (sum(getattr(each, n) for _, each in done) for n in ("shards", "reused"))
    return open_scores(out), Report(shards, reused, {})


def _jobs(
    classifiers: Classifiers, dataset: Dataset, proposals: Propose, settings: Mapping[str, Any]
) -> list[Job]:
    """Make the job of each network."""
    groups = list(classifiers.groups(dataset))
    parts = [dataset.subset(mask) if len(groups) > 1 else dataset for _, mask in groups]
    return [
        Job(part, proposals, network, classifiers.heads, settings, inner=classifiers.inner)
        for part, (network, _) in zip(parts, groups, strict=True)
    ]


def _job_again(
    again: Callable[[], tuple[Classifiers, Dataset, Propose]],
    settings: Mapping[str, Any],
    number: int,
) -> Job:
    return _jobs(*again(), settings)[number]


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


def _key(job: Job) -> str:
    """Name the scores of all images of a job."""
    return job.key([job.image_sha256(number) for number in range(len(job.dataset))])


def _finished(out: Path, key: str) -> xr.Dataset:
    """Open the scores of this very job; refuse to go on beside damaged ones, or others."""
    try:
        check_store(out)
        scores = open_scores(out)
    except StoreError as error:
        raise ScoresError(f"{error}; to score again, overwrite it") from error
    if scores.attrs.get("key") != key:
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
