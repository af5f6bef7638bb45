"""What tests of experiments share: a dataset of drawn images, and a run on disk."""

import json
from pathlib import Path

import numpy as np

from arlib.datasets import Dataset, ImageError
from arlib.experiments.runs import write_baselines
from arlib.scoring import save_scores


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


def write_measured_run(folder, scores):
    """Write a run of a frozen network with one other row of Table 1, and few facts."""
    save_scores(scores, folder / "scores.zarr")
    text = {name: scores[name].astype(object) for name in ("image", "emotion")}
    text["method"] = np.array(["SentiBank"], object)
    values = scores.global_probability.expand_dims("method").rename("probability")
    write_baselines(folder, values.assign_coords(text).to_dataset())
    facts = {
        "experiment": {"dataset": "own", "backbones": ["vgg16"], "finetune_on": ["none"]},
        "results": {"full image": {"accuracy": {"estimate": 0.5}}},
    }
    (folder / "run.json").write_text(json.dumps(facts))
