"""List the editions that were built here, and compare two of them."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from arlib._support.files import read_json
from arlib._support.provenance import machine, source_commit
from arlib.publishing.chapters import INJECTED, text_values
from arlib.publishing.editions import (
    Edition,
    EditionError,
    edition_names,
    read_edition,
    read_notebook,
)

PUBLISHERS = ("jupyter-book", "papermill", "sphinx-book-theme")
"""Packages that make pages of chapters: their versions are noted beside the method's own."""


@dataclass(frozen=True)
class EditionRecord:
    """An edition of the book, and the facts that were noted when it was built here, if it was."""

    name: str
    title: str
    facts: Mapping[str, Any] | None
    chapters: Path

    @property
    def when(self) -> str:
        """When it was built, in UTC to the minute."""
        return "not built" if self.facts is None else finished(self.facts)

    @property
    def obstacle(self) -> str | None:
        """The reason why it cannot be compared, as the end of a sentence."""
        if self.facts is None:
            return "was not built here (arlib run)"
        if "parameters" not in self.facts:
            return "was built before parameters were noted: build it again"
        return None if self.chapters.is_dir() else "no longer has its site: build it again"

    @cached_property
    def outputs(self) -> dict[tuple[str, str, int], str]:
        """Chapter, source, number of earlier cells with this source -> what it printed.

        Of text, the values in it.
        """
        texts = {}
        for path in sorted(self.chapters.glob("*.ipynb")):
            seen: Counter[str] = Counter()
            for cell in read_notebook(path).cells:
                if INJECTED in cell.metadata.get("tags", []):
                    continue
                parts = [text for output in cell.get("outputs", []) for text in _texts(output)]
                parts += [f"{expression} = {value}" for expression, value in text_values(cell)]
                if cell.cell_type != "code" and not parts:
                    continue
                texts[path.stem, cell.source, seen[cell.source]] = "\n".join(parts)
                seen[cell.source] += 1
        return texts


def list_editions(root: Path) -> list[EditionRecord]:
    """List the editions of the book at `root`, those built here with what was noted then.

    Args:
        root: the book's folder.

    Returns:
        Records by name: `name`, `title`, `when` and `facts`, the content of `edition.json`, which
        is None where the edition was not built here.

    Raises:
        EditionError: an edition or a file `edition.json` is invalid; it is named.
    """
    built = {path.parent.name: path for path in (root / "_build").glob("*/edition.json")}
    records = []
    for name in sorted({*edition_names(root), *built}):
        facts = _read_facts(root, built[name]) if name in built else None
        title = (facts or read_edition(root, name))["title"]
        chapters = root / "_build" / name / "html" / "_sources" / "book"  # complete, or absent
        records.append(EditionRecord(name, title, facts, chapters))
    return records


def _read_facts(root: Path, path: Path) -> dict[str, Any]:
    try:
        facts = read_json(path, {"title": str, "seconds": dict}, {"parameters": dict})
        finished(facts)
        math.fsum(facts["seconds"].values())
    except (OSError, ValueError, TypeError) as error:
        raise EditionError(
            f"{path.relative_to(root)} does not hold the facts of an edition: remove it"
        ) from error
    return facts


@dataclass(frozen=True)
class Cell:
    """A cell that prints or holds other values; None stands for an edition without such a cell."""

    chapter: str
    source: str
    outputs: tuple[str | None, str | None]

    @property
    def first_line(self) -> str:
        """Its code's first line."""
        return self.source.strip().partition("\n")[0]

    @property
    def excerpts(self) -> tuple[str, str]:
        """The first lines of both outputs."""
        one, other = ("(no such cell)" if t is None else _excerpt(t) for t in self.outputs)
        return one, other


@dataclass(frozen=True)
class Comparison:
    """Where two built editions differ.

    Attributes:
        names: of the two.
        parameters: name -> the two values; None where one has no such parameter.
        cells: those that print or hold other values.
        same: how many have the same.
    """

    names: tuple[str, str]
    parameters: dict[str, tuple[Any, Any]]
    cells: list[Cell]
    same: int

    @property
    def summary(self) -> str:
        """How much differs, in one line."""
        return (
            f"{len(self.parameters)} parameters differ; {len(self.cells)} cells print "
            f"something else, {self.same} the same"
        )


def compare_editions(root: Path, one: str, other: str) -> Comparison:
    """Compare two built editions: their parameters, and the text that their cells printed.

    Args:
        root: the book's folder.
        one: name of an edition.
        other: likewise.

    Raises:
        EditionError: one of them was not built here, naming those that were; or it was built by a
            version that noted no parameters, or its site was removed.
    """
    records = {record.name: record for record in list_editions(root)}
    built = ", ".join(name for name, record in records.items() if record.facts) or "none"
    for name in (one, other):
        obstacle = records[name].obstacle if name in records else "was not built here (arlib run)"
        if obstacle:
            raise EditionError(f"edition {name!r} {obstacle}; built: {built}")
    return compare_records(records[one], records[other])


def compare_records(one: EditionRecord, other: EditionRecord) -> Comparison:
    """Compare two editions that have no `obstacle`."""
    first, second = ((record.facts or {})["parameters"] for record in (one, other))
    names = sorted(first.keys() | second.keys())
    parameters = {n: (first.get(n), second.get(n)) for n in names if first.get(n) != second.get(n)}
    cells, same = [], 0
    for key in sorted(one.outputs | other.outputs, key=lambda key: key[0]):  # in a chapter's order
        outputs = (one.outputs.get(key), other.outputs.get(key))
        if outputs[0] == outputs[1]:
            same += 1
        else:
            cells.append(Cell(key[0], key[1], outputs))
    return Comparison((one.name, other.name), parameters, cells, same)


def _excerpt(text: str, most: int = 6) -> str:
    """The first lines of a text, and how many follow."""
    lines = text.strip().splitlines() or ["(nothing)"]
    more = [f"... and {len(lines) - most} lines more"] if len(lines) > most else []
    return "\n".join([*lines[:most], *more])


def _texts(output: Mapping[str, Any]) -> Iterator[str]:
    """Texts of one output of a cell; of a glued value, which is hidden there, with its name."""
    if "text" in output:
        yield "".join(output["text"])
    glued = output.get("metadata", {}).get("scrapbook", {}).get("name")
    for kind, data in output.get("data", {}).items():
        if kind == "text/plain":
            yield "".join(data)
        elif kind.endswith("/text/plain"):
            yield f"{glued} = {''.join(data)}"


def finished(facts: Mapping[str, Any]) -> str:
    """When an edition or a run was finished, in UTC to the minute."""
    if "finished" not in facts:
        return "before that was noted"
    return f"{datetime.fromisoformat(facts['finished']):%Y-%m-%d %H:%M}"


def facts_of(
    edition: Edition,
    parameters: Mapping[str, Any],
    seconds: Mapping[str, float],
    runs: Iterable[str],
    run: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Gather the facts for `edition.json`; `run` is the run.json that the parameter `run` names."""
    return {
        "title": edition.title,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": source_commit(),
        "parameters": dict(parameters),
        "experiment": None if edition.experiment is None else asdict(edition.experiment),
        "runs": list(runs),
        "headline": None if run is None else headline(run),
        "seconds": dict(seconds),
        "machine": machine() | {package: version(package) for package in PUBLISHERS},
    }


def headline(run: Mapping[str, Any]) -> dict[str, float | None]:
    """Pick the numbers that stand for a run.json: None where the run has no labels."""
    data, results = run["dataset"], run["results"]
    rows = {"global": "full image", "fused": "+ obj + senti (K = 8)"}
    accuracy = {
        name: results[row]["accuracy"]["estimate"] if row in results else None
        for name, row in rows.items()
    }
    return {"images": data["images"], "majority": data["majority"], **accuracy}
