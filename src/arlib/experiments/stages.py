"""The stages of a protocol, each kept in the cache under its settings and the code that it uses.

What was cut off goes on: a training from its last checkpoint, scoring from its last shard, and the
other rows from the last one that was measured.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
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
from arlib.datasets.scenes import draw_set
from arlib.experiments.baselines.cross_fit import FitOnce, fit_svm
from arlib.experiments.baselines.former_fusion import joint_features
from arlib.experiments.baselines.pcnn import Progress, train_on
from arlib.experiments.baselines.rows import Missing, Row, measure_rows, rows_for
from arlib.experiments.baselines.sentibank import SentiBank, train_bank
from arlib.experiments.planning import Plan, make_plan
from arlib.experiments.protocol import (
    FORMER_FUSION,
    HELD_OUT,
    ROWS,
    SCENES,
    STAGES,
    Finetuning,
    Protocol,
)
from arlib.experiments.registry import load_images
from arlib.experiments.runs import write_baselines, write_run
from arlib.method import affective_regions, usable_base
from arlib.networks import (
    Backbone,
    Training,
    finetune,
    load_backbone,
    weights_at_hand,
)
from arlib.proposals import make_proposals
from arlib.scoring import Classifiers, Job, open_scores, score_in_shards

log = logging.getLogger(__name__)

PAIRS = 1200
"""Detectors of SentiBank, as the paper's; the most frequent pairs have one."""

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
RUN = ("experiments.runs",)
DRAWN = ("datasets.scenes.benchmark",)
"""Besides, where images are drawn."""


class Stages:
    """The stages of a protocol, each made on first use, or taken from the cache."""

    def __init__(
        self, protocol: Protocol, progress: bool = True, say: Callable[[str], Any] | None = None
    ):
        self.protocol, self.progress = protocol, progress
        self.say = say or (lambda _: None)
        self._plain: dict[str, Backbone] = {}  # before fine-tuning
        self._hashes: dict[str, str] = {}  # of these
        self._datasets: dict[str, Dataset] = {}
        self._scores: dict[str, xr.Dataset] = {}
        self._pcnn: dict[str, Progress] = {}
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
            return load_images(name, {})
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
        return self._load(name)

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
        facts = self._facts(
            self.objects,
            {
                "from": self.protocol.weights,
                "training": asdict(self._plan(self.objects, self.protocol.pretrain.training)),
                "seed": self.protocol.seed,
            },
        )
        return cache_folder(f"pretrained-{backbone}", facts, *TRAINING, *self._drawn(self.objects))

    def training_folder(
        self, stage: str, backbone: str, source: Dataset | None = None, **facts: Any
    ) -> Path:
        """Name the folder of a training, by its images, its first weights and its settings."""
        source = self.source if source is None else source
        facts |= {
            "from": self._weights_sha256(backbone),
            "training": asdict(self._plan(source, self.protocol.finetune.training)),
            "seed": self.protocol.seed,
        }
        code = (*(PCNN if stage == "pcnn" else TRAINING), *self._drawn(source))
        return cache_folder(f"{stage}-{backbone}", self._facts(source, facts), *code)

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

    def pcnn_folder(self, backbone: str) -> Path:
        """Name the folder of a network that is trained on, as PCNN is."""
        return self.training_folder("pcnn", backbone)

    def pcnn(self, backbone: str) -> Progress:
        """Train a fine-tuned network on without the images that PCNN's rule drops."""
        if backbone not in self._pcnn:
            folder = self.pcnn_folder(backbone)
            network = self.tuned(backbone)
            with _locked(folder):
                self._pcnn[backbone] = train_on(
                    network,
                    self.learned,
                    folder,
                    training=self._plan(self.source, self.protocol.finetune.training),
                    validation=self._validation(self.source),
                    progress=self.progress,
                )
            done = self._pcnn[backbone]
            self.say(
                f"  PCNN on {backbone}: dropped {done.dropped:.1%} of the training images, "
                f"{done.expected:.1%} expected"
            )
        return self._pcnn[backbone]

    @cached_property
    def bank(self) -> SentiBank:
        """Train SentiBank on the pairs, or take it from the cache."""
        tagged = self.tagged
        facts = self._facts(tagged, {"seed": self.protocol.seed, "pairs": PAIRS})
        folder = cache_folder("sentibank", facts, *BANK, *self._drawn(tagged))
        path = folder / "bank.safetensors"
        with _locked(folder):
            if not path.with_suffix(".json").exists():
                made = train_bank(
                    tagged, most=PAIRS, seed=self.protocol.seed, progress=self.progress
                )
                folder.mkdir(parents=True, exist_ok=True)
                made.save(path)
        return SentiBank.load(path)

    @cached_property
    def deep(self) -> Backbone:
        """Fine-tune the network on adjective-noun pairs, as DeepSentiBank."""
        tagged, backbone = self.tagged.by_tag(), self.protocol.backbone
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
        with _locked(folder):
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

    def _facts(self, dataset: Dataset, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Add the identity of images to what else decides a stage's result."""
        identity = {"images": _identity(dataset)}
        if self._drawn(dataset):
            identity["seed of images"] = str(self.protocol.seed)
            if not dataset.name.startswith(f"{SCENES}objects"):  # whose images it does not change
                identity["local share"] = str(self.protocol.local_share)
        return {**identity, **facts}

    def _drawn(self, dataset: Dataset) -> tuple[str, ...]:
        """Name the code that draws a dataset's images, where it does."""
        return DRAWN if dataset.name.startswith(SCENES) else ()

    # the scores

    def scores_folder(self, dataset: Dataset) -> Path:
        """Name the folder of a dataset's scores by the fine-tuned network."""
        names = ("proposals", "max_regions", "crop", "context", "precision", "features")
        facts = {name: getattr(self.protocol, name) for name in names}
        facts["network"] = self.tuned_folder(self.protocol.backbone).name
        return cache_folder("scored", self._facts(dataset, facts), *SCORING, *self._drawn(dataset))

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
            with _locked(folder):  # two chapters may want them at once
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
            plain=self.plain(settings.backbone),
            bank=lambda: self.bank,
            deep=lambda: self.deep,
            pcnn={
                row: partial(self._pcnn_classifiers, dataset, backbone)
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
    def _fit_once(self) -> FitOnce:
        return FitOnce(self.sample)

    def _pcnn_classifiers(self, dataset: Dataset, backbone: str) -> Classifiers:
        return Classifiers.one(self.pcnn(backbone).network, dataset)

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
        }
        code = (*MEASURING, *self._drawn(self._columns(column)))
        return cache_folder("rows", facts, *code) / f"{row}.npy"

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

    def measure(
        self, column: str, folder: str | Path | None = None, *, baselines: bool = True
    ) -> Path:
        """Write the run of a column into a folder, under its name; once, where it is the cache.

        Args:
            column: one of the protocol's.
            folder: None takes the cache.
            baselines: also measure the rows that scores alone cannot fill, where it has labels.
        """
        settings, dataset = self.protocol, self._columns(column)
        self.scores(column)
        kept = self.scores_folder(dataset)
        rows = (lambda _: self.baselines(column)) if baselines and self._labelled(column) else None
        name = settings.run_name(column)
        run = Path(folder, name) if folder else self._run_folder(dataset, kept) / name

        def produce(out: Path) -> xr.Dataset:
            out.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(kept / "scores.zarr", out)
            return open_scores(out)

        with nullcontext() if folder else _locked(run.parent):
            if folder or not (run / "run.json").is_file():
                return write_run(
                    run,
                    produce,
                    experiment={
                        "dataset": column,
                        "backbones": [settings.backbone],
                        "finetune_on": [settings.finetune.dataset],
                        "max_regions": settings.max_regions,
                        "protocol": asdict(settings),
                    },
                    dataset=dataset,
                    baselines=rows,
                )
            if rows and not (run / "baselines.zarr").is_dir():
                write_baselines(run, self.baselines(column))
        return run

    def _run_folder(self, dataset: Dataset, scores: Path) -> Path:
        """Name the folder of a run in the cache."""
        facts = {"scores": scores.name, "protocol": asdict(self.protocol)}
        return cache_folder("run", facts, *RUN, *MEASURING, *self._drawn(dataset))


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
