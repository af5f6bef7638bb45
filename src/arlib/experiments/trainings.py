"""The networks of a protocol, each made on first use, or taken from the cache.

A network is kept under its settings and the code that it uses; a training that was cut off goes on
from its last checkpoint.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from arlib import datasets
from arlib._support.files import file_name, read_json
from arlib._support.progress import has_reader
from arlib._support.storage import cache_dir, cache_folder, exclusive_lock
from arlib.datasets import Dataset
from arlib.experiments.baselines.cross_fit import Missing
from arlib.experiments.baselines.pcnn import Progress, train_on
from arlib.experiments.baselines.sentibank import SentiBank, train_bank
from arlib.experiments.images import Images
from arlib.experiments.names import FOLDS, FROZEN, SHIPPED
from arlib.experiments.protocol import Protocol
from arlib.networks import (
    Backbone,
    FeatureMaps,
    LinearHead,
    Training,
    WeightsError,
    finetune,
    fit_coupled,
    load_backbone,
    weights_at_hand,
)
from arlib.scoring import Classifiers, global_outputs

log = logging.getLogger(__name__)

PAIRS = 1200
"""Detectors of SentiBank, at most, as the paper's."""

VALIDATED = 5_000
"""Held-out images, at most, on which a learning curve is measured."""

# What each stage depends on: a change of other code leaves its folder in use.
TRAINING = ("networks.finetuning",)
PCNN = (*TRAINING, "experiments.baselines.pcnn")
BANK = ("experiments.baselines.sentibank",)


class Trainings(Images):
    """The networks of a protocol."""

    def __init__(
        self, protocol: Protocol, progress: bool = True, say: Callable[[str], Any] | None = None
    ):
        super().__init__(protocol)
        self.progress, self.say = progress, say or (lambda _: None)
        self._plain: dict[str, Backbone] = {}  # before fine-tuning
        self._hashes: dict[str, str] = {}  # of these
        self._pcnn: dict[Path, Progress] = {}
        self._coupled: dict[Path, Backbone] = {}
        self._classifiers: dict[str, Classifiers] = {}

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
        return cache_folder(f"pretrained-{file_name(backbone)}", self.facts(dataset, facts), *code)

    def training_folder(self, stage: str, backbone: str, source: Dataset | None = None) -> Path:
        """Name the folder of a training, by its images, its first weights and its settings."""
        source = self.source if source is None else source
        facts = {
            "from": self._weights_sha256(backbone),
            "training": asdict(self._plan(source, self.protocol.finetune.training)),
            "seed": self.protocol.seed,
        }
        code = (*(PCNN if stage == "pcnn" else TRAINING), *self.drawn(source))
        return cache_folder(f"{stage}-{file_name(backbone)}", self.facts(source, facts), *code)

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
        dataset, tested, sources = self.columns(column), self.tested(column), self.sources(column)
        how, backbone = self.learns_from(dataset), self.protocol.backbone
        if how == SHIPPED:
            head = LinearHead.default()
            seen = datasets.source_of(str(head.provenance.get("dataset")))
            if seen == datasets.source_of(dataset.name):
                raise ValueError(f"the head that comes with the package has seen {dataset.name}")
            return Classifiers.one(self.plain(backbone), tested, dict.fromkeys(sources, head))
        if how == FROZEN:
            heads, inner = self._heads(dataset, [*sources])
            return Classifiers.one(self.plain(backbone), tested, heads, inner)
        if how == FOLDS:
            return Classifiers({fold: self.tuned(backbone, sources[fold]) for fold in sources})
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
        names = ("dropped", "expected")
        kept = [
            read_json(
                self.pcnn_folder(backbone, source) / "dropped.json", dict.fromkeys(names, float)
            )
            for source in self.sources(column).values()
        ]
        return {name: float(np.mean([facts[name] for facts in kept])) for name in names}

    def pcnn_classifiers(self, column: str, backbone: str) -> Classifiers:
        """Get PCNN's network of each fold of a column."""
        if self.learns_from(self.columns(column)) in (FROZEN, SHIPPED):
            raise Missing("a frozen network is not trained on: see a run that is fine-tuned")
        try:
            sources = self.sources(column)
            return Classifiers(
                {fold: self.pcnn(backbone, sources[fold]).network for fold in sources}
            )
        except WeightsError as error:
            if self.protocol.weights != "auto":
                raise Missing(f"the weights that were named do not fit {backbone}") from error
            if weights_at_hand(backbone):
                raise  # they are there, and damaged
            raise Missing(
                f"no weights of {backbone}: ARLIB_DATA/weights/{file_name(backbone)}.safetensors "
                "is not there, and they cannot be downloaded"
            ) from error

    def coupled_folder(self, source: Dataset | None = None) -> Path:
        """Name the folder of the network that is fine-tuned with a coupled head."""
        return self.training_folder("coupled", self.protocol.backbone, source)

    def coupled(self, source: Dataset | None = None) -> Backbone:
        """Fine-tune the network with a coupled head, otherwise as without it."""
        folder, backbone = self.coupled_folder(source), self.protocol.backbone
        if folder not in self._coupled:
            training = {**self.protocol.finetune.training, "head": "coupled"}
            source = self.source if source is None else source
            first = self._first(backbone)
            self._coupled[folder] = self._train(backbone, source, folder, training, first)
        return self._coupled[folder]

    def coupled_classifiers(self, column: str) -> Classifiers:
        """Get the network with a coupled head of each fold of a column."""
        dataset, sources = self.columns(column), self.sources(column)
        how = self.learns_from(dataset)
        if how == SHIPPED:
            raise Missing("the network stays frozen, and labels are too few to train its head")
        if how == FROZEN:
            return self._coupled_heads(dataset, [*sources])
        return Classifiers({fold: self.coupled(sources[fold]) for fold in sources})

    def _coupled_heads(self, dataset: Dataset, folds: list[int]) -> Classifiers:
        """Train a coupled head for each fold on the others' feature maps; the network is frozen."""
        network, classes = self.plain(self.protocol.backbone), len(dataset.emotions)
        training = replace(Training.parse(self.protocol.finetune.training), seed=self.protocol.seed)
        maps = global_outputs(
            dataset, FeatureMaps(network), features=True, engine="torch", progress=self.progress
        )
        usable = np.isfinite(maps).all(axis=1) & (dataset.labels >= 0)

        def fit(fold: int) -> Backbone:
            learn = usable & (dataset.folds != fold)
            return fit_coupled(network, maps[learn], dataset.labels[learn], classes, training)

        return Classifiers({fold: fit(fold) for fold in folds})

    @cached_property
    def bank(self) -> SentiBank:
        """Train SentiBank on the pairs, or take it from the cache."""
        tagged = self.tagged
        facts = self.facts(tagged, {"seed": self.protocol.seed, "pairs": self.pairs or PAIRS})
        folder = cache_folder("sentibank", facts, *BANK, *self.drawn(tagged))
        path = folder / "bank.safetensors"
        with locked(folder):
            if not path.with_suffix(".json").exists():
                bank = train_bank(
                    tagged,
                    most=PAIRS,
                    pairs=self.pairs,
                    seed=self.protocol.seed,
                    progress=self.progress,
                )
                folder.mkdir(parents=True, exist_ok=True)
                bank.save(path)
        return SentiBank.load(path)

    @cached_property
    def deep(self) -> Backbone:
        """Fine-tune the network on adjective-noun pairs, as DeepSentiBank."""
        backbone = self.protocol.backbone
        tagged = self.tagged.by_tag().with_stratified_folds(0, self.protocol.seed)  # none held out
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
        if not (folder / "network.json").is_file():
            self._once(f"{backbone} learns from {source.name}")
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

    def _once(self, what: str) -> None:
        """Announce in an open notebook what takes a while, and that it is done only once."""
        if self.progress and has_reader():
            print(f"{what}. This happens once: the result is kept in {cache_dir()}.")

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


def locked(folder: Path) -> Any:
    """Wait while another process makes what is in a folder."""
    return exclusive_lock(folder.with_name(f"{folder.name}.lock"), wait=True)
