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
from arlib.scoring.inference import forward, preparer
from arlib.scoring.jobs import Job
from arlib.scoring.scores import CHUNK, assemble_scores
from arlib.scoring.shards import Part, assemble, score_shard

REGIONS = 100


def rate(work, items):
    started = time.perf_counter()
    made = [work(item) for item in items]
    return len(made) / (time.perf_counter() - started), made


def drawn_scores(emotions):
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
    given = parse.parse_args()
    torch.set_num_threads(1)
    chosen = datasets.load(given.dataset)
    chosen = chosen.subset(np.linspace(0, len(chosen) - 1, given.images).astype(int))
    network = load_backbone(given.backbone, classes=2)
    proposals = EdgeBoxes(max_regions=REGIONS)
    decode, images = rate(chosen.read, range(len(chosen)))
    propose, found = rate(proposals, images)
    ready = dict(zip(map(id, images), found, strict=True))
    prepare = preparer(network, lambda image: ready[id(image)], "warp", 0.0)
    crop, items = rate(lambda image: prepare(0, image), images)
    run = forward(network, features=False, device=None)
    batches = [item.crops[i : i + 16] for item in items for i in range(0, len(item.crops), 16)]
    run(batches[0])
    started = time.perf_counter()
    for batch in batches[: max(8, len(batches) // 4)]:
        run(batch)
    crops = sum(len(batch) for batch in batches[: max(8, len(batches) // 4)])
    network_rate = crops / (time.perf_counter() - started) / (REGIONS + 1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("parts", "temporary"):
            (root / name).mkdir()
        job = Job(chosen, proposals, network, settings={"device": "cpu"})
        size = 4
        parts = [
            score_shard(job, size, number, root / "parts", root / "temporary")
            for number in range(len(chosen) // size)
        ]
        scores = drawn_scores(chosen.emotions)
        written = 8 * CHUNK

        class Full(Part):
            def open(self):
                first = self.number * CHUNK
                return scores.assign_coords(image=[f"{first + i:08d}" for i in range(CHUNK)])

        started = time.perf_counter()
        assemble([Full(n, root, ()) for n in range(8)], job, root / "whole.zarr")
        store = written / (time.perf_counter() - started)
        bytes_written = sum(p.stat().st_size for p in (root / "whole.zarr").rglob("*")) / written
    facts = {
        "command": "python benchmarks/bench_scaling.py"
        f" --dataset {given.dataset} --images {given.images} --backbone {given.backbone}",
        "machine": {**machine(), "load": round(os.getloadavg()[0], 1)},
        "regions": REGIONS,
        "backbone": given.backbone,
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
                    float(np.mean([chosen.path(i).stat().st_size for i in range(len(chosen))]))
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
