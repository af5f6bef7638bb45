"""Editions that were built here: which there are, and where two of them differ."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import nbformat

from arlib.editions import EditionError, available, load_edition
from arlib.execution import INJECTED
from arlib.status import html_table


@dataclass(frozen=True)
class Cell:
    """A code cell whose text output differs.

    Attributes:
        chapter: such as "03_sentiment_score".
        source: its code; of a cell that only one edition has, that one's.
        outputs: what each of the two editions printed there; None where one has no such cell.
    """

    chapter: str
    source: str
    outputs: tuple[str | None, str | None]


@dataclass(frozen=True)
class Comparison:
    """Where two built editions differ.

    Attributes:
        names: of the two.
        parameters: name -> the two values; None where one has no such parameter.
        cells: code cells whose text output differs.
        same: how many code cells print the same.
    """

    names: tuple[str, str]
    parameters: dict[str, tuple[Any, Any]]
    cells: list[Cell]
    same: int


def built(root: Path) -> dict[str, dict[str, Any]]:
    """Facts of every edition that was built here: name -> what `edition.json` says."""
    found = sorted((root / "_build").glob("*/edition.json"))
    return {path.parent.name: json.loads(path.read_text()) for path in found}


def compare_editions(root: Path, one: str, other: str) -> Comparison:
    """Set two built editions side by side: their parameters, and what their cells printed.

    Args:
        root: the book's folder.
        one: name of an edition.
        other: likewise.

    Raises:
        EditionError: one of them was not built here; it lists those that were.
    """
    facts = built(root)
    for name in (one, other):
        if name not in facts:
            there = ", ".join(facts) or "none"
            raise EditionError(f"edition {name!r} was not built here (arlib run); built: {there}")
    cells, same = [], 0
    folders = [root / "_build" / name / "source" / "book" for name in (one, other)]
    chapters = sorted({path.name for folder in folders for path in folder.glob("*.ipynb")})
    for chapter in chapters:
        pairs = zip_longest(*(_printed(folder / chapter) for folder in folders), fillvalue=None)
        for first, second in pairs:
            source = (first or second or ("", ""))[0]
            outputs = (first and first[1], second and second[1])
            if outputs[0] == outputs[1]:
                same += 1
            else:
                cells.append(Cell(Path(chapter).stem, source, outputs))
    told = [facts[name].get("parameters", {}) for name in (one, other)]
    return Comparison((one, other), differing(*told), cells, same)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Names whose values differ, with both.

    Example:
        >>> differing({"k": 8, "seed": 0}, {"k": 4, "seed": 0, "beta": 0.5})
        {'beta': (None, 0.5), 'k': (8, 4)}
    """
    names = sorted(one.keys() | other.keys())
    return {n: (one.get(n), other.get(n)) for n in names if one.get(n) != other.get(n)}


def editions_page(root: Path, name: str, facts: Mapping[str, Any]) -> str:
    """Write the page that lists editions and runs, and how the built ones differ from this one.

    Args:
        root: the book's folder.
        name: of the edition whose page it is.
        facts: its own, from `arlib.status.facts_of`.

    Returns:
        MyST Markdown.
    """
    there = built(root) | {name: dict(facts)}
    rows = []
    for each in available(root):
        of = there.get(each)
        minutes = f"{sum(of['seconds'].values()) / 60:.1f}" if of else None
        title = load_edition(root, each).title
        rows.append((each, title, of and moment(of), minutes))
    blocks = [
        "# Editions and runs",
        "An edition is this book with one set of parameters: `arlib run EDITION` makes one.",
        html_table(
            ["edition", "what it is", "built here", "minutes of chapters"], rows, "The editions"
        ),
        html_table(
            ["run", "images", "accuracy, whole", "accuracy, fused, K = 8", "majority", "finished"],
            [_row(path) for path in sorted((root / "book" / "results").glob("*/run.json"))],
            "The recorded runs of photographs",
        ),
    ]
    for other in sorted(there.keys() - {name}):
        if "parameters" not in there[other]:
            continue  # built before they were noted
        apart = differing(facts["parameters"], there[other]["parameters"])
        values = [(key, *both) for key, both in apart.items()]
        what = f"Where the parameters of {name}, which you read, and {other} differ"
        blocks.append(html_table(["parameter", name, other], values, what))
    command = (
        "`arlib editions compare ONE OTHER` also tells which cells of any two print otherwise."
    )
    return "\n\n".join([*blocks, command]) + "\n"


def moment(facts: Mapping[str, Any]) -> str:
    """Tell when an edition or a run was finished, in UTC to the minute.

    Example:
        >>> moment({"finished": "2026-11-25T13:39:04+00:00"}), moment({})
        ('2026-11-25 13:39', 'before that was noted')
    """
    if "finished" not in facts:
        return "before that was noted"
    return f"{datetime.fromisoformat(facts['finished']):%Y-%m-%d %H:%M}"


def _row(path: Path) -> tuple[Any, ...]:
    facts = json.loads(path.read_text())
    shown = [facts["results"][way]["accuracy"] for way in ("whole image", "+ obj + senti (K = 8)")]
    texts = [f"{100 * of['estimate']:.1f} %" for of in shown]
    majority = f"{100 * shown[0]['majority']:.1f} %"
    return path.parent.name, facts["dataset"]["images"], *texts, majority, moment(facts)


def _printed(path: Path) -> Iterator[tuple[str, str]]:
    """Each code cell of an executed chapter, and the text of its outputs."""
    if not path.is_file():
        return
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", []):
            texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
            yield cell.source, "\n".join("".join(text) for text in texts)
