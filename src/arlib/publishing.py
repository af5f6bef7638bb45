"""From an edition to its site: runs measured, chapters executed, Jupyter Book called.

papermill executes staged copies of the chapters; Jupyter Book builds the site from them with
execution off; the finished site takes its place in one rename.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
from jupyter_core.utils import ensure_event_loop

from arlib.editions import (
    Edition,
    EditionError,
    chapter_parameters,
    chapters,
    declared_parameters,
)
from arlib.experiment import Experiment, parse_experiment
from arlib.miniature import Miniature
from arlib.miniature_runs import live_runs
from arlib.runs import compare, open_run

Say = Callable[[str], None]


def run_edition(
    root: Path,
    edition: Edition,
    *,
    record: bool = False,
    chapters_too: bool = True,
    say: Say = print,
) -> Path:
    """Score if the edition has an experiment, execute every chapter, build and publish the site.

    Args:
        root: the book's folder.
        edition: from `load_edition`.
        record: also put the fresh runs under `book/results/`, where they are committed.
        chapters_too: execute chapters and build the site; otherwise runs are measured alone.
        say: told about every step.

    Returns:
        The site's first page, `_build/<edition>/html/index.html`; the folder of the runs where no
        chapter is asked for.

    Raises:
        EditionError: a chapter failed, naming it and the cell; the site did not build; or `record`
            is asked of an edition without an experiment on photographs; or no chapters of one
            without any experiment.
    """
    if record and not isinstance(edition.experiment, Experiment):
        raise EditionError(f"edition {edition.name} scores no photographs: nothing to record")
    if not chapters_too and edition.experiment is None:
        raise EditionError(f"edition {edition.name} has no experiment: nothing to measure")
    build = root / "_build" / edition.name
    build.mkdir(parents=True, exist_ok=True)
    runs = _measure_all(root, edition, build, record=record, say=say)
    if not chapters_too:
        return build / "results"
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

    Its parameter `live`, if it has one, is 0 unless given: no kernel stands behind a page.

    Raises:
        EditionError: names the chapter and the cell that failed or did not run.
    """
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    declared = chapter_parameters(source)
    given = {"live": 0, **parameters}
    mine = {name: value for name, value in given.items() if name in declared}
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


def runs_of(experiment: Experiment | Miniature) -> dict[str, Callable[[Path], Path]]:
    """Name an experiment's runs, each with what makes it, given the folder that it goes into."""
    progress = sys.stderr.isatty()
    if isinstance(experiment, Miniature):
        return live_runs(experiment, progress=progress)
    return experiment.runs(progress=progress)


def _measure_all(
    root: Path, edition: Edition, build: Path, *, record: bool, say: Say
) -> list[Path]:
    """Make the experiment's runs and say how they compare with the recorded ones."""
    experiment = edition.experiment
    if experiment is None:
        return []
    recorded = root / "book" / "results"
    runs = []
    for name, make in runs_of(experiment).items():
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
    missing = {name: make for name, make in runs_of(Miniature()).items() if name in wanted}
    for name in missing:
        say(f"scoring: {name}")
    return [make(root) for make in missing.values()]


def _comparison(run: Path, recorded: Path) -> str:
    """Say how far a fresh run lies from the recorded one of the same name."""
    facts = [open_run(folder)[1]["experiment"] for folder in (run, recorded)]
    settings = [parse_experiment(f) if "backbones" in f else f for f in facts]
    if settings[0] != settings[1]:
        return f"the recorded {recorded.name} has other settings: not compared"
    apart = ", ".join(f"{name} {value:.2g}" for name, value in compare(run, recorded).items())
    return f"largest differences from the recorded {recorded.name}: {apart}"
