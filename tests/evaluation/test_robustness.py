"""One setting changed at a time: each row beside Algorithm 1 with that setting, and loops."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st

from arlib.evaluation.boxes import box_iou
from arlib.evaluation.metrics import compare
from arlib.evaluation.robustness import overlap, redundancy, sensitivity
from arlib.evaluation.runs import Run
from arlib.evaluation.significance import fold_differences, fold_means
from arlib.method import RULE_2018, affective_regions, predict_labels

N, REGIONS = 60, 24
DEFAULT = {"k": 4, "alpha": 1.0, "beta": 0.5, "base": "e"}
OTHER = {"k": 3, "alpha": 0.3, "beta": 1.5, "base": 2}


@pytest.fixture(scope="module")
def run(make_scores):
    scores = make_scores(N, REGIONS, seed=6)
    scores.label[[5, 17]] = -1
    return Run("random", scores)


@pytest.fixture(scope="module")
def scored_otherwise(make_scores):
    """Scores of the same images with regions and predictions of their own."""
    return make_scores(N, REGIONS, seed=7)


@pytest.fixture(scope="module")
def others(scored_otherwise):
    """In another order, and with an image that the run lacks."""
    order = np.random.default_rng(0).permutation(N)
    more = scored_otherwise.isel(image=[0]).assign_coords(image=["elsewhere.jpg"])
    together = xr.concat([scored_otherwise.isel(image=order), more], "image", join="outer")
    return {"other crops": together}


def measured(run, settings=DEFAULT, others=None):
    return sensitivity(run, **settings, others=others)


@pytest.fixture(scope="module")
def table(run, others):
    return measured(run, others=others)


def rescaled(scores, how):
    """Each image's objectness brought to [0, 1], by hand."""
    rows = []
    for values in scores.objectness.values.tolist():
        known = [v for v in values if v == v]
        if how == "minmax":
            low, spread = min(known, default=0), max(known, default=0) - min(known, default=0)
            rows.append([(v - low) / spread if spread else v * 0 + 1 for v in values])
        else:
            rows.append(
                [v * 0 + 1 - sum(w > v for w in known) / max(len(known), 1) for v in values]
            )
    objectness = np.array(rows, np.float32)
    return scores.assign(objectness=(("image", "region"), objectness))


def rows_by_hand(scores, settings):
    """Name of a row -> the scores and settings of Algorithm 1."""
    k, alpha, beta = settings["k"], settings["alpha"], settings["beta"]
    rows = {
        f"as set: K = {k}, alpha = {alpha:g}, beta = {beta:g}": (scores, {}),
        "Eq. 1 with the logarithm to base M": (scores, {"base": "classes"}),
        "objectness min-max in each image": (rescaled(scores, "minmax"), {}),
        "objectness by rank in each image": (rescaled(scores, "rank"), {}),
        "N = 10 best proposals": (scores.isel(region=slice(10)), {}),
        "N = 20 best proposals": (scores.isel(region=slice(20)), {}),
    }
    rows |= {f"alpha = {value:g}": (scores, {"alpha": value}) for value in (0, 0.1, 10)}
    rows |= {f"beta = {value:g}": (scores, {"beta": value}) for value in (0.25, 1, 2)}
    rows = {name: (source, {**settings, **changed}) for name, (source, changed) in rows.items()}
    return {**rows, f"rule of 2018, K = {k}": (scores, {**RULE_2018, "k": k})}


def by_hand(scores, global_labels, fused):
    """A row's numbers from two labels an image: loops over folds and images."""
    hits = {}
    changed = corrected = degraded = 0
    for fold, truth, before, after in zip(
        scores.fold.values.tolist(), scores.label.values.tolist(), global_labels, fused, strict=True
    ):
        if truth >= 0:
            hits.setdefault(fold, []).append((before == truth, after == truth))
            changed += before != after
            corrected += before != after and after == truth
            degraded += before != after and before == truth
    before, after = np.mean([np.mean(of, axis=0) for of in hits.values()], axis=0)
    return {
        "full_image": before,
        "fused": after,
        "gain": after - before,
        "changed": changed,
        "corrected": corrected,
        "degraded": degraded,
    }


def check(row, expected):
    np.testing.assert_allclose(row[list(expected)].astype(float), list(expected.values()))


def global_labels(scores):
    return scores.global_probability.values.argmax(-1).tolist()


@pytest.mark.parametrize("settings", [DEFAULT, OTHER])
def test_each_row_is_algorithm_1_with_one_setting_changed(run, settings):
    scores = run.scores
    table = measured(run, settings)
    rows = rows_by_hand(scores, settings)
    for name, (source, changed) in rows.items():
        fused = predict_labels(source, **changed).label.values.tolist()
        check(table.loc[name], by_hand(scores, global_labels(scores), fused))
    assert table.index.tolist() == list(rows)


def test_settings_change_predictions(table):
    """Else a row that ignores its setting would pass unseen."""
    assert table.fused.nunique() > 4
    assert table.same.nunique() > 4


@pytest.mark.parametrize("settings", [DEFAULT, OTHER])
def test_same_is_the_share_of_the_defaults_regions(run, settings):
    known = run.scores.isel(image=run.labels >= 0)
    rows = rows_by_hand(known, settings)

    def chosen(source, changed):
        ranking = {name: changed[name] for name in changed if name not in ("beta", "fusion")}
        return affective_regions(source, **ranking).region.values.tolist()

    choices = {name: chosen(*row) for name, row in rows.items()}
    default, *_ = choices.values()
    same = measured(run, settings).same
    for name, choice in choices.items():
        shares = []
        for one, other in zip(default, choice, strict=True):
            one, other = set(one) - {-1}, set(other) - {-1}
            if one:
                shares.append(len(one & other) / len(one))
        assert same[name] == pytest.approx(np.mean(shares))
    assert same.iloc[0] == 1


def test_beta_changes_no_choice(table):
    assert (table.same[[f"beta = {value}" for value in ("0.25", "1", "2")]] == 1).all()


def test_the_full_image_is_the_same_whatever_is_done_to_its_regions(table):
    assert table.full_image.drop("other crops").nunique() == 1


def test_other_scores_are_aligned_by_the_images_keys(run, scored_otherwise, table):
    fused = predict_labels(scored_otherwise, **DEFAULT).label.values.tolist()
    expected = by_hand(run.scores, global_labels(scored_otherwise), fused)
    check(table.loc["other crops"], expected)
    assert np.isnan(table.same["other crops"])
    assert table.full_image["other crops"] != table.full_image.iloc[0]


def test_images_without_a_label_are_left_out(run, others, table):
    few = run.select(run.labels >= 0, "known")
    assert 0 < few.labels.size < N
    assert measured(few, others=others).equals(table)
    unlabelled = run.scores.assign(label=("image", np.full(N, -1, np.int8)))
    with pytest.raises(ValueError, match=r"^no image has a label$"):
        sensitivity(Run("unlabelled", unlabelled))


def test_an_interval_is_that_of_the_differences_between_right_and_wrong(run, table):
    known = run.labels >= 0
    truth = run.labels[known]
    before = np.array(global_labels(run.scores))[known] == truth
    after = predict_labels(run.scores, **{**DEFAULT, "beta": 2.0}).label.values[known] == truth
    expected = fold_differences(before, after, run.folds[known])
    row = table.loc["beta = 2"]
    assert (row.gain, row.low, row.high) == pytest.approx([float(v) for v in expected])
    assert row.low < row.high


def test_a_gain_of_each_metric_is_that_of_compare(run, table):
    fused = predict_labels(run.scores, **{**DEFAULT, "beta": 2.0}).probability
    full = run.scores.global_probability
    numbers = compare(full, fused, run.labels, folds=run.folds)
    for metric, head in {"accuracy": "", "balanced_accuracy": "balanced_", "auc": "auc_"}.items():
        row = table.loc["beta = 2", [f"{head}gain", f"{head}low", f"{head}high"]]
        np.testing.assert_allclose(
            row.astype(float), numbers.loc[metric, ["difference", "low", "high"]]
        )


@pytest.mark.parametrize(
    ("regions", "k", "expected"),
    [(24, 15, [20]), (24, 10, [10, 20]), (10, 4, []), (60, 8, [10, 20, 50])],
)
def test_fewer_proposals_are_at_least_k_and_less_than_all(make_scores, regions, k, expected):
    many = Run("many", make_scores(8, regions))
    names = [name for name in measured(many, {**DEFAULT, "k": k}).index if name.startswith("N =")]
    assert names == [f"N = {n} best proposals" for n in expected]


def test_the_full_image_as_the_mean_of_ten_crops(run, table):
    """Where a run measured the crops: theirs is the global prediction, the regions stay."""
    scores = run.scores
    rng = np.random.default_rng(1)
    crops = rng.dirichlet([1, 1], (2, N, 20)).astype(np.float32)  # (control, image, rank, emotion)
    crops[1, :, 10:] = np.nan
    probability = xr.DataArray(
        crops,
        dims=("control", "image", "rank", "emotion"),
        coords={"control": ["grid", "ten-crop"], "image": scores.image.values},
    )
    measured_too = Run("random", scores, baselines=xr.Dataset({"control_probability": probability}))
    row = measured(measured_too).loc["full image as the mean of ten crops"]
    assert "full image as the mean of ten crops" not in table.index
    known = np.flatnonzero(scores.label.values >= 0)
    folds, hits = scores.fold.values, []
    for i in known:
        mean = [sum(float(c[e]) for c in crops[1, i, :10]) / 10 for e in (0, 1)]
        hits.append(float(int(mean[1] > mean[0]) == scores.label.values[i]))
    expected, _, _ = fold_means(np.array(hits), folds[known])
    assert row["full_image"] == pytest.approx(float(expected))
    assert row["same"] == 1


@st.composite
def choices(draw):
    """Indices without repeats, -1 behind them, of two rules on the same images."""
    k, n = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    regions = st.lists(st.integers(0, 7), max_size=k, unique=True)
    images = st.lists(regions.map(lambda r: r + [-1] * (k - len(r))), min_size=n, max_size=n)
    return np.array(draw(images)), np.array(draw(images))


@given(choices())
def test_the_overlap_is_that_of_sets(case):
    shares = []
    for one, other in zip(*(rule.tolist() for rule in case), strict=True):
        one, other = set(one) - {-1}, set(other) - {-1}
        if one and other:
            shares.append(len(one & other) / min(len(one), len(other)))
    if not shares:
        with pytest.raises(ValueError, match=r"^no image has a region$"):
            overlap(*case)
        return
    assert overlap(*case) == pytest.approx(np.mean(shares))
    assert overlap(*case[::-1]) == overlap(*case)


def test_an_overlap_needs_one_shape():
    with pytest.raises(ValueError, match=r"^both must have one shape, not \(1, 2\) and \(1, 3\)$"):
        overlap(np.zeros((1, 2), int), np.zeros((1, 3), int))


def test_an_overlap_of_more_regions_than_there_are_takes_little_memory():
    rule = np.full((600, 10_000), -1)
    rule[:, :2] = [0, 1]
    assert overlap(rule, np.roll(rule, 3, axis=1)) == 1


class TestRedundancy:
    def test_counts_the_best_regions_that_a_better_one_covers(self, run):
        """Image by image and region by region."""
        known = run.scores.isel(image=run.labels >= 0)
        regions = affective_regions(known, 5)
        best, dropped = 0, 0
        for index, boxes in zip(regions.region.values, regions.box.values, strict=True):
            stays = []
            for box in boxes[index >= 0].astype(float):
                covers = any(box_iou([box], [other])[0, 0] > 0.2 for other in stays)
                best, dropped = best + 1, dropped + covers
                stays += [] if covers else [box]
        row = redundancy(run, k=5, iou=0.2)
        assert dropped > 5
        assert row.redundant == pytest.approx(dropped / best)

    def test_compares_the_predictions_of_the_same_images(self, run):
        known = run.labelled()
        shares = [
            predict_labels(known.scores, 3, alpha=0.3, beta=1.5, nms=nms).probability
            for nms in (None, 0.1)
        ]
        table = compare(*(share.values for share in shares), known.labels, folds=known.folds)
        row = redundancy(run, k=3, iou=0.1, alpha=0.3, beta=1.5)
        for metric, names in {
            "accuracy": ["fused", "suppressed", "gain", "low", "high", "p"],
            "auc": ["auc", "auc_suppressed", "auc_gain", "auc_low", "auc_high", "auc_p"],
        }.items():
            expected = table.loc[metric, ["one", "other", "difference", "low", "high", "p"]]
            np.testing.assert_array_equal(row[names].values, expected.astype(float))
        labels = [share.values.argmax(-1) for share in shares]
        assert row.changed == (labels[0] != labels[1]).sum() > 0
        net = [(each == known.labels).sum() for each in labels]
        assert row.corrected - row.degraded == net[1] - net[0]

    def test_where_nothing_overlaps_that_much_nothing_changes(self, run):
        row = redundancy(run, iou=1.0)
        assert (row.redundant, row.changed, row.gain, row.auc_gain) == (0, 0, 0, 0)

    def test_without_a_region_there_is_nothing_to_count(self, make_scores):
        scores = make_scores(20, 3, missing=False)
        for name in ("objectness", "region_probability", "box"):
            scores[name][:] = np.nan
        with pytest.raises(ValueError, match="no image has a region"):
            redundancy(Run("none", scores))
