"""The catalogue: what is known of each dataset, how to get it, and whether it is here."""

import os
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
    return parse(files("arlib").joinpath("assets/datasets.yaml").read_text(encoding="utf-8"))


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
