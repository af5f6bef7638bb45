import re
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.stats import binomtest

from arlib.evaluation.significance import (
    LabelChanges,
    can_change,
    fold_means,
    holm,
    label_changes,
    mcnemar,
    nested_choice,
)
from arlib.method import late_fusion

LABELS = st.lists(st.tuples(*[st.integers(0, 2)] * 2, st.integers(-1, 2)), min_size=1)


@given(LABELS)
def test_label_changes_are_counted_image_by_image(images):
    changed = corrected = degraded = 0
    for before, after, truth in images:
        if truth >= 0 and before != after:
            changed += 1
            corrected += after == truth
            degraded += before == truth
    assert label_changes(*zip(*images, strict=True)) == LabelChanges(changed, corrected, degraded)


@pytest.mark.parametrize("function", [label_changes, mcnemar])
def test_labels_need_one_shape(function):
    message = "before, after and truth must have one shape, not (1,), (2,) and (1,)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function([0], [0, 1], [0])


def on_a_grid(n, m, parts, seed, dtype):
    rng = np.random.default_rng(seed)
    return (rng.multinomial(parts, np.ones(m) / m, n) / parts).astype(dtype)


@settings(max_examples=50)
@given(
    st.integers(2, 4),
    st.sampled_from([8, 10]),
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
    st.sampled_from(["sum", "convex"]),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 999),
)
def test_can_change_tries_every_certain_mean(m, parts, beta, form, dtype, seed):
    global_ = on_a_grid(15, m, parts, seed, dtype)
    changeable = can_change(global_, beta, form)
    for image, can in zip(global_, changeable, strict=True):
        means = np.eye(m, dtype=dtype)
        labels = {int(late_fusion(image, mean[None], beta, form).argmax()) for mean in means}
        assert can == bool(labels - {int(image.argmax())})


@given(
    st.lists(st.integers(0, 16), min_size=1, max_size=3),
    st.integers(0, 8),
    st.sampled_from(["sum", "convex"]),
)
def test_can_change_compares_the_lead_with_beta(cuts, eighths, form):
    """On sixteenths, which a computer adds exactly, beside fractions."""
    p = [Fraction(int(part), 16) for part in np.diff([0, *sorted(cuts), 16])]
    beta = Fraction(eighths, 8)
    leader = p.index(max(p))
    shrink = 1 if form == "sum" else 1 - beta
    expected = False
    for i, other in enumerate(p):
        lead = shrink * (p[leader] - other)
        wins_a_tie = i < leader
        expected |= i != leader and (lead < beta or (lead == beta and wins_a_tie))
    assert can_change([[float(x) for x in p]], float(beta), form).tolist() == [expected]


def test_of_two_emotions_the_bound_is_half_of_one_plus_beta():
    p = np.arange(129) / 256 + 0.5
    first, second = np.stack([p, 1 - p], -1), np.stack([1 - p, p], -1)
    np.testing.assert_array_equal(can_change(first, 0.5), p < 0.75)
    np.testing.assert_array_equal(can_change(second, 0.5), (p <= 0.75) | (p == 0.5))
    assert not can_change(first, 0.0).any()


@settings(max_examples=50)
@given(st.integers(2, 4), st.floats(0, 1), st.sampled_from(["sum", "convex"]), st.integers(0, 999))
def test_what_cannot_change_does_not_change(m, beta, form, seed):
    rng = np.random.default_rng(seed)
    global_ = rng.dirichlet(np.ones(m) / 2, 200)
    regions = rng.dirichlet(np.ones(m) / 4, (200, 3))
    changed = late_fusion(global_, regions, beta, form).argmax(-1) != global_.argmax(-1)
    assert not (changed & ~can_change(global_, beta, form)).any()


def test_can_change_goes_by_name_and_refuses_what_is_no_prediction(make_scores):
    global_ = make_scores(9, 2, 3).global_probability
    expected = can_change(global_.values, 0.5)
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(can_change(global_.T, 0.5), expected)
    with pytest.raises(ValueError, match=r"^global_probability must be finite; of image 1 it is"):
        can_change([[1.0, 0.0], [np.nan, 1.0]], 0.5)
    with pytest.raises(ValueError, match=r"must have the shape \(image, M\), not \(2,\)$"):
        can_change([1.0, 0.0], 0.5)
    with pytest.raises(ValueError, match=r"^beta must be between 0 and 1 for form 'convex'"):
        can_change([[1.0, 0.0]], 1.5, "convex")
    assert isinstance(
        can_change(xr.DataArray([[1.0, 0.0]], dims=("image", "emotion")), 0), np.ndarray
    )


@given(LABELS)
def test_mcnemar_is_a_binomial_test_of_the_images_right_once(images):
    before, after, truth = np.transpose(images)
    known = truth >= 0
    gained = int(((before != truth) & (after == truth) & known).sum())
    lost = int(((before == truth) & (after != truth) & known).sum())
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(before, after, truth) == pytest.approx(expected)
    assert mcnemar(after, before, truth) == mcnemar(before, after, truth)


def test_mcnemar_where_nothing_differs():
    assert mcnemar([0, 1, 1], [0, 1, 0], [0, 0, -1]) == 1.0
    assert isinstance(mcnemar([0], [1], [1]), float)


def holm_by_hand(p):
    """Smallest first: times the number not yet rejected, never less than the one before."""
    adjusted, before = [0.0] * len(p), 0.0
    for i, j in enumerate(sorted(range(len(p)), key=lambda j: p[j])):
        before = max(before, min(1.0, p[j] * (len(p) - i)))
        adjusted[j] = before
    return adjusted


P_VALUES = st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=12)


@settings(max_examples=12)  # statsmodels collects garbage at every call
@given(P_VALUES)
def test_holm_goes_step_by_step(p):
    adjusted, p = holm(p), np.array(p)
    tested = ~np.isnan(p)
    np.testing.assert_array_equal(np.isnan(adjusted), ~tested)
    np.testing.assert_allclose(adjusted[tested], holm_by_hand(p[tested]))
    assert (adjusted[tested] >= p[tested]).all()
    assert (adjusted[tested] <= 1).all()
    order = np.argsort(p[tested])
    assert (np.diff(adjusted[tested][order]) >= 0).all()


def test_holm_keeps_the_shape_and_the_input():
    p = np.array([[0.01, np.nan], [0.04, 0.03]])
    np.testing.assert_allclose(holm(p), [[0.03, np.nan], [0.06, 0.06]])
    assert p[0, 0] == 0.01
    with pytest.raises(ValueError, match=r"^a p-value must be between 0 and 1, not 1.5$"):
        holm([0.5, 1.5])


FOLDS = np.array([2, 0, 0, -1, 2, 5, 0, 5, 2, 2, -1, 0])


def fold_means_by_hand(hits, folds, n_bootstrap, confidence, seed):
    """One row: loops over folds and resamples, drawing fold by fold."""
    ids, rng = sorted(set(folds[folds >= 0])), np.random.default_rng(seed)
    images = {fold: np.flatnonzero(folds == fold) for fold in ids}
    drawn = {
        fold: [rng.choice(images[fold], images[fold].size) for _ in range(n_bootstrap)]
        for fold in ids
    }
    estimate = np.mean([hits[images[fold]].mean() for fold in ids])
    means = [np.mean([hits[drawn[fold][i]].mean() for fold in ids]) for i in range(n_bootstrap)]
    tails = 50 * (1 - confidence), 50 * (1 + confidence)
    return estimate, *np.percentile(means, tails)


@pytest.mark.parametrize("block", [2**22, 10])
def test_fold_means_is_a_loop_over_folds_and_resamples(block):
    hits = np.random.default_rng(1).normal(size=(2, 3, 12))
    results = fold_means(hits, FOLDS, n_bootstrap=60, confidence=0.8, seed=5, block=block)
    assert [r.shape for r in results] == [(2, 3)] * 3
    for row in np.ndindex(2, 3):
        expected = fold_means_by_hand(hits[row], FOLDS, 60, 0.8, 5)
        np.testing.assert_allclose([r[row] for r in results], expected)


def test_fold_means_weighs_folds_alike_whatever_their_size():
    hits, folds = [True] * 2 + [False] * 9, [0] * 2 + [1] * 9
    estimate, low, high = fold_means(hits, folds, n_bootstrap=50)
    assert (estimate, low, high) == (0.5, 0.5, 0.5)
    assert estimate.shape == ()


@given(
    arrays(np.int8, st.integers(2, 40), elements=st.integers(-1, 6)).filter(lambda f: f.max() >= 0)
)
def test_fold_means_of_ones_are_one_and_a_fold_of_one_image_has_no_interval(folds):
    estimate, low, high = fold_means(np.ones((2, folds.size), bool), folds, n_bootstrap=20)
    np.testing.assert_array_equal(estimate, [1.0, 1.0])
    single = np.unique(folds[folds >= 0], return_counts=True)[1].min() == 1
    for bound in (low, high):
        np.testing.assert_array_equal(bound, [np.nan if single else 1.0] * 2)


def test_rows_share_their_resamples():
    rng = np.random.default_rng(0)
    one = rng.integers(2, size=12)
    other = np.where(FOLDS == 0, one, 1 - one)
    alone = fold_means(one - other, FOLDS, n_bootstrap=90)
    _, low, high = fold_means([one, one, one - other], FOLDS, n_bootstrap=90)
    assert low[0] == low[1]
    assert high[0] == high[1]
    assert (low[2], high[2]) == alone[1:]


@pytest.mark.parametrize(
    ("hits", "folds", "options", "message"),
    [
        ([1.0, np.nan], [0, 3], {}, "hits must be finite; in fold 3 there is another value"),
        ([1, 0], [-1, -1], {}, "no image has a fold: all 2 are -1"),
        (
            [[1, 0]],
            [0],
            {},
            "hits must have the shape (…, image) and folds (image,), not (1, 2) and (1,)",
        ),
        ([1, 0], [0, 1], {"n_bootstrap": 0}, "n_bootstrap must be at least 1, not 0"),
        ([1, 0], [0, 1], {"confidence": 0}, "confidence must be between 0 and 1, not 0"),
        ([1, 0], [0, 1], {"confidence": 1}, "confidence must be between 0 and 1, not 1"),
    ],
)
def test_wrong_fold_means_are_refused(hits, folds, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fold_means(hits, folds, **options)


VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=20)


def mean(values, **options):
    """The mean of one fold, with its interval."""
    return [float(value) for value in fold_means(values, [0] * len(values), **options)]


@given(VALUES)
def test_more_confidence_is_wider_and_within_the_values(values):
    _, low, high = mean(values, n_bootstrap=50)
    _, lower, higher = mean(values, confidence=0.99, n_bootstrap=50)
    slack = 1e-9
    assert min(values) - slack <= lower <= low + slack
    assert low <= high
    assert high - slack <= higher <= max(values) + slack


def test_scipys_bootstrap_agrees():
    values = np.random.default_rng(0).exponential(size=60)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    _, low, high = mean(values, n_bootstrap=20_000)
    assert low == pytest.approx(theirs.low, abs=0.01)
    assert high == pytest.approx(theirs.high, abs=0.01)


def test_shares_spread_as_the_binomial_distribution():
    estimate, low, high = mean([1] * 30 + [0] * 70, n_bootstrap=20_000)
    assert estimate == pytest.approx(0.3)
    expected = stats.binom(100, 0.3).ppf([0.025, 0.975]) / 100
    np.testing.assert_allclose([low, high], expected, atol=0.011)  # one image more or less


def test_the_true_mean_lies_within_as_often_as_promised():
    samples = np.random.default_rng(0).normal(size=(300, 50))
    inside = [low <= 0 <= high for _, low, high in map(mean, samples)]
    assert 0.9 <= np.mean(inside) <= 0.98


def test_the_same_seed_gives_the_same_interval_and_one_value_has_none():
    values = np.random.default_rng(0).random(30)
    assert mean(values, seed=3) == mean(values, seed=3)
    assert mean(values, seed=3)[1:] != mean(values, seed=4)[1:]
    np.testing.assert_array_equal(mean([0.25]), [0.25, np.nan, np.nan])


def best_by_hand(right, folds, ids):
    """The first option whose mean of the accuracies in the folds `ids` is highest."""
    means = []
    for option in range(right.shape[1]):
        accuracy = []
        for fold in ids:
            hits = right[folds == fold, option]
            accuracy.append(Fraction(int(hits.sum()), hits.size))
        means.append(sum(accuracy) / len(accuracy))
    return means.index(max(means))


@st.composite
def choices(draw):
    n = draw(st.integers(2, 25))
    folds = draw(arrays(np.int64, n, elements=st.integers(-1, 3)))
    folds[:2] = 0, 1
    right = draw(arrays(bool, (n, draw(st.integers(1, 5)))))
    return right, folds


@given(choices())
def test_nested_choice_is_a_loop_over_the_other_folds(case):
    right, folds = case
    ids = set(folds.tolist()) - {-1}
    expected = [best_by_hand(right, folds, ids - {fold}) for fold in folds.tolist()]
    chosen = nested_choice(right, folds)
    assert chosen.tolist() == expected
    assert chosen.dtype == np.int64


@given(choices(), st.integers(0, 999))
def test_a_folds_own_images_do_not_choose_for_it(case, seed):
    right, folds = case
    chosen = nested_choice(right, folds)
    for fold in set(folds.tolist()):
        own = folds == fold
        changed = right.copy()
        changed[own] = np.random.default_rng(seed).integers(2, size=changed[own].shape)
        np.testing.assert_array_equal(nested_choice(changed, folds)[own], chosen[own])


def test_equal_means_are_equal_whatever_their_sum_rounds_to():
    a, b = (3, 2, 1), (1, 2, 3)  # tenths, which add up differently in this and that order
    assert sum(x / 10 for x in a) != sum(x / 10 for x in b)
    right, folds = np.zeros((31, 2), bool), np.repeat([0, 1, 2, 3], [10, 10, 10, 1])
    for option, hits in enumerate((a, b)):
        for fold, count in enumerate(hits):
            right[10 * fold : 10 * fold + count, option] = True
    assert nested_choice(right, folds)[-1] == 0
    assert nested_choice(right[:, ::-1], folds)[-1] == 0


def test_a_choice_needs_two_folds_and_shapes_that_fit():
    with pytest.raises(ValueError, match=r"^a choice needs two folds, .*: not 1$"):
        nested_choice([[True], [False]], [0, 0])
    with pytest.raises(ValueError, match=r"and folds \(image,\), not \(2, 1\), bool and \(3,\)$"):
        nested_choice([[True], [False]], [0, 0, 1])
    with pytest.raises(ValueError, match=r"and be bool, .* not \(2, 1\), int64 and \(2,\)$"):
        nested_choice([[1], [0]], [0, 1])
