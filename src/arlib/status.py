"""What an edition was made from and with, as facts and as the pages that tell them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from typing import Any

from arlib.editions import Edition
from arlib.machine import machine, source_commit

PUBLISHERS = ("jupyter-book", "papermill", "sphinx-book-theme")
"""Packages that make pages of chapters: their versions are noted beside the method's own."""


def facts_of(
    edition: Edition,
    parameters: Mapping[str, Any],
    seconds: Mapping[str, float],
    runs: Iterable[str],
    measured: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Gather what `edition.json` says of an edition whose chapters have just run.

    Args:
        edition: it.
        parameters: name -> value, of every chapter.
        seconds: chapter -> how long it took.
        runs: names of the runs that were measured for it.
        measured: what `run.json` says of the run that its parameter `run` names, if it has one.

    Returns:
        JSON values: title, finished (UTC), commit, parameters, experiment, runs, headline, seconds,
        machine.
    """
    return {
        "title": edition.title,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": source_commit(),
        "parameters": dict(parameters),
        "experiment": None if edition.experiment is None else asdict(edition.experiment),
        "runs": list(runs),
        "headline": None if measured is None else headline(measured),
        "seconds": dict(seconds),
        "machine": machine() | {package: version(package) for package in PUBLISHERS},
    }


def headline(run: Mapping[str, Any]) -> dict[str, float | None]:
    """Pick the numbers that stand for a run: None where it has no labels.

    Args:
        run: what `run.json` says.

    Example:
        >>> headline({"dataset": {"images": 12, "majority": None}, "results": {}})
        {'images': 12, 'majority': None, 'whole': None, 'fused': None}
    """
    data, results = run["dataset"], run["results"]
    ways = {"whole": "whole image", "fused": "+ obj + senti (K = 8)"}
    accuracy = {
        name: results[way]["accuracy"]["estimate"] if way in results else None
        for name, way in ways.items()
    }
    return {"images": data["images"], "majority": data["majority"], **accuracy}


def html_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str) -> str:
    """Make a table whose texts are texts, whatever is in them.

    Args:
        columns: its heads.
        rows: its cells; None is shown as a dash.
        caption: what it is.

    Example:
        >>> html_table(["a"], [["<b> | `c`"]], "one").partition("<tbody>")[2].strip()
        '<tr><td>&lt;b&gt; | `c`</td></tr></tbody></table>'
    """
    heads = "".join(f'<th scope="col">{_text(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_text(c)}</td>' for c in row)}</tr>" for row in rows)
    return (
        f'<table class="facts" tabindex="0"><caption>{_text(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>\n"
    )


def status_page(name: str, facts: Mapping[str, Any]) -> str:
    """Write the page that says how an edition of the book was made.

    Args:
        name: of the edition.
        facts: from `facts_of`.

    Returns:
        MyST Markdown.
    """
    seconds = facts["seconds"]
    chapters = [(chapter, f"{took:.0f}") for chapter, took in seconds.items()]
    made = [("finished", facts["finished"]), ("commit", facts["commit"])]
    blocks = [
        "# How this book was made",
        "Written by the run that made these pages.",
        html_table(
            ["", ""],
            [("edition", name), ("title", facts["title"]), *made, *facts["machine"].items()],
            "The edition, the machine and the versions",
        ),
        html_table(
            ["chapter", "seconds"],
            [*chapters, ("all, one after another", f"{sum(seconds.values()):.0f}")],
            "How long each chapter took; two are executed at a time",
        ),
        html_table(
            ["parameter", "value"],
            sorted(facts["parameters"].items()),
            "Parameters of all chapters, seeds among them",
        ),
    ]
    if facts["experiment"]:
        settings = sorted(facts["experiment"].items())
        blocks.append(html_table(["setting", "value"], settings, "The edition's experiment"))
    again = f"The same again: `arlib run {name}`, with `-p NAME VALUE` for another value."
    return "\n\n".join([*blocks, again]) + "\n"


def _text(value: Any) -> str:
    return escape(" ".join(_shown(value).split()))


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(of)}" for name, of in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return str(value)
