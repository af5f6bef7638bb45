"""Hold what a run measured of a set of images; split it into columns of Table 1; pool several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from arlib.method import polarities, to_polarity


class LabelsNeeded(ValueError):
    """A run without labels, where a chapter goes on to compare predictions with them."""


@dataclass(frozen=True)
class Run:
    """What one run measured of a set of images.

    Attributes:
        name: The head of its column in Table 1.
        scores: Of the images: labels, folds and what the network predicted.
        baselines: The rows that scores cannot fill, and the controls; None if not measured.
        facts: Of the run, from `run.json`.
        dataset: The images, in words.
        network: What made the scores, in words.
    """

    name: str
    scores: xr.Dataset
    baselines: xr.Dataset | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = ""
    network: str = ""

    def __post_init__(self) -> None:
        """Check that the baselines are of the same images."""
        if self.baselines is None or "image" not in self.baselines.coords:
            return
        if self.baselines.image.values.tolist() != self.scores.image.values.tolist():
            raise ValueError(f"{self.name}: scores and baselines are of different images")

    def load(self) -> Run:
        """Read scores and baselines into memory, where they are still on disk."""
        baselines = None if self.baselines is None else self.baselines.load()
        return replace(self, scores=self.scores.load(), baselines=baselines)

    @property
    def labels(self) -> np.ndarray:
        """(image,) int8 true labels, -1 unknown."""
        return self.scores.label.values

    @property
    def folds(self) -> np.ndarray:
        """(image,) integer; a dataset without folds is one fold."""
        folds = self.scores.fold.values
        return folds if (folds >= 0).any() else np.zeros_like(folds)

    @property
    def frozen(self) -> bool:
        """Whether the network was not fine-tuned, but predicts through heads on its features."""
        experiment = self.facts.get("experiment", {})
        learned = experiment.get("finetune_on", ["none"])
        return "backbones" in experiment and learned in (["none"], ["shipped"])

    @property
    def title(self) -> str:
        """Name the run in words, for tables and figures; without any it is its `name`.

        Example:
            >>> Run("twitter2-vgg16", None, dataset="Twitter II", network="VGG-16, frozen").title
            'Twitter II · VGG-16, frozen'
        """
        return " · ".join(filter(None, (self.dataset, self.network))) or self.name

    @property
    def nested(self) -> bool:
        """Whether heads that left out two folds predicted each image, once for each other fold."""
        folds = self.scores.fold.values
        if "left_out" not in self.scores.coords:
            return False
        return bool(np.isin(folds[folds >= 0], self.scores.left_out.values).all())

    @property
    def leaks(self) -> bool:
        """Whether a choice on other folds is by classifiers that saw the tested fold's labels."""
        experiment = self.facts.get("experiment", {})
        learned = experiment.get("finetune_on", ["none"])
        own = "backbones" in experiment and learned in (["none"], ["folds"])
        return own and not self.nested

    def leaving_out(self, fold: int) -> Run:
        """Predict the images of the other folds by heads that did not learn from a fold either.

        No label of the fold then counts in what is chosen for it. The fold's own images keep their
        predictions; so do all where the run is not `nested`.
        """
        if not self.nested or fold not in self.scores.left_out.values:
            return self
        names = ("region_probability", "global_probability")
        inner = self.scores.sel(left_out=fold, drop=True)
        taken = {name: inner[f"inner_{name}"].fillna(self.scores[name]) for name in names}
        return replace(self, scores=self.scores.assign(taken))

    def require_labels(self, what: str, least: int = 1) -> None:
        """Stop a chapter where it needs labels that the run lacks.

        Args:
            what: For what they are needed, as the start of a sentence.
            least: How many images must have one.

        Raises:
            LabelsNeeded: Fewer images have a label. A published chapter ends there, with a note.
        """
        known = int((self.labels >= 0).sum())
        if known < least:
            needed = "labels" if least == 1 else f"{least} labelled images"
            raise LabelsNeeded(
                f"{what}: this needs {needed}, and of the run's {self.labels.size} images "
                f"{known or 'none'} has one. A table with the columns path and label gives them"
            )

    def differences(self, other: Run) -> dict[str, float]:
        """Measure how far another run of the same experiment is from this one.

        Args:
            other: The run that this one is compared with.

        Returns:
            The largest absolute difference of each array of the scores and, as `results`, of every
            estimate in run.json; infinite where images, regions or methods differ.
        """
        ours, theirs = self.scores, other.scores
        if ours.sizes != theirs.sizes or (ours.image.values != theirs.image.values).any():
            return {"images": np.inf}
        apart = {}
        for name in map(str, ours.data_vars):
            if name not in theirs:
                apart[name] = np.inf
                continue
            a, b = ours[name].values.astype(float), theirs[name].values.astype(float)
            same_gaps = (np.isnan(a) == np.isnan(b)).all()
            apart[name] = float(np.nanmax(np.abs(a - b), initial=0)) if same_gaps else np.inf
        apart["results"] = _results_apart(self.facts["results"], other.facts["results"])
        return apart

    @staticmethod
    def pool(runs: Iterable[Run]) -> Run:
        """Put runs of other seeds and images side by side, each fold of each a fold of its own.

        Means over the folds are then means over folds and seeds.

        Args:
            runs: Of one experiment, whose images differ; at least one.

        Returns:
            One run under the first one's name and facts, its images' keys with the run's number
            before them; baselines only where every run has them.
        """
        runs = list(runs)
        first = runs[0]
        if len(runs) == 1:
            return first
        span = 1 + max(int(run.folds.max()) for run in runs)
        scores, baselines = [], []
        for number, run in enumerate(runs):
            keys = [f"{number}/{key}" for key in run.scores.image.values.tolist()]
            folds = np.where(run.folds < 0, -1, run.folds + number * span).astype(np.int16)
            renamed = run.scores.assign_coords(image=keys).assign(fold=("image", folds))
            if "left_out" in renamed.coords:
                left_out = renamed.left_out.values.astype(np.int16) + number * span
                renamed = renamed.assign_coords(left_out=left_out)
            scores.append(renamed)
            if run.baselines is not None:
                baselines.append(run.baselines.assign_coords(image=keys))
        how: dict[str, Any] = {"data_vars": "minimal", "combine_attrs": "override"}
        complete = len(baselines) == len(runs)
        measured = xr.concat(baselines, "image", join="inner", **how) if complete else None
        together = xr.concat(scores, "image", join="outer", **how)
        return replace(first, scores=together, baselines=measured)

    def select(self, images: np.ndarray, name: str) -> Run:
        """Take some images, by a mask (image,), under another name."""
        baselines = None if self.baselines is None else self.baselines.isel(image=images)
        return replace(self, name=name, scores=self.scores.isel(image=images), baselines=baselines)

    def _as_part(self, part: str) -> Run:
        """Put which part of a run this is after the name, and after the dataset in words."""
        dataset = f"{self.dataset}, {part}" if self.dataset else ""
        return replace(self, name=f"{self.name}, {part}", dataset=dataset)

    def tested(self) -> Run:
        """Leave out a fixed split's training part: labelled images in no fold, where others are."""
        folds = self.scores.fold.values
        training = (folds < 0) & (self.labels >= 0)
        if not training.any() or (folds < 0).all():
            return self
        return self.select(~training, self.name)

    def labelled(self) -> Run:
        """Take the tested images whose label is known; ValueError where there is none."""
        run = self.tested()
        known = run.labels >= 0
        if not known.any():
            raise ValueError("no image has a label")
        return run.select(known, run.name)

    def columns(self) -> list[Run]:
        """Split the run into the columns of Table 1 that it fills: by polarity, by agreement.

        Each holds the tested images alone.

        Several emotions with a stated polarity give "…, polarity" and the run itself; images that
        five people annotated give "…, five agree", "…, four agree", "…, three agree", as the
        paper's Twitter I, but for one that would repeat another, where no image has that agreement;
        any other run is one column.
        """
        run = self.tested()
        baselines, emotions = run.baselines, run.scores.emotion.values.tolist()
        if len(emotions) > 2 and _has_polarity(emotions):
            if baselines is not None:
                baselines = to_polarity(baselines, emotions)
            scores = to_polarity(run.scores)
            polarity = replace(run, scores=scores, baselines=baselines)
            return [polarity._as_part("polarity"), run]
        if baselines is None or "agreement" not in baselines:
            return [run]
        agreement = baselines.agreement.values
        words = {5: "five agree", 4: "four agree", 3: "three agree"}
        return [
            run.select(agreement >= least, run.name)._as_part(agree)
            for least, agree in words.items()
            if (agreement == least).any()
        ]


def _results_apart(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    if ours.keys() != theirs.keys():
        return float("inf")
    apart = [
        abs(row["estimate"] - theirs[method][metric]["estimate"])
        for method, metrics in ours.items()
        for metric, row in metrics.items()
    ]
    return max(apart, default=0.0)


def _has_polarity(emotions: list[str]) -> bool:
    try:
        polarities(emotions)
    except ValueError:
        return False
    return True
