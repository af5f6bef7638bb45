"""What tests of experiments share: a dataset of drawn images, and a run on disk."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from arlib.datasets import Dataset, ImageError
from arlib.experiments.runs import write_baselines
from arlib.networks import Training, fit_coupled, split_network
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


def with_coupled_head(network):
    """Put a coupled head on a network, after a step of training on nothing."""
    size, trunk = network.preprocessing.size, split_network(network)[0]
    maps = trunk(torch.zeros(2, 3, size, size)).flatten(1).detach().numpy()
    plan = Training(iterations=1, batch_size=2)
    return fit_coupled(network, maps, np.array([0, 1]), network.classes, plan)


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


def write_layouts(root, *, pairs=20, each=12, size=(40, 56)):
    """Write small sets in the original layouts: vso, Twitter I and Twitter II; light is positive.

    The subsets of Twitter I that five, four and three agree on hold half, three quarters and all of
    its images; `each` is a pair's images, `pairs` the images of a class elsewhere.
    """
    rng = np.random.default_rng(0)

    def paint(path, positive):
        path.parent.mkdir(parents=True, exist_ok=True)
        level = 140 if positive else 20
        pixels = rng.integers(level, level + 100, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    nouns = {"happy_dog": 1.2, "sunny_sky": 0.9, "sad_dog": -1.1, "dark_sky": -0.8}
    root.mkdir(parents=True, exist_ok=True)
    for pair, sentiment in nouns.items():
        for number in range(each):
            place = root / "vso" / "bi_concepts1553" / pair / f"{number}.jpg"
            paint(place, sentiment > 0)
    table = "".join(f"{pair} [sentiment: {value}]\n" for pair, value in nouns.items())
    (root / "vso" / "3244ANPs.txt").write_text(table)
    rows = [(f"{number}.jpg", number % 2 == 0) for number in range(2 * pairs)]
    for name, positive in rows:
        paint(root / "twitter1" / "images" / name, positive)
    for agree, share in (("five", 2), ("four", 3), ("three", 4)):
        lines = "".join(f"{name} {int(label)}\n" for name, label in rows[: len(rows) * share // 4])
        (root / "twitter1" / f"{agree}_agree.txt").write_text(lines)
    truth = ["Image\tSentiment"]
    for number, (name, positive) in enumerate(rows):
        paint(root / "twitter2" / f"partition{number // 2 % 5 + 1}" / name, positive)
        truth.append(f"{name}\t{'positive' if positive else 'negative'}")
    (root / "twitter2" / "groundTruthLabel.txt").write_text("\n".join(truth) + "\n")
    return root
