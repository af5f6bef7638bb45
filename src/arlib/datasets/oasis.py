"""OASIS: photographs with norms of valence and arousal (Kurdi, Lozano and Banaji 2017)."""

import csv
import io
from pathlib import Path

from arlib.datasets.dataset import Dataset, DatasetError, build, stratified_folds


def oasis(
    root: Path,
    *,
    positive_from: float = 4.5,
    negative_to: float = 3.5,
    n_folds: int = 5,
    seed: int = 0,
) -> Dataset:
    """Read OASIS; an image is positive or negative by its mean valence, on a scale of 1 to 7.

    Args:
        root: holds `OASIS.csv` and `images/<Theme>.jpg`.
        positive_from: the least valence of a positive image.
        negative_to: the greatest valence of a negative image; those between are left out.
        n_folds: stratified folds, numbered from 1.
        seed: of the folds' shuffle.

    Returns:
        The images in the table's order, keyed by theme. `counts` has "rows", "rows between the
        bounds" and, of the others, "rows without image".

    Raises:
        DatasetError: a file or folder is missing, the bounds cross, or an image has no row.
    """
    if not negative_to < positive_from:
        raise DatasetError(f"negative_to {negative_to} must be below positive_from {positive_from}")
    valence = _valence(root / "OASIS.csv")
    if not (root / "images").is_dir():
        raise DatasetError(f"oasis: no folder {root / 'images'}")
    there = {path.stem: f"images/{path.name}" for path in (root / "images").glob("*.jpg")}
    unlabelled = sorted(there.keys() - valence.keys())
    if unlabelled:
        raise DatasetError(f"oasis: {len(unlabelled)} images have no row: {unlabelled[:5]}")
    clear = {theme: v for theme, v in valence.items() if v >= positive_from or v <= negative_to}
    labels = {theme: int(v <= negative_to) for theme, v in clear.items() if theme in there}
    if not labels:
        raise DatasetError(f"oasis: no image under {root / 'images'} is positive or negative")
    folds = stratified_folds(list(labels.values()), n_folds, seed)
    rows = {
        theme: (there[theme], label, int(fold))
        for (theme, label), fold in zip(labels.items(), folds, strict=True)
    }
    counts = {
        "rows": len(valence),
        "rows between the bounds": len(valence) - len(clear),
        "rows without image": len(clear) - len(rows),
    }
    return build("oasis", root, rows, counts)


def _valence(path: Path) -> dict[str, float]:
    if not path.is_file():
        raise DatasetError(f"oasis: no table {path}")
    text = path.read_text(encoding="utf-8-sig")  # its lines end in CR alone: read_text mends that
    valence = {}
    for row in csv.DictReader(io.StringIO(text)):
        try:
            valence[row["Theme"].strip()] = float(row["Valence_mean"])
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{path.name}: {row} has no Theme or Valence_mean") from error
    return valence
