"""FI: Flickr and Instagram photographs of Mikels' eight emotions (You et al. 2016)."""

from pathlib import Path

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, folder_names, passed_over
from arlib.datasets.folder import class_folders
from arlib.datasets.folds import stratified_folds
from arlib.datasets.labels import view

EMOTIONS = (
    "amusement",
    "anger",
    "awe",
    "contentment",
    "disgust",
    "excitement",
    "fear",
    "sadness",
)


def fi(root: str | Path, *, classes: str = "emotions", n_folds: int = 5, seed: int = 0) -> Dataset:
    """Read FI as it is commonly passed on: one folder an emotion."""
    # Its authors split it at random, 80 % for training, 5 % for validation and 15 % for testing.
    # No list of that split could be found, so folds are stratified by emotion: both views have
    # the same.
    root = Path(root)
    if unknown := sorted(set(folder_names(root)) - set(EMOTIONS)):
        raise DatasetError(f"fi: {root} has folders of no class: {unknown}; move them away")
    keys, labels, others = class_folders("fi", root, EMOTIONS)
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
        counts={"other files": others.total()},
        notes=passed_over(others),
    )
