"""From an edition to its site: runs measured, chapters executed, Jupyter Book called.

papermill executes staged copies of the chapters; Jupyter Book builds the site from them with
execution off; the finished site takes its place in one rename.
"""

import json
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

from jupyter_core.utils import ensure_event_loop

from arlib import experiments
from arlib._support.settings import near, short
from arlib._support.storage import exclusive_lock, replace_folder, write_atomic
from arlib.evaluation import format_table, table1
from arlib.method import usable_base
from arlib.publishing.chapters import TIMEOUT, Kernels, execute_chapter
from arlib.publishing.editions import (
    RUN_LISTS,
    Edition,
    EditionError,
    chapter_paths,
    declared_parameters,
    named_runs,
)
from arlib.publishing.pages import editions_page, status_page
from arlib.publishing.records import facts_of
from arlib.publishing.site import build_site, checked_address
from arlib.publishing.site_images import extract_dark_figures, gallery_page

AT_ONCE = 2
"""Chapters that are executed at the same time."""

EVERY = 30.0
"""Seconds between lines that say what is still going on."""

Say = Callable[[str], None]
Makers = Mapping[str, Callable[[Path], Path]]  # run's name -> what makes it, given a folder for it


def run_edition(
    root: Path,
    edition: Edition,
    *,
    record: bool = False,
    only_measure: bool = False,
    stage: str | None = None,
    yes: bool = False,
    workers: Mapping[str, Any] | None = None,
    timeout: float = TIMEOUT,
    repository: str | None = None,
    address: str | None = None,
    say: Say = print,
) -> Path:
    """Score if the edition has an experiment, execute every chapter, build and publish the site.

    Args:
        root: the book's folder.
        edition: from `load_edition`.
        record: also put the fresh runs under `book/results/`, where they are committed.
        only_measure: measure the runs; execute no chapter and build no site.
        stage: of a protocol, "pretrain", "finetune", "score" or "rows": do it, with what it needs
            of those before it, and nothing after.
        yes: start what takes days without a GPU.
        workers: of scoring, `processes`, or `scheduler` and `resources`, as
            `arlib.scoring.score_in_shards` takes them.
        timeout: seconds that a cell of a chapter may take.
        repository: the book's public one on GitHub or GitLab, to which pages link, such as
            "https://github.com/OWNER/NAME"; None where it has none.
        address: the site's public one, such as "https://OWNER.github.io/NAME"; links to a page show
            its image only where it is known.
        say: called with a line for every step.

    Returns:
        The site's front page, `_build/<edition>/html/index.html`; with `only_measure` or a `stage`
        the folder of the runs.

    Raises:
        EditionError: a chapter failed, naming it and the cell; the site did not build; an address
            is none; or `record` is asked of an edition without an experiment on photographs,
            `only_measure` of one without any experiment, or `stage` of one without a protocol; or a
            protocol lacks data, weights or disk, or takes days.
        BusyError: the edition is being run already.
    """
    protocol = edition.experiment if isinstance(edition.experiment, experiments.Protocol) else None
    if stage and not protocol:
        raise EditionError(f"edition {edition.name} has no protocol: --stage is of one")
    if record and (edition.experiment is None or (protocol and protocol.synthetic)):
        raise EditionError(f"edition {edition.name} scores no photographs: nothing to record")
    if only_measure and edition.experiment is None:
        raise EditionError(f"edition {edition.name} has no experiment: nothing to measure")
    repository = checked_address("repository", repository)
    address = checked_address("address", address)
    build = root / "_build" / edition.name
    with exclusive_lock(build / "lock"):
        # the expensive half: the edition's own runs, and those that chapters would make
        makers = edition.experiment.runs() if edition.experiment else {}
        live = _live_runs(makers)
        if not (only_measure or stage):
            _check_runs(root, edition, {*makers, *live})
        stages = protocol.stages(say=say, workers=workers) if protocol else None
        if protocol and stages:
            plan = stages.plan()
            columns = _check_plan(plan, yes, say)
            edition = _without(edition, {*makers} - {*map(protocol.run_name, columns)})
            makers = {protocol.run_name(name): partial(stages.measure, name) for name in columns}
        elif edition.experiment:
            makers = edition.experiment.runs(say=say, workers=workers)
        if stages:
            # a second process works from the last stage on, which must then be asked for
            with stages.shared(plan) if stage in (None, "rows") else nullcontext():
                _do_stages(stages, columns, stage, say)
        if stage and stage != "rows":
            return build / "results"
        runs = measure_runs(root, build / "results", makers, record=record, say=say)
        if protocol:
            say(format_table(table1([experiments.open_run(run).load() for run in runs])))
        if only_measure or stage:
            return build / "results"
        parameters = edition.parameters | choose_base(edition, runs, say)
        runs += make_live_runs(root, declared_parameters(root) | parameters, live, say)

        # the chapters
        source = _stage_sources(root, build / "source", runs)
        seconds = _execute_chapters(root, source, parameters, timeout, say)
        extract_dark_figures(source)

        # the pages about them, and the site
        facts = _gather_facts(root, source, edition, parameters, seconds, runs)
        _write_pages(root, source, edition.name, facts)
        say("building the site")
        started = time.perf_counter()
        with _every(lambda seconds: say(f"building the site, {seconds:.0f} s so far")):
            site = build_site(source, build, repository=repository, address=address)
        say(f"site built, {time.perf_counter() - started:.0f} s")
        write_atomic(build / "edition.json", json.dumps(facts, indent=1) + "\n")
    return site


def plan_edition(edition: Edition, *, say: Say = print) -> None:
    """Describe what an edition will do and need, and start nothing.

    Args:
        edition: from `load_edition`, with a protocol or an experiment on photographs.
        say: called with each line.

    Raises:
        EditionError: it has neither.
    """
    if isinstance(edition.experiment, experiments.Protocol):
        plan = edition.experiment.stages().plan()
        for line in plan.lines:
            say(line)
        if obstacle := plan.obstacle():
            say(obstacle.replace("nothing was started", "nothing would start"))
    elif isinstance(edition.experiment, experiments.Experiment):
        edition.experiment.runs(say=say)
    else:
        raise EditionError(f"edition {edition.name} scores no photographs: there is no plan")


def _check_plan(plan: Any, yes: bool, say: Say) -> tuple[str, ...]:
    """Print what a protocol needs, refuse one that cannot finish, and list the columns here."""
    for line in plan.lines:
        say(line)
    if obstacle := plan.obstacle(yes=yes):
        raise EditionError(obstacle)
    return plan.columns


def _do_stages(stages: Any, columns: tuple[str, ...], last: str | None, say: Say) -> None:
    """Do a protocol's stages, each in its turn, up to the last that is asked for."""
    every = experiments.STAGES
    for name in every[: every.index(last) + 1] if last else every:
        started = time.perf_counter()
        say(f"stage {name}")
        stages.run(name, columns)
        say(f"stage {name} done, {time.perf_counter() - started:.0f} s")


def _without(edition: Edition, missing: Collection[str]) -> Edition:
    """Let the chapters show no run of a column that is not here."""
    parameters = dict(edition.parameters)
    for each in RUN_LISTS:
        if each in parameters:
            parameters[each] = [name for name in parameters[each] if name not in missing]
    if parameters.get("run") in missing:
        parameters["run"] = parameters["runs"][0]
    return replace(edition, parameters=parameters)


def _check_runs(root: Path, edition: Edition, made: Collection[str]) -> None:
    """Refuse a run that no chapter will find, before anything is measured."""
    known = {path.parent.name for path in (root / "book" / "results").glob("*/run.json")}
    known |= {*made}
    for name in named_runs(edition.parameters):
        if name not in known:
            raise EditionError(
                f"no run {short(name)}{near(name, known)}; there are {', '.join(sorted(known))}"
            )


def measure_runs(
    root: Path, results: Path, makers: Makers, *, record: bool, say: Say
) -> list[Path]:
    """Make an experiment's runs, and report how they compare with the recorded ones."""
    runs = []
    for name, make in makers.items():
        run = _make_run(name, make, results, say)
        recorded = root / "book" / "results" / name
        if recorded.is_dir():
            say(_differences(run, recorded))
        if record:
            fresh = recorded.with_name(f".{name}.fresh")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(run, fresh)
            replace_folder(fresh, recorded)
            say(f"recorded: {recorded.relative_to(root)}")
        runs.append(run)
    return runs


def _differences(run: Path, recorded: Path) -> str:
    """Report how far a fresh run is from the recorded one of the same name."""
    opened = [experiments.open_run(folder) for folder in (run, recorded)]
    try:
        settings = [experiments.parse_experiment(each.facts["experiment"]) for each in opened]
    except (KeyError, ValueError) as error:
        raise EditionError(
            f"{recorded}/run.json has no settings of an experiment: {error}"
        ) from error
    if settings[0] != settings[1]:
        return f"the recorded {recorded.name} has other settings: not compared"
    largest = opened[0].differences(opened[1])
    numbers = ", ".join(f"{name} {value:.2g}" for name, value in largest.items())
    return f"largest differences from the recorded {recorded.name}: {numbers}"


def choose_base(edition: Edition, runs: list[Path], say: Say) -> dict[str, Any]:
    """Choose Eq. 1's logarithm where base e would make it negative: with three emotions or more."""
    most = max((experiments.open_run(run).scores.sizes["emotion"] for run in runs), default=2)
    base = usable_base(most)
    if base == "e" or "base" in edition.parameters:
        return {}
    say(f"{most} emotions: Eq. 1 with base {base!r}, since with base e it could be negative")
    return {"base": base}


def _live_runs(others: Makers) -> Makers:
    """Name the runs of synthetic scenes that no experiment makes; each is made in the cache."""
    scenes = experiments.scenes_protocol()
    return {
        name: lambda _, column=column: scenes.stages().measure(column)  # type: ignore[misc]
        for column in scenes.columns
        if (name := scenes.run_name(column)) not in others
    }


def make_live_runs(
    root: Path, parameters: Mapping[str, Any], makers: Makers, say: Say
) -> list[Path]:
    """Make those runs that chapters name, once, before two chapters want them at the same time."""
    names = {*named_runs(parameters)} & makers.keys()
    return [_make_run(name, makers[name], root, say) for name in sorted(names)]


def _make_run(name: str, make: Callable[[Path], Path], folder: Path, say: Say) -> Path:
    """Make a run in a folder, and report how long it took."""
    say(f"scoring: {name}")
    started = time.perf_counter()
    run = make(folder)
    say(f"scored: {name}, {time.perf_counter() - started:.0f} s")
    return run


def _stage_sources(root: Path, stage: Path, runs: list[Path]) -> Path:
    """Copy what chapters and the site are made from, and the runs beside it."""
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(root / "book", stage / "book", ignore=shutil.ignore_patterns(".ipynb_*"))
    shutil.copytree(root / "src", stage / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, stage / name)
    for run in runs:
        staged = stage / "book" / "results" / run.name
        shutil.rmtree(staged, ignore_errors=True)  # a recorded run, of which nothing may stay
        shutil.copytree(run, staged)
    return stage


def _execute_chapters(
    root: Path, stage: Path, parameters: Mapping[str, Any], timeout: float, say: Say
) -> dict[str, float]:
    """Execute every chapter, a few at a time, since most of each is one core's work: seconds."""
    paths = chapter_paths(root)
    say("executing the chapters")
    cells: dict[Path, int] = {}  # the one that each chapter is at
    seconds: dict[Path, float] = {}
    kernels = Kernels(AT_ONCE)

    def execute(chapter: Path) -> None:
        started = time.perf_counter()
        at = partial(cells.__setitem__, chapter)
        with _every(lambda s: say(f"{chapter}, cell {cells.get(chapter, 0)}, {s:.0f} s so far")):
            try:
                execute_chapter(
                    root / chapter,
                    stage / chapter,
                    parameters,
                    timeout=timeout,
                    kernels=kernels,
                    on_cell=at,
                )
            finally:
                ensure_event_loop().close()  # nbclient leaves this thread's open
        seconds[chapter] = round(time.perf_counter() - started, 1)
        say(f"[{len(seconds)}/{len(paths)}] {chapter}, {seconds[chapter]:.0f} s")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            # the last first: they take longest, and nothing should wait for one alone in the end
            todo = [pool.submit(execute, chapter) for chapter in reversed(paths)]
            for future in as_completed(todo):
                future.result()
        finally:
            kernels.end()  # of the chapters that run, where one failed or this process is ended
            pool.shutdown(cancel_futures=True)
    return {str(chapter): seconds[chapter] for chapter in paths}


@contextmanager
def _every(say: Callable[[float], None]) -> Iterator[None]:
    """Call something with the seconds so far, every `EVERY` seconds while the block runs."""
    started, ended = time.perf_counter(), Event()

    def repeat() -> None:
        while not ended.wait(EVERY):
            say(time.perf_counter() - started)

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _gather_facts(
    root: Path,
    stage: Path,
    edition: Edition,
    parameters: Mapping[str, Any],
    seconds: Mapping[str, float],
    runs: list[Path],
) -> dict[str, Any]:
    """Gather the facts of an edition, with the values that every parameter of a chapter had."""
    declared = declared_parameters(root)
    values = {name: {**declared, **parameters}[name] for name in declared}
    path = stage / "book" / "results" / str(values.get("run")) / "run.json"
    run = json.loads(path.read_text()) if path.is_file() else None
    return facts_of(edition, values, seconds, (run.name for run in runs), run)


def _write_pages(root: Path, stage: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Write the pages that the book has placeholders for."""
    texts = {
        "status": lambda: status_page(name, facts),
        "editions": lambda: editions_page(root, name, facts, stage / "book"),
        "gallery": lambda: gallery_page(stage),
    }
    for page, write in texts.items():
        path = stage / "book" / f"{page}.md"
        if path.is_file():
            path.write_text(write(), encoding="utf-8")
