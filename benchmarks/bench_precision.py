"""bfloat16, and OpenVINO, beside float32 by PyTorch: how often labels and the top 8 are the same.

    ARLIB_DATA=... python benchmarks/bench_precision.py [--record] [--engine | --bf16] [images]

Photographs of Twitter II and OASIS, evenly spread, 100 of each unless another number is given; 100
EdgeBoxes regions each. Each network is frozen under heads fitted on the other folds, as in its
recorded run, and scores full images and regions each way. `--engine` or `--bf16` compares in one
way alone, and keeps the other's rows of the record. `--record` writes
benchmarks/results/precision.json and the book's page on speed.
"""

import json
import os
import sys
from datetime import date
from pathlib import Path

if not os.environ.get("ARLIB_DATA"):
    sys.exit("skipped: set ARLIB_DATA to the folder that holds twitter2/, oasis/ and weights/")

import numpy as np

from arlib._support.provenance import machine, source_commit
from arlib.experiments import Experiment
from arlib.method import affective_regions, predict_labels
from arlib.proposals import EdgeBoxes
from arlib.scoring import score_image
from speed_table import write_page
from speed_variants import Fixed

RECORD = Path(__file__).parent / "results" / "precision.json"
DATASETS = ("twitter2", "oasis")
NETWORKS = ("mobilenet_v2", "squeezenet1_1")
WAYS = {"bf16": {"precision": "bf16", "engine": "torch"}, "openvino": {"engine": "openvino"}}
K = 8


def agreement(name, backbone, count, ways):
    """Compare every way with float32 by PyTorch on the same proposals: a row each."""
    (stages,) = Experiment(name, (backbone,)).stages(progress=False)
    dataset, heads = stages.columns(name), stages.classifiers(name).heads
    rows = {way: [] for way in ways}
    for index in np.linspace(0, len(dataset) - 1, count).astype(int).tolist():
        image, head = dataset.read(index), heads[int(dataset.folds[index])]
        proposals = Fixed(EdgeBoxes()(image))
        exact = score_image(image, proposals, stages.plain(backbone), head=head, engine="torch")
        for way in ways:
            other = score_image(image, proposals, stages.plain(backbone), head=head, **WAYS[way])
            rows[way].append(compared(exact, other))
    for way, each in rows.items():
        same_label, same_top, common, apart = np.array(each, float).T
        row = {
            "dataset": name,
            "network": backbone,
            "way": way,
            "images": count,
            "same_label": float(same_label.mean()),
            "same_top_k": float(same_top.mean()),
            "common": float(common.mean()),
            "largest_difference": float(apart.max()),
        }
        print(row, flush=True)
        yield row


def compared(exact, other):
    """Whether label and top K are the same, the share in common, and the largest difference."""
    tops = [set(affective_regions(s, K).region.values[0].tolist()) for s in (exact, other)]
    labels = [int(predict_labels(s, K).label[0]) for s in (exact, other)]
    apart = max(
        float(np.abs(exact[name].values - other[name].values).max(initial=0))
        for name in ("global_probability", "region_probability")
    )
    most = max(1, len(tops[0]))
    return labels[0] == labels[1], tops[0] == tops[1], len(tops[0] & tops[1]) / most, apart


def main():
    numbers = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    count = int(numbers[0]) if numbers else 100
    ways = [w for w, flag in (("bf16", "--bf16"), ("openvino", "--engine")) if flag in sys.argv]
    ways = ways or list(WAYS)
    old = json.loads(RECORD.read_text())["rows"] if RECORD.exists() else []
    rows = [row for row in old if row["way"] not in ways]
    for name in DATASETS:
        for backbone in NETWORKS:
            rows += agreement(name, backbone, count, ways)
    facts = {
        "command": "python " + " ".join(["benchmarks/bench_precision.py", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "commit": source_commit(),
        "machine": machine(),
        "k": K,
        "rows": sorted(rows, key=lambda row: list(WAYS).index(row["way"])),
    }
    if "--record" in sys.argv:
        RECORD.write_text(json.dumps(facts, indent=1) + "\n")
        write_page()


if __name__ == "__main__":
    main()
