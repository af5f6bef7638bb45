"""The page on speed shows the recorded measurements, and the records are complete."""

import importlib
import json
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks" / "results" / "speed.json"
PAGE = ROOT / "book" / "guide" / "speed.md"


@pytest.fixture(scope="module")
def tables():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module("speed_table")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def block(name):
    return PAGE.read_text().partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]


def test_the_page_shows_the_record(tables):
    assert block("speed").strip() == tables.with_gpu(json.loads(RECORD.read_text()))


def test_the_page_shows_what_a_reader_waits_for(tables):
    rows = json.loads(RECORD.read_text())["rows"]
    shown = block("waits").strip()
    assert shown == tables.waits({"rows": rows})
    of_four = median(rows["mobilenet"]["seconds"]["now"])
    assert f"regions | {of_four / 4:.2g} |" in shown


def test_the_page_shows_what_a_gpu_did(tables):
    gpu, paper = (
        json.loads((RECORD.parent / f"{n}.json").read_text()) for n in ("gpu", "paper_scenes")
    )
    assert block("gpu").strip() == tables.on_gpu(gpu)
    assert block("paper").strip() == tables.paper_edition(paper)


def test_a_share_of_the_peak_is_the_rate_times_the_arithmetic(tables):
    gpu = json.loads((RECORD.parent / "gpu.json").read_text())
    tera, peaks = gpu["vgg16_gflop"] / 1e3, gpu["peaks"]
    peak = {"float32": peaks["tf32_tflops"], "bf16": peaks["bf16_tflops"]}
    rates = [(row["rate"], row["share"], peak[row["precision"]]) for row in gpu["network"]]
    for precision, most in peak.items():
        row = gpu["rows"][f"vgg16-{precision}"]
        rates.append((row["crops_per_second"], row["share_of_peak"], most))
    steps = gpu["finetuning"]["steps"]  # forward once, and backward twice that
    rates += [(3 * row["images_per_second"], row["share_of_peak"], peak["bf16"]) for row in steps]
    for rate, share, most in rates:
        assert share == pytest.approx(rate * tera / most, rel=1e-3)


def test_the_page_names_the_machine(tables):
    assert block("machine").strip() == tables.conditions(json.loads(RECORD.read_text()))


def test_the_page_shows_how_far_shared_computation_agrees(tables):
    record = json.loads((RECORD.parent / "shared.json").read_text())
    assert block("shared").strip() == tables.agreement(record)


def test_the_page_shows_how_far_bfloat16_and_the_engines_agree(tables):
    record = json.loads((RECORD.parent / "precision.json").read_text())
    assert block("precision").strip() == tables.precision(record)
    assert record["k"] == 8
    for row in record["rows"]:
        assert row["same_label"] == 1
        if row["way"] == "openvino":  # "scores agree within 1e-4"
            assert row["same_top_k"] >= 0.999
            assert row["largest_difference"] <= 1e-4
        else:  # "In bfloat16 labels stay ...; which 8 regions ..."
            assert (row["same_top_k"] < 0.5) == (row["network"] == "mobilenet_v2")


def test_every_row_is_recorded_with_its_check():
    record = json.loads(RECORD.read_text())
    rows = record["rows"]
    assert rows["vgg16-float32"]["facts"]["same_top_k"] is True
    assert rows["proposals"]["facts"]["same_boxes"] is True
    for row in rows.values():
        if "ratio" in row:
            before, after = row["seconds"].values()
            assert len(before) == len(after) >= 5
            per_image = row["facts"].get("images", 1) if "rescoring" in row["baseline"] else 1
            ratios = [per_image * slow / fast for slow, fast in zip(before, after, strict=True)]
            assert row["ratio"]["min"] == pytest.approx(min(ratios))
            assert row["ratio"]["median"] == pytest.approx(median(ratios))
    assert len(record["commit"]) in (40, 41)


def test_a_missed_target_is_called_missed(tables):
    row = {
        "title": "a",
        "baseline": "b",
        "target": 4.0,
        "ratio": {"median": 3.99, "min": 3.0},
        "seconds": {"b": [8.0, 9.0], "a": [2.5, 2.0]},
        "floor_seconds": 1.5,
    }
    record = {"rows": {"x": row, "memory": {**row, "target": 16.0, "megabytes": 16.5}}}
    first, second = tables.with_gpu(record).splitlines()[2:]
    assert first == "| a | b | >= 4x | 3.99x | 3.00x | 2.00 / 1.50 s | no | – |"
    assert second == "| a | b | + <= 16 MB | +16.5 MB |  |  | no | – |"
    row["ratio"]["median"] = 1234.5
    assert "| 1,234x | 3.00x | 2.00 / 1.50 s | yes |" in tables.with_gpu(record)
