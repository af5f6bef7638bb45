"""What `arlib` reports of the recorded runs is what the paper's equations give, recomputed."""

import re
from pathlib import Path

import numpy as np
import pytest

import recompute
from arlib.evaluation import Run, further_methods, label_changes, methods, table1
from arlib.experiments import open_run
from arlib.method import predict_labels
from arlib.scoring import save_scores

RUNS = sorted(path.parent for path in recompute.RESULTS.glob("*/run.json"))
COUNTS = ("changed", "corrected", "degraded", "could")
MEASURED = {"VGGNet + ft + CAM + lf", "WSCNet + VGGNet"}
NESTED = "VGGNet + ft + obj + senti + lf (K)"
CONTROL = "VGGNet + ft, threshold chosen"


def test_every_recorded_run_is_recomputed_without_the_library():
    assert len(RUNS) == 16
    imports = re.findall(r"^(?:from|import) (\w+)", Path(recompute.__file__).read_text(), re.M)
    assert sorted(imports) == ["fractions", "math", "numpy", "pathlib", "sys", "zarr"]


QUICK = {"oasis-squeezenet1_1", "twitter2-mobilenet_v2-ft", "twitter2-squeezenet1_1-ft-oasis"}


@pytest.mark.parametrize(
    "folder",  # one frozen, one fine-tuned on the other folds and one on another set in `make test`
    [pytest.param(f, marks=[pytest.mark.slow] * (f.name not in QUICK), id=f.name) for f in RUNS],
)
def test_recorded_runs_give_what_the_paper_says(folder):
    rows = recompute.recompute(folder)
    fixed = rows.pop("K = 8")
    run = open_run(folder).load()
    (table,) = table1([run], further=True).values()
    table = table.drop([method.name for method in further_methods() if method.name not in MEASURED])
    same = {"VGGNet"} if run.frozen else set()  # there it is "VGGNet + ft" by another name
    assert set(table.index[table.accuracy.notna()]) - same == set(rows) - same

    for name, numbers in rows.items():
        row = table.loc[name]
        for number in ("accuracy", "balanced_accuracy", "majority"):
            assert row[number] == pytest.approx(numbers[number], abs=1e-12), (name, number)
        assert (row["mark"] == "constant") == numbers["one_label"], name
        if name != recompute.FULL:
            marked = numbers["one_label"] or rows[recompute.FULL]["one_label"]
            tested = not marked and name not in (CONTROL, *same)
            expected = numbers["p"] if tested else np.nan
            assert row.p == pytest.approx(expected, rel=1e-9, nan_ok=True), name
            counts = {count: row[count] for count in COUNTS if count in numbers}
            assert counts == {count: numbers[count] for count in counts}, name
        if name != CONTROL:  # which is recomputed as labels alone
            assert row.auc == pytest.approx(numbers["auc"], abs=1e-6), name
    thresholds = ", ".join(map(str, rows[CONTROL]["threshold"]))
    assert f"threshold = {thresholds} in folds" in table.note[CONTROL]

    numbers, row = rows[NESTED], table.loc[NESTED]
    assert f"K = {', '.join(map(str, numbers['k']))} in folds" in row.note
    assert row.picked_k == min(numbers["picked_k"]), "the first of equals"
    assert row.picked == pytest.approx(numbers["picked"], abs=1e-12)

    # K = 8, fixed before any result: README's first table
    before, after = (predict_labels(run.scores, 8, beta=beta).label.values for beta in (0, 0.5))
    changes = label_changes(before, after, run.labels)._asdict()
    assert changes == {count: fixed[count] for count in changes}


def test_choices_by_inner_heads_are_recomputed_too(tmp_path, make_scores):
    scores = make_scores(80, 6, seed=3, missing=False, inner=True)
    save_scores(scores, tmp_path / "scores.zarr")
    rows, run = recompute.recompute(tmp_path), Run("drawn", scores)
    chosen = (row for row in methods() if row.name in (NESTED, CONTROL))
    notes = {row.name: row.predict(run).note for row in chosen}
    assert f"K = {', '.join(map(str, rows[NESTED]['k']))} in folds" in notes[NESTED]
    thresholds = ", ".join(map(str, rows[CONTROL]["threshold"]))
    assert f"threshold = {thresholds} in folds" in notes[CONTROL]
    bare = tmp_path / "bare"
    inner = ["inner_global_probability", "inner_region_probability", "left_out"]
    save_scores(scores.drop_vars(inner), bare / "scores.zarr")
    assert recompute.recompute(bare)[NESTED]["k"] != rows[NESTED]["k"]


def test_an_image_without_regions_and_one_with_fewer_than_k_are_recomputed_by_hand():
    y = np.array([0.75, 0.25])
    assert recompute.fused(y, np.empty((0, 2)), 8).tolist() == [0.75, 0.25]
    assert recompute.fused(y, np.array([[0.5, 0.5], [0.0, 1.0]]), 8).tolist() == [0.875, 0.625]
    order = recompute.ranked(
        np.array([0.5, np.nan, 0.6]), np.array([[1, 0], [1, 0], [0.5, 0.5]], float)
    )
    assert {name: best.tolist() for name, best in order.items()} == {
        "obj": [2, 0],
        "senti": [0, 2],
        "obj + senti": [0, 2],
    }
    assert recompute.exact_p(1, 5) == pytest.approx(14 / 64)
    assert recompute.exact_p(2, 2) == 1
