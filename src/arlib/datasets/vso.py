"""Visual Sentiment Ontology: Flickr photographs by adjective-noun pair (Borth et al. 2013)."""

import re
from collections import Counter
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
from arlib.datasets.folds import stratified_folds
from arlib.datasets.labels import POLARITY

# possessive, so that a long line without a blank takes no more than its length
_SENTIMENT = re.compile(r"(?<![^\s\[])([^\s\[]++)\s*+\[sentiment:\s*+(-?[\d.]++)\]")


def vso(root: str | Path, *, n_folds: int = 10, seed: int = 0, held_out: bool = True) -> Dataset:
    """Read the photographs; the weak label of each is the sign of its adjective-noun pair."""
    table, below = Path(root, "3244ANPs.txt"), Path(root, "bi_concepts1553")
    if not table.is_file() or not below.is_dir():
        raise DatasetError(f"vso: {root} must hold 3244ANPs.txt and bi_concepts1553/")
    sentiment = _read_sentiment(table)
    pairs = folder_names(below)
    known = [pair for pair in pairs if sentiment.get(pair)]
    files: list[str] = []
    sizes, others = [], Counter[str]()
    for pair in known:
        images, other = list_images(below / pair, f"{pair}/")
        files += images
        sizes.append(len(images))
        others += other
    if not files:
        raise DatasetError(f"vso: no image under {below} of a pair with a sentiment in {table}")
    keys = np.array(files)
    signs = np.array([sentiment[pair] < 0 for pair in known], np.int8)
    labels = np.repeat(signs, sizes)
    # The paper fine-tunes on a random 90 % and does not say which: the first of ten folds is
    # held out, and all others are none, for training.
    folds = stratified_folds(labels, n_folds, seed, POLARITY, "vso")
    return Dataset(
        name="vso",
        root=below,
        keys=keys,
        files=keys,
        labels=labels,
        folds=np.where(folds == 1, folds, np.int8(-1)) if held_out else folds,
        tags=np.repeat(np.array(known), sizes),
        counts={
            "pairs": len(known),
            "pairs without sentiment": len(pairs) - len(known),
            "other files": others.total(),
        },
        notes=passed_over(others),
    )


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
