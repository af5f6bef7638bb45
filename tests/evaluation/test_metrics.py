import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st
from scipy import special, stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from arlib.evaluation.metrics import compare, evaluate, known_images, majority_rate
from arlib.evaluation.significance import fold_differences, fold_means, mcnemar


def predictions(n, m, seed=0, digits=1):
    """Distributions rounded, so that ties are common, with labels that they help to guess."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(m), n).round(digits)
    noisy = probability + rng.uniform(0, 0.7, probability.shape)
    labels = noisy.argmax(-1)
    labels[:m] = np.arange(m)
    return probability, labels


def by_sklearn(probability, labels):
    """The three metrics, from scikit-learn; AUC as it takes it: emotion 0, or each against all."""
    m = probability.shape[1]
    predicted = probability.argmax(-1)
    areas = [roc_auc_score(labels == c, probability[:, c]) for c in range(1 if m == 2 else m)]
    accuracy = accuracy_score(labels, predicted)
    return [accuracy, balanced_accuracy_score(labels, predicted), np.mean(areas)]


def measured_by_fold(probability, labels, folds):
    """The three metrics, by scikit-learn in each fold, averaged; recalls emotion by emotion."""
    of_folds = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    m = probability.shape[1]
    hit = probability.argmax(-1) == labels
    accuracy = np.mean([hit[f].mean() for f in of_folds])
    recalls = [
        np.mean([hit[f][labels[f] == c].mean() for f in of_folds if (labels[f] == c).any()])
        for c in range(m)
    ]
    areas = [
        by_sklearn(probability[f], labels[f])[2] for f in of_folds if np.unique(labels[f]).size == m
    ]
    return [accuracy, np.mean(recalls), np.mean(areas)]


@settings(max_examples=20)
@given(st.integers(2, 3), st.integers(1, 4), st.integers(0, 999))
def test_each_metric_is_measured_in_a_fold_and_averaged_over_folds(m, n_folds, seed):
    probability, labels = predictions(60, m, seed)
    folds = np.random.default_rng(seed).integers(n_folds, size=60)
    folds[:m] = 0  # which has every emotion; others may lack one
    table = evaluate(probability, labels, folds=folds)
    np.testing.assert_allclose(table.estimate, measured_by_fold(probability, labels, folds))
    assert (table.estimate.to_numpy() >= table.low.fillna(0)).all()
    assert (table.estimate.to_numpy() <= table.high.fillna(1)).all()
    assert table.majority["accuracy"] == majority_rate(labels, folds)


def delong(shares, positive):
    """Areas and their covariance, from every pair of images (DeLong et al. 1988, Eq. 3 to 6)."""
    areas, of_positive, of_negative = [], [], []
    for share in shares:
        won = np.array(
            [[(a > b) + (a == b) / 2 for b in share[~positive]] for a in share[positive]]
        )
        areas.append(won.mean())
        of_positive.append(won.mean(1))
        of_negative.append(won.mean(0))
    s10, s01 = np.cov(of_positive), np.cov(of_negative)
    return areas, s10 / positive.sum() + s01 / (~positive).sum()


def test_the_interval_of_the_auc_and_of_its_difference_are_delongs():
    (one, labels), (other, _) = predictions(60, 2), predictions(60, 2, seed=1)
    other = (one + 0.3 * other) / 1.3
    folds, z = np.arange(60) % 2, stats.norm.ppf(0.975)
    areas, variance = np.zeros(2), np.zeros((2, 2))
    for fold in (0, 1):
        own = folds == fold
        each, covariance = delong([one[own, 0], other[own, 0]], labels[own] == 0)
        areas, variance = areas + np.divide(each, 2), variance + covariance / 4
    row = evaluate(one, labels, folds=folds).loc["auc"]
    error = np.sqrt(variance[0, 0]) / (areas[0] * (1 - areas[0]))
    limits = special.expit(special.logit(areas[0]) + z * error * np.array([-1, 1]))
    np.testing.assert_allclose([row.estimate, row.low, row.high], [areas[0], *limits])
    row = compare(one, other, labels, folds=folds).loc["auc"]
    difference = areas[1] - areas[0]
    error = np.sqrt(variance[0, 0] + variance[1, 1] - 2 * variance[0, 1])
    np.testing.assert_allclose(
        row[["one", "other", "difference", "low", "high", "p"]].astype(float),
        [
            *areas,
            *(difference, difference - z * error, difference + z * error),
            2 * stats.norm.sf(abs(difference) / error),
        ],
    )


def test_of_three_emotions_the_variance_is_that_of_resamples():
    """The mean of three areas: an image counts in each, on one side or the other."""
    probability, labels = predictions(200, 3, digits=6)
    row = evaluate(probability, labels).loc["auc"]
    rng = np.random.default_rng(0)
    drawn = [by_sklearn(probability[i], labels[i])[2] for i in rng.integers(200, size=(100, 200))]
    width = 2 * 1.96 * np.std(drawn)
    assert row.high - row.low == pytest.approx(width, rel=0.2)


@pytest.mark.parametrize("m", [2, 3])
def test_balanced_accuracy_puts_the_intervals_of_its_shares_together(m):
    """From each limit and estimate, squared and added: Newcombe's MOVER."""
    (one, labels), (other, _) = predictions(80, m), predictions(80, m, seed=1)
    folds = np.arange(80) % 2
    for measure, table in {
        "own": evaluate(one, labels, folds=folds, confidence=0.9),
        "difference": compare(one, other, labels, folds=folds, confidence=0.9),
    }.items():
        parts = []
        for c in range(m):
            of = labels == c
            hits = [(p.argmax(-1) == labels)[of] for p in (one, other)]
            own = fold_means(hits[0], folds[of], confidence=0.9)
            apart = fold_differences(*hits, folds[of], confidence=0.9)
            parts.append(own if measure == "own" else apart)
        estimate, low, high = np.transpose(parts)
        row = table.loc["balanced_accuracy"]
        value = row.estimate if measure == "own" else row.difference
        assert value == pytest.approx(estimate.mean())
        assert row.low == pytest.approx(value - np.sqrt(((estimate - low) ** 2).sum()) / m)
        assert row.high == pytest.approx(value + np.sqrt(((high - estimate) ** 2).sum()) / m)


def test_a_comparison_is_of_the_two_evaluations():
    (one, labels), (other, _) = predictions(80, 2), predictions(80, 2, seed=1)
    labels[5:15] = -1
    folds = np.arange(80) % 3
    table = compare(one, other, labels, folds=folds)
    assert table.columns.tolist() == ["one", "other", "difference", "low", "high", "p"]
    for name, probability in {"one": one, "other": other}.items():
        own = evaluate(probability, labels, folds=folds).estimate
        np.testing.assert_allclose(table[name], own)
    np.testing.assert_allclose(table.difference, table.other - table.one)
    before, after = (p.argmax(-1) for p in (one, other))
    assert table.p["accuracy"] == mcnemar(before, after, labels)
    assert np.isnan(table.p["balanced_accuracy"])
    back = compare(other, one, labels, folds=folds)
    np.testing.assert_allclose(back[["low", "high"]], -table[["high", "low"]].to_numpy())


def test_predictions_that_rank_alike_have_no_interval_of_an_auc_that_does_not_differ():
    probability, labels = predictions(60, 2, digits=6)
    powered = probability**2 / (probability**2).sum(-1, keepdims=True)
    row = compare(probability, powered, labels).loc["auc"]
    assert row.difference == 0
    assert row[["low", "high", "p"]].isna().all()


@pytest.mark.parametrize("shares", [[0.9, 0.8, 0.2, 0.1], [0.5] * 4])
def test_an_auc_of_one_and_of_equal_shares_have_no_interval(shares):
    table = evaluate(np.stack([shares, np.subtract(1, shares)], -1), [0, 0, 1, 1])
    assert table.estimate["auc"] in (1.0, 0.5)
    assert table.loc["auc", ["low", "high"]].isna().all()
    assert table.low["accuracy"] < table.estimate["accuracy"], "the others have one"


@pytest.mark.parametrize("m", [2, 3])
def test_the_table(m):
    probability, labels = predictions(80, m)
    labels[5:15] = -1
    known = labels >= 0
    table = evaluate(probability, labels)
    assert table.index.tolist() == ["accuracy", "balanced_accuracy", "auc"]
    np.testing.assert_allclose(table.estimate, by_sklearn(probability[known], labels[known]))
    majority = [np.bincount(labels[known]).max() / 70, 1 / m, 0.5]
    np.testing.assert_allclose(table.majority, majority)
    assert set(table.images) == {70}
    assert set(table.unknown) == {10}
    assert (table.low < table.estimate).all()
    assert (table.estimate < table.high).all()


def test_the_auc_of_many_emotions_is_scikit_learns_macro_average():
    probability, labels = predictions(50, 3, digits=6)
    probability /= probability.sum(-1, keepdims=True)
    expected = roc_auc_score(labels, probability, multi_class="ovr", average="macro")
    assert evaluate(probability, labels).estimate["auc"] == pytest.approx(expected)


def test_always_predicting_the_majority_is_on_the_majority_line():
    labels = np.array([0] * 7 + [1] * 3)
    table = evaluate(np.tile([0.8, 0.2], (10, 1)), labels)
    np.testing.assert_array_equal(table.estimate, table.majority)


def test_always_predicting_the_majority_is_on_the_line_in_folds_of_any_size():
    labels, folds = np.array([0] * 7 + [1] * 4), np.array([0] * 5 + [1] * 4 + [2] * 2)
    table = evaluate(np.tile([0.8, 0.2], (11, 1)), labels, folds=folds)
    assert table.estimate["accuracy"] == table.majority["accuracy"] == (1 + 2 / 4 + 0) / 3


def test_more_confidence_is_wider():
    probability, labels = predictions(80, 2)
    narrow = evaluate(probability, labels, confidence=0.5)
    wide = evaluate(probability, labels, confidence=0.99)
    assert (wide.low < narrow.low).all()
    assert (wide.high > narrow.high).all()


def test_an_image_in_no_fold_is_left_out_and_where_all_are_there_is_one_fold():
    probability, labels = predictions(40, 2)
    folds = np.arange(40) % 4 - 1
    left_out = evaluate(probability, labels, folds=folds)
    rest = evaluate(probability[folds >= 0], labels[folds >= 0], folds=folds[folds >= 0])
    assert left_out.drop(columns="unknown").equals(rest.drop(columns="unknown"))
    assert set(left_out.unknown) == {10}
    assert evaluate(probability, labels, folds=[-1] * 40).equals(evaluate(probability, labels))


def test_an_emotion_without_images_leaves_only_accuracy():
    table = evaluate([[0.9, 0.1], [0.2, 0.8]], [0, 0])
    assert table.estimate["accuracy"] == 0.5
    assert (
        table.loc[["balanced_accuracy", "auc"], ["estimate", "low", "high"]].isna().all(axis=None)
    )


def test_dataarrays_go_by_name(make_scores):
    scores = make_scores(20, 3)
    expected = evaluate(scores.global_probability.values, scores.label.values)
    assert evaluate(scores.global_probability.T, scores.label).equals(expected)
    with pytest.raises(xr.AlignmentError):
        evaluate(scores.global_probability, scores.label[::2])


@pytest.mark.parametrize(
    ("probability", "labels", "message"),
    [
        ([[0.5, 0.5]], [2], "labels must be in [-1, 2) for 2 emotions, not 2"),
        ([[0.5, 0.5]], [-2], "labels must be in [-1, 2) for 2 emotions, not -2"),
        ([[0.5, 0.5]], [0.0], "labels must be integers, not float64"),
        ([[0.5, 0.5]], [-1], "no image has a label: all 1 are -1"),
        (
            [[0.5, 0.5]],
            [0, 1],
            "probability must have the shape (image, emotion) and labels (image,), "
            "not (1, 2) and (2,)",
        ),
        (
            [[0.5, 0.5], [np.nan, 1.0]],
            [0, 1],
            "probability must be finite; of image 1 it is [nan, 1.0]",
        ),
    ],
)
def test_wrong_input_is_refused(probability, labels, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        evaluate(probability, labels)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match=r"^confidence must be between 0 and 1, not 95$"):
        evaluate([[1.0, 0.0]], [0], confidence=95)
    with pytest.raises(ValueError, match=r"^folds must have the shape \(image,\), \(1,\), not"):
        evaluate([[1.0, 0.0]], [0], folds=[0, 1])
    with pytest.raises(ValueError, match=r"^no image with a label has a fold: all 2 are -1$"):
        evaluate([[1.0, 0.0]] * 2, [-1, 0], folds=[1, -1])


def test_majority_rate():
    assert majority_rate([1, 1, 0, -1, -1, -1]) == 2 / 3
    with pytest.raises(ValueError, match=r"^no image has a label: all 2 are -1$"):
        majority_rate([-1, -1])


def test_known_images_are_kept_in_order_and_the_others_counted(make_scores):
    scores = make_scores(12, 3)
    scores.label[[2, 5]] = -1
    scores.global_probability[5] = np.nan  # of an image that is left out: no matter
    probability, labels, folds, place = known_images(
        scores.global_probability.T, scores.label, scores.fold
    )
    known = scores.isel(image=[0, 1, 3, 4, 6, 7, 8, 9, 10])
    np.testing.assert_array_equal(probability, known.global_probability)
    np.testing.assert_array_equal(labels, known.label)
    np.testing.assert_array_equal(folds, known.fold)
    assert place.tolist() == [0, 1, 3, 4, 6, 7, 8, 9, 10]
