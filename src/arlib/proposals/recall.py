"""How many of the objects in pictures a proposal method finds, and how long it takes."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from arlib.datasets import GroundTruth
from arlib.evaluation.boxes import recall

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Numbers of boxes an image at which recall is told."""


def recall_curves(
    methods: Mapping[str, Callable[[np.ndarray], object]],
    truth: GroundTruth,
    *,
    counts: Sequence[int] = COUNTS,
    iou: float = 0.5,
    max_images: int | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.Series]:
    """Measure methods on ground truth, picture by picture and in turn.

    Recall at n is the share of all objects that one of the best n boxes of their picture overlaps
    by `iou` or more (Hosang et al. 2016).

    Args:
        methods: name -> proposal method; each should propose `max(counts)` boxes.
        truth: pictures and the boxes of their objects.
        counts: numbers of boxes an image.
        iou: the overlap that counts as found, in (0, 1].
        max_images: take only the first so many pictures.
        progress: show a bar.

    Returns:
        recall in [0, 1], a row a count and a column a method; and seconds an image by method, the
        median over pictures.

    Raises:
        ImageError: a picture cannot be read.
    """
    objects = truth.boxes[:max_images]
    found: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for number in tqdm(range(len(objects)), unit="image", disable=not progress, desc="proposals"):
        image = truth.read(number)
        for name, propose in methods.items():
            started = time.perf_counter()
            found[name].append(propose(image).boxes)  # type: ignore[attr-defined]
            seconds[name].append(time.perf_counter() - started)
    curves = {name: recall(boxes, objects, iou=iou, counts=counts) for name, boxes in found.items()}
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    index = pd.Index(counts, name="boxes")
    return pd.DataFrame(curves, index=index), pd.Series(medians, name="seconds an image")
