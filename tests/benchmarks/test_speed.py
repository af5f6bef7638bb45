"""The page on speed shows the recorded measurements, and the records are complete."""

import importlib
import json
import sys
from pathlib import Path

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


def test_the_page_shows_what_a_gpu_did(tables):
    gpu, paper = (
        json.loads((RECORD.parent / f"{n}.json").read_text()) for n in ("gpu", "paper_scenes")
    )
    assert block("gpu").strip() == tables.on_gpu(gpu)
    assert block("paper").strip() == tables.paper_edition(paper)
    shares = [row["share"] for row in gpu["network"]]
    shares += [row["share_of_peak"] for row in gpu["finetuning"]["steps"]]
    assert all(0 < share < 1 for share in shares)


def test_the_page_names_the_machine(tables):
    assert block("machine").strip() == tables.conditions(json.loads(RECORD.read_text()))


def test_the_page_shows_how_far_shared_computation_agrees(tables):
    record = json.loads((RECORD.parent / "shared.json").read_text())
    assert block("shared").strip() == tables.agreement(record)


def test_the_page_shows_how_far_bfloat16_agrees(tables):
    record = json.loads((RECORD.parent / "precision.json").read_text())
    assert block("precision").strip() == tables.precision(record)
    assert record["k"] == 8
    for row in record["rows"]:
        assert row["same_top_k"] <= row["common"] <= 1
        assert 0 < row["largest_difference"] < 1


def test_every_row_is_recorded_with_its_check():
    record = json.loads(RECORD.read_text())
    rows = record["rows"]
    assert rows["vgg16-float32"]["facts"]["same_top_k"] is True
    assert rows["proposals"]["facts"]["same_boxes"] is True
    for row in rows.values():
        if "ratio" in row:
            assert all(len(times) >= 5 for times in row["seconds"].values())
            assert row["ratio"]["min"] <= row["ratio"]["median"]
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
    assert first == "| a | b | >= 4x | 3.99x | 3.00x | 2.00 s of 1.50 s | no | – |"
    assert second == "| a | b | + <= 16 MB | + 16.5 MB |  |  | no | – |"
    row["ratio"]["median"] = 1234.5
    assert "| 1,234x | 3.00x | 2.00 s of 1.50 s | yes |" in tables.with_gpu(record)
