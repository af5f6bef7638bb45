"""The catalogue: what is known of each dataset, how to get it, and whether it is here."""

import json
import os
import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from arlib._support.settings import check_settings
from arlib.datasets.files import DatasetError


@dataclass(frozen=True)
class Download:
    """One file that a dataset is fetched from."""

    url: str = ""
    bytes: int = 0
    sha256: str = ""
    take: Mapping[str, str] = field(default_factory=dict)  # path in the archive -> in the folder


@dataclass(frozen=True)
class Entry:
    """What is known of one dataset."""

    name: str = ""  # what `arlib data` calls it
    title: str = ""  # what people call it
    labelled: str = ""  # who labelled it, and how
    licence: str = ""  # what is allowed, in words
    regions: str = ""  # what tells where the sentiment is, and where it is read; "" = nothing
    traps: list[str] = field(default_factory=list)  # what has gone wrong with it before
    steps: list[str] = field(default_factory=list)  # how to obtain it, in order
    cite: list[str] = field(default_factory=list)  # keys in the book's `references.bib`
    year: int = 0  # of its publication; 0 = never published
    folder: str = ""  # its folder under ARLIB_DATA, as a glob pattern; "" = it has none
    emotions: list[str] = field(default_factory=list)
    # counts that its authors publish: images, rows, pairs, and images of a class; then those of
    # its parts, and those of a reader that are as they should be
    published: Mapping[str, int] = field(default_factory=dict)
    subsets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)
    layout: str = ""  # its files, as a tree
    no_fetch: str = ""  # why it cannot be fetched; "" = it can
    fetch_into: str = ""  # the folder under ARLIB_DATA that it is fetched into
    downloads: list[Download] = field(default_factory=list)

    @property
    def heading(self) -> str:
        """The title, and the year where there is one."""
        return self.title + (f" ({self.year})" if self.year else "")

    @property
    def majority(self) -> float | None:
        """The published share of the largest class; None where classes are not published."""
        shares = [self.published[each] for each in self.emotions if each in self.published]
        return max(shares) / sum(shares) if shares else None

    @property
    def counts(self) -> str:
        """What is published of it, in words; "" where nothing is."""
        classes = [each for each in self.emotions if each in self.published]
        words = {"rows": "images"}  # OASIS' table has a row for each image
        totals = [f"{n:,} {words.get(k, k)}" for k, n in self.published.items() if k not in classes]
        numbers = {self.published[each] for each in classes}
        if len(numbers) == 1 and len(classes) > 2:
            return f"{', '.join(totals)}: {len(classes)} × {numbers.pop()}"
        split = ", ".join(f"{self.published[each]:,} {each}" for each in classes)
        return ", ".join(totals) + (f": {split}" if split else "")


PARTS = {
    "twitter1-five": "twitter1",
    "twitter1-four": "twitter1",
    "twitter1-three": "twitter1",
    "vso-held-out": "vso",
}
"""Names of a part of a dataset -> the dataset, of the catalogue."""


_TITLES = {
    "twitter1-five": "Twitter I, five agree",
    "twitter1-four": "Twitter I, four agree",
    "twitter1-three": "Twitter I, three agree",
    "vso": "Flickr",
    "scenes-objects": "synthetic objects",
    "scenes-tagged": "tagged scenes",
    "scenes-annotated": "annotated scenes",
    "scenes-folded": "unbalanced scenes",
}
"""What tables and figures call a dataset, where that is not the catalogue's title."""


def title(name: str) -> str:
    """Name a dataset in words, as a part of a sentence.

    Args:
        name: of a dataset, of its held-out part, or the path of images of one's own.

    Example:
        >>> title("twitter2"), title("vso-held-out"), title("scenes-tagged")
        ('Twitter II', 'Flickr, held out', 'tagged scenes')
        >>> title("photos/my_labels.csv")
        'my labels'
    """
    own = name.removesuffix("-held-out")
    if own in _TITLES:
        words = _TITLES[own]
    elif own in _catalogue():
        words = _catalogue()[own].title
    else:
        words = Path(own).stem.replace("_", " ")
    return words if own == name else f"{words}, held out"


def source_of(name: str) -> str:
    """Name the dataset whose images a dataset takes: another one of a part, else itself.

    Args:
        name: of a dataset, or a path.

    Example:
        >>> source_of("vso-held-out"), source_of("oasis")
        ('vso', 'oasis')
    """
    return PARTS.get(name, name)


def known() -> tuple[str, ...]:
    """Name every dataset in the catalogue."""
    return tuple(_catalogue())


def entry(name: str) -> Entry:
    """Look up a dataset, by its name or that of a part."""
    name = source_of(name)
    if name not in _catalogue():
        raise DatasetError(f"no dataset {name!r} in the catalogue; there are {', '.join(known())}")
    return _catalogue()[name]


def data_root() -> Path:
    """Locate the folder that `ARLIB_DATA` names."""
    data = os.environ.get("ARLIB_DATA")
    if not data:
        raise DatasetError("set ARLIB_DATA to the folder that holds, or shall hold, the datasets")
    if not Path(data).is_dir():
        raise DatasetError(f"ARLIB_DATA names {data}, which is no folder: make it, or name another")
    return Path(data)


def folders_of(name: str) -> list[Path]:
    """Find a dataset's folders under `ARLIB_DATA`; without that variable there is none."""
    pattern = entry(name).folder
    if not pattern or not os.environ.get("ARLIB_DATA"):
        return []
    return sorted(path for path in data_root().glob(pattern) if path.is_dir())


def parse(text: str) -> dict[str, Entry]:
    """Read a catalogue; refuse keys that are unknown, missing or of another type."""
    return {name: _entry(name, facts) for name, facts in yaml.safe_load(text).items()}


@cache
def _catalogue() -> dict[str, Entry]:
    return parse(files("arlib.datasets").joinpath("datasets.yaml").read_text(encoding="utf-8"))


def _entry(name: str, facts: dict[str, Any]) -> Entry:
    where = f"the catalogue's {name}"
    defaults, of_download = asdict(Entry()), asdict(Download())
    del defaults["name"]
    facts = check_settings(facts, defaults, where)
    rows = [check_settings(row, of_download, where) for row in facts.pop("downloads", [])]
    result = Entry(**facts, name=name, downloads=[Download(**row) for row in rows])
    required = ("title", "labelled", "licence", "traps", "steps")
    missing = [key for key in required if key not in facts]
    missing += [key for row in rows for key in of_download if key not in row]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    if bool(rows) == bool(result.no_fetch) or bool(rows) != bool(result.fetch_into):
        raise ValueError(f"{where} must have downloads with fetch_into, or no_fetch")
    if extra := {key for part in result.subsets.values() for key in part} - {*result.emotions}:
        raise ValueError(f"{where} has subsets of {sorted(extra)}, which is no emotion of it")
    return result


def describe(name: str | None = None, form: str = "text") -> str:
    """Describe how to obtain a dataset, and its layout; or list all datasets, and which are here.

    Args:
        name: of the catalogue; None lists all: how large, licensed and cited they are.
        form: of the list: "text"; "json"; or "markdown", the generated part of the book's page on
            datasets: a table, then a section for each dataset. One dataset is described in text.

    Raises:
        DatasetError: the catalogue has no such name, or ARLIB_DATA names no folder.
        ValueError: there is no such form.

    Example:
        >>> print(describe("scenes").splitlines()[0])
        synthetic scenes, drawn by this library
        >>> print(describe(form="markdown")[:37])
        | dataset | published | majority | wh
    """
    forms = {"text": _as_text, "json": _as_json, "markdown": _as_markdown}
    if form not in forms:
        raise ValueError(f"form must be 'text', 'markdown' or 'json', not {form!r}")
    if name is None:
        return forms[form]([entry(each) for each in known()])
    if form != "text":
        raise ValueError(f"one dataset is described in text, not in {form}: form is for the list")
    return _instructions(entry(name))


def _as_text(entries: list[Entry]) -> str:
    lines = []
    for of in entries:
        folders = [f"{path}, {size / 1e6:,.1f} MB" for path, size in _sizes(of).items()]
        lines.append(f"{of.name:<12} {of.heading}")
        facts = {
            "published": of.counts,
            "here": "; ".join(folders) or ("no" if of.folder else ""),
            "licence": of.licence,
            "citation": ", ".join(of.cite),
        }
        lines += [f"    {key:<10} {value}" for key, value in facts.items() if value]
    return "\n".join(lines)


def _as_json(entries: list[Entry]) -> str:
    facts = [
        {
            "name": of.name,
            "title": of.title,
            "published": of.published,
            "here": [{"path": path, "bytes": size} for path, size in _sizes(of).items()],
            "licence": of.licence,
            "citation": of.cite,
            "fetch": bool(of.downloads),
        }
        for of in entries
    ]
    return json.dumps(facts, indent=2)


def _as_markdown(entries: list[Entry]) -> str:
    head = ("dataset", "published", "majority", "who labelled it, and how", "licence", "get it")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(_cells(of))} |" for of in entries]
    return "\n".join(lines) + "".join(f"\n\n{_section(of)}" for of in entries)


def _instructions(of: Entry) -> str:
    facts = {
        "published": of.counts,
        "labelled by": of.labelled,
        "regions": plain(of.regions),
        "licence": of.licence,
        "citation": ", ".join(of.cite),
        "fetch": f"arlib data fetch {of.name}" if of.downloads else f"no: {of.no_fetch}",
    }
    lines = [of.heading]
    lines += [_filled(f"  {key:<12} ", value) for key, value in facts.items() if value]
    lines += ["", "How to get it:"]
    lines += [_filled(f"  {n}. ", plain(step)) for n, step in enumerate(of.steps, 1)]
    if of.layout:
        place = "under $ARLIB_DATA" if of.folder else "anywhere"
        lines += ["", f"Its layout, {place}:", textwrap.indent(of.layout.rstrip(), "  ")]
    lines += ["", "What to look out for:"]
    lines += [_filled("  - ", plain(trap)) for trap in of.traps]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Take Markdown's marks out of a sentence."""
    return re.sub(r"`([^`]*)`", r"\1", re.sub(r"<(\w+:[^>]*)>", r"\1", text))


def _cells(of: Entry) -> tuple[str, ...]:
    cite = f" {{cite}}`{','.join(of.cite)}`" if of.cite else ""
    get = "`arlib data fetch`" if of.downloads else f"{{ref}}`by hand <data-{of.name}>`"
    return (
        f"**{of.name}** {of.title}{cite}",
        of.counts or "–",
        f"{of.majority:.1%}" if of.majority else "–",
        of.labelled,
        of.licence,
        get if of.folder else f"{{ref}}`how <data-{of.name}>`",
    )


def _section(of: Entry) -> str:
    lines = [f"(data-{of.name})=", f"## {of.title}", ""]
    if of.subsets:
        rows = (
            f"{part}: {sum(n.values()):,} ({', '.join(f'{v:,} {k}' for k, v in n.items())})"
            for part, n in of.subsets.items()
        )
        lines += [f"Its parts, as published: {'; '.join(rows)}.", ""]
    if of.regions:
        lines += [f"Known regions: {of.regions}.", ""]
    lines += [f"{n}. {step}" for n, step in enumerate(of.steps, 1)]
    if of.layout:
        lines += ["", "```text", of.layout.rstrip(), "```"]
    lines += ["", "Known traps:", "", *(f"- {trap}" for trap in of.traps)]
    if not of.downloads and of.folder:
        lines += ["", f"`arlib data fetch {of.name}` does not exist, because {of.no_fetch}."]
    return "\n".join(lines)


def _sizes(of: Entry) -> dict[str, int]:
    """Measure a dataset's folders here: path -> bytes."""
    return {
        str(folder): sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in folders_of(of.name)
    }


def _filled(first: str, text: str) -> str:
    return textwrap.fill(
        text,
        width=96,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
