"""A run: the scores of one dataset by one backbone, and run.json that says what they amount to.

The backbone is frozen. For each fold a linear head is fitted on the whole images of the other
folds, and that head judges the images and the regions of the tested fold.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib import datasets
from arlib.algorithm import respond
from arlib.evaluation import evaluate, majority_rate
from arlib.heads import LinearHead, fit_head
from arlib.machine import machine
from arlib.scores import open_scores

METHODS: dict[str, dict[str, Any]] = {
    "whole image": {"k": 1, "beta": 0.0},
    "+ obj (K = 1)": {"k": 1, "rank_by": "objectness"},
    "+ senti (K = 1)": {"k": 1, "rank_by": "sentiment"},
    "+ obj + senti (K = 1)": {"k": 1},
    "+ obj + senti (K = 8)": {"k": 8},
}
"""The rows of Table 1 that one set of scores can fill, as settings of `algorithm.respond`."""


@dataclass(frozen=True)
class Experiment:
    """Settings of the expensive half: what is scored, and how.

    Attributes:
        dataset: a name in `arlib.datasets`.
        backbones: torchvision names; each makes a run of its own.
        proposals: a name in `arlib.proposals.make`.
        max_regions: N, the most regions an image.
        crop: "warp" or "square".
        context: padding around a region, as a share of its sides.
        weights: "auto", "random", or a safetensors file.
        seed: of the heads' inner folds and of random weights.
    """

    dataset: str
    backbones: tuple[str, ...]
    proposals: str = "edge_boxes"
    max_regions: int = 100
    crop: str = "warp"
    context: float = 0.0
    weights: str = "auto"
    seed: int = 0

    def runs(self, *, progress: bool = True) -> dict[str, Callable[[Path], Path]]:
        """What an edition makes: name of a run -> function of the folder that it goes into."""
        return {
            run_name(self.dataset, backbone): partial(measure, self, backbone, progress=progress)
            for backbone in self.backbones
        }


def run_name(dataset: str, backbone: str) -> str:
    """Name the folder of a run.

    Example:
        >>> run_name("twitter2", "mobilenet_v2")
        'twitter2-mobilenet_v2'
    """
    return f"{dataset}-{backbone}"


def measure(
    experiment: Experiment, backbone: str, folder: str | Path, *, progress: bool = True
) -> Path:
    """Score the experiment's dataset with one backbone and write the run.

    Args:
        experiment: the settings.
        backbone: one of the experiment's backbones.
        folder: where the run goes, `folder/<dataset>-<backbone>`; replaced when it is there.
        progress: show bars.

    Returns:
        The run's folder, which holds `scores.zarr` and `run.json`.

    Raises:
        DatasetError: the dataset is not there; the message says how to get it.
        WeightsError: the weights are not there; the message names the file.
    """
    from arlib.backbones import load_backbone
    from arlib.proposals import make
    from arlib.scoring import score
    from arlib.whole import image_features

    dataset = datasets.load(experiment.dataset)
    network = load_backbone(backbone, weights=experiment.weights, seed=experiment.seed)
    clock = time.perf_counter
    started = clock()
    features, _ = image_features(dataset, network, progress=progress)
    seconds = {"features": clock() - started}
    started = clock()
    usable = ~np.isnan(features).any(axis=1) & (dataset.labels >= 0)
    heads = {}
    for fold in np.unique(dataset.folds).tolist():
        train = usable & (dataset.folds != fold)
        heads[fold] = fit_head(
            features[train],
            dataset.labels[train],
            dataset.emotions,
            backbone=backbone,
            seed=experiment.seed,
        )
    seconds["heads"] = clock() - started
    propose = make(experiment.proposals, max_regions=experiment.max_regions)

    def scored(out: Path) -> xr.Dataset:
        return score(
            dataset,
            propose,
            network,
            out=out,
            head=heads,
            crop=experiment.crop,  # type: ignore[arg-type]
            context=experiment.context,
            progress=progress,
        )

    return write_run(
        Path(folder, run_name(experiment.dataset, backbone)),
        scored,
        experiment={**asdict(experiment), "backbones": [backbone]},
        counts=dataset.counts,
        seconds=seconds,
    )


def write_run(
    folder: Path,
    produce: Callable[[Path], xr.Dataset],
    *,
    experiment: Mapping[str, Any],
    counts: Mapping[str, int],
    seconds: Mapping[str, float] | None = None,
) -> Path:
    """Score, evaluate, and put the whole run in its place in one rename.

    Args:
        folder: the run's; replaced when it is there.
        produce: writes scores to the path that it is given, and returns them.
        experiment: the settings, for run.json; JSON values.
        counts: what was found when the dataset was read.
        seconds: how long earlier steps took.

    Returns:
        `folder`, which now holds `scores.zarr` and `run.json`.
    """
    fresh = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    started = time.perf_counter()
    scores = produce(fresh / "scores.zarr")
    taken = {**(seconds or {}), "scoring": time.perf_counter() - started}
    found = {"counts": dict(counts), "unreadable": scores.attrs["unreadable"]}
    facts = {
        "experiment": experiment,
        "dataset": describe(scores) | found,
        "results": results(scores),
        "seconds": {name: round(value, 1) for name, value in taken.items()},
        "machine": machine(),
    }
    (fresh / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return folder


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
    from arlib.backbones import load_backbone, weights_sha256
    from arlib.whole import image_features

    dataset = datasets.load(name)
    network = load_backbone(backbone)
    features, _ = image_features(dataset, network)
    usable = ~np.isnan(features).any(axis=1) & (dataset.labels >= 0)
    made = fit_head(
        features[usable], dataset.labels[usable], dataset.emotions, backbone=backbone, seed=seed
    )
    facts = {"dataset": name, "weights_sha256": weights_sha256(network), "seed": seed}
    return replace(made, provenance=made.provenance | facts)


def open_run(folder: str | Path) -> tuple[xr.Dataset, dict[str, Any]]:
    """Open a run: its scores, read when used, and what `run.json` says.

    Raises:
        ScoresError: no scores there.
        FileNotFoundError: no run.json there.
    """
    folder = Path(folder)
    return open_scores(folder / "scores.zarr"), json.loads((folder / "run.json").read_text())


def describe(scores: xr.Dataset) -> dict[str, Any]:
    """Count a run's images, by emotion, and its regions."""
    labels = scores.label.values
    return {
        "images": int(scores.sizes["image"]),
        **{
            str(name): int((labels == index).sum())
            for index, name in enumerate(scores.emotion.values)
        },
        "regions": int(scores.objectness.notnull().sum()),
        "majority": majority_rate(labels),
    }


def results(scores: xr.Dataset) -> dict[str, dict[str, dict[str, float]]]:
    """Evaluate every method of `METHODS`: method -> metric -> estimate, low, high, majority."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for method, settings in METHODS.items():
        probability = respond(scores, **settings).probability.values
        frame = evaluate(probability, scores.label.values)
        table[method] = {
            str(metric): {str(column): float(row[column]) for column in frame.columns}
            for metric, row in frame.iterrows()
        }
    return table


def compare(one: str | Path, other: str | Path) -> dict[str, float]:
    """Tell how far two runs of the same experiment are apart.

    Args:
        one: a run's folder.
        other: a run's folder.

    Returns:
        The largest absolute difference of each array of the scores and, as `results`, of every
        estimate in run.json; infinite where images, regions or methods differ.
    """
    (ours, our_facts), (theirs, their_facts) = open_run(one), open_run(other)
    if ours.sizes != theirs.sizes or (ours.image.values != theirs.image.values).any():
        return {"images": np.inf}
    apart = {}
    for name in map(str, ours.data_vars):
        a, b = ours[name].values.astype(float), theirs[name].values.astype(float)
        same_gaps = (np.isnan(a) == np.isnan(b)).all()
        apart[name] = float(np.nanmax(np.abs(a - b), initial=0)) if same_gaps else np.inf
    apart["results"] = _results_apart(our_facts["results"], their_facts["results"])
    return apart


def _results_apart(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    if ours.keys() != theirs.keys():
        return float("inf")
    return max(
        abs(row["estimate"] - theirs[method][metric]["estimate"])
        for method, metrics in ours.items()
        for metric, row in metrics.items()
    )
