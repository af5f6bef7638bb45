"""Where images and labels are: one module a dataset family, one registry."""

import importlib
from typing import Any

from arlib.datasets.coco import coco
from arlib.datasets.dataset import (
    POLARITY,
    Dataset,
    DatasetError,
    GroundTruth,
    build,
)
from arlib.datasets.emotionroi import emotionroi
from arlib.datasets.fi import fi
from arlib.datasets.folder import folder, pictures
from arlib.datasets.folds import save_folds, stratified_folds, with_folds
from arlib.datasets.huggingface import huggingface, shards
from arlib.datasets.labels import by_tag
from arlib.datasets.oasis import oasis
from arlib.datasets.registry import load, names
from arlib.datasets.table import table
from arlib.datasets.twitter1 import twitter1, twitter1_labels
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
    "emotionroi",
    "fi",
    "folder",
    "huggingface",
    "load",
    "names",
    "oasis",
    "pictures",
    "save_folds",
    "scenes",
    "shards",
    "stratified_folds",
    "table",
    "twitter1",
    "twitter1_labels",
    "twitter2",
    "vso",
    "with_folds",
]


def __getattr__(name: str) -> Any:
    """Import `scenes` when it is asked for: it draws its shapes, which takes 0.2 s and 110 MB."""
    if name == "scenes":
        return importlib.import_module("arlib.datasets.scenes")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
