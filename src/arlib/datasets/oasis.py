"""OASIS: photographs with norms of valence and arousal (Kurdi, Lozano and Banaji 2017)."""

from pathlib import Path

from arlib.datasets.dataset import Dataset, DatasetError, build
from arlib.datasets.folds import stratified_folds
from arlib.datasets.label_files import once, rows
from arlib.datasets.listing import files, is_image


def oasis(
    root: str | Path,
    *,
    positive_from: float = 4.5,
    negative_to: float = 3.5,
    n_folds: int = 5,
    seed: int = 0,
) -> Dataset:
    r"""Read OASIS; an image is positive or negative by its mean valence, on a scale of 1 to 7.

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
        DatasetError: a file or folder is missing, the bounds cross, or an image has no row; naming
            the line, a valence that is none or a theme that comes twice.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "images").mkdir()
        >>> means = {"Sea 1": 6.2, "Sea 2": 4.5, "Mud 1": 2.1, "Mud 2": 3.5, "Stone": 4.0}
        >>> for theme in means:
        ...     (root / "images" / f"{theme}.jpg").touch()
        >>> lines = ["Theme,Valence_mean", *(f"{theme},{v}" for theme, v in means.items())]
        >>> _ = (root / "OASIS.csv").write_text("\n".join(lines))
        >>> made = oasis(root, n_folds=2)
        >>> made.labels, made.counts["rows between the bounds"]
        (array([0, 0, 1, 1], dtype=int8), 1)
    """
    root = Path(root)
    if not negative_to < positive_from:
        raise DatasetError(f"negative_to {negative_to} must be below positive_from {positive_from}")
    valence = _valence(root / "OASIS.csv")
    if not (root / "images").is_dir():
        raise DatasetError(f"oasis: no folder {root / 'images'}")
    pictures = filter(is_image, files(root / "images"))
    there = {name.rpartition(".")[0]: f"images/{name}" for name in pictures}
    unlabelled = sorted(there.keys() - valence.keys())
    if unlabelled:
        raise DatasetError(f"oasis: {len(unlabelled)} images have no row: {unlabelled[:5]}")
    clear = {theme: v for theme, v in valence.items() if v >= positive_from or v <= negative_to}
    labels = {theme: int(v <= negative_to) for theme, v in clear.items() if theme in there}
    if not labels:
        raise DatasetError(f"oasis: no image under {root / 'images'} is positive or negative")
    folds = stratified_folds(list(labels.values()), n_folds, seed)
    mine = {
        theme: (there[theme], label, int(fold))
        for (theme, label), fold in zip(labels.items(), folds, strict=True)
    }
    counts = {
        "rows": len(valence),
        "rows between the bounds": len(valence) - len(clear),
        "rows without image": len(clear) - len(mine),
    }
    return build("oasis", root, mine, counts)


def _valence(path: Path) -> dict[str, float]:
    if not path.is_file():
        raise DatasetError(f"oasis: no table {path}")
    valence: dict[str, float] = {}
    seen: dict[str, int] = {}
    for number, row in rows(path, ("Theme", "Valence_mean")):
        once(seen, row["Theme"], number, path)
        try:
            valence[row["Theme"]] = float(row["Valence_mean"])
        except ValueError:
            valence[row["Theme"]] = 0
        if not 1 <= valence[row["Theme"]] <= 7:  # NaN too
            told = f"{path}, line {number}: {row['Valence_mean']!r} is no valence from 1 to 7"
            raise DatasetError(told)
    return valence
