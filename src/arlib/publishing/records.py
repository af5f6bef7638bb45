"""Editions that were built here: which there are, and where two of them differ."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat

from arlib._support.provenance import machine, source_commit
from arlib.publishing.chapters import INJECTED
from arlib.publishing.editions import Edition, EditionError

Printed = dict[tuple[str, str, int], str]


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
    """Facts of every edition that was built here: name -> what `edition.json` says.

    Raises:
        EditionError: one of these files is broken; it is named.
    """
    found = {}
    for path in sorted((root / "_build").glob("*/edition.json")):
        try:
            facts = json.loads(path.read_text())
            whole = isinstance(facts, dict) and {"title", "seconds"} <= facts.keys()
        except ValueError:
            whole = False
        if not whole:
            where = path.relative_to(root)
            raise EditionError(f"{where} does not say what an edition was made with: remove it")
        found[path.parent.name] = facts
    return found


def compare_editions(root: Path, one: str, other: str) -> Comparison:
    """Set two built editions side by side: their parameters, and what their cells printed.

    Args:
        root: the book's folder.
        one: name of an edition.
        other: likewise.

    Raises:
        EditionError: one of them was not built here; it lists those that were. Or it was built
            by a version that noted no parameters, or its site was removed.
    """
    facts = built(root)
    for name in (one, other):
        if name not in facts:
            there = ", ".join(facts) or "none"
            raise EditionError(f"edition {name!r} was not built here (arlib run); built: {there}")
        if "parameters" not in facts[name]:
            raise EditionError(
                f"edition {name!r} is of before parameters were noted: build it again"
            )
        if not published(root, name).is_dir():
            raise EditionError(f"the site of edition {name!r} is no longer here: build it again")
    first, second = (printed(published(root, name)) for name in (one, other))
    cells, same = [], 0
    for key in sorted(first | second, key=lambda key: key[0]):  # within a chapter, as they come
        outputs = (first.get(key), second.get(key))
        if outputs[0] == outputs[1]:
            same += 1
        else:
            cells.append(Cell(key[0], key[1], outputs))
    told = [facts[name]["parameters"] for name in (one, other)]
    return Comparison((one, other), differing(*told), cells, same)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Names whose values differ, with both.

    Example:
        >>> differing({"k": 8, "seed": 0}, {"k": 4, "seed": 0, "beta": 0.5})
        {'beta': (None, 0.5), 'k': (8, 4)}
    """
    names = sorted(one.keys() | other.keys())
    return {n: (one.get(n), other.get(n)) for n in names if one.get(n) != other.get(n)}


def moment(facts: Mapping[str, Any]) -> str:
    """Tell when an edition or a run was finished, in UTC to the minute.

    Example:
        >>> moment({"finished": "2026-11-25T13:39:04+00:00"}), moment({})
        ('2026-11-25 13:39', 'before that was noted')
    """
    if "finished" not in facts:
        return "before that was noted"
    return f"{datetime.fromisoformat(facts['finished']):%Y-%m-%d %H:%M}"


def printed(folder: Path) -> Printed:
    """Read what each code cell of executed chapters printed, and the values that it glued.

    Args:
        folder: holds the notebooks.

    Returns:
        (chapter, source, how many cells before it in the chapter say the same) -> text.
    """
    found: Printed = {}
    for path in sorted(folder.glob("*.ipynb")):
        seen: Counter[str] = Counter()
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "code" or INJECTED in cell.metadata.get("tags", []):
                continue
            texts = [text for output in cell.outputs for text in _texts(output)]
            found[path.stem, cell.source, seen[cell.source]] = "\n".join(texts)
            seen[cell.source] += 1
    return found


def published(root: Path, name: str) -> Path:
    """Folder of the executed chapters that the site of an edition offers: whole, or not there."""
    return root / "_build" / name / "html" / "_sources" / "book"


def beginning(text: str, lines: int = 6) -> str:
    r"""Shorten what a cell printed to its first lines, and say how many follow.

    Example:
        >>> beginning("a\nb\nc", lines=2)
        'a\nb\n... and 1 lines more'
    """
    every = text.strip().splitlines()
    more = [f"... and {len(every) - lines} lines more"] if len(every) > lines else []
    return "\n".join([*every[:lines], *more])


def _texts(output: Mapping[str, Any]) -> Iterator[str]:
    """Text of one output of a cell; of a glued value, which is not shown there, with its name."""
    if "text" in output:
        yield "".join(output["text"])
    glued = output.get("metadata", {}).get("scrapbook", {}).get("name")
    for kind, data in output.get("data", {}).items():
        if kind == "text/plain":
            yield "".join(data)
        elif kind.endswith("/text/plain"):
            yield f"{glued} = {''.join(data)}"


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
    ways = {"whole": "full image", "fused": "+ obj + senti (K = 8)"}
    accuracy = {
        name: results[way]["accuracy"]["estimate"] if way in results else None
        for name, way in ways.items()
    }
    return {"images": data["images"], "majority": data["majority"], **accuracy}
