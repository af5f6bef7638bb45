"""Twitter I (You et al. 2015): three subsets, by how many of five people gave the label."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, file_names, is_image, lines, once
from arlib.datasets.folds import stratified_folds
from arlib.datasets.labels import POLARITY

SUBSETS = {"five": 5, "four": 4, "three": 3}
"""How many of the five people, at least, gave the label: a subset's name -> the number."""

IMAGE_FOLDERS = ("Agg_AMT_Candidates", "images")

Rows = dict[str, tuple[int, int]]  # file name -> label (0 positive), fold (-1 for none)

_HOW = "`arlib data where twitter1` says how to get them"


def twitter1(
    root: str | Path, *, agree: str = "three", n_folds: int | None = None, seed: int = 0
) -> Dataset:
    """Read Twitter I in either of its layouts; a subset is a view, with its own folds."""
    # the subset's labels, and the images that are there
    root = Path(root)
    lists = read_lists(root)
    rows = select_subset(root, lists, agree)
    folder = next((name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise DatasetError(
            f"twitter1: {len(rows):,} labels, but no images: {root} has neither "
            f"Agg_AMT_Candidates/ nor images/; {_HOW}"
        )
    names = set(filter(is_image, file_names(root / folder)))
    keys = [key for key in rows if key in names]
    if not keys:
        raise DatasetError(
            f"twitter1: none of the {len(rows):,} images is in {root / folder}; {_HOW}"
        )
    # the folds of the lists, or new ones
    labels, folds = np.array([rows[key] for key in keys], np.int8).T.copy()  # (n,), (n,)
    if n_folds is not None or (folds < 0).any():
        folds = stratified_folds(
            labels, 5 if n_folds is None else n_folds, seed, POLARITY, "twitter1"
        )
    # the lists are not quite nested: the strictest one that has an image counts
    strictest = {key: SUBSETS[each] for each in reversed(SUBSETS) for key in lists.get(each, {})}
    agreement = np.array([strictest[key] for key in keys], np.int8)
    return Dataset(
        name="twitter1",
        root=root,
        keys=np.array(keys),
        files=np.array([f"{folder}/{key}" for key in keys]),
        labels=labels,
        folds=folds,
        agreement=agreement if len(lists) == len(SUBSETS) else None,
        counts={
            "rows": len(rows),
            "rows without image": len(rows) - len(keys),
            "images without label": len(names.difference(*lists.values())),
        },
    )


def twitter1_subset(agree: str) -> Callable[..., Dataset]:
    """Make the reader of one subset under a name of its own: one column, however many agreed."""

    def read(root: str | Path, *, n_folds: int | None = None, seed: int = 0) -> Dataset:
        subset = twitter1(root, agree=agree, n_folds=n_folds, seed=seed)
        return replace(subset, name=f"twitter1-{agree}", agreement=None)

    return read


def read_lists(root: Path) -> dict[str, Rows]:
    """Read the lists of every subset that is there; five-fold lists count before single ones."""
    lists = {}
    for agree in SUBSETS:
        names = (f"{agree}_agree.txt", f"twitter_{agree}_agrees.txt")
        places = (root, root / "ground_truth")
        folders = [place / f"{agree}_agrees" for place in places]
        files = [place / name for place in places for name in names]
        if folder := next(filter(Path.is_dir, folders), None):
            lists[agree] = _read_fold_lists(folder)
        elif path := next(filter(Path.is_file, files), None):
            lists[agree] = {key: (label, -1) for _, key, label in _read_list(path)}
    return lists


def select_subset(root: Path, lists: dict[str, Rows], agree: str) -> Rows:
    """Choose one subset of `read_lists`; refuse it where another one has other labels."""
    if agree not in SUBSETS:
        raise DatasetError(f"agree must be 'five', 'four' or 'three', not {agree!r}")
    if agree not in lists:
        raise DatasetError(
            f"twitter1: {root} has neither {agree}_agrees/ nor {agree}_agree.txt, nor has its "
            f"ground_truth/; {_HOW}"
        )
    subset = lists[agree]
    for other, rows in lists.items():
        apart = [key for key in subset if key in rows and rows[key][0] != subset[key][0]]
        if apart:
            raise DatasetError(
                f"twitter1: the lists of {agree} and {other} differ in the label of {apart[:5]}"
            )
    return subset


def _read_fold_lists(folder: Path) -> Rows:
    """Read five test lists, and hold each train list against the other four."""
    tested: Rows = {}
    for fold in range(1, 6):
        path = folder / f"test{fold}" / "test.txt"
        for number, key, label in _read_list(path):
            if key in tested:
                place = f"{path}, line {number}: {key}"
                raise DatasetError(f"{place} is tested in test{tested[key][1]} too")
            tested[key] = (label, fold)
    for fold in range(1, 6):
        path = folder / f"test{fold}" / "train.txt"
        missing = {key for key, (_, other) in tested.items() if other != fold}
        for number, key, label in _read_list(path):
            place = f"{path}, line {number}: {key}"
            if key not in missing:
                where = "tested in this fold" if key in tested else "tested in no fold"
                raise DatasetError(f"{place} is {where}")
            if tested[key][0] != label:
                raise DatasetError(f"{place} has another label in test{tested[key][1]}/test.txt")
            missing.remove(key)
        if missing:
            some = sorted(missing)[:5]
            raise DatasetError(f"{path}: {len(missing)} images of the other folds are lost: {some}")
    return dict(sorted(tested.items()))  # an order that the folds do not show in


def _read_list(path: Path) -> list[tuple[int, str, int]]:
    """Read lines `NAME.jpg 1`, 1 positive: number of the line, name, label (0 positive)."""
    seen: dict[str, int] = {}
    rows = []
    for number, text in lines(path):
        key, _, value = text.replace("\t", " ").rpartition(" ")
        key = key.strip()
        if not key or value not in ("0", "1"):
            raise DatasetError(
                f"{path}, line {number}: {text!r} is no label; a line is NAME.jpg and 1 or 0"
            )
        once(seen, key, number, path)
        rows.append((number, key, 1 - int(value)))
    return rows
