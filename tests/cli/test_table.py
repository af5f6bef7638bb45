"""Table 1 as text, CSV and JSON; runs found, compared, and said image by image."""

import csv
import io
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import binomtest

from arlib.evaluation import (
    COLUMNS,
    Run,
    as_csv,
    as_json,
    as_text,
    cell,
    column,
    compare_runs,
    fold_means,
    methods,
    paper_table,
    predictions,
    table_of,
)
from arlib.experiments import Experiment, SyntheticProtocol, open_run
from arlib.publishing import Edition, EditionError, edition_runs
from arlib.scoring import save_scores

pytestmark = pytest.mark.xdist_group("tabulate")  # one worker makes what they stand on

N = 50
ROWS = {method.name: method for method in methods()}
FT, LAST = "VGGNet + ft", "VGGNet + ft + obj + senti + lf (K)"
SCORED = [FT, *(name for name in ROWS if "lf" in name)]
WITHOUT = sorted(set(ROWS) - set(SCORED) - {"VGGNet"})


@pytest.fixture(scope="module")
def make_run(make_scores):
    def make(seed, name, *, judged=False):
        """Random scores; if `judged`, with a row that is always right, and annotators."""
        scores = make_scores(N, 4, seed=seed)
        scores.label[[5, 6]] = -1
        if not judged:
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
    return [make_run(1, "annotated", judged=True), make_run(2, "bare")]


@pytest.fixture(scope="module")
def tables(runs):
    return table_of(runs, n_bootstrap=50)


def test_every_run_fills_its_columns(runs, tables):
    assert list(tables) == [
        "judged, five agree",
        "judged, four agree",
        "judged, three agree",
        "bare",
    ]
    assert tables["bare"].equals(column(runs[1], n_bootstrap=50))


def test_two_columns_of_one_name_are_not_one(runs):
    with pytest.raises(ValueError, match=r"^two columns are called bare: --compare tells"):
        table_of([runs[1], runs[1]], n_bootstrap=1)


def grid_of(text):
    """The lines of the first grid, by what they begin with."""
    names = (*ROWS, "always the commonest label")
    lines = text.split("\n\n")[1].splitlines()
    found = {
        name: line for line in lines for name in names if re.match(re.escape(name) + "  ", line)
    }
    return lines[0], found


def test_as_text_every_row_meets_every_column(tables):
    head, lines = grid_of(as_text(tables))
    for name, table in tables.items():
        assert f"{name} (n = {int(table.images.max())})" in head
    for name in ROWS:
        numbers = [cell(table.loc[name]).strip() for table in tables.values()]
        assert re.split(r"\s{2,}", lines[name].strip())[1:] == numbers


def test_as_text_a_missing_cell_is_a_dash(tables):
    _, lines = grid_of(as_text(tables))
    assert [lines[name].count("–") for name in WITHOUT] == [4] * len(WITHOUT)
    assert lines["VGGNet"].count("–") == 1
    assert [lines[name].count("–") for name in SCORED] == [0] * len(SCORED)


def test_as_text_the_majority_line_is_every_columns_own(tables):
    _, lines = grid_of(as_text(tables))
    expected = [f"{100 * table.majority[FT]:.1f}" for table in tables.values()]
    assert len(set(expected)) > 1
    assert lines["always the commonest label"].split()[-4:] == expected


def test_as_text_says_what_changed_what_was_picked_and_what_is_missing(tables):
    text = as_text(tables)
    for name, table in tables.items():
        part = text.split(f"\n{name}\n")[1].split("\n\n")[0]
        row = table.loc[LAST]
        assert f"  {LAST}: {row.note}\n" in part
        picked = f"picked on the tested images, K = {row.picked_k:.0f} would give "
        assert f"  {LAST}: {picked}{100 * row.picked:.1f}" in part
        for gone in WITHOUT:
            assert f"  {gone}: {table.note[gone]}" in part
        (shown,) = [line for line in part.splitlines() if line.startswith(f"{LAST} ")]
        counts = [f"{row[key]:.0f}" for key in ("could", "changed", "fixed", "broken")]
        measures = [f"{row[key]:.3f}" for key in ("balanced_accuracy", "auc")]
        expected = [*measures, *counts, f"{row.p_holm:.3f}"]
        assert shown.removeprefix(LAST).split() == expected


def test_as_text_ends_with_the_papers_own(tables):
    own = as_text(tables).split("The paper's own table, ")[1].splitlines()
    assert own[0] == "of other data and another network"
    assert all(name in own[1] for name in paper_table().columns)
    assert own[-1].split()[-6:] == ["65.9", "61.7", "60.6", "77.9", "not", "known"]
    (last,) = [line for line in own if line.startswith(LAST)]
    assert last.removeprefix(LAST).split() == ["88.9", "84.9", "80.3", "79.0", "70.2"]


def test_as_text_no_number_is_nan(tables):
    assert "nan" not in as_text(tables).lower()


def test_as_text_measures_that_need_both_emotions_may_be_blank(make_run):
    """All pictures alike: balanced accuracy and AUC do not exist."""
    one = make_run(3, "alike")
    scores = one.scores.assign(label=one.scores.label * 0)
    text = as_text(table_of([Run("alike", scores)], n_bootstrap=2))
    assert "nan" not in text.lower()
    assert "100.0" in grid_of(text)[1]["always the commonest label"]


@pytest.mark.parametrize(
    ("accuracy", "p_holm", "marks"),
    [
        (0.71, 1.0, ""),
        (0.71, 0.049, "*"),
        (0.71, 0.05, ""),
        (0.71, math.nan, ""),
        (0.699, 0.2, "v"),
        (0.7, 0.2, ""),
        (0.5, 0.001, "*v"),
    ],
)
def test_a_cell_is_marked_where_it_differs_and_where_it_lies_below_the_line(
    accuracy, p_holm, marks
):
    row = pd.Series({"accuracy": accuracy, "low": 0.451, "high": 0.9, "majority": 0.7})
    shown = cell(pd.concat([row, pd.Series({"p_holm": p_holm})]))
    assert shown.rstrip() == f"{100 * accuracy:.1f} [45.1, 90.0]{marks}"
    assert len(shown) == len("71.0 [45.1, 90.0]  ")


def test_a_cell_without_a_number_is_a_dash(tables):
    assert cell(tables["bare"].loc["SentiBank"]) == "–"


def test_csv_gives_the_same_numbers_back(tables):
    lines = list(csv.DictReader(io.StringIO(as_csv(tables))))
    assert list(lines[0]) == ["column", "method", *COLUMNS]
    every = [(name, *row) for name, table in tables.items() for row in table.iterrows()]
    for line, (name, method, row) in zip(lines, every, strict=True):
        assert (line["column"], line["method"], line["note"]) == (name, method, row.note)
        numbers = [float(line[key] or "nan") for key in COLUMNS if key != "note"]
        np.testing.assert_array_equal(numbers, row.drop("note").astype(float))


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_json_gives_the_same_numbers_back_and_null_for_none(tables):
    """However small: a p of 1e-30 is not 0."""
    small = {**tables, "small": tables["bare"].assign(p=1e-30 / 3)}
    found = json.loads(as_json(small), parse_constant=refuse)
    assert list(found) == list(small)
    for name, table in small.items():
        for method, row in table.iterrows():
            expected = {key: None if pd.isna(value) else value for key, value in row.items()}
            assert found[name][method] == expected
    assert found["bare"]["SentiBank"]["accuracy"] is None


def answers(run, name):
    said = ROWS[name].judge(run).response.argmax(-1)
    return said, run.labels, run.folds


def mean_over_folds(values, folds):
    return np.mean([np.mean(values[folds == fold]) for fold in sorted(set(folds.tolist()))])


@pytest.fixture(scope="module")
def other_scores(runs, make_run):
    """The same images and labels, judged by another network."""
    judged = runs[0]
    other = make_run(9, "other").scores
    same = other.assign(label=judged.scores.label, fold=judged.scores.fold)
    return Run("other", same)


def test_the_same_images_are_compared_one_by_one(runs, other_scores):
    one = runs[0]
    found = compare_runs(one, other_scores, n_bootstrap=100)
    assert found.index.tolist() == [name for name in ROWS if name in SCORED], "rows both have"
    for name, row in found.iterrows():
        (before, labels, folds), (after, *_) = answers(one, name), answers(other_scores, name)
        known = labels >= 0
        hits = [(said == labels)[known].astype(float) for said in (before, after)]
        means = [mean_over_folds(hit, folds[known]) for hit in hits]
        assert [row.one, row.other] == pytest.approx(means)
        assert row.difference == pytest.approx(means[1] - means[0])
        _, low, high = fold_means(hits[1] - hits[0], folds[known], n_bootstrap=100)
        assert (row.low, row.high) == (low, high)
        assert row.low < row.difference < row.high
        gained, lost = (hits[1] > hits[0]).sum(), (hits[1] < hits[0]).sum()
        assert row.p == pytest.approx(binomtest(int(gained), int(gained + lost)).pvalue)


def test_a_run_differs_in_nothing_from_itself(runs):
    found = compare_runs(runs[0], runs[0], n_bootstrap=20)
    assert found.index.tolist() == [name for name in ROWS if name not in WITHOUT]
    assert not found[["difference", "low", "high"]].any(axis=None)
    assert (found.p == 1).all()
    assert (found.one == found.other).all()


def other_images(run):
    keys = [f"other/{key}" for key in run.scores.image.values]
    return Run(run.name, run.scores.assign_coords(image=keys))


def test_other_images_are_compared_by_their_intervals(runs):
    """MOVER: each limit lies as far off as the two limits towards it do together, squared."""
    one, other = runs[0], other_images(runs[1])
    found = compare_runs(one, other, n_bootstrap=100)
    tables = [column(run, n_bootstrap=100) for run in (one, other)]
    assert found.index.tolist() == [name for name in ROWS if name in SCORED]
    for name, row in found.iterrows():
        a, b = (table.loc[name] for table in tables)
        assert (row.one, row.other) == (a.accuracy, b.accuracy)
        difference = b.accuracy - a.accuracy
        down = math.sqrt((b.accuracy - b.low) ** 2 + (a.high - a.accuracy) ** 2)
        up = math.sqrt((b.high - b.accuracy) ** 2 + (a.accuracy - a.low) ** 2)
        expected = [difference, difference - down, difference + up]
        assert [row.difference, row.low, row.high] == pytest.approx(expected)
        assert math.isnan(row.p)


def test_the_other_way_round_every_sign_is_the_other(runs):
    one, other = runs[0], other_images(runs[1])
    there, back = (compare_runs(*pair, n_bootstrap=50) for pair in ((one, other), (other, one)))
    np.testing.assert_allclose(back[["low", "high"]], -there[["high", "low"]].to_numpy())
    np.testing.assert_allclose(back.difference, -there.difference)


def test_predictions_are_a_row_a_method_and_image(runs):
    found = predictions(runs)
    emotions = ["positive", "negative"]
    assert found.columns.tolist() == ["run", "image", "label", "fold", "method", *emotions]
    said = {"annotated": [name for name in ROWS if name not in WITHOUT], "bare": SCORED}
    assert len(found) == N * sum(map(len, said.values()))
    assert not found.duplicated(["run", "image", "method"]).any()
    np.testing.assert_allclose(found[emotions].sum(axis=1), 1, atol=2e-6)
    for one in runs:
        mine = found[found.run == one.name]
        assert set(mine.method) == set(said[one.name])
        for name, part in mine.groupby("method"):
            assert part.image.tolist() == one.scores.image.values.tolist()
            assert part.label.tolist() == one.labels.tolist()
            assert part.fold.tolist() == one.folds.tolist()
            response = ROWS[name].judge(one).response
            np.testing.assert_allclose(part[emotions], response, atol=1e-6)


def write(folder, run, **facts):
    """A run's folder, by hand."""
    save_scores(run.scores, folder / "scores.zarr")
    (folder / "run.json").write_text(json.dumps(facts))
    if run.baselines is not None:
        run.baselines.to_zarr(folder / "baselines.zarr", consolidated=False)
    return folder


def test_a_runs_folder_is_opened_with_what_was_measured(tmp_path, runs):
    for one in runs:
        found = open_run(write(tmp_path / one.name, one, commit="abc")).load()
        assert (found.name, found.facts) == (one.name, {"commit": "abc"})
        xr.testing.assert_equal(found.scores, one.scores)
        assert (found.baselines is None) == (one.baselines is None)
        assert column(found, n_bootstrap=5).equals(column(one, n_bootstrap=5))


def test_where_there_is_no_run_it_says_so(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=f"^no run at {re.escape(str(tmp_path))}: .* run.json$"
    ):
        open_run(tmp_path)


class TestAnEdition:
    def fill(self, root, runs, edition, *, fresh=()):
        """Two recorded runs, and those named by `fresh` anew."""
        for one, name in zip(runs, ("twitter2-a", "twitter2-b"), strict=True):
            write(root / "book/results" / name, one, made="recorded")
            if name in fresh:
                write(root / "_build" / edition / "results" / name, one, made="fresh")

    @pytest.mark.parametrize(
        "edition",
        [
            Edition("some", "Recorded", {"runs": ["twitter2-a", "twitter2-b"]}),
            Edition("some", "Anew", {}, Experiment("twitter2", ("a", "b"))),
        ],
    )
    def test_fresh_runs_come_before_recorded_ones(self, tmp_path, runs, edition):
        self.fill(tmp_path, runs, "some", fresh=["twitter2-b"])
        found = edition_runs(tmp_path, edition)
        assert [one.name for one in found] == ["twitter2-a", "twitter2-b"]
        assert [one.facts["made"] for one in found] == ["recorded", "fresh"]

    def test_fresh_runs_of_another_edition_are_not_its_own(self, tmp_path, runs):
        self.fill(tmp_path, runs, "other", fresh=["twitter2-b"])
        found = edition_runs(tmp_path, Edition("some", "x", {"runs": ["twitter2-b"]}))
        assert found[0].facts["made"] == "recorded"

    def test_a_run_that_is_nowhere_names_the_command_that_makes_it(self, tmp_path):
        edition = Edition("some", "Anew", {}, Experiment("twitter2", ("a",)))
        told = "^no run twitter2-a, fresh or recorded: `arlib run some` makes it$"
        with pytest.raises(EditionError, match=told):
            edition_runs(tmp_path, edition)

    def test_a_column_that_is_missing_is_told_and_the_others_shown(self, tmp_path, runs, caplog):
        self.fill(tmp_path, runs, "some")
        edition = Edition("some", "x", {"runs": ["twitter2-a", "absent", "lost"]})
        assert [one.name for one in edition_runs(tmp_path, edition)] == ["twitter2-a"]
        told = "no run absent, lost, fresh or recorded: `arlib run some` makes it"
        assert caplog.messages == [f"a column is missing: {told}"]

    @pytest.mark.parametrize("parameters", [{}, {"runs": []}])
    def test_one_that_names_no_runs_has_no_table(self, tmp_path, parameters):
        with pytest.raises(EditionError, match=r"^edition some names no runs: give some with -p"):
            edition_runs(tmp_path, Edition("some", "x", parameters))

    def test_seeds_are_for_what_is_drawn(self, tmp_path):
        edition = Edition("some", "x", {"runs": ["twitter2-a"]})
        with pytest.raises(
            EditionError, match=r"^--seeds is for the synthetic scenes; some has pho"
        ):
            edition_runs(tmp_path, edition, seeds=range(2))

    def test_the_embedded_world_is_made_and_its_seeds_pooled(self, tmp_path, make_run, monkeypatch):
        made = []

        def runs_of(generator):
            def make(root, name):
                made.append((name, generator.seed))
                one = make_run(generator.seed, name, judged=name == "scenes-a")
                return write(root / str(generator.seed) / name, one, seed=generator.seed)

            return {name: lambda root, n=name: make(root, n) for name in ("scenes-a", "scenes-b")}

        monkeypatch.setattr("arlib.publishing.editions.runs_of", runs_of)
        edition = Edition("drawn", "Drawn", {}, SyntheticProtocol(seed=3))
        found = edition_runs(tmp_path, edition, seeds=range(2))
        assert sorted(made) == [(f"scenes-{run}", seed) for run in "ab" for seed in (3, 4)]
        assert [one.name for one in found] == ["scenes-a", "scenes-b"]
        assert [len(one.labels) for one in found] == [2 * N, 2 * N]
        assert [one.baselines is None for one in found] == [False, True]
