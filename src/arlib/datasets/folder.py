"""Folders of pictures: one folder a class, or any pictures without labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import POLARITY, Dataset, DatasetError
from arlib.datasets.folds import deal
from arlib.datasets.labels import check_classes
from arlib.datasets.listing import files, folders, is_image, walk


def folder(root: str | Path, *, n_folds: int = 5, seed: int = 0) -> Dataset:
    """Read a folder of class folders, `<class>/<picture>`; below a class there may be more folders.

    Args:
        root: holds one folder a class; of "positive" and "negative", positive comes first, other
            classes go by name.
        n_folds: stratified folds, numbered from 1; 0 for none.
        seed: of the folds' shuffle.

    Returns:
        The images, keyed by `<class>/<picture>`. `counts` has "other files": those that are, by
        their ending, no pictures.

    Raises:
        DatasetError: fewer than two class folders, a picture outside of them, or an empty one; or
            as `walk`.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("sea/1.jpg", "sea/2.jpg", "city/1.jpg", "city/2.jpg"):
        ...     (root / name).parent.mkdir(exist_ok=True)
        ...     (root / name).touch()
        >>> folder(root, n_folds=2).emotions
        ('city', 'sea')
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"folder: no folder {root}")
    classes = folders(root)
    if len(classes) < 2:
        raise DatasetError(f"folder: {root} needs a folder for each of two classes: {classes}")
    stray = [name for name in files(root) if is_image(name)]
    if stray:
        raise DatasetError(f"folder: {len(stray)} images have no class folder: {stray[:5]}")
    emotions = POLARITY if set(classes) == set(POLARITY) else tuple(classes)
    keys, labels, other = class_folders("folder", root, emotions)
    return Dataset(
        name="folder",
        root=root,
        keys=keys,
        files=keys,
        labels=labels,
        folds=deal(labels, n_folds, seed),
        emotions=emotions,
        counts={"other files": other + len(files(root))},
    )


def pictures(root: str | Path, emotions: tuple[str, ...] = POLARITY) -> Dataset:
    """Take every picture in a folder and the folders below, without labels and folds.

    Args:
        root: the folder.
        emotions: what a network will tell apart.

    Returns:
        The images, keyed by their path below `root`; `counts` as in `folder`.

    Raises:
        DatasetError: no such folder, or no picture in it; or as `walk`.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "sea.jpg").touch()
        >>> made = pictures(root)
        >>> made.keys.tolist(), made.labels.tolist()
        (['sea.jpg'], [-1])
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"no folder {root}")
    every = list(walk(root))
    mine = [name for name in every if is_image(name)]
    if not mine:
        raise DatasetError(f"{root.resolve().name}: no image under {root}")
    keys = np.array(mine)
    return Dataset(
        name=root.resolve().name,
        root=root,
        keys=keys,
        files=keys,
        labels=np.full(len(keys), -1, np.int8),
        folds=np.full(len(keys), -1, np.int8),
        emotions=emotions,
        counts={"other files": len(every) - len(mine)},
    )


def class_folders(
    name: str, root: Path, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, int]:
    """List the pictures of every class folder.

    Args:
        name: of the dataset, for the errors.
        root: holds the folders.
        classes: their names, in the order of the labels.

    Returns:
        keys: (n,) str, `<class>/<picture>`.
        labels: (n,) int8.
        other: how many files are, by their ending, no pictures.

    Raises:
        DatasetError: a folder is missing or has no picture; or as `walk`.
    """
    check_classes(classes)
    keys: list[str] = []
    sizes, other = [], 0
    for each in classes:
        if not (root / each).is_dir():
            raise DatasetError(f"{name}: no folder {root / each}")
        every = [f"{each}/{path}" for path in walk(root / each)]
        mine = [path for path in every if is_image(path)]
        if not mine:
            raise DatasetError(f"{name}: no picture in {root / each}")
        keys += mine
        sizes.append(len(mine))
        other += len(every) - len(mine)
    return np.array(keys), np.repeat(np.arange(len(sizes), dtype=np.int8), sizes), other
