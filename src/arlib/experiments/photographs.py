"""Experiments on photographs: networks frozen, or fine-tuned on other folds or another dataset."""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib import datasets
from arlib._support.storage import cache_folder
from arlib.datasets import Dataset, DatasetError
from arlib.evaluation import Run
from arlib.experiments.baselines.cross_fit import too_few
from arlib.experiments.baselines.pcnn import train_on
from arlib.experiments.baselines.rows import (
    CONTROL_CROPS,
    LEFT_OUT,
    PCNN_ROWS,
    Missing,
    measure_rows,
    rows_for,
)
from arlib.experiments.baselines.sentibank import SentiBank, train_bank
from arlib.experiments.planning import duration
from arlib.experiments.registry import load_images
from arlib.experiments.runs import write_run
from arlib.networks import (
    Backbone,
    LinearHead,
    Training,
    WeightsError,
    finetune,
    load_backbone,
    weights_at_hand,
)
from arlib.proposals import Propose, make_proposals
from arlib.scoring import Classifiers, box_outputs, global_outputs, score_cross_fold

FROZEN, SHIPPED, FOLDS, AUTO = "none", "shipped", "folds", "auto"
"""What a network learns from, where it is not the name of a dataset."""

MOST_FOLDS = 5
"""Folds of images of one's own, and inner ones of their heads; fewer images make fewer."""

# What each stage depends on; images, weights and settings of training are in its facts.
TRAINING = ("networks.finetuning",)
PCNN = (*TRAINING, "experiments.baselines.pcnn")


@dataclass(frozen=True)
class Experiment:
    """Settings of the expensive half: what is scored, and how.

    Attributes:
        dataset: a name in `arlib.datasets`, or the path of a table or folder of one's own.
        backbones: torchvision names; each makes runs of its own.
        proposals: a name in `arlib.proposals.make_proposals`.
        max_regions: N, the most regions an image.
        crop: "warp" or "square".
        context: padding around a region, as a share of its sides.
        weights: "auto", "random", or a safetensors file.
        seed: of training, of the heads' inner folds and of random weights.
        finetune_on: what networks learn from, each a run: "none" freezes them under a linear head
            fitted on the other folds; "shipped" under the head that comes with the package, for
            images without labels; "auto" is "none", or "shipped" where labels are too few to fit
            a head on the other folds; "folds" fine-tunes one network a fold on all images outside
            it; else a dataset, on all of which one network is fine-tuned.
        training: settings of `arlib.networks.Training`.
        anps: the ANP-tagged dataset of SentiBank and DeepSentiBank.
        caffenet: the network in place of CaffeNet; torchvision's "alexnet" is that of Krizhevsky
            (2014): fewer filters, no groups, no response normalisation.
        reader: settings of the dataset's reader, such as `positive_from` of "oasis".
        rows: of Table 1, what is measured beside the scores: "main", those whose cost is small;
            "controls", also crops of fixed places; "all", also SentiBank, PCNN and DeepSentiBank,
            for which more is trained.

    Raises:
        ValueError: a network would be fine-tuned on the images that it predicts; or no such `rows`.
    """

    dataset: str
    backbones: tuple[str, ...]
    proposals: str = "edge_boxes"
    max_regions: int = 100
    crop: str = "warp"
    context: float = 0.0
    weights: str = "auto"
    seed: int = 0
    finetune_on: tuple[str, ...] = (FROZEN,)
    training: Mapping[str, Any] = field(default_factory=dict)
    anps: str = "vso"
    caffenet: str = "alexnet"
    reader: Mapping[str, Any] = field(default_factory=dict)
    rows: str = "all"

    def __post_init__(self) -> None:
        """Refuse that a network predicts images that it learned from, and unknown `rows`."""
        if self.rows not in LEFT_OUT:
            raise ValueError(f"rows must be one of {', '.join(LEFT_OUT)}, not {self.rows!r}")
        sources = {datasets.source_of(each): each for each in self.finetune_on}
        if source := sources.get(datasets.source_of(self.dataset)):
            raise ValueError(
                f"a network fine-tuned on all of {source} has seen the images that it would "
                f"predict: finetune_on {FOLDS!r} leaves out the fold that is predicted"
            )

    def runs(
        self, *, progress: bool = True, say: Callable[[str], Any] | None = None
    ) -> dict[str, Callable[[Path], Path]]:
        """Name the runs, each with the function that makes it, given the folder it goes into.

        `say` is called with lines of what each will do, which takes the images and the networks.
        """
        protocols = [
            PhotographProtocol(self, backbone, source, progress)
            for source in self.finetune_on
            for backbone in self.backbones
        ]
        if say:
            for line in chain.from_iterable(protocol.plan() for protocol in protocols):
                say(line)
        return {protocol.name: protocol.measure for protocol in protocols}


@dataclass(frozen=True)
class PhotographProtocol:
    """One run: its dataset, networks and rows, each made on first use; training is cached."""

    experiment: Experiment
    backbone: str
    finetune_on: str = FROZEN  # one of the experiment's
    progress: bool = True

    @property
    def name(self) -> str:
        """The name of the run."""
        return run_name(self.experiment.dataset, self.backbone, self.finetune_on)

    @cached_property
    def dataset(self) -> Dataset:
        """The images that are scored."""
        return load_images(self.experiment.dataset, self.experiment.reader)

    @cached_property
    def learns_from(self) -> str:
        """What the network learns from, as `finetune_on`, with "auto" decided.

        `DatasetError` where it is the images' own folds, and their labels are too few.
        """
        dataset = self.dataset
        reason = too_few(dataset) if self.finetune_on in (FROZEN, FOLDS, AUTO) else None
        if reason is None:
            return FROZEN if self.finetune_on == AUTO else self.finetune_on
        head = LinearHead.default()
        fits = (head.backbone, head.emotions) == (self.backbone, tuple(dataset.emotions))
        if self.finetune_on == AUTO and fits:
            return SHIPPED
        raise DatasetError(
            f"{dataset.name}: {reason}; add images, or let finetune_on name another dataset, or "
            f"'shipped', the head that comes with the package, which predicts "
            f"{' and '.join(head.emotions)} on {head.backbone}"
        )

    @property
    def _left_out(self) -> list[str]:
        """Rows, and "controls", that nobody asked for; why a frozen network has no PCNN it says."""
        rows = LEFT_OUT[self.experiment.rows]
        frozen = self.learns_from in (FROZEN, SHIPPED)
        return [row for row in rows if not (frozen and row in PCNN_ROWS)]

    @cached_property
    def plain(self) -> Backbone:
        """The backbone with its published weights."""
        settings = self.experiment
        return load_backbone(self.backbone, weights=settings.weights, seed=settings.seed)

    @cached_property
    def classifiers(self) -> Classifiers:
        """The network, and the head if there is one, of each fold."""
        dataset = self.dataset  # first: where it is missing no weights are fetched
        if self.learns_from == SHIPPED:
            head = LinearHead.default()
            seen = datasets.source_of(str(head.provenance.get("dataset")))
            if seen == datasets.source_of(dataset.name):
                raise ValueError(f"the head that comes with the package has seen {dataset.name}")
            heads = dict.fromkeys(np.unique(dataset.folds).tolist(), head)
            return Classifiers.one(self.plain, dataset, heads)
        if self.learns_from == FROZEN:
            return Classifiers.one(self.plain, dataset, self._heads())
        return self._finetuned(self.backbone, progressive=False)

    def plan(self) -> Iterator[str]:
        """Say what `measure` will do, what these images are too few for, and about how long."""
        settings, dataset = self.experiment, self.dataset
        own = {"backbones": [self.backbone], "finetune_on": [self.learns_from]}
        network = Run(self.name, xr.Dataset(), facts={"experiment": own}).network
        yield (
            f"{self.name}: {len(dataset)} images ({_tally(dataset)}), up to {settings.max_regions} "
            f"regions each, by {network}"
        )
        if limits := self._limits():
            yield f"  with these images: {'; '.join(limits)}"
        if self._left_out and (dataset.labels >= 0).any():
            rows = [name for name in self._left_out if name != "controls"]
            controls = ", controls (-p rows controls)" if len(rows) < len(self._left_out) else ""
            yield f"  left out: {', '.join(rows)} (-p rows all){controls}"
        if (seconds := self._scoring_seconds()) is not None:
            rest = [] if self.learns_from in (FROZEN, SHIPPED) else ["fine-tuning"]
            rest += ["the other rows of Table 1"] if settings.rows == "all" else []
            beside = f", besides {' and '.join(rest)}" if rest else ""
            yield f"  scoring takes about {duration(seconds)} here{beside}"

    def _limits(self) -> list[str]:
        """Say what cannot be done, or is done on less, for want of labelled images."""
        dataset, limits = self.dataset, []
        labels, folds = dataset.labels[dataset.labels >= 0], dataset.folds[dataset.labels >= 0]
        counts = np.bincount(labels, minlength=len(dataset.emotions))
        rarest = dataset.emotions[int(counts.argmin())]
        if self.finetune_on == AUTO and self.learns_from == SHIPPED:
            limits.append(f"{too_few(dataset)}, so the head that comes with the package predicts")
        if not labels.size:
            return [*limits, "nothing is compared with labels"]
        if not counts.min():
            limits.append(f"no AUC and no balanced accuracy without an image of {rarest}")
        own = np.unique(folds[folds >= 0])
        if own.size < 2:
            limits.append("no choice of K by fold")
        elif own.size < MOST_FOLDS and counts.min() == own.size:
            limits.append(
                f"{own.size} folds instead of {MOST_FOLDS}, as {rarest} has {own.size} images"
            )
        if self.learns_from == FROZEN:
            learned = [np.bincount(labels[folds != fold]).min() for fold in np.unique(folds)]
            if (least := int(min(learned))) < MOST_FOLDS:
                how = f"chosen on {least} folds" if least > 1 else "fixed"
                limits.append(f"the heads' C is {how}")
        if any((folds == fold).sum() < 2 for fold in own):
            limits.append("no intervals, as a fold has one image")
        return limits

    def _scoring_seconds(self) -> float | None:
        """Estimate what scoring takes by one image, after another; None if they are unreadable."""
        regions, dataset = self.experiment.max_regions, self.dataset
        propose = make_proposals(self.experiment.proposals, cached=True, max_regions=regions)

        def boxes(_: int, image: np.ndarray) -> np.ndarray:
            full = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
            return np.concatenate([full, propose(image).boxes])

        seconds = None
        for index in range(min(2, len(dataset))):
            started = time.perf_counter()
            try:
                box_outputs(
                    dataset.subset([index]), self.plain, boxes, features=True, progress=False
                )
            except ValueError:  # which scoring will name
                return None
            seconds = (time.perf_counter() - started) * len(dataset)
        return seconds

    def measure(self, folder: str | Path) -> Path:
        """Score the dataset and write the run into a folder, under its name."""
        started = time.perf_counter()
        settings, dataset, classifiers = self.experiment, self.dataset, self.classifiers
        seconds = {"training": time.perf_counter() - started}
        method, regions = settings.proposals, settings.max_regions
        propose = make_proposals(method, cached=True, max_regions=regions)

        def produce(out: Path) -> xr.Dataset:
            return score_cross_fold(
                classifiers,
                dataset,
                propose,
                out,
                crop=settings.crop,
                context=settings.context,
                progress=self.progress,
            )

        own = {"backbones": [self.backbone], "finetune_on": [self.learns_from]}
        return write_run(
            Path(folder, self.name),
            produce,
            experiment={**asdict(settings), **own},
            dataset=dataset,
            seconds=seconds,
            baselines=self.baselines if (dataset.labels >= 0).any() else None,
        )

    def baselines(
        self, scores: xr.Dataset, crops: Mapping[str, Propose] = CONTROL_CROPS
    ) -> xr.Dataset:
        """Measure the rows that scores alone cannot fill, and the controls."""
        scored = np.isin(self.dataset.keys, scores.image.values.tolist())
        dataset = self.dataset.subset(scored)
        rows = rows_for(
            dataset,
            scores,
            self.classifiers,
            plain=self.plain,
            bank=lambda: self._bank,
            deep=lambda: self._deep,
            pcnn={
                "PCNN + CaffeNet": partial(self._pcnn, self.experiment.caffenet),
                "PCNN + VGGNet": partial(self._pcnn, self.backbone),
            },
            progress=self.progress,
        )
        return measure_rows(
            dataset,
            self.classifiers,
            rows,
            crops=crops,
            left_out=self._left_out,
            progress=self.progress,
        )

    def _heads(self) -> dict[int, LinearHead]:
        """Fit a head for each fold on the other folds."""
        features = global_outputs(self.dataset, self.plain, features=True, progress=self.progress)
        usable = np.isfinite(features).all(axis=1) & (self.dataset.labels >= 0)
        heads = {}
        for fold in np.unique(self.dataset.folds).tolist():
            learn = usable & (self.dataset.folds != fold)
            heads[fold] = LinearHead.fit(
                features[learn],
                self.dataset.labels[learn],
                self.dataset.emotions,
                backbone=self.backbone,
                seed=self.experiment.seed,
            )
        return heads

    def _finetuned(self, backbone: str, *, progressive: bool) -> Classifiers:
        """Fine-tune one network on another dataset, or one a fold on the other folds."""
        if self.finetune_on != FOLDS:
            source = datasets.load(self.finetune_on)
            network = self._trained(backbone, source, self.finetune_on, progressive)
            return Classifiers.one(network, self.dataset)
        folds = self.dataset.folds
        return Classifiers(
            {
                fold: self._trained(
                    backbone,
                    self.dataset.subset(folds != fold),  # and those that no fold tests
                    f"all but fold {fold}",
                    progressive,
                )
                for fold in np.unique(folds).tolist()
            }
        )

    def _trained(
        self, backbone: str, dataset: Dataset, part: str, progressive: bool = False
    ) -> Backbone:
        """Fine-tune on a set, and then, if asked, progressively; or take it from the cache."""
        settings = self.experiment
        learn = dataset.subset(dataset.labels >= 0)
        network = load_backbone(
            backbone, classes=len(learn.emotions), weights=settings.weights, seed=settings.seed
        )
        plan = replace(Training.parse(settings.training), seed=settings.seed)
        plan = replace(plan, batch_size=min(plan.batch_size, len(learn)))
        facts: dict[str, Any] = {
            "dataset": learn.name,
            "part": part,
            "images": learn.sha256(),
            "from": network.sha256(),
            "training": asdict(plan),
        }
        folder = cache_folder(f"photographs-{backbone}", facts, *TRAINING)
        trained = finetune(network, learn, folder, training=plan, progress=self.progress)
        if not progressive:
            return trained
        folder = cache_folder(f"pcnn-{backbone}", facts, *PCNN)
        return train_on(trained, learn, folder, training=plan, progress=self.progress).network

    def _pcnn(self, backbone: str) -> Classifiers:
        if self.learns_from in (FROZEN, SHIPPED):
            raise Missing("a frozen network is not trained on: see a run that is fine-tuned")
        try:
            return self._finetuned(backbone, progressive=True)
        except WeightsError as error:
            if self.experiment.weights != "auto":
                raise Missing(f"the weights that were named do not fit {backbone}") from error
            if weights_at_hand(backbone):
                raise  # they are there, and damaged
            raise Missing(
                f"no weights of {backbone}: ARLIB_DATA/weights/{backbone}.safetensors is not "
                "there, and torchvision's download failed"
            ) from error

    def _tagged(self) -> Dataset:
        """Load the ANP-tagged photographs, which must not be those that are predicted."""
        name, data = self.experiment.anps, os.environ.get("ARLIB_DATA")
        if datasets.source_of(name) == datasets.source_of(self.experiment.dataset):
            raise Missing(f"the noun pairs at hand are those of {name}, whose images are predicted")
        folder = datasets.source_of(name)
        if name in datasets.names() and not (data and Path(data, folder).is_dir()):
            raise Missing(f"the ANP-tagged photographs are not here: ARLIB_DATA/{folder}")
        return datasets.load(name)

    @cached_property
    def _bank(self) -> SentiBank:
        return train_bank(self._tagged(), seed=self.experiment.seed, progress=self.progress)

    @cached_property
    def _deep(self) -> Backbone:
        return self._trained(self.backbone, self._tagged().by_tag(), "tags")


def _tally(dataset: Dataset) -> str:
    """Count a dataset's images by emotion, and those without a label."""
    counts = Counter(dataset.labels.tolist())
    tally = [f"{counts[i]} {name}" for i, name in enumerate(dataset.emotions) if counts[i]]
    return ", ".join(tally + [f"{counts[-1]} without label"] * bool(counts[-1]))


def run_name(dataset: str, backbone: str, finetune_on: str = FROZEN) -> str:
    """Name the folder of a run.

    >>> run_name("twitter2", "mobilenet_v2"), run_name("twitter2", "mobilenet_v2", "folds")
    ('twitter2-mobilenet_v2', 'twitter2-mobilenet_v2-ft')
    >>> run_name("twitter2", "mobilenet_v2", "oasis")
    'twitter2-mobilenet_v2-ft-oasis'
    >>> run_name("photos/my labels.csv", "squeezenet1_1", "shipped")
    'own-my_labels-squeezenet1_1-shipped'
    >>> run_name("oasis", "mobilenet_v2", "../photos/all.csv")
    'oasis-mobilenet_v2-ft-.._photos_all.csv'
    """
    tails = {FROZEN: "", AUTO: "", FOLDS: "-ft", SHIPPED: "-shipped"}
    tail = tails.get(finetune_on, f"-ft-{finetune_on}")
    if dataset not in datasets.names():
        dataset = f"own-{Path(dataset).stem}"
    return re.sub(r"[^\w.-]", "_", f"{dataset}-{backbone}{tail}")  # one name, no path


def fit_dataset_head(
    name: str, backbone: str, *, seed: int = 0, max_pixels: int | None = None
) -> LinearHead:
    """Fit a head on every labelled image of a dataset, with its provenance.

    Args:
        name: a labelled dataset in `arlib.datasets`.
        backbone: torchvision's name of the network.
        seed: of the inner folds that pick C.
        max_pixels: of an image, as of `arlib.datasets.read_image`; None takes its default.

    Raises:
        DatasetError: the dataset is not there, or has no labels.
        WeightsError: the weights are not there.
    """
    dataset = datasets.load(name, max_pixels=max_pixels)
    if not (dataset.labels >= 0).any():
        raise DatasetError(f"{name} has no labels to learn from")
    network = load_backbone(backbone)
    features = global_outputs(dataset, network, features=True)
    usable = ~np.isnan(features).any(axis=1) & (dataset.labels >= 0)
    head = LinearHead.fit(
        features[usable], dataset.labels[usable], dataset.emotions, backbone=backbone, seed=seed
    )
    facts = {"dataset": name, "weights_sha256": network.sha256(), "seed": seed}
    return replace(head, provenance=head.provenance | facts)
