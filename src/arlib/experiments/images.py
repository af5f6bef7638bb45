"""The images of a protocol: what networks learn from, and the columns that are tested."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from arlib import datasets
from arlib.datasets import Dataset, DatasetError
from arlib.datasets.scenes import draw_set
from arlib.experiments.baselines.cross_fit import Missing, too_few
from arlib.experiments.baselines.sentibank import read_pairs
from arlib.experiments.names import AUTO, FOLDS, FROZEN, HELD_OUT, MODES, SHIPPED
from arlib.experiments.protocol import SCENES, Finetuning, Protocol
from arlib.experiments.registry import load_images, tested_images
from arlib.networks import LinearHead

log = logging.getLogger(__name__)

MOST_FOLDS = 5
"""Folds of a held-out part, of one's own images, and inner ones of heads; few images make fewer."""

SAMPLE = "sample"
"""What the images are called that classifiers on fixed features learn from, as a column."""

READ = 10_000
"""Images, at most, of a set in files whose bytes are read to tell whether they changed."""

DRAWN = ("datasets.scenes.benchmark",)
"""The code that a stage depends on besides, where images are drawn."""


class Images:
    """The images of a protocol, each set loaded on first use."""

    def __init__(self, protocol: Protocol):
        self.protocol = protocol
        self._datasets: dict[str, Dataset] = {}

    @cached_property
    def source(self) -> Dataset:
        """The labelled images of the fine-tuning set; fold 1 is held out, the others are -1."""
        return self._split(self.protocol.finetune)

    @cached_property
    def objects(self) -> Dataset:
        """The images that networks learn first, where they do; fold 1 is held out."""
        assert self.protocol.pretrain
        return self._split(self.protocol.pretrain)

    def _split(self, wanted: Finetuning) -> Dataset:
        """Load the labelled images of a set and hold out a share of them, as fold 1."""
        name, share = wanted.dataset, wanted.hold_out
        dataset = self._load(name)
        dataset = dataset.subset(dataset.labels >= 0)
        out = dataset.folds == 1
        if not share:
            return dataset.with_stratified_folds(0, self.protocol.seed)
        # a reader's own split of this size is taken, such as that of vso; else one is drawn
        of_reader = set(dataset.folds.tolist()) == {-1, 1}
        if of_reader and abs(out.mean() - share) > 0.02:
            log.warning(
                "%s holds out %.0f %% by itself: others are held out, %.0f %%",
                *(name, 100 * out.mean(), 100 * share),
            )
        if not of_reader or abs(out.mean() - share) > 0.02:
            out = dataset.with_stratified_folds(round(1 / share), self.protocol.seed).folds == 1
        return replace(dataset, folds=np.where(out, 1, -1).astype(np.int8))

    def _load(self, name: str) -> Dataset:
        """Load images by name or path; synthetic scenes are drawn."""
        if not name.startswith(SCENES):
            return load_images(name, self.protocol.reader if name in self.protocol.columns else {})
        settings, of_training = self.protocol, (self.protocol.finetune, self.protocol.pretrain)
        learned = name in [each.dataset for each in of_training if each]
        return draw_set(
            name,
            scale=settings.scale,
            local_share=settings.local_share,
            seed=settings.seed,
            full=0 if learned else settings.tested,
        )

    @cached_property
    def learned(self) -> Dataset:
        """The part of the fine-tuning set that everything learns from."""
        return self.source.subset(self.source.folds != 1)

    @cached_property
    def held_out(self) -> Dataset:
        """The part that nothing learns from, in folds for choosing K."""
        dataset = self.source.subset(self.source.folds == 1)
        least = np.bincount(dataset.labels, minlength=len(dataset.emotions)).min()
        folds = min(MOST_FOLDS, int(least))
        return dataset.with_stratified_folds(folds if folds > 1 else 0, self.protocol.seed)

    @cached_property
    def sample(self) -> Dataset:
        """The images of `learned` that classifiers on fixed features learn from."""
        rows = np.random.default_rng([self.protocol.seed, 5]).permutation(len(self.learned))
        return self.learned.subset(np.sort(rows[: self.protocol.fit_on]))

    @cached_property
    def tagged(self) -> Dataset:
        """The images of adjective-noun pairs, none of which is tested."""
        name = self.protocol.anps or self.protocol.finetune.dataset
        if name == self.protocol.finetune.dataset:
            return self.learned
        if datasets.source_of(name) in map(datasets.source_of, self.protocol.columns):
            raise Missing(f"the noun pairs at hand are those of {name}, whose images are predicted")
        return datasets.load(name)

    def column(self, name: str) -> Dataset:
        """Load the images of a column, whose classes must be those of the network."""
        dataset = self.read(name)
        own = self.protocol.finetune.dataset in MODES
        if not own and dataset.emotions != self.source.emotions:
            raise DatasetError(
                f"{name} has the classes {', '.join(dataset.emotions)}, the network those of "
                f"{self.source.name}: {', '.join(self.source.emotions)}"
            )
        return dataset

    def read(self, name: str) -> Dataset:
        """Load the images of a column, whatever their classes."""
        if name == f"{self.protocol.finetune.dataset}{HELD_OUT}":
            return self.held_out
        return self._load(name)

    def columns(self, name: str) -> Dataset:
        """Load the images of a column, once."""
        if name not in self._datasets:
            self._datasets[name] = self.column(name)
        return self._datasets[name]

    def tested(self, name: str) -> Dataset:
        """Take the images of a column that are predicted: all but a fixed split's training part."""
        return tested_images(self.columns(name))

    def others(self, dataset: Dataset, fold: int) -> Dataset:
        """Take the labelled images outside a fold, and those that no fold tests: to learn from."""
        learn = dataset.subset((dataset.labels >= 0) & (dataset.folds != fold))
        return learn.with_stratified_folds(0, self.protocol.seed)

    @cached_property
    def pairs(self) -> tuple[str, ...]:
        """The pairs that a file names for SentiBank, all of which have images; else none."""
        if not self.protocol.pairs:
            return ()
        tags = self.tagged.tags
        return read_pairs(Path(self.protocol.pairs), set(() if tags is None else tags.tolist()))

    def learns_from(self, dataset: Dataset) -> str:
        """What the network of a column learns from, with "auto" resolved.

        `DatasetError` where it is the images' own folds, and their labels are too few.
        """
        settings = self.protocol
        source = settings.finetune.dataset
        reason = too_few(dataset) if source in (FROZEN, FOLDS, AUTO) else None
        if reason is None:
            return FROZEN if source == AUTO else source
        head = LinearHead.default()
        fits = (head.backbone, head.emotions) == (settings.backbone, tuple(dataset.emotions))
        if source == AUTO and fits:
            return SHIPPED
        raise DatasetError(
            f"{dataset.name}: {reason}; add images, or let finetune_on name another dataset, or "
            f"'shipped', the head that comes with the package, which predicts "
            f"{' and '.join(head.emotions)} on {head.backbone}"
        )

    def sources(self, column: str) -> dict[int, Dataset | None]:
        """Give what each tested fold's network learns from: the other folds; None, the set."""
        dataset, folds = self.columns(column), np.unique(self.tested(column).folds).tolist()
        if self.learns_from(dataset) != FOLDS:
            return dict.fromkeys(folds)
        return {fold: self.others(dataset, fold) for fold in folds}

    def facts(self, dataset: Dataset, others: Mapping[str, Any]) -> dict[str, Any]:
        """List what decides a stage's result: its images, and other facts."""
        images: dict[str, Any] = {"images": identity(dataset)}
        if self.drawn(dataset):
            images["seed of images"] = self.protocol.seed
            if not dataset.name.startswith(f"{SCENES}objects"):  # whose images it does not change
                images["local share"] = self.protocol.local_share
        return {**images, **others}

    def drawn(self, dataset: Dataset) -> tuple[str, ...]:
        """Name the code that draws a dataset's images, where it does."""
        return DRAWN if dataset.name.startswith(SCENES) else ()


def identity(dataset: Dataset) -> str:
    """Hash a dataset: of more images than `READ`, and of drawn ones, without their pixels."""
    digest = hashlib.sha256(json.dumps([dataset.name, *dataset.emotions]).encode())
    if dataset.draw is None and len(dataset) <= READ:
        digest.update(dataset.sha256().encode())
        return digest.hexdigest()
    for array in (dataset.keys, dataset.labels, dataset.folds):
        digest.update("\n".join(map(str, array.tolist())).encode())
    return digest.hexdigest()
