"""Linear heads: scikit-learn's probabilities, saved as a file of a few KB."""

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from arlib.networks.heads import LinearHead, cross_fit, default_head, fit_head, fit_svm

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [40, 30, 30])
FEATURES = (RNG.normal(size=(100, 6)) * [1, 10, 0.1, 1, 1, 3] + LABELS[:, None]).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_is_scikit_learns_model(classes):
    keep = np.isin(LABELS, range(classes))
    features, labels = FEATURES[keep], LABELS[keep]
    emotions = ("a", "b", "c")[:classes]
    head = fit_head(features, labels, emotions, backbone="x", strengths=(0.1,))
    scaled = StandardScaler().fit_transform(features.astype(float))
    theirs = LogisticRegression(C=0.1, max_iter=2000).fit(scaled, labels).predict_proba(scaled)
    np.testing.assert_allclose(head.probability(features), theirs, atol=1e-4)


def test_strength_is_chosen_by_generalisation():
    noise = np.random.default_rng(1).normal(size=(100, 200))
    labels = np.arange(100) % 2
    head = fit_head(noise, labels, ("a", "b"), backbone="x")
    assert head.provenance["C"] == 1e-4
    assert head.provenance["images"] == 100


def test_probabilities_broadcast_and_sum_to_one():
    head = fit_head(FEATURES, LABELS, ("a", "b", "c"), backbone="x")
    probability = head.probability(FEATURES.reshape(10, 10, 6))
    assert probability.shape == (10, 10, 3)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability.sum(-1), 1, rtol=1e-6)


def test_a_head_survives_its_file(tmp_path):
    head = fit_head(FEATURES, LABELS, ("a", "b", "c"), backbone="mobilenet_v2")
    head.save(tmp_path / "h.safetensors")
    again = LinearHead.load(tmp_path / "h.safetensors")
    assert np.array_equal(head.weight, again.weight)
    assert np.array_equal(head.bias, again.bias)
    assert (head.emotions, head.backbone) == (again.emotions, again.backbone)
    assert head.provenance == again.provenance
    assert json.loads((tmp_path / "h.json").read_text())["backbone"] == "mobilenet_v2"


def test_the_shipped_head_reads_squeezenet_features():
    head = default_head()
    assert head.backbone == "squeezenet1_1"
    assert head.weight.shape == (2, 512)
    assert head.provenance["dataset"] == "oasis"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.repeat([0, 3], 50), r"labels must lie in 0\.\.1"),
        (np.repeat([0, -1], 50), r"labels must lie in 0\.\.1"),
        (np.repeat([0, 1], [97, 3]), "3 images of 'b' do not fill 5 inner folds"),
    ],
)
def test_labels_that_cannot_be_fitted(labels, message):
    with pytest.raises(ValueError, match=message):
        fit_head(FEATURES, labels, ("a", "b"), backbone="x")


def test_features_of_another_network():
    head = fit_head(FEATURES, LABELS, ("a", "b", "c"), backbone="x")
    with pytest.raises(ValueError, match="reads 6 features of x, not 5"):
        head.probability(FEATURES[:, :5])


def test_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"2 emotions need weight \(2, D\)"):
        LinearHead(np.zeros((3, 4)), np.zeros(3), ("a", "b"), "x")


def machine_by_hand(features, labels, C=1.0):
    scaler = StandardScaler().fit(features.astype(float))
    machine = LinearSVC(C=C, random_state=0, max_iter=20_000)
    return scaler, machine.fit(scaler.transform(features.astype(float)), labels)


@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_machines_head_calls_what_scikit_learns_machine_calls(classes, C):
    keep = np.isin(LABELS, range(classes))
    features, labels = FEATURES[keep], LABELS[keep]
    head = fit_svm(features, labels, ("a", "b", "c")[:classes], backbone="x", C=C)
    scaler, machine = machine_by_hand(features, labels, C)
    seen = RNG.normal(size=(200, 6)).astype(np.float32) * [1, 10, 0.1, 1, 1, 3]
    seen += RNG.uniform(-1, 3, (200, 1))
    called = machine.predict(scaler.transform(seen))
    assert set(called.tolist()) == set(range(classes))
    assert (head.probability(seen).argmax(1) == called).all()
    assert head.provenance == {"C": C, "images": len(labels)}


def test_with_two_classes_the_machines_probability_is_the_logistic_of_its_margin():
    keep = LABELS < 2
    head = fit_svm(FEATURES[keep], LABELS[keep], ("a", "b"), backbone="x")
    scaler, machine = machine_by_hand(FEATURES[keep], LABELS[keep])
    margin = machine.decision_function(scaler.transform(FEATURES.astype(float)))
    np.testing.assert_allclose(head.probability(FEATURES)[:, 1], expit(margin), atol=1e-5)


def test_a_feature_that_never_varies_harms_no_head():
    features = np.concatenate([FEATURES, np.full((100, 1), 7, np.float32)], axis=1)
    for fit in (fit_head, fit_svm):
        found = fit(features, LABELS, ("a", "b", "c"), backbone="x").probability(features)
        assert np.isfinite(found).all()


def test_a_machine_needs_an_image_of_every_class():
    with pytest.raises(ValueError, match="no image of 'd' to learn from"):
        fit_svm(FEATURES, LABELS, ("a", "b", "c", "d"), backbone="x")


def centroids(features, labels):
    """A head that is made quickly: the nearer class's mean."""
    mean = np.stack([features[labels == label].mean(0) for label in (0, 1)])
    return LinearHead(2 * mean, -(mean**2).sum(1), ("a", "b"), "x")


@settings(max_examples=25)
@given(st.integers(0, 999), st.integers(2, 4))
def test_judging_by_other_folds_against_a_loop_over_images(seed, n_folds):
    """Some images have no fold, some no label, some a feature that is no number."""
    rng = np.random.default_rng(seed)
    n = 60
    labels, folds = np.resize([0, 1, -1, 1, 0], n), rng.permutation(np.arange(n) % n_folds + 1)
    folds[rng.integers(n, size=4)] = -1
    features = (rng.normal(size=(n, 3)) + labels[:, None]).astype(np.float32)
    features[rng.integers(n, size=3), rng.integers(3, size=3)] = np.nan
    found = cross_fit(features, labels, folds, centroids)
    for i in range(n):
        if np.isnan(features[i]).any():
            assert np.isnan(found[i]).all()
            continue
        learn = [
            j
            for j in range(n)
            if folds[j] not in (-1, folds[i])
            and labels[j] != -1
            and not np.isnan(features[j]).any()
        ]
        expected = centroids(features[learn], labels[learn]).probability(features[i])
        np.testing.assert_allclose(found[i], expected, atol=1e-5)


def test_a_folds_own_labels_do_not_change_its_judgement():
    labels, folds = np.tile([0, 1], 30), np.repeat([1, 2, 3], 20)
    features = RNG.normal(size=(60, 4)) + labels[:, None]
    turned = np.where(folds == 2, 1 - labels, labels)
    before, after = (cross_fit(features, each, folds, centroids) for each in (labels, turned))
    assert (before[folds == 2] == after[folds == 2]).all()
    assert (before[folds != 2] != after[folds != 2]).any()


@pytest.mark.parametrize("folds", [np.ones(100, int), np.full(100, -1), np.repeat([-1, 4], 50)])
def test_a_single_fold_has_no_other_to_learn_from(folds):
    with pytest.raises(ValueError, match="needs at least two folds"):
        cross_fit(FEATURES, LABELS, folds, centroids)
