"""Classifiers fitted on the other folds: against loops over images, and scikit-learn's machine."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import expit
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from tests.experiments.helpers import drawn_dataset

from arlib.experiments.baselines import cross_fit as module
from arlib.experiments.baselines.cross_fit import FitOnce, cross_fit, fit_svm, too_few

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [40, 30, 30])
FEATURES = (RNG.normal(size=(100, 6)) * [1, 10, 0.1, 1, 1, 3] + LABELS[:, None]).astype(np.float32)


def machine_by_hand(features, labels):
    scaler = StandardScaler().fit(features.astype(float))
    machine = LinearSVC(C=1.0, random_state=0, max_iter=20_000)
    return scaler, machine.fit(scaler.transform(features.astype(float)), labels)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_svm_predicts_what_scikit_learns_machine_predicts(classes):
    keep = np.isin(LABELS, range(classes))
    features, labels = FEATURES[keep], LABELS[keep]
    predict = fit_svm(features, labels, ("a", "b", "c")[:classes])
    scaler, machine = machine_by_hand(features, labels)
    unseen = RNG.normal(size=(200, 6)).astype(np.float32) * [1, 10, 0.1, 1, 1, 3]
    unseen += RNG.uniform(-1, 3, (200, 1))
    predicted = machine.predict(scaler.transform(unseen))
    assert set(predicted.tolist()) == set(range(classes))
    probability = predict(unseen)
    assert (probability.argmax(1) == predicted).all()
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-6)


def test_with_two_classes_the_svms_probability_is_the_logistic_of_its_margin():
    keep = LABELS < 2
    predict = fit_svm(FEATURES[keep], LABELS[keep], ("a", "b"))
    scaler, machine = machine_by_hand(FEATURES[keep], LABELS[keep])
    margin = machine.decision_function(scaler.transform(FEATURES.astype(float)))
    np.testing.assert_allclose(predict(FEATURES)[:, 1], expit(margin), atol=1e-6)


def test_a_feature_that_never_varies_harms_no_svm():
    features = np.concatenate([FEATURES, np.full((100, 1), 7, np.float32)], axis=1)
    assert np.isfinite(fit_svm(features, LABELS, ("a", "b", "c"))(features)).all()


def test_an_svm_needs_an_image_of_every_class():
    with pytest.raises(ValueError, match="no image of 'd' to learn from"):
        fit_svm(FEATURES, LABELS, ("a", "b", "c", "d"))


def dataset(labels, folds):
    return SimpleNamespace(labels=labels, folds=folds, emotions=("a", "b"))


def centroids(features, labels, _emotions):
    """Fit a quick classifier: the logistic of the distances to the classes' means."""
    mean = np.stack([features[labels == label].mean(0) for label in (0, 1)])

    def predict(features):
        logits = features @ (2 * mean.T) - (mean**2).sum(1)
        return expit(logits - logits[:, ::-1])

    return predict


@settings(max_examples=25)
@given(st.integers(0, 999), st.integers(2, 4), st.booleans())
def test_against_a_loop_over_images(seed, n_folds, some):
    """Some images have no fold, some no label, some a feature that is not finite."""
    rng = np.random.default_rng(seed)
    n = 60
    labels, folds = np.resize([0, 1, -1, 1, 0], n), rng.permutation(np.arange(n) % n_folds + 1)
    folds[rng.integers(n, size=4)] = -1
    features = (rng.normal(size=(n, 3)) + labels[:, None]).astype(np.float32)
    features[rng.integers(n, size=3), rng.integers(3, size=3)] = np.nan
    tested = folds == 2 if some else None
    probability = cross_fit(dataset(labels, folds), features, centroids, tested)
    for i in range(n):
        if np.isnan(features[i]).any() or (some and folds[i] != 2):
            assert np.isnan(probability[i]).all()
            continue
        learn = [
            j
            for j in range(n)
            if folds[j] != folds[i] and labels[j] != -1 and not np.isnan(features[j]).any()
        ]
        expected = centroids(features[learn], labels[learn], None)(features[i : i + 1])[0]
        np.testing.assert_allclose(probability[i], expected, atol=1e-5)


def test_a_folds_own_labels_do_not_change_its_predictions():
    labels, folds = np.tile([0, 1], 30), np.repeat([1, 2, 3], 20)
    features = RNG.normal(size=(60, 4)) + labels[:, None]
    turned = np.where(folds == 2, 1 - labels, labels)
    before, after = (
        cross_fit(dataset(each, folds), features, centroids) for each in (labels, turned)
    )
    assert (before[folds == 2] == after[folds == 2]).all()
    assert (before[folds != 2] != after[folds != 2]).any()


def test_what_no_fold_tests_is_learned_from():
    """The training part of a split, whose testing part is fold 1."""
    labels, folds = np.tile([0, 1], 50), np.repeat([-1, 1], [80, 20])
    probability = cross_fit(dataset(labels, folds), FEATURES, centroids, folds == 1)
    expected = centroids(FEATURES[:80], labels[:80], None)(FEATURES[80:])
    np.testing.assert_allclose(probability[80:], expected, atol=1e-6)
    assert np.isnan(probability[:80]).all()


@pytest.mark.parametrize("folds", [np.ones(100, int), np.full(100, -1)])
def test_a_single_fold_has_no_other_to_learn_from(folds):
    with pytest.raises(ValueError, match="needs at least two folds"):
        cross_fit(dataset(LABELS, folds), FEATURES, centroids)


@pytest.mark.parametrize(
    ("labels", "folds", "reason"),
    [
        ([0, 1, 0, 1], [1, 1, 2, 2], None),
        ([0, 1, 0, 1, 1], [1, 1, 2, 2, -1], None),
        ([-1, -1], [1, 2], "no image has a label"),
        ([0, 1, 1, -1], [1, 1, 2, 2], "a has 1 image, and two are needed: one to learn from"),
        ([0, 0, 0], [1, 2, 3], "b has no image, and two are needed"),
        ([0, 1, 0, 1], [-1] * 4, "all images of a are in no fold, and none is left to learn from"),
        ([0, 1, 0, 1], [1, 2, 2, 2], "all images of b are in fold 2"),
    ],
)
def test_the_reason_why_no_classifier_can_be_fitted_on_the_other_folds(labels, folds, reason):
    labelled = SimpleNamespace(
        labels=np.array(labels, np.int8), folds=np.array(folds), emotions=("a", "b")
    )
    assert (too_few(labelled) or "").startswith(reason or "")
    assert (too_few(labelled) is None) == (reason is None)


def test_a_classifier_of_another_set_is_fitted_once_and_sees_no_tested_label(monkeypatch):
    rng = np.random.default_rng(0)
    learned = rng.normal(size=(30, 2)).astype(np.float32)
    tested = rng.normal(size=(12, 2)).astype(np.float32)
    tested[3, 0] = np.nan  # an unreadable image
    labels = (learned[:, 0] > 0).astype(np.int8)
    fits, features = [], {}

    def fit(*data):
        fits.append(data)
        return fit_svm(*data)

    def images(name, values, labels):
        dataset = drawn_dataset(values, labels, np.full(len(values), -1), None)
        features[name] = values
        return replace(dataset, name=name)

    source = images("learned", learned, np.where(np.arange(30) < 28, labels, -1).astype(np.int8))
    classify = FitOnce(source)
    predictions = []
    for number in (0, 1):
        dataset = images(f"tested {number}", tested, np.full(12, number, np.int8))
        predictions.append(classify("a", dataset, lambda each: features[each.name], fit))
    monkeypatch.setattr(module, "BLOCK", 5)  # and of as many images at once
    places = []

    def measure(each):
        places.append([int(key[1:]) for key in each.keys])
        return tested[places[-1]]

    predictions.append(classify("a", dataset, measure, fit))
    assert [len(each) for each in places] == [5, 5, 2]
    expected = fit_svm(learned[:28], labels[:28], ("positive", "negative"))(np.delete(tested, 3, 0))
    for predicted in predictions:
        assert np.isnan(predicted[3]).all()
        assert (np.delete(predicted, 3, 0) == expected).all()
    assert len(fits) == 1
