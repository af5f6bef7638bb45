import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from arlib.evaluation.metrics import (
    _bootstrap,
    _weighted_metrics,
    evaluate,
    known_images,
    majority_rate,
)


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


@settings(max_examples=50)
@given(st.integers(2, 4), st.integers(0, 999))
def test_the_bootstrap_measures_resamples_as_scikit_learn_does(m, seed):
    probability, labels = predictions(25, m, seed)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(25, size=(4, 25))
    drawn[:, :m] = np.arange(m)  # every emotion in every resample
    weight = np.array([np.bincount(row, minlength=25) for row in drawn], float)
    measured = _weighted_metrics(probability, labels, weight)
    expected = [by_sklearn(probability[row], labels[row]) for row in drawn]
    np.testing.assert_allclose(measured.T, expected, atol=1e-12)


def test_the_intervals_are_those_of_a_loop_over_resamples():
    probability, labels = predictions(60, 2)
    table = evaluate(probability, labels, n_bootstrap=300, confidence=0.9, seed=3)
    drawn = np.random.default_rng(3).integers(60, size=(300, 60))
    loop = np.array([by_sklearn(probability[row], labels[row]) for row in drawn])
    expected = np.percentile(loop, [5, 95], axis=0).T
    np.testing.assert_allclose(table[["low", "high"]], expected)


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


def test_a_seed_repeats_and_more_confidence_is_wider():
    probability, labels = predictions(80, 2)
    narrow = evaluate(probability, labels, confidence=0.5)
    assert narrow.equals(evaluate(probability, labels, confidence=0.5))
    assert not narrow.equals(evaluate(probability, labels, confidence=0.5, seed=1))
    wide = evaluate(probability, labels, confidence=0.99)
    assert (wide.low < narrow.low).all()
    assert (wide.high > narrow.high).all()


def test_blocks_of_resamples_change_nothing():
    probability, labels = predictions(40, 2)
    at_once, in_blocks = (
        _bootstrap(probability, labels, 50, np.random.default_rng(0), block)
        for block in (2**20, 40 * 7)
    )
    np.testing.assert_array_equal(at_once, in_blocks)


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
    with pytest.raises(ValueError, match=r"^n_bootstrap must be at least 1, not 0$"):
        evaluate([[1.0, 0.0]], [0], n_bootstrap=0)


def test_majority_rate():
    assert majority_rate([1, 1, 0, -1, -1, -1]) == 2 / 3
    with pytest.raises(ValueError, match=r"^no image has a label: all 2 are -1$"):
        majority_rate([-1, -1])


def test_known_images_are_kept_in_order_and_the_others_counted(make_scores):
    scores = make_scores(12, 3)
    scores.label[[2, 5]] = -1
    scores.global_probability[5] = np.nan  # of an image that is left out: no matter
    probability, labels, unknown = known_images(scores.global_probability.T, scores.label)
    known = scores.isel(image=[0, 1, 3, 4, 6, 7, 8, 9, 10])
    np.testing.assert_array_equal(probability, known.global_probability)
    np.testing.assert_array_equal(labels, known.label)
    assert unknown == 3
