"""Hold the project's speed against plain ways of doing the same, in turn, in one run.

    python benchmarks/bench_speed.py [--record] [ROW...]

Rows are those of `ROWS`; without any, all of them, in some 15 minutes on two cores. `--record`
writes benchmarks/results/speed.json and the book's page on speed; with rows named, the other rows
of the record stay. `ARLIB_DATA` is used where it is there: proposals of photographs.
"""

import json
import os
import sys
from datetime import date
from pathlib import Path
from statistics import median

import torch

import speed_ways as ways
from arlib.machine import machine, source_commit
from arlib.precision import bf16_in_hardware
from speed_table import table, write_page
from timing import interleave

RECORD = Path(__file__).parent / "results" / "speed.json"
BF16 = bf16_in_hardware()
ROWS = {
    "vgg16-bf16": (
        "VGG-16, 100 regions, same top 8, bf16",
        "Pillow crop, torchvision transform, batch 1, float32",
        4.0,
        lambda: ways.vgg_row("bf16"),
    ),
    "vgg16-float32": (
        "VGG-16, 100 regions, same top 8, float32",
        "the same plain loop",
        1.15,
        lambda: ways.vgg_row("float32"),
    ),
    "predict": (
        "predict, K = 8, fine-tuned network, scenes",
        "the same without early stop",
        2.0,
        ways.predict_row,
    ),
    "shared": (
        "VGG-16, 100 regions, shared computation",
        "a crop a region by this project, float32",
        10.0,
        ways.shared_row,
    ),
    "proposals": (
        "EdgeBoxes of many pictures, all cores",
        "one thread, fresh detectors",
        1.9,
        ways.proposals_row,
    ),
    "finetuning": (
        "a step of fine-tuning VGG-16 at 224",
        "float32, default layout",
        2.0,
        ways.finetuning_row,
    ),
    "sweep": ("scores to a sweep of K = 1..20", "rescoring", 1000.0, ways.sweep_row),
    "memory": ("peak memory, 10,000 images", "1,000 images", 16.0, ways.memory_row),
}


def measure(name):
    title, baseline, target, make = ROWS[name]
    print(f"== {title}, against: {baseline}", flush=True)
    load = os.getloadavg()[0]
    made = make()
    row = {"title": title, "baseline": baseline, "target": target, "load_before": round(load, 2)}
    if "ways" in made:
        seconds = interleave(made["ways"])
        first, second = seconds.values()
        pairs = [made.get("times", 1) * a / b for a, b in zip(first, second, strict=True)]
        row["ratio"] = {"min": min(pairs), "median": median(pairs)}
        row["seconds"] = seconds
        if "floor" in made:
            row["floor_seconds"] = made["floor"]
    else:
        row["megabytes"] = made["megabytes"]
    row["facts"] = made["facts"]
    print(row["facts"], row.get("ratio", row.get("megabytes")), flush=True)
    return row


if __name__ == "__main__":
    asked = [name for name in sys.argv[1:] if name != "--record"]
    record = json.loads(RECORD.read_text()) if asked and RECORD.exists() else {"rows": {}}
    record |= {
        "command": "python benchmarks/bench_speed.py --record",
        "date": date.today().isoformat(),
        "commit": source_commit(),
        "machine": machine() | {"bf16": BF16},
        "peak_gflops": {
            str(dtype).removeprefix("torch."): round(ways.peak(dtype) / 1e9, 1)
            for dtype in (torch.float32, torch.bfloat16)
        },
        "decoding_mpixels_per_second": round(ways.decoding_rate(), 1),
        "vgg16_gflop": round(ways.flops_of(ways.vgg()) / 1e9, 2),
    }
    for name in asked or ROWS:
        record["rows"][name] = measure(name)
        if "--record" in sys.argv:
            RECORD.parent.mkdir(exist_ok=True)
            RECORD.write_text(json.dumps(record, indent=1) + "\n")
            write_page()
    print(table(record))
