"""Folders of images: one folder a class, or any images without labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, file_names, folder_names, is_image, list_images
from arlib.datasets.folds import stratified_folds
from arlib.datasets.labels import POLARITY, check_classes


def folder(root: str | Path, *, n_folds: int = 5, seed: int = 0) -> Dataset:
    """Read a folder of class folders, `<class>/<image>`; a class may have folders below."""
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"folder: no folder {root}")
    classes = folder_names(root)
    if len(classes) < 2:
        raise DatasetError(f"folder: {root} needs a folder for each of two classes: {classes}")
    beside = file_names(root)
    stray = [name for name in beside if is_image(name)]
    if stray:
        raise DatasetError(f"folder: {len(stray)} images have no class folder: {stray[:5]}")
    emotions = POLARITY if set(classes) == set(POLARITY) else tuple(classes)
    keys, labels, others = class_folders("folder", root, emotions)
    return Dataset(
        name="folder",
        root=root,
        keys=keys,
        files=keys,
        labels=labels,
        folds=stratified_folds(labels, n_folds, seed),
        emotions=emotions,
        counts={"other files": others + len(beside)},
    )


def unlabelled_images(root: str | Path, emotions: tuple[str, ...] | None = None) -> Dataset:
    """Take all images in a folder and the folders below, without labels and folds."""
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"no folder {root}")
    images, others = list_images(root)
    if not images:
        raise DatasetError(f"{root.resolve().name}: no image under {root}")
    keys = np.array(images)
    return Dataset(
        name=root.resolve().name,
        root=root,
        keys=keys,
        files=keys,
        labels=np.full(len(keys), -1, np.int8),
        folds=np.full(len(keys), -1, np.int8),
        emotions=emotions or POLARITY,
        counts={"other files": others},
    )


def class_folders(
    name: str, root: Path, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, int]:
    """List the images of all class folders: keys `<class>/<image>`, labels, number of others."""
    check_classes(classes)
    keys: list[str] = []
    sizes, others = [], 0
    for each in classes:
        if not (root / each).is_dir():
            raise DatasetError(f"{name}: no folder {root / each}")
        images, other = list_images(root / each, f"{each}/")
        if not images:
            raise DatasetError(f"{name}: no image in {root / each}")
        keys += images
        sizes.append(len(images))
        others += other
    return np.array(keys), np.repeat(np.arange(len(sizes), dtype=np.int8), sizes), others
