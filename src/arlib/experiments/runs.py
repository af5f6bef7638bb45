"""A run: what one network said of one dataset, and run.json that says what it amounts to.

Its folder holds `scores.zarr`, the full images and their regions; `baselines.zarr`, the rows of
Table 1 that scores cannot fill, and the controls; and `run.json`, what it was made from and with.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib._support.provenance import machine, source_commit
from arlib._support.storage import replace_folder
from arlib.datasets import Dataset
from arlib.evaluation import evaluate, majority_rate
from arlib.method import predict_labels, usable_base
from arlib.scoring import open_scores

METHODS: dict[str, dict[str, Any]] = {
    "full image": {"k": 1, "beta": 0.0},
    "+ obj (K = 1)": {"k": 1, "rank_by": "objectness"},
    "+ senti (K = 1)": {"k": 1, "rank_by": "sentiment"},
    "+ obj + senti (K = 1)": {"k": 1},
    "+ obj + senti (K = 8)": {"k": 8},
}
"""The rows of Table 1 that one set of scores can fill, as settings of `predict_labels`."""


def write_run(
    folder: Path,
    produce: Callable[[Path], xr.Dataset],
    *,
    experiment: Mapping[str, Any],
    dataset: Dataset,
    seconds: Mapping[str, float] | None = None,
    baselines: Callable[[xr.Dataset], xr.Dataset] | None = None,
) -> Path:
    """Score, evaluate, and put the whole run in its place in one rename.

    Args:
        folder: the run's; replaced when it is there.
        produce: writes scores to the path that it is given, and returns them.
        experiment: the settings, for run.json; JSON values.
        dataset: the images; its counts and its hash go into run.json.
        seconds: how long earlier steps took.
        baselines: scores -> what `measure_rows` gives; None writes none.

    Returns:
        `folder`, which now holds `scores.zarr`, `run.json` and, if asked for, `baselines.zarr`.
    """
    fresh = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        started = time.perf_counter()
        scores = produce(fresh / "scores.zarr")
        taken = {**(seconds or {}), "scoring": time.perf_counter() - started}
        if baselines is not None:
            started = time.perf_counter()
            write_baselines(fresh, baselines(scores))
            taken["baselines"] = time.perf_counter() - started
        found = {
            "counts": dict(dataset.counts),
            "unreadable": scores.attrs["unreadable"],
            "sha256": dataset.sha256(),
        }
        facts = {
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "commit": source_commit(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "experiment": experiment,
            "weights_sha256": scores.attrs["weights_sha256"],
            "dataset": describe(scores) | found,
            "results": results(scores),
            "seconds": {name: round(value, 1) for name, value in taken.items()},
            "machine": machine(),
        }
        (fresh / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    replace_folder(fresh, folder)
    return folder


def open_run(folder: str | Path) -> tuple[xr.Dataset, dict[str, Any]]:
    """Open a run: its scores, read when used, and what `run.json` says.

    Raises:
        ScoresError: no scores there.
        FileNotFoundError: no run.json there.
    """
    folder = Path(folder)
    return open_scores(folder / "scores.zarr"), json.loads((folder / "run.json").read_text())


def write_baselines(folder: Path, baselines: xr.Dataset) -> None:
    """Put what was measured beside the scores into a run's folder, in one rename."""
    fresh = folder / f".baselines.partial-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    baselines.to_zarr(fresh, mode="w", consolidated=False)
    fresh.rename(folder / "baselines.zarr")


def open_baselines(folder: str | Path) -> xr.Dataset | None:
    """Open what a run measured beside its scores; None where it measured nothing."""
    store = Path(folder) / "baselines.zarr"
    return xr.open_zarr(store, consolidated=False, chunks=None) if store.is_dir() else None


def describe(scores: xr.Dataset) -> dict[str, Any]:
    """Count a run's images, by emotion, and its regions; without labels there is no majority."""
    labels = scores.label.values
    known = bool((labels >= 0).any())
    return {
        "images": int(scores.sizes["image"]),
        **{
            str(name): int((labels == index).sum())
            for index, name in enumerate(scores.emotion.values)
        },
        "regions": int(scores.objectness.notnull().sum()),
        "majority": majority_rate(labels) if known else None,
    }


def results(scores: xr.Dataset) -> dict[str, dict[str, dict[str, float]]]:
    """Evaluate every method of `METHODS`: method -> metric -> estimate, low, high, majority.

    Without labels there is nothing to evaluate.
    """
    table: dict[str, dict[str, dict[str, float]]] = {}
    if not (scores.label.values >= 0).any():
        return table
    base = usable_base(scores.sizes["emotion"])
    for method, settings in METHODS.items():
        probability = predict_labels(scores, base=base, **settings).probability.values
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
    apart = [
        abs(row["estimate"] - theirs[method][metric]["estimate"])
        for method, metrics in ours.items()
        for metric, row in metrics.items()
    ]
    return max(apart, default=0.0)
