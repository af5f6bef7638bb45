"""What an edition was made from and with, as facts and as the pages that tell them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from arlib.publishing.editions import available, load_edition
from arlib.publishing.records import Printed, beginning, built, headline, moment, printed, published


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


NUMBERS = ("images", "accuracy, whole", "accuracy, fused, K = 8", "majority")


def editions_page(root: Path, name: str, facts: Mapping[str, Any], chapters: Path) -> str:
    """Write the page of an edition that tells which others and which runs lie beside it.

    Args:
        root: the book's folder.
        name: of the edition whose page it is.
        facts: its own, from `facts_of`.
        chapters: folder of its executed chapters.

    Returns:
        MyST Markdown, with what the page's script compares as JSON in it.

    Raises:
        EditionError: what another edition says of itself is broken.
    """
    there = built(root) | {name: dict(facts)}
    places = {each: published(root, each) for each in there} | {name: chapters}
    said = {each: printed(place) for each, place in places.items() if place.is_dir()}
    blocks = [
        "# Editions and runs",
        "An edition is this book with one set of parameters: `arlib run EDITION` makes one.",
        html_table(
            ["edition", "what it is", "built here", "minutes of chapters", "run", *NUMBERS],
            [_edition_row(root, each, there.get(each)) for each in _names(root, there)],
            "The editions, and what the run says that the chapters look at",
        ),
        html_table(
            ["run", "where", "network", "regions an image", *NUMBERS, "finished"],
            [_run_row(root, path) for path in _runs(root)],
            "The runs: recorded ones of photographs, and those measured here",
        ),
        "## Two editions side by side",
        _picker(name, side_by_side(there, said)),
        "`arlib editions compare ONE OTHER` tells the same on the command line.",
    ]
    return "\n\n".join(blocks) + "\n"


def side_by_side(
    there: Mapping[str, Mapping[str, Any]], said: Mapping[str, Printed]
) -> dict[str, Any]:
    """Gather what tells any two editions apart, each text once.

    Args:
        there: facts of editions, by name; those without parameters are left out.
        said: what their cells printed, by name; those of which nothing is known are left out.

    Returns:
        JSON values. `editions`: name, title, when, parameters as texts, and for each of `cells`
        the index of its text there, -1 where it has no such cell. `cells`: those that do not
        print the same everywhere, with chapter, the code's first line, and the texts' first lines.
        `alike`: how many do.

    Example:
        >>> facts = {"title": "", "seconds": {}, "parameters": {"k": 8}}
        >>> said = {"a": {("01", "f(k)", 0): "3"}, "b": {("01", "f(k)", 0): "4"}}
        >>> found = side_by_side({"a": facts, "b": facts}, said)
        >>> found["cells"], [edition["said"] for edition in found["editions"]]
        ([{'chapter': '01', 'source': 'f(k)', 'texts': ['3', '4']}], [[0], [1]])
    """
    names = [name for name, facts in there.items() if "parameters" in facts and name in said]
    keys = dict.fromkeys(key for name in names for key in said[name])
    cells, indices, alike = [], [], 0
    for chapter, source, nth in sorted(keys, key=lambda key: key[0]):
        key = (chapter, source, nth)
        texts = list(dict.fromkeys(said[name][key] for name in names if key in said[name]))
        if len(texts) == 1 and all(key in said[name] for name in names):
            alike += 1
            continue
        first = source.strip().partition("\n")[0]
        shown = [beginning(text) for text in texts]
        cells.append({"chapter": chapter, "source": first, "texts": shown})
        indices.append([texts.index(said[n][key]) if key in said[n] else -1 for n in names])
    editions = [
        {
            "name": name,
            "title": there[name]["title"],
            "when": moment(there[name]),
            "parameters": {
                key: json.dumps(value, ensure_ascii=False)
                for key, value in sorted(there[name]["parameters"].items())
            },
            "said": [index[n] for index in indices],
        }
        for n, name in enumerate(names)
    ]
    return {"editions": editions, "cells": cells, "alike": alike}


def _picker(name: str, told: Mapping[str, Any]) -> str:
    """The form in which two editions are picked, and the JSON that its script compares."""
    names = [edition["name"] for edition in told["editions"]]
    if len(names) < 2:
        return "Only this edition was built here: with a second one, two can be compared here."
    other = next(each for each in names if each != name)
    facts = json.dumps(told)  # in ASCII, on one line
    for letter in "<>&":  # no text ends the element, or begins another
        facts = facts.replace(letter, f"\\u{ord(letter):04x}")
    lines = [
        '<form class="compare" id="compare-editions" hidden>',
        _select("compare-one", "The edition", names, name),
        _select("compare-other", "beside", names, other),
        "</form>",
        '<p id="compare-said" role="status"></p><div id="compare-found"></div>',
        "<noscript><p>Comparing them on this page takes JavaScript.</p></noscript>",
        f'<script type="application/json" id="compare-facts">{facts}</script>',
        '<script src="../_static/editions.js"></script>',
    ]
    return "<div>\n" + "\n".join(lines) + "\n</div>"


def _select(key: str, label: str, names: list[str], chosen: str) -> str:
    options = "".join(
        f"<option{' selected' if each == chosen else ''}>{escape(each)}</option>" for each in names
    )
    return f'<label for="{key}">{label}</label> <select id="{key}">{options}</select>'


def _names(root: Path, there: Mapping[str, Any]) -> list[str]:
    return sorted({*available(root), *there})


def _edition_row(root: Path, name: str, facts: Mapping[str, Any] | None) -> tuple[Any, ...]:
    if facts is None:
        return (name, load_edition(root, name).title, *[None] * 7)
    minutes = f"{sum(facts['seconds'].values()) / 60:.1f}"
    shown = facts.get("headline")
    run = facts.get("parameters", {}).get("run") if shown else None
    return (name, facts["title"], moment(facts), minutes, run, *_numbers(shown))


def _runs(root: Path) -> list[Path]:
    recorded = sorted((root / "book" / "results").glob("*/run.json"))
    return recorded + sorted((root / "_build").glob("*/results/*/run.json"))


def _run_row(root: Path, path: Path) -> tuple[Any, ...]:
    facts = json.loads(path.read_text())
    folder = path.parent.relative_to(root)
    settings = facts["experiment"]
    network = settings.get("backbones") or settings["synthetic"]["backbone"]
    regions = settings.get("max_regions") or settings["synthetic"]["max_regions"]
    numbers = _numbers(headline(facts))
    return (folder.name, folder.parent.as_posix(), network, regions, *numbers, moment(facts))


def _numbers(shown: Mapping[str, Any] | None) -> tuple[Any, ...]:
    if shown is None:
        return (None,) * len(NUMBERS)
    rates = [shown[name] for name in ("whole", "fused", "majority")]
    return (shown["images"], *(None if rate is None else f"{100 * rate:.1f} %" for rate in rates))
