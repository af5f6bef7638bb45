"""Calibration against a loop over images, and what must hold for any probabilities."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from arlib.evaluation.calibration import calibrate, reliability, soften


def draw(n, emotions, seed):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(emotions), n), rng.integers(emotions, size=n)


@given(st.integers(1, 60), st.integers(2, 8), st.integers(1, 15), st.integers(0, 99))
def test_ece_is_what_a_loop_over_bins_gives(n, emotions, bins, seed):
    probability, labels = draw(n, emotions, seed)
    edges = np.linspace(1 / emotions, 1, bins + 1)
    total = 0.0
    for low, high in pairwise(edges):
        inside = [
            i
            for i in range(n)
            if low <= max(probability[i]) < high or (high == 1 == max(probability[i]))
        ]
        if inside:
            sure = np.mean([max(probability[i]) for i in inside])
            right = np.mean([probability[i].argmax() == labels[i] for i in inside])
            total += len(inside) / n * abs(sure - right)
    table = reliability(probability, labels, bins=bins)
    assert table.attrs["ece"] == pytest.approx(total)
    assert table.images.sum() == n


def test_unknown_labels_are_left_out():
    probability, labels = draw(20, 2, 0)
    labels[5:] = -1
    known, table = reliability(probability[:5], labels[:5]), reliability(probability, labels)
    assert table.equals(known)
    assert table.attrs["ece"] == known.attrs["ece"]


@given(st.floats(0.1, 10), st.integers(0, 99))
def test_temperature_changes_no_label_and_one_changes_nothing(temperature, seed):
    probability, _ = draw(10, 4, seed)
    softened = soften(probability, temperature)
    np.testing.assert_allclose(softened.sum(axis=1), 1)
    assert (softened.argmax(axis=1) == probability.argmax(axis=1)).all()
    np.testing.assert_allclose(soften(probability, 1.0), probability, atol=1e-9)


def test_the_fitted_temperature_undoes_what_was_applied():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(3), 20_000)
    labels = (rng.random((20_000, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    half = np.arange(len(labels)) < 10_000
    assert calibrate(honest, labels, half)[1] == pytest.approx(1, abs=0.05)
    overconfident = soften(honest, 1 / 3)
    scaled, temperature = calibrate(overconfident, labels, half)
    assert temperature == pytest.approx(3, abs=0.15)
    np.testing.assert_allclose(scaled, soften(overconfident, temperature))
    assert reliability(overconfident, labels).attrs["ece"] > 0.1
    for probability in (honest, scaled[~half]):
        assert reliability(probability, labels[-len(probability) :]).attrs["ece"] < 0.02


def test_only_the_images_that_are_named_fit_the_temperature():
    probability, labels = draw(40, 3, 1)
    half = np.arange(40) % 2 == 0
    scaled, temperature = calibrate(probability, labels, half)
    labels[~half] = -1
    again, same = calibrate(probability, labels, half)
    assert same == temperature
    assert (again == scaled).all()
    assert calibrate(probability, labels * 0, half)[1] != temperature


def test_a_confidence_on_the_edge_of_two_bins_is_in_the_upper_one():
    table = reliability([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]], [0, 0, 0], bins=2)
    assert table.images.to_dict() == {0: 1, 1: 2}
