"""Measure a row of maps for recorded runs that are older than the row.

    ARLIB_DATA=... python tools/add_row.py ROW RUN ...

ROW is "cam" or "wscnet"; RUN is a folder of book/results, or a path. Of a frozen network the heads
are fitted anew, and must predict the full images as recorded. To a fine-tuned one only WSCNet can
be added, whose networks have nothing of the recorded ones. The row is written beside those that are
there, and run.json says by which command and commit.
"""

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import xarray as xr

from arlib._support.provenance import source_commit
from arlib._support.storage import replace_folder, write_atomic
from arlib._support.stores import write_store
from arlib.experiments import open_run, parse_experiment
from arlib.scoring import classify_boxes

RESULTS = Path(__file__).parents[1] / "book" / "results"
ADDED = {"cam": "VGGNet + ft + CAM + lf", "wscnet": "WSCNet + VGGNet"}


def add_row(key, name):
    """Measure the row of one run, and write it into its folder."""
    folder, row = RESULTS / name, ADDED[key]
    run = open_run(folder).load()
    if row in run.baselines.method:
        sys.exit(f"{name} has the row")
    if not run.frozen and key != "wscnet":
        sys.exit(f"{name} is not of a frozen network: its networks are not here")
    (stages,) = parse_experiment(run.facts["experiment"]).stages()
    (column,) = stages.protocol.columns
    added = {"command": f"python tools/add_row.py {key} {folder.name}", "commit": source_commit()}
    if run.frozen:
        added["full_images_apart"] = apart = _full_images_apart(run, stages, column)
        if not apart <= 1e-4:
            sys.exit(f"{name}: the heads predict the full images otherwise, by up to {apart:.2g}")

    old, new = run.baselines, stages.add_row(column, row, run.scores)
    together = old.drop_vars(["probability", "method"]).assign(
        probability=xr.concat([old.probability, new.probability], "method"),
        **{each: new[each] for each in (f"{key}_box", f"{key}_peak")},
    )
    fresh = folder.with_name(f".{folder.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns("baselines.zarr"))
    write_store(together.assign_attrs(old.attrs), fresh / "baselines.zarr")
    facts = json.loads((folder / "run.json").read_text())
    added["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    facts["added"] = facts.get("added", {}) | {row: added}
    write_atomic(fresh / "run.json", json.dumps(facts, indent=1) + "\n")
    replace_folder(fresh, folder)
    print(f"{folder.name}: {old.sizes['image']} images, {added}")


def _full_images_apart(run, stages, column):
    """Measure how far the heads, fitted anew, are from what is recorded of the full images."""
    dataset = stages.tested(column)
    dataset = dataset.subset(np.isin(dataset.keys, run.scores.image.values.tolist()))

    def full(_, image):
        return np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)

    again = classify_boxes(stages.classifiers(column), dataset, full)[:, 0]
    return float(np.abs(again - run.scores.global_probability.values).max())


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ADDED:
        sys.exit(__doc__)
    for each in sys.argv[2:]:
        add_row(sys.argv[1], each)
