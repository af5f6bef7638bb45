"""Editions of the book: one set of parameters, every chapter executed, one site.

papermill executes staged copies of the chapters; Jupyter Book builds the site from them with
execution off; the finished site takes its place in one rename.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
import yaml
from jupyter_core.utils import ensure_event_loop

from arlib.miniature import SETTINGS, Miniature, parse_miniature
from arlib.runs import Experiment, compare, open_run
from arlib.settings import fits

Say = Callable[[str], None]


class EditionError(ValueError):
    """An edition that is not there, is not well formed, or did not run to its end."""


@dataclass(frozen=True)
class Edition:
    """What `editions/<name>.yaml` says.

    Attributes:
        name: the file's name.
        title: one line for people.
        parameters: papermill parameters; each goes to every chapter that declares it.
        experiment: what is scored first, or trained and scored in the embedded world; None takes
            the recorded runs.
    """

    name: str
    title: str
    parameters: dict[str, Any] = field(default_factory=dict)
    experiment: Experiment | Miniature | None = None


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


def available(root: Path) -> list[str]:
    """Names of the editions of the book at `root`."""
    return sorted(path.stem for path in (root / "editions").glob("*.yaml"))


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
    if name not in available(root):
        raise EditionError(f"no edition {name!r}; there are {', '.join(available(root))}")
    raw = yaml.safe_load((root / "editions" / f"{name}.yaml").read_text())
    _refuse_unknown(raw, {f.name for f in fields(Edition)} - {"name"}, f"editions/{name}.yaml")
    parameters, experiment = dict(raw.get("parameters") or {}), raw.get("experiment")
    settings = _experiment_settings(experiment)
    _refuse_unknown(experiment or {}, settings, f"the experiment of editions/{name}.yaml")
    declared = declared_parameters(root)
    for key, value in (overrides or {}).items():
        (experiment if key in settings else parameters)[key] = value
    for key, value in parameters.items():
        if key not in declared:
            raise EditionError(
                f"no parameter {key!r} in edition {name}; "
                f"there are {sorted(declared.keys() | settings)}"
            )
        _check_type(key, value, declared[key])
    shared = {key: value for key, value in (experiment or {}).items() if key in declared}
    return Edition(name, raw["title"], shared | parameters, _experiment(experiment))


def _experiment_settings(experiment: Mapping[str, Any] | None) -> set[str]:
    """Names of what an experiment may set; chapters that declare one of them get its value."""
    if experiment is None:
        return set()
    if experiment.get("dataset") == "scenes":
        return {"dataset", *SETTINGS}
    return {f.name for f in fields(Experiment)}


def _experiment(settings: Mapping[str, Any] | None) -> Experiment | Miniature | None:
    if settings is None:
        return None
    if settings.get("dataset") == "scenes":
        given = {name: value for name, value in settings.items() if name != "dataset"}
        try:
            return parse_miniature(given)
        except ValueError as error:
            raise EditionError(str(error)) from error
    missing = sorted({"dataset", "backbones"} - settings.keys())
    if missing:
        raise EditionError(f"an experiment on photographs needs {' and '.join(missing)}")
    return Experiment(**{**settings, "backbones": tuple(settings["backbones"])})


def chapters(root: Path) -> list[Path]:
    """Chapters in the order of the table of contents, relative to `root`."""
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    pages = [page["file"] for part in toc["parts"] for page in part["chapters"]]
    return [Path(f"{page}.ipynb") for page in pages if (root / f"{page}.ipynb").is_file()]


def declared_parameters(root: Path) -> dict[str, Any]:
    """Every parameter that a chapter declares, with its default value."""
    declared: dict[str, Any] = {}
    for chapter in chapters(root):
        declared.update(chapter_parameters(root / chapter))
    return declared


def chapter_parameters(path: Path) -> dict[str, Any]:
    """Names and default values in a chapter's cell tagged `parameters`.

    Raises:
        EditionError: the cell is missing, or a line of it is no `name = literal`.
    """
    cells = nbformat.read(path, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise EditionError(f"{path.name} has {len(tagged)} cells tagged 'parameters', not one")
    found = {}
    for line in ast.parse(tagged[0].source).body:
        target = line.targets[0] if isinstance(line, ast.Assign) else None
        if isinstance(line, ast.AnnAssign):
            target = line.target
        if not isinstance(target, ast.Name):
            raise EditionError(f"{path.name}, parameters: {ast.unparse(line)!r} sets no name")
        try:
            found[target.id] = ast.literal_eval(line.value)
        except ValueError as error:
            raise EditionError(f"{path.name}: {ast.unparse(line)!r} is no literal") from error
    return found


def run_edition(
    root: Path,
    edition: Edition,
    *,
    record: bool = False,
    say: Say = print,
) -> Path:
    """Score if the edition has an experiment, execute every chapter, build and publish the site.

    Args:
        root: the book's folder.
        edition: from `load_edition`.
        record: also put the fresh runs under `book/results/`, where they are committed.
        say: told about every step.

    Returns:
        The site's first page, `_build/<edition>/html/index.html`.

    Raises:
        EditionError: a chapter failed, naming it and the cell; the site did not build; or `record`
            is asked of an edition without an experiment on photographs.
    """
    if record and not isinstance(edition.experiment, Experiment):
        raise EditionError(f"edition {edition.name} scores no photographs: nothing to record")
    build = root / "_build" / edition.name
    build.mkdir(parents=True, exist_ok=True)
    runs = _measure_all(root, edition, build, record=record, say=say)
    runs += _live_runs(root, edition, {run.name for run in runs}, say)
    stage = build / "source"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(root / "book", stage / "book", ignore=shutil.ignore_patterns(".ipynb_*"))
    shutil.copytree(root / "src", stage / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, stage / name)
    for run in runs:
        shutil.copytree(run, stage / "book" / "results" / run.name, dirs_exist_ok=True)
    seconds = _execute_all(root, stage, edition.parameters, say)
    say("building the site")
    site = build_site(stage, build)
    (build / "edition.json").write_text(
        json.dumps({"title": edition.title, "seconds": seconds}, indent=1) + "\n"
    )
    return site


def _execute_all(
    root: Path, stage: Path, parameters: Mapping[str, Any], say: Say
) -> dict[str, float]:
    """Execute every chapter, two at a time, since most of each is one core's work: seconds."""
    todo = chapters(root)
    done = count(1)

    def execute(chapter: Path) -> float:
        started = time.perf_counter()
        try:
            execute_chapter(root / chapter, stage / chapter, parameters)
        finally:
            ensure_event_loop().close()  # nbclient leaves this thread's open
        seconds = round(time.perf_counter() - started, 1)
        say(f"[{next(done)}/{len(todo)}] {chapter}, {seconds:.0f} s")
        return seconds

    with ThreadPoolExecutor(2) as pool:
        futures = {str(chapter): pool.submit(execute, chapter) for chapter in todo}
        try:
            return {chapter: future.result() for chapter, future in futures.items()}
        finally:
            pool.shutdown(cancel_futures=True)


def execute_chapter(source: Path, target: Path, parameters: Mapping[str, Any]) -> None:
    """Execute one chapter with those parameters that it declares, and verify that all of it ran.

    Raises:
        EditionError: names the chapter and the cell that failed or did not run.
    """
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    declared = chapter_parameters(source)
    mine = {name: value for name, value in parameters.items() if name in declared}
    try:
        execute_notebook(
            str(source),
            str(target),
            parameters=mine,
            kernel_name="python3",
            language="python",  # a notebook whose metadata were stripped does not say so
            cwd=str(target.parent),
            progress_bar=False,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
    except PapermillExecutionError as error:
        raise EditionError(
            f"{source.name}, cell {error.exec_count}: {error.ename}: {error.evalue}"
        ) from error
    notebook = nbformat.read(target, as_version=4)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            raise EditionError(f"{source.name}: cell {number} did not run: {cell.source[:60]!r}")


def build_site(stage: Path, build: Path) -> Path:
    """Build the staged book, warnings as errors, and put the site in its place in one rename.

    Raises:
        EditionError: with the end of Jupyter Book's output.
    """
    output = build / "site"
    shutil.rmtree(output, ignore_errors=True)
    start = "from jupyter_book.cli.main import main; main()"  # of this very environment
    command = [sys.executable, "-c", start, "build", str(stage)]
    command += ["--path-output", str(output), "-W", "--keep-going"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    fresh = output / "_build" / "html"
    if done.returncode or not (fresh / "index.html").is_file():
        lines = (done.stdout + done.stderr).splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-30:]
        raise EditionError("the site did not build:\n" + "\n".join(told))
    site, old = build / "html", build / f".html.replaced-{os.getpid()}"
    if site.exists():
        site.rename(old)
    fresh.rename(site)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(output)
    return site / "index.html"


def _measure_all(
    root: Path, edition: Edition, build: Path, *, record: bool, say: Say
) -> list[Path]:
    """Make the experiment's runs and say how they compare with the recorded ones."""
    experiment = edition.experiment
    if experiment is None:
        return []
    recorded = root / "book" / "results"
    runs = []
    for name, make in experiment.runs(progress=sys.stderr.isatty()).items():
        say(f"scoring: {name}")
        run = make(build / "results")
        old = recorded / name
        if old.is_dir():
            say(_comparison(run, old))
        if record:
            shutil.rmtree(old, ignore_errors=True)
            shutil.copytree(run, old)
            say(f"recorded: {old.relative_to(root)}")
        runs.append(run)
    return runs


def _live_runs(root: Path, edition: Edition, there: set[str], say: Say) -> list[Path]:
    """Make what chapters would make of the embedded world, once, before they want it at once."""
    named: dict[str, Any] = declared_parameters(root) | edition.parameters
    wanted = {named.get("run"), *named.get("runs", [])} - there
    missing = [name for name in Miniature().runs() if name in wanted]
    for name in missing:
        say(f"scoring: {name}")
    return [Miniature().runs(progress=sys.stderr.isatty())[name](root) for name in missing]


def _comparison(run: Path, recorded: Path) -> str:
    """Say how far a fresh run lies from the recorded one of the same name."""
    settings = [open_run(folder)[1]["experiment"] for folder in (run, recorded)]
    if settings[0] != settings[1]:
        return f"the recorded {recorded.name} has other settings: not compared"
    apart = ", ".join(f"{name} {value:.2g}" for name, value in compare(run, recorded).items())
    return f"largest differences from the recorded {recorded.name}: {apart}"


def _refuse_unknown(given: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        raise EditionError(f"{where}: unknown key(s) {unknown}; there are {sorted(known)}")


def _check_type(name: str, value: Any, default: Any) -> None:
    if not fits(value, default):
        raise EditionError(
            f"parameter {name} must be {type(default).__name__} like {default!r}, not {value!r}"
        )
