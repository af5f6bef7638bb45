"""COCO-format ground truth: the boxes of objects, to measure proposals against."""

import json
from pathlib import Path

import numpy as np

from arlib._support.files import one_line
from arlib.datasets.dataset import GroundTruth
from arlib.datasets.files import DatasetError
from arlib.datasets.images import read_image

_WRONG = (ValueError, LookupError, TypeError, AttributeError, OverflowError)  # of other content


def load_coco(root: str | Path) -> GroundTruth:
    """Read `instances.json` and `images/`, as COCO lays them out (Lin et al. 2014).

    Crowds (`iscrowd`) are left out: one box around many objects is no object.

    Args:
        root: the folder that holds both.

    Returns:
        The images in the file's order: `read(i)` gives image i, (H, W, 3) uint8 RGB, `boxes[i]`
        the boxes of its objects, (m, 4) float32 xyxy in pixels, and `len()` their number.

    Raises:
        DatasetError: the file or an image is missing, or the file is of another format.
    """
    root = Path(root)
    path = root / "instances.json"
    if not path.is_file():
        raise DatasetError(f"coco: no {path}")
    try:
        content = json.loads(path.read_bytes())
        files = {image["id"]: root / "images" / image["file_name"] for image in content["images"]}
        boxes: dict[int, list] = {key: [] for key in files}
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd"):
                x, y, width, height = annotation["bbox"]
                boxes[annotation["image_id"]].append([x, y, x + width, y + height])
        with np.errstate(over="ignore"):  # of a number too large becomes infinity
            arrays = tuple(np.array(each, np.float32).reshape(-1, 4) for each in boxes.values())
        missing = [path.name for path in files.values() if not path.is_file()]
        if not all(np.isfinite(each).all() for each in arrays):
            raise ValueError("a box that is not finite")
    except (OSError, RecursionError, *_WRONG) as error:
        why = one_line(repr(error))
        raise DatasetError(f"coco: {path} is not in COCO's format ({why})") from error
    if missing:
        raise DatasetError(f"coco: {len(missing)} images of {path} are missing: {missing[:5]}")
    places = tuple(files.values())
    return GroundTruth(arrays, lambda number: read_image(places[number]))
