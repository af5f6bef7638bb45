"""Networks of an experiment on photographs: frozen, fine-tuned on the other folds, or elsewhere."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib import datasets
from arlib.backbones import (
    Backbone,
    WeightsError,
    load_backbone,
    weights_file,
    weights_sha256,
)
from arlib.baselines.pcnn import train_on
from arlib.baselines.rows import Missing, measure_rows, rows_for
from arlib.baselines.sentibank import SentiBank, train_bank
from arlib.cache import folder_for
from arlib.datasets import Dataset, DatasetError, by_tag
from arlib.finetuning import finetune
from arlib.heads import LinearHead, default_head, fit_head
from arlib.judges import Judges
from arlib.packing import check_heads
from arlib.training import TooFewError, Training, parse_training
from arlib.whole import image_features

CAFFENET = "alexnet"
"""The network in place of CaffeNet, which is AlexNet but for the order of two layers."""


FROZEN, SHIPPED, FOLDS = "none", "shipped", "folds"
"""What a network learns from, where it is not the name of a dataset."""


@dataclass(frozen=True)
class Chain:
    """What one run needs, made when it is asked for; training is kept (`arlib.cache`).

    Attributes:
        tested: the dataset whose images are judged.
        backbone: torchvision's name of the network.
        finetune_on: "none", "shipped", "folds" or a dataset, as `arlib.experiment.Experiment` says.
        weights: "auto", "random", or a safetensors file.
        seed: of training, of heads and of random weights.
        training: settings of `arlib.training.Training`.
        anps: the ANP-tagged dataset.
        reader: settings of the tested dataset's reader.
        progress: show bars.
    """

    tested: str
    backbone: str
    finetune_on: str = FROZEN
    weights: str = "auto"
    seed: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)
    anps: str = "vso"
    reader: Mapping[str, Any] = field(default_factory=dict)
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse that a network judges what it learned from."""
        if self.finetune_on == self.tested:
            raise ValueError(
                f"a network fine-tuned on all of {self.tested} has seen what it would judge: "
                f"finetune_on {FOLDS!r} leaves out the fold that is judged"
            )

    @cached_property
    def dataset(self) -> Dataset:
        """The images."""
        return datasets.load(self.tested, **self.reader)

    @cached_property
    def plain(self) -> Backbone:
        """The backbone with its published weights."""
        return load_backbone(self.backbone, weights=self.weights, seed=self.seed)

    @cached_property
    def judges(self) -> Judges:
        """Who judges which fold."""
        dataset = self.dataset  # first: what is missing is told before weights are fetched
        if self.finetune_on == SHIPPED:
            head = default_head()
            if head.provenance.get("dataset") == dataset.name:
                raise ValueError(f"the head that comes with the package has seen {dataset.name}")
            heads = dict.fromkeys(np.unique(dataset.folds).tolist(), head)
            check_heads(dataset, self.plain, heads)
            return Judges.one(self.plain, dataset, heads)
        if self.finetune_on in (FROZEN, FOLDS) and not (dataset.labels >= 0).any():
            raise DatasetError(
                f"{dataset.name} has no labels to learn from: finetune_on must be 'shipped', for "
                "the head that comes with the package, or another dataset"
            )
        if self.finetune_on == FROZEN:
            return Judges.one(self.plain, dataset, self._heads())
        return self._judges(self.backbone, progressive=False)

    def baselines(self, scores: xr.Dataset) -> xr.Dataset:
        """The rows that scores alone cannot fill, and the controls."""
        there = np.isin(self.dataset.keys, scores.image.values.tolist())
        dataset = self.dataset.subset(there)
        rows = rows_for(
            dataset,
            scores,
            self.judges,
            plain=self.plain,
            bank=lambda: self._bank,
            deep=lambda: self._deep,
            pcnn={
                "PCNN + CaffeNet": partial(self._pcnn, CAFFENET),
                "PCNN + VGGNet": partial(self._pcnn, self.backbone),
            },
            progress=self.progress,
        )
        return measure_rows(dataset, self.judges, rows, progress=self.progress)

    def _heads(self) -> dict[int, LinearHead]:
        features, _ = image_features(self.dataset, self.plain, progress=self.progress)
        usable = np.isfinite(features).all(axis=1) & (self.dataset.labels >= 0)
        heads = {}
        for fold in np.unique(self.dataset.folds).tolist():
            learn = usable & (self.dataset.folds != fold)
            heads[fold] = fit_head(
                features[learn],
                self.dataset.labels[learn],
                self.dataset.emotions,
                backbone=self.backbone,
                seed=self.seed,
            )
        return heads

    def _judges(self, backbone: str, *, progressive: bool) -> Judges:
        if self.finetune_on != FOLDS:
            source = datasets.load(self.finetune_on)
            network = self._trained(backbone, source, self.finetune_on, progressive)
            return Judges.one(network, self.dataset)
        folds = np.unique(self.dataset.folds).tolist()
        return Judges(
            {
                fold: self._trained(
                    backbone,
                    self.dataset.subset((self.dataset.folds != fold) & (self.dataset.folds >= 0)),
                    f"all but fold {fold}",
                    progressive,
                )
                for fold in folds
            }
        )

    def _trained(
        self, backbone: str, dataset: Dataset, said: str, progressive: bool = False
    ) -> Backbone:
        """Fine-tune on a set, and then, if asked, progressively; or take it from the cache."""
        learn = dataset.subset(dataset.labels >= 0)
        network = load_backbone(
            backbone, classes=len(learn.emotions), weights=self.weights, seed=self.seed
        )
        facts: dict[str, Any] = {
            "dataset": learn.name,
            "part": said,
            "pictures": learn.sha256(),
            "from": weights_sha256(network),
            "training": dict(self.training),
            "seed": self.seed,
        }
        plan: Training = replace(parse_training(self.training), seed=self.seed)
        plan = replace(plan, batch_size=min(plan.batch_size, len(learn)))
        folder = folder_for(f"photographs-{backbone}", facts)
        trained = finetune(network, learn, folder, training=plan, progress=self.progress)
        if not progressive:
            return trained
        return train_on(
            trained, learn, folder / "progressive", training=plan, progress=self.progress
        ).network

    def _pcnn(self, backbone: str) -> Judges:
        if self.finetune_on in (FROZEN, SHIPPED):
            raise Missing("a frozen network is not trained on: see a run that is fine-tuned")
        try:
            return self._judges(backbone, progressive=True)
        except WeightsError as error:
            if self.weights != "auto":
                raise Missing(f"the weights that were named do not fit {backbone}") from error
            if (file := weights_file(backbone)) is not None and file.is_file():
                raise  # they are there, and damaged
            raise Missing(
                f"no weights of {backbone}: ARLIB_DATA/weights/{backbone}.safetensors is not "
                "there, and torchvision's download failed"
            ) from error
        except TooFewError as error:
            raise Missing(f"PCNN dropped too much to train on: {error}") from error

    def _tagged(self) -> Dataset:
        name, data = self.anps, os.environ.get("ARLIB_DATA")
        if name == self.tested:
            raise Missing(f"the noun pairs at hand are those of {name}, whose pictures are judged")
        if name in datasets.names() and not (data and Path(data, name).is_dir()):
            raise Missing(f"the ANP-tagged photographs are not here: ARLIB_DATA/{name}")
        return datasets.load(name)

    @cached_property
    def _bank(self) -> SentiBank:
        return train_bank(self._tagged(), seed=self.seed, progress=self.progress)

    @cached_property
    def _deep(self) -> Backbone:
        return self._trained(self.backbone, by_tag(self._tagged()), "tags")
