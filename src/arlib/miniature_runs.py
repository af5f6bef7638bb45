"""Runs of the embedded world: its tested sets scored, and every row of Table 1 measured, once."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import xarray as xr

from arlib.backbones import Backbone
from arlib.baselines.rows import Missing, measure_rows, rows_for
from arlib.baselines.sentibank import SentiBank, train_bank
from arlib.cache import folder_for
from arlib.datasets import Dataset, stratified_folds
from arlib.judges import Judges, score_by
from arlib.miniature import Miniature, fine_tune, fine_tune_on_tags, pretrain, progressive
from arlib.proposals import make as make_proposals
from arlib.runs import open_run, write_baselines, write_run
from arlib.training import TooFewError

TESTED = ("judged", "folded", "tagged")
"""The sets that are scored: the columns Twitter I, Twitter II and Flickr of the paper's Table 1."""

CAFFENET = "alexnet_tiny"
"""The network in place of CaffeNet."""


def live_runs(settings: Miniature, *, progress: bool = True) -> dict[str, Callable[[Path], Path]]:
    """What an edition of the book makes: name of a run -> function that makes it, once."""

    def make(name: str, _folder: Path) -> Path:
        return with_rows(settings, name, progress=progress)

    return {f"scenes-{name}": partial(make, name) for name in TESTED}


def scored_set(settings: Miniature, name: str) -> Dataset:
    """Make a set that is scored, with the folds in which choices are made.

    Args:
        settings: of the chain.
        name: one of `TESTED`; of "tagged", the tenth that no network learned from, in 5 folds.
    """
    made = settings.dataset(name)
    if name != "tagged":
        return made
    held_out = made.subset(made.folds == 1)
    return replace(held_out, folds=stratified_folds(held_out.labels, 5, settings.seed))


def scored(settings: Miniature, name: str = "judged", *, progress: bool = True) -> Path:
    """Score a tested set with the fine-tuned network, or take the run from the cache.

    Args:
        settings: of the chain.
        name: one of `TESTED`.
        progress: show bars.

    Returns:
        The run's folder, as `arlib.runs.open_run` opens it.
    """
    run = folder_for(f"scored-{name}", asdict(settings)) / f"scenes-{name}"
    if not (run / "run.json").exists():
        network, folder = fine_tune(settings, progress=progress)
        made = scored_set(settings, name)
        judges = Judges.one(network, made)
        propose = make_proposals(settings.proposals, max_regions=settings.max_regions)
        how = {"crop": settings.crop, "batch_size": 256, "progress": progress}
        write_run(
            run,
            lambda out: score_by(judges, made, propose, out, **how),
            experiment={
                "dataset": f"scenes-{name}",
                "miniature": asdict(settings),
                "network": folder.name,
            },
            dataset=made,
        )
    return run


def with_rows(settings: Miniature, name: str = "judged", *, progress: bool = True) -> Path:
    """Score a tested set and measure the rows of Table 1 that scores cannot fill; kept likewise.

    Args:
        settings: of the chain.
        name: one of `TESTED`.
        progress: show bars.

    Returns:
        The folder that `scored` gives, which now holds `baselines.zarr` too.
    """
    run = scored(settings, name, progress=progress)
    if not (run / "baselines.zarr").is_dir():
        scores, _ = open_run(run)
        made = scored_set(settings, name)
        dataset = made.subset(np.isin(made.keys, scores.image.values.tolist()))
        write_baselines(run, _rows(settings, dataset, scores.load(), progress))
    return run


def bank(settings: Miniature, *, progress: bool = True) -> SentiBank:
    """Train a SentiBank on the tagged set, but for its held-out tenth; kept likewise.

    Args:
        settings: of the chain.
        progress: show a bar.
    """
    facts = settings.facts("world", "seed", "scale", "n_tagged")
    path = folder_for("sentibank", facts) / "bank.safetensors"
    if not path.with_suffix(".json").exists():
        made = settings.dataset("tagged")
        trained = train_bank(made.subset(made.folds != 1), seed=settings.seed, progress=progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        trained.save(path)
    return SentiBank.load(path)


def _rows(settings: Miniature, dataset: Dataset, scores: xr.Dataset, progress: bool) -> xr.Dataset:
    judges = Judges.one(fine_tune(settings, progress=progress)[0], dataset)

    def pcnn(backbone: str) -> Judges:
        try:
            network = _progressive(replace(settings, backbone=backbone), progress)
        except TooFewError as error:
            raise Missing(f"PCNN dropped too much to train on: {error}") from error
        return Judges.one(network, dataset)

    rows = rows_for(
        dataset,
        scores,
        judges,
        plain=pretrain(settings, progress=progress)[0],
        bank=partial(bank, settings, progress=progress),
        deep=partial(fine_tune_on_tags, settings, progress=progress),
        pcnn={
            "PCNN + CaffeNet": partial(pcnn, CAFFENET),
            "PCNN + VGGNet": partial(pcnn, settings.backbone),
        },
        progress=progress,
    )
    return measure_rows(dataset, judges, rows, progress=progress)


@lru_cache(maxsize=4)
def _progressive(settings: Miniature, progress: bool) -> Backbone:
    """The network that PCNN gives; who is dropped is not asked again for every tested set."""
    return progressive(settings, progress=progress).network
