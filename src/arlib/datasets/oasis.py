"""OASIS: photographs with norms of valence and arousal (Kurdi, Lozano and Banaji 2017)."""

from pathlib import Path

from arlib.datasets.dataset import Dataset, build
from arlib.datasets.files import DatasetError, file_names, is_image, once, rows
from arlib.datasets.folds import stratified_folds
from arlib.datasets.labels import POLARITY


def oasis(
    root: str | Path,
    *,
    positive_from: float = 4.5,
    negative_to: float = 3.5,
    n_folds: int = 5,
    seed: int = 0,
) -> Dataset:
    """Read OASIS; an image is positive or negative by its mean valence, on a scale of 1 to 7."""
    root = Path(root)
    if not negative_to < positive_from:
        raise DatasetError(f"negative_to {negative_to} must be below positive_from {positive_from}")
    valence = _read_valence(root / "OASIS.csv")
    if not (root / "images").is_dir():
        raise DatasetError(f"oasis: no folder {root / 'images'}")
    images = filter(is_image, file_names(root / "images"))
    files = {name.rpartition(".")[0]: f"images/{name}" for name in images}
    unlabelled = sorted(files.keys() - valence.keys())
    if unlabelled:
        raise DatasetError(f"oasis: {len(unlabelled)} images have no row: {unlabelled[:5]}")
    clear = {theme: v for theme, v in valence.items() if v >= positive_from or v <= negative_to}
    labels = {theme: int(v <= negative_to) for theme, v in clear.items() if theme in files}
    if not labels:
        raise DatasetError(f"oasis: no image under {root / 'images'} is positive or negative")
    folds = stratified_folds(list(labels.values()), n_folds, seed, POLARITY, "oasis").tolist()
    images_by_theme = {
        theme: (files[theme], label, fold)
        for (theme, label), fold in zip(labels.items(), folds, strict=True)
    }
    counts = {
        "rows": len(valence),
        "rows between the bounds": len(valence) - len(clear),
        "rows without image": len(clear) - len(labels),
    }
    return build("oasis", root, images_by_theme, counts)


def _read_valence(path: Path) -> dict[str, float]:
    if not path.is_file():
        raise DatasetError(f"oasis: no table {path}")
    valence: dict[str, float] = {}
    seen: dict[str, int] = {}
    for number, row in rows(path, ("Theme", "Valence_mean")):
        theme, text = row["Theme"], row["Valence_mean"]
        once(seen, theme, number, path)
        try:
            valence[theme] = float(text)
        except ValueError:
            valence[theme] = 0
        if not 1 <= valence[theme] <= 7:  # NaN too
            raise DatasetError(f"{path}, line {number}: {text!r} is no valence from 1 to 7")
    return valence
