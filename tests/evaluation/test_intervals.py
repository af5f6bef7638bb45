"""Intervals against a loop over resamples, against SciPy, and against what theory says."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from arlib.evaluation import significance as intervals
from arlib.evaluation.significance import bootstrap_mean

VALUES = st.lists(st.floats(-100, 100), min_size=1, max_size=20)


@given(VALUES, st.integers(1, 40), st.integers(0, 99))
def test_the_interval_is_what_a_loop_over_resamples_gives(values, n_bootstrap, seed):
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(n_bootstrap):
        drawn = [values[rng.integers(len(values))] for _ in values]
        means.append(sum(drawn) / len(drawn))
    found = bootstrap_mean(values, confidence=0.8, n_bootstrap=n_bootstrap, seed=seed)
    expected = [np.mean(values), np.quantile(means, 0.1), np.quantile(means, 0.9)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(VALUES, st.sampled_from([1, 7, 100]))
def test_blocks_bound_the_memory_and_change_nothing(values, block):
    whole = bootstrap_mean(values, n_bootstrap=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "_BLOCK", block)
        assert bootstrap_mean(values, n_bootstrap=30) == whole


@given(VALUES)
def test_wider_for_more_confidence_and_within_the_values(values):
    _, low, high = bootstrap_mean(values, n_bootstrap=50)
    _, lower, higher = bootstrap_mean(values, confidence=0.99, n_bootstrap=50)
    slack = 1e-9
    assert min(values) - slack <= lower <= low + slack
    assert low <= high
    assert high - slack <= higher <= max(values) + slack


def test_scipy_finds_the_same():
    values = np.random.default_rng(0).exponential(size=60)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    _, low, high = bootstrap_mean(values, n_bootstrap=20_000)
    assert low == pytest.approx(theirs.low, abs=0.01)
    assert high == pytest.approx(theirs.high, abs=0.01)


def test_shares_spread_as_the_binomial_distribution_says():
    estimate, low, high = bootstrap_mean([1] * 30 + [0] * 70, n_bootstrap=20_000)
    assert estimate == pytest.approx(0.3)
    expected = stats.binom(100, 0.3).ppf([0.025, 0.975]) / 100
    np.testing.assert_allclose([low, high], expected, atol=0.011)  # one picture more or less


def test_the_true_mean_lies_within_as_often_as_promised():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(300, 50))
    inside = [low <= 0 <= high for _, low, high in (bootstrap_mean(s) for s in samples)]
    assert 0.9 <= np.mean(inside) <= 0.98


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).random(30)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3)[1:] != bootstrap_mean(values, seed=4)[1:]


def test_truth_values_count_as_numbers_and_one_value_has_no_spread():
    assert bootstrap_mean([True, False]) == bootstrap_mean([1, 0])
    assert bootstrap_mean([0.25]) == (0.25, 0.25, 0.25)
