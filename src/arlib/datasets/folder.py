"""Folders of pictures: one folder a class, or any pictures without labels."""

from pathlib import Path

from arlib.datasets.dataset import POLARITY, Dataset, DatasetError, build, stratified_folds

ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
"""What the name of a picture may end in, in lower or upper case."""


def folder(root: Path, *, n_folds: int = 5, seed: int = 0) -> Dataset:
    """Read a folder of class folders, `<class>/<picture>`.

    Args:
        root: holds one folder a class; of "positive" and "negative", positive comes first, other
            classes go by name.
        n_folds: stratified folds, numbered from 1; 0 for none.
        seed: of the folds' shuffle.

    Returns:
        The images, keyed by `<class>/<picture>`. `counts` has "other files": those that are, by
        their ending, no pictures.

    Raises:
        DatasetError: fewer than two class folders, a picture outside of them, or an empty one.
    """
    if not root.is_dir():
        raise DatasetError(f"folder: no folder {root}")
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        raise DatasetError(f"folder: {root} needs a folder for each of two classes: {classes}")
    emotions = POLARITY if set(classes) == set(POLARITY) else tuple(classes)
    stray = [path.name for path in _files(root) if path.parent == root and _is_picture(path)]
    if stray:
        raise DatasetError(f"folder: {len(stray)} images have no class folder: {stray[:5]}")
    labels, other = {}, 0
    for index, name in enumerate(emotions):
        every = _files(root / name)
        mine = [path.relative_to(root).as_posix() for path in every if _is_picture(path)]
        if not mine:
            raise DatasetError(f"folder: no picture in {root / name}")
        labels.update(dict.fromkeys(mine, index))
        other += len(every) - len(mine)
    values = list(labels.values())
    folds = stratified_folds(values, n_folds, seed).tolist() if n_folds else [-1] * len(values)
    rows = {key: (key, labels[key], fold) for key, fold in zip(labels, folds, strict=True)}
    return build("folder", root, rows, {"other files": other}, emotions)


def pictures(root: str | Path, emotions: tuple[str, ...] = POLARITY) -> Dataset:
    """Take every picture in a folder and the folders below, without labels and folds.

    Args:
        root: the folder.
        emotions: what a network will tell apart.

    Returns:
        The images, keyed by their path below `root`; `counts` as in `folder`.

    Raises:
        DatasetError: no such folder, or no picture in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"no folder {root}")
    every = _files(root)
    mine = [path.relative_to(root).as_posix() for path in every if _is_picture(path)]
    counts = {"other files": len(every) - len(mine)}
    return build(root.resolve().name, root, {key: (key, -1, -1) for key in mine}, counts, emotions)


def _files(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(root).parts)
    )


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS
