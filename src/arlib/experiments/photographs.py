"""Networks of an experiment on photographs: frozen, fine-tuned on the other folds, or elsewhere."""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib import datasets
from arlib._support.storage import cache_folder
from arlib.datasets import Dataset, DatasetError, by_tag
from arlib.experiments.baselines.pcnn import train_on
from arlib.experiments.baselines.rows import Missing, measure_rows, rows_for
from arlib.experiments.baselines.sentibank import SentiBank, train_bank
from arlib.experiments.runs import write_run
from arlib.networks import (
    Backbone,
    LinearHead,
    TooFewError,
    Training,
    WeightsError,
    check_heads,
    default_head,
    finetune,
    fit_head,
    load_backbone,
    weights_at_hand,
)
from arlib.scoring import Classifiers, image_features

CAFFENET = "alexnet"
"""The network in place of CaffeNet, which is AlexNet but for the order of two layers."""


FROZEN, SHIPPED, FOLDS = "none", "shipped", "folds"
"""What a network learns from, where it is not the name of a dataset."""


@dataclass(frozen=True)
class PhotographProtocol:
    """What one run needs, made when it is asked for; training is kept (`arlib._support.storage`).

    Attributes:
        tested: the dataset whose images are judged.
        backbone: torchvision's name of the network.
        finetune_on: "none", "shipped", "folds" or a dataset, as `Experiment` says.
        weights: "auto", "random", or a safetensors file.
        seed: of training, of heads and of random weights.
        training: settings of `arlib.networks.Training`.
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
    def classifiers(self) -> Classifiers:
        """Who judges which fold."""
        dataset = self.dataset  # first: what is missing is told before weights are fetched
        if self.finetune_on == SHIPPED:
            head = default_head()
            if head.provenance.get("dataset") == dataset.name:
                raise ValueError(f"the head that comes with the package has seen {dataset.name}")
            heads = dict.fromkeys(np.unique(dataset.folds).tolist(), head)
            check_heads(dataset, self.plain, heads)
            return Classifiers.one(self.plain, dataset, heads)
        if self.finetune_on in (FROZEN, FOLDS) and not (dataset.labels >= 0).any():
            raise DatasetError(
                f"{dataset.name} has no labels to learn from: finetune_on must be 'shipped', for "
                "the head that comes with the package, or another dataset"
            )
        if self.finetune_on == FROZEN:
            return Classifiers.one(self.plain, dataset, self._heads())
        return self._judges(self.backbone, progressive=False)

    def baselines(self, scores: xr.Dataset) -> xr.Dataset:
        """The rows that scores alone cannot fill, and the controls."""
        there = np.isin(self.dataset.keys, scores.image.values.tolist())
        dataset = self.dataset.subset(there)
        rows = rows_for(
            dataset,
            scores,
            self.classifiers,
            plain=self.plain,
            bank=lambda: self._bank,
            deep=lambda: self._deep,
            pcnn={
                "PCNN + CaffeNet": partial(self._pcnn, CAFFENET),
                "PCNN + VGGNet": partial(self._pcnn, self.backbone),
            },
            progress=self.progress,
        )
        return measure_rows(dataset, self.classifiers, rows, progress=self.progress)

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

    def _judges(self, backbone: str, *, progressive: bool) -> Classifiers:
        if self.finetune_on != FOLDS:
            source = datasets.load(self.finetune_on)
            network = self._trained(backbone, source, self.finetune_on, progressive)
            return Classifiers.one(network, self.dataset)
        folds = np.unique(self.dataset.folds).tolist()
        return Classifiers(
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
            "from": network.sha256(),
            "training": dict(self.training),
            "seed": self.seed,
        }
        plan: Training = replace(Training.parse(self.training), seed=self.seed)
        plan = replace(plan, batch_size=min(plan.batch_size, len(learn)))
        folder = cache_folder(f"photographs-{backbone}", facts, "datasets", "networks")
        trained = finetune(network, learn, folder, training=plan, progress=self.progress)
        if not progressive:
            return trained
        return train_on(
            trained,
            learn,
            cache_folder(
                f"pcnn-{backbone}", facts, "datasets", "networks", "experiments.baselines"
            ),
            training=plan,
            progress=self.progress,
        ).network

    def _pcnn(self, backbone: str) -> Classifiers:
        if self.finetune_on in (FROZEN, SHIPPED):
            raise Missing("a frozen network is not trained on: see a run that is fine-tuned")
        try:
            return self._judges(backbone, progressive=True)
        except WeightsError as error:
            if self.weights != "auto":
                raise Missing(f"the weights that were named do not fit {backbone}") from error
            if weights_at_hand(backbone):
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


@dataclass(frozen=True)
class Experiment:
    """Settings of the expensive half: what is scored, and how.

    Attributes:
        dataset: a name in `arlib.datasets`, or the path of a table or folder of one's own.
        backbones: torchvision names; each makes runs of its own.
        proposals: a name in `arlib.proposals.make`.
        max_regions: N, the most regions an image.
        crop: "warp" or "square".
        context: padding around a region, as a share of its sides.
        weights: "auto", "random", or a safetensors file.
        seed: of training, of the heads' inner folds and of random weights.
        finetune_on: what networks learn from, each a run: "none" freezes them under a linear head
            fitted on the other folds; "shipped" under the head that comes with the package, for
            pictures without labels; "folds" fine-tunes one network a fold on the other folds; else
            a dataset, on all of which one network is fine-tuned.
        training: settings of `arlib.networks.Training`.
        anps: the ANP-tagged dataset of SentiBank and DeepSentiBank.
        reader: settings of the dataset's reader, such as `positive_from` of "oasis".
    """

    dataset: str
    backbones: tuple[str, ...]
    proposals: str = "edge_boxes"
    max_regions: int = 100
    crop: str = "warp"
    context: float = 0.0
    weights: str = "auto"
    seed: int = 0
    finetune_on: tuple[str, ...] = ("none",)
    training: Mapping[str, Any] = field(default_factory=dict)
    anps: str = "vso"
    reader: Mapping[str, Any] = field(default_factory=dict)

    def runs(self, *, progress: bool = True) -> dict[str, Callable[[Path], Path]]:
        """What an edition makes: name of a run -> function of the folder that it goes into."""
        return {
            run_name(self.dataset, backbone, source): partial(
                measure, replace(self, finetune_on=(source,)), backbone, progress=progress
            )
            for source in self.finetune_on
            for backbone in self.backbones
        }


def parse_experiment(settings: Mapping[str, Any]) -> Experiment:
    """Make an experiment from names and values, as an edition or run.json has them.

    Raises:
        ValueError: an unknown name, none for what must be named, or a setting of training that
            does not exist.

    Example:
        >>> parse_experiment({"dataset": "oasis", "backbones": ["vgg16"]}).backbones
        ('vgg16',)
    """
    missing = sorted({"dataset", "backbones"} - settings.keys())
    if missing:
        raise ValueError(f"an experiment on photographs needs {' and '.join(missing)}")
    known = [one.name for one in fields(Experiment)]
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        raise ValueError(f"no setting {unknown[0]!r} of an experiment; there are {known}")
    lists = {
        name: tuple(settings[name]) for name in ("backbones", "finetune_on") if name in settings
    }
    if settings.get("training"):
        Training.parse(settings["training"])
    return Experiment(**{**settings, **lists})


def run_name(dataset: str, backbone: str, finetune_on: str = "none") -> str:
    """Name the folder of a run.

    Example:
        >>> run_name("twitter2", "mobilenet_v2"), run_name("twitter2", "mobilenet_v2", "folds")
        ('twitter2-mobilenet_v2', 'twitter2-mobilenet_v2-ft')
        >>> run_name("twitter2", "mobilenet_v2", "oasis")
        'twitter2-mobilenet_v2-ft-oasis'
        >>> run_name("photos/my labels.csv", "squeezenet1_1", "shipped")
        'own-my_labels-squeezenet1_1-shipped'
    """
    tails = {"none": "", "folds": "-ft", "shipped": "-shipped"}
    tail = tails.get(finetune_on, f"-ft-{finetune_on}")
    if dataset not in datasets.names():
        dataset = "own-" + re.sub(r"[^\w.-]", "_", Path(dataset).stem)
    return f"{dataset}-{backbone}{tail}"


def measure(
    experiment: Experiment, backbone: str, folder: str | Path, *, progress: bool = True
) -> Path:
    """Score the experiment's dataset with one backbone and write the run.

    Args:
        experiment: the settings; of `finetune_on` the first counts.
        backbone: one of the experiment's backbones.
        folder: where the run goes, under the name of `run_name`; replaced when it is there.
        progress: show bars.

    Returns:
        The run's folder, which holds `scores.zarr`, `baselines.zarr` and `run.json`.

    Raises:
        DatasetError: the dataset is not there; the message says how to get it.
        WeightsError: the weights are not there; the message names the file.
    """
    from arlib.experiments.photographs import PhotographProtocol
    from arlib.proposals import Cached, make
    from arlib.scoring import score_cross_fold

    started = time.perf_counter()
    source = experiment.finetune_on[0]
    chain = PhotographProtocol(
        experiment.dataset,
        backbone,
        source,
        weights=experiment.weights,
        seed=experiment.seed,
        training=experiment.training,
        anps=experiment.anps,
        reader=experiment.reader,
        progress=progress,
    )
    classifiers = chain.classifiers
    seconds = {"training": time.perf_counter() - started}
    propose = Cached(make(experiment.proposals, max_regions=experiment.max_regions))

    def scored(out: Path) -> xr.Dataset:
        return score_cross_fold(
            classifiers,
            chain.dataset,
            propose,
            out,
            crop=experiment.crop,
            context=experiment.context,
            progress=progress,
        )

    return write_run(
        Path(folder, run_name(experiment.dataset, backbone, source)),
        scored,
        experiment={**asdict(experiment), "backbones": [backbone], "finetune_on": [source]},
        dataset=chain.dataset,
        seconds=seconds,
        baselines=chain.baselines if (chain.dataset.labels >= 0).any() else None,
    )


def fit_dataset_head(name: str, backbone: str, *, seed: int = 0) -> LinearHead:
    """Fit a head on every labelled image of a dataset; its provenance says on what.

    Args:
        name: a labelled dataset in `arlib.datasets`.
        backbone: torchvision's name of the network.
        seed: of the inner folds that pick C.

    Raises:
        DatasetError: the dataset is not there.
        WeightsError: the weights are not there.
    """
    from arlib.networks import load_backbone
    from arlib.scoring import image_features

    dataset = datasets.load(name)
    network = load_backbone(backbone)
    features, _ = image_features(dataset, network)
    usable = ~np.isnan(features).any(axis=1) & (dataset.labels >= 0)
    made = fit_head(
        features[usable], dataset.labels[usable], dataset.emotions, backbone=backbone, seed=seed
    )
    facts = {"dataset": name, "weights_sha256": network.sha256(), "seed": seed}
    return replace(made, provenance=made.provenance | facts)
