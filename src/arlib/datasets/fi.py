"""FI: Flickr and Instagram photographs of Mikels' eight emotions (You et al. 2016)."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, file_names, folder_names, lines, passed_over
from arlib.datasets.folder import class_folders
from arlib.datasets.folds import stratified_folds
from arlib.datasets.labels import MIKELS, view

EMOTIONS = MIKELS

VOTES = "agg"
"""The folder of the lists that its authors released: an image's address, and its votes."""


def fi(root: str | Path, *, classes: str = "emotions", n_folds: int = 5, seed: int = 0) -> Dataset:
    """Read FI as it is commonly passed on, one folder an emotion, and with the released lists.

    Where those are there, the images are those for whose emotion most workers voted.
    """
    # Its authors split it at random, 80 % for training, 5 % for validation and 15 % for testing.
    # No list of that split could be found, so folds are stratified by emotion: both views have
    # the same.
    root = Path(root)
    if unknown := sorted(set(folder_names(root)) - {*EMOTIONS, VOTES}):
        raise DatasetError(f"fi: {root} has folders of no class: {unknown}; move them away")
    keys, labels, others = class_folders("fi", root, EMOTIONS)
    counts, notes = {"other files": others.total()}, passed_over(others)
    if (root / VOTES).is_dir():
        votes, of_votes = _read_votes(root / VOTES)
        voted = np.array([_plain(key) in votes for key in keys.tolist()])
        kept = np.array([votes.get(_plain(key), 0) > 0 for key in keys.tolist()])
        if not kept.any():
            raise DatasetError(
                f"fi: none of the images is in the lists of {root / VOTES}: an image's name is the "
                "last part of its address there"
            )
        majority = sum(margin > 0 for margin in votes.values())
        counts |= {
            "rows": len(votes),
            "rows without majority": len(votes) - majority,
            "rows without image": majority - int(kept.sum()),
            "images without label": int((~voted).sum()),
        }
        keys, labels, notes = keys[kept], labels[kept], (*notes, *of_votes)
    folds = stratified_folds(labels, n_folds, seed, EMOTIONS, "fi")
    labels, emotions = view(labels, EMOTIONS, classes)
    return Dataset(
        name="fi",
        root=root,
        keys=keys,
        files=keys,
        labels=labels,
        folds=folds,
        emotions=emotions,
        counts=counts,
        notes=notes,
    )


def _read_votes(folder: Path) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """Read the lists: `<emotion>/<image>` -> how many more workers voted for it than against."""
    # What a program that downloads the images reads, `_get_you_imemo_urls` on GitHub: files whose
    # names begin with the emotion and _, rows without a header, of something, an address, and the
    # votes against and for the emotion.
    margins: Counter[str] = Counter()
    n_rows = 0
    missing = set(EMOTIONS)
    for name in file_names(folder):
        emotion = name.removesuffix(".csv").partition("_")[0].casefold()
        if not name.endswith(".csv") or emotion not in EMOTIONS:
            raise DatasetError(
                f"fi: {folder / name} is no list; a list is EMOTION.csv or EMOTION_....csv, and "
                f"there are {', '.join(EMOTIONS)}"
            )
        missing.discard(emotion)
        for number, text in lines(folder / name):
            cells = [cell.strip() for cell in text.split(",")]
            image = _plain(cells[1].rpartition("/")[2]) if len(cells) == 4 else ""
            if not image or not all(each.isascii() and each.isdigit() for each in cells[2:]):
                raise DatasetError(
                    f"{folder / name}, line {number}: {text!r} is no row; a row is anything, an "
                    "image's address, and how many voted against its emotion and for it"
                )
            margins[f"{emotion}/{image}"] += int(cells[3]) - int(cells[2])
            n_rows += 1
    if missing:
        raise DatasetError(f"fi: {folder} has no list of {', '.join(sorted(missing))}")
    twice = n_rows - len(margins)
    note = f"{twice:,} rows of {VOTES}/ name an image of an earlier row: their votes are added"
    return margins, (note,) if twice else ()


def _plain(name: str) -> str:
    """Take the query off an address or off what was saved under it."""
    return name.partition("?")[0]
