"""Open runs by name, and make experiments from settings, as chapters and editions need them."""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from arlib import datasets
from arlib._support.settings import PROTOCOL, SETTINGS, read_settings, short
from arlib._support.stores import check_store
from arlib.datasets import Dataset, DatasetError
from arlib.evaluation import Run
from arlib.experiments.names import run_name, words_of
from arlib.experiments.runs import open_run, read_facts, write_run
from arlib.scoring import open_scores

if TYPE_CHECKING:  # these load torch, which opening a run does without
    from arlib.experiments.photographs import Experiment
    from arlib.experiments.protocol import Protocol

log = logging.getLogger(__name__)

SYNTHETIC_RUNS = ("scenes-annotated", "scenes-folded", "scenes-tagged")
"""Runs that are trained and scored live where they are missing."""

_CLONE = Path(__file__).parents[3]  # of the book's repository, where arlib is installed editable


def find_record(name: str) -> Path:
    """Find what the book recorded, whatever folder a notebook runs in.

    Args:
        name: a path below `results`, such as "local_share.json".

    Returns:
        The first of that name in `results` or `book/results` of the working directory, of the
        folders above it, and of the clone that `arlib` is installed from.

    Raises:
        ValueError: there is none; the message lists where it looked.

    Example:
        >>> find_record("nothing.json")
        Traceback (most recent call last):
        ...
        ValueError: no nothing.json in results or book/results of ..., of the folders above it, ...
    """
    for folder in _result_folders():
        if (folder / name).exists():
            return folder / name
    raise ValueError(f"no {name} in {_looked()}")


def _result_folders() -> list[Path]:
    """Folders `results` that exist, nearest first."""
    here = Path.cwd()
    places = [here, *here.parents, _CLONE]
    folders = [place / name for place in places for name in ("results", "book/results")]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _looked() -> str:
    """Describe where records are looked for."""
    return f"results or book/results of {Path.cwd()}, of the folders above it, or of {_CLONE}"


def find_run(
    name: str, folder: str | Path | None = None, *, baselines: bool = False, progress: bool = True
) -> Run:
    """Open a run by its name.

    Args:
        name: a folder below `folder`; or "scenes-annotated", "scenes-folded" or "scenes-tagged",
            which, where it is missing, is trained and scored live with the default settings: some
            minutes, once.
        folder: where runs are; None looks where `find_record` does.
        baselines: also measure the other rows of Table 1 of a run that is trained live.
        progress: show bars meanwhile.

    Returns:
        The run, as `open_run` gives it.

    Raises:
        ValueError: no such run; it lists those that there are.

    Example:
        >>> find_run("flickr", "nowhere")
        Traceback (most recent call last):
        ...
        ValueError: no run 'flickr' in nowhere; there are scenes-annotated, scenes-folded, ...
    """
    folders = _result_folders() if folder is None else [Path(folder)]
    places = (place / name for place in folders if (place / name / "run.json").is_file())
    place = next(places, None)
    if place is None:
        if name not in SYNTHETIC_RUNS:
            names = {path.parent.name for place in folders for path in place.glob("*/run.json")}
            known = ", ".join(sorted(names | set(SYNTHETIC_RUNS)))
            where = _looked() if folder is None else folder
            raise ValueError(f"no run {name!r} in {where}; there are {known}")
        from arlib.experiments.protocol import scenes_protocol

        protocol = scenes_protocol()
        column = next(each for each in protocol.columns if protocol.run_name(each) == name)
        place = protocol.stages(progress=progress).measure(column, baselines=baselines)
    return open_run(place)


def list_runs(folder: str | Path = "results") -> list[dict[str, Any]]:
    """List the runs below a folder.

    Args:
        folder: where runs are; beside a chapter it is called `results`.

    Returns:
        By name: `name`, `title` in words, `dataset`, `network` in words, `images` that are tested,
        and when it was `finished`, None where that was not noted.

    Raises:
        ValueError: a run.json is damaged; it is named.
    """
    rows = []
    for path in sorted(Path(folder).glob("*/run.json")):
        facts, name = read_facts(path), path.parent.name
        try:
            words = words_of(name, facts["experiment"])
            row = {
                "name": name,
                "title": " · ".join(words.values()),
                "dataset": facts["experiment"]["dataset"],
                "network": words["network"],
                "images": facts["dataset"]["images"],
                "finished": facts.get("finished"),
            }
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not hold the facts of a run: {error!r}") from error
        rows.append(row)
    return rows


def add_run(
    store: str | Path, folder: str | Path = "results", *, dataset: str, name: str = ""
) -> Path:
    """Make a run of scores that were made by themselves, such as by `arlib score`.

    Args:
        store: the scores.
        folder: where runs are; beside a chapter it is called `results`.
        dataset: the images: a name, or the path of a table or folder. Where they are at hand, they
            must be those that were scored, and their hash goes into run.json.
        name: of the run; "" makes one of the dataset, the network and what that learned from.

    Returns:
        The run's folder, which holds a copy of the scores.

    Raises:
        StoreError: no scores there, or not as they were written.
        ValueError: a name that no run can have, no such dataset, or scores of other images.
        FileExistsError: there is a run of that name, or something else.
    """
    store, scores = Path(store), open_scores(store)
    if lacking := {"dataset", "backbone", "weights_sha256", "unreadable"} - scores.attrs.keys():
        raise ValueError(f"{store} lacks its {min(lacking)}, which arlib score writes")
    if dataset not in datasets.names() and Path(dataset).exists():
        dataset = str(Path(dataset).resolve())  # chapters run elsewhere
    backbone, learned = str(scores.attrs["backbone"]), _learned_from(scores)
    name = name or run_name(dataset, backbone, learned)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"a run's name has letters, digits, '.', '-' and '_' alone: {short(name)}")
    if name in SYNTHETIC_RUNS:
        raise ValueError(f"{name} is the name of a run that is computed live: give another name")
    place = Path(folder, name)
    if os.path.lexists(place):
        raise FileExistsError(f"{place} exists already: give another name, or remove it")
    images = _images_scored(store, scores, dataset)

    def produce(out: Path) -> xr.Dataset:
        out.parent.mkdir(parents=True)
        shutil.copytree(store, out)
        check_store(out)
        return open_scores(out)

    settings = {"dataset": dataset, "backbones": [backbone], "finetune_on": [learned]}
    return write_run(
        place,
        produce,
        experiment={**settings, "max_regions": scores.sizes["region"]},
        dataset=images,
        seconds={"scoring": None},
    )


def _images_scored(store: Path, scores: xr.Dataset, dataset: str) -> Dataset | None:
    """Load the images if they are at hand, and check that they were scored."""
    try:
        images = load_images(dataset, {})
    except DatasetError as error:
        if dataset not in datasets.names():
            raise
        if scores.attrs["dataset"] != dataset:
            theirs = scores.attrs["dataset"]
            raise ValueError(f"{store} holds scores of {theirs}, not of {dataset}") from error
        log.warning("run.json will have no hash of the images: %s", error)
        return None
    row = {key: number for number, key in enumerate(images.keys.tolist())}
    for key, label in zip(scores.image.values.tolist(), scores.label.values.tolist(), strict=True):
        if key not in row:
            raise ValueError(f"{store} holds scores of {short(key)}, which is not in {dataset}")
        if label != images.labels[row[key]]:
            raise ValueError(f"{store}: {short(key)} has another label than in {dataset}")
    return images


def _learned_from(scores: xr.Dataset) -> str:
    """Name what the network learned from, as `Experiment.finetune_on` does."""
    from arlib.networks import LinearHead

    head = scores.attrs.get("head")
    if head is None:
        return str((scores.attrs.get("model") or {}).get("dataset", "an unnamed set"))
    shipped = json.loads(json.dumps(LinearHead.default().provenance))
    return "shipped" if head == shipped else "none"


def load_images(name: str, reader: Mapping[str, Any]) -> Dataset:
    """Load what is scored; images of one's own without folds, where a class has a single image."""
    try:
        return datasets.load(name, **reader)
    except DatasetError as error:
        if name in datasets.names() or "n_folds" in reader:
            raise
        try:
            return datasets.load(name, n_folds=0, **reader)
        except (DatasetError, TypeError):  # another fault; without labels there is no n_folds
            raise error from None


def tested_images(dataset: Dataset) -> Dataset:
    """Take the images that are predicted: all, but for the training part of a fixed split."""
    of_training = (dataset.folds < 0) & (dataset.labels >= 0)
    return dataset.subset(~of_training) if (dataset.folds >= 0).any() else dataset


def images_of(run: Run) -> Dataset:
    """Find the images that a run tests: synthetic ones are drawn again, others read.

    Args:
        run: the run.

    Raises:
        DatasetError: they are not under `ARLIB_DATA`; the message describes what to get.
    """
    experiment = run.facts["experiment"]
    if "protocol" not in experiment:
        return tested_images(load_images(experiment["dataset"], experiment.get("reader", {})))
    from arlib.experiments.images import Images  # which imports this module
    from arlib.experiments.protocol import restore_protocol

    return Images(restore_protocol(experiment["protocol"])).tested(experiment["dataset"])


def shown_images(run: Run, photographs: str = "own") -> Dataset | None:
    """Find the images of a run if a page may show them: they may show people, and have licences.

    Args:
        run: the run.
        photographs: "own" for those of a table or folder of one's own, which a path names; "all"
            for those of known datasets too; "none" for neither. Synthetic scenes are always shown.

    Returns:
        The images, as `images_of` finds them; None where they are not shown, or not here any more.

    Raises:
        ValueError: `photographs` is none of these.
    """
    choices = SETTINGS["photographs"].choices
    if photographs not in choices:
        raise ValueError(f"photographs must be {', '.join(choices)}, not {photographs!r}")
    name = run.facts["experiment"]["dataset"]
    of_others = name in datasets.names()
    drawn = name.startswith("scenes-")
    if not drawn and (photographs == "none" or (of_others and photographs == "own")):
        return None
    try:
        images = images_of(run)
    except (DatasetError, OSError):
        return None
    return images if {*run.scores.image.values.tolist()} <= {*images.keys.tolist()} else None


def experiment_settings(dataset: str, *, protocol: bool = False) -> dict[str, Any]:
    """List what an experiment may set, with the defaults.

    Args:
        dataset: "scenes" for the synthetic scenes; anything else is photographs.
        protocol: of a `Protocol` instead, whatever the dataset.

    Returns:
        Name -> default, as YAML has it; of "dataset" and "backbones" of photographs, which an
        experiment must set, an empty value, and likewise of a protocol.

    Example:
        >>> experiment_settings("scenes")["local_share"], experiment_settings("oasis")["crop"]
        (0.5, 'warp')
    """
    from arlib.experiments.photographs import Experiment
    from arlib.experiments.protocol import Finetuning, Protocol, scenes_protocol

    if protocol:
        return _plain(asdict(Protocol("", Finetuning(""), ())))
    if dataset == "scenes":
        scenes = scenes_protocol()
        return {"dataset": "scenes", **{name: getattr(scenes, name) for name in _OF_SCENES}}
    return _plain(asdict(Experiment(dataset="", backbones=())))


_OF_SCENES = ("local_share", "scale", "seed", "backbone", "proposals", "max_regions", "crop")


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn tuples into lists, as YAML has them."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
    }


def parse_experiment(settings: Mapping[str, Any]) -> "Experiment | Protocol":
    """Make an experiment from names and values, as an edition or run.json has them.

    Args:
        settings: of `experiment_settings`, each a value or its text; "scenes" as `dataset` asks for
            the `Protocol` on synthetic scenes, and a mapping `protocol` for one of these settings.

    Raises:
        ValueError: an unknown name, a value of another type or out of its range, none for what must
            be named, or a method of proposals that does not exist.

    Example:
        >>> parse_experiment({"dataset": "oasis", "backbones": ["vgg16"]}).backbones
        ('vgg16',)
        >>> parse_experiment({"dataset": "scenes", "local_share": 1.0}).local_share
        1.0
    """
    from arlib.experiments.photographs import Experiment
    from arlib.experiments.protocol import scenes_protocol
    from arlib.proposals import make_proposals

    if not isinstance(settings, Mapping):
        raise ValueError(f"an experiment is a mapping of settings, not {settings!r}")
    if "protocol" in settings:
        return _parse_protocol(settings["protocol"])
    defaults = experiment_settings(settings.get("dataset", ""))
    if settings.get("dataset") == "scenes":
        values = _read(settings, defaults, "the synthetic scenes")
        del values["dataset"]
        return scenes_protocol(**values)
    missing = sorted({"dataset", "backbones"} - settings.keys())
    if missing:
        raise ValueError(f"an experiment on photographs needs {' and '.join(missing)}")
    values = _read(settings, defaults, "an experiment")
    for name in {"backbones", "finetune_on"} & values.keys():
        values[name] = tuple(values[name])
    experiment = Experiment(**values)
    make_proposals(experiment.proposals, max_regions=experiment.max_regions)
    return experiment


def _parse_protocol(settings: Mapping[str, Any]) -> "Protocol":
    from arlib.experiments.protocol import restore_protocol

    values = read_settings(settings, PROTOCOL, "a protocol")
    if missing := [name for name in ("backbone", "finetune", "columns") if not values.get(name)]:
        raise ValueError(f"a protocol needs {' and '.join(missing)}")
    for name in ("finetune", "pretrain"):
        if values.get(name) and not values[name].get("dataset"):
            raise ValueError(f"a protocol needs {name}: {{dataset: NAME}}")
    return restore_protocol(values)


def _read(settings: Mapping[str, Any], known: Iterable[str], where: str) -> dict[str, Any]:
    return read_settings(settings, {name: SETTINGS[name] for name in known}, where)
