"""Table 1 as text, CSV and JSON; two runs compared; predictions image by image."""

import csv
import io
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from arlib.evaluation.further import ATTENTION, STACKED, further_methods
from arlib.evaluation.metrics import compare, evaluate
from arlib.evaluation.report import _cell, compare_runs, format_table, predictions, verdicts
from arlib.evaluation.rows import CONTROL, methods
from arlib.evaluation.runs import LabelsNeeded, Run
from arlib.evaluation.tables import COLUMNS, paper_table, table1

N = 50
ROWS = {method.name: method for method in methods()}
FT, LAST = "VGGNet + ft", "VGGNet + ft + obj + senti + lf (K)"
SCORED = [FT, *(name for name in ROWS if "lf" in name), CONTROL]
WITHOUT = sorted(set(ROWS) - set(SCORED) - {"VGGNet"})


@pytest.fixture(scope="module")
def make_run(make_scores):
    def make(seed, name, *, annotated=False):
        """Random scores; if `annotated`, with a row that is always right, and annotators."""
        scores = make_scores(N, 4, seed=seed)
        leaning = 0.7 * scores.global_probability + 0.3 * np.eye(2)[scores.label.values]
        scores["global_probability"] = leaning.astype(np.float32)
        scores.label[[5, 6]] = -1
        if not annotated:
            return Run(name, scores)
        right = np.eye(2)[np.maximum(scores.label.values, 0)] * 0.8 + 0.1
        people = np.random.default_rng(seed).integers(3, 6, N)
        measured = xr.Dataset(
            {
                "probability": (("method", "image", "emotion"), right[None].astype(np.float32)),
                "agreement": ("image", people.astype(np.int8)),
            },
            coords={
                "method": np.array(["VGGNet"], object),
                "image": scores.image.values.astype(object),
            },
            attrs={"missing": {"SentiBank": "no noun pairs, and\nno bank"}},
        )
        return Run(name, scores, measured)

    return make


@pytest.fixture(scope="module")
def runs(make_run):
    return [make_run(1, "annotated", annotated=True), make_run(2, "bare")]


@pytest.fixture(scope="module")
def tables(runs):
    return table1(runs)


def grid_of(text):
    """The lines of the first grid, by what they begin with."""
    names = (*ROWS, "always the commonest label")
    lines = text.split("\n\n")[1].splitlines()
    rows = {
        name: line for line in lines for name in names if re.match(re.escape(name) + "  ", line)
    }
    return lines[0], rows


def test_as_text_every_row_meets_every_column(tables):
    head, lines = grid_of(format_table(tables))
    for name, table in tables.items():
        assert f"{name} (n = {int(table.images.max())})" in head
    for name in ROWS:
        numbers = [_cell(table.loc[name]).strip() for table in tables.values()]
        assert re.split(r"\s{2,}", lines[name].strip())[1:] == numbers


def test_as_text_a_missing_cell_is_a_dash(tables):
    _, lines = grid_of(format_table(tables))
    assert [lines[name].count("–") for name in WITHOUT] == [4] * len(WITHOUT)
    assert lines["VGGNet"].count("–") == 1
    assert [lines[name].count("–") for name in SCORED] == [0] * len(SCORED)


def test_as_text_the_majority_line_is_every_columns_own(tables):
    _, lines = grid_of(format_table(tables))
    expected = [f"{100 * table.majority[FT]:.1f}" for table in tables.values()]
    assert len(set(expected)) > 1
    assert lines["always the commonest label"].split()[-4:] == expected


def test_as_text_notes_what_changed_what_was_picked_and_what_is_missing(tables):
    text = format_table(tables)
    for name, table in tables.items():
        part = text.split(f"\n{name}\n")[1].split("\n\n")[0]
        row = table.loc[LAST]
        assert f"  {LAST}: {row.note}\n" in part
        picked = f"picked on the tested images, K = {row.picked_k:.0f} would give "
        assert f"  {LAST}: {picked}{100 * row.picked:.1f}" in part
        for missing in WITHOUT:
            assert f"  {missing}: {table.note[missing]}" in part
        (line,) = [line for line in part.splitlines() if line.startswith(f"{LAST} ")]
        percent = 100 * row.drop(["mark", "note"]).astype(float)
        limits = ("", "_low", "_high")
        expected = [
            *(f"{percent[f'balanced_{key}']:.1f}" for key in ("accuracy", "low", "high")),
            *(f"{row[f'auc{key}']:.3f}" for key in limits),
            *(f"{percent[f'gain{key}']:+.1f}" for key in limits),
            *(f"{percent[f'balanced_gain{key}']:+.1f}" for key in limits),
            *(f"{row[f'auc_gain{key}']:+.3f}" for key in limits),
            *(f"{row[key]:.0f}" for key in ("could", "changed", "corrected", "degraded")),
            *(f"{row[key]:.3f}" for key in ("p_holm", "auc_p_holm", "matched_p")),
        ]
        tokens = [text.strip("[],") for text in line.removeprefix(LAST).split()]
        assert tokens == [text for text in expected if "nan" not in text]
        tests, of_auc = (table[each].count() for each in ("p", "auc_p"))
        assert f"  Holm's p is over the {tests} rows that are tested, " in part
        assert f"of the AUC over {of_auc}\n" in part
        assert f"  {LAST}: a gain of {percent.detectable:.1f} points or more would be" in part


def test_as_text_ends_with_the_papers_own(tables):
    own = format_table(tables).split("The paper's own table, ")[1].splitlines()
    assert own[0] == "of other data and another network"
    assert all(name in own[1] for name in paper_table().columns)
    assert own[-1].split()[-6:] == ["65.9", "61.7", "60.6", "77.9", "not", "known"]
    (last,) = [line for line in own if line.startswith(LAST)]
    assert last.removeprefix(LAST).split() == ["88.9", "84.9", "80.3", "79.0", "70.2"]


def test_as_text_no_number_is_nan(tables):
    assert "nan" not in format_table(tables).lower()


def test_as_text_measures_that_need_both_emotions_may_be_blank(make_run):
    """All labels alike: balanced accuracy and AUC do not exist."""
    scores = make_run(3, "alike").scores
    scores = scores.assign(label=scores.label * 0)
    text = format_table(table1([Run("alike", scores)]))
    assert "nan" not in text.lower()
    assert "100.0" in grid_of(text)[1]["always the commonest label"]


@pytest.mark.parametrize(
    ("accuracy", "p_holm", "mark", "marks"),
    [
        (0.71, 1.0, "", ""),
        (0.71, 0.049, "", "*"),
        (0.71, 0.05, "", ""),
        (0.71, math.nan, "constant", "c"),
        (0.699, 0.2, "", "v"),
        (0.7, 0.2, "", ""),
        (0.69996, 0.2, "", ""),  # printed as the line is: folds differ in size
        (0.5, 0.001, "", "*v"),
        (0.5, math.nan, "below chance", "bv"),
    ],
)
def test_a_cell_is_marked_where_it_differs_and_where_it_lies_below_the_line(
    accuracy, p_holm, mark, marks
):
    row = pd.Series({"accuracy": accuracy, "low": 0.451, "high": 0.9, "majority": 0.7})
    text = _cell(pd.concat([row, pd.Series({"p_holm": p_holm, "mark": mark})]))
    assert text.rstrip() == f"{100 * accuracy:.1f} [45.1, 90.0]{marks}"
    assert len(text) == len("71.0 [45.1, 90.0]  ")


def test_a_cell_without_a_number_is_a_dash(tables):
    assert _cell(tables["bare"].loc["SentiBank"]) == "–"


def test_csv_gives_the_same_numbers_back(tables):
    lines = list(csv.DictReader(io.StringIO(format_table(tables, "csv"))))
    assert list(lines[0]) == ["column", "method", *COLUMNS]
    rows = [(name, *row) for name, table in tables.items() for row in table.iterrows()]
    for line, (name, method, row) in zip(lines, rows, strict=True):
        assert (line["column"], line["method"], line["note"]) == (name, method, row.note)
        numbers = [float(line[key] or "nan") for key in COLUMNS if key not in ("mark", "note")]
        np.testing.assert_array_equal(numbers, row.drop(["mark", "note"]).astype(float))
        assert line["mark"] == row["mark"]


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_json_gives_the_same_numbers_back_and_null_for_none(tables):
    """However small: a p of 1e-30 is not 0."""
    small = {**tables, "small": tables["bare"].assign(p=1e-30 / 3)}
    parsed = json.loads(format_table(small, "json"), parse_constant=refuse)
    assert list(parsed) == list(small)
    for name, table in small.items():
        for method, row in table.iterrows():
            expected = {key: None if pd.isna(value) else value for key, value in row.items()}
            assert parsed[name][method] == expected
    assert parsed["bare"]["SentiBank"]["accuracy"] is None


def test_a_form_that_is_not_known_is_refused(tables):
    with pytest.raises(ValueError, match=r'^form must be "text", "csv" or "json", not \'html\'$'):
        format_table(tables, "html")


def shares_of(run, name):
    response = ROWS[name].predict(run).response
    return response / response.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def other_scores(runs, make_run):
    """The same images and labels, predicted by another network."""
    first = runs[0].scores
    scores = make_run(9, "other").scores
    return Run("other", scores.assign(label=first.label, fold=first.fold))


def test_the_same_images_are_compared_one_by_one(runs, other_scores):
    one = runs[0]
    table = compare_runs(one, other_scores)
    names = [name for name in ROWS if name in SCORED]
    assert table.index.unique("method").tolist() == names, "rows both have"
    for name in names:
        shares = [shares_of(run, name) for run in (one, other_scores)]
        expected = compare(*shares, one.labels, folds=one.folds)
        pd.testing.assert_frame_equal(table.loc[name], expected)


def test_a_run_differs_in_nothing_from_itself(runs):
    table = compare_runs(runs[0], runs[0])
    names = [name for name in ROWS if name not in WITHOUT]
    assert table.index.unique("method").tolist() == names
    assert not table.difference.any()
    assert (table.p.xs("accuracy", level="metric") == 1).all()
    assert (table.one == table.other).all()


def test_runs_of_several_emotions_are_compared_too(make_scores):
    run = Run("six", make_scores(N, 4, n_emotions=6))
    names = compare_runs(run, run).index.unique("method").tolist()
    assert names == [name for name in SCORED if name != CONTROL]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.assign_coords(emotion=s.emotion.values[::-1]),
            "positive, negative and negati",
        ),
        (
            lambda s: s.isel(emotion=[0]),
            "predict different emotions: positive, negative and positive",
        ),
        (lambda s: s.assign(label=1 - s.label), "have different labels for the same images"),
        (lambda s: s.assign(label=0 * s.label - 1), "Comparing changed: this needs labels, and of"),
    ],
)
@pytest.mark.parametrize("images", ["same", "other"])
def test_runs_that_cannot_be_compared_are_refused(runs, images, change, message):
    other = Run("changed", change(runs[1].scores))
    if images == "other" and "same images" not in message:
        other = other_images(other)
    with pytest.raises(ValueError, match=message):
        compare_runs(Run(runs[0].name, runs[1].scores), other)


def other_images(run):
    keys = [f"other/{key}" for key in run.scores.image.values]
    return Run(run.name, run.scores.assign_coords(image=keys))


def test_other_images_are_compared_by_their_intervals(runs):
    """MOVER: each limit lies as far off as the two limits towards it do together, squared."""
    one, other = runs[0], other_images(runs[1])
    comparison = compare_runs(one, other)
    assert comparison.index.unique("method").tolist() == [name for name in ROWS if name in SCORED]
    for (name, metric), row in comparison.iterrows():
        a, b = (
            evaluate(shares_of(run, name), run.labels, folds=run.folds).loc[metric]
            for run in (one, other)
        )
        difference = b.estimate - a.estimate
        down = math.sqrt((b.estimate - b.low) ** 2 + (a.high - a.estimate) ** 2)
        up = math.sqrt((b.high - b.estimate) ** 2 + (a.estimate - a.low) ** 2)
        expected = [a.estimate, b.estimate, difference, difference - down, difference + up]
        assert row.drop("p").tolist() == pytest.approx(expected)
        assert math.isnan(row.p)


def test_the_other_way_round_every_sign_is_the_other(runs):
    one, other = runs[0], other_images(runs[1])
    forth, back = (compare_runs(*pair) for pair in ((one, other), (other, one)))
    np.testing.assert_allclose(back[["low", "high"]], -forth[["high", "low"]].to_numpy())
    np.testing.assert_allclose(back.difference, -forth.difference)


@pytest.mark.parametrize(
    ("form", "start"), [("text", " "), ("csv", "method,metric,one,other"), ("json", "{")]
)
def test_a_comparison_is_written_in_every_form(runs, form, start):
    comparison = compare_runs(runs[0], other_images(runs[1]))
    text = format_table(comparison, form)
    assert text.startswith(start)
    assert f"{comparison.difference[FT, 'auc']:.3f}"[1:] in text
    if form == "json":
        row = json.loads(text, parse_constant=refuse)[FT]["auc"]
        assert row == {**comparison.loc[(FT, "auc")], "p": None}


def test_predictions_are_a_row_a_method_and_image(runs):
    table = predictions(runs)
    emotions = ["positive", "negative"]
    assert table.columns.tolist() == ["run", "image", "label", "fold", "method", *emotions]
    every = ROWS | {method.name: method for method in further_methods()}
    learned = [STACKED, ATTENTION]
    rows = {
        "annotated": [*(name for name in ROWS if name not in WITHOUT), *learned],
        "bare": [*SCORED, *learned],
    }
    assert table.index.tolist() == list(range(N * sum(map(len, rows.values()))))
    assert not table.duplicated(["run", "image", "method"]).any()
    np.testing.assert_allclose(table[emotions].sum(axis=1), 1, atol=2e-6)
    for run in runs:
        of_run = table[table.run == run.name]
        assert set(of_run.method) == set(rows[run.name])
        for name, part in of_run.groupby("method"):
            assert part.image.tolist() == run.scores.image.values.tolist()
            assert part.label.tolist() == run.labels.tolist()
            assert part.fold.tolist() == run.folds.tolist()
            response = every[name].predict(run).response
            np.testing.assert_allclose(part[emotions], response, atol=1e-6)


def test_a_label_of_the_first_emotion_counts_where_labels_are_needed(make_scores):
    scores = make_scores(6, 2)
    scores["label"] = scores.label * 0
    Run("all positive", scores).require_labels("A table", least=6)
    with pytest.raises(LabelsNeeded, match="needs 7 labelled images, and of the run's 6 images 6"):
        Run("all positive", scores).require_labels("A table", least=7)


@pytest.mark.parametrize(
    ("gains", "p", "verdict"),
    [
        ([1, 2], [0.01, 0.04], "holds"),
        ([1, 2, 0], [0.01, 0.04, np.nan], "holds"),  # where it is not tested, it says nothing
        ([1, 2], [0.01, 0.06], "holds in part"),
        ([1, -2], [0.01, 0.06], "holds in part"),
        ([1, -2], [0.01, 0.01], "mixed"),
        ([1, -2], [0.9, 0.01], "contradicted in part"),
        ([-1, -2], [0.02, 0.01], "contradicted"),
        ([1, -2], [0.9, 0.5], "not shown"),
        ([1, -2], [np.nan, np.nan], "not testable here"),
        ([np.nan], [np.nan], "not testable here"),
    ],
)
def test_a_verdict_is_over_the_columns_that_test_a_pair(gains, p, verdict):
    index = pd.MultiIndex.from_product([["pair"], range(len(gains))])
    table = pd.DataFrame({"gain": gains, "p_holm": p}, index=index)
    row = verdicts(table).loc["pair"]
    assert row.verdict == verdict
    assert row.columns == np.isfinite(gains).sum()
    assert row.tested == np.isfinite(p).sum()
    extremes = [np.nan] * 2 if np.isnan(gains).all() else [min(gains), max(gains)]
    np.testing.assert_equal([row.low, row.high], extremes)
