"""Visual Sentiment Ontology: Flickr photographs by adjective-noun pair (Borth et al. 2013)."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import (
    DatasetError,
    folder_names,
    lines,
    list_images,
    once,
    passed_over,
)
from arlib.datasets.folds import own_folds, read_folds, stratified_folds
from arlib.datasets.labels import POLARITY

PAIRS, IMAGES, FOLDS = "3244ANPs.txt", "bi_concepts1553", "folds.csv"
"""The table of the pairs' sentiment, the folder of their images, and a split of one's own."""

# possessive, so that a long line without a blank takes no more than its length
_SENTIMENT = re.compile(r"(?<![^\s\[])([^\s\[]++)\s*+\[sentiment:\s*+(-?[\d.]++)\]")


def vso(
    root: str | Path, *, n_folds: int | None = None, seed: int = 0, held_out: bool = True
) -> Dataset:
    """Read the photographs; the weak label of each is the sign of its adjective-noun pair."""
    table, below = Path(root, PAIRS), Path(root, IMAGES)
    if not table.is_file() or not below.is_dir():
        raise DatasetError(f"vso: {root} must hold {PAIRS} and {IMAGES}/")
    sentiment = _read_sentiment(table)
    pairs = folder_names(below)
    known = [each for each in pairs if sentiment.get(each)]
    files: list[str] = []
    sizes, others = [], Counter[str]()
    for each in known:
        images, other = list_images(below / each, f"{each}/")
        files += images
        sizes.append(len(images))
        others += other
    if not files:
        raise DatasetError(f"vso: no image under {below} of a pair with a sentiment in {table}")
    pair = np.repeat(np.arange(len(known)), sizes)  # (n,) of each image, into `known`
    # The paper fine-tunes on a random 90 % and does not say which: a file may, whose order is then
    # that of the images. Else the first of ten folds is held out, and all others are none.
    split = Path(root, FOLDS)
    stated = n_folds is None and split.is_file()
    if stated:
        fold_of = read_folds(split, "vso", files)
        pair_of = dict(zip(files, pair.tolist(), strict=True))
        files, pair = list(fold_of), np.array([pair_of[file] for file in fold_of])
        folds = np.array(list(fold_of.values()), np.int8)
        if not (folds == 1).any():
            raise DatasetError(f"{split}: no image is in fold 1, which is held out")
    keys = np.array(files)
    labels = np.array([sentiment[each] < 0 for each in known], np.int8)[pair]
    if not stated:
        folds = stratified_folds(labels, 10 if n_folds is None else n_folds, seed, POLARITY, "vso")
    return Dataset(
        name="vso",
        root=below,
        keys=keys,
        files=keys,
        labels=labels,
        folds=np.where(folds == 1, folds, np.int8(-1)) if held_out else folds,
        tags=np.array(known)[pair],
        counts={
            "pairs": len(known),
            "pairs without sentiment": len(pairs) - len(known),
            "other files": others.total(),
        },
        notes=passed_over(others),
    )


def vso_held_out(root: str | Path, *, n_folds: int | None = None, seed: int = 0) -> Dataset:
    """Read what `vso` holds out, in folds of its own, on which K is chosen."""
    dataset = vso(root)
    part = dataset.subset(dataset.folds == 1)
    folds, few = own_folds(part.labels, n_folds, seed, part.emotions, "vso-held-out")
    return replace(part, name="vso-held-out", folds=folds, notes=(*part.notes, *few))


def _read_sentiment(path: Path) -> dict[str, float]:
    sentiment: dict[str, float] = {}
    seen: dict[str, int] = {}
    for number, text in lines(path):
        for pair, value in _SENTIMENT.findall(text):
            if "_" not in pair:
                continue
            once(seen, pair, number, path)
            try:
                sentiment[pair] = float(value)
            except ValueError as error:
                raise DatasetError(f"{path}, line {number}: {value!r} is no sentiment") from error
    return sentiment
