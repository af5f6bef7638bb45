import re
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, special, stats
from scipy.stats import binomtest

from arlib.evaluation.significance import (
    LabelChanges,
    at_base_rate,
    best_option,
    can_change,
    fold_differences,
    fold_means,
    holm,
    label_changes,
    mcnemar,
    nested_choice,
    smallest_difference,
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


def test_fold_means_is_a_loop_over_folds():
    hits = np.random.default_rng(1).random(size=(2, 3, 12))
    estimate, low, high = fold_means(hits, FOLDS)
    assert estimate.shape == low.shape == high.shape == (2, 3)
    for row in np.ndindex(2, 3):
        expected = np.mean([hits[row][fold == FOLDS].mean() for fold in (0, 2, 5)])
        assert estimate[row] == pytest.approx(expected)
    assert (low < estimate).all()
    assert (estimate < high).all()


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_of_one_fold_the_interval_is_wilsons_as_scipy_has_it(n, share, confidence):
    k = round(share * n)
    theirs = binomtest(k, n).proportion_ci(confidence, "wilson")
    estimate, low, high = fold_means([1] * k + [0] * (n - k), [0] * n, confidence=confidence)
    np.testing.assert_allclose([estimate, low, high], [k / n, *theirs], atol=1e-12)


def test_folds_weigh_alike_and_a_small_one_costs_images():
    """The mean of a large and a small fold varies as one of 4 / (1/2 + 1/9) images does."""
    hits, folds = [True] * 2 + [False] * 9, [0] * 2 + [1] * 9
    estimate, low, high = fold_means(hits, folds)
    n = 4 / (1 / 2 + 1 / 9)
    z = stats.norm.ppf(0.975)
    assert estimate == 0.5
    half = z / (1 + z**2 / n) * np.sqrt(0.25 / n + z**2 / (4 * n**2))
    np.testing.assert_allclose([low, high], [0.5 - half, 0.5 + half])
    equal = fold_means([1, 0] * 30, np.repeat(range(5), 12))
    np.testing.assert_allclose(equal, fold_means([1, 0] * 30, [0] * 60))


@pytest.mark.parametrize(
    "function", [fold_means, lambda hits, *args, **o: fold_differences(hits, hits, *args, **o)]
)
@pytest.mark.parametrize(
    ("hits", "folds", "options", "message"),
    [
        ([1.0, np.nan], [0, 3], {}, "hits must be finite and in [0, 1]"),
        ([1, 0], [-1, -1], {}, "no image has a fold: all 2 are -1"),
        (
            [[1, 0]],
            [0],
            {},
            "hits must have the shape (…, image) and folds (image,), not (1, 2) and (1,)",
        ),
        ([1, 0], [0, 1], {"confidence": 0}, "confidence must be between 0 and 1, not 0"),
        ([1, 0], [0, 1], {"confidence": 1}, "confidence must be between 0 and 1, not 1"),
    ],
)
def test_wrong_fold_means_are_refused(function, hits, folds, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function(hits, folds, **options)


def tango_by_likelihood(b, c, n, delta):
    """The score statistic of a difference, its likelihood maximised by search."""

    def loss(lost):
        gained = lost + delta
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = special.xlogy([b, c, n - b - c], [gained, lost, 1 - gained - lost])
        return -parts.sum()

    limits = max(0.0, -delta), (1 - delta) / 2
    lost = optimize.minimize_scalar(loss, bounds=limits, method="bounded", options={"xatol": 1e-12})
    variance = n * (2 * lost.x + delta - delta**2)
    return (b - c - n * delta) / np.sqrt(variance)


@settings(max_examples=20)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 60))
def test_of_one_fold_a_differences_interval_is_tangos(gained, lost, same):
    n, z = gained + lost + same, stats.norm.ppf(0.975)
    before = [0] * gained + [1] * lost + [0] * same
    after = [1] * gained + [0] * lost + [0] * same
    difference, low, high = fold_differences(before, after, [0] * n)
    assert difference == pytest.approx((gained - lost) / n)
    assert low <= difference <= high
    for limit, sign in ((low, 1), (high, -1)):
        if -1 + 1e-6 < limit < 1 - 1e-6:
            statistic = tango_by_likelihood(gained, lost, n, float(limit))
            assert statistic == pytest.approx(sign * z, abs=2e-3)


def test_where_no_image_differs_the_interval_is_not_empty():
    z2 = stats.norm.ppf(0.975) ** 2
    none = fold_differences([1] * 603, [1] * 603, [0] * 603)
    np.testing.assert_allclose(none, [0, -z2 / (603 + z2), z2 / (603 + z2)], atol=1e-9)


def test_differences_go_row_by_row_and_the_other_way_round():
    rng = np.random.default_rng(0)
    before, after = rng.integers(2, size=(2, 3, 4, 12))
    results = fold_differences(before, after, FOLDS)
    back = fold_differences(after, before, FOLDS)
    np.testing.assert_allclose(results[0], -back[0])
    np.testing.assert_allclose(results[1], -back[2], atol=1e-9)
    alone = fold_differences(before[1, 2], after[1, 2], FOLDS)
    np.testing.assert_allclose([each[1, 2] for each in results], alone, atol=1e-9)
    means = [fold_means(each, FOLDS)[0] for each in (before, after)]
    np.testing.assert_allclose(results[0], means[1] - means[0])


def test_means_over_draws_have_the_interval_of_their_spread():
    """Of many images, that of the normal distribution; of halves, half of that of ones."""
    rng = np.random.default_rng(0)
    before, after = rng.integers(2, size=(2, 10, 2000)).mean(1)
    difference, low, high = fold_differences(before, after, [0] * 2000)
    error = 1.96 * (after - before).std() / np.sqrt(2000)
    np.testing.assert_allclose([low, high], [difference - error, difference + error], rtol=0.02)
    ones = fold_differences([0.0] * 30, [1.0] * 9 + [0.0] * 21, [0] * 30)
    halves = fold_differences([0.0] * 30, [0.5] * 9 + [0.0] * 21, [0] * 30)
    np.testing.assert_allclose(np.divide(ones, 2), halves)


def power_by_hand(n, discordant, difference, alpha=0.05):
    """Over every number of discordant images and of those that the better one predicts right."""
    found = 0.0
    for d in range(1, n + 1):
        for b in range(d + 1):
            if b > d - b and binomtest(b, d).pvalue <= alpha:
                chance = stats.binom.pmf(b, d, (1 + difference / discordant) / 2)
                found += stats.binom.pmf(d, n, discordant) * chance
    return found


@pytest.mark.parametrize(("n", "discordant"), [(40, 0.5), (60, 0.2)])
def test_the_smallest_difference_is_found_four_times_in_five(n, discordant):
    difference = smallest_difference(n, discordant)
    assert difference > 0
    share = max(discordant, difference)
    assert power_by_hand(n, share, difference) == pytest.approx(0.8, abs=1e-4)
    assert smallest_difference(n, discordant, power=0.9) > difference
    assert smallest_difference(n, discordant, alpha=0.01) > difference


def test_where_too_few_images_differ_the_difference_needs_more_and_eight_images_are_many_enough():
    few = smallest_difference(603, 0.0)
    assert smallest_difference(603, few / 2) == pytest.approx(few, abs=2e-6)
    assert stats.binom.sf(5, 603, few) == pytest.approx(0.8, abs=1e-4), "six of six: p = 0.031"
    assert smallest_difference(6, 1.0) < 1
    assert np.isnan(smallest_difference(5, 1.0)), "five of five: p = 0.0625"


@given(st.integers(0, 999))
def test_at_the_base_rate_the_threshold_is_of_the_other_folds(seed):
    rng = np.random.default_rng(seed)
    share, truth, folds = rng.random(30).round(1), rng.integers(2, size=30), np.arange(30) % 3
    labels = at_base_rate(share, truth, folds)
    for fold in range(3):
        others, own = folds != fold, folds == fold
        threshold = np.percentile(share[others], 100 * (truth[others] == 1).mean())
        assert labels[own].tolist() == [int(p < threshold) for p in share[own]]


def test_at_the_base_rate_a_fold_may_have_its_own_shares_of_the_others():
    rng = np.random.default_rng(3)
    share, truth, folds = rng.random(30), rng.integers(2, size=30), np.arange(30) % 3
    apart = rng.random((3, 30))
    labels = at_base_rate(share, truth, folds, lambda fold: apart[fold])
    for fold in range(3):
        others, own = folds != fold, folds == fold
        threshold = np.percentile(apart[fold, others], 100 * (truth[others] == 1).mean())
        assert labels[own].tolist() == [int(p < threshold) for p in share[own]]
    assert (labels != at_base_rate(share, truth, folds)).any()


def test_at_the_base_rate_a_monotone_change_of_the_shares_changes_nothing():
    rng = np.random.default_rng(0)
    share, truth, folds = rng.random(200), rng.integers(2, size=200), np.arange(200) % 4
    before, after = (at_base_rate(p, truth, folds) for p in (share, share**3))
    assert (before != after).mean() < 0.03, "but for where the quantile lies between two images"
    assert after.mean() == pytest.approx(truth.mean(), abs=0.06)


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
def test_a_fold_may_have_predictions_of_its_own_for_its_choice(case, seed):
    right, folds = case
    ids = set(folds.tolist()) - {-1}
    apart = {
        fold: np.random.default_rng([seed, fold]).integers(2, size=right.shape).astype(bool)
        for fold in ids
    }
    chosen = nested_choice(right, folds, apart)
    for fold, option in zip(folds.tolist(), chosen.tolist(), strict=True):
        own = right if fold < 0 else apart[fold]
        assert option == best_by_hand(own, folds, ids - {fold})


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
    for either in (right, right[:, ::-1]):
        assert nested_choice(either, folds)[-1] == 0
        assert best_option(either[:30], folds[:30]) == 0


def test_a_choice_needs_two_folds_and_shapes_that_fit():
    with pytest.raises(ValueError, match=r"^a choice needs two folds, .*: not 1$"):
        nested_choice([[True], [False]], [0, 0])
    with pytest.raises(ValueError, match=r"and folds \(image,\), not \(2, 1\), bool and \(3,\)$"):
        nested_choice([[True], [False]], [0, 0, 1])
    with pytest.raises(ValueError, match=r"and be bool, .* not \(2, 1\), int64 and \(2,\)$"):
        nested_choice([[1], [0]], [0, 1])
