"""The images and the networks of a protocol, each made on first use, or taken from the cache.

A network is kept under its settings and the code that it uses; a training that was cut off goes on
from its last checkpoint.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from arlib import datasets
from arlib._support.files import read_json
from arlib._support.storage import cache_folder, exclusive_lock
from arlib.datasets import Dataset, DatasetError
from arlib.datasets.scenes import draw_set
from arlib.experiments.baselines.cross_fit import too_few
from arlib.experiments.baselines.pcnn import Progress, train_on
from arlib.experiments.baselines.rows import Missing
from arlib.experiments.baselines.sentibank import SentiBank, read_pairs, train_bank
from arlib.experiments.protocol import (
    AUTO,
    FOLDS,
    FROZEN,
    HELD_OUT,
    MODES,
    SCENES,
    SHIPPED,
    Finetuning,
    Protocol,
)
from arlib.experiments.registry import load_images, tested_images
from arlib.networks import (
    Backbone,
    LinearHead,
    Training,
    WeightsError,
    finetune,
    load_backbone,
    weights_at_hand,
)
from arlib.scoring import Classifiers, global_outputs

log = logging.getLogger(__name__)

PAIRS = 1200
"""Detectors of SentiBank, at most, as the paper's."""

MOST_FOLDS = 5
"""Folds of the held-out part: K is chosen on the others."""

VALIDATED = 5_000
"""Held-out images, at most, on which a learning curve is measured."""

READ = 10_000
"""Images, at most, of a set in files whose bytes are read to tell whether they changed."""

# What each stage depends on: a change of other code leaves its folder in use.
TRAINING = ("networks.finetuning",)
PCNN = (*TRAINING, "experiments.baselines.pcnn")
BANK = ("experiments.baselines.sentibank",)
DRAWN = ("datasets.scenes.benchmark",)
"""Besides, where images are drawn."""


class Trainings:
    """The images and the networks of a protocol."""

    def __init__(
        self, protocol: Protocol, progress: bool = True, say: Callable[[str], Any] | None = None
    ):
        self.protocol, self.progress = protocol, progress
        self.say = say or (lambda _: None)
        self._datasets: dict[str, Dataset] = {}
        self._plain: dict[str, Backbone] = {}  # before fine-tuning
        self._hashes: dict[str, str] = {}  # of these
        self._pcnn: dict[Path, Progress] = {}
        self._classifiers: dict[str, Classifiers] = {}

    # the images

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
            return replace(dataset, folds=np.full(len(dataset), -1, np.int8))
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
        return replace(learn, folds=np.full(len(learn), -1, np.int8))

    def learns_from(self, dataset: Dataset) -> str:
        """What the network of a column learns from, with "auto" decided.

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

    # the networks

    def pretrain(self) -> None:
        """Get the networks to begin with: damaged weights are found before a day's work."""
        self.plain(self.protocol.backbone)
        caffenet = self.protocol.caffenet
        if "pcnn-caffenet" in self.protocol.rows and (
            self.protocol.pretrain or weights_at_hand(caffenet)
        ):
            self.plain(caffenet)

    def plain(self, backbone: str) -> Backbone:
        """Load a network with the weights that it begins with; or train it, or take it."""
        if backbone not in self._plain:
            settings = self.protocol
            if settings.pretrain:
                plan = settings.pretrain.training
                folder = self.pretrained_folder(backbone)
                self._plain[backbone] = self._train(backbone, self.objects, folder, plan)
            else:
                self._plain[backbone] = load_backbone(
                    backbone, weights=settings.weights, seed=settings.seed
                )
        return self._plain[backbone]

    def pretrained_folder(self, backbone: str) -> Path:
        """Name the folder of the network that learned what it learns first."""
        assert self.protocol.pretrain
        settings, dataset = self.protocol, self.objects
        first = load_backbone(backbone, weights=settings.weights, seed=settings.seed)
        facts = {
            "from": first.sha256(),
            "training": asdict(self._plan(dataset, self.protocol.pretrain.training)),
            "seed": settings.seed,
        }
        code = (*TRAINING, *self.drawn(dataset))
        return cache_folder(f"pretrained-{backbone}", self.facts(dataset, facts), *code)

    def training_folder(self, stage: str, backbone: str, source: Dataset | None = None) -> Path:
        """Name the folder of a training, by its images, its first weights and its settings."""
        source = self.source if source is None else source
        facts = {
            "from": self._weights_sha256(backbone),
            "training": asdict(self._plan(source, self.protocol.finetune.training)),
            "seed": self.protocol.seed,
        }
        code = (*(PCNN if stage == "pcnn" else TRAINING), *self.drawn(source))
        return cache_folder(f"{stage}-{backbone}", self.facts(source, facts), *code)

    def tuned_folder(self, backbone: str, source: Dataset | None = None) -> Path:
        """Name the folder of the fine-tuned network."""
        return self.training_folder("finetuned", backbone, source)

    def tuned(self, backbone: str, source: Dataset | None = None) -> Backbone:
        """Fine-tune a network on the set, or take it from the cache.

        `source` takes the place of the set: the same images, perhaps, under other labels; what is
        in its fold 1 is held out.
        """
        folder = self.tuned_folder(backbone, source)
        source = self.source if source is None else source
        return self._train(
            backbone, source, folder, self.protocol.finetune.training, self._first(backbone)
        )

    @cached_property
    def network(self) -> Backbone:
        """The fine-tuned network."""
        return self.tuned(self.protocol.backbone)

    def classifiers(self, column: str) -> Classifiers:
        """Get the network, and the head if there is one, of each fold of a column."""
        if column not in self._classifiers:
            self._classifiers[column] = self._make_classifiers(column)
        return self._classifiers[column]

    def _make_classifiers(self, column: str) -> Classifiers:
        dataset, tested, backbone = (
            self.columns(column),
            self.tested(column),
            self.protocol.backbone,
        )
        how, folds = self.learns_from(dataset), np.unique(tested.folds).tolist()
        if how == SHIPPED:
            head = LinearHead.default()
            seen = datasets.source_of(str(head.provenance.get("dataset")))
            if seen == datasets.source_of(dataset.name):
                raise ValueError(f"the head that comes with the package has seen {dataset.name}")
            return Classifiers.one(self.plain(backbone), tested, dict.fromkeys(folds, head))
        if how == FROZEN:
            heads, inner = self._heads(dataset, folds)
            return Classifiers.one(self.plain(backbone), tested, heads, inner)
        if how == FOLDS:
            return Classifiers(
                {fold: self.tuned(backbone, self.others(dataset, fold)) for fold in folds}
            )
        return Classifiers.one(self.network, tested)

    def _heads(
        self, dataset: Dataset, folds: list[int]
    ) -> tuple[dict[int, LinearHead], dict[tuple[int, int], LinearHead] | None]:
        """Fit a head for each fold on the others, and for each two where all classes remain."""
        settings = self.protocol
        network = self.plain(settings.backbone)
        features = global_outputs(dataset, network, features=True, progress=self.progress)
        usable = np.isfinite(features).all(axis=1) & (dataset.labels >= 0)

        def outside(*folds: int) -> np.ndarray:
            return usable & ~np.isin(dataset.folds, folds)

        def fit(*folds: int) -> LinearHead:
            learn = outside(*folds)
            return LinearHead.fit(
                features[learn],
                dataset.labels[learn],
                dataset.emotions,
                backbone=settings.backbone,
                seed=settings.seed,
            )

        pairs = list(combinations([fold for fold in folds if fold >= 0], 2))
        remain = (np.unique(dataset.labels[outside(*pair)]).size for pair in pairs)
        inner = bool(pairs) and all(classes == len(dataset.emotions) for classes in remain)
        heads = {fold: fit(fold) for fold in folds}
        return heads, {pair: fit(*pair) for pair in pairs} if inner else None

    def pcnn_folder(self, backbone: str, source: Dataset | None = None) -> Path:
        """Name the folder of a network that is trained on, as PCNN is."""
        return self.training_folder("pcnn", backbone, source)

    def pcnn(self, backbone: str, source: Dataset | None = None) -> Progress:
        """Train a fine-tuned network on without the images that PCNN's rule drops."""
        folder = self.pcnn_folder(backbone, source)
        if folder not in self._pcnn:
            network = self.tuned(backbone, source)
            source = self.source if source is None else source
            with locked(folder):
                done = train_on(
                    network,
                    source.subset(source.folds != 1),
                    folder,
                    training=self._plan(source, self.protocol.finetune.training),
                    validation=self._validation(source),
                    progress=self.progress,
                )
            self._pcnn[folder] = done
            self.say(
                f"  PCNN on {backbone}: dropped {done.dropped:.1%} of the training images, "
                f"{done.expected:.1%} expected"
            )
        return self._pcnn[folder]

    def dropped(self, column: str, backbone: str) -> dict[str, float]:
        """Give the share of images that PCNN dropped, and was expected to: means over networks."""
        dataset, sources = self.columns(column), list[Dataset | None]([None])
        if self.learns_from(dataset) == FOLDS:
            folds = np.unique(self.tested(column).folds).tolist()
            sources = [self.others(dataset, fold) for fold in folds]
        names = ("dropped", "expected")
        kept = [
            read_json(
                self.pcnn_folder(backbone, source) / "dropped.json", dict.fromkeys(names, float)
            )
            for source in sources
        ]
        return {name: float(np.mean([facts[name] for facts in kept])) for name in names}

    def pcnn_classifiers(self, column: str, backbone: str) -> Classifiers:
        """Get PCNN's network of each fold of a column."""
        dataset = self.columns(column)
        how = self.learns_from(dataset)
        if how in (FROZEN, SHIPPED):
            raise Missing("a frozen network is not trained on: see a run that is fine-tuned")
        try:
            if how != FOLDS:
                return Classifiers.one(self.pcnn(backbone).network, self.tested(column))
            folds = np.unique(self.tested(column).folds).tolist()
            return Classifiers(
                {fold: self.pcnn(backbone, self.others(dataset, fold)).network for fold in folds}
            )
        except WeightsError as error:
            if self.protocol.weights != "auto":
                raise Missing(f"the weights that were named do not fit {backbone}") from error
            if weights_at_hand(backbone):
                raise  # they are there, and damaged
            raise Missing(
                f"no weights of {backbone}: ARLIB_DATA/weights/{backbone}.safetensors is not "
                "there, and torchvision's download failed"
            ) from error

    @cached_property
    def pairs(self) -> tuple[str, ...]:
        """The pairs that a file names for SentiBank, all of which have images; else none."""
        if not self.protocol.pairs:
            return ()
        tags = self.tagged.tags
        return read_pairs(Path(self.protocol.pairs), set(() if tags is None else tags.tolist()))

    @cached_property
    def bank(self) -> SentiBank:
        """Train SentiBank on the pairs, or take it from the cache."""
        tagged = self.tagged
        facts = self.facts(tagged, {"seed": self.protocol.seed, "pairs": self.pairs or PAIRS})
        folder = cache_folder("sentibank", facts, *BANK, *self.drawn(tagged))
        path = folder / "bank.safetensors"
        with locked(folder):
            if not path.with_suffix(".json").exists():
                made = train_bank(
                    tagged,
                    most=PAIRS,
                    pairs=self.pairs,
                    seed=self.protocol.seed,
                    progress=self.progress,
                )
                folder.mkdir(parents=True, exist_ok=True)
                made.save(path)
        return SentiBank.load(path)

    @cached_property
    def deep(self) -> Backbone:
        """Fine-tune the network on adjective-noun pairs, as DeepSentiBank."""
        tagged, backbone = self.tagged.by_tag(), self.protocol.backbone
        tagged = replace(tagged, folds=np.full(len(tagged), -1, np.int8))  # nothing is held out
        folder = self.training_folder("tags", backbone, tagged)
        return self._train(
            backbone, tagged, folder, self.protocol.finetune.training, self._first(backbone)
        )

    def _train(
        self,
        backbone: str,
        source: Dataset,
        folder: Path,
        training: Mapping[str, Any],
        weights: str | Path | None = None,
    ) -> Backbone:
        """Train a network on all but fold 1, or take it from a folder."""
        settings = self.protocol
        network = load_backbone(
            backbone,
            classes=len(source.emotions),
            weights=weights or settings.weights,
            seed=settings.seed,
        )
        with locked(folder):
            return finetune(
                network,
                source.subset(source.folds != 1),
                folder,
                training=self._plan(source, training),
                validation=self._validation(source),
                progress=self.progress,
            )

    def _first(self, backbone: str) -> Path | None:
        """Locate the weights of the network that learned what it learns first; make them."""
        if not self.protocol.pretrain:
            return None
        self.plain(backbone)
        return self.pretrained_folder(backbone) / "network.safetensors"

    def _plan(self, source: Dataset, training: Mapping[str, Any]) -> Training:
        plan = Training.parse(training)
        batch = min(plan.batch_size, int((source.folds != 1).sum()))
        return replace(plan, seed=self.protocol.seed, batch_size=batch)

    def _validation(self, source: Dataset) -> Dataset | None:
        """Take fold 1, or a sample of it, for the learning curve; there may be none."""
        held_out = source.subset(source.folds == 1)
        rows = np.random.default_rng([self.protocol.seed, 6]).permutation(len(held_out))
        return held_out.subset(np.sort(rows[:VALIDATED])) if len(held_out) else None

    def _weights_sha256(self, backbone: str) -> str:
        if backbone not in self._hashes:
            self._hashes[backbone] = self.plain(backbone).sha256()
        return self._hashes[backbone]

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


def locked(folder: Path) -> Any:
    """Wait while another process makes what is in a folder."""
    return exclusive_lock(folder.with_name(f"{folder.name}.lock"), wait=True)
