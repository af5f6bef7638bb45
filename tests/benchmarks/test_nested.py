"""What inner heads change: the guide's table is the record's, and each number a count."""

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from arlib.evaluation import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("n", ROOT / "benchmarks" / "nested.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_holds_what_was_recorded(bench):
    facts, text = json.loads(bench.FACTS.read_text()), bench.PAGE.read_text()
    asked = " ".join(str(word) for each in facts["runs"] for word in each["run"])
    assert f"python benchmarks/nested.py --record {asked}`" in text
    assert bench.replaced(text, bench.block(facts)) == text
    with pytest.raises(ValueError, match="has no"):
        bench.replaced(text.replace("<!-- end -->", ""), "")
    other = copy.deepcopy(facts)
    other["runs"][-1]["K"]["right"][1] += 1
    assert bench.replaced(text, bench.block(other)) != text


def test_the_page_says_what_the_record_holds(bench):
    text = bench.PAGE.read_text()
    assert "at most one label of a run changes; early fusion is more accurate by inner" in text
    for each in json.loads(bench.FACTS.read_text())["runs"]:
        assert each["K"]["differ"] <= 1
        plain, nested = each["early fusion"]["accuracy"]
        assert nested > plain


def test_choices_and_labels_are_compared(bench, make_scores):
    scores = make_scores(60, 4, seed=48, inner=True)
    run = Run("", scores)
    rows = bench.chosen(run, Run("", scores.drop_vars(bench.INNER)))
    for row in rows.values():
        assert [len(options.split(", ")) for options in row["chosen"]] == [5, 5]
        assert row["chosen"][0] != row["chosen"][1]
    plain, nested = np.eye(2)[run.labels], np.eye(2)[run.labels]
    nested[run.folds == 1] = nested[run.folds == 1, ::-1]  # a fold of five is wrong, where known
    known = run.labels >= 0
    row = bench.compared(run.select(known, ""), plain[known], nested[known])
    right = int((known & (run.folds != 1)).sum())
    expected = {"right": [59, right], "accuracy": [100, 80], "differ": 59 - right}
    assert row == expected
    boxes = np.zeros((60, 1, 4))
    by_fold = {fold: boxes + (fold == 3) for fold in range(5)}
    row = bench.early_fusion(run, boxes, plain, by_fold, nested)
    assert row["regions"] == 20
