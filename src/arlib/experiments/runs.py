"""A run on disk: the scores of one dataset by one network, other rows of Table 1, and the facts.

Its folder holds `scores.zarr`, the full images and their regions; `baselines.zarr`, the rows of
Table 1 that scores cannot fill, and the controls; and `run.json`, the facts: its settings,
data and code, and the results.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib._support.files import check_types, read_json
from arlib._support.provenance import machine, source_commit
from arlib._support.storage import refuse_output, replace_folder
from arlib._support.stores import open_store, write_store
from arlib.datasets import Dataset
from arlib.evaluation import Run, evaluate, majority_rate
from arlib.experiments.names import words_of
from arlib.method import predict_labels, usable_base
from arlib.scoring import open_scores

METHODS: dict[str, dict[str, Any]] = {
    "full image": {"k": 1, "beta": 0.0},
    "+ obj (K = 1)": {"k": 1, "rank_by": "objectness"},
    "+ senti (K = 1)": {"k": 1, "rank_by": "sentiment"},
    "+ obj + senti (K = 1)": {"k": 1},
    "+ obj + senti (K = 8)": {"k": 8},
}
"""The rows of Table 1 that run.json sums up, as settings of `predict_labels`."""


_PARTIAL = ".baselines.partial-"


def open_run(folder: str | Path) -> Run:
    """Open a run's folder; its scores and other rows are read when used.

    Args:
        folder: holds `run.json`, `scores.zarr` and, where other rows were measured,
            `baselines.zarr`.

    Returns:
        The run of the tested images, under the folder's name and with a title in words; `Run.load`
        reads all of it into memory. The training part of a fixed split, which scores may hold too,
        is left out.

    Raises:
        FileNotFoundError: there is no run.
        ValueError: its run.json does not hold a run's facts.
        StoreError: its scores or other rows are not there, or not as they were written.
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise FileNotFoundError(f"no run at {folder}: it has no run.json")
    store = folder / "baselines.zarr"
    facts = read_facts(folder / "run.json")
    experiment = facts.get("experiment", {})
    return Run(
        folder.name,
        open_scores(folder / "scores.zarr"),
        open_store(store) if os.path.lexists(store) else None,
        facts,
        **(words_of(folder.name, experiment) if "backbones" in experiment else {}),
    ).tested()


def read_facts(path: Path) -> dict[str, Any]:
    """Read run.json; ValueError names what in it is not as `write_run` wrote it."""
    facts = read_json(
        path,
        optional={"experiment": dict, "dataset": dict, "results": dict, "learning_curve": list},
    )
    where = f"{path}, experiment"
    experiment = facts.get("experiment", {})
    check_types(experiment, where, optional={"protocol": dict, "reader": dict})
    for name in {"backbones", "finetune_on"} & experiment.keys():
        check_types(experiment, where, {name: list})
        if not experiment[name] or not all(isinstance(each, str) for each in experiment[name]):
            raise ValueError(f"{where}: {name!r} must be a list of names")
    return facts


def write_run(
    folder: Path,
    produce: Callable[[Path], xr.Dataset],
    *,
    experiment: Mapping[str, Any],
    dataset: Dataset | None,
    seconds: Mapping[str, float | None] | None = None,
    baselines: Callable[[xr.Dataset], xr.Dataset] | None = None,
    learning_curve: Sequence[Mapping[str, float]] = (),
) -> Path:
    """Write scores, baselines and facts into a run's folder, in one rename; replace an old run.

    Without a `dataset`, whose images are not at hand, there is no hash of them; `seconds` may say
    what other steps took, and None of one whose time is not known.
    """
    refuse_output(folder, ours=_is_run, what="a run")
    fresh = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        # the scores, and then what is measured beside them
        started = time.perf_counter()
        scores = produce(fresh / "scores.zarr")
        taken = {"scoring": time.perf_counter() - started, **(seconds or {})}
        if baselines is not None:
            started = time.perf_counter()
            write_baselines(fresh, baselines(scores))
            taken["baselines"] = time.perf_counter() - started
        # the facts: settings, data, results, machine
        of_images = {
            "counts": dict(dataset.counts) if dataset else {},
            "unreadable": scores.attrs["unreadable"],
            "sha256": dataset.sha256() if dataset else None,
        }
        facts = {
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "commit": source_commit(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "experiment": experiment,
            "weights_sha256": scores.attrs["weights_sha256"],
            "dataset": _counts(scores) | of_images,
            "results": _results(scores),
            "seconds": {k: round(value, 1) for k, value in taken.items() if value is not None},
            "machine": machine(),
            **({"learning_curve": list(learning_curve)} if learning_curve else {}),
        }
        (fresh / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    refuse_output(folder, ours=_is_run, what="a run")
    replace_folder(fresh, folder)
    return folder


def _is_run(folder: Path) -> bool:
    """Tell whether a folder holds a run, and nothing else."""
    names = {path.name for path in folder.glob("*") if not path.name.startswith(_PARTIAL)}
    known = {"run.json", "scores.zarr", "baselines.zarr"}
    return not folder.is_symlink() and "run.json" in names <= known


def write_baselines(folder: Path, baselines: xr.Dataset) -> None:
    """Write what was measured beside the scores into a run's folder, in one rename."""
    fresh = folder / f"{_PARTIAL}{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    write_store(baselines, fresh)
    fresh.rename(folder / "baselines.zarr")


def _counts(scores: xr.Dataset) -> dict[str, Any]:
    """Count the tested images, by emotion, and their regions, and all that were scored.

    Without labels there is no majority.
    """
    tested = Run("", scores).tested().scores
    labels = tested.label.values
    return {
        "images": int(tested.sizes["image"]),
        "scored": int(scores.sizes["image"]),
        **{
            str(name): int((labels == index).sum())
            for index, name in enumerate(scores.emotion.values)
        },
        "regions": int(tested.objectness.notnull().sum()),
        "majority": majority_rate(labels, _folds(tested)) if (labels >= 0).any() else None,
    }


def _folds(scores: xr.Dataset) -> np.ndarray | None:
    """Give the folds that estimates are means over; None where no fold tests a labelled image."""
    folds, known = scores.fold.values, scores.label.values >= 0
    return folds if (folds[known] >= 0).any() else None


def _results(scores: xr.Dataset) -> dict[str, dict[str, dict[str, float]]]:
    """Evaluate `METHODS` on the tested images, as means over folds; without labels {}.

    Method -> metric -> estimate, low, high, majority.
    """
    scores = Run("", scores).tested().scores
    table: dict[str, dict[str, dict[str, float]]] = {}
    if not (scores.label.values >= 0).any():
        return table
    base = usable_base(scores.sizes["emotion"])
    for method, settings in METHODS.items():
        probability = predict_labels(scores, base=base, **settings).probability.values
        frame = evaluate(probability, scores.label.values, folds=_folds(scores))
        table[method] = {
            str(metric): {str(column): float(row[column]) for column in frame.columns}
            for metric, row in frame.iterrows()
        }
    return table
