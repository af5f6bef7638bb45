"""The lists of Twitter I (You et al. 2015): labels and folds of three subsets, without images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset, DatasetError
from arlib.datasets.folds import stratified_folds
from arlib.datasets.label_files import lines, once
from arlib.datasets.listing import files, is_image

SUBSETS = {"five": 5, "four": 4, "three": 3}
"""How many of the five people, at least, gave the label: a subset's name -> the number."""


FOLDS = range(1, 6)


GET = "get the Twitter data of You et al. (2015): qzyou.github.io/projects/sa-ds"


_PLACES = ("", "ground_truth")


Rows = dict[str, tuple[int, int]]  # key -> label, fold


@dataclass(frozen=True)
class Labels:
    """What the lists of one subset say.

    Attributes:
        keys: (n,) str, file names.
        labels: (n,) int8, 0 positive, 1 negative.
        folds: (n,) int8, the fold in which an image is tested; -1 where the lists have no folds.
        agreement: (n,) int8, 5, 4 or 3: the strictest subset that an image is in; None if not all
            three subsets' lists are there.
    """

    keys: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    agreement: np.ndarray | None


def twitter1_labels(root: str | Path, agree: str = "three") -> Labels:
    r"""Read the lists of one subset, without the images.

    Where the five-fold lists are there, they count; otherwise the first release's.

    Args:
        root: holds, itself or in `ground_truth/`, `five_agrees/test1/train.txt` and `test.txt` to
            `test5/`, likewise for four and three; or `five_agree.txt` (in other copies
            `twitter_five_agrees.txt`), likewise. Their lines are `NAME.jpg 1`, 1 positive and
            0 negative.
        agree: "five", "four" or "three": how many people, at least, gave the label.

    Returns:
        The images of the subset, in the order of its lists.

    Raises:
        DatasetError: no lists; naming the line, one that is no label, an image that comes twice or
            that train.txt and test.txt contradict; or the subsets' labels differ.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = (root / "five_agree.txt").write_text("a.jpg 1\nb.jpg 0\n")
        >>> twitter1_labels(root, "five").labels
        array([0, 1], dtype=int8)
    """
    return labels_of(Path(root), read_lists(Path(root)), agree)


def labels_of(root: Path, lists: dict[str, Rows], agree: str) -> Labels:
    """Choose one subset of `read_lists`; errors as `twitter1_labels`."""
    if agree not in SUBSETS:
        raise DatasetError(f"agree must be 'five', 'four' or 'three', not {agree!r}")
    if agree not in lists:
        raise DatasetError(
            f"twitter1: {root} has neither {agree}_agrees/ nor {agree}_agree.txt, nor has its "
            f"ground_truth/; {GET}"
        )
    mine = lists[agree]
    for other, rows in lists.items():
        apart = [key for key in mine if key in rows and rows[key][0] != mine[key][0]]
        if apart:
            raise DatasetError(
                f"twitter1: the lists of {agree} and {other} differ in the label of {apart[:5]}"
            )
    strictest = {key: SUBSETS[each] for each in reversed(SUBSETS) for key in lists.get(each, {})}
    labels, folds = np.array(list(mine.values()), np.int8).T  # (n, 2) -> (n,), (n,)
    agreement = np.array([strictest[key] for key in mine], np.int8)
    whole = len(lists) == len(SUBSETS)
    return Labels(np.array(list(mine)), labels.copy(), folds.copy(), agreement if whole else None)


def read_lists(root: Path) -> dict[str, Rows]:
    """Read the lists of every subset that is there; errors as `twitter1_labels`."""
    lists = {}
    for agree in SUBSETS:
        names = (f"{agree}_agree.txt", f"twitter_{agree}_agrees.txt")
        folds = [root / place / f"{agree}_agrees" for place in _PLACES]
        single = [root / place / name for place in _PLACES for name in names]
        if folder := next(filter(Path.is_dir, folds), None):
            lists[agree] = _fold_lists(folder)
        elif path := next(filter(Path.is_file, single), None):
            lists[agree] = {key: (label, -1) for _, key, label in _list(path)}
    return lists


def _fold_lists(folder: Path) -> Rows:
    tested: Rows = {}
    for fold in FOLDS:
        path = folder / f"test{fold}" / "test.txt"
        for number, key, label in _list(path):
            if key in tested:
                at = f"{path}, line {number}: {key}"
                raise DatasetError(f"{at} is tested in test{tested[key][1]} too")
            tested[key] = (label, fold)
    for fold in FOLDS:
        path = folder / f"test{fold}" / "train.txt"
        missing = {key for key, (_, other) in tested.items() if other != fold}
        for number, key, label in _list(path):
            at = f"{path}, line {number}: {key}"
            if key not in missing:
                where = "tested in this fold" if key in tested else "tested in no fold"
                raise DatasetError(f"{at} is {where}")
            if tested[key][0] != label:
                raise DatasetError(f"{at} has another label in test{tested[key][1]}/test.txt")
            missing.remove(key)
        if missing:
            some = sorted(missing)[:5]
            raise DatasetError(f"{path}: {len(missing)} images of the other folds are lost: {some}")
    return tested


def _list(path: Path) -> list[tuple[int, str, int]]:
    seen: dict[str, int] = {}
    found = []
    for number, text in lines(path):
        key, _, value = text.replace("\t", " ").rpartition(" ")
        key = key.strip()
        if not key or value not in ("0", "1"):
            raise DatasetError(
                f"{path}, line {number}: {text!r} is no label; a line is NAME.jpg and 1 or 0"
            )
        once(seen, key, number, path)
        found.append((number, key, 1 - int(value)))
    return found


_FOLDERS = ("Agg_AMT_Candidates", "images")


def twitter1(
    root: str | Path, *, agree: str = "three", n_folds: int | None = None, seed: int = 0
) -> Dataset:
    r"""Read Twitter I in either of its layouts; a subset is a view, with its own folds.

    In the lists that circulate the subsets are not quite nested: of the images that five agree on,
    one is missing in the lists of four and three in those of three.

    Args:
        root: holds the lists, as `twitter1_labels` says, and the images in `Agg_AMT_Candidates/`
            or `images/`.
        agree: "five", "four" or "three": how many people, at least, gave the label.
        n_folds: None takes the folds of the lists, and where those have none deals 5; a number
            deals so many stratified ones in either case.
        seed: of that shuffle.

    Returns:
        The images in the order of the lists, keyed by file name, with their `agreement`. `counts`
        has "rows", "rows without image", and "images without label", which are in none of the
        lists that are there.

    Raises:
        DatasetError: as `twitter1_labels`; or there is no image, saying what to get.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> names = [f"{i}.jpg" for i in range(10)]
        >>> text = "".join(f"{name} {i % 2}\n" for i, name in enumerate(names))
        >>> _ = (root / "three_agree.txt").write_text(text)
        >>> (root / "Agg_AMT_Candidates").mkdir()
        >>> for name in names:
        ...     (root / "Agg_AMT_Candidates" / name).touch()
        >>> len(twitter1(root)), sorted(set(twitter1(root).folds.tolist()))
        (10, [1, 2, 3, 4, 5])
    """
    root = Path(root)
    lists = read_lists(root)
    found = labels_of(root, lists, agree)
    folder = next((name for name in _FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise DatasetError(
            f"twitter1: {len(found.keys):,} labels, but no images: {root} has neither "
            f"Agg_AMT_Candidates/ nor images/; {GET}"
        )
    names = set(filter(is_image, files(root / folder)))
    there = np.array([key in names for key in found.keys.tolist()])
    if not there.any():
        raise DatasetError(
            f"twitter1: none of the {len(found.keys):,} images is in {root / folder}; {GET}"
        )
    keys, labels, folds = found.keys[there], found.labels[there], found.folds[there]
    if n_folds is not None or (folds < 0).any():
        folds = stratified_folds(labels, 5 if n_folds is None else n_folds, seed)
    return Dataset(
        name="twitter1",
        root=root,
        keys=keys,
        files=np.array([f"{folder}/{key}" for key in keys.tolist()]),
        labels=labels,
        folds=folds,
        agreement=None if found.agreement is None else found.agreement[there],
        counts={
            "rows": len(there),
            "rows without image": int((~there).sum()),
            "images without label": len(names.difference(*lists.values())),
        },
    )
