"""Folds kept in a file: a split that was dealt once is the same everywhere afterwards."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arlib.datasets.dataset import Dataset, DatasetError
from arlib.datasets.label_files import once, rows

COLUMNS = ("image", "fold")


def save_folds(dataset: Dataset, path: str | Path) -> None:
    """Write a CSV file with the columns `image`, an image's key, and `fold`, -1 = none.

    Args:
        dataset: whose folds.
        path: the file, overwritten where it exists.

    Example:
        >>> import tempfile
        >>> from arlib.datasets import load
        >>> path = Path(tempfile.mkdtemp(), "split.csv")
        >>> save_folds(load("scenes-tagged", n=40), path)
        >>> path.read_text().split()[:2]
        ['image,fold', 'scenes-tagged-000000,-1']
    """
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(zip(dataset.keys.tolist(), dataset.folds.tolist(), strict=True))


def with_folds(dataset: Dataset, path: str | Path) -> Dataset:
    """Take the folds from a file that `save_folds` wrote, instead of the dataset's own.

    Args:
        dataset: the images.
        path: a CSV file with the columns `image` and `fold`; a blank fold is none.

    Returns:
        The dataset with those folds.

    Raises:
        DatasetError: naming file and line: an image that the dataset does not have, or that comes
            twice, or a fold that is no number from 1 to 127, -1 or blank; or the file does not name
            every image.
    """
    path = Path(path)
    place = {key: index for index, key in enumerate(dataset.keys.tolist())}
    folds = np.full(len(dataset), -1, np.int8)
    seen: dict[str, int] = {}
    for number, row in rows(path, COLUMNS):
        key = row["image"]
        if key not in place:
            raise DatasetError(f"{path}, line {number}: {dataset.name} has no image {key!r}")
        once(seen, key, number, path)
        folds[place[key]] = parse_fold(row["fold"], f"{path}, line {number}")
    lost = [key for key in place if key not in seen]
    if lost:
        raise DatasetError(f"{path}: lacks {len(lost)} images of {dataset.name}: {lost[:5]}")
    return replace(dataset, folds=folds)


def parse_fold(text: str, at: str) -> int:
    """Read a fold: 1 to 127, and -1 for none where it is blank or -1.

    Args:
        text: what is written.
        at: where, for the error.

    Raises:
        DatasetError: it is something else.

    Example:
        >>> parse_fold("3", "split.csv, line 2"), parse_fold("", "split.csv, line 3")
        (3, -1)
    """
    if text in ("", "-1"):
        return -1
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 127):
        raise DatasetError(f"{at}: {text!r} is no fold; a fold is 1 to 127, or blank or -1")
    return int(text)


def stratified_folds(labels: npt.ArrayLike, n_folds: int, seed: int) -> np.ndarray:
    """Deal images into folds 1 ... n_folds so that each fold has every label's share.

    Args:
        labels: (n,) int.
        n_folds: at least 2, at most the images of the rarest label.
        seed: of the shuffle.

    Returns:
        (n,) int8.

    Raises:
        DatasetError: a label has fewer images than there are folds.

    Example:
        >>> stratified_folds([0, 0, 0, 0, 1, 1], 2, seed=0)
        array([2, 2, 1, 1, 1, 2], dtype=int8)
    """
    labels = np.asarray(labels)
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    label = np.argsort(np.argsort(first))[label]  # numbered as they come: (n,) 0 ... L - 1
    fewest = int(np.bincount(label).min()) if len(label) else 0
    if not 2 <= n_folds <= fewest:
        raise DatasetError(f"n_folds must be 2 to {fewest}, the rarest label's images: {n_folds}")
    # What scikit-learn's StratifiedKFold deals, so that recorded folds hold, without its second of
    # import and its 40 MB: of the sorted labels each fold gets every n-th.
    ordered = np.sort(label)
    shares = [np.bincount(ordered[k::n_folds], minlength=len(first)) for k in range(n_folds)]
    rng = np.random.RandomState(seed)
    folds = np.zeros(len(label), np.int8)
    for number, share in enumerate(np.transpose(shares)):  # (label, fold)
        mine = np.repeat(np.arange(1, n_folds + 1, dtype=np.int8), share)
        rng.shuffle(mine)
        folds[label == number] = mine
    return folds


def deal(labels: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Deal the labelled images into stratified folds.

    Args:
        labels: (n,) int8, -1 = unknown.
        n_folds: how many; 0 for none.
        seed: of the shuffle.

    Returns:
        (n,) int8: 1 ... n_folds; -1 where the label is unknown, and everywhere without folds.

    Raises:
        DatasetError: as `stratified_folds`.
    """
    folds = np.full(len(labels), -1, np.int8)
    known = labels >= 0
    if n_folds and known.any():
        folds[known] = stratified_folds(labels[known], n_folds, seed)
    return folds
