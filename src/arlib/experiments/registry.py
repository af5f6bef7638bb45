"""Open runs by name, and make experiments from settings, as chapters and editions need them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arlib import datasets
from arlib._support.settings import PROTOCOL, SETTINGS, read_settings
from arlib.datasets import Dataset, DatasetError
from arlib.datasets.scenes import SceneGenerator
from arlib.evaluation import Run
from arlib.experiments.runs import open_run

if TYPE_CHECKING:  # these load torch, which opening a run does without
    from arlib.experiments.photographs import Experiment
    from arlib.experiments.protocol import Protocol
    from arlib.experiments.synthetic import SyntheticProtocol

SYNTHETIC_RUNS = ("scenes-annotated", "scenes-folded", "scenes-tagged")
"""Runs that are trained and scored live where they are missing."""


def find_run(
    name: str, folder: str | Path = "results", *, baselines: bool = False, progress: bool = True
) -> Run:
    """Open a run by its name.

    Args:
        name: a folder below `folder`; or "scenes-annotated", "scenes-folded" or "scenes-tagged",
            which, where it is missing, is trained and scored live with the default settings: some
            minutes, once.
        folder: where runs are; beside a chapter it is called `results`.
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
    place = Path(folder, name)
    if not (place / "run.json").is_file():
        if name not in SYNTHETIC_RUNS:
            names = {path.parent.name for path in Path(folder).glob("*/run.json")}
            known = ", ".join(sorted(names | set(SYNTHETIC_RUNS)))
            raise ValueError(f"no run {name!r} in {folder}; there are {known}")
        from arlib.experiments.synthetic import SyntheticProtocol

        dataset = name.removeprefix("scenes-")
        place = SyntheticProtocol().score(dataset, baselines=baselines, progress=progress)
    return open_run(place)


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


def images_of(run: Run) -> Dataset:
    """Find the images that a run tests: synthetic ones are drawn again, others read.

    Args:
        run: the run.

    Raises:
        DatasetError: they are not under `ARLIB_DATA`; the message says what to get.
    """
    experiment = run.facts["experiment"]
    if "protocol" in experiment:
        from arlib.experiments.protocol import restore_protocol

        protocol = restore_protocol(experiment["protocol"])
        return _tested(protocol.stages().column(experiment["dataset"]))
    if "synthetic" not in experiment:
        return _tested(load_images(experiment["dataset"], experiment.get("reader", {})))
    from arlib.experiments.synthetic import restore_synthetic

    name = experiment["dataset"].removeprefix("scenes-")
    return restore_synthetic(experiment["synthetic"]).scored_set(name)


def _tested(dataset: Dataset) -> Dataset:
    """Leave out what `Run.tested` does."""
    tested = (dataset.folds >= 0) | (dataset.labels < 0)
    return dataset if tested.all() or (dataset.folds < 0).all() else dataset.subset(tested)


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
    from arlib.experiments.protocol import Finetuning, Protocol
    from arlib.experiments.synthetic import SyntheticProtocol

    if protocol:
        return _plain(asdict(Protocol("", Finetuning(""), ())))
    if dataset == "scenes":
        scenes = SyntheticProtocol()
        names = ("scale", "seed", "backbone", "proposals", "max_regions", "crop")
        own = {name: getattr(scenes, name) for name in names}
        return {"dataset": "scenes", "local_share": scenes.generator.local_share, **own}
    return _plain(asdict(Experiment(dataset="", backbones=())))


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn tuples into lists, as YAML has them."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
    }


def parse_experiment(settings: Mapping[str, Any]) -> "Experiment | SyntheticProtocol | Protocol":
    """Make an experiment from names and values, as an edition or run.json has them.

    Args:
        settings: of `experiment_settings`, each a value or its text; "scenes" as `dataset` asks for
            the synthetic scenes, and a mapping `protocol` for a `Protocol` of these settings.

    Raises:
        ValueError: an unknown name, a value of another type or out of its range, none for what must
            be named, or a method of proposals that does not exist.

    Example:
        >>> parse_experiment({"dataset": "oasis", "backbones": ["vgg16"]}).backbones
        ('vgg16',)
        >>> parse_experiment({"dataset": "scenes", "local_share": 1.0}).generator.local_share
        1.0
    """
    from arlib.experiments.photographs import Experiment
    from arlib.experiments.synthetic import SyntheticProtocol, restore_synthetic
    from arlib.proposals import make_proposals

    if not isinstance(settings, Mapping):
        raise ValueError(f"an experiment is a mapping of settings, not {settings!r}")
    if "synthetic" in settings:  # from run.json
        try:
            return restore_synthetic(settings["synthetic"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the settings of the synthetic scenes: {error}") from error
    if "protocol" in settings:
        return _parse_protocol(settings["protocol"])
    defaults = experiment_settings(settings.get("dataset", ""))
    if settings.get("dataset") == "scenes":
        values = _read(settings, defaults, "the synthetic scenes")
        del values["dataset"]
        share = values.pop("local_share", defaults["local_share"])
        protocol = SyntheticProtocol(generator=SceneGenerator(local_share=share), **values)
        make_proposals(protocol.proposals, max_regions=protocol.max_regions)
        return protocol
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
    if not values["finetune"].get("dataset"):
        raise ValueError("a protocol needs finetune: {dataset: NAME}")
    return restore_protocol(values)


def _read(settings: Mapping[str, Any], known: Iterable[str], where: str) -> dict[str, Any]:
    return read_settings(settings, {name: SETTINGS[name] for name in known}, where)
