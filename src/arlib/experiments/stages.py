"""The stages of a protocol, each kept in the cache under its settings and the code that it uses.

What was cut off goes on: a training from its last checkpoint, scoring from its last shard, and the
other rows from the last one that was measured.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib._support.files import one_line, read_json
from arlib._support.settings import names_function
from arlib._support.storage import BusyError, cache_folder, write_atomic
from arlib.datasets import Dataset, DatasetError
from arlib.experiments.baselines.cross_fit import FitOnce, fit_svm
from arlib.experiments.baselines.former_fusion import joint_features
from arlib.experiments.baselines.rows import (
    Missing,
    Row,
    control_crops,
    control_probabilities,
    measure_rows,
    rows_for,
)
from arlib.experiments.images import READ, SAMPLE, identity
from arlib.experiments.names import FOLDS, FROZEN, SHIPPED
from arlib.experiments.planning import Plan, make_plan
from arlib.experiments.protocol import FORMER_FUSION, ROWS, STAGES, Protocol
from arlib.experiments.runs import write_baselines, write_run
from arlib.experiments.second_process import second_process
from arlib.experiments.trainings import BANK, PCNN, Trainings, locked
from arlib.method import affective_regions, usable_base
from arlib.networks import learning_curve, resolve_device
from arlib.proposals import Propose, is_file_of_boxes, make_proposals
from arlib.scoring import Classifiers, open_scores, score_cross_fold

log = logging.getLogger(__name__)

CROPS = 10_000
"""Of a shard, on a processor."""

# What each stage depends on: a change of other code leaves its folder in use.
SCORING = ("proposals.registry", "scoring.scorer")
MEASURING = (
    *PCNN,
    *BANK,
    *SCORING,
    "experiments.baselines.rows",
    "experiments.baselines.cross_fit",
)
RUN = ("experiments.runs",)


class Stages(Trainings):
    """The stages of a protocol, each made on first use, or taken from the cache.

    Attributes:
        workers: of scoring: `processes`, or `scheduler` and `resources`, as
            `arlib.scoring.score_in_shards` takes them.
        declared: what run.json holds as the settings of a run, where an `Experiment` made them.
        crops: of fixed places, the controls.
    """

    def __init__(
        self,
        protocol: Protocol,
        progress: bool = True,
        say: Callable[[str], Any] | None = None,
        workers: Mapping[str, Any] | None = None,
        declared: Mapping[str, Any] | None = None,
    ):
        super().__init__(protocol, progress, say)
        self.workers, self.declared = workers or {}, declared
        self.crops: Mapping[str, Propose] = control_crops(protocol.max_regions)
        self._scores: dict[str, xr.Dataset] = {}
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
            trust = " --trust-code" if names_function(self.protocol.backbone) else ""
            self.say(f"  the network: arlib predict --model {folder}{trust} IMAGE")
        for column in columns if stage in ("score", "rows") else ():
            self.scores(column)
            if stage == "rows" and self._labelled(column):
                self.baselines(column)

    def plan(self) -> Plan:
        """Look for data, weights and what is kept, and estimate what the rest takes here."""
        return make_plan(self)

    def shared(self, plan: Plan) -> AbstractContextManager[None]:
        """Let a second process do the last steps meanwhile, where that pays."""
        return second_process(self.protocol, plan, alone=bool(self.workers))

    def available(self) -> tuple[dict[str, Dataset], dict[str, str]]:
        """Load every column: those that are here, and why the others are not."""
        here, missing = {}, {}
        for name in self.protocol.columns:
            try:
                here[name] = self.columns(name)
            except DatasetError as error:
                missing[name] = str(error)
        return here, missing

    # the scores

    def scored(self, column: str) -> Dataset:
        """Take the images that are scored of a column, or of the sample."""
        return self.sample if column == SAMPLE else self.tested(column)

    def scorers(self, column: str) -> Classifiers:
        """Get what scores them."""
        if column == SAMPLE:
            return Classifiers.one(self.network, self.sample)
        return self.classifiers(column)

    def scores_folder(self, column: str) -> Path:
        """Name the folder of a column's scores by its images and its networks."""
        settings, dataset = self.protocol, self.scored(column)
        names = ("proposals", "max_regions", "crop", "context", "precision", "features")
        facts = {name: getattr(settings, name) for name in names}
        facts["networks"] = self._learned_by(column)
        if is_file_of_boxes(settings.proposals):  # known by what it holds
            facts["proposals"] = make_proposals(settings.proposals).sha256  # type: ignore[attr-defined]
        return cache_folder("scored", self.facts(dataset, facts), *SCORING, *self.drawn(dataset))

    def _learned_by(self, column: str) -> list[Any]:
        """Name what decides the networks, and heads, of a column."""
        backbone = self.protocol.backbone
        if column == SAMPLE:
            return [self.tuned_folder(backbone).name]
        how = self.learns_from(self.columns(column))
        if how in (FROZEN, SHIPPED):
            images = identity(self.columns(column))
            return [how, self._weights_sha256(backbone), self.protocol.seed, images]
        folders = [self.tuned_folder(backbone, each) for each in self.sources(column).values()]
        return list(dict.fromkeys(folder.name for folder in folders))

    def scores(self, column: str) -> xr.Dataset:
        """Score a column's images, shard by shard; a scoring that was cut off goes on."""
        if column not in self._scores:
            self._scores[column] = self._score(column)
        return self._scores[column]

    def _score(self, column: str) -> xr.Dataset:
        settings, dataset, classifiers = self.protocol, self.scored(column), self.scorers(column)
        folder, started = self.scores_folder(column), time.perf_counter()
        names = ("crop", "context", "precision", "features", "batch_size")
        there = (folder / "scores.zarr").exists()
        if not there:
            self._once(f"The network predicts the regions of {column}")
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):  # two chapters may want them at once
            scores, report = score_cross_fold(
                classifiers,
                dataset,
                self.proposals(dataset),
                folder / "scores.zarr",
                again=partial(_again, settings, column),
                shard_size=self._shard_size,
                progress=self.progress,
                **self.workers,
                **{each: getattr(settings, each) for each in names},
            )
            if not there:
                took = {"scoring": time.perf_counter() - started}
                write_atomic(folder / "seconds.json", json.dumps(took))
        if report.reused:
            self.say(f"  {column}: {report.reused} of {report.shards} shards were there")
        return scores

    @property
    def _shard_size(self) -> int:
        """How many images are scored before they are kept: minutes of a processor's work."""
        device, _ = resolve_device()
        if device.type == "cuda":  # where a shard takes a second to begin
            return 1024
        return max(1, CROPS // (1 + self.protocol.max_regions))

    def proposals(self, dataset: Dataset) -> Propose:
        """Make the proposal method; what it finds in a small set of files is kept."""
        settings, cached = self.protocol, dataset.draw is None and len(dataset) <= READ
        return make_proposals(settings.proposals, cached=cached, max_regions=settings.max_regions)

    # the other rows

    def baselines(self, column: str) -> xr.Dataset:
        """Measure the rows that scores alone cannot fill; each is kept when it is measured."""
        settings, scores, classifiers = self.protocol, self.scores(column), self.classifiers(column)
        dataset, rows = self._rows(column, scores)
        if settings.fit_on:
            rows[FORMER_FUSION] = partial(self._former_fusion, dataset, scores)
        rows["controls"] = lambda: (
            control_probabilities(dataset, classifiers, self.crops, progress=self.progress).values
        )
        wanted = {ROWS[row]: row for row in settings.rows}
        frozen = self.learns_from(self.columns(column)) in (FROZEN, SHIPPED)
        chosen = {
            name: self._kept(column, wanted[name], make)
            if name in wanted
            else make  # which says why
            if frozen and name in self._pcnn_rows
            else partial(self._unasked, name)
            for name, make in rows.items()
        }
        measured = measure_rows(dataset, chosen, crops=self.crops)
        measured.attrs["dropped"] = {
            row: self.dropped(column, backbone)
            for row, backbone in self._pcnn_rows.items()
            if row in measured.method.values.tolist()
        }
        return measured

    def add_row(self, column: str, row: str, scores: xr.Dataset) -> xr.Dataset:
        """Measure a row, by its name in Table 1, of scores that were recorded without it."""
        dataset, rows = self._rows(column, scores)
        return measure_rows(dataset, {row: rows[row]})

    def _rows(self, column: str, scores: xr.Dataset) -> tuple[Dataset, dict[str, Row]]:
        """List how each row of some scores is measured, and their images."""
        dataset = self.tested(column)
        dataset = dataset.subset(np.isin(dataset.keys, scores.image.values.tolist()))
        rows = rows_for(
            dataset,
            scores,
            partial(self.classifiers, column),
            plain=self.plain(self.protocol.backbone),
            bank=lambda: self.bank,
            deep=lambda: self.deep,
            pcnn={
                row: partial(self.pcnn_classifiers, column, backbone)
                for row, backbone in self._pcnn_rows.items()
            },
            coupled=partial(self.coupled_classifiers, column),
            classify=self._fit_once if self.protocol.fit_on else None,
            progress=self.progress,
        )
        return dataset, rows

    def _unasked(self, row: str) -> np.ndarray:
        level = "controls" if row == "controls" else "all"
        asks = f"-p rows {level}" if self.declared else "the protocol's rows do not name it"
        raise Missing(f"not asked for: {asks}")

    def _labelled(self, column: str) -> bool:
        return bool((self.columns(column).labels >= 0).any())

    @property
    def _pcnn_rows(self) -> dict[str, str]:
        return {
            "PCNN + CaffeNet": self.protocol.caffenet,
            "PCNN + VGGNet": self.protocol.backbone,
        }

    @cached_property
    def _fit_once(self) -> FitOnce:
        return FitOnce(self.sample)

    def _former_fusion(self, dataset: Dataset, scores: xr.Dataset) -> np.ndarray:
        base = usable_base(len(dataset.emotions))

        def measure(images: Dataset) -> np.ndarray:
            of_images = self.scores(SAMPLE) if images is self.sample else scores
            of_images = of_images.isel(image=np.isin(of_images.image, images.keys))
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
            "scores": self.scores_folder(column).name,
            "row": [settings.fit_on, settings.anps, self._pcnn_rows.get(name)],
            "crops": [*self.crops] if row == "controls" else None,
            "pairs": self.pairs if row == "sentibank" else None,
        }
        code = (*MEASURING, *self.drawn(self.columns(column)))
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
            self._once(f"{column}: {name} is measured")
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
        started = time.perf_counter()
        self.classifiers(column)
        seconds = {"training": time.perf_counter() - started}
        self.scores(column)
        kept = self.scores_folder(column)
        if (kept / "seconds.json").is_file():  # a process that was killed wrote none
            seconds |= read_json(kept / "seconds.json", {"scoring": float})
        rows = (lambda _: self.baselines(column)) if baselines and self._labelled(column) else None
        name = self.protocol.run_name(column)
        run = Path(folder, name) if folder else self._run_folder(column) / name

        def produce(out: Path) -> xr.Dataset:
            out.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(kept / "scores.zarr", out)
            return open_scores(out)

        with nullcontext() if folder else locked(run.parent):
            if folder or not (run / "run.json").is_file():
                return write_run(
                    run,
                    produce,
                    experiment=self._experiment(column),
                    learning_curve=self._curve(column),
                    dataset=self.tested(column),
                    seconds=seconds,
                    baselines=rows,
                )
            if rows and not (run / "baselines.zarr").is_dir():
                write_baselines(run, self.baselines(column))
        return run

    def _experiment(self, column: str) -> dict[str, Any]:
        """Give the settings that a run is made of, as run.json has them."""
        settings = self.protocol
        own = {
            "backbones": [settings.backbone],
            "finetune_on": [self.learns_from(self.columns(column))],
        }
        if self.declared:
            return {**self.declared, **own}
        of_column = {"dataset": column, "max_regions": settings.max_regions}
        return {**of_column, **own, "protocol": asdict(settings)}

    def _curve(self, column: str) -> list[dict[str, float]]:
        """Give the learning curve of the network, where one learned for all images."""
        if self.learns_from(self.columns(column)) in (FROZEN, SHIPPED, FOLDS):
            return []
        return learning_curve(self.tuned_folder(self.protocol.backbone))

    def _run_folder(self, column: str) -> Path:
        """Name the folder of a run in the cache."""
        facts = {"scores": self.scores_folder(column).name, "protocol": asdict(self.protocol)}
        code = (*RUN, *MEASURING, *self.drawn(self.columns(column)))
        return cache_folder("run", facts, *code)


def _again(protocol: Protocol, column: str) -> tuple[Classifiers, Dataset, Propose]:
    """Get what scores a column, in a process that scores a part of it."""
    stages = protocol.stages(progress=False)
    dataset = stages.scored(column)
    return stages.scorers(column), dataset, stages.proposals(dataset)


def _public(error: Exception) -> str:
    """Give an error's text, which a page may show, without the place of the data here."""
    data = os.environ.get("ARLIB_DATA")
    return str(error).replace(data, "ARLIB_DATA") if data else str(error)
