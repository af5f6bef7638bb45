"""Measure the row of class activation maps for recorded runs that are older than the row.

    ARLIB_DATA=... python tools/add_row.py RUN ...

RUN is a folder of book/results, of a frozen network. Its heads are fitted anew, and must predict
the full images as recorded; then the row is written beside those that are there, and run.json says
by which command and commit.
"""

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import xarray as xr

from arlib._support.provenance import source_commit
from arlib._support.storage import write_atomic
from arlib.experiments import open_run, parse_experiment
from arlib.experiments.baselines.rows import CAM, measure_rows, rows_for
from arlib.experiments.runs import write_baselines
from arlib.scoring import classify_boxes

RESULTS = Path(__file__).parents[1] / "book" / "results"


def add_row(name):
    """Measure the row of one run, and write it into its folder."""
    folder = RESULTS / name
    run = open_run(folder).load()
    if CAM in run.baselines.method:
        sys.exit(f"{name} has the row")
    (stages,) = parse_experiment(run.facts["experiment"]).stages()
    (column,) = stages.protocol.columns
    dataset = stages.tested(column)
    dataset = dataset.subset(np.isin(dataset.keys, run.scores.image.values.tolist()))
    classifiers = stages.classifiers(column)

    def full(_, image):
        return np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)

    again = classify_boxes(classifiers, dataset, full)[:, 0]
    apart = float(np.abs(again - run.scores.global_probability.values).max())
    if not apart <= 1e-4:
        sys.exit(f"{name}: the heads predict the full images otherwise, by up to {apart:.2g}")
    others = {"plain": stages.plain(stages.protocol.backbone), "bank": None, "deep": None}
    rows = rows_for(dataset, run.scores, classifiers, **others, pcnn={})
    new = measure_rows(dataset, {CAM: rows[CAM]})
    old = run.baselines
    together = (
        old.drop_vars("probability")
        .drop_dims("method")
        .assign(
            probability=xr.concat([old.probability, new.probability], "method"),
            cam_box=new.cam_box,
            cam_peak=new.cam_peak,
        )
    )
    facts = json.loads((folder / "run.json").read_text())
    facts["added"] = {
        CAM: {
            "command": " ".join(["python tools/add_row.py", name]),
            "commit": source_commit(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "full_images_apart": apart,
        }
    }
    shutil.rmtree(folder / "baselines.zarr")
    write_baselines(folder, together.assign_attrs(old.attrs))
    write_atomic(folder / "run.json", json.dumps(facts, indent=1) + "\n")
    print(f"{name}: {len(dataset)} images; full images at most {apart:.1e} apart")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        add_row(each)
