from . import catalog as catalog, dataset as dataset, scenes as scenes
from .check import check as check
from .coco import coco as coco
from .dataset import (
    POLARITY as POLARITY,
    Dataset as Dataset,
    DatasetError as DatasetError,
    GroundTruth as GroundTruth,
    build as build,
)
from .download import fetch as fetch
from .emotionroi import emotionroi as emotionroi
from .fi import fi as fi
from .folder import folder as folder, pictures as pictures
from .folds import (
    save_folds as save_folds,
    stratified_folds as stratified_folds,
    with_folds as with_folds,
)
from .huggingface import huggingface as huggingface
from .images import ImageError as ImageError, read_image as read_image
from .labels import by_tag as by_tag
from .registry import load as load, names as names
from .table import table as table
from .twitter1 import twitter1 as twitter1, twitter1_labels as twitter1_labels
from .vso import vso as vso
