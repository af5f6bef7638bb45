"""Folds: stratified ones, and those in a file that `Dataset.save_folds` wrote."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from arlib.datasets.files import DatasetError, once, rows

COLUMNS = ("image", "fold")


def stratified_folds(labels: npt.ArrayLike, n_folds: int, seed: int) -> np.ndarray:
    """Number the folds of n images 1 ... n_folds, each with every label's share; -1 for none."""
    labels = np.asarray(labels)
    known = labels >= 0  # the others are in no fold
    folds = np.full(len(labels), -1, np.int8)
    if n_folds == 0 or (len(labels) and not known.any()):
        return folds
    _, first, label = np.unique(labels[known], return_index=True, return_inverse=True)
    label = np.argsort(np.argsort(first))[label]  # numbered as they come: (n,) 0 ... L - 1
    fewest = int(np.bincount(label).min()) if len(label) else 0
    if not 2 <= n_folds <= fewest:
        raise DatasetError(f"n_folds must be 2 to {fewest}, the rarest label's images: {n_folds}")
    # What scikit-learn's StratifiedKFold gives, so that recorded folds hold, without its second
    # of import and its 40 MB: of the sorted labels each fold gets every n-th.
    ordered = np.sort(label)
    shares = [np.bincount(ordered[k::n_folds], minlength=len(first)) for k in range(n_folds)]
    rng = np.random.RandomState(seed)
    numbers = np.zeros(len(label), np.int8)
    for number, share in enumerate(np.transpose(shares)):  # (label, fold)
        shuffled = np.repeat(np.arange(1, n_folds + 1, dtype=np.int8), share)
        rng.shuffle(shuffled)
        numbers[label == number] = shuffled
    folds[known] = numbers
    return folds


def read_folds(path: str | Path, name: str, keys: list[str]) -> np.ndarray:
    """Read the folds of a dataset's images, by its name and keys: (n,) int8."""
    path = Path(path)
    place = {key: index for index, key in enumerate(keys)}
    folds = np.full(len(keys), -1, np.int8)
    seen: dict[str, int] = {}
    for number, row in rows(path, COLUMNS):
        key = row["image"]
        if key not in place:
            raise DatasetError(f"{path}, line {number}: {name} has no image {key!r}")
        once(seen, key, number, path)
        folds[place[key]] = parse_fold(row["fold"], f"{path}, line {number}")
    missing = [key for key in keys if key not in seen]
    if missing:
        raise DatasetError(f"{path}: lacks {len(missing)} images of {name}: {missing[:5]}")
    return folds


def parse_fold(text: str, place: str) -> int:
    """Read a fold: 1 to 127, and -1 for none where it is blank or -1."""
    if text in ("", "-1"):
        return -1
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 127):
        raise DatasetError(f"{place}: {text!r} is no fold; a fold is 1 to 127, or blank or -1")
    return int(text)
