"""Folds: stratified ones, those of a fixed split, and those in a file of `Dataset.save_folds`."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arlib.datasets.files import DatasetError, once, rows

COLUMNS = ("image", "fold")

N_FOLDS = 5
"""How many folds there are by default, where the rarest class has as many images."""

_LAST = np.iinfo(np.int8).max

_PART = re.compile(
    r"(?:(?P<train>train(?:ing|val)?)|(?P<val>val(?:id(?:ation)?)?|dev(?:elopment)?)"
    r"|(?P<test>test(?:ing)?|eval(?:uation)?))(?:[ _-]?(?:set|split|data|images))?(?:[ _-]?\d{4})?"
    r"|(?:fold|split|partition)[ _-]?(?P<fold>\d{1,3})",
    re.IGNORECASE,
)


def stratified_folds(
    labels: npt.ArrayLike,
    n_folds: int,
    seed: int,
    names: Sequence[str] = (),
    source: str = "",
) -> np.ndarray:
    """Number the folds of n images 1 ... n_folds, each with every label's share; -1 for none.

    The names of the labels, and the source, are for the error where one has too few images.
    """
    labels = np.asarray(labels)
    known = labels >= 0  # the others are in no fold
    folds = np.full(len(labels), -1, np.int8)
    if n_folds == 0 or (len(labels) and not known.any()):
        return folds
    numbers, first, label, sizes = np.unique(
        labels[known], return_index=True, return_inverse=True, return_counts=True
    )
    label = np.argsort(np.argsort(first))[label]  # numbered as they come: (n,) 0 ... L - 1
    if not 2 <= n_folds <= _LAST:
        raise DatasetError(f"n_folds must be 2 to {_LAST}, or 0 for none: {n_folds}")
    if not len(sizes) or sizes.min() < n_folds:
        few = [
            f"{names[number] if names else f'label {number}'} has {size}"
            for number, size in zip(numbers.tolist(), sizes.tolist(), strict=True)
            if size < n_folds
        ]
        raise DatasetError(
            f"{source and f'{source}: '}{n_folds} folds need {n_folds} images of every class, and "
            f"{', '.join(few) or 'there is none'}: add images, leave the class out, or take "
            "fewer folds (n_folds; 2 at least, 0 for none)"
        )
    # What scikit-learn's StratifiedKFold gives, so that recorded folds hold, without its second
    # of import and its 40 MB: of the sorted labels each fold gets every n-th.
    ordered = np.sort(label)
    shares = [np.bincount(ordered[k::n_folds], minlength=len(first)) for k in range(n_folds)]
    rng = np.random.RandomState(seed % 2**32)  # it takes no larger seed
    dealt = np.zeros(len(label), np.int8)
    for number, share in enumerate(np.transpose(shares)):  # (label, fold)
        shuffled = np.repeat(np.arange(1, n_folds + 1, dtype=np.int8), share)
        rng.shuffle(shuffled)
        dealt[label == number] = shuffled
    folds[known] = dealt
    return folds


def own_folds(
    labels: np.ndarray, n_folds: int | None, seed: int, names: Sequence[str], source: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Deal stratified folds; None takes as many as the rarest class fills, and notes if few."""
    if n_folds is not None or not (labels >= 0).any():
        n_folds = N_FOLDS if n_folds is None else n_folds
        return stratified_folds(labels, n_folds, seed, names, source), ()
    numbers, sizes = np.unique(labels[labels >= 0], return_counts=True)
    if sizes.min() == 1:
        single = [names[number] for number in numbers[sizes == 1].tolist()]
        raise DatasetError(
            f"{source}: {', '.join(single)} {'has' if len(single) == 1 else 'have'} 1 image, of "
            f"{sizes.sum():,}: a class needs {N_FOLDS} for {N_FOLDS} folds, and 2 at least, one to "
            "learn from and one to test: add images, or leave the class out"
        )
    if sizes.min() >= N_FOLDS:
        return stratified_folds(labels, N_FOLDS, seed, names), ()
    fewest = int(sizes.min())
    note = f"{names[numbers[sizes.argmin()]]} has {fewest} images: {fewest} folds, not {N_FOLDS}"
    return stratified_folds(labels, fewest, seed, names), (note,)


def is_part(name: str) -> bool:
    """Tell whether a name is that of a part of a split: train, val, test, fold1, ..."""
    return _PART.fullmatch(name) is not None


def fixed_folds(parts: Collection[str], place: str) -> tuple[dict[str, int], str]:
    """Number the folds of a split's parts, by their names, and describe what they are read as.

    The testing part is fold 1, or the validation part where there is no other; what remains is in
    no fold, -1, for training. Numbered parts are folds of a cross-validation.
    """
    kinds: dict[str, list[str]] = {}
    for part in sorted(parts):
        match = _PART.fullmatch(part)
        if match is None:
            raise DatasetError(f"{place}: {part!r} is no part of a split")
        kinds.setdefault(match.lastgroup or "", []).append(part)
    if [*kinds] == ["fold"]:
        numbers = {part: int(re.sub(r"\D", "", part)) for part in kinds["fold"]}
        first = int(0 in numbers.values())
        folds = {part: number + first for part, number in numbers.items()}
        if 2 <= len(set(folds.values())) == len(folds) and max(folds.values()) <= _LAST:
            ordered = sorted(folds, key=lambda part: folds[part])
            numbered = ", ".join(str(folds[part]) for part in ordered)
            return folds, f"{', '.join(ordered)} are folds {numbered}"
    elif {"train"} < kinds.keys() <= {"train", "val", "test"} and len(kinds) == len(parts):
        tested = kinds.get("test", kinds.get("val", []))
        folds = {part: 1 if part in tested else -1 for part in sorted(parts)}
        learned = ", ".join(part for part, fold in folds.items() if fold < 0)
        return folds, f"{tested[0]} is fold 1, for testing; in no fold, for training: {learned}"
    raise DatasetError(
        f"{place}: the parts of a split, {', '.join(sorted(parts))}, do not fit together: there "
        "must be one to train on and one to test (train, test), or numbered folds (fold1, fold2)"
    )


def read_folds(path: str | Path, name: str, keys: list[str]) -> dict[str, int]:
    """Read the fold of each of a dataset's images, by its name and keys, in the file's order."""
    path = Path(path)
    known = set(keys)
    folds: dict[str, int] = {}
    seen: dict[str, int] = {}
    for number, row in rows(path, COLUMNS):
        key = row["image"]
        if key not in known:
            raise DatasetError(f"{path}, line {number}: {name} has no image {key!r}")
        once(seen, key, number, path)
        folds[key] = parse_fold(row["fold"], f"{path}, line {number}")
    missing = [key for key in keys if key not in seen]
    if missing:
        raise DatasetError(f"{path}: lacks {len(missing)} images of {name}: {missing[:5]}")
    return folds


def parse_fold(text: str, place: str) -> int:
    """Read a fold: 1 to 127, and -1 for none where it is blank or -1."""
    if text in ("", "-1"):
        return -1
    digits = text.isascii() and text.isdigit() and len(text) < 9  # more are slow, or an error
    if not (digits and 1 <= int(text) <= _LAST):
        raise DatasetError(f"{place}: {text!r} is no fold; a fold is 1 to 127, or blank or -1")
    return int(text)
