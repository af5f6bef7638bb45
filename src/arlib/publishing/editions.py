"""Read an edition of the book: its parameters, checked against the chapters, and its experiment."""

import ast
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from arlib import datasets, evaluation, experiments, proposals
from arlib._support.files import one_line
from arlib._support.settings import (
    PROTOCOL,
    SETTINGS,
    Setting,
    near,
    read_settings,
    read_yaml,
    short,
)

if TYPE_CHECKING:  # these load torch
    AnyExperiment = experiments.Experiment | experiments.Protocol

log = logging.getLogger(__name__)


class EditionError(ValueError):
    """An edition that does not exist, is not well formed, or did not run to its end."""


@dataclass(frozen=True)
class Edition:
    """The settings of `editions/<name>.yaml`.

    Attributes:
        name: the file's name.
        title: one line for people.
        parameters: papermill parameters; each goes to every chapter that declares it.
        experiment: what is scored first; or the paper's protocol on any datasets, such as the
            synthetic scenes; None takes the recorded runs.
    """

    name: str
    title: str
    parameters: dict[str, Any] = field(default_factory=dict)
    experiment: "AnyExperiment | None" = None


def find_book(start: str | Path = ".") -> Path:
    """Find the folder that holds `_toc.yml` and `editions/`, here or above.

    Raises:
        EditionError: there is none; the message describes what to do.
    """
    start = Path(start).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file() and (folder / "editions").is_dir():
            return folder
    raise EditionError(
        f"no book at {start} or above: run this inside a clone of its repository, cd CLONE first; "
        "without one there are arlib predict, arlib score, and arlib table RUN"
    )


def edition_names(root: Path) -> list[str]:
    """Names of the editions of the book at `root`."""
    return sorted(path.stem for path in (root / "editions").glob("*.yaml"))


def read_edition(root: Path, name: str) -> dict[str, Any]:
    """Read an edition's file, whose keys are checked and whose values are still texts."""
    names = edition_names(root)
    if name not in names:
        raise EditionError(_no_edition(name, names))
    where = f"editions/{name}.yaml"
    raw = _read_file(root, where)
    keys = ("title", "parameters", "experiment", "protocol")
    if not isinstance(raw, dict):
        raise EditionError(f"{where} must hold {', '.join(keys)}: it is {_described(raw)}")
    for key in raw:
        if key not in keys:
            known = ", ".join(keys)
            raise EditionError(f"{where}: no key {key!r}{near(key, keys)}; there are {known}")
    if not raw.get("title"):
        raise EditionError(f"{where} has no title")
    if not isinstance(raw["title"], str):
        raise EditionError(f"{where}: title must be a text, not {_described(raw['title'])}")
    for key in keys[1:]:
        raw[key] = raw.get(key) or None  # a key without anything is as none
        if not isinstance(raw[key], dict | None):
            raise EditionError(f"{where}: {key} must be a mapping, not {_described(raw[key])}")
    if raw["experiment"] and raw["protocol"]:
        raise EditionError(f"{where} has an experiment and a protocol: it can have one of them")
    return raw


def _no_edition(name: str, names: list[str]) -> str:
    """State that there is no such edition, and what to type instead."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") and path.stem in names:
        return f"an edition is given by its name: {path.stem}, not {short(name)}"
    if path.suffix in (".yaml", ".yml"):
        return f"{short(name)} is no edition of this book: copy it to editions/, as {path.name}"
    if name and os.path.exists(name):  # noqa: PTH110 - a name that is too long is none
        command = f"arlib run own -p dataset {shlex.quote(name)}"
        return f"{short(name)} is no edition; with images of your own: {command}"
    return f"no edition {short(name)}{near(name, names)}; there are {', '.join(names)}"


def _read_file(root: Path, name: str) -> Any:
    """Read a YAML file of the book, as texts."""
    try:
        return read_yaml((root / name).read_bytes())
    except ValueError as error:
        raise EditionError(f"{name}: {error}") from error


def _described(value: Any) -> str:
    return "empty" if not value else "a list" if isinstance(value, list) else short(value)


def load_edition(root: Path, name: str, overrides: Mapping[str, Any] | None = None) -> Edition:
    """Read an edition and apply overrides to its parameters and its experiment.

    Args:
        root: the book's folder.
        name: the edition.
        overrides: parameter -> value, or its text, which is read as the parameter's type; a name is
            a chapter's parameter or a setting of the experiment.

    Raises:
        EditionError: no such edition, an invalid file, or a parameter that is unknown or cannot
            have its value; the message states what is right.
    """
    return _load(root, name, overrides or {})[0]


def list_parameters(root: Path, name: str) -> list[dict[str, Any]]:
    """List what `-p` can set in an edition.

    Args:
        root: the book's folder.
        name: the edition.

    Returns:
        For each parameter its `name`, its `value` in this edition, what it may be (`wanted`) and
        its `meaning`; the experiment's settings come first.

    Raises:
        EditionError: as `load_edition`.
    """
    _, values, table = _load(root, name, {})
    return [
        {"name": key, "value": values[key], "wanted": one.wanted, "meaning": one.meaning}
        for key, one in table.items()
    ]


RUN_LISTS = ("runs", "compared")
"""Parameters of chapters that list runs; `run` names one."""


def named_runs(parameters: Mapping[str, Any]) -> list[str]:
    """List the runs that chapters' parameters name, each once."""
    lists = [parameters.get(name, []) for name in RUN_LISTS]
    named = [parameters.get("run"), *(name for each in lists for name in each)]
    return list(dict.fromkeys(name for name in named if name is not None))


def _load(
    root: Path, name: str, overrides: Mapping[str, Any]
) -> tuple[Edition, dict[str, Any], dict[str, Setting]]:
    """Read an edition, the values of everything that it may set, and their declarations."""
    raw, declared = read_edition(root, name), declared_parameters(root)
    known = _known_settings(raw["experiment"], raw["protocol"])
    of_experiment = {key: (PROTOCOL if raw["protocol"] else SETTINGS)[key] for key in known}
    of_chapters = {
        key: SETTINGS.get(key) or Setting(type(default), "as its chapter has it")
        for key, default in declared.items()
    }
    table = of_chapters | of_experiment

    # the file's own values, then overrides: the experiment's where it has such a setting
    where = f"editions/{name}.yaml: "
    parameters = _read(raw["parameters"] or {}, of_chapters, name, where)
    settings = _read(raw["experiment"] or raw["protocol"] or {}, of_experiment, name, where)
    for key, value in _read(overrides, table, name).items():
        if raw["protocol"] and isinstance(value, dict):  # of `finetune` what is given is changed
            value = _merged(settings.get(key, {}), value)
        (settings if key in known else parameters)[key] = value
    experiment = _experiment(name, settings, raw) if known else None
    _check_network(parameters.get("network"))

    # chapters show the experiment's own runs, unless the edition names others
    of_scenes = isinstance(experiment, experiments.Protocol) and experiment.synthetic
    if experiment and not of_scenes and not parameters.keys() & {"run", "runs"}:
        names = list(experiment.runs())
        own = {"run": names[0], **dict.fromkeys(RUN_LISTS, names)}
        parameters |= {key: value for key, value in own.items() if key in declared}
    shared = {key: value for key, value in settings.items() if key in declared}
    edition = Edition(name, raw["title"], shared | parameters, experiment)
    return edition, {**declared, **known, **settings, **parameters}, table


def _read(
    values: Mapping[str, Any], table: Mapping[str, Setting], edition: str, where: str = ""
) -> dict[str, Any]:
    """Read an edition's values; an error begins with the file where they stand."""
    for key in values:
        if key not in table:
            raise EditionError(
                f"{where}no parameter {short(key)} in edition {edition}{near(key, table)}; "
                f"`arlib editions parameters {edition}` lists them"
            )
    try:
        return read_settings(values, table, edition)
    except ValueError as error:
        raise EditionError(f"{where}{error}") from error


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change some values of a mapping, and in it likewise."""
    return {**values} | {
        key: _merged(values.get(key, {}), value) if isinstance(value, dict) else value
        for key, value in changes.items()
    }


def _known_settings(
    experiment: Mapping[str, Any] | None, protocol: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What an experiment may set, with defaults; chapters that declare one get its value."""
    if protocol is not None:
        return experiments.experiment_settings("", protocol=True)
    if experiment is None:
        return {}
    return experiments.experiment_settings(experiment.get("dataset", ""))


def _experiment(
    edition: str, settings: Mapping[str, Any], raw: Mapping[str, Any]
) -> "AnyExperiment":
    """Make the experiment of an edition's settings; paths of datasets become absolute."""
    settings = dict(settings)
    try:
        for key in {"dataset", "anps"} & settings.keys():
            if settings[key] not in ("scenes", *datasets.names()):
                settings[key] = _absolute(key, settings[key])  # chapters run elsewhere
        if proposals.is_file_of_boxes(settings.get("proposals", "")):
            settings["proposals"] = str(Path(settings["proposals"]).resolve())
        if not raw["protocol"]:
            return experiments.parse_experiment(settings)
        protocol = experiments.parse_experiment({"protocol": settings})
        assert isinstance(protocol, experiments.Protocol)
        return protocol.with_paths(partial(_absolute, "columns or finetune"))
    except ValueError as error:
        raise EditionError(f"edition {edition}: {error}") from error


def _check_network(name: str | None) -> None:
    """Refuse a path at which there is no model of positive and negative, before chapters run."""
    if name is None or name in SETTINGS["network"].choices:
        return
    from arlib.networks import load_model

    try:
        emotions = load_model(name).emotions
    except ValueError as error:
        raise EditionError(f"parameter network: {error}") from error
    if emotions != ("positive", "negative"):
        raise EditionError(
            f"parameter network: {name} predicts {', '.join(emotions)}, and chapter 7 shows "
            "positive and negative: arlib predict takes it"
        )


def _absolute(key: str, path: str) -> str:
    """Make the path of a dataset absolute; it must be there."""
    try:
        if path and Path(path).exists():
            return str(Path(path).resolve())
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise EditionError(f"parameter {key}: {short(path)}: {error.strerror}") from error
    known = datasets.names()
    raise EditionError(
        f"parameter {key}: no dataset {short(path)}{near(path, known)}, and no such file; "
        f"there are {', '.join(known)}"
    )


def page_names(root: Path) -> list[str]:
    """Names of the pages of a book's table of contents, in order, such as "book/01_proposals"."""
    toc = _read_file(root, "_toc.yml")
    try:
        top = [page for part in toc["parts"] for page in part["chapters"]]
        below = [
            [page["file"], *(each["file"] for each in page.get("sections", []))] for page in top
        ]
        return [toc["root"], *chain.from_iterable(below)]
    except (KeyError, TypeError, AttributeError) as error:
        raise EditionError(f"_toc.yml is no table of contents: it lacks {error}") from error


def chapter_paths(root: Path) -> list[Path]:
    """Paths of the chapters, in the order of the table of contents, relative to `root`."""
    pages = page_names(root)
    for page in pages:
        if not any((root / f"{page}{ending}").is_file() for ending in (".ipynb", ".md", ".rst")):
            raise EditionError(f"_toc.yml names {page}, and there is no {page}.ipynb or {page}.md")
    return [Path(f"{page}.ipynb") for page in pages if (root / f"{page}.ipynb").is_file()]


def declared_parameters(root: Path) -> dict[str, Any]:
    """Every parameter that a chapter declares, with its default value."""
    declared: dict[str, Any] = {}
    for chapter in chapter_paths(root):
        declared.update(chapter_parameters(root / chapter))
    return declared


def chapter_parameters(path: Path) -> dict[str, Any]:
    """Names and default values in a chapter's cell tagged `parameters`, which holds literals."""
    cells = read_notebook(path).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise EditionError(f"{path.name} has {len(tagged)} cells tagged 'parameters', not one")
    try:
        lines = ast.parse(tagged[0].source).body
    except (SyntaxError, ValueError) as error:
        raise EditionError(f"{path.name}, parameters: {error}") from error
    parameters = {}
    for line in lines:
        target = line.targets[0] if isinstance(line, ast.Assign) else None
        if isinstance(line, ast.AnnAssign):
            target = line.target
        if not isinstance(target, ast.Name):
            raise EditionError(f"{path.name}, parameters: {ast.unparse(line)!r} sets no name")
        try:
            parameters[target.id] = ast.literal_eval(line.value)
        except (ValueError, TypeError) as error:
            raise EditionError(f"{path.name}: {ast.unparse(line)!r} is no literal") from error
    return parameters


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook of format 4; `EditionError` names one that is invalid."""
    try:
        notebook = nbformat.v4.reads(path.read_text(encoding="utf-8"))
        wrong = next(nbformat.validator.iter_validate(notebook, version=4), None)
        if wrong is not None:
            raise wrong
    except OSError:
        raise
    except Exception as error:  # of content that is no notebook, nbformat raises many kinds
        raise EditionError(f"{one_line(path, 1000)} is no notebook: {one_line(error)}") from error
    return notebook


def edition_runs(
    root: Path, edition: Edition, *, seeds: Sequence[int] = (0,)
) -> "list[evaluation.Run]":
    """Open the runs of an edition: fresh ones, else recorded ones; synthetic ones are made.

    Args:
        root: the book's folder.
        edition: from `load_edition`.
        seeds: of the synthetic scenes; runs of several are pooled.

    Raises:
        EditionError: no run is fresh or recorded, naming the command that makes it; the edition
            names no run; or seeds are asked of photographs. Where some are missing, a warning
            names them.
    """
    experiment = edition.experiment
    if isinstance(experiment, experiments.Protocol) and experiment.synthetic:
        by_seed = [replace(experiment, seed=experiment.seed + seed).stages() for seed in seeds]
        return [
            evaluation.Run.pool(
                experiments.open_run(stages.measure(column)).load() for stages in by_seed
            )
            for column in experiment.columns
        ]
    if tuple(seeds) != (0,):
        raise EditionError(f"--seeds is for the synthetic scenes; {edition.name} has photographs")
    names = experiment.runs() if experiment else edition.parameters.get("runs")
    if not names:
        raise EditionError(f"edition {edition.name} names no runs: give some with -p runs")
    folders = {name: _find_run(root, edition.name, name) for name in names}
    missing = one_line(", ".join(name for name, folder in folders.items() if folder is None))
    message = f"no run {missing}, fresh or recorded: `arlib run {edition.name}` makes it"
    if not any(folders.values()):
        raise EditionError(message)
    if missing:
        log.warning("a column is missing: %s", message)
    return [experiments.open_run(folder).load() for folder in folders.values() if folder]


def _find_run(root: Path, edition: str, name: str) -> Path | None:
    places = [root / "_build" / edition / "results" / name, root / "book" / "results" / name]
    return next((place for place in places if os.path.isfile(place / "run.json")), None)  # noqa: PTH113
