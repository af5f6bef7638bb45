"""Measure each stage of scoring, and the times of shards, into benchmarks/results/scaling.json.

    python benchmarks/bench_scaling.py [--dataset twitter2] [--images 32]

Nothing is asserted: these are the rates from which the book's page on scaling computes.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from arlib import datasets
from arlib._support.provenance import machine
from arlib.networks.backbones import load_backbone
from arlib.proposals import EdgeBoxes
from arlib.scoring.inference import make_forward
from arlib.scoring.jobs import Job
from arlib.scoring.scorer import Scoring
from arlib.scoring.scores import CHUNK, assemble_scores
from arlib.scoring.shards import Part, assemble, score_shard

REGIONS = 100


def rate(work, items):
    started = time.perf_counter()
    results = [work(item) for item in items]
    return len(results) / (time.perf_counter() - started), results


def random_scores(emotions):
    """A chunk of scores that no codec can shorten: the upper bound of what is written."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (CHUNK, REGIONS, 2))
    return assemble_scores(
        [str(i) for i in range(CHUNK)],
        emotions,
        objectness=rng.random((CHUNK, REGIONS)),
        box=np.concatenate([corner, corner + rng.uniform(9, 99, corner.shape)], -1),
        region_probability=rng.dirichlet([1] * len(emotions), (CHUNK, REGIONS)),
        global_probability=rng.dirichlet([1] * len(emotions), CHUNK),
        label=np.zeros(CHUNK),
        fold=np.zeros(CHUNK),
    )


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--dataset", default="twitter2")
    parse.add_argument("--images", type=int, default=32)
    parse.add_argument("--backbone", default="squeezenet1_1")
    options = parse.parse_args()
    torch.set_num_threads(1)
    dataset = datasets.load(options.dataset)
    dataset = dataset.subset(np.linspace(0, len(dataset) - 1, options.images).astype(int))
    network = load_backbone(options.backbone, classes=2)
    proposals = EdgeBoxes(max_regions=REGIONS)
    decode, images = rate(dataset.read, range(len(dataset)))
    propose, boxes = rate(proposals, images)
    ready = dict(zip(map(id, images), boxes, strict=True))
    scoring = Scoring(network, False, "warp", 0.0, None, "float32", "crops")
    prepare = scoring.preparer(lambda image: ready[id(image)])
    crop, items = rate(lambda image: prepare(0, image)[1], images)
    forward = make_forward(network, features=False, device=None)
    batches = [crops[i : i + 16] for crops in items for i in range(0, len(crops), 16)]
    forward(batches[0])
    started = time.perf_counter()
    for batch in batches[: max(8, len(batches) // 4)]:
        forward(batch)
    crops = sum(len(batch) for batch in batches[: max(8, len(batches) // 4)])
    network_rate = crops / (time.perf_counter() - started) / (REGIONS + 1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("parts", "temporary"):
            (root / name).mkdir()
        job = Job(dataset, proposals, network, settings={"device": "cpu"})
        size = 4
        parts = [
            score_shard(job, size, number, root / "parts", root / "temporary")
            for number in range(len(dataset) // size)
        ]
        scores = random_scores(dataset.emotions)
        written = 8 * CHUNK

        class Full(Part):
            def open(self):
                first = self.number * CHUNK
                return scores.assign_coords(image=[f"{first + i:08d}" for i in range(CHUNK)])

        started = time.perf_counter()
        assemble([Full(n, root, ()) for n in range(8)], job, root / "all.zarr")
        store = written / (time.perf_counter() - started)
        bytes_written = sum(p.stat().st_size for p in (root / "all.zarr").rglob("*")) / written
    facts = {
        "command": "python benchmarks/bench_scaling.py"
        f" --dataset {options.dataset} --images {options.images} --backbone {options.backbone}",
        "machine": {**machine(), "load": round(os.getloadavg()[0], 1)},
        "regions": REGIONS,
        "backbone": options.backbone,
        "shard_images": size,
        "shard_seconds": [part.seconds for part in parts],
        "rates": {
            "one core": {
                "decode": round(decode, 2),
                "propose": round(propose, 3),
                "crop": round(crop, 3),
                "network": round(network_rate, 4),
                "store": round(store, 1),
                "bytes_read": round(
                    float(np.mean([dataset.path(i).stat().st_size for i in range(len(dataset))]))
                ),
                "bytes_written": round(bytes_written),
            }
        },
    }
    out = Path(__file__).parent / "results" / "scaling.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(facts, indent=1) + "\n")
    print(out.read_text())


if __name__ == "__main__":
    main()
