"""Measure what the model card of the default classifier says; record it, and renew the card's page.

    export ARLIB_DATA=/where/your/data/is
    arlib run own -p dataset oasis --only-measure                  # heads of the other folds
    arlib run own -p dataset twitter2 -p finetune_on "[shipped]" --only-measure
    python tools/model_card.py _build/own/results/*

The runs are measured as `arlib predict` fuses by default; without that of OASIS, its full images
alone are measured. The known failures are of full images: OASIS, each image by the head of the
other folds, altered; and words, by the shipped head.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from arlib import datasets
from arlib.datasets import Dataset
from arlib.evaluation import evaluate
from arlib.experiments import open_run
from arlib.method import predict_labels
from arlib.networks import LinearHead, load_backbone, model_card
from arlib.scoring import global_outputs

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "src/arlib/networks/oasis-efficientnet_lite0-card.json"
PAGE = ROOT / "book/guide/card.md"

WORDS = (
    "love joy happy wonderful delight peace smile friend hope kind sweet gentle celebrate "
    "beautiful holiday laughter warm paradise triumph kitten",
    "hate death fear horrible pain war cry enemy despair cruel rotten violent murder ugly disease "
    "torture cold poison failure corpse",
)


def altered(dataset: Dataset, change: Callable[[Image.Image], Image.Image]) -> Dataset:
    """Change every image of a dataset."""

    def draw(number: int) -> np.ndarray:
        return np.asarray(change(Image.fromarray(dataset.read(number))).convert("RGB"))

    numbers = np.arange(len(dataset)).astype(str)
    return replace(dataset, name="altered", files=numbers, draw=draw)


def written(words: list[str], labels: list[int]) -> Dataset:
    """Write each word in black on white."""
    font = ImageFont.load_default(60)

    def draw(number: int) -> np.ndarray:
        image = Image.new("RGB", (400, 300), "white")
        ImageDraw.Draw(image).text((200, 150), words[number], "black", font, anchor="mm")
        return np.asarray(image)

    return Dataset(
        name="words",
        root=Path(),
        keys=np.array(words),
        files=np.arange(len(words)).astype(str),
        labels=np.array(labels, np.int8),
        folds=np.full(len(words), -1, np.int8),
        emotions=("positive", "negative"),
        draw=draw,
    )


def dark(image: Image.Image) -> Image.Image:
    """Leave an eighth of the light."""
    return image.point(lambda value: value // 8)


def small(image: Image.Image) -> Image.Image:
    """Make the longer side 32 pixels."""
    image.thumbnail((32, 32))
    return image


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as they are": lambda image: image,
    "grey": lambda image: image.convert("L"),
    "dark": dark,
    "small": small,
    "turned": lambda image: image.rotate(180),
}


def numbers(probability: np.ndarray, labels: np.ndarray, folds: np.ndarray | None) -> dict:
    """Measure predictions, with intervals."""
    table = evaluate(probability, labels, folds=folds)
    facts: dict = {
        name: [round(float(row[part]), 6) for part in ("estimate", "low", "high")]
        for name, row in table.iterrows()
    }
    right = probability.argmax(axis=1) == labels
    names = ("positive", "negative")
    facts["right"] = {n: round(float(right[labels == c].mean()), 6) for c, n in enumerate(names)}
    majority = float(table.majority["accuracy"])
    return {**facts, "majority": round(majority, 6), "images": len(labels)}


def failures() -> dict:
    """Measure altered images and words."""
    head, dataset = LinearHead.default(), datasets.load("oasis")
    network = load_backbone(head.backbone)
    plain = global_outputs(dataset, network, features=True)
    heads = {
        fold: LinearHead.fit(
            plain[dataset.folds != fold],
            dataset.labels[dataset.folds != fold],
            dataset.emotions,
            backbone=head.backbone,
        )
        for fold in np.unique(dataset.folds)
    }
    result = {}
    for name, change in CHANGES.items():
        features = global_outputs(altered(dataset, change), network, features=True)
        probability = np.empty((len(dataset), 2))
        for fold, own in heads.items():
            tested = dataset.folds == fold
            probability[tested] = own.probability(features[tested])
        result[name] = numbers(probability, dataset.labels, dataset.folds)
        print(name, result[name], flush=True)
    words = [word for each in WORDS for word in each.split()]
    labels = [label for label, each in enumerate(WORDS) for _ in each.split()]
    images = written(words, labels)
    features = global_outputs(images, network, features=True)
    result["words"] = numbers(head.probability(features), images.labels, None)
    print("words", result["words"])
    return result


def measured(folder: Path) -> dict:
    """Measure a run: the full image, and fused as `arlib predict` does by default."""
    run = open_run(folder)
    scores = run.scores.load()
    labels, folds = scores.label.values, scores.fold.values
    if run.facts["experiment"]["finetune_on"] == ["shipped"]:
        folds = None  # one head predicts every image
    fused = predict_labels(scores, 8, beta=0.5).probability
    return {
        "full image": numbers(scores.global_probability.values, labels, folds),
        "fused": numbers(fused.values, labels, folds),
    }


def main() -> None:
    """Measure the runs that are named, and the failures."""
    runs = {Path(each).name: measured(Path(each)) for each in sys.argv[1:]}
    print(runs)
    failed = failures()
    runs.setdefault("oasis-efficientnet_lite0", {"full image": failed["as they are"]})
    facts = {
        "weights_sha256": LinearHead.default().provenance["weights_sha256"],
        "runs": runs,
        "failures": failed,
    }
    RECORD.write_text(json.dumps(facts, indent=1) + "\n")
    start, end = "<!-- card -->", "<!-- /card -->"
    before = PAGE.read_text(encoding="utf-8").partition(start)[0]
    PAGE.write_text(f"{before}{start}\n\n{model_card()}\n{end}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
