"""From an edition to its site: runs measured, chapters executed, Jupyter Book called.

papermill executes staged copies of the chapters; Jupyter Book builds the site from them with
execution off; the finished site takes its place in one rename.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_event_loop

from arlib._support.storage import exclusive_lock, replace_folder, write_atomic
from arlib.experiments import (
    Experiment,
    SyntheticProtocol,
    compare_scores,
    open_run,
    parse_experiment,
    runs_of,
)
from arlib.method import usable_base
from arlib.publishing.chapters import NOBODY_THERE, TIMEOUT, execute_chapter
from arlib.publishing.editions import Edition, EditionError, chapters, declared_parameters, pages_of
from arlib.publishing.hosting import Public
from arlib.publishing.pages import editions_page, status_page
from arlib.publishing.records import facts_of
from arlib.publishing.site import NOWHERE, build_site, configured
from arlib.publishing.site_figures import extract_dark_figures, gallery

Say = Callable[[str], None]


def run_edition(
    root: Path,
    edition: Edition,
    *,
    record: bool = False,
    chapters_too: bool = True,
    timeout: float = TIMEOUT,
    public: Public = NOWHERE,
    say: Say = print,
) -> Path:
    """Score if the edition has an experiment, execute every chapter, build and publish the site.

    Args:
        root: the book's folder.
        edition: from `load_edition`.
        record: also put the fresh runs under `book/results/`, where they are committed.
        chapters_too: execute chapters and build the site; otherwise runs are measured alone.
        timeout: seconds that a cell of a chapter may take.
        public: where others find the book; its pages link to its repository, if it has one.
        say: told about every step.

    Returns:
        The site's first page, `_build/<edition>/html/index.html`; the folder of the runs where no
        chapter is asked for.

    Raises:
        EditionError: a chapter failed, naming it and the cell; the site did not build; or `record`
            is asked of an edition without an experiment on photographs; or no chapters of one
            without any experiment.
        BusyError: the edition is being run already.
    """
    if record and not isinstance(edition.experiment, Experiment):
        raise EditionError(f"edition {edition.name} scores no photographs: nothing to record")
    if not chapters_too and edition.experiment is None:
        raise EditionError(f"edition {edition.name} has no experiment: nothing to measure")
    build = root / "_build" / edition.name
    with exclusive_lock(build / "lock"):
        runs = _measure_all(root, edition, build, record=record, say=say)
        if not chapters_too:
            return build / "results"
        parameters = edition.parameters | _base_for(edition, runs, say)
        runs += _live_runs(root, edition, {run.name for run in runs}, say)
        stage = _staged(root, build, runs)
        seconds = _execute_all(root, stage, parameters, timeout, say)
        extract_dark_figures(stage)
        declared = declared_parameters(root)
        given = {name: (declared | NOBODY_THERE | parameters)[name] for name in declared}
        measured = stage / "book" / "results" / str(given.get("run")) / "run.json"
        said = json.loads(measured.read_text()) if measured.is_file() else None
        facts = facts_of(edition, given, seconds, (run.name for run in runs), said)
        _write_pages(root, stage, edition.name, facts)
        configured(stage, public)
        say("building the site")
        site = build_site(stage, build, public)
        write_atomic(build / "edition.json", json.dumps(facts, indent=1) + "\n")
    return site


def _staged(root: Path, build: Path, runs: list[Path]) -> Path:
    """Copy what chapters and the site are made from, and the runs beside it."""
    stage = build / "source"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(root / "book", stage / "book", ignore=shutil.ignore_patterns(".ipynb_*"))
    shutil.copytree(root / "src", stage / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, stage / name)
    for run in runs:
        shutil.copytree(run, stage / "book" / "results" / run.name, dirs_exist_ok=True)
    return stage


def _write_pages(root: Path, stage: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Put what the run says of itself in the place of the pages that stand for it."""
    for page, text in (
        ("status", status_page(name, facts)),
        ("editions", editions_page(root, name, facts, stage / "book")),
    ):
        if f"book/{page}" in pages_of(root):
            (stage / "book" / f"{page}.md").write_text(text, encoding="utf-8")
    if (stage / "book" / "gallery.md").is_file():
        (stage / "book" / "gallery.md").write_text(gallery(stage), encoding="utf-8")


def _execute_all(
    root: Path, stage: Path, parameters: Mapping[str, Any], timeout: float, say: Say
) -> dict[str, float]:
    """Execute every chapter, two at a time, since most of each is one core's work: seconds."""
    todo = chapters(root)
    done = count(1)

    def execute(chapter: Path) -> float:
        started = time.perf_counter()
        try:
            execute_chapter(root / chapter, stage / chapter, parameters, timeout=timeout)
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
            fresh = recorded / f".{name}.fresh"
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(run, fresh)
            replace_folder(fresh, old)
            say(f"recorded: {old.relative_to(root)}")
        runs.append(run)
    return runs


def _base_for(edition: Edition, runs: list[Path], say: Say) -> dict[str, Any]:
    """Choose Eq. 1's logarithm where base e would make it negative: with three emotions or more."""
    most = max((open_run(run).scores.sizes["emotion"] for run in runs), default=2)
    base = usable_base(most)
    if base == "e" or "base" in edition.parameters:
        return {}
    say(f"{most} emotions: Eq. 1 with base {base!r}, since with base e it could be negative")
    return {"base": base}


def _live_runs(root: Path, edition: Edition, there: set[str], say: Say) -> list[Path]:
    """Make what chapters would make of the synthetic scenes, once, before they want it at once."""
    named: dict[str, Any] = declared_parameters(root) | edition.parameters
    wanted = {named.get("run"), *named.get("runs", [])} - there
    missing = {name: make for name, make in runs_of(SyntheticProtocol()).items() if name in wanted}
    for name in missing:
        say(f"scoring: {name}")
    return [make(root) for make in missing.values()]


def _comparison(run: Path, recorded: Path) -> str:
    """Say how far a fresh run lies from the recorded one of the same name."""
    opened = [open_run(folder) for folder in (run, recorded)]
    settings = [parse_experiment(one.facts["experiment"]) for one in opened]
    if settings[0] != settings[1]:
        return f"the recorded {recorded.name} has other settings: not compared"
    apart = ", ".join(f"{name} {value:.2g}" for name, value in compare_scores(*opened).items())
    return f"largest differences from the recorded {recorded.name}: {apart}"
