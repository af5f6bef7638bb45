"""Table 1: each number of a column beside a count by hand; columns split, pooled; the paper's."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binomtest

from arlib.evaluation.metrics import compare, evaluate, majority_rate
from arlib.evaluation.rows import CONTROL, REFERENCE, methods
from arlib.evaluation.runs import Run
from arlib.evaluation.significance import at_base_rate, holm, smallest_difference
from arlib.evaluation.tables import (
    BELOW,
    COLUMNS,
    CONSTANT,
    compare_rows,
    paper_table,
    table1,
)
from arlib.method import predict_labels

N, REGIONS = 60, 5
MEASURED = ("PCNN + VGGNet", "SentiBank", "VGGNet", "PCNN + CaffeNet")
LAST = "VGGNet + ft + obj + senti + lf (K)"
GONE = {
    "DeepSentiBank": "no adjective-noun pairs here",
    "VGGNet + ft + obj + senti + ff (K = 1)": "not measured in this run",
}
MARKED = {"SentiBank": BELOW, "PCNN + CaffeNet": CONSTANT}
PREDICTED = [method.name for method in methods() if method.name not in GONE]
LATE = [name for name in PREDICTED if "lf" in name]
TESTED = [name for name in PREDICTED if name not in (REFERENCE, CONTROL, *MARKED)]
ROWS = {method.name: method for method in methods()}


def column(run, rows=None, **settings):
    """The table of a run that is one column, whatever its annotators agreed on."""
    baselines = (
        None if run.baselines is None else run.baselines.drop_vars("agreement", errors="ignore")
    )
    (table,) = table1([replace(run, baselines=baselines)], rows, **settings).values()
    return table


@pytest.fixture(scope="module")
def make_run(make_scores):
    def make(seed=0, name="random", n=N):
        """Scores that lean to the label; rows: mostly right, mostly wrong, leaning, constant."""
        scores = make_scores(n, REGIONS, seed=seed)
        scores["label"] = ("image", (np.arange(n) // 5 % 2).astype(np.int8))  # both in each fold
        leaning = 0.75 * scores.global_probability + 0.25 * np.eye(2)[scores.label.values]
        scores["global_probability"] = leaning.astype(np.float32)
        unsure = scores.global_probability.values.max(-1) < 0.6
        scores.label[np.flatnonzero(unsure)[0]] = scores.label[17] = -1
        rng = np.random.default_rng(seed + 100)
        measured = rng.dirichlet([1, 1], (len(MEASURED), n))
        truth = np.maximum(scores.label.values, 0)
        for row, share in enumerate((0.9, 0.05)):
            label = np.where(rng.random(n) < share, truth, 1 - truth)
            measured[row] = np.where(np.eye(2)[label], 0.8, 0.2)
        measured[2] = 0.7 * measured[2] + 0.3 * np.eye(2)[truth]
        measured[3] = [0.5, 0] + measured[2] / 2
        baselines = xr.Dataset(
            {
                "probability": (("method", "image", "emotion"), measured.astype(np.float32)),
                "agreement": ("image", rng.integers(3, 6, n)),
            },
            coords={"method": np.array(MEASURED, object), "image": scores.image.values},
            attrs={"missing": {"DeepSentiBank": GONE["DeepSentiBank"]}},
        )
        return Run(name, scores, baselines, {"seed": seed})

    return make


@pytest.fixture(scope="module")
def run(make_run):
    return make_run()


@pytest.fixture(scope="module")
def table(run):
    return column(run)


def predictions(run, name):
    """(predicted label, true label, fold) of every image whose label is known."""
    predicted = ROWS[name].predict(run).response.argmax(-1).tolist()
    images = zip(predicted, run.labels.tolist(), run.folds.tolist(), strict=True)
    return [image for image in images if image[1] >= 0]


def mean_over_folds(images):
    folds = sorted({fold for *_, fold in images})
    rates = []
    for fold in folds:
        hits = [predicted == label for predicted, label, where in images if where == fold]
        rates.append(sum(hits) / len(hits))
    return sum(rates) / len(rates)


def test_a_column_has_the_papers_rows_and_all_its_numbers(table):
    assert table.index.tolist() == [*paper_table().index, "DeepSentiBank", CONTROL]
    assert table.index.name == "method"
    assert table.columns.tolist() == COLUMNS


@pytest.mark.parametrize("name", PREDICTED)
def test_accuracy_is_the_mean_over_folds_within_its_interval(run, table, name):
    row = table.loc[name]
    assert row.accuracy == pytest.approx(mean_over_folds(predictions(run, name)))
    assert row.low < row.accuracy < row.high


def test_more_images_make_a_narrower_interval(make_run, table):
    many = column(make_run(n=16 * N), [ROWS[REFERENCE]]).loc[REFERENCE]
    few = table.loc[REFERENCE]
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.3)


def shares_of(run, name):
    response = ROWS[name].predict(run).response
    return response / response.sum(-1, keepdims=True)


@pytest.mark.parametrize("name", PREDICTED)
def test_the_numbers_are_those_of_evaluate(run, table, name):
    row, numbers = table.loc[name], evaluate(shares_of(run, name), run.labels, folds=run.folds)
    assert row.images == len(predictions(run, name)) == (run.labels >= 0).sum()
    assert row.majority == majority_rate(run.labels, run.folds)
    for metric, names in {
        "accuracy": ["accuracy", "low", "high"],
        "balanced_accuracy": ["balanced_accuracy", "balanced_low", "balanced_high"],
        "auc": ["auc", "auc_low", "auc_high"],
    }.items():
        expected = numbers.loc[metric, ["estimate", "low", "high"]]
        np.testing.assert_allclose(row[names].astype(float), expected)


@pytest.mark.parametrize("name", [name for name in PREDICTED if name != REFERENCE])
def test_the_gains_are_those_of_compare(run, table, name):
    shares = [shares_of(run, each) for each in (REFERENCE, name)]
    numbers = compare(*shares, run.labels, folds=run.folds)
    for metric, head in {"accuracy": "", "balanced_accuracy": "balanced_", "auc": "auc_"}.items():
        names = [f"{head}gain", f"{head}gain_low", f"{head}gain_high"]
        expected = numbers.loc[metric, ["difference", "low", "high"]]
        np.testing.assert_allclose(table.loc[name, names].astype(float), expected)
    tested = name != CONTROL and name not in MARKED
    assert np.isnan(table.auc_p[name]) == (name in (CONTROL, "SentiBank"))
    if tested:
        assert table.auc_p[name] == numbers.p["auc"]


def test_a_row_of_one_label_and_one_below_chance_are_marked_and_not_tested(table):
    assert table["mark"].to_dict() == dict.fromkeys(table.index, "") | MARKED
    assert table.auc["SentiBank"] < 0.5
    assert table.loc[list(MARKED), ["p", "p_holm", "tests", "matched_p"]].isna().sum().tolist() == [
        *(2, 2, 2, 1)
    ]
    assert not np.isnan(table.auc_p["PCNN + CaffeNet"]), "its order is no constant"


@pytest.mark.parametrize(("shares", "tests"), [([0.9, 0.1], 0), ([0.2, 0.1], 0)])
def test_where_the_reference_is_marked_no_accuracy_is_tested(run, shares, tests):
    """Always positive, whatever is predicted; or a network that is wrong."""
    lean = np.where(run.labels[:, None] == [0, 1], shares[1], shares[0])
    lean = [0.8, 0.0] + lean / 10 if shares[0] == 0.9 else lean
    lean = (lean / lean.sum(-1, keepdims=True)).astype(np.float32)
    scores = run.scores.assign(global_probability=(("image", "emotion"), lean))
    table = column(Run("marked", scores, run.baselines))
    assert table["mark"][REFERENCE] in (CONSTANT, BELOW)
    assert table.p.isna().all()


def test_the_control_is_measured_and_not_tested(table):
    control, reference = table.loc[CONTROL], table.loc[REFERENCE]
    assert control.auc == pytest.approx(reference.auc), "of the same order in each fold"
    assert control.accuracy != reference.accuracy
    assert np.isnan(control.p)
    assert control.corrected + control.degraded > 0


def test_at_matched_thresholds_the_labels_are_compared_again(run, table):
    known = run.labels >= 0
    truth, folds = run.labels[known], run.folds[known]
    before = at_base_rate(shares_of(run, REFERENCE)[known, 0], truth, folds)
    after = at_base_rate(shares_of(run, LAST)[known, 0], truth, folds)
    corrected = int(((before != truth) & (after == truth)).sum())
    degraded = int(((before == truth) & (after != truth)).sum())
    row = table.loc[LAST]
    assert (row.matched_corrected, row.matched_degraded) == (corrected, degraded)
    assert corrected + degraded > 0
    assert row.matched_p == pytest.approx(binomtest(corrected, corrected + degraded).pvalue)


def test_inner_heads_match_the_thresholds(make_scores):
    run = Run("nested", make_scores(60, 4, seed=6, inner=True))
    known = run.labels >= 0
    truth, folds = run.labels[known], run.folds[known]

    def matched(prediction, inner):
        def share(response):
            return (response[:, 0] / response.sum(-1))[known]

        without = (lambda fold: share(prediction.without(fold))) if inner else None
        return at_base_rate(share(prediction.response), truth, folds, without)

    rows = {method.name: method.predict(run) for method in methods()[4:6]}
    before, after = (matched(prediction, True) != truth for prediction in rows.values())
    row = table1([run])["nested"].loc[list(rows)[1]]
    assert row.matched_corrected == (before & ~after).sum()
    assert row.matched_degraded == (~before & after).sum()
    assert any((matched(p, True) != matched(p, False)).any() for p in rows.values())


def test_the_detectable_gain_is_of_as_many_images_that_differ(table):
    row = table.loc[LAST]
    share = (row.corrected + row.degraded) / row.images
    assert row.detectable == smallest_difference(int(row.images), share)


@pytest.mark.parametrize("name", [name for name in PREDICTED if name != REFERENCE])
def test_what_changed_is_counted_image_by_image_and_tested(run, table, name):
    changed = corrected = degraded = 0
    before, after = predictions(run, REFERENCE), predictions(run, name)
    for (old, label, _), (new, *_) in zip(before, after, strict=True):
        changed += old != new
        corrected += old != label == new
        degraded += old == label != new
    row = table.loc[name]
    assert [row.changed, row.corrected, row.degraded] == [changed, corrected, degraded]
    n = corrected + degraded
    expected = binomtest(corrected, n).pvalue if n else 1
    if name in TESTED:
        assert row.p == pytest.approx(expected)
    else:
        assert np.isnan(row.p)


def test_holms_p_is_over_the_columns_rows(table):
    """Smallest first: times the number not yet taken, never less than the one before."""
    p = table.p.dropna().sort_values(kind="stable")
    assert sorted(p.index) == sorted(TESTED)
    assert (table.tests.dropna() == len(TESTED)).all()
    assert (table.auc_tests.dropna() == len(TESTED) + 1).all(), "and the constant row"
    before = 0.0
    for place, (name, value) in enumerate(p.items()):
        before = max(before, min(1.0, value * (len(p) - place)))
        assert table.p_holm[name] == pytest.approx(before)
    assert table.p_holm["PCNN + VGGNet"] < 0.05, "a row that is right much more often differs"
    assert table.p_holm[LAST] > 0.05


@pytest.mark.parametrize("beta", [0.5, 0.2, 0.0])
def test_a_label_can_change_where_the_full_image_is_not_sure(run, beta):
    """Of two emotions, where the greater probability is less than (1 + beta) / 2."""
    table = column(run, beta=beta)
    known = run.labels >= 0
    sure = run.scores.global_probability.values.max(-1)
    unsure = int((sure < (1 + beta) / 2)[known].sum())
    assert 0 < int((sure < 0.6)[known].sum()) < int((sure < 0.75)[known].sum()) < known.sum()
    assert table.could[LATE].tolist() == [unsure] * len(LATE)
    assert (table.changed[LATE] <= table.could[LATE]).all()
    assert table.could.drop(LATE).isna().all()


def test_the_last_row_notes_its_ks_and_what_picking_would_give(run, table):
    row, prediction = table.loc[LAST], ROWS[LAST].predict(run)
    assert row.note == prediction.note
    assert (row.picked_k, row.picked) == prediction.picked
    assert row.picked >= row.accuracy


def test_a_row_that_is_not_available_is_nan_and_notes_the_reason(table):
    for name, reason in GONE.items():
        assert table.loc[name].drop(["note", "mark"]).isna().all()
        assert table.note[name] == reason


def test_no_other_number_is_missing(table):
    """Only late fusion has a bound, only the last row a K, and the reference no comparison."""
    rows = table.loc[PREDICTED]
    tests = [f"{of}p{over}" for of in ("", "auc_") for over in ("", "_holm", "_columns")]
    tests += ["tests", "auc_tests", "matched_corrected", "matched_degraded", "matched_p"]
    picked = ["picked_k", "picked"]
    gains = [name for name in COLUMNS if "gain" in name]
    compared = ["changed", "corrected", "degraded", "detectable", *gains]
    own = rows.drop(columns=[*tests, *compared, *picked, "could"])
    assert own.notna().all(axis=None)
    ranked_alike = ["auc_gain_low", "auc_gain_high"]
    assert rows.loc[CONTROL, compared].isna().drop(ranked_alike).sum() == 0
    assert rows[compared].drop([REFERENCE, CONTROL]).notna().all(axis=None)
    assert rows.loc[TESTED, tests].notna().all(axis=None)
    assert rows.loc[REFERENCE, [*tests, *compared]].isna().all()
    assert rows.loc[LATE, "could"].notna().all()
    assert rows.loc[LAST, picked].notna().all()
    assert rows[picked].drop(LAST).isna().all(axis=None)
    assert (rows.note.drop([LAST, CONTROL]) == "").all()


def test_a_row_that_predicts_what_the_reference_does_is_no_test(run):
    """As the network alone does where it was not fine-tuned."""
    facts = {"experiment": {"backbones": ["vgg_tiny"], "finetune_on": ["none"]}}
    table = column(Run("frozen", run.scores, run.baselines, facts))
    assert table.loc["VGGNet", "note"] == f"The same predictions as {REFERENCE}."
    assert table.loc["VGGNet", ["p", "p_holm", "auc_p", "detectable"]].isna().all()
    assert table.loc["VGGNet", ["changed", "gain", "auc_gain"]].tolist() == [0, 0, 0]
    assert (table.tests.dropna() == len(TESTED) - 1).all()


def test_over_columns_holms_p_is_over_those_that_test_the_row(make_run):
    runs = [make_run(seed, str(seed)) for seed in range(3)]
    runs = [Run(each.name, each.scores, each.baselines.drop_vars("agreement")) for each in runs]
    tables = table1(runs)
    for name in TESTED:
        for p in ("p", "auc_p"):
            own = [table.loc[name, p] for table in tables.values()]
            expected = holm(own)
            np.testing.assert_allclose(
                [table.loc[name, f"{p}_columns"] for table in tables.values()], expected
            )
    alone = column(runs[0])
    np.testing.assert_allclose(alone.p_columns[TESTED], alone.p[TESTED])


def test_images_without_a_label_count_nowhere(run, table):
    known = run.labels >= 0
    assert not known.all()
    alone = column(run.select(known, "known"))
    assert alone.equals(table)


def test_images_that_a_row_could_not_predict_are_left_out_of_that_row(run, table):
    unread = int(np.flatnonzero(run.labels >= 0)[0])
    measured = run.baselines.copy(deep=True)
    measured.probability[MEASURED.index("VGGNet"), unread] = np.nan
    gap = column(Run("gap", run.scores, measured))
    assert gap.images["VGGNet"] == gap.images[REFERENCE] - 1
    rest = run.select(np.arange(N) != unread, "rest")
    over = ["p_holm", "auc_p_holm"]
    own = [each.loc["VGGNet"].drop(over) for each in (gap, column(rest))]
    assert own[0].equals(own[1])
    others = [each.drop("VGGNet").drop(columns=over) for each in (gap, table)]
    assert others[0].equals(others[1])


def test_without_the_reference_row_nothing_is_compared(run):
    table = column(run, [ROWS["VGGNet"], ROWS[LAST]])
    assert table.index.tolist() == ["VGGNet", LAST]
    assert table.accuracy.notna().all()
    assert table[["p", "p_holm", "could", "changed"]].isna().all(axis=None)


def test_a_run_is_split_by_how_many_people_agreed(run):
    columns = run.columns()
    assert [column.name for column in columns] == [
        "random, five agree",
        "random, four agree",
        "random, three agree",
    ]
    agreement = run.baselines.agreement.values.tolist()
    keys = [column.scores.image.values.tolist() for column in columns]
    for least, selected in zip((5, 4, 3), keys, strict=True):
        images = zip(run.scores.image.values.tolist(), agreement, strict=True)
        assert selected == [key for key, people in images if people >= least]
    assert set(keys[0]) < set(keys[1]) < set(keys[2])
    assert len(keys[2]) == N


@pytest.mark.parametrize(
    ("least", "words"), [(5, ["five"]), (4, ["five", "four"]), (3, ["five", "four", "three"])]
)
def test_no_column_of_a_run_repeats_another(run, least, words):
    """Of images on which at least four agreed, those of at least three are the same."""
    subset = run.select(run.baselines.agreement.values >= least, "subset")
    assert [column.name for column in subset.columns()] == [f"subset, {n} agree" for n in words]


def test_a_run_of_one_annotator_is_one_column(run):
    bare = Run("bare", run.scores)
    unknown = Run("x", run.scores, run.baselines.drop_vars("agreement"))
    assert bare.columns() == [bare]
    assert unknown.columns() == [unknown]


@pytest.fixture(scope="module")
def seeds(make_run):
    return [make_run(seed, "scenes", n) for seed, n in ((1, 60), (2, 45))]


def test_pooled_runs_keep_every_fold_apart(seeds):
    pooled = Run.pool(seeds)
    assert (pooled.name, pooled.facts) == ("scenes", {"seed": 1})
    own = [set(pooled.folds[:60].tolist()), set(pooled.folds[60:].tolist())]
    assert [len(folds) for folds in own] == [5, 5]
    assert not own[0] & own[1]
    for folds, run in zip((pooled.folds[:60], pooled.folds[60:]), seeds, strict=True):
        together = folds[:, None] == folds  # of every two images, whether they share a fold
        np.testing.assert_array_equal(together, run.folds[:, None] == run.folds)
    assert len(set(pooled.scores.image.values.tolist())) == 105


def test_a_pooled_accuracy_is_the_mean_over_all_folds_of_all_runs(seeds):
    tables = [column(run) for run in (Run.pool(seeds), *seeds)]
    alone = [name for name in PREDICTED if name not in (LAST, CONTROL)]  # which choose by fold
    pooled, first, second = (table.accuracy[alone] for table in tables)
    np.testing.assert_allclose(pooled, (first + second) / 2)
    known = sum(int((run.labels >= 0).sum()) for run in seeds)
    assert (tables[0].images[alone] == known).all()
    assert tables[0].note[LAST].endswith(" in folds 0 to 9")


def test_pooled_runs_split_by_agreement_like_one(seeds):
    alone = [run.columns() for run in seeds]
    for pooled, one, other in zip(Run.pool(seeds).columns(), *alone, strict=True):
        assert pooled.labels.tolist() == [*one.labels.tolist(), *other.labels.tolist()]


def test_one_run_is_its_own_pool(run):
    assert Run.pool([run]) is run


@pytest.mark.parametrize("bare", [0, 1])
def test_rows_that_one_of_the_runs_lacks_are_not_available(seeds, bare):
    runs = list(seeds)
    runs[bare] = Run("scenes", seeds[bare].scores)
    table = column(Run.pool(runs))
    assert table.loc[list(MEASURED), "accuracy"].isna().all()
    assert table.loc["VGGNet", "note"] == "not measured in this run: it holds scores alone"
    alone = [column(run, [ROWS[REFERENCE]]).accuracy.item() for run in seeds]
    assert table.accuracy[REFERENCE] == pytest.approx(np.mean(alone))


def test_pooled_runs_without_folds_are_a_fold_each(seeds):
    unfolded = [
        Run("x", run.scores.assign(fold=run.scores.fold * 0 - 1), run.baselines) for run in seeds
    ]
    assert Run.pool(unfolded).folds.tolist() == [0] * 60 + [1] * 45


def test_an_image_that_is_in_no_fold_is_in_none_of_a_pool(seeds):
    scores = seeds[1].scores.copy(deep=True)
    scores.fold[3] = -1
    pooled = Run.pool([seeds[0], Run("x", scores, seeds[1].baselines)])
    assert np.flatnonzero(pooled.folds < 0).tolist() == [63]


class TestThePaper:
    def test_every_accuracy_is_what_the_paper_prints(self):
        """Line by line, from the paper's own text where it is at hand."""
        path = Path(__file__).parents[3] / "shared" / "paper.txt"
        if not path.is_file():
            pytest.skip("the paper's text is not beside this checkout")
        text = path.read_text()
        lines = text[text.index("SentiBank [1] 71.02") :].splitlines()[:10]
        table = paper_table()
        assert table.shape == (10, 5)
        for line, (name, row) in zip(lines, table.iterrows(), strict=True):
            assert line.startswith(name)
            assert re.findall(r"\d+\.\d\d", line) == [f"{100 * value:.2f}" for value in row]
        ks = [int(k) for k in re.findall(r"\((\d+)\)", lines[-1])]
        assert ks == list(table.attrs["k"].values())

    def test_the_columns_are_its_five_datasets(self):
        assert paper_table().columns.tolist() == [
            "Twitter I, five agree",
            "Twitter I, four agree",
            "Twitter I, three agree",
            "Twitter II",
            "Flickr",
        ]

    def test_its_best_row_is_the_last(self):
        table = paper_table()
        assert (table.idxmax() == LAST).all()
        assert list(table.attrs["k"].values()) == [11, 13, 11, 7, 12]
        assert "ICME 2016" in table.attrs["source"]

    def test_the_majority_lines_are_those_of_the_counted_labels(self):
        majority = paper_table().attrs["majority"]
        assert list(majority) == paper_table().columns.tolist()
        lines = [round(100 * rate, 1) for rate in majority.values() if not math.isnan(rate)]
        assert lines == [65.9, 61.7, 60.6, 77.9]
        assert math.isnan(majority["Flickr"])
        assert majority["Twitter II"] == 470 / 603

    def test_seven_of_ten_numbers_of_twitter_2_lie_two_points_below_the_line(self):
        table = paper_table()
        below = 100 * (table.attrs["majority"]["Twitter II"] - table["Twitter II"])
        assert (below >= 2).sum() == 7
        assert below[below < 2].index.tolist() == [
            "VGGNet + ft + senti + lf (K = 1)",
            "VGGNet + ft + obj + senti + lf (K = 1)",
            LAST,
        ]


def test_three_emotions_are_also_a_column_of_polarity_and_two_are_not(make_scores):
    for emotions, names in {
        ("joy", "fear", "anger"): ["roi, polarity", "roi"],
        ("joy", "fear"): ["roi"],
        ("cat", "dog", "bird"): ["roi"],
    }.items():
        scores = make_scores(6, 2, len(emotions)).assign_coords(emotion=list(emotions))
        assert [column.name for column in Run("roi", scores).columns()] == names


def test_several_emotions_are_also_a_column_of_polarity(make_scores):
    names = ["anger", "disgust", "fear", "joy", "sadness", "surprise"]
    scores = make_scores(N, REGIONS, n_emotions=6).assign_coords(emotion=np.array(names, object))
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(6), (1, N)).astype(np.float32)
    crops = rng.dirichlet(np.ones(6), (1, N, 3)).astype(np.float32)
    measured = xr.Dataset(
        {
            "probability": (("method", "image", "emotion"), probability),
            "control_probability": (("control", "image", "rank", "emotion"), crops),
        },
        {"method": ["SentiBank"], "control": ["grid"], "emotion": np.array(names, object)},
        {"missing": {}},
    )
    for baselines in (None, measured, measured.drop_vars("emotion")):
        polarity, emotions = Run("roi", scores, baselines).columns()
        assert (polarity.name, emotions.name) == ("roi, polarity", "roi")
        assert polarity.scores.emotion.values.tolist() == ["positive", "negative"]
        assert emotions.scores is scores
    joyful = [3, 5]
    np.testing.assert_allclose(
        polarity.baselines.probability[0, :, 0], probability[0][:, joyful].sum(-1), rtol=1e-6
    )
    np.testing.assert_allclose(
        polarity.baselines.control_probability[..., 0], crops[..., joyful].sum(-1), rtol=1e-6
    )
    assert polarity.baselines.attrs == {"missing": {}}
    truth, right = polarity.labels, probability[0][:, joyful].sum(-1) > 0.5
    known = truth >= 0
    tables = table1([emotions])
    assert list(tables) == ["roi, polarity", "roi"]
    table = tables["roi, polarity"]
    hits = (right == (truth == 0))[known]
    folds = scores.fold.values[known]
    expected = np.mean([hits[folds == fold].mean() for fold in range(5)])
    assert table.accuracy["SentiBank"] == pytest.approx(expected)
    assert np.isfinite(tables["roi"].accuracy[LAST])  # in six emotions too


@pytest.mark.parametrize(
    "names", [["cat", "dog", "cow"], ["awe", "joy", "amusement"], ["positive", "x", "negative"]]
)
def test_emotions_of_no_stated_polarity_are_one_column(make_scores, names):
    scores = make_scores(4, 2, n_emotions=3).assign_coords(emotion=np.array(names, object))
    run = Run("roi", scores)
    assert run.columns() == [run]


def test_every_run_fills_its_columns_once(run, make_scores):
    bare = Run("bare", make_scores(20, 3))
    tables = table1([run, bare])
    expected = [*(f"random, {n} agree" for n in ("five", "four", "three")), "bare"]
    assert list(tables) == expected
    assert tables["bare"].equals(column(bare))
    with pytest.raises(ValueError, match=r"^two columns are called bare: use --compare"):
        table1([bare, bare])


@pytest.fixture(scope="module")
def named(make_run):
    runs = (make_run(seed, f"twitter2-{seed}") for seed in (0, 1))
    return [
        replace(run, dataset="Twitter II", baselines=run.baselines.drop_vars("agreement"))
        for run in runs
    ]


@pytest.fixture(scope="module")
def paired(named):
    others = [name for name in ROWS if name not in (REFERENCE, CONTROL)]
    pairs = {name: (REFERENCE, name) for name in others} | {"back": (LAST, REFERENCE)}
    return compare_rows(named, pairs)


class TestPairsOfRows:
    """Any two rows, compared as Table 1 compares each with "VGGNet + ft"."""

    def test_against_the_reference_they_are_the_numbers_of_the_table(self, named, paired):
        tables = table1(named)
        same = [name for name in COLUMNS if name in paired.columns and "holm" not in name]
        for (name, place), row in paired.iterrows():
            if name == "back":
                continue
            table = tables[place].loc[name]
            for number in same[:-1]:
                np.testing.assert_equal(row[number], table[number], err_msg=f"{name}, {number}")
            if not np.isnan(row.other):
                assert row.other == table.accuracy
                assert row.one == tables[place].accuracy[REFERENCE]
                np.testing.assert_equal(row.p_holm, table.p_columns)
        assert (paired.title == "Twitter II").all()

    def test_the_other_way_round_the_gain_changes_its_sign(self, paired):
        there, back = paired.loc[LAST], paired.loc["back"]
        np.testing.assert_allclose(back.gain, -there.gain)
        np.testing.assert_allclose(back.gain_low, -there.gain_high, atol=1e-9)
        np.testing.assert_allclose(back.p, there.p)
        assert back.corrected.tolist() == there.degraded.tolist()

    def test_a_row_that_is_missing_has_its_reason_and_the_papers_gain(self, paired):
        row = paired.loc["DeepSentiBank"].iloc[0]
        assert row.note == f"DeepSentiBank: {GONE['DeepSentiBank']}"
        assert np.isnan([row.gain, row.p_holm, row.paper]).all()
        paper = paper_table()["Twitter II"]
        row = paired.loc["SentiBank"].iloc[0]
        assert row.paper == paper["SentiBank"] - paper[REFERENCE]
        assert np.isnan(row.p), "its AUC is below 0.5"

    def test_rows_of_ones_own_such_as_a_fixed_k(self, named):
        (fixed,) = [row for row in methods(ks=[3]) if row.name == LAST]
        rows = [*methods(), replace(fixed, name="K = 3")]
        table = compare_rows(named[:1], {"three": (REFERENCE, "K = 3")}, rows)
        run = named[0]
        response = predict_labels(run.scores, 3).probability.values
        known = run.labels >= 0
        right = (response.argmax(-1) == run.labels)[known]
        shares = [right[run.folds[known] == fold].mean() for fold in np.unique(run.folds)]
        assert table.other.item() == pytest.approx(np.mean(shares))
        with pytest.raises(KeyError, match="K = 4"):
            compare_rows(named, {"four": (REFERENCE, "K = 4")}, rows)
