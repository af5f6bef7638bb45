"""Open runs by name, and make experiments from settings, as chapters and editions need them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arlib import datasets
from arlib._support.settings import SETTINGS, read_settings
from arlib.datasets import Dataset, DatasetError
from arlib.datasets.scenes import SceneGenerator
from arlib.evaluation import Run
from arlib.experiments.runs import open_run

if TYPE_CHECKING:  # these load torch, which opening a run does without
    from arlib.experiments.photographs import Experiment
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
    """Find the images that a run scored: synthetic ones are drawn again, others read.

    Args:
        run: the run.

    Raises:
        DatasetError: they are not under `ARLIB_DATA`; the message says what to get.
    """
    experiment = run.facts["experiment"]
    if "synthetic" not in experiment:
        return load_images(experiment["dataset"], experiment.get("reader", {}))
    from arlib.experiments.synthetic import restore_synthetic

    name = experiment["dataset"].removeprefix("scenes-")
    return restore_synthetic(experiment["synthetic"]).scored_set(name)


def experiment_settings(dataset: str) -> dict[str, Any]:
    """List what an experiment may set, with the defaults.

    Args:
        dataset: "scenes" for the synthetic scenes; anything else is photographs.

    Returns:
        Name -> default, as YAML has it; of "dataset" and "backbones" of photographs, which an
        experiment must set, an empty value.

    Example:
        >>> experiment_settings("scenes")["local_share"], experiment_settings("oasis")["crop"]
        (0.5, 'warp')
    """
    from arlib.experiments.photographs import Experiment
    from arlib.experiments.synthetic import SyntheticProtocol

    if dataset == "scenes":
        protocol = SyntheticProtocol()
        names = ("scale", "seed", "backbone", "proposals", "max_regions", "crop")
        own = {name: getattr(protocol, name) for name in names}
        return {"dataset": "scenes", "local_share": protocol.generator.local_share, **own}
    defaults = asdict(Experiment(dataset="", backbones=()))
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()
    }


def parse_experiment(settings: Mapping[str, Any]) -> "Experiment | SyntheticProtocol":
    """Make an experiment from names and values, as an edition or run.json has them.

    Args:
        settings: of `experiment_settings`, each a value or its text; "scenes" as `dataset` asks for
            the synthetic scenes.

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


def _read(settings: Mapping[str, Any], known: Iterable[str], where: str) -> dict[str, Any]:
    return read_settings(settings, {name: SETTINGS[name] for name in known}, where)
