"""Measure what fusing affective regions gains as objects carry more of the sentiment.

    python tools/local_share.py            prints a row a (seed, share)
    python tools/local_share.py --record   also writes book/results/local_share.json

Everything is trained live on the synthetic scenes: for each seed one network learns objects, and
for each share it is fine-tuned on tagged images and scores the annotated ones.
"""

import json
import sys
import time
from pathlib import Path

from arlib._support.provenance import machine
from arlib.evaluation import evaluate
from arlib.experiments import scenes_protocol
from arlib.method import predict_labels

SEEDS, SHARES, SCALE = range(5), (0.0, 0.5, 1.0), 0.5
TESTED = 600  # annotated images, before scaling
RECORD = Path(__file__).parents[1] / "book" / "results" / "local_share.json"


def main() -> None:
    """Run every seed and share."""
    rows, started = [], time.perf_counter()
    for seed in SEEDS:
        for share in SHARES:
            protocol = scenes_protocol(local_share=share, scale=SCALE, seed=seed, tested=TESTED)
            stages = protocol.stages(progress=False)
            scores = stages.scores("scenes-annotated").load()
            row = {"seed": seed, "share": share, "images": scores.sizes["image"]}
            for name, (k, beta) in {"whole": (1, 0.0), "fused": (8, 0.5)}.items():
                # one network predicts all images, so they are one fold
                predicted = predict_labels(scores, k, beta=beta).probability
                table = evaluate(predicted, scores.label)
                row |= {f"{m}_{name}": float(table.estimate[m]) for m in ("accuracy", "auc")}
            rows.append(row)
            print(row, flush=True)
    if "--record" in sys.argv[1:]:
        facts = {
            "command": "python tools/local_share.py --record",
            "scale": SCALE,
            "seconds": round(time.perf_counter() - started),
            "machine": machine(),
            "rows": rows,
        }
        RECORD.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
