"""Rows of a label file -> a dataset."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import POLARITY, Dataset, DatasetError


def build(
    name: str,
    root: Path,
    rows: Mapping[str, tuple[str, int, int]],
    counts: Mapping[str, int],
    emotions: tuple[str, ...] = POLARITY,
) -> Dataset:
    """Assemble a dataset from key -> (file, label, fold), in the order given.

    Raises:
        DatasetError: there is no image.
    """
    if not rows:
        raise DatasetError(f"{name}: no image under {root}")
    files, labels, folds = zip(*rows.values(), strict=True)
    return Dataset(
        name=name,
        root=root,
        keys=np.array(list(rows)),
        files=np.array(files),
        labels=np.array(labels, np.int8),
        folds=np.array(folds, np.int8),
        emotions=emotions,
        counts=dict(counts),
    )
