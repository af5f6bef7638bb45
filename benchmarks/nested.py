"""What a tested fold's own labels change: choices and early fusion, with inner heads and without.

    ARLIB_DATA=... python benchmarks/nested.py [--record] [dataset network regions]...

Each network is frozen under heads fitted on the other folds. Without inner heads the images of the
other folds, on which K and a threshold are chosen and from which early fusion learns, have the
predictions of heads that learned from the tested fold. `--record` writes
benchmarks/results/nested.json and the table in the guide's page on departures.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__" and not os.environ.get("ARLIB_DATA"):
    sys.exit("skipped: set ARLIB_DATA to the folder that holds the datasets and weights/")

import numpy as np

from arlib._support.provenance import source_commit
from arlib.evaluation import Run, methods
from arlib.experiments import Experiment
from arlib.experiments.baselines.former_fusion import former_fusion
from arlib.experiments.baselines.rows import first_regions

ROOT = Path(__file__).parents[1]
FACTS = ROOT / "benchmarks" / "results" / "nested.json"
PAGE = ROOT / "book" / "guide" / "departures.md"
BEGIN, END = "<!-- begin: benchmarks/nested.py -->\n", "<!-- end -->\n"
INNER = ["inner_global_probability", "inner_region_probability", "left_out"]
CHOICES = {
    "K": "VGGNet + ft + obj + senti + lf (K)",
    "threshold": "VGGNet + ft, threshold chosen",
}


def measure(dataset, network, regions):
    """Measure one frozen network: a row each for K, the threshold and early fusion."""
    (stages,) = Experiment(dataset, (network,), max_regions=regions).stages(progress=False)
    scores = stages.scores(dataset).load()
    images = stages.tested(dataset)
    images = images.subset(np.isin(images.keys, scores.image.values.tolist()))
    classifiers = stages.classifiers(dataset)

    def fuse(scores):
        boxes = first_regions(scores, "e")
        return boxes, former_fusion(images, classifiers, boxes, progress=False)

    run = Run(dataset, scores)
    return {
        "run": [dataset, network, regions],
        **chosen(run, replace(run, scores=scores.drop_vars(INNER))),
        "early fusion": early_fusion(run, *fuse(scores.drop_vars(INNER)), *fuse(scores)),
    }


def chosen(nested, plain):
    """Compare what is chosen, with its accuracy, by heads that saw the labels and by inner ones."""
    rows = {}
    for what, name in CHOICES.items():
        (predict,) = (method.predict for method in methods() if method.name == name)
        predictions = [predict(run) for run in (plain, nested)]
        options = [row.note.partition(" = ")[2].partition(" in ")[0] for row in predictions]
        responses = [row.response for row in predictions]
        rows[what] = {"chosen": options, **compared(nested, *responses)}
    return rows


def early_fusion(run, one_for_all, plain, by_fold, nested):
    """Compare early fusion likewise, and count the training images whose region is another."""
    apart = [
        (by_fold[fold] != one_for_all).any((1, 2))[run.folds != fold] for fold in sorted(by_fold)
    ]
    changed = [100 * float(np.mean(each)) for each in apart]
    return {"regions": round(float(np.mean(changed)), 1), **compared(run, plain, nested)}


def compared(run, plain, nested):
    """Count what is right, and the labels that differ, and average accuracy over folds."""
    labels = [response.argmax(-1) for response in (plain, nested)]
    right = [each == run.labels for each in labels]
    folds = np.unique(run.folds[run.folds >= 0])
    accuracy = [100 * np.mean([hit[run.folds == fold].mean() for fold in folds]) for hit in right]
    return {
        "right": [int(hit.sum()) for hit in right],
        "accuracy": [round(float(each), 2) for each in accuracy],
        "differ": int((labels[0] != labels[1]).sum()),
    }


def block(facts):
    """Write the table of the page."""
    heads = ["run", "what", "chosen by heads that saw the labels", "by inner heads"]
    heads += ["right (accuracy in %)", "by inner heads", "labels that differ"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in facts["runs"]:
        dataset, network, regions = each["run"]
        for what in (*CHOICES, "early fusion"):
            row = each[what]
            share = f"other regions of {row.get('regions')} % of the images"
            options = row.get("chosen", ["the region that ranks first", share])
            cells = [f"{n} ({a:.1f})" for n, a in zip(row["right"], row["accuracy"], strict=True)]
            name = f"`{dataset}`, `{network}`, N = {regions}"
            cells = [name, what, *options, *cells, str(row["differ"])]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def replaced(text, table):
    """Put the table into the page."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE} has no {BEGIN!r} and {END!r} after it")
    return f"{before}{BEGIN}{table}\n{END}{after}"


def main(words):
    """Measure, print, and record where asked."""
    asked = [word for word in words if word != "--record"] or ["twitter2", "squeezenet1_1", "30"]
    runs = [measure(*asked[n : n + 2], int(asked[n + 2])) for n in range(0, len(asked), 3)]
    facts = {"commit": source_commit(), "runs": runs}
    print(block(facts))
    if "--record" in words:
        FACTS.write_text(json.dumps(facts, indent=1) + "\n")
        PAGE.write_text(replaced(PAGE.read_text(), block(facts)))


if __name__ == "__main__":
    main(sys.argv[1:])
