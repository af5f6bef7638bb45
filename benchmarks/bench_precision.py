"""bfloat16, and OpenVINO, beside float32 by PyTorch: how often labels and the top 8 are the same.

    ARLIB_DATA=... python benchmarks/bench_precision.py [--record] [--engine | --bf16] [images]

Photographs of Twitter II and OASIS, 100 EdgeBoxes regions each; each network is frozen under heads
fitted on the other folds. Every image of the recorded runs is proposed and scored anew, by OpenVINO
where PyTorch scored it, and by PyTorch where OpenVINO did. bfloat16 is compared on evenly spread
images, 100 of each set unless another number is given. `--engine` or `--bf16` compares in one way
alone, and keeps the other's rows of the record. `--record` writes
benchmarks/results/precision.json and the book's page on speed.
"""

import json
import os
import sys
import tempfile
from datetime import date
from pathlib import Path

if not os.environ.get("ARLIB_DATA"):
    sys.exit("skipped: set ARLIB_DATA to the folder that holds twitter2/, oasis/ and weights/")

import numpy as np

from arlib._support.provenance import machine, source_commit
from arlib.experiments import Experiment, find_run
from arlib.method import affective_regions, predict_labels
from arlib.proposals import EdgeBoxes
from arlib.scoring import score_cross_fold, score_image
from speed_table import write_page
from speed_variants import Fixed

RECORD = Path(__file__).parent / "results" / "precision.json"
DATASETS = ("twitter2", "oasis")
NETWORKS = ("mobilenet_v2", "squeezenet1_1")
WAYS = ("bf16", "openvino")
K = 8


def in_bfloat16(name, backbone, count):
    """Score images in float32 and in bfloat16, on the same proposals."""
    (stages,) = Experiment(name, (backbone,)).stages(progress=False)
    dataset, heads = stages.columns(name), stages.classifiers(name).heads
    pairs = []
    for index in np.linspace(0, len(dataset) - 1, count).astype(int).tolist():
        image, head = dataset.read(index), heads[int(dataset.folds[index])]
        proposals, network = Fixed(EdgeBoxes()(image)), stages.plain(backbone)
        pairs += [
            [
                score_image(image, proposals, network, head=head, engine="torch", precision=each)
                for each in ("float32", "bf16")
            ]
        ]
    return row(name, backbone, "bf16", pairs)


def by_the_other(name, backbone):
    """Score the recorded run's images by the other engine: proposals, heads and all."""
    recorded = find_run(f"{name}-{backbone}").load().scores
    by_torch = recorded.attrs["parameters"].get("engine", "torch") == "torch"
    (stages,) = Experiment(name, (backbone,)).stages()
    dataset = stages.columns(name)
    with tempfile.TemporaryDirectory() as folder:
        anew, _ = score_cross_fold(
            stages.classifiers(name),
            dataset,
            stages.proposals(dataset),
            f"{folder}/scores.zarr",
            engine="openvino" if by_torch else "torch",
        )
        anew = anew.load()
    if not np.array_equal(anew.box, recorded.box, equal_nan=True):
        raise SystemExit(f"{name}: the proposals are others than the recorded run's")
    images = range(recorded.sizes["image"])
    return row(
        name, backbone, "openvino", ([s.isel(image=[i]) for s in (recorded, anew)] for i in images)
    )


def row(name, backbone, way, pairs):
    """Compare scores of each image made in two ways."""
    same_label, same_top, common, apart = np.array([compared(*each) for each in pairs], float).T
    facts = {
        "dataset": name,
        "network": backbone,
        "way": way,
        "images": len(apart),
        "same_label": float(same_label.mean()),
        "same_top_k": float(same_top.mean()),
        "common": float(common.mean()),
        "largest_difference": float(apart.max()),
    }
    print(facts, flush=True)
    return facts


def compared(exact, other):
    """Whether label and top K are the same, the share in common, and the largest difference."""
    tops = [set(affective_regions(s, K).region.values[0].tolist()) for s in (exact, other)]
    labels = [int(predict_labels(s, K).label[0]) for s in (exact, other)]
    apart = max(
        float(np.nanmax(np.abs(exact[name].values - other[name].values), initial=0))
        for name in ("global_probability", "region_probability")
    )
    most = max(1, len(tops[0]))
    return labels[0] == labels[1], tops[0] == tops[1], len(tops[0] & tops[1]) / most, apart


def main():
    numbers = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    count = int(numbers[0]) if numbers else 100
    ways = [w for w, flag in zip(WAYS, ("--bf16", "--engine"), strict=True) if flag in sys.argv]
    ways = ways or list(WAYS)
    old = json.loads(RECORD.read_text())["rows"] if RECORD.exists() else []
    rows = [row for row in old if row["way"] not in ways]
    for name in DATASETS:
        for backbone in NETWORKS:
            rows += [in_bfloat16(name, backbone, count)] if "bf16" in ways else []
            rows += [by_the_other(name, backbone)] if "openvino" in ways else []
    facts = {
        "command": "python " + " ".join(["benchmarks/bench_precision.py", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "commit": source_commit(),
        "machine": machine(),
        "k": K,
        "rows": sorted(rows, key=lambda each: WAYS.index(each["way"])),
    }
    if "--record" in sys.argv:
        RECORD.write_text(json.dumps(facts, indent=1) + "\n")
        write_page()


if __name__ == "__main__":
    main()
