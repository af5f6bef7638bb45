"""Runs by name: recorded ones are opened, those of the synthetic scenes are made where missing."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from arlib import datasets
from arlib.datasets import Dataset
from arlib.evaluation import Run
from arlib.experiments.runs import open_baselines, open_run

if TYPE_CHECKING:  # these load torch, which opening a run does without
    from arlib.experiments.photographs import Experiment
    from arlib.experiments.synthetic import SyntheticProtocol


SHIPPED = "the head that comes with the package"


class LabelsNeeded(ValueError):
    """A run without labels, where a chapter goes on to compare with the truth."""


def need_labels(scores: xr.Dataset, what: str) -> None:
    """Stop a chapter where it needs labels that the run lacks.

    Args:
        scores: of the run.
        what: for what they are needed, as the end of a sentence.

    Raises:
        LabelsNeeded: not one image has a label. A published chapter says so, and ends there.
    """
    if not (scores.label.values >= 0).any():
        raise LabelsNeeded(
            f"{what}: this needs labels, and of the run's {scores.sizes['image']} pictures none "
            "has one. A table with the columns path and label gives them"
        )


def find_run(
    name: str, folder: str | Path = "results", *, progress: bool = True
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Open a run by its name.

    Args:
        name: a folder below `folder`; or "scenes-annotated", "scenes-folded" or "scenes-tagged",
            which, where it is not there, is trained and scored live with the default settings: some
            minutes, once.
        folder: where runs are; beside a chapter it is called `results`.
        progress: show bars while it is made.

    Returns:
        The scores, read when used, and what `run.json` says.

    Raises:
        ValueError: no such run; it lists what there is.

    Example:
        >>> find_run("flickr", "nowhere")
        Traceback (most recent call last):
        ...
        ValueError: no run 'flickr' in nowhere; there are scenes-folded, ...
    """
    place = Path(folder, name)
    if (place / "run.json").is_file():
        return open_run(place)
    if not name.startswith("scenes-"):
        there = [path.parent.name for path in Path(folder).glob("*/run.json")]
        known = ", ".join(sorted({*there, "scenes-folded", "scenes-annotated", "scenes-tagged"}))
        raise ValueError(f"no run {name!r} in {folder}; there are {known}")
    from arlib.experiments.synthetic import SyntheticProtocol, live_runs, scored

    live = live_runs(SyntheticProtocol(), progress=progress)
    if name not in live:
        raise ValueError(f"no run {name!r}; the embedded generator has {', '.join(sorted(live))}")
    return open_run(scored(SyntheticProtocol(), name.removeprefix("scenes-"), progress=progress))


def find_baselines(
    name: str, folder: str | Path = "results", *, progress: bool = True
) -> xr.Dataset | None:
    """Open what a run measured beside its scores, by the run's name.

    Args:
        name: as for `find_run`; a run of the synthetic scenes that is not there is trained and
            measured live.
        folder: where runs are.
        progress: show bars while it is made.

    Returns:
        What `measure_rows` gave; None where the run measured nothing.
    """
    place = Path(folder, name)
    if not (place / "run.json").is_file():
        find_run(name, folder, progress=progress)  # or says what there is
        from arlib.experiments.synthetic import SyntheticProtocol, live_runs

        place = live_runs(SyntheticProtocol(), progress=progress)[name](place)
    return open_baselines(place)


def find_run_results(name: str, folder: str | Path = "results", *, progress: bool = True) -> Run:
    """Open all that a run measured, as the rows of Table 1 need it.

    Args:
        name: as for `find_run`.
        folder: where runs are.
        progress: show bars while it is made.
    """
    scores, facts = find_run(name, folder, progress=progress)
    baselines = find_baselines(name, folder, progress=progress)
    return Run(name, scores.load(), None if baselines is None else baselines.load(), facts)


def images_of(facts: Mapping[str, Any]) -> Dataset:
    """Find the pictures that a run scored: drawn again, or under `ARLIB_DATA`.

    Args:
        facts: of the run, from `run.json`.

    Raises:
        DatasetError: they are not here; the message says what to get.
    """
    experiment = facts["experiment"]
    if "synthetic" not in experiment:
        return datasets.load(experiment["dataset"], **experiment.get("reader", {}))
    from arlib.experiments.synthetic import restore_synthetic, scored_set

    name = experiment["dataset"].removeprefix("scenes-")
    return scored_set(restore_synthetic(experiment["synthetic"]), name)


def network_of(facts: Mapping[str, Any]) -> str:
    """Say in a few words which network made a run's scores.

    Args:
        facts: of the run, from `run.json`.

    Example:
        >>> network_of({"experiment": {"backbones": ["mobilenet_v2"]}})
        'mobilenet_v2, frozen, under a linear head'
    """
    experiment = facts["experiment"]
    if "synthetic" in experiment:
        return f"{experiment['miniature']['backbone']}, fine-tuned on tagged scenes"
    name, (learned,) = experiment["backbones"][0], experiment.get("finetune_on", ["none"])
    if learned in ("none", "shipped"):
        return f"{name}, frozen, under {'a linear head' if learned == 'none' else SHIPPED}"
    return f"{name}, fine-tuned on {'the other folds' if learned == 'folds' else learned}"


def open_run_results(folder: Path) -> Run:
    """Open a run's folder.

    Raises:
        FileNotFoundError: there is no run.
    """
    if not (folder / "run.json").is_file():
        raise FileNotFoundError(f"no run at {folder}: it has no run.json")
    scores, facts = open_run(folder)
    measured = open_baselines(folder)
    return Run(folder.name, scores.load(), None if measured is None else measured.load(), facts)


def runs_of(experiment: "Experiment | SyntheticProtocol") -> dict[str, Callable[[Path], Path]]:
    """Name an experiment's runs, each with what makes it, given the folder that it goes into."""
    from arlib.experiments.synthetic import SyntheticProtocol, live_runs

    progress = sys.stderr.isatty()
    if isinstance(experiment, SyntheticProtocol):
        return live_runs(experiment, progress=progress)
    return experiment.runs(progress=progress)
