"""Visual Sentiment Ontology: Flickr photographs by adjective-noun pair (Borth et al. 2013)."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset, DatasetError, build, stratified_folds

_SENTIMENT = re.compile(r"(\S+_\S+)\s*\[sentiment:\s*(-?[\d.]+)\]")


def vso(root: Path, *, n_folds: int = 10, seed: int = 0) -> Dataset:
    """Read the photographs; the weak label of each is the sign of its adjective-noun pair.

    Args:
        root: holds `3244ANPs.txt` and `bi_concepts1553/<adjective_noun>/<picture>.jpg`.
        n_folds: stratified folds; the first is fold 1, held out, as the paper's tenth; the others
            are -1, for training.
        seed: of the folds' shuffle.

    Returns:
        The pictures, keyed by `<adjective_noun>/<picture>`; `tags` holds each one's pair. `counts`
        has "pairs" and "pairs without sentiment", whose pictures are left out.

    Raises:
        DatasetError: a file or folder is missing, or no picture is left.
    """
    table, folder = root / "3244ANPs.txt", root / "bi_concepts1553"
    if not table.is_file() or not folder.is_dir():
        raise DatasetError(f"vso: {root} must hold 3244ANPs.txt and bi_concepts1553/")
    text = table.read_text(encoding="utf-8", errors="replace")
    sentiment = {pair: float(value) for pair, value in _SENTIMENT.findall(text)}
    pairs = sorted(path.name for path in folder.iterdir() if path.is_dir())
    known = [pair for pair in pairs if sentiment.get(pair)]
    rows = {
        f"{pair}/{path.stem}": (f"bi_concepts1553/{pair}/{path.name}", int(sentiment[pair] < 0), -1)
        for pair in known
        for path in sorted((folder / pair).glob("*.jpg"))
    }
    counts = {"pairs": len(known), "pairs without sentiment": len(pairs) - len(known)}
    made = build("vso", root, rows, counts)
    tenth = stratified_folds(made.labels, n_folds, seed) == 1
    tags = np.array([key.partition("/")[0] for key in made.keys.tolist()])
    return replace(made, folds=np.where(tenth, 1, -1).astype(np.int8), tags=tags)
