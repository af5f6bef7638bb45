"""Measure proposal methods: recall on COCO-format ground truth, and time on one core.

    ARLIB_DATA=... python benchmarks/bench_proposals.py [--record]

Methods take turns on each image of ARLIB_DATA/coco_val64. `--record` writes the numbers to
book/results/coco_val64.json, which chapter 1 shows where the images are not at hand.
"""

import json
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
DATA = os.environ.get("ARLIB_DATA")
if not DATA or not Path(DATA, "coco_val64").is_dir():
    sys.exit("skipped: set ARLIB_DATA to a folder that holds coco_val64/")

import cv2

from arlib import datasets
from arlib._support.provenance import machine
from arlib.evaluation import recall_curves
from arlib.proposals import EdgeBoxes, Grid, RandomBoxes, SelectiveSearch

RECORD = Path(__file__).parents[1] / "book" / "results" / "coco_val64.json"
METHODS = {
    "EdgeBoxes": EdgeBoxes(max_regions=1000),
    "Selective Search": SelectiveSearch(max_regions=1000),
    "Grid": Grid(max_regions=1000),
    "Random": RandomBoxes(max_regions=1000),
}

cv2.setNumThreads(1)
truth = datasets.load_coco(Path(DATA, "coco_val64"))
curves, seconds = recall_curves(METHODS, truth)
print(curves.round(3).to_string())
print(seconds.round(3).to_string())
if "--record" in sys.argv[1:]:
    facts = {
        "command": "python benchmarks/bench_proposals.py --record",
        "images": len(truth),
        "objects": sum(map(len, truth.boxes)),
        "boxes": curves.index.tolist(),
        "recall": {name: curves[name].round(4).tolist() for name in curves},
        "seconds": seconds.round(4).to_dict(),
        "machine": machine(),
    }
    RECORD.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"recorded in {RECORD.name}")
