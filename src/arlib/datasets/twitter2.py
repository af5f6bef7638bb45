"""Twitter II: SentiBank's photo tweets (Borth et al. 2013), five partitions."""

from pathlib import Path

from arlib.datasets.dataset import POLARITY, Dataset, DatasetError, build
from arlib.datasets.label_files import once, rows
from arlib.datasets.listing import files, is_image

FOLDS = range(1, 6)


def twitter2(root: str | Path) -> Dataset:
    r"""Read Twitter II in its original layout; its partitions are the folds 1 to 5.

    Args:
        root: holds `groundTruthLabel.txt` (tab-separated, a header, `Image` and `Sentiment`) and
            `partition1/` to `partition5/`.

    Returns:
        The images in the label file's order, keyed by file name. `counts` has "rows" and
        "rows without image".

    Raises:
        DatasetError: a file or folder is missing; naming the line, a row is none of the above or
            an image comes twice; an image has no label or lies in two partitions.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> text = "Image\tSentiment\r\n1.jpg\tnegative\r\n2.jpg\tpositive\r\n"
        >>> _ = (root / "groundTruthLabel.txt").write_text(text)
        >>> for fold in range(1, 6):
        ...     (root / f"partition{fold}").mkdir()
        >>> (root / "partition4" / "1.jpg").touch()
        >>> made = twitter2(root)
        >>> made.labels, made.folds, made.counts
        (array([1], dtype=int8), array([4], dtype=int8), {'rows': 2, 'rows without image': 1})
    """
    root = Path(root)
    labels = _labels(root / "groundTruthLabel.txt")
    found: dict[str, tuple[str, int]] = {}
    for fold in FOLDS:
        folder = root / f"partition{fold}"
        if not folder.is_dir():
            raise DatasetError(f"twitter2: no folder {folder}")
        for name in filter(is_image, files(folder)):
            if name in found:
                raise DatasetError(f"twitter2: {name} is in {found[name][0]} and {folder / name}")
            found[name] = f"{folder.name}/{name}", fold
    unlabelled = sorted(found.keys() - labels.keys())
    if unlabelled:
        raise DatasetError(f"twitter2: {len(unlabelled)} images have no label: {unlabelled[:5]}")
    mine = {
        key: (found[key][0], label, found[key][1]) for key, label in labels.items() if key in found
    }
    counts = {"rows": len(labels), "rows without image": len(labels) - len(mine)}
    return build("twitter2", root, mine, counts)


def _labels(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise DatasetError(f"twitter2: no label file {path}")
    labels: dict[str, int] = {}
    seen: dict[str, int] = {}
    for number, row in rows(path, ("Image", "Sentiment"), delimiter="\t"):
        key, sentiment = row["Image"], row["Sentiment"]
        if not key or sentiment not in POLARITY:
            raise DatasetError(f"{path}, line {number}: {list(row.values())} is no label")
        once(seen, key, number, path)
        labels[key] = POLARITY.index(sentiment)
    return labels
