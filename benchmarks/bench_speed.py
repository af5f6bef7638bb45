"""Compare the project's speed with plain code that does the same, in turn, in one run.

    python benchmarks/bench_speed.py [--record] [--busy] [GROUP...]

Groups are those of `GROUPS`; without any, all of them, in some 15 minutes on two idle cores.
`--record` writes benchmarks/results/speed.json and the book's page on speed; with groups named,
the other rows of the record stay. `--busy` is for a machine with other work on it: PyTorch takes
one thread, VGG-16 scores 25 regions instead of 100 (its time grows with them) and learns from 4
images, and seconds are the processor's, but for proposals, which are there to share the cores.
`ARLIB_DATA` is used where it is there: proposals of photographs.
"""

import json
import os
import sys
import time
from datetime import date
from pathlib import Path
from statistics import median

import torch

import speed_variants as variants
from arlib._support.provenance import machine, source_commit
from arlib.networks.devices import bf16_in_hardware
from speed_table import table, write_page
from timing import interleave

RECORD = Path(__file__).parent / "results" / "speed.json"
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
        "the same plain loop",
        1.15,
    ),
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
    "sweep": variants.sweep_row,
    "memory": variants.memory_row,
    "proposals": variants.proposals_row,
    "finetuning": variants.finetuning_row,
    "vgg16": variants.vgg_row,
}


def measure(group):
    """Run a group's variants in turn: name of a row -> what was measured."""
    print(f"== {group}", flush=True)
    load = round(os.getloadavg()[0], 2)
    group_rows = GROUPS[group]()
    clock = time.process_time if BUSY and group != "proposals" else time.perf_counter
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
    print(table(record))
