"""What was found in a dataset, for people and for machines."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from arlib import datasets
from arlib.datasets.catalog import Entry, entry, known
from arlib.datasets.dataset import Dataset, DatasetError
from arlib.datasets.images import ImageError, read_image

SHOWN = 5  # examples of a finding in the text; JSON has all of them


@dataclass(frozen=True)
class Finding:
    """Something odd: `severity` is error, warning or note; `examples` are files or rows."""

    severity: str
    text: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What is in a dataset's folder.

    Attributes:
        name: of the dataset, or the path that was checked.
        root: its folder.
        facts: what was counted, by name.
        findings: what is odd, errors first.
        published: what its authors count, by the same names as the facts.

    Example:
        >>> found = Finding("error", "1 file cannot be read; replace it", ("a.jpg: an empty file",))
        >>> print(Report("mine", Path("mine"), {"images": 2000}, (found,)).as_text())
        mine at mine
          images                     2,000
          error: 1 file cannot be read; replace it
              a.jpg: an empty file
    """

    name: str
    root: Path
    facts: Mapping[str, Any]
    findings: tuple[Finding, ...]
    published: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Tell whether there is an error among the findings."""
        return any(each.severity == "error" for each in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Turn it into what JSON can hold."""
        return {**asdict(self), "root": str(self.root), "failed": self.failed}

    def as_text(self) -> str:
        """Write it for people: the facts, then the findings with their first examples."""
        lines = [f"{self.name} at {self.root}"]
        for key, value in self.facts.items():
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            if key in self.published:
                shown += f"  (published: {self.published[key]:,})"
            lines.append(f"  {key:<26} {shown}")
        for each in self.findings:
            lines.append(f"  {each.severity}: {each.text}")
            lines += [f"      {example}" for example in each.examples[:SHOWN]]
            if (more := len(each.examples) - SHOWN) > 0:
                lines.append(f"      ... and {more} more")
        return "\n".join(lines)


def check(name: str, root: str | Path) -> Report:
    """Check a dataset: counts, balance, missing, unreadable, odd and double files, leaks.

    Every picture is decoded and hashed, with a progress bar on stderr where somebody looks on.

    Args:
        name: of the catalogue, or a path: a folder or table of one's own.
        root: its folder; for a path the path itself.

    Returns:
        The report. What the reader refuses is an error finding, not an exception.

    Raises:
        DatasetError: the dataset has no files, being drawn.
    """
    root = Path(root)
    of = entry(name) if name in known() else None
    if of and not of.folder:
        raise DatasetError(f"{name} has no folder to check; give the path of pictures of your own")
    try:
        if name == "coco":
            facts, findings = _boxes(root)
        elif of and of.subsets:
            facts, findings = _twitter1(root, of)
        else:
            facts, findings = _dataset(datasets.load(name, root if of else None), of)
    except DatasetError as error:
        facts, findings = {}, [Finding("error", str(error))]
    if of and facts.get("images") != 0:  # a finding says so already
        findings += _against(of.published, facts)
    order = ("error", "warning", "note")
    findings.sort(key=lambda each: order.index(each.severity))
    return Report(name, root, facts, tuple(findings), of.published if of else {})


def _dataset(dataset: Dataset, of: Entry | None) -> tuple[dict[str, Any], list[Finding]]:
    facts = {"images": len(dataset), **_balance(dataset), **dataset.counts}
    findings = []
    lost = dataset.counts.get("rows without image", 0)
    if of and lost == of.known.get("rows without image"):
        text = f"{lost:,} rows have no image, as is known of this dataset"
        findings.append(Finding("note", text))
    elif lost:
        findings.append(Finding("warning", f"{lost:,} rows have no image: are files missing?"))
    return facts, findings + _files(dataset)


def _balance(dataset: Dataset) -> dict[str, Any]:
    """Count images of each class and fold, and the share of the largest class."""
    labels = Counter(dataset.labels[dataset.labels >= 0].tolist())
    facts: dict[str, Any] = {name: labels[i] for i, name in enumerate(dataset.emotions)}
    if labels:
        facts["majority"] = f"{max(labels.values()) / labels.total():.1%}"
    if unlabelled := int((dataset.labels < 0).sum()):
        facts["without label"] = unlabelled
    folds = sorted(set(dataset.folds.tolist()))
    if folds != [-1]:
        sizes = (f"{'none' if k < 0 else k}: {int((dataset.folds == k).sum()):,}" for k in folds)
        facts["folds"] = ", ".join(sizes)
    return facts


def _files(dataset: Dataset) -> list[Finding]:
    """Decode and hash every file: unreadable, misnamed, double, contradictory, leaking."""
    endings = Image.registered_extensions()
    unreadable, misnamed = [], []
    same: dict[str, list[int]] = defaultdict(list)
    for index in _watched(range(len(dataset)), dataset.name):
        path = dataset.path(index)
        try:
            read_image(path)
        except ImageError as error:
            unreadable.append(f"{dataset.files[index]}: {error.reason}")
            continue
        same[hashlib.sha256(path.read_bytes()).hexdigest()].append(index)
        with Image.open(path) as image:
            holds = "JPEG" if image.format == "MPO" else image.format  # a JPEG with more behind it
        if holds != endings.get(path.suffix.lower()):
            misnamed.append(f"{dataset.files[index]}: {holds}")
    double = [group for group in same.values() if len(group) > 1]
    contradict = [group for group in double if len(set(dataset.labels[group].tolist())) > 1]
    leaks = [group for group in double if len(set(dataset.folds[group].tolist())) > 1]

    def named(groups: list[list[int]], what: np.ndarray) -> list[str]:
        return [" = ".join(f"{dataset.files[i]} ({what[i]})" for i in group) for group in groups]

    emotions = np.array([*dataset.emotions, "no label"])[dataset.labels]
    found = [
        ("error", "files cannot be read; replace or remove them", unreadable),
        ("warning", "groups of equal pictures lie in different folds: a leak from training "
         "into testing", named(leaks, dataset.folds)),
        ("warning", "groups of equal pictures have different labels", named(contradict, emotions)),
        ("note", "groups of equal pictures (byte by byte)", named(double, emotions)),
        ("note", "files hold another format than their ending says; they are read all the same",
         misnamed),
    ]  # fmt: skip
    return [Finding(how, f"{len(what):,} {text}", tuple(what)) for how, text, what in found if what]


def _twitter1(root: Path, of: Entry) -> tuple[dict[str, Any], list[Finding]]:
    """Check the lists of each subset, and the pictures where they are there."""
    facts: dict[str, Any] = {}
    findings = []
    for agree, published in of.subsets.items():
        try:
            labels = datasets.twitter1_labels(root, agree).labels
        except DatasetError as error:
            findings.append(Finding("error", str(error)))
            continue
        rows = dict(zip(of.emotions, np.bincount(labels, minlength=2).tolist(), strict=True))
        split = ", ".join(f"{count:,} {emotion}" for emotion, count in rows.items())
        facts[f"{agree} agree, rows"] = f"{len(labels):,} ({split})"
        findings += [
            Finding(each.severity, f"{agree} agree: {each.text}")
            for each in _against(published, rows)
        ]
    if facts and not any((root / name).is_dir() for name in ("Agg_AMT_Candidates", "images")):
        missing = f"no pictures, labels alone: `arlib data where {of.name}` says how to get them"
        return {"images": 0, **facts}, [*findings, Finding("warning", missing)]
    found, more = _dataset(datasets.load(of.name, root), of)
    return {**found, **facts}, findings + more


def _boxes(root: Path) -> tuple[dict[str, Any], list[Finding]]:
    """Check COCO's ground truth: pictures that cannot be read, boxes outside of theirs."""
    truth = datasets.coco(root)
    unreadable, outside = [], []
    for index in _watched(range(len(truth)), "coco"):
        boxes = truth.boxes[index]
        try:
            height, width = truth.read(index).shape[:2]
        except ImageError as error:
            unreadable.append(str(error))
            continue
        beyond = (boxes[:, :2] < -1) | (boxes[:, 2:] > np.array([width, height]) + 1)  # rounding
        outside += [f"picture {index}: {box.tolist()}" for box in boxes[beyond.any(axis=1)]]
    sizes = [len(boxes) for boxes in truth.boxes]
    facts = {"images": len(truth), "boxes": sum(sizes), "images without box": sizes.count(0)}
    found = (
        (unreadable, "pictures cannot be read; replace them"),
        (outside, "boxes reach beyond their picture: other pictures, or scaled ones?"),
    )
    return facts, [Finding("error", f"{len(x):,} {text}", tuple(x)) for x, text in found if x]


def _against(published: Mapping[str, int], facts: Mapping[str, Any]) -> list[Finding]:
    apart = [
        f"{facts[key]:,} {key} ({facts[key] - number:+,})"
        for key, number in published.items()
        if key in facts and facts[key] != number
    ]
    if not apart:
        return []
    return [Finding("warning", f"not as published: {', '.join(apart)}")]


def _watched(indices: Iterable[int], name: str) -> Iterable[int]:
    return tqdm(indices, desc=f"checking {name}", unit=" files", leave=False, disable=None)
