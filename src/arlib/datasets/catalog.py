"""The catalogue: what is known of each dataset, how to get it, and whether it is here."""

import os
import re
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from arlib.datasets.dataset import DatasetError


@dataclass(frozen=True)
class Download:
    """One file that a dataset is fetched from.

    Attributes:
        url: its address.
        bytes: its size.
        sha256: of its content.
        take: path in the archive -> path in the dataset's folder; everything else is left.
    """

    url: str
    bytes: int
    sha256: str
    take: Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """What is known of one dataset.

    Attributes:
        name: what `arlib data` calls it.
        title: what people call it.
        labelled: who labelled it, and how.
        licence: what is allowed, in words.
        traps: what has gone wrong with it before.
        steps: how to obtain it, in order.
        cite: keys in the book's `references.bib`.
        year: of its publication; 0 = never published.
        folder: its folder under ARLIB_DATA, as a glob pattern; "" = it has none.
        emotions: its classes.
        published: what its authors count: images, rows, pairs, and images of a class.
        subsets: likewise for parts of it: images of each class.
        known: counts that a reader gives and that are as they should be.
        layout: its files, as a tree.
        no_fetch: why it cannot be fetched; "" = it can.
        fetch_into: the folder under ARLIB_DATA that it is fetched into.
        downloads: what it is fetched from.
    """

    name: str
    title: str
    labelled: str
    licence: str
    traps: tuple[str, ...]
    steps: tuple[str, ...]
    cite: tuple[str, ...] = ()
    year: int = 0
    folder: str = ""
    emotions: tuple[str, ...] = ()
    published: Mapping[str, int] = field(default_factory=dict)
    subsets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)
    layout: str = ""
    no_fetch: str = ""
    fetch_into: str = ""
    downloads: tuple[Download, ...] = ()

    @property
    def majority(self) -> float | None:
        """The published share of the largest class; None where classes are not published."""
        shares = [self.published[each] for each in self.emotions if each in self.published]
        return max(shares) / sum(shares) if shares else None


def known() -> tuple[str, ...]:
    """Name every dataset in the catalogue.

    Example:
        >>> known()
        ('twitter1', 'twitter2', 'vso', 'oasis', 'fi', 'emotionroi', 'coco', ...)
    """
    return tuple(_catalogue())


def entry(name: str) -> Entry:
    """Look up a dataset.

    Raises:
        DatasetError: the catalogue has no such name.

    Example:
        >>> entry("twitter2").published["positive"], round(entry("twitter2").majority, 3)
        (470, 0.779)
    """
    if name not in _catalogue():
        raise DatasetError(f"no dataset {name!r} in the catalogue; there are {', '.join(known())}")
    return _catalogue()[name]


def data_root() -> Path:
    """Locate the folder that `ARLIB_DATA` names.

    Raises:
        DatasetError: it names none, or one that is not there.
    """
    data = os.environ.get("ARLIB_DATA")
    if not data:
        raise DatasetError("set ARLIB_DATA to the folder that holds, or shall hold, the datasets")
    if not Path(data).is_dir():
        raise DatasetError(f"ARLIB_DATA names {data}, which is no folder: make it, or name another")
    return Path(data)


def here(name: str) -> tuple[Path, ...]:
    """Find a dataset's folders under `ARLIB_DATA`; without that variable nothing is here.

    Raises:
        DatasetError: the catalogue has no such name, or ARLIB_DATA names no folder.

    Example:
        >>> here("scenes")
        ()
    """
    pattern = entry(name).folder
    if not pattern or not os.environ.get("ARLIB_DATA"):
        return ()
    return tuple(sorted(path for path in data_root().glob(pattern) if path.is_dir()))


def parse(text: str) -> dict[str, Entry]:
    """Read a catalogue, strictly.

    Raises:
        DatasetError: naming the entry, and the key that is unknown, missing or of another type.

    Example:
        >>> parse("x: {titel: X}")
        Traceback (most recent call last):
        ...
        arlib.datasets.dataset.DatasetError: catalogue, x: unknown keys ['titel']
    """
    raw = yaml.safe_load(text)
    if not isinstance(raw, dict):
        raise DatasetError("catalogue: not a mapping of names to entries")
    return {name: _entry(name, facts) for name, facts in raw.items()}


@cache
def _catalogue() -> dict[str, Entry]:
    return parse(files("arlib.datasets").joinpath("datasets.yaml").read_text(encoding="utf-8"))


def _entry(name: str, facts: Any) -> Entry:
    _check_keys(name, facts, Entry, given={"name"})
    rows = facts.get("downloads", [])
    for row in rows:
        _check_keys(f"{name}, downloads", row, Download)
    downloads = tuple(Download(**row) for row in rows)
    values: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()
    }
    made = Entry(**(values | {"name": name, "downloads": downloads}))
    if bool(made.downloads) == bool(made.no_fetch) or bool(made.downloads) != bool(made.fetch_into):
        raise DatasetError(f"catalogue, {name}: give downloads with fetch_into, or no_fetch")
    if extra := {key for part in made.subsets.values() for key in part} - {*made.emotions}:
        raise DatasetError(f"catalogue, {name}: subsets count {sorted(extra)}, which is no emotion")
    return made


def _check_keys(where: str, facts: Any, kind: type, given: frozenset | set = frozenset()) -> None:
    """Refuse keys that are unknown, missing, or of another type than the field's."""
    if not isinstance(facts, dict):
        raise DatasetError(f"catalogue, {where}: not a mapping: {facts!r}")
    known_fields = {each.name: each for each in fields(kind) if each.name not in given}
    if unknown := sorted(facts.keys() - known_fields.keys()):
        raise DatasetError(f"catalogue, {where}: unknown keys {unknown}")
    for key, each in known_fields.items():
        required = each.default is MISSING and each.default_factory is MISSING
        if required and key not in facts:
            raise DatasetError(f"catalogue, {where}: no {key}")
        wanted = {"str": str, "int": int, "tup": list, "Map": dict}[_kind(each.type)]
        if key in facts and not isinstance(facts[key], wanted):
            raise DatasetError(
                f"catalogue, {where}: {key} must be {wanted.__name__}, not {facts[key]!r}"
            )


def _kind(annotation: Any) -> str:
    return str(getattr(annotation, "__name__", annotation))[:3]


HEAD = ("dataset", "published", "majority", "who labelled it, and how", "licence", "get it")


def as_markdown() -> str:
    """Render the catalogue as the book shows it: a table, then a section for each dataset.

    Example:
        >>> print(as_markdown()[:37])
        | dataset | published | majority | wh
    """
    entries = [entry(name) for name in known()]
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    lines += ["| " + " | ".join(_cells(each)) + " |" for each in entries]
    return "\n".join(lines) + "".join(f"\n\n{_section(each)}" for each in entries)


def where(name: str) -> str:
    """Say how to obtain a dataset, step by step, and the layout that is expected.

    Raises:
        DatasetError: the catalogue has no such name.

    Example:
        >>> print(where("scenes").splitlines()[0])
        scenes, drawn by this library
    """
    of = entry(name)
    lines = [of.title + (f" ({of.year})" if of.year else "")]
    facts = {
        "published": counts(of),
        "labelled by": of.labelled,
        "licence": of.licence,
        "citation": ", ".join(of.cite),
        "fetch": f"arlib data fetch {name}" if of.downloads else f"no: {of.no_fetch}",
    }
    lines += [_filled(f"  {key:<12} ", value) for key, value in facts.items() if value]
    lines += ["", "How to get it:"]
    lines += [_filled(f"  {n}. ", _plain(step)) for n, step in enumerate(of.steps, 1)]
    if of.layout:
        place = "under $ARLIB_DATA" if of.folder else "anywhere"
        lines += ["", f"Its layout, {place}:", textwrap.indent(of.layout.rstrip(), "  ")]
    lines += ["", "What to look out for:"]
    lines += [_filled("  - ", _plain(trap)) for trap in of.traps]
    return "\n".join(lines)


def counts(of: Entry) -> str:
    """Put what is published of a dataset into words; "" where nothing is.

    Example:
        >>> counts(entry("twitter2"))
        '603 images: 470 positive, 133 negative'
    """
    classes = [each for each in of.emotions if each in of.published]
    words = {"rows": "images"}  # OASIS' table has a row for each image
    whole = [
        f"{n:,} {words.get(what, what)}" for what, n in of.published.items() if what not in classes
    ]
    numbers = {of.published[each] for each in classes}
    if len(numbers) == 1 and len(classes) > 2:
        return f"{', '.join(whole)}: {len(classes)} × {numbers.pop()}"
    split = ", ".join(f"{of.published[each]:,} {each}" for each in classes)
    return ", ".join(whole) + (f": {split}" if split else "")


def _cells(of: Entry) -> list[str]:
    cite = f" {{cite}}`{','.join(of.cite)}`" if of.cite else ""
    majority = f"{of.majority:.1%}" if of.majority else "–"
    get = "`arlib data fetch`" if of.downloads else f"{{ref}}`by hand <data-{of.name}>`"
    if not of.folder:
        get = f"{{ref}}`how <data-{of.name}>`"
    return [
        f"**{of.name}** {of.title}{cite}",
        counts(of) or "–",
        majority,
        of.labelled,
        of.licence,
        get,
    ]


def _section(of: Entry) -> str:
    lines = [f"(data-{of.name})=", f"## {of.title}", ""]
    if of.subsets:
        rows = (
            f"{part}: {sum(n.values()):,} ({', '.join(f'{v:,} {k}' for k, v in n.items())})"
            for part, n in of.subsets.items()
        )
        lines += [f"Its parts, as published: {'; '.join(rows)}.", ""]
    lines += [f"{n}. {step}" for n, step in enumerate(of.steps, 1)]
    if of.layout:
        lines += ["", "```text", of.layout.rstrip(), "```"]
    lines += ["", "Known traps:", "", *(f"- {trap}" for trap in of.traps)]
    if not of.downloads and of.folder:
        lines += ["", f"`arlib data fetch {of.name}` does not exist, because {of.no_fetch}."]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Take Markdown's marks out of a sentence."""
    return re.sub(r"`([^`]*)`", r"\1", re.sub(r"<(\w+:[^>]*)>", r"\1", text))


def _filled(first: str, text: str) -> str:
    return textwrap.fill(
        text,
        width=96,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
