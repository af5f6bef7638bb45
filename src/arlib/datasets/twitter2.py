"""Twitter II: SentiBank's photo tweets (Borth et al. 2013), five partitions."""

from pathlib import Path

from arlib.datasets.dataset import Dataset, build
from arlib.datasets.files import DatasetError, file_names, is_image, once, rows
from arlib.datasets.labels import POLARITY

LABELS = "groundTruthLabel.txt"


def twitter2(root: str | Path) -> Dataset:
    """Read Twitter II in its original layout; its partitions are the folds 1 to 5."""
    root = Path(root)
    labels = _read_labels(root / LABELS)
    places: dict[str, tuple[str, int]] = {}  # name -> file, fold
    for fold in range(1, 6):
        folder = root / f"partition{fold}"
        if not folder.is_dir():
            raise DatasetError(f"twitter2: no folder {folder}")
        for name in filter(is_image, file_names(folder)):
            if name in places:
                raise DatasetError(f"twitter2: {name} is in {places[name][0]} and {folder / name}")
            places[name] = f"{folder.name}/{name}", fold
    unlabelled = sorted(places.keys() - labels.keys())
    if unlabelled:
        raise DatasetError(
            f"twitter2: {len(unlabelled)} images have no label in {root / LABELS}: {unlabelled[:5]}"
        )
    images = {
        name: (places[name][0], label, places[name][1])
        for name, label in labels.items()
        if name in places
    }
    counts = {"rows": len(labels), "rows without image": len(labels) - len(images)}
    return build("twitter2", root, images, counts)


def _read_labels(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise DatasetError(f"twitter2: no label file {path}")
    labels: dict[str, int] = {}
    seen: dict[str, int] = {}
    for number, row in rows(path, ("Image", "Sentiment"), delimiter="\t"):
        name, sentiment = row["Image"], row["Sentiment"]
        if not name or sentiment not in POLARITY:
            raise DatasetError(f"{path}, line {number}: {list(row.values())} is no label")
        once(seen, name, number, path)
        labels[name] = POLARITY.index(sentiment)
    return labels
