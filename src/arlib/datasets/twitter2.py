"""Twitter II: SentiBank's photo tweets (Borth et al. 2013), five partitions."""

import csv
from pathlib import Path

from arlib.datasets.dataset import POLARITY, Dataset, DatasetError, build

FOLDS = range(1, 6)


def twitter2(root: Path) -> Dataset:
    """Read Twitter II in its original layout; its partitions are the folds 1 to 5.

    Args:
        root: holds `groundTruthLabel.txt` (tab-separated, a header, `Image` and `Sentiment`) and
            `partition1/` to `partition5/`.

    Returns:
        The images in the label file's order, keyed by file name. `counts` has "rows" and
        "rows without image".

    Raises:
        DatasetError: a file or folder is missing, a row is none of the above, an image has no
            label or lies in two partitions.
    """
    labels = _labels(root / "groundTruthLabel.txt")
    found: dict[str, tuple[str, int]] = {}
    for fold in FOLDS:
        folder = root / f"partition{fold}"
        if not folder.is_dir():
            raise DatasetError(f"twitter2: no folder {folder}")
        for path in sorted(folder.glob("*.jpg")):
            if path.name in found:
                raise DatasetError(f"twitter2: {path.name} is in {found[path.name][0]} and {path}")
            found[path.name] = f"{folder.name}/{path.name}", fold
    unlabelled = sorted(found.keys() - labels.keys())
    if unlabelled:
        raise DatasetError(f"twitter2: {len(unlabelled)} images have no label: {unlabelled[:5]}")
    rows = {
        key: (found[key][0], label, found[key][1]) for key, label in labels.items() if key in found
    }
    counts = {"rows": len(labels), "rows without image": len(labels) - len(rows)}
    return build("twitter2", root, rows, counts)


def _labels(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise DatasetError(f"twitter2: no label file {path}")
    labels: dict[str, int] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file, delimiter="\t"), 2):
            key, sentiment = row.get("Image"), row.get("Sentiment")
            if not key or sentiment not in POLARITY:
                raise DatasetError(f"{path.name}, line {number}: {list(row.values())} is no label")
            if labels.setdefault(key, POLARITY.index(sentiment)) != POLARITY.index(sentiment):
                raise DatasetError(f"{path.name}, line {number}: {key} has two labels")
    return labels
