"""Datasets by name, and images of one's own by their path."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arlib.datasets.dataset import Dataset, DatasetError
from arlib.datasets.emotionroi import emotionroi
from arlib.datasets.fi import fi
from arlib.datasets.folder import folder, pictures
from arlib.datasets.folds import with_folds
from arlib.datasets.huggingface import is_shards, shards
from arlib.datasets.listing import files, folders, is_image
from arlib.datasets.oasis import oasis
from arlib.datasets.table import table
from arlib.datasets.twitter1 import twitter1
from arlib.datasets.twitter2 import twitter2
from arlib.datasets.vso import vso

_LOADERS: dict[str, tuple[Callable[..., Dataset], str]] = {
    "twitter1": (twitter1, "the tweets of You et al. (2015): qzyou.github.io/projects/sa-ds"),
    "twitter2": (
        twitter2,
        "the photo tweets of the Visual Sentiment Ontology (Borth et al. 2013)",
    ),
    "oasis": (oasis, "the Open Affective Standardized Image Set (benedekkurdi.com/#oasis)"),
    "vso": (vso, "the Visual Sentiment Ontology's Flickr photographs (Borth et al. 2013)"),
    "fi": (fi, "the emotion data of You et al. (2016): qzyou.github.io/projects/sa-ds"),
    "emotionroi": (
        emotionroi,
        "EmotionROI of Peng et al. (2016): chenlab.ece.cornell.edu/downloads.html",
    ),
    "folder": (folder, "pictures of your own, one folder a class"),
}


_DRAWN = {
    "scenes-objects": "objects",
    "scenes-tagged": "tagged",
    "scenes-annotated": "annotated",
    "scenes-folded": "folded",
}


_TABLES = (".csv", ".parquet")


def names() -> list[str]:
    """Every dataset that `load` knows by name.

    Example:
        >>> names()
        ['emotionroi', 'fi', 'folder', 'oasis', 'scenes-annotated', 'scenes-folded',
         'scenes-objects', 'scenes-tagged', 'twitter1', 'twitter2', 'vso']
    """
    return sorted([*_LOADERS, *_DRAWN])


def load(
    name: str | Path,
    root: str | Path | None = None,
    *,
    folds: str | Path | None = None,
    **settings: Any,
) -> Dataset:
    """Load a dataset by name, or pictures of one's own by their path.

    Args:
        name: one of `names()`; or the path of a table (`.csv`, `.parquet`), of a folder of class
            folders, of shards (`datasets.Dataset.save_to_disk`), or of any other folder, whose
            pictures then have no labels. Class folders are two folders or more, with no picture
            beside them.
        root: of a name, its folder; None takes `$ARLIB_DATA/<name>`.
        folds: a file that `save_folds` wrote, whose folds are taken instead of the reader's.
        settings: of its reader, such as `n_folds` of `oasis`. Scenes are drawn, not read: theirs
            are `generator`, `n` (600) and `seed`.

    Returns:
        The dataset.

    Raises:
        DatasetError: no such name or path; or the data is not there, saying what to get and where
            to put it; or its files contradict each other.

    Example:
        >>> load("flickr")
        Traceback (most recent call last):
        ...
        arlib.datasets.dataset.DatasetError: no dataset 'flickr'; there are emotionroi, fi, ...
        >>> import tempfile
        >>> photos = Path(tempfile.mkdtemp())
        >>> (photos / "sea.jpg").touch()
        >>> load(photos).keys.tolist()
        ['sea.jpg']
    """
    made = _load(str(name), root, settings)
    return made if folds is None else with_folds(made, folds)


def _load(name: str, root: str | Path | None, settings: dict[str, Any]) -> Dataset:
    if name in _DRAWN:
        scenes = importlib.import_module("arlib.datasets.scenes")
        draw = getattr(scenes, _DRAWN[name])
        return draw(**{"generator": scenes.SceneGenerator(), "n": 600, **settings})
    if name not in _LOADERS:
        return _own(name, root, settings)
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


def _own(name: str, root: str | Path | None, settings: dict[str, Any]) -> Dataset:
    path = Path(name)
    is_table = path.suffix.lower() in _TABLES and not path.is_dir()
    if not (is_table or path.is_dir() or "/" in name or os.sep in name):
        raise DatasetError(f"no dataset {name!r}; there are {', '.join(names())}, and paths")
    if root is not None:
        raise DatasetError(f"{name} is a path: root {root} is only for names")
    if is_table:
        return table(path, **settings)
    if not path.is_dir():
        raise DatasetError(f"no folder {path}")
    if is_shards(path):
        return shards(path, **settings)
    beside = any(is_image(each) for each in files(path))
    return (pictures if beside or len(folders(path)) < 2 else folder)(path, **settings)
