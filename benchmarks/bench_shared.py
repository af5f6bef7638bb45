"""Shared computation beside a crop a region: agreement of regions and labels, accuracy, time.

    ARLIB_DATA=... python benchmarks/bench_shared.py [--record] [images]

Each network judges as in its recorded run: frozen, under heads fitted on the other folds. The
scores of crops are the recorded ones, times are those of the first images; the embedded scenes are
scored both ways. `--record` writes benchmarks/results/shared.json.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from arlib.algorithm import affective_regions, respond
from arlib.judges import Judges, score_by
from arlib.machine import machine, source_commit
from arlib.miniature import Miniature, fine_tune
from arlib.networks import Chain
from arlib.proposals import Cached, EdgeBoxes
from arlib.runs import open_run

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "results" / "shared.json"
RUNS = ("twitter2-mobilenet_v2", "oasis-mobilenet_v2", "oasis-squeezenet1_1")
K, FEW = 8, 8


def timed(judges, dataset, propose, features):
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        found = score_by(
            judges, dataset, propose, Path(folder, "s.zarr"), features=features, progress=False
        ).load()
        return found, (time.perf_counter() - start) / len(dataset)


def compare(name, network, judges, dataset, propose, crops, images):
    few = dataset.subset(slice(0, FEW))
    timed(judges, few, propose, "shared")  # proposals are kept from here on: both find them
    _found, seconds_crops = timed(judges, few, propose, "crops")
    seconds_shared = timed(judges, few, propose, "shared")[1]
    dataset = dataset.subset(slice(0, images))
    crops = timed(judges, dataset, propose, "crops")[0] if crops is None else crops
    shared = timed(judges, dataset, propose, "shared")[0]
    crops = crops.sel(image=shared.image.values)
    tops = [affective_regions(one, K).region.values for one in (crops, shared)]
    common = [
        len(set(one[one >= 0]) & set(other[other >= 0])) / max(1, (one >= 0).sum())
        for one, other in zip(*tops, strict=True)
        if (one >= 0).any()
    ]
    labels = [respond(one, K).label.values for one in (crops, shared)]
    whole = respond(crops, 1, beta=0.0).label.values
    truth = crops.label.values
    row = {
        "dataset": name,
        "network": network,
        "images": len(truth),
        "seconds_crops": seconds_crops,
        "seconds_shared": seconds_shared,
        "common": sum(common) / len(common),
        "same_label": float((labels[0] == labels[1]).mean()),
        "accuracy_crops": float((labels[0] == truth).mean()),
        "accuracy_shared": float((labels[1] == truth).mean()),
        "accuracy_whole": float((whole == truth).mean()),
    }
    print(row, flush=True)
    return row


def main():
    asked = [one for one in sys.argv[1:] if one != "--record"]
    images = int(asked[0]) if asked else None
    rows = []
    for run in RUNS:
        name, network = run.split("-")
        chain = Chain(name, network, progress=False)
        crops = open_run(ROOT / "book" / "results" / run)[0].load()
        dataset = chain.dataset.subset(slice(0, images))
        propose = Cached(EdgeBoxes(max_regions=100))
        rows.append(compare(name, network, chain.judges, dataset, propose, crops, images))
    network, _ = fine_tune(Miniature(), progress=False)
    scenes = Miniature().dataset("judged")
    judges, propose = Judges.one(network, scenes), Cached(EdgeBoxes(max_regions=60))
    rows.append(compare("scenes", "vgg_tiny", judges, scenes, propose, None, images))
    if "--record" in sys.argv:
        RECORD.parent.mkdir(exist_ok=True)
        facts = {"machine": machine(), "commit": source_commit(), "k": K, "rows": rows}
        RECORD.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
