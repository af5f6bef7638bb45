"""ArtPhoto: artistic photographs of eight emotions, which their names begin with."""

from pathlib import Path, PurePath

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, list_images, passed_over, unpacked
from arlib.datasets.folds import own_folds
from arlib.datasets.labels import MIKELS, view

EMOTIONS = MIKELS

_EMOTION_OF = {**{each: each for each in EMOTIONS}, "sad": "sadness"}  # as its names have it


def artphoto(
    root: str | Path, *, classes: str = "emotions", n_folds: int | None = None, seed: int = 0
) -> Dataset:
    """Read ArtPhoto (Machajdik and Hanbury 2010): files `EMOTION_NUMBER.jpg` in one folder."""
    # What programs that read its archive expect, for instance `Graviti-AI/tensorbay-python-sdk` on
    # GitHub. Its authors cross-validate on five folds, which they do not list.
    root = unpacked(Path(root), "testImages_artphoto")
    images, others = list_images(root)
    words = [PurePath(each).name.partition("_")[0].casefold() for each in images]
    pairs = zip(images, words, strict=True)
    if unknown := [image for image, word in pairs if word not in _EMOTION_OF]:
        raise DatasetError(
            f"artphoto: {len(unknown)} images are of no emotion: {unknown[:5]}; a name is "
            f"EMOTION_NUMBER.jpg, and there are {', '.join(_EMOTION_OF)}"
        )
    if not images:
        raise DatasetError(
            f"artphoto: no image in {root}; `arlib data where artphoto` says how to get them"
        )
    keys = np.array(images)
    labels = np.array([EMOTIONS.index(_EMOTION_OF[word]) for word in words], np.int8)
    folds, few = own_folds(labels, n_folds, seed, EMOTIONS, "artphoto")
    labels, emotions = view(labels, EMOTIONS, classes)
    return Dataset(
        name="artphoto",
        root=root,
        keys=keys,
        files=keys,
        labels=labels,
        folds=folds,
        emotions=emotions,
        counts={"other files": others.total()},
        notes=(*few, *passed_over(others)),
    )
