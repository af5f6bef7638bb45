"""Write the pages about editions: how this one was made, and what others hold."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from arlib._support.files import read_json
from arlib.experiments import list_runs
from arlib.publishing.editions import EditionError
from arlib.publishing.records import (
    EditionRecord,
    compare_records,
    finished,
    headline,
    list_editions,
)

NUMBERS = ("images", "accuracy, full image", "accuracy, fused, K = 8", "majority")


def status_page(name: str, facts: Mapping[str, Any]) -> str:
    """Write the page, in MyST Markdown, of how an edition was made, from its facts."""
    seconds = facts["seconds"]
    chapters = [(chapter, f"{took:.0f}") for chapter, took in seconds.items()]
    build = [("finished", facts["finished"]), ("commit", facts["commit"])]
    blocks = [
        "# How this book was made",
        "Written by the run that made these pages.",
        html_table(
            ["", ""],
            [("edition", name), ("title", facts["title"]), *build, *facts["machine"].items()],
            "The edition, the machine and the versions",
        ),
        _folded_table(
            ["chapter", "seconds"],
            [*chapters, ("all, one after another", f"{sum(seconds.values()):.0f}")],
            "How long each chapter took; two are executed at a time",
        ),
        _folded_table(
            ["parameter", "value"],
            sorted(facts["parameters"].items()),
            "Parameters of all chapters, seeds among them",
        ),
    ]
    if facts["experiment"]:
        settings = sorted(facts["experiment"].items())
        blocks.append(_folded_table(["setting", "value"], settings, "The edition's experiment"))
    again = f"The same again: `arlib run {name}`, with `-p NAME VALUE` for another value."
    return "\n\n".join([*blocks, again]) + "\n"


def editions_page(root: Path, name: str, facts: Mapping[str, Any], chapters: Path) -> str:
    """Write the page, in MyST Markdown, of all editions and runs, for the edition of this name.

    Its own facts and the folder of its executed chapters are given, as it is not published yet.
    """
    records = {record.name: record for record in list_editions(root)}
    records[name] = EditionRecord(name, facts["title"], facts, chapters)
    folders = [root / "book" / "results", *sorted((root / "_build").glob("*/results"))]
    comparable = [record for record in records.values() if record.obstacle is None]
    pairs = [_comparison(one, other) for one, other in combinations(comparable, 2)]
    alone = "Only this edition was built here. Build a second one to see here what differs."
    blocks = [
        "---\nhtml_theme.sidebar_secondary.remove: true\n---",  # its tables are wide
        "# Editions and runs",
        "An edition is this book with one set of parameters: `arlib run EDITION` makes one.",
        html_table(
            ["edition", "title", "built here", "minutes, all chapters", "run", *NUMBERS],
            [_edition_row(records[each]) for each in sorted(records)],
            "The editions, and the results of the run that the chapters show",
        ),
        _folded_table(
            ["name", "run", "folder", "regions per image", *NUMBERS, "finished"],
            [row for folder in folders for row in _run_rows(root, folder)],
            "The runs: recorded ones of photographs, and those measured here",
        ),
        "## Two editions compared",
        *(pairs or [alone]),
        "`arlib editions compare ONE OTHER` prints what differs on the command line.",
    ]
    return "\n\n".join(blocks) + "\n"


def html_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str, style: str = "facts"
) -> str:
    """Make an HTML table, on one line for Markdown, whose values are texts whatever they hold."""
    frame = pd.DataFrame([[_text(value) for value in row] for row in rows], columns=columns)
    table = frame.to_html(index=False, classes=style, formatters=[str] * len(columns))
    table = table.replace("<thead>", f"<caption>{escape(caption)}</caption><thead>", 1)
    table = re.sub(r"\n *(?=<)", "", table.replace("<th>", '<th scope="col">'))
    return table.replace("\n", "&#10;")  # those of the values


def _folded_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str) -> str:
    """Make an element that unfolds to a table, so that a page of facts keeps to a screen."""
    table = html_table(columns, rows, caption)
    return f"<details class='folded'><summary>{escape(caption)}</summary>{table}</details>"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return str(value)


def _comparison(one: EditionRecord, other: EditionRecord) -> str:
    """Make an element that unfolds to what differs between two editions."""
    comparison = compare_records(one, other)
    heads = [f"{record.name} ({record.when})" for record in (one, other)]
    tables = []
    if comparison.parameters:
        values = [
            (name, *(None if value is None else json.dumps(value) for value in pair))
            for name, pair in comparison.parameters.items()
        ]
        tables += [html_table(["parameter", *heads], values, "Parameters that differ")]
    if comparison.cells:
        outputs = [(cell.chapter, cell.first_line, *cell.excerpts) for cell in comparison.cells]
        caption = "Cells that print something else"
        tables += [html_table(["chapter", "cell", *heads], outputs, caption, "facts outputs")]
    summary = escape(f"{one.name} and {other.name}: {comparison.summary}")
    return f'<details class="comparison"><summary>{summary}</summary>{"".join(tables)}</details>'


def _edition_row(record: EditionRecord) -> tuple[Any, ...]:
    if record.facts is None:
        return (record.name, record.title, *[None] * 7)
    minutes = f"{sum(record.facts['seconds'].values()) / 60:.1f}"
    results = record.facts.get("headline")
    run = record.facts.get("parameters", {}).get("run") if results else None
    return (record.name, record.title, record.when, minutes, run, *_numbers(results))


def _run_rows(root: Path, folder: Path) -> Iterator[tuple[Any, ...]]:
    try:
        runs = list_runs(folder)
    except ValueError as error:
        raise EditionError(str(error)) from error
    for run in runs:
        path = folder / run["name"] / "run.json"
        try:
            facts = read_json(path, {"experiment": dict})
            regions, numbers = facts["experiment"]["max_regions"], _numbers(headline(facts))
            when = finished(facts)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            where = path.relative_to(root)
            raise EditionError(f"{where} does not hold the facts of a run") from error
        below = folder.relative_to(root).as_posix()
        yield (run["name"], run["title"], below, regions, *numbers, when)


def _numbers(results: Mapping[str, Any] | None) -> tuple[Any, ...]:
    if results is None:
        return (None,) * len(NUMBERS)
    rates = [results.get(name) for name in ("global", "fused", "majority")]
    return (results["images"], *(None if rate is None else f"{100 * rate:.1f} %" for rate in rates))
