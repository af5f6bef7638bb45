"""Compare the project's speed with plain code that does the same, in turn, in one run.

    python benchmarks/bench_speed.py [--record] [--busy] [--before=COMMIT] [GROUP...]

Groups are those of `GROUPS`; without any, all of them, in some 15 minutes on two idle cores.
`--record` writes benchmarks/results/speed.json and the book's page on speed; with groups named,
the other rows of the record stay. `--busy` is for a machine with other work on it: PyTorch takes
one thread, VGG-16 scores 25 regions instead of 100 (its time grows with them) and learns from 4
images, and seconds are the processor's, but for proposals, which are there to share the cores.
`ARLIB_DATA` is used where it is there: proposals of photographs. Rows against "before" run the
library of another commit, that before OpenVINO came unless one is named, in a process beside.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from functools import cache
from pathlib import Path
from statistics import median

import torch

import speed_variants as variants
from arlib._support.provenance import machine, source_commit
from arlib.networks.devices import bf16_in_hardware
from speed_table import with_gpu, write_page
from timing import interleave

RECORD = Path(__file__).parent / "results" / "speed.json"
ROOT = Path(__file__).parents[1]
BEFORE = "44ef262"
"""The last commit without OpenVINO."""

BUSY = "--busy" in sys.argv
BF16 = bf16_in_hardware()
ROWS = {
    "vgg16-bf16": (
        "VGG-16, {regions} regions, bf16",
        "Pillow crop, torchvision transform, batch 1, float32",
        4.0,
    ),
    "vgg16-float32": (
        "VGG-16, {regions} regions, same top 8, float32",
        "Pillow crop, torchvision transform, batch 1, float32",
        1.3,
    ),
    "vgg16-engine": (
        "VGG-16, {regions} regions, float32, OpenVINO",
        "PyTorch, the same crops",
        1.2,
    ),
    "mobilenet": ("MobileNetV2, files to scores, 100 regions each", "before", 2.3),
    "predict": ("`predict`, warm, default network", "before", 1.7),
    "cold": ("`arlib predict` on one photograph, cold start", "before", 3.3),
    "noise": ("EdgeBoxes of noise, 640 x 640", "before", 2.0),
    "shared": (
        "VGG-16, 100 regions, shared computation",
        "a crop a region by this project, float32",
        10.0,
    ),
    "proposals": ("EdgeBoxes of many images, all cores", "one thread, fresh detectors", 1.9),
    "finetuning": ("a step of fine-tuning VGG-16 at 224", "float32, default layout", 2.0),
    "sweep": ("scores to a sweep of K = 1..20", "rescoring", 1000.0),
    "memory": ("peak memory, 10,000 images", "1,000 images", 16.0),
}
GROUPS = {
    "mobilenet": lambda: variants.files_row(before()),
    "predict": lambda: variants.predict_row(before()),
    "cold": lambda: variants.cold_row(before()),
    "noise": lambda: variants.noise_row(before()),
    "sweep": variants.sweep_row,
    "memory": variants.memory_row,
    "proposals": variants.proposals_row,
    "finetuning": variants.finetuning_row,
    "vgg16": variants.vgg_row,
}


@cache
def before():
    """Unpack the library of the commit that rows compare with: the folder of its source."""
    named = [a.removeprefix("--before=") for a in sys.argv if a.startswith("--before=")]
    folder = Path(tempfile.mkdtemp(prefix="arlib-before-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    archive = ["git", "-C", str(ROOT), "archive", named[0] if named else BEFORE, "src"]
    files = subprocess.run(archive, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=files, check=True)
    return folder / "src"


def measure(group):
    """Run a group's variants in turn: name of a row -> what was measured."""
    print(f"== {group}", flush=True)
    load = round(os.getloadavg()[0], 2)
    group_rows = GROUPS[group]()
    others = ("proposals", "mobilenet", "predict", "cold", "noise")  # in other processes or threads
    clock = time.process_time if BUSY and group not in others else time.perf_counter
    seconds = interleave(group_rows["variants"], clock=clock) if "variants" in group_rows else {}
    rows = {}
    for name, part in group_rows.get("rows", {group: group_rows}).items():
        title, baseline, target = ROWS[name]
        row = {
            "title": title.format(regions=variants.REGIONS),
            "baseline": baseline,
            "target": target,
            "load_before": load,
        }
        row["clock"] = clock.__name__
        if seconds:
            first, second = part.get("pair", tuple(seconds))
            pairs = zip(seconds[first], seconds[second], strict=True)
            ratios = [part.get("times", 1) * a / b for a, b in pairs]
            row["ratio"] = {"min": min(ratios), "median": median(ratios)}
            row["seconds"] = {first: seconds[first], second: seconds[second]}
        else:
            row["megabytes"] = part["megabytes"]
        if "floor" in part:
            row["floor_seconds"] = part["floor"]
        row["facts"] = part["facts"]
        if "floor" in part and clock is time.perf_counter:
            row["share_of_peak"] = round(part["floor"] / min(seconds[second]), 3)
        print(name, row["facts"], row.get("ratio", row.get("megabytes")), flush=True)
        rows[name] = row
    return rows


if __name__ == "__main__":
    if BUSY:
        torch.set_num_threads(1)
        variants.CLOCK, variants.REGIONS, variants.BATCH = time.process_time, 25, 4
    asked = [name for name in sys.argv[1:] if not name.startswith("--")]
    record = json.loads(RECORD.read_text()) if asked and RECORD.exists() else {"rows": {}}
    record |= {
        "command": "python benchmarks/bench_speed.py --record" + " --busy" * BUSY,
        "date": date.today().isoformat(),
        "commit": source_commit(),
        "machine": machine() | {"bf16": BF16, "torch_threads": torch.get_num_threads()},
        "peak_gflops": {
            str(dtype).removeprefix("torch."): round(variants.peak(dtype) / 1e9, 1)
            for dtype in (torch.float32, torch.bfloat16)
        },
        "decoding_mpixels_per_second": round(variants.decoding_rate(), 1),
        "vgg16_gflop": round(variants.flops_of(variants.vgg()) / 1e9, 2),
    }
    for group in asked or GROUPS:
        rows = record["rows"] | measure(group)
        record["rows"] = {name: rows[name] for name in ROWS if name in rows}
        if "--record" in sys.argv:
            RECORD.parent.mkdir(exist_ok=True)
            RECORD.write_text(json.dumps(record, indent=1) + "\n")
            write_page()
    print(with_gpu(record))
