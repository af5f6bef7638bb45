"""Shared computation beside a crop a region: agreement of regions and labels, accuracy, time.

    ARLIB_DATA=... python benchmarks/bench_shared.py [--record] [images]

Each network is that of its recorded run: frozen, under heads fitted on the other folds. Boxes and
the scores of crops are the recorded ones; the synthetic scenes are scored with both. Times are
those of a few images, in turn, without proposals. `--record` writes
benchmarks/results/shared.json and the book's page on speed.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

if not os.environ.get("ARLIB_DATA"):
    sys.exit("skipped: set ARLIB_DATA to the folder that holds twitter2/, oasis/ and weights/")

import numpy as np

from arlib._support.provenance import machine, source_commit
from arlib.experiments import Experiment, scenes_protocol
from arlib.experiments.runs import open_run
from arlib.method import affective_regions, predict_labels
from arlib.proposals import EdgeBoxes, Proposals
from arlib.scoring import score, score_image
from arlib.scoring.roi_features import shared_forward
from speed_table import write_page
from speed_variants import Fixed
from timing import interleave

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "results" / "shared.json"
RUNS = ("twitter2-mobilenet_v2", "oasis-mobilenet_v2", "oasis-squeezenet1_1")
K, FEW = 8, 3


def compare(name, network, heads, dataset, crops):
    """Score the recorded boxes from shared maps, and set that beside the scores of crops."""
    place = {key: row for row, key in enumerate(dataset.keys.tolist())}
    forward = shared_forward(network, features=heads is not None)
    probability = np.full(crops.region_probability.shape, np.nan, np.float32)
    few = []
    for row, key in enumerate(crops.image.values.tolist()):
        index = place[key]
        image = dataset.read(index)
        known = np.isfinite(crops.objectness.values[row])
        boxes = crops.box.values[row][known]
        if not len(boxes):
            continue
        head = heads and heads[int(dataset.folds[index])]
        outputs = forward(image, boxes)
        probability[row, known] = head.probability(outputs) if head else outputs
        if len(few) < FEW:
            few.append((image, Fixed(Proposals(boxes, crops.objectness.values[row][known])), head))

    def timed(features):
        for image, propose, head in few:
            score_image(image, propose, network, head=head, features=features)

    variants = {name: lambda name=name: timed(name) for name in ("crops", "shared")}
    seconds = {name: median(times) / len(few) for name, times in interleave(variants).items()}
    shared = crops.assign(region_probability=crops.region_probability.copy(data=probability))
    tops = [affective_regions(one, K).region.values for one in (crops, shared)]
    common = [
        len(set(one[one >= 0]) & set(other[other >= 0])) / (one >= 0).sum()
        for one, other in zip(*tops, strict=True)
        if (one >= 0).any()
    ]
    labels = [predict_labels(one, K).label.values for one in (crops, shared)]
    global_ = predict_labels(crops, 1, beta=0.0).label.values
    truth = crops.label.values
    row = {
        "dataset": name,
        "network": network.name,
        "images": len(truth),
        "seconds_crops": seconds["crops"],
        "seconds_shared": seconds["shared"],
        "common": float(np.mean(common)),
        "same_label": float((labels[0] == labels[1]).mean()),
        "accuracy_crops": float((labels[0] == truth).mean()),
        "accuracy_shared": float((labels[1] == truth).mean()),
        "accuracy_global": float((global_ == truth).mean()),
    }
    print(row, flush=True)
    return row


def main():
    numbers = [argument for argument in sys.argv[1:] if argument != "--record"]
    images = slice(0, int(numbers[0]) if numbers else None)
    rows = []
    stages = scenes_protocol().stages(progress=False)
    network, scenes = stages.network, stages.column("scenes-annotated").subset(images)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "s.zarr")
        crops = score(scenes, EdgeBoxes(max_regions=60), network, out=out, progress=False).load()
    rows.append(compare("scenes", network, None, scenes, crops))
    for run in RUNS:
        name, backbone = run.split("-")
        (stages,) = Experiment(name, (backbone,)).stages(progress=False)
        crops = open_run(ROOT / "book" / "results" / run).scores.load()
        shuffled = np.random.default_rng(0).permutation(crops.sizes["image"])[images]
        some = crops.isel(image=np.sort(shuffled))
        heads = stages.classifiers(name).heads
        rows.append(compare(name, stages.plain(backbone), heads, stages.tested(name), some))
    if "--record" in sys.argv:
        RECORD.parent.mkdir(exist_ok=True)
        facts = {"machine": machine(), "commit": source_commit(), "k": K, "rows": rows}
        RECORD.write_text(json.dumps(facts, indent=1) + "\n")
        write_page()


if __name__ == "__main__":
    main()
