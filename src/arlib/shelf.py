"""Runs by name: recorded ones are opened, those of the embedded world are made where missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from arlib import datasets
from arlib.datasets import Dataset
from arlib.runs import open_run


def find_run(
    name: str, folder: str | Path = "results", *, progress: bool = True
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Open a run by its name.

    Args:
        name: a folder below `folder`; or "scenes-judged" or "scenes-folded", which, where it is
            not there, is trained and scored live with the default settings: a minute or two, once.
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
        ValueError: no run 'flickr' in nowhere; there are scenes-folded, scenes-judged
    """
    place = Path(folder, name)
    if (place / "run.json").is_file():
        return open_run(place)
    if not name.startswith("scenes-"):
        there = [path.parent.name for path in Path(folder).glob("*/run.json")]
        known = ", ".join(sorted({*there, "scenes-folded", "scenes-judged"}))
        raise ValueError(f"no run {name!r} in {folder}; there are {known}")
    from arlib.miniature import Miniature

    live = Miniature().runs(progress=progress)
    if name not in live:
        raise ValueError(f"no run {name!r}; the embedded world has {', '.join(sorted(live))}")
    return open_run(live[name](Path(folder)))


def pictures_of(facts: Mapping[str, Any]) -> Dataset:
    """Find the pictures that a run scored: drawn again, or under `ARLIB_DATA`.

    Args:
        facts: of the run, from `run.json`.

    Raises:
        DatasetError: they are not here; the message says what to get.
    """
    experiment = facts["experiment"]
    if "miniature" not in experiment:
        return datasets.load(experiment["dataset"])
    from arlib.miniature import restore_miniature

    name = experiment["dataset"].removeprefix("scenes-")
    return restore_miniature(experiment["miniature"]).dataset(name)


def network_of(facts: Mapping[str, Any]) -> str:
    """Say in a few words which network made a run's scores.

    Args:
        facts: of the run, from `run.json`.

    Example:
        >>> network_of({"experiment": {"backbones": ["mobilenet_v2"]}})
        'mobilenet_v2, frozen, under a linear head'
    """
    experiment = facts["experiment"]
    if "miniature" in experiment:
        return f"{experiment['miniature']['backbone']}, fine-tuned on tagged scenes"
    return f"{experiment['backbones'][0]}, frozen, under a linear head"
