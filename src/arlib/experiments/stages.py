"""The stages of a protocol, each kept in the cache under its settings and the code that it uses.

What was cut off goes on: a training from its last checkpoint, scoring from its last shard, and the
other rows from the last one that was measured.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib import datasets
from arlib._support.files import one_line, read_json
from arlib._support.storage import BusyError, cache_folder, exclusive_lock, write_atomic
from arlib.datasets import Dataset, DatasetError
from arlib.experiments.baselines.cross_fit import FitOnce, fit_svm
from arlib.experiments.baselines.former_fusion import joint_features
from arlib.experiments.baselines.pcnn import train_on
from arlib.experiments.baselines.rows import Missing, Row, measure_rows, rows_for
from arlib.experiments.baselines.sentibank import SentiBank, read_pairs, train_bank
from arlib.experiments.planning import Plan, make_plan
from arlib.experiments.protocol import FORMER_FUSION, HELD_OUT, ROWS, STAGES, Protocol
from arlib.experiments.registry import load_images
from arlib.experiments.runs import write_run
from arlib.method import affective_regions, usable_base
from arlib.networks import Backbone, Training, finetune, load_backbone, weights_at_hand
from arlib.proposals import make_proposals
from arlib.scoring import Classifiers, Job, open_scores, score_in_shards

log = logging.getLogger(__name__)

PAIRS = 1200
"""Detectors of SentiBank, at most, as the paper's."""

MOST_FOLDS = 5
"""Folds of the held-out part: K is chosen on the others."""

VALIDATED = 5_000
"""Held-out images, at most, on which a learning curve is measured."""

_UNWANTED = "not among the rows that the protocol names"

# What each stage depends on: a change of other code leaves its folder in use.
TRAINING = ("networks.finetuning",)
PCNN = (*TRAINING, "experiments.baselines.pcnn")
BANK = ("experiments.baselines.sentibank",)
SCORING = ("proposals.registry", "scoring.scorer")
MEASURING = (
    *PCNN,
    *BANK,
    *SCORING,
    "experiments.baselines.rows",
    "experiments.baselines.cross_fit",
)


class Stages:
    """The stages of a protocol, each made on first use, or taken from the cache."""

    def __init__(
        self, protocol: Protocol, progress: bool = True, say: Callable[[str], Any] | None = None
    ):
        self.protocol, self.progress = protocol, progress
        self.say = say or (lambda _: None)
        self._hashes: dict[str, str] = {}  # of the networks before fine-tuning
        self._datasets: dict[str, Dataset] = {}
        self._scores: dict[str, xr.Dataset] = {}
        self._pcnn: dict[str, Backbone] = {}
        self._reasons: dict[tuple[str, str], str] = {}  # why a column lacks a row

    def run(self, stage: str, columns: tuple[str, ...]) -> None:
        """Do a stage, and what it needs of those before it."""
        if stage not in STAGES:
            raise ValueError(f"no stage {stage!r}; there are {', '.join(STAGES)}")
        if stage == "pretrain":
            self.pretrain()
        elif stage == "finetune":
            self.network  # noqa: B018
            folder = self.tuned_folder(self.protocol.backbone)
            self.say(f"  the network: arlib predict --model {folder} IMAGE")
        for column in columns if stage in ("score", "rows") else ():
            self.scores(column)
            if stage == "rows" and self._labelled(column):
                self.baselines(column)

    def plan(self) -> Plan:
        """Look for data, weights and what is kept, and estimate what the rest takes here."""
        return make_plan(self)

    # the images

    @cached_property
    def source(self) -> Dataset:
        """The labelled images of the fine-tuning set; fold 1 is held out, the others are -1."""
        name, share = self.protocol.finetune.dataset, self.protocol.finetune.hold_out
        dataset = load_images(name, {})
        dataset = dataset.subset(dataset.labels >= 0)
        out = dataset.folds == 1
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
        if dataset.emotions != self.source.emotions:
            raise DatasetError(
                f"{name} has the classes {', '.join(dataset.emotions)}, the network those of "
                f"{self.source.name}: {', '.join(self.source.emotions)}"
            )
        return dataset

    def read(self, name: str) -> Dataset:
        """Load the images of a column, whatever their classes."""
        if name == f"{self.protocol.finetune.dataset}{HELD_OUT}":
            return self.held_out
        return load_images(name, {})

    def available(self) -> tuple[dict[str, Dataset], dict[str, str]]:
        """Load every column: those that are here, and why the others are not."""
        here, missing = {}, {}
        for name in self.protocol.columns:
            try:
                here[name] = self._columns(name)
            except DatasetError as error:
                missing[name] = str(error)
        return here, missing

    # the networks

    def pretrain(self) -> None:
        """Load the weights that networks begin with: damaged ones are found before a day's work."""
        self.plain(self.protocol.backbone)
        if "pcnn-caffenet" in self.protocol.rows and weights_at_hand(self.protocol.caffenet):
            self.plain(self.protocol.caffenet)

    def plain(self, backbone: str) -> Backbone:
        """Load a network with the weights that it begins with."""
        return load_backbone(backbone, weights=self.protocol.weights, seed=self.protocol.seed)

    def training_folder(self, stage: str, backbone: str, **facts: Any) -> Path:
        """Name the folder of a training, by its images, its first weights and its settings."""
        facts |= {
            "images": _identity(self.learned),
            "from": self._weights_sha256(backbone),
            "training": asdict(self._training),
            "seed": self.protocol.seed,
        }
        return cache_folder(f"{stage}-{backbone}", facts, *(PCNN if stage == "pcnn" else TRAINING))

    def tuned_folder(self, backbone: str) -> Path:
        """Name the folder of the fine-tuned network."""
        return self.training_folder("finetuned", backbone)

    def tuned(self, backbone: str) -> Backbone:
        """Fine-tune a network on the set, or take it from the cache."""
        return self._train(backbone, self.learned, self.tuned_folder(backbone), self.held_out)

    @cached_property
    def network(self) -> Backbone:
        """The fine-tuned network."""
        return self.tuned(self.protocol.backbone)

    def pcnn_folder(self, backbone: str) -> Path:
        """Name the folder of a network that is trained on, as PCNN is."""
        return self.training_folder("pcnn", backbone)

    def pcnn(self, row: str, backbone: str) -> Backbone:
        """Train a fine-tuned network on without the images that PCNN's rule drops."""
        if backbone not in self._pcnn:
            self._pcnn[backbone] = self._train_pcnn(row, backbone)
        return self._pcnn[backbone]

    def _train_pcnn(self, row: str, backbone: str) -> Backbone:
        folder = self.pcnn_folder(backbone)
        if not (folder / "dropped.json").is_file():
            network = self.tuned(backbone)
            with _locked(folder):
                train_on(
                    network,
                    self.learned,
                    folder,
                    training=self._training,
                    validation=self._validation(self.held_out),
                    progress=self.progress,
                )
        facts = read_json(folder / "dropped.json", {"dropped": float, "expected": float})
        self.say(
            f"  {row}: dropped {facts['dropped']:.1%} of the training images, "
            f"{facts['expected']:.1%} expected"
        )
        weights = folder / "network.safetensors"
        return load_backbone(backbone, classes=len(self.learned.emotions), weights=weights)

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
        facts: dict[str, Any] = {"images": _identity(tagged), "seed": self.protocol.seed}
        facts["pairs"] = self.pairs or PAIRS
        path = cache_folder("sentibank", facts, *BANK) / "bank.safetensors"
        with _locked(path.parent):
            if not path.with_suffix(".json").exists():
                made = train_bank(
                    tagged,
                    most=PAIRS,
                    pairs=self.pairs,
                    seed=self.protocol.seed,
                    progress=self.progress,
                )
                path.parent.mkdir(parents=True, exist_ok=True)
                made.save(path)
        return SentiBank.load(path)

    @cached_property
    def deep(self) -> Backbone:
        """Fine-tune the network on adjective-noun pairs, as DeepSentiBank."""
        tagged, backbone = self.tagged.by_tag(), self.protocol.backbone
        folder = self.training_folder("tags", backbone, tagged=_identity(tagged))
        return self._train(backbone, tagged, folder, None)

    @cached_property
    def _training(self) -> Training:
        plan = Training.parse(self.protocol.finetune.training)
        batch = min(plan.batch_size, len(self.learned))
        return replace(plan, seed=self.protocol.seed, batch_size=batch)

    def _train(
        self, backbone: str, dataset: Dataset, folder: Path, held_out: Dataset | None
    ) -> Backbone:
        settings = self.protocol
        network = load_backbone(
            backbone,
            classes=len(dataset.emotions),
            weights=settings.weights,
            seed=settings.seed,
        )
        with _locked(folder):
            return finetune(
                network,
                dataset,
                folder,
                training=self._training,
                validation=None if held_out is None else self._validation(held_out),
                progress=self.progress,
            )

    def _validation(self, held_out: Dataset) -> Dataset:
        rows = np.random.default_rng([self.protocol.seed, 6]).permutation(len(held_out))
        return held_out.subset(np.sort(rows[:VALIDATED]))

    def _weights_sha256(self, backbone: str) -> str:
        if backbone not in self._hashes:
            self._hashes[backbone] = self.plain(backbone).sha256()
        return self._hashes[backbone]

    # the scores

    def scores_folder(self, dataset: Dataset) -> Path:
        """Name the folder of a dataset's scores by the fine-tuned network."""
        names = ("proposals", "max_regions", "crop", "context", "precision", "features")
        facts = {name: getattr(self.protocol, name) for name in names}
        facts["network"] = self.tuned_folder(self.protocol.backbone).name
        facts["images"] = _identity(dataset)
        return cache_folder("scored", facts, *SCORING)

    def scores(self, column: str) -> xr.Dataset:
        """Score a column's images, shard by shard; a run that was cut off goes on."""
        return self._score(column, self._columns(column))

    def _score(self, name: str, dataset: Dataset) -> xr.Dataset:
        if name not in self._scores:
            settings = self.protocol
            folder = self.scores_folder(dataset)
            folder.mkdir(parents=True, exist_ok=True)
            names = ("crop", "context", "precision", "features", "batch_size")
            job = Job(
                dataset,
                make_proposals(settings.proposals, max_regions=settings.max_regions),
                self.network,
                settings={each: getattr(settings, each) for each in names},
            )
            self._scores[name], report = score_in_shards(
                lambda: job, folder / "scores.zarr", progress=self.progress
            )
            if report.reused:
                self.say(f"  {name}: {report.reused} of {report.shards} shards were there")
        return self._scores[name]

    def _columns(self, name: str) -> Dataset:
        if name not in self._datasets:
            self._datasets[name] = self.column(name)
        return self._datasets[name]

    # the other rows

    def baselines(self, column: str) -> xr.Dataset:
        """Measure the rows that scores alone cannot fill; each is kept when it is measured."""
        settings, scores = self.protocol, self.scores(column)
        scored = np.isin(self._columns(column).keys, scores.image.values.tolist())
        dataset = self._columns(column).subset(scored)
        classifiers = Classifiers.one(self.network, dataset)
        rows = rows_for(
            dataset,
            scores,
            classifiers,
            plain=self._plain_network,
            bank=lambda: self.bank,
            deep=lambda: self.deep,
            pcnn={
                row: partial(self._pcnn_classifiers, dataset, row, backbone)
                for row, backbone in self._pcnn_rows.items()
            },
            classify=self._fit_once if settings.fit_on else None,
            progress=self.progress,
        )
        if settings.fit_on:
            rows[FORMER_FUSION] = partial(self._former_fusion, dataset, scores)
        wanted = {ROWS[row]: row for row in settings.rows}
        measured = measure_rows(
            dataset,
            classifiers,
            {
                name: self._kept(column, wanted[name], make) if name in wanted else _unwanted
                for name, make in rows.items()
            },
            left_out=[] if "controls" in wanted else ["controls"],
            progress=self.progress,
        )
        if "controls" in measured.attrs["missing"]:
            measured.attrs["missing"]["controls"] = _UNWANTED
        measured.attrs["dropped"] = {
            row: read_json(path)
            for row, backbone in self._pcnn_rows.items()
            if row in measured.method.values.tolist()
            and (path := self.pcnn_folder(backbone) / "dropped.json").is_file()
        }
        return measured

    def _labelled(self, column: str) -> bool:
        return bool((self._columns(column).labels >= 0).any())

    @property
    def _pcnn_rows(self) -> dict[str, str]:
        return {
            "PCNN + CaffeNet": self.protocol.caffenet,
            "PCNN + VGGNet": self.protocol.backbone,
        }

    @cached_property
    def _plain_network(self) -> Backbone:
        return self.plain(self.protocol.backbone)

    @cached_property
    def _fit_once(self) -> FitOnce:
        return FitOnce(self.sample)

    def _pcnn_classifiers(self, dataset: Dataset, row: str, backbone: str) -> Classifiers:
        return Classifiers.one(self.pcnn(row, backbone), dataset)

    def _former_fusion(self, dataset: Dataset, scores: xr.Dataset) -> np.ndarray:
        base = usable_base(len(dataset.emotions))

        def measure(images: Dataset) -> np.ndarray:
            of_images = scores if images is dataset else self._score("sample", self.sample)
            place = {key: row for row, key in enumerate(images.keys.tolist())}
            rows = [place[key] for key in of_images.image.values.tolist()]
            boxes = np.full((len(images), 1, 4), np.nan, np.float32)
            boxes[rows] = affective_regions(of_images, 1, base=base).box.values
            return joint_features(images, self.network, boxes, progress=self.progress)

        return self._fit_once("former fusion", dataset, measure, fit_svm)

    def row_path(self, column: str, row: str) -> Path:
        """Name the file of a measured row of a column, by the row's name in an edition."""
        settings, name = self.protocol, ROWS[row]
        facts = {
            "scores": self.scores_folder(self._columns(column)).name,
            "row": [settings.fit_on, settings.anps, self._pcnn_rows.get(name)],
            "pairs": self.pairs if row == "sentibank" else (),
        }
        return cache_folder("rows", facts, *MEASURING) / f"{row}.npy"

    def _kept(self, column: str, row: str, make: Row) -> Row:
        """Keep a measured row on disk; one that cannot be measured is missing with its reason."""
        path, name = self.row_path(column, row), ROWS[row]

        def measure() -> np.ndarray:
            if path.is_file():
                return np.load(path)
            if reason := self._reasons.get((column, row)):
                raise Missing(reason)
            self.say(f"  {column}: {name}")
            try:
                probability = make()
            except (Missing, BusyError):
                raise
            except ValueError as error:  # too few images, weights or photographs that are not here
                reason = self._reasons[column, row] = one_line(_public(error))
                log.warning("%s, %s: %s", column, name, reason)
                raise Missing(reason) from error
            buffer = BytesIO()
            np.save(buffer, probability)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, buffer.getvalue())
            return probability

        return measure

    # the run

    def measure(self, column: str, folder: str | Path) -> Path:
        """Write the run of a column into a folder, under its name."""
        settings, dataset = self.protocol, self._columns(column)
        self.scores(column)
        kept = self.scores_folder(dataset) / "scores.zarr"

        def produce(out: Path) -> xr.Dataset:
            out.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(kept, out)
            return open_scores(out)

        return write_run(
            Path(folder, settings.run_name(column)),
            produce,
            experiment={
                "dataset": column,
                "backbones": [settings.backbone],
                "finetune_on": [settings.finetune.dataset],
                "max_regions": settings.max_regions,
                "protocol": asdict(settings),
            },
            dataset=dataset,
            baselines=(lambda _: self.baselines(column)) if self._labelled(column) else None,
        )


def _identity(dataset: Dataset) -> str:
    """Hash the keys, labels and folds of images, of which half a million are not read for it."""
    digest = hashlib.sha256(json.dumps([dataset.name, *dataset.emotions]).encode())
    for array in (dataset.keys, dataset.labels, dataset.folds):
        digest.update("\n".join(map(str, array.tolist())).encode())
    return digest.hexdigest()


def _unwanted() -> np.ndarray:
    raise Missing(_UNWANTED)


def _public(error: Exception) -> str:
    """Give an error's text, which a page may show, without the place of the data here."""
    data = os.environ.get("ARLIB_DATA")
    return str(error).replace(data, "ARLIB_DATA") if data else str(error)


def _locked(folder: Path) -> Any:
    """Wait while another process makes what is in a folder."""
    return exclusive_lock(folder.with_name(f"{folder.name}.lock"), wait=True)
