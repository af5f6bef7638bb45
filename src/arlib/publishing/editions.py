"""Read an edition of the book: its parameters, checked against the chapters, and its experiment."""

import ast
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

import nbformat
import yaml

from arlib import datasets, evaluation, experiments
from arlib._support.files import one_line
from arlib._support.settings import fits

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
        experiment: what is scored first, or trained and scored in the synthetic scenes; None takes
            the recorded runs.
    """

    name: str
    title: str
    parameters: dict[str, Any] = field(default_factory=dict)
    experiment: "experiments.Experiment | experiments.SyntheticProtocol | None" = None


def find_book(start: str | Path = ".") -> Path:
    """Find the folder that holds `_toc.yml` and `editions/`, here or above.

    Raises:
        EditionError: there is none: run it inside a clone of the book's repository.
    """
    start = Path(start).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file() and (folder / "editions").is_dir():
            return folder
    raise EditionError(f"no book at {start} or above: run this inside a clone of its repository")


def edition_names(root: Path) -> list[str]:
    """Names of the editions of the book at `root`."""
    return sorted(path.stem for path in (root / "editions").glob("*.yaml"))


def read_edition(root: Path, name: str) -> dict[str, Any]:
    """Read an edition's file, whose keys are checked and whose values are not."""
    names = edition_names(root)
    if name not in names:
        raise EditionError(f"no edition {name!r}; there are {', '.join(names)}")
    raw = yaml.safe_load((root / "editions" / f"{name}.yaml").read_text()) or {}
    _refuse_unknown(raw, {f.name for f in fields(Edition)} - {"name"}, f"editions/{name}.yaml")
    if "title" not in raw:
        raise EditionError(f"editions/{name}.yaml has no title")
    return raw


def load_edition(root: Path, name: str, overrides: Mapping[str, Any] | None = None) -> Edition:
    """Read an edition and apply overrides to its parameters and its experiment.

    Args:
        root: the book's folder.
        name: the edition.
        overrides: parameter -> value; a name is a chapter's parameter or a setting of the
            experiment.

    Raises:
        EditionError: no such edition, an unknown key, or a parameter that no chapter declares or
            whose type is another; the message lists the right ones.
    """
    raw = read_edition(root, name)
    parameters, settings = dict(raw.get("parameters") or {}), raw.get("experiment")
    known = _known_settings(settings)
    _refuse_unknown(settings or {}, known, f"the experiment of editions/{name}.yaml")
    declared = declared_parameters(root)

    # an override is the experiment's where the experiment has such a setting
    for key, value in (overrides or {}).items():
        (settings if settings is not None and key in known else parameters)[key] = value
    experiment = _experiment(settings)

    # chapters show the experiment's own runs, unless the edition names others
    if isinstance(experiment, experiments.Experiment) and not parameters.keys() & {"run", "runs"}:
        names = list(experiment.runs())
        own = {"run": names[0], "runs": names}
        parameters |= {key: value for key, value in own.items() if key in declared}

    for key, value in parameters.items():
        if key not in declared:
            raise EditionError(
                f"no parameter {key!r} in edition {name}; "
                f"there are {sorted(declared.keys() | known)}"
            )
        _check_type(key, value, declared[key])
    shared = {key: value for key, value in (settings or {}).items() if key in declared}
    return Edition(name, raw["title"], shared | parameters, experiment)


def _known_settings(settings: Mapping[str, Any] | None) -> set[str]:
    """Names of what an experiment may set; chapters that declare one of them get its value."""
    if settings is None:
        return set()
    return set(experiments.experiment_settings(settings.get("dataset", "")))


def _experiment(
    settings: Mapping[str, Any] | None,
) -> "experiments.Experiment | experiments.SyntheticProtocol | None":
    """Make the experiment of an edition's settings; a dataset's path becomes absolute."""
    if settings is None:
        return None
    dataset = settings.get("dataset")
    try:
        if isinstance(dataset, str) and dataset not in ("scenes", *datasets.names()):
            if not Path(dataset).exists():
                raise ValueError(
                    f"no dataset {dataset!r}, and no such file; there are {datasets.names()}"
                )
            dataset = str(Path(dataset).resolve())  # chapters run elsewhere
        return experiments.parse_experiment({**settings, "dataset": dataset})
    except ValueError as error:
        raise EditionError(str(error)) from error


def page_names(root: Path) -> list[str]:
    """Names of the pages of a book's table of contents, in order, such as "book/01_proposals"."""
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    top = [page for part in toc["parts"] for page in part["chapters"]]
    below = [[page["file"], *(each["file"] for each in page.get("sections", []))] for page in top]
    return [toc["root"], *chain.from_iterable(below)]


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
    parameters = {}
    for line in ast.parse(tagged[0].source).body:
        target = line.targets[0] if isinstance(line, ast.Assign) else None
        if isinstance(line, ast.AnnAssign):
            target = line.target
        if not isinstance(target, ast.Name):
            raise EditionError(f"{path.name}, parameters: {ast.unparse(line)!r} sets no name")
        try:
            parameters[target.id] = ast.literal_eval(line.value)
        except ValueError as error:
            raise EditionError(f"{path.name}: {ast.unparse(line)!r} is no literal") from error
    return parameters


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook of format 4; `EditionError` names one that is broken."""
    try:
        notebook = nbformat.v4.reads(path.read_text(encoding="utf-8"))
        nbformat.validate(notebook, version=4)
    except OSError:
        raise
    except Exception as error:  # of content that is no notebook, nbformat raises many kinds
        raise EditionError(f"{path} is no notebook: {one_line(error)}") from error
    return notebook


def _refuse_unknown(settings: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(settings.keys() - known)
    if unknown:
        raise EditionError(f"{where}: unknown key(s) {unknown}; there are {sorted(known)}")


def _check_type(name: str, value: Any, default: Any) -> None:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str | int | float | None) or item in (math.inf, -math.inf):
            raise EditionError(f"parameter {name} may hold texts and numbers, not {item!r}")
    if not fits(value, default):
        raise EditionError(
            f"parameter {name} must be {type(default).__name__} like {default!r}, not {value!r}"
        )


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
    experiment, bars = edition.experiment, sys.stderr.isatty()
    if isinstance(experiment, experiments.SyntheticProtocol):
        seeded = [replace(experiment, seed=experiment.seed + seed) for seed in seeds]
        makers = [protocol.runs(progress=bars) for protocol in seeded]
        return [
            evaluation.Run.pool(experiments.open_run(make[name](root)).load() for make in makers)
            for name in makers[0]
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
    return next((place for place in places if (place / "run.json").is_file()), None)
