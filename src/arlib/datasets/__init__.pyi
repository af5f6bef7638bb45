from . import scenes as scenes
from .catalog import (
    describe as describe,
    entry as entry,
    source_of as source_of,
    title as title,
)
from .checks import check as check
from .coco import load_coco as load_coco
from .dataset import Dataset as Dataset
from .download import fetch as fetch
from .files import DatasetError as DatasetError
from .images import ImageError as ImageError, read_image as read_image
from .registry import load as load, names as names
