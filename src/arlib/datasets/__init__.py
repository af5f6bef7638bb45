"""Where images and labels are: one module a dataset family, one registry."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arlib.datasets import scenes
from arlib.datasets.coco import coco
from arlib.datasets.dataset import (
    POLARITY,
    Dataset,
    DatasetError,
    GroundTruth,
    build,
    by_tag,
    stratified_folds,
)
from arlib.datasets.folder import folder, pictures
from arlib.datasets.oasis import oasis
from arlib.datasets.twitter2 import twitter2
from arlib.datasets.vso import vso

__all__ = [
    "POLARITY",
    "Dataset",
    "DatasetError",
    "GroundTruth",
    "build",
    "by_tag",
    "coco",
    "folder",
    "load",
    "names",
    "oasis",
    "pictures",
    "scenes",
    "stratified_folds",
    "twitter2",
    "vso",
]

_LOADERS: dict[str, tuple[Callable[..., Dataset], str]] = {
    "twitter2": (
        twitter2,
        "the photo tweets of the Visual Sentiment Ontology (Borth et al. 2013)",
    ),
    "oasis": (oasis, "the Open Affective Standardized Image Set (benedekkurdi.com/#oasis)"),
    "vso": (vso, "the Visual Sentiment Ontology's Flickr photographs (Borth et al. 2013)"),
    "folder": (folder, "pictures of your own, one folder a class"),
}


_DRAWN: dict[str, Callable[..., Dataset]] = {
    "scenes-objects": scenes.objects,
    "scenes-tagged": scenes.tagged,
    "scenes-judged": scenes.judged,
    "scenes-folded": scenes.folded,
}


def names() -> list[str]:
    """Every dataset that `load` knows.

    Example:
        >>> names()
        ['folder', 'oasis', 'scenes-folded', 'scenes-judged', 'scenes-objects', 'scenes-tagged',
         'twitter2', 'vso']
    """
    return sorted([*_LOADERS, *_DRAWN])


def load(name: str, root: str | Path | None = None, **settings: Any) -> Dataset:
    """Load a dataset by name.

    Args:
        name: one of `names()`.
        root: its folder; None takes `$ARLIB_DATA/<name>`.
        settings: of its reader, such as `n_folds` of `oasis`. Scenes are drawn, not read: theirs
            are `world`, `n` (600) and `seed`.

    Returns:
        The dataset.

    Raises:
        DatasetError: no such name; or the data is not there, saying what to get and where to put
            it; or its files contradict each other.

    Example:
        >>> load("flickr")
        Traceback (most recent call last):
        ...
        arlib.datasets.dataset.DatasetError: no dataset 'flickr'; there are folder, oasis, ...
    """
    if name in _DRAWN:
        return _DRAWN[name](**{"world": scenes.World(), "n": 600, **settings})
    if name not in _LOADERS:
        raise DatasetError(f"no dataset {name!r}; there are {', '.join(names())}")
    loader, source = _LOADERS[name]
    if root is None:
        data = os.environ.get("ARLIB_DATA")
        if not data:
            raise DatasetError(
                f"{name} is not here: get {source}, and set ARLIB_DATA to the folder that holds "
                f"{name}/ (its layout is on the book's page on datasets)"
            )
        root = Path(data, name)
    if not Path(root).is_dir():
        raise DatasetError(f"{name} is not at {root}: get {source}, and put it there")
    return loader(Path(root), **settings)
