"""Checks of datasets: what is there, and what is odd about it, for people and for machines."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from arlib._support.progress import progress_bar
from arlib._support.settings import near
from arlib.datasets.catalog import Entry, data_root, entry, folders_of, known, source_of
from arlib.datasets.coco import load_coco
from arlib.datasets.containers import format_of
from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, image_ending
from arlib.datasets.images import IMAGE_ENDINGS, ImageError
from arlib.datasets.registry import read
from arlib.datasets.similar import similar_groups, thumbnail
from arlib.datasets.twitter1 import IMAGE_FOLDERS, read_lists, select_subset

EXAMPLES = 5  # of a finding, in the text; JSON has all of them


@dataclass(frozen=True)
class Finding:
    """Something odd in a dataset."""

    severity: str  # error, warning or note
    text: str
    examples: tuple[str, ...] = ()  # files or rows


@dataclass(frozen=True)
class Report:
    """What is in a dataset's folder."""

    name: str  # of the dataset, or the path that was checked
    root: Path
    facts: Mapping[str, Any]  # what was counted, by name
    findings: tuple[Finding, ...]  # errors first
    published: Mapping[str, int] = field(default_factory=dict)  # counts by the facts' names

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return any(each.severity == "error" for each in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {**asdict(self), "root": str(self.root), "failed": self.failed}

    def as_text(self) -> str:
        """Give the facts, then the findings with their first examples."""
        lines = [f"{self.name} at {self.root}"]
        for key, value in self.facts.items():
            text = f"{value:,}" if isinstance(value, int) else str(value)
            if key in self.published:
                text += f"  (published: {self.published[key]:,})"
            lines.append(f"  {key:<26} {text}")
        for each in self.findings:
            lines.append(f"  {each.severity}: {each.text}")
            lines += [f"      {example}" for example in each.examples[:EXAMPLES]]
            if (more := len(each.examples) - EXAMPLES) > 0:
                lines.append(f"      ... and {more} more")
        return "\n".join(lines)


def check(name: str | None = None, *, max_pixels: int | None = None) -> Iterator[Report]:
    """Check datasets: counts, balance, missing, unreadable, odd and double files, leaks.

    Every image is decoded and hashed, with its progress on stderr.

    Args:
        name: of the catalogue or of a part of a dataset there, or the path of a folder or table of
            one's own; None checks everything under `$ARLIB_DATA`.
        max_pixels: of an image, as for `load`.

    Returns:
        A report for each folder, made when it is asked for: `as_text()`, `as_dict()` and `failed`,
        which is True where an error was found. What a reader refuses is such an error.

    Raises:
        DatasetError: there is nothing to check.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> from PIL import Image
        >>> Image.new("RGB", (4, 3)).save(root / "sea.png")
        >>> (report,) = check(str(root))
        >>> report.facts["images"], report.failed
        (1, False)
    """
    name = name and source_of(name)
    if name is None:
        folders = [(each, root) for each in known() for root in folders_of(each)]
        if not folders:
            raise DatasetError(f"no dataset under {data_root()}; `arlib data list`")
    elif name in known() and entry(name).folder:
        folders = [(name, root) for root in folders_of(name)]
        if not folders:
            raise DatasetError(f"{name} is not here: `arlib data where {name}` says how to get it")
    elif Path(name).exists() or name in known():
        folders = [(name, Path(name))]
    else:
        raise DatasetError(
            f"{name} is neither a path nor in the catalogue{near(name, known())}; "
            f"there are {', '.join(known())}"
        )
    for each, root in folders:
        yield check_folder(each, root, max_pixels)


def check_folder(name: str, root: Path, max_pixels: int | None = None) -> Report:
    """Check a dataset of the catalogue, or a path, in a folder."""
    of = entry(name) if name in known() else None
    if of and not of.folder:
        raise DatasetError(f"{name} has no folder to check; give the path of images of your own")
    try:
        if name == "coco":
            facts, findings = _check_boxes(root)
        elif of and of.subsets:
            facts, findings = _check_twitter1(root, of, max_pixels)
        else:
            facts, findings = _check_dataset(
                read(name, root if of else None, max_pixels=max_pixels), of
            )
    except DatasetError as error:
        facts, findings = {}, [Finding("error", str(error))]
    if of and facts.get("images") != 0:  # else a finding names it already
        findings += _compare(of.published, facts)
    order = ("error", "warning", "note")
    findings.sort(key=lambda each: order.index(each.severity))
    return Report(name, root, facts, tuple(findings), of.published if of else {})


def _check_dataset(dataset: Dataset, of: Entry | None) -> tuple[dict[str, Any], list[Finding]]:
    facts = {"images": len(dataset), **_balance(dataset), **dataset.counts}
    findings = [Finding("warning", note) for note in dataset.notes]
    lost = dataset.counts.get("rows without image", 0)
    if of and lost and lost == of.known.get("rows without image"):
        text = f"{lost:,} rows have no image, as is known of this dataset"
        findings.append(Finding("note", text))
    return facts, findings + _check_files(dataset)


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


def _check_files(dataset: Dataset) -> list[Finding]:
    """Decode and hash every file: unreadable, misnamed, double, contradictory, leaking."""
    # decode each file, note its format, hash its bytes and keep a thumbnail
    unreadable, misnamed = [], []
    same: dict[str, list[int]] = defaultdict(list)
    thumbnails: dict[int, np.ndarray] = {}  # of the first of equal files
    for index in _with_bar(range(len(dataset)), dataset.name):
        try:
            image = dataset.read(index)
        except ImageError as error:
            unreadable.append(f"{dataset.files[index]}: {error.reason}")
            continue
        # in Arrow shards an image has no file of its own
        path = None if dataset.draw else dataset.path(index)
        content = path.read_bytes() if path else repr(image.shape).encode() + image.tobytes()
        group = same[hashlib.sha256(content).hexdigest()]
        if not group:
            thumbnails[index] = thumbnail(image)
        group.append(index)
        if path is None:
            continue
        form = format_of(content)
        if form != IMAGE_ENDINGS.get(image_ending(path.name)):
            misnamed.append(f"{dataset.files[index]}: {form}")
    # of equal files, find those whose labels or folds differ; likewise of nearly equal images
    double = [group for group in same.values() if len(group) > 1]
    firsts = list(thumbnails)
    alike = similar_groups(np.array([*thumbnails.values()], np.uint8).reshape(-1, 16, 18))
    similar = [[firsts[number] for number in group] for group in alike]

    def apart(groups: list[list[int]], values: np.ndarray) -> list[list[int]]:
        return [group for group in groups if len(set(values[group].tolist())) > 1]

    def named(groups: list[list[int]], values: np.ndarray, by: str = "=") -> list[str]:
        return [
            f" {by} ".join(f"{dataset.files[i]} ({values[i]})" for i in group) for group in groups
        ]

    emotions = np.array([*dataset.emotions, "no label"])[dataset.labels]
    folds = dataset.folds
    findings = [
        ("error", "files cannot be read; replace or remove them", unreadable),
        ("warning", "groups of equal images lie in different folds: a leak from training "
         "into testing", named(apart(double, folds), folds)),
        ("warning", "groups of nearly the same image (scaled, recoded, mirrored?) lie in different "
         "folds: a leak from training into testing", named(apart(similar, folds), folds, "~")),
        ("warning", "groups of equal images have different labels",
         named(apart(double, emotions), emotions)),
        ("warning", "groups of nearly the same image have different labels",
         named(apart(similar, emotions), emotions, "~")),
        ("note", "groups of equal images (byte by byte)", named(double, emotions)),
        ("note", "groups of nearly the same image (scaled, recoded, mirrored?)",
         named(similar, emotions, "~")),
        ("note", "files hold another format than their ending says; they are read all the same",
         misnamed),
    ]  # fmt: skip
    return _findings(*findings)


def _check_twitter1(
    root: Path, of: Entry, max_pixels: int | None
) -> tuple[dict[str, Any], list[Finding]]:
    """Check the lists of each subset, and the images where they are there."""
    facts: dict[str, Any] = {}
    findings = []
    lists = read_lists(root)
    for agree, published in of.subsets.items():
        try:
            labels = [label for label, _ in select_subset(root, lists, agree).values()]
        except DatasetError as error:
            findings.append(Finding("error", str(error)))
            continue
        counts = {emotion: labels.count(label) for label, emotion in enumerate(of.emotions)}
        split = ", ".join(f"{count:,} {emotion}" for emotion, count in counts.items())
        facts[f"{agree} agree, rows"] = f"{len(labels):,} ({split})"
        findings += _compare(published, counts, f"{agree} agree: ")
    if facts and not any((root / name).is_dir() for name in IMAGE_FOLDERS):
        missing = f"no images, labels alone: `arlib data where {of.name}` says how to get them"
        return {"images": 0, **facts}, [*findings, Finding("warning", missing)]
    of_images, more = _check_dataset(read(of.name, root, max_pixels=max_pixels), of)
    return {**of_images, **facts}, findings + more


def _check_boxes(root: Path) -> tuple[dict[str, Any], list[Finding]]:
    """Check COCO's ground truth: images that cannot be read, boxes outside of theirs."""
    truth = load_coco(root)
    unreadable, outside = [], []
    for index in _with_bar(range(len(truth)), "coco"):
        boxes = truth.boxes[index]
        try:
            height, width = truth.read(index).shape[:2]
        except ImageError as error:
            unreadable.append(str(error))
            continue
        beyond = (boxes[:, :2] < -1) | (boxes[:, 2:] > np.array([width, height]) + 1)  # rounding
        outside += [f"image {index}: {box.tolist()}" for box in boxes[beyond.any(axis=1)]]
    sizes = [len(boxes) for boxes in truth.boxes]
    facts = {"images": len(truth), "boxes": sum(sizes), "images without box": sizes.count(0)}
    return facts, _findings(
        ("error", "images cannot be read; replace them", unreadable),
        ("error", "boxes reach beyond their image: other images, or scaled ones?", outside),
    )


def _findings(*rows: tuple[str, str, list[str]]) -> list[Finding]:
    """Turn severity, text and examples into findings, where there are examples."""
    return [Finding(how, f"{len(x):,} {text}", tuple(x)) for how, text, x in rows if x]


def _compare(
    published: Mapping[str, int], facts: Mapping[str, Any], prefix: str = ""
) -> list[Finding]:
    """Warn of counts that are not the published ones."""
    apart = [
        f"{facts[key]:,} {key} ({facts[key] - number:+,})"
        for key, number in published.items()
        if key in facts and facts[key] != number
    ]
    text = f"{prefix}not as published: {', '.join(apart)}"
    return [Finding("warning", text)] if apart else []


def _with_bar(indices: Iterable[int], name: str) -> Iterable[int]:
    return progress_bar(indices, desc=f"checking {name}", unit="file", leave=False)
