"""What tests of experiments share: a dataset of drawn images."""

from pathlib import Path

import numpy as np

from arlib.datasets import Dataset, ImageError


def drawn_dataset(images, labels, folds, broken, **columns):
    """Make a dataset of images in memory, of which the one numbered `broken` cannot be read."""

    def draw(number):
        if number == broken:
            raise ImageError("broken.png", "no image")
        return images[number]

    return Dataset(
        name="drawn",
        root=Path(),
        keys=np.array([f"p{number}" for number in range(len(images))]),
        files=np.arange(len(images)).astype(str),
        labels=labels,
        folds=folds.astype(np.int8),
        draw=draw,
        **columns,
    )
