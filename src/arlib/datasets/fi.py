"""FI: Flickr and Instagram photographs of Mikels' eight emotions (You et al. 2016)."""

from pathlib import Path

from arlib.datasets.dataset import Dataset, DatasetError
from arlib.datasets.folder import class_folders
from arlib.datasets.folds import deal
from arlib.datasets.labels import view
from arlib.datasets.listing import folders

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
    """Read FI as it is commonly passed on: one folder an emotion.

    Its authors split it at random, 80 % for training, 5 % for validation and 15 % for testing, and
    no list of that split could be found; nor could a description of the folders by the authors
    themselves. Folds are dealt by emotion, so that both views have the same.

    Args:
        root: holds `amusement/`, `anger/`, `awe/`, `contentment/`, `disgust/`, `excitement/`,
            `fear/` and `sadness/`.
        classes: "emotions" for the eight; "polarity" for positive (amusement, awe, contentment,
            excitement) and negative, as `arlib.method.polarities` maps them.
        n_folds: stratified folds, numbered from 1; 0 for none.
        seed: of the folds' shuffle.

    Returns:
        The images, keyed by `<emotion>/<picture>`. `counts` has "other files": those that are, by
        their ending, no pictures.

    Raises:
        DatasetError: an emotion's folder is missing or empty, there is a folder of another name,
            or `classes` is none of the two; or as `walk`.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for emotion in EMOTIONS:
        ...     (root / emotion).mkdir()
        ...     (root / emotion / "1.jpg").touch()
        >>> fi(root, classes="polarity", n_folds=0).labels
        array([0, 1, 0, 0, 1, 0, 1, 1], dtype=int8)
    """
    root = Path(root)
    if strange := sorted(set(folders(root)) - set(EMOTIONS)):
        raise DatasetError(f"fi: {root} has folders of no class: {strange}; move them away")
    keys, labels, other = class_folders("fi", root, EMOTIONS)
    folds = deal(labels, n_folds, seed)
    labels, emotions = view(labels, EMOTIONS, classes)
    return Dataset(
        name="fi",
        root=root,
        keys=keys,
        files=keys,
        labels=labels,
        folds=folds,
        emotions=emotions,
        counts={"other files": other},
    )
