"""The replay of the scores published in 2018: its counts beside loops, its record, its page."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from arlib.method.algorithm import RULE_2018, affective_regions, predict_labels

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "replay_2018.py"
RECORD = json.loads((ROOT / "book" / "results" / "replay_2018.json").read_text())


@pytest.fixture(scope="module")
def tool():
    """tools/ is no package."""
    spec = importlib.util.spec_from_file_location("replay_2018", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scores(make_scores):
    return make_scores(300, 12, seed=9, missing=False).drop_vars(["label", "fold"])


@pytest.fixture(scope="module")
def counts(tool, scores):
    return tool.replay(scores)


def select(scores, **changed):
    """Regions by the rule of 2018."""
    settings = {**RULE_2018, **changed}
    return affective_regions(
        scores, **{name: settings[name] for name in settings if name not in ("beta", "fusion")}
    )


def count(pairs):
    return sum(one != other for one, other in pairs)


def test_counts_of_labels_are_loops_over_images(scores, counts):
    before = [y.index(max(y)) for y in scores.global_probability.values.tolist()]
    paper = predict_labels(scores, 8).label.values.tolist()
    later = predict_labels(scores, **RULE_2018).label.values.tolist()
    expected = {
        "labels that Eq. 1 to 3 change": count(zip(paper, before, strict=True)),
        "labels that the rule of 2018 changes": count(zip(later, before, strict=True)),
        "labels on which the two rules differ": count(zip(paper, later, strict=True)),
    }
    assert {name: counts[name] for name in expected} == expected
    assert all(expected.values())
    assert (counts["images"], counts["regions an image"], counts["K"]) == (300, 12, 8)


def test_labels_that_can_change_are_those_that_certain_regions_change(scores, counts):
    """The leader's share is below (1 + 0.5) / 2, and below 0.5 / 0.7 in the convex form."""
    leads = [max(y) for y in scores.global_probability.values.tolist()]
    assert counts["labels that Eq. 3 can change, beta = 0.5"] == sum(p < 0.75 for p in leads)
    assert counts["labels that the rule of 2018 can change"] == sum(p < 0.5 / 0.7 for p in leads)


def shared(one, other):
    """Mean share of eight regions that are in both, and how often the first is the same."""
    pairs = list(zip(one.region.values.tolist(), other.region.values.tolist(), strict=True))
    return np.mean([len(set(a) & set(b)) / 8 for a, b in pairs]), np.mean(
        [a[0] == b[0] for a, b in pairs]
    )


def test_overlaps_are_loops_over_sets(scores, counts):
    ours = affective_regions(scores, 8)
    rules = {
        "the rule of 2018": select(scores),
        "the rule of 2018 without min-max": select(scores, normalize="none"),
        "objectness alone": affective_regions(scores, 8, rank_by="objectness"),
        "sentiment alone": affective_regions(scores, 8, rank_by="sentiment"),
    }
    overlaps = {name: shared(ours, other)[0] for name, other in rules.items()}
    for name, share in overlaps.items():
        assert counts[f"top-K overlap, Eq. 2 and {name}"] == pytest.approx(share)
    assert len(set(overlaps.values())) == 4
    first = shared(ours, rules["the rule of 2018"])[1]
    assert counts["first region the same, Eq. 2 and the rule of 2018"] == pytest.approx(first)
    assert counts["top-K overlap of two random choices"] == pytest.approx(8 / 12)


def test_two_random_choices_share_k_of_n():
    rng = np.random.default_rng(0)
    draws = [set(rng.permutation(12)[:8].tolist()) for _ in range(1001)]
    shares = [len(one & other) / 8 for one, other in pairwise(draws)]
    assert np.mean(shares) == pytest.approx(8 / 12, abs=0.02)


def test_the_published_arrays_are_negative_then_positive(tool, scores, tmp_path):
    arrays = {name: scores[name].values for name in scores.data_vars}
    turned = {name: array[..., ::-1] for name, array in arrays.items() if "probability" in name}
    np.savez(tmp_path / "scores.npz", **{**arrays, **turned})
    read = tool.load(tmp_path / "scores.npz")
    assert read.emotion.values.tolist() == ["positive", "negative"]
    for name, array in arrays.items():
        assert read[name].dims == scores[name].dims
        np.testing.assert_array_equal(read[name], array)


def test_the_record_is_what_a_replay_gives(tool, data_root):
    fresh = tool.replay(tool.load(data_root / "fi_authors_scores.npz"))
    assert list(fresh) == list(RECORD)
    for name, value in RECORD.items():
        close = pytest.approx(value, abs=1e-12) if isinstance(value, float) else value
        assert fresh[name] == close, name


def run(cwd, *arguments, **variables):
    clean = {name: value for name, value in os.environ.items() if name != "ARLIB_DATA"}
    command = [sys.executable, TOOL, *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**clean, **variables}, capture_output=True, text=True
    )


def test_without_data_the_tool_names_what_is_missing(tmp_path):
    before = (ROOT / "book" / "results" / "replay_2018.json").read_bytes()
    done = run(tmp_path, "--record")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("fi_authors_scores.npz is not under ARLIB_DATA: the authors' ")
    assert (ROOT / "book" / "results" / "replay_2018.json").read_bytes() == before


def test_the_tool_prints_its_counts_and_records_when_asked(
    tool, scores, counts, tmp_path, monkeypatch, capsys
):
    arrays = {name: scores[name].values for name in scores.data_vars}
    turned = {name: array[..., ::-1] for name, array in arrays.items() if "probability" in name}
    np.savez(tmp_path / "fi_authors_scores.npz", **{**arrays, **turned})
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    record = tmp_path / "record.json"
    tool.main([], record)
    assert json.loads(capsys.readouterr().out) == counts
    assert not record.exists()
    tool.main(["--record"], record)
    assert json.loads(record.read_text()) == counts


@pytest.mark.parametrize(
    "name",
    [
        "images",
        "labels that Eq. 1 to 3 change",
        "labels that the rule of 2018 changes",
        "labels on which the two rules differ",
    ],
)
def test_the_page_of_departures_has_the_recorded_count(name):
    text = (ROOT / "book" / "guide" / "departures.md").read_text()
    assert re.search(rf"(?<![\d.,]){RECORD[name]:,}(?!\d|[.,]\d)", text), f"{RECORD[name]:,}"
