"""Datasets by name, and images of one's own by their path."""

import inspect
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np

from arlib._support.settings import near
from arlib.datasets.artphoto import artphoto
from arlib.datasets.catalog import entry, source_of
from arlib.datasets.dataset import Dataset
from arlib.datasets.emoset import emoset
from arlib.datasets.emotionroi import emotionroi
from arlib.datasets.fi import fi
from arlib.datasets.files import DatasetError
from arlib.datasets.folder import (
    check_folder_is_there,
    folder,
    unlabelled_images,
    why_unlabelled,
)
from arlib.datasets.folds import read_folds
from arlib.datasets.oasis import oasis
from arlib.datasets.rated import RATED, rated
from arlib.datasets.shards import ImageColumn, is_shards, shards
from arlib.datasets.table import table
from arlib.datasets.twitter1 import SUBSETS, twitter1, twitter1_subset
from arlib.datasets.twitter2 import twitter2
from arlib.datasets.vso import vso, vso_held_out

_READERS: dict[str, Callable[..., Dataset]] = {
    "twitter1": twitter1,
    **{f"twitter1-{agree}": twitter1_subset(agree) for agree in SUBSETS},
    "twitter2": twitter2,
    "oasis": oasis,
    "vso": vso,
    "vso-held-out": vso_held_out,
    "fi": fi,
    "emotionroi": emotionroi,
    "emoset": emoset,
    "artphoto": artphoto,
    **{name: rated(name) for name in RATED},
    "folder": folder,
}

_SCENES = ("scenes-objects", "scenes-tagged", "scenes-annotated", "scenes-folded")

_TABLES = (".csv", ".tsv", ".parquet")

log = logging.getLogger(__name__)


def names() -> list[str]:
    """Name every dataset that `load` knows.

    Example:
        >>> names()
        ['abstract', 'artphoto', 'emoset', 'emotion6', 'emotionroi', 'fi', 'folder', 'iaps',
         'oasis', 'scenes-annotated', 'scenes-folded', 'scenes-objects', 'scenes-tagged',
         'twitter1', 'twitter1-five', 'twitter1-four', 'twitter1-three', 'twitter2', 'vso',
         'vso-held-out']
    """
    return sorted([*_READERS, *_SCENES])


def load(
    name: str | Path,
    root: str | Path | None = None,
    *,
    folds: str | Path | None = None,
    max_pixels: int | None = None,
    **settings: Any,
) -> Dataset:
    """Load a dataset by name, or images of one's own by their path.

    Args:
        name: one of `names()`; or the path of a table (`.csv`, `.tsv`, `.parquet`), of a folder of
            class folders, of Arrow shards (what `save_to_disk` of Hugging Face's `datasets`
            writes), or of any other folder, whose images then have no labels. Class folders are two
            folders or more, with no image beside them.
        root: of a name, its folder; None takes `$ARLIB_DATA/<name>`, of a part that of its dataset.
        folds: a file that `Dataset.save_folds` wrote, whose folds are taken instead.
        max_pixels: of an image, as of `read_image`; None takes the default there, 80,000,000.
        settings: of the dataset, as below. `n_folds` numbers stratified folds from 1, shuffled by
            `seed` (0); 0 is for none.

            - "twitter1": `agree`, "five", "four" or "three" (the default): how many of five people,
              at least, gave the label; `n_folds`, None for the folds of the lists, and for 5 where
              those have none. "twitter1-five", "twitter1-four" and "twitter1-three" are the
              subsets as columns of their own, without `agreement`.
            - "oasis": `positive_from` (4.5), the least mean valence of a positive image, and
              `negative_to` (3.5), the greatest of a negative one; those between are left out;
              `n_folds` (5).
            - "vso": `n_folds`, None for the folds of `folds.csv` in its folder, as `save_folds`
              writes it, in whose order the images then are, and for 10 where there is none;
              `held_out`: True (the default) numbers the first fold 1, for testing, and all others
              -1, for training; False numbers every fold. "vso-held-out" are those for testing
              alone, in `n_folds` (None: 5, or as many as the rarer label has images) of their own.
            - "fi", "emotionroi", "emoset", "emotion6", "artphoto", "abstract", "iaps": `classes`,
              "emotions" or "polarity", positive and negative as `arlib.method.polarities` maps them
              by default; `n_folds` of "fi" (5) and of the last four (None: 5, or as many as the
              rarest emotion has images).
            - "emoset": `tags`, an attribute that its annotations tell of the images, "scene",
              "object", "facial_expression", "human_action", "brightness" or "colorfulness"; None
              (the default) reads none of its 118,102 annotations.
            - "folder" and tables: `n_folds` (None: 5, or as many as the rarest class has images),
              which are not used where a table has a column `fold`, or class folders lie in the
              parts of a split (train/, test/); tables also `emotions`, the classes in order.
            - the path of a folder: `labels`; False takes all images in it and below, those of class
              folders too, without labels and folds. Without labels, `emotions` are the classes of
              the network that will score them, None for positive, negative.
            - shards: `image` ("image"), `label` ("label") and `fold` ("fold" where there is one),
              the columns; None leaves labels or folds unknown.
            - scenes: `generator` (`scenes.SceneGenerator()`), `n` (600) and `seed`;
              "scenes-annotated" also `agreement`, 3 (the default), 4 or 5 of five annotators;
              "scenes-folded" also `positive` (0.78), the positive share.

    Returns:
        The dataset. What was read otherwise than it is written, or passed over, is in its `notes`,
        and logged as warnings.

    Raises:
        DatasetError: no such name or path; or the data is not there, saying how to get it; or its
            files contradict each other, naming file and line.

    Example:
        >>> load("flickr")
        Traceback (most recent call last):
        ...
        arlib.datasets.files.DatasetError: no dataset 'flickr'; there are ...
        >>> import tempfile
        >>> photos = Path(tempfile.mkdtemp())
        >>> (photos / "sea.jpg").touch()
        >>> load(photos).keys.tolist()
        ['sea.jpg']
    """
    dataset = read(name, root, folds=folds, max_pixels=max_pixels, **settings)
    for note in dataset.notes if parent_process() is None else ():  # workers do not repeat it
        log.warning("%s: %s", name, note)
    return dataset


def read(
    name: str | Path,
    root: str | Path | None = None,
    *,
    folds: str | Path | None = None,
    max_pixels: int | None = None,
    **settings: Any,
) -> Dataset:
    """Load a dataset as `load` does, without logging its notes."""
    dataset = _load(str(name), root, settings)
    if max_pixels is not None:
        draw = dataset.draw
        if isinstance(draw, ImageColumn):
            draw = replace(draw, max_pixels=max_pixels)
        dataset = replace(dataset, draw=draw, max_pixels=max_pixels)
    if folds is None:
        return dataset
    keys = dataset.keys.tolist()
    fold_of = read_folds(folds, dataset.name, keys)
    return replace(dataset, folds=np.array([fold_of[key] for key in keys], np.int8))


def _load(name: str, root: str | Path | None, settings: dict[str, Any]) -> Dataset:
    if name in _SCENES:
        from arlib.datasets.scenes.benchmark import SETS  # its tables take time to compute

        return SETS[name.removeprefix("scenes-")](**settings)
    if name not in _READERS:
        return _load_path(name, root, settings)
    source = source_of(name)
    if root is None:
        data = os.environ.get("ARLIB_DATA")
        if not data:
            raise DatasetError(
                f"{name} is not here: get it (`arlib data where {source}` says how), and set "
                f"ARLIB_DATA to the folder that holds {source}/"
            )
        root = Path(data, source)
    if not Path(root).is_dir():
        raise DatasetError(
            f"{name} is not at {root}: `arlib data where {source}` says how to get it"
        )
    dataset = _call(_READERS[name], Path(root), settings)
    lost = dataset.counts.get("rows without image", 0)
    if not lost or lost == entry(name).known.get("rows without image"):
        return dataset
    note = f"{lost:,} of its {dataset.counts['rows']:,} rows have no image: are files missing?"
    return replace(dataset, notes=(*dataset.notes, note))


def _load_path(name: str, root: str | Path | None, settings: dict[str, Any]) -> Dataset:
    path = Path(name)
    is_table = path.suffix.lower() in _TABLES and not path.is_dir()
    if not (is_table or path.exists() or "/" in name or os.sep in name):
        raise DatasetError(
            f"no dataset {name!r}{near(name, names())}; there are {', '.join(names())}, and paths"
        )
    if root is not None:
        raise DatasetError(f"{name} is a path: root {root} is only for names")
    labelled = settings.pop("labels", True)
    if is_table and not labelled:
        raise DatasetError(
            f"{name} is a table, which has labels: take it as a dataset, or give a folder of images"
        )
    if is_table:
        return _call(table, path, settings)
    check_folder_is_there(path, "no folder")
    if labelled and is_shards(path):
        return _call(shards, path, settings)
    why = why_unlabelled(path) if labelled else ""
    if why is None:
        return _call(folder, path, settings)
    dataset = _call(unlabelled_images, path, settings)
    return replace(dataset, notes=(*dataset.notes, why)) if why else dataset


def _call(reader: Callable[..., Dataset], root: Path, settings: dict[str, Any]) -> Dataset:
    """Call a reader; refuse settings that it does not have."""
    _, *parameters = inspect.signature(reader).parameters.values()
    known = [each.name for each in parameters]
    free = any(each.kind is each.VAR_KEYWORD for each in parameters)
    if unknown := [] if free else [name for name in settings if name not in known]:
        raise DatasetError(
            f"{root}: no setting {unknown[0]!r}{near(unknown[0], known)}; "
            f"there are {', '.join(known)}"
        )
    return reader(root, **settings)
