"""The rule of 2018 beside a loop by hand, and what two choices share beside sets."""

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st

from arlib.evaluation import overlap
from arlib.method.algorithm import respond_2018

N, REGIONS = 30, 12


@pytest.fixture(scope="module")
def scores(make_scores):
    """In double precision, as a loop in Python computes; the first image has no region."""
    return make_scores(N, REGIONS, seed=18).astype(float)


def minmax(values):
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 1.0 for value in values]


def by_hand(one, k, scaled):
    """One image: its best regions and its response, straight from the rule."""
    s, whole = one.region_probability.values.tolist(), one.global_probability.values.tolist()
    there = [j for j, obj in enumerate(one.objectness.values.tolist()) if not math.isnan(obj)]
    if not there:
        return [], whole
    obj = [float(one.objectness[j]) for j in there]
    senti = [1 + sum(p * math.log(p) for p in s[j] if p > 0) for j in there]
    if scaled:
        obj, senti = minmax(obj), minmax(senti)
    ar = {j: 0.4 * b + 0.6 * a for j, a, b in zip(there, obj, senti, strict=True)}
    best = sorted(there, key=lambda j: -ar[j])[:k]
    mean = [sum(s[j][c] for j in best) / len(best) for c in range(len(whole))]
    return best, [0.7 * y + 0.3 * m for y, m in zip(whole, mean, strict=True)]


def check(scores, found, k, scaled):
    for i in range(scores.sizes["image"]):
        best, y = by_hand(scores.isel(image=i), k, scaled)
        assert found.region.values[i].tolist() == best + [-1] * (k - len(best))
        np.testing.assert_allclose(found.response.values[i], y)
        assert found.label.values[i] == y.index(max(y))


@pytest.mark.parametrize("scaled", [True, False])
def test_the_rule_is_a_loop_over_images(scores, scaled):
    check(scores, respond_2018(scores, minmax=scaled), 8, scaled)


def test_with_another_k_and_more_emotions(make_scores):
    more = make_scores(N, REGIONS, n_emotions=4, seed=3).astype(float)
    check(more, respond_2018(more, 3), 3, True)


def test_min_max_changes_what_is_chosen(scores):
    assert (respond_2018(scores).region != respond_2018(scores, minmax=False).region).any()


def test_with_min_max_each_image_may_have_a_scale_of_its_own(scores):
    """Halves and quarters, which a computer scales exactly."""
    scale = xr.DataArray(0.5 ** (np.arange(N) % 7), dims="image")
    other = scores.assign(objectness=scores.objectness * scale)
    xr.testing.assert_equal(respond_2018(other), respond_2018(scores))
    plain, changed = (respond_2018(one, minmax=False).region for one in (scores, other))
    assert (plain != changed).any()


def test_an_image_without_regions_keeps_its_whole_images_answer(scores):
    assert scores.objectness[0].isnull().all()
    found = respond_2018(scores).isel(image=0)
    assert (found.region == -1).all()
    np.testing.assert_array_equal(found.response, scores.global_probability[0])
    assert found.label == scores.global_probability[0].values.argmax()


def test_a_response_sums_to_one(scores):
    np.testing.assert_allclose(respond_2018(scores).response.sum("emotion"), 1)


def test_of_equal_regions_the_first_are_taken_and_of_equal_shares_the_first():
    """All scores alike: min-max gives 1 to each."""
    half = xr.Dataset(
        {
            "objectness": (("image", "region"), np.full((1, 10), 0.25)),
            "region_probability": (("image", "region", "emotion"), np.full((1, 10, 2), 0.5)),
            "global_probability": (("image", "emotion"), [[0.5, 0.5]]),
        }
    )
    found = respond_2018(half)
    assert found.region.values.tolist() == [list(range(8))]
    assert found.response.values.tolist() == [[0.5, 0.5]]
    assert found.label.values.tolist() == [0]


def test_a_twin_of_a_region_comes_right_after_it(scores):
    """Every region twice: the choice is the one without twins, each followed by its twin."""
    twice = scores.isel(region=np.repeat(np.arange(REGIONS), 2))
    once = respond_2018(scores, 4).region.values
    expected = np.where(once < 0, -1, 2 * once)
    found = respond_2018(twice, 8).region.values
    np.testing.assert_array_equal(found[:, ::2], expected)
    np.testing.assert_array_equal(found[:, 1::2], np.where(once < 0, -1, expected + 1))


def test_scores_go_by_name_not_by_the_order_of_dimensions(scores):
    turned = respond_2018(scores.transpose("emotion", "region", "image", ...))
    xr.testing.assert_equal(turned.transpose(*respond_2018(scores).dims), respond_2018(scores))
    assert turned.label.dtype == np.int8


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
