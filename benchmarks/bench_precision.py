"""bfloat16 beside float32: how often labels and the top 8 regions are the same.

    ARLIB_DATA=... python benchmarks/bench_precision.py [--record] [images]

Photographs of Twitter II, evenly spread, 100 unless another number is given; 100 EdgeBoxes regions
each. Each network is frozen under heads fitted on the other folds, as in its recorded run, and
scores full images and regions in either precision. `--record` writes
benchmarks/results/precision.json and the book's page on speed.
"""

import json
import os
import sys
from datetime import date
from pathlib import Path

if not os.environ.get("ARLIB_DATA"):
    sys.exit("skipped: set ARLIB_DATA to the folder that holds twitter2/ and weights/")

import numpy as np

from arlib._support.provenance import machine, source_commit
from arlib.experiments import Experiment
from arlib.method import affective_regions, predict_labels
from arlib.proposals import EdgeBoxes
from arlib.scoring import score_image
from speed_table import write_page
from speed_variants import Fixed

RECORD = Path(__file__).parent / "results" / "precision.json"
NETWORKS = ("mobilenet_v2", "squeezenet1_1")
K = 8


def agreement(backbone, count):
    """Compare both precisions on the same proposals."""
    (stages,) = Experiment("twitter2", (backbone,)).stages(progress=False)
    dataset, heads = stages.columns("twitter2"), stages.classifiers("twitter2").heads
    rows = []
    for index in np.linspace(0, len(dataset) - 1, count).astype(int).tolist():
        image, head = dataset.read(index), heads[int(dataset.folds[index])]
        proposals = Fixed(EdgeBoxes()(image))
        exact, fast = (
            score_image(image, proposals, stages.plain(backbone), head=head, precision=precision)
            for precision in ("float32", "bf16")
        )
        tops = [set(affective_regions(s, K).region.values[0].tolist()) for s in (exact, fast)]
        labels = [int(predict_labels(s, K).label[0]) for s in (exact, fast)]
        apart = max(
            float(np.abs(exact[name].values - fast[name].values).max(initial=0))
            for name in ("global_probability", "region_probability")
        )
        rows.append((labels[0] == labels[1], tops[0] == tops[1], len(tops[0] & tops[1]) / K, apart))
    same_label, same_top, common, apart = np.array(rows, float).T
    row = {
        "dataset": "twitter2",
        "network": backbone,
        "images": count,
        "same_label": float(same_label.mean()),
        "same_top_k": float(same_top.mean()),
        "common": float(common.mean()),
        "largest_difference": float(apart.max()),
    }
    print(row, flush=True)
    return row


def main():
    numbers = [argument for argument in sys.argv[1:] if argument != "--record"]
    count = int(numbers[0]) if numbers else 100
    facts = {
        "command": f"python benchmarks/bench_precision.py --record {count}",
        "date": date.today().isoformat(),
        "commit": source_commit(),
        "machine": machine(),
        "k": K,
        "rows": [agreement(backbone, count) for backbone in NETWORKS],
    }
    if "--record" in sys.argv:
        RECORD.write_text(json.dumps(facts, indent=1) + "\n")
        write_page()


if __name__ == "__main__":
    main()
