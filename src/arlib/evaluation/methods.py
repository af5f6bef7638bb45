"""The rows of Table 1: each a named method that judges every image from what a run measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from arlib.evaluation.significance import fold_means, nested_choice
from arlib.evaluation.sweeps import predicted_labels
from arlib.method import predict_labels

KS = tuple(range(1, 21))
"""The K among which the last row of Table 1 chooses."""


class Unavailable(ValueError):
    """A method that cannot judge these images; the text says why."""


@dataclass(frozen=True)
class Run:
    """What one run measured of a set of images.

    Attributes:
        name: what a column of Table 1 is headed.
        scores: of the images, as `arlib.scoring.scores` lays them out.
        baselines: what `arlib.experiments.measure_rows` gave; None where nothing was measured.
        facts: of the run, from `run.json`.
    """

    name: str
    scores: xr.Dataset
    baselines: xr.Dataset | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def select(self, images: np.ndarray, name: str) -> Run:
        """Take some images, by a mask (image,), under another name."""
        some = None if self.baselines is None else self.baselines.isel(image=images)
        return replace(self, name=name, scores=self.scores.isel(image=images), baselines=some)

    def load(self) -> Run:
        """Read scores and baselines into memory, where they are still on disk."""
        baselines = None if self.baselines is None else self.baselines.load()
        return replace(self, scores=self.scores.load(), baselines=baselines)

    def __post_init__(self) -> None:
        """Check that what was measured is of the same images."""
        if self.baselines is None or "image" not in self.baselines.coords:
            return
        if self.baselines.image.values.tolist() != self.scores.image.values.tolist():
            raise ValueError(f"{self.name}: scores and baselines are of other images")

    @property
    def labels(self) -> np.ndarray:
        """(image,) int8 true labels, -1 unknown."""
        return self.scores.label.values

    @property
    def folds(self) -> np.ndarray:
        """(image,) integer; a set without folds is one."""
        folds = self.scores.fold.values
        return folds if (folds >= 0).any() else np.zeros_like(folds)

    @property
    def frozen(self) -> bool:
        """Whether the network was not fine-tuned, but judges through heads on its features."""
        experiment = self.facts.get("experiment", {})
        learned = experiment.get("finetune_on", ["none"])
        return "backbones" in experiment and learned in (["none"], ["shipped"])


class RowPrediction(NamedTuple):
    """What a method says of each image: (image, emotion) shares, and how it came to it."""

    response: np.ndarray
    note: str = ""
    picked: tuple[int, float] | None = None  # K picked on the tested images, and its accuracy


@dataclass(frozen=True)
class Method:
    """A row of Table 1.

    Attributes:
        name: as the paper has it.
        judge: evidence -> judgement; raises `Unavailable`.
        refers: how it is made, in a sentence.
    """

    name: str
    judge: Callable[[Run], RowPrediction]
    refers: str


def methods(
    *,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: float | str = "e",
    ks: Sequence[int] = KS,
) -> list[Method]:
    """List the paper's ten rows, in its order, and DeepSentiBank.

    Args:
        alpha: Eq. 2's tradeoff.
        beta: Eq. 3's tradeoff.
        base: Eq. 1's logarithm.
        ks: the K among which the last row chooses.

    Example:
        >>> [method.name for method in methods()][-2:]
        ['VGGNet + ft + obj + senti + lf (K)', 'DeepSentiBank']
    """
    equations: dict[str, Any] = {"alpha": alpha, "beta": beta, "base": base}
    ft = "VGGNet + ft"
    return [
        _measured("SentiBank", "hand-made features, one linear SVM a noun pair, linear classifier"),
        _measured("PCNN + CaffeNet", "fine-tuned, undecided pictures dropped, trained on"),
        _measured("PCNN + VGGNet", "likewise, with the run's own network"),
        _measured("VGGNet", "features as they were before fine-tuning, linear classifier"),
        _fused(ft, "the full image alone", {**equations, "k": 1, "beta": 0.0}),
        _fused(
            f"{ft} + obj + lf (K = 1)", "ranked by objectness", {**equations, "k": 1}, "objectness"
        ),
        _fused(f"{ft} + senti + lf (K = 1)", "ranked by Eq. 1", {**equations, "k": 1}, "sentiment"),
        _fused(f"{ft} + obj + senti + lf (K = 1)", "ranked by Eq. 2", {**equations, "k": 1}),
        _measured(f"{ft} + obj + senti + ff (K = 1)", "features side by side, linear SVM (C = 1)"),
        Method(
            f"{ft} + obj + senti + lf (K)",
            lambda run: _chosen(run, ks, equations),
            "K chosen for each fold on the other folds",
        ),
        _measured("DeepSentiBank", "fine-tuned on adjective-noun pairs, linear classifier"),
    ]


REFERENCE = "VGGNet + ft"
"""The row that the others are tested against."""


def _measured(name: str, refers: str) -> Method:
    def judge(run: Run) -> RowPrediction:
        measured = run.baselines
        if run.frozen and name == "VGGNet":  # which is what such a run's scores hold
            whole = run.scores.global_probability.transpose("image", "emotion")
            return RowPrediction(whole.values.astype(float))
        if measured is None:
            raise Unavailable("not measured in this run: it holds scores alone")
        if name in measured.attrs.get("missing", {}):
            raise Unavailable(measured.attrs["missing"][name])
        names = measured.method.values.tolist()
        if name not in names:
            raise Unavailable("not measured in this run")
        response = measured.probability.isel(method=names.index(name))
        response = response.transpose("image", "emotion").values
        return RowPrediction(response.astype(float))

    return Method(name, judge, refers)


def _fused(name: str, refers: str, settings: Mapping[str, Any], rank_by: str = "both") -> Method:
    def judge(run: Run) -> RowPrediction:
        found = predict_labels(run.scores, rank_by=rank_by, **settings)
        return RowPrediction(found.probability.transpose("image", "emotion").values)

    return Method(name, judge, refers)


def _chosen(run: Run, ks: Sequence[int], equations: Mapping[str, Any]) -> RowPrediction:
    """Choose K for each fold on the other folds; beside it, K picked on the tested images."""
    known = run.labels >= 0
    labels = predicted_labels(run.scores, ks, **equations).transpose("image", "k").values
    right = labels == run.labels[:, None]
    try:
        option = nested_choice(right, np.where(known, run.folds, -1))
    except ValueError as error:
        raise Unavailable(str(error)) from error
    k = np.asarray(ks)[option]  # of an image without a label, the best over all folds
    response = np.full((len(labels), run.scores.sizes["emotion"]), np.nan)
    for value in np.unique(k).tolist():
        mine = k == value
        fused = predict_labels(run.scores.isel(image=mine), value, **equations)
        response[mine] = fused.probability.transpose("image", "emotion").values
    folds = np.unique(run.folds[known]).tolist()
    chosen = [str(k[known][run.folds[known] == fold][0]) for fold in folds]
    rates, _, _ = fold_means(right[known].T, run.folds[known], n_bootstrap=1)
    picked = ks[int(rates.argmax())], float(rates.max())
    return RowPrediction(
        response, f"K = {', '.join(chosen)} in folds {folds[0]} to {folds[-1]}", picked
    )
