import math
import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from arlib.method.sentiment import sentiment_range, sentiment_score, usable_base


def eq1(probability, log=math.log):
    return [1 + sum(s * log(s) for s in row if s > 0) for row in probability]


@st.composite
def distributions(draw, dtype=np.float64):
    shape = draw(st.tuples(st.integers(1, 5), st.integers(2, 9)))
    weights = draw(arrays(np.float64, shape, elements=st.floats(0, 1, width=32)))
    weights[:, draw(st.integers(0, shape[1] - 1))] += 0.5
    return (weights / weights.sum(-1, keepdims=True)).astype(dtype)


@given(distributions())
def test_it_is_eq_1_term_by_term(probability):
    np.testing.assert_allclose(sentiment_score(probability), eq1(probability), atol=1e-12)
    np.testing.assert_allclose(sentiment_score(probability, base=2), eq1(probability, math.log2))


@given(distributions(), st.sampled_from(["e", 2, 10.0, "classes"]), st.randoms())
def test_it_stays_in_its_range_and_ignores_the_order_of_emotions(probability, base, random):
    low, high = sentiment_range(probability.shape[-1], base)
    score = sentiment_score(probability, base=base)
    assert (score >= low - 1e-9).all()
    assert (score <= high + 1e-9).all()
    order = random.sample(range(probability.shape[-1]), probability.shape[-1])
    np.testing.assert_allclose(sentiment_score(probability[:, order], base=base), score, atol=1e-12)


@pytest.mark.parametrize("m", [2, 3, 8])
def test_the_ends_of_the_range_are_the_certain_and_the_uniform(m):
    assert sentiment_score(np.eye(m)).tolist() == [1.0] * m
    assert sentiment_score(np.full(m, 1 / m)) == pytest.approx(1 - math.log(m))
    assert sentiment_range(m, "classes") == pytest.approx((0, 1))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float16, 1e-3), (np.float32, 1e-6), (np.float64, 1e-15)]
)
def test_it_keeps_the_precision(dtype, tolerance):
    probability = np.random.default_rng(0).dirichlet(np.ones(3), 50).astype(dtype)
    score = sentiment_score(probability)
    assert score.dtype == dtype
    exact = eq1(probability.astype(float))
    np.testing.assert_allclose(score.astype(float), exact, rtol=0, atol=tolerance)


def test_many_float16_probabilities_are_a_distribution():
    probability = np.random.default_rng(0).dirichlet(np.ones(100), 200).astype(np.float16)
    score = sentiment_score(np.ascontiguousarray(probability.T), axis=0)
    np.testing.assert_allclose(score, eq1(probability.astype(float)), rtol=1e-3)


def test_integers_give_float64():
    assert sentiment_score([[1, 0]]).dtype == np.float64


def test_a_missing_region_has_no_score():
    score = sentiment_score([[np.nan, np.nan], [0.5, np.nan], [1.0, 0.0]])
    np.testing.assert_array_equal(score, [np.nan, np.nan, 1.0])


def test_any_axis_may_hold_the_emotions():
    probability = np.random.default_rng(0).dirichlet(np.ones(3), (4, 5))
    np.testing.assert_array_equal(
        sentiment_score(np.moveaxis(probability, -1, 1), axis=1), sentiment_score(probability)
    )


def test_a_dataarray_is_reduced_over_its_emotions(make_scores):
    probability = make_scores(3, 4).region_probability
    score = sentiment_score(probability)
    assert score.dims == ("image", "region")
    assert score.name == "sentiment_score"
    assert score.dtype == np.float32
    np.testing.assert_array_equal(score, sentiment_score(probability.values))
    for turned, axis in [
        (probability.transpose("emotion", ...), -1),
        (probability.rename(emotion="class"), -1),
        (probability.rename(emotion="class").transpose("class", ...), "class"),
        (probability.rename(emotion="class").transpose("class", ...), 0),
    ]:
        xr.testing.assert_equal(sentiment_score(turned, axis), score)


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        ([[0.5, 0.5], [1.5, -0.5]], "at (1,) it is [1.5, -0.5]"),
        ([[0.5, 0.25]], "at (0,) it is [0.5, 0.25]"),
        ([2.0, 1.0], "at () it is [2.0, 1.0]"),
        ([math.inf, -math.inf], "at () it is [inf, -inf]"),
    ],
)
def test_what_is_no_distribution_is_refused(probability, shown):
    message = (
        f"probability must be non-negative and sum to 1 over the emotions; {shown} "
        "(are these logits, before the softmax?)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sentiment_score(probability)


@pytest.mark.parametrize("total", [0.999, 1, 1.001])
def test_a_sum_may_miss_1_by_what_float16_loses_and_by_no_more(total):
    probability = np.array([0.5, 0.25, 0.25])
    sentiment_score(probability * (1 + 0.99 * (total - 1)))
    if total != 1:
        with pytest.raises(ValueError, match="sum to 1 over the emotions"):
            sentiment_score(probability * (1 + 1.01 * (total - 1)))


@pytest.mark.parametrize(
    ("n_emotions", "base"), [(1, "e"), (2, "e"), (3, "classes"), (8, "classes")]
)
def test_the_usable_base_is_the_papers_until_eq_1_would_be_negative(n_emotions, base):
    assert usable_base(n_emotions) == base
    uniform = np.full(n_emotions, 1 / n_emotions)
    assert sentiment_score(uniform, base=base) >= 0
    assert (sentiment_score(uniform) < 0) == (base == "classes")


@pytest.mark.parametrize("base", [1, 0.5, -2, math.nan, math.inf, "2"])
def test_a_wrong_base_is_refused(base):
    message = f'base must be "e", "classes" or a number above 1, not {base!r}'
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sentiment_score([0.5, 0.5], base=base)


def test_one_emotion_has_no_logarithm_to_its_base():
    with pytest.raises(ValueError, match=r'^base "classes" needs at least 2 emotions, not 1$'):
        sentiment_score([[1.0]], base="classes")


def test_an_array_has_no_named_axis():
    with pytest.raises(ValueError, match=r"^axis 'emotion' names a dimension, but an array has"):
        sentiment_score([0.5, 0.5], axis="emotion")


def test_the_authors_published_scores_lie_in_the_natural_range(data_root):
    published = np.load(data_root / "fi_authors_scores.npz")["region_probability"]
    score = sentiment_score(published)
    assert score.dtype == np.float32
    assert score.min() == pytest.approx(1 - math.log(2), abs=1e-4)
    assert score.max() == pytest.approx(1, abs=1e-6)
