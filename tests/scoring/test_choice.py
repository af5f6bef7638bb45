"""Choices: bounds against brute force over many distributions, ties, and the arithmetic used."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from arlib.method import affective_regions, sentiment_score, top_regions
from arlib.scoring.choice import Choice, kth, log_error, sentiment_interval

SETTINGS = [
    {},
    {"alpha": 0.3, "k": 3},
    {"alpha": 0.0},
    {"form": "linear", "alpha": 0.6},
    {"rank_by": "objectness", "k": 2},
    {"rank_by": "sentiment", "k": 2},
    {"base": 2},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_values_rank_as_affective_regions_does(make_scores, settings):
    scores = make_scores(5, 30, seed=3, missing=False)
    choice = Choice(**settings)
    chosen = affective_regions(scores, **{"k": 8, **settings}).region.values
    for image in range(5):
        one = scores.isel(image=image)
        value = choice.value(one.objectness.values, one.region_probability.values)
        assert value.dtype == np.float32
        np.testing.assert_array_equal(top_regions(value, choice.k), chosen[image])


@pytest.mark.parametrize("settings", SETTINGS)
def test_no_value_exceeds_its_ceiling(settings):
    rng = np.random.default_rng(0)
    objectness = rng.uniform(0, 2, 20_000).astype(np.float32)
    sure = rng.choice(np.float32([1, 1 - 2**-24, 0.5, 0.9, 1 + 2**-23]), 20_000)
    probability = np.stack([sure, np.maximum(1 - sure, 0)], -1)
    choice = Choice(**settings)
    assert (choice.value(objectness, probability) <= choice.ceiling(objectness)).all()


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_settled_prefix_has_the_top_of_all(make_scores, settings):
    """Brute force: at every prefix that is settled, the rest changes nothing, ties included."""
    choice = Choice(**settings)
    scores = make_scores(40, 30, seed=1, missing=False)
    stopped = 0
    for image in range(40):
        one = scores.isel(image=image)
        objectness = np.round(one.objectness.values * 8) / 8  # ties
        probability = one.region_probability.values
        value = choice.value(objectness, probability)
        whole = top_regions(value, choice.k)
        for n in range(30):
            if choice.settled(value[:n], objectness[n]):
                stopped += 1
                np.testing.assert_array_equal(top_regions(value[:n], choice.k), whole)
    assert stopped or settings.get("rank_by") == "sentiment" or settings.get("base") == 2


def test_equal_scores_go_to_the_lower_index_so_a_tie_is_settled():
    choice = Choice(k=2, rank_by="objectness")
    assert choice.settled(np.float32([0.5, 0.5]), np.float32(0.5))
    assert not choice.settled(np.float32([0.5, 0.5]), np.nextafter(np.float32(0.5), np.float32(1)))
    assert not choice.settled(np.float32([0.5]), np.float32(0.1))


@given(
    st.lists(st.floats(-12, 12), min_size=2, max_size=5),
    st.lists(st.floats(-1, 1), min_size=5, max_size=5),
    st.floats(0, 2),
    st.sampled_from(["e", 2, "classes"]),
)
def test_the_interval_holds_whatever_is_within_the_error(logits, moves, error, base):
    def softmax(z):
        e = np.exp(z - z.max())
        return (e / e.sum()).astype(np.float32)

    z = np.array(logits)
    found, exact = softmax(z), softmax(z + error * np.array(moves[: len(z)]))
    assert log_error(found, exact) <= error + 1e-5
    low, high = sentiment_interval(found[None], error + 1e-5, base)
    true = sentiment_score(exact, base=base)
    assert low[0] - 1e-5 <= true <= high[0] + 1e-5


def test_the_interval_of_two_classes_is_tight():
    """Beyond 1/e, where both classes' shares of the entropy fall together."""
    p, error = np.float32([[0.95, 0.05]]), 0.1
    low, high = sentiment_interval(p, error)
    odds = np.log(19.0) + 2 * error * np.array([-1, 1])
    ends = 1 / (1 + np.exp(-odds))
    exact = sentiment_score(np.stack([ends, 1 - ends], -1))
    np.testing.assert_allclose([low[0], high[0]], exact, atol=1e-6)


def test_a_certain_distribution_stays_bounded():
    low, high = sentiment_interval(np.float32([[1, 0], [1, 1e-7]]), 0.5)
    assert low[0] == 1
    assert high[0] == 1
    assert 0.99 < low[1] < high[1] < 1
    assert log_error(np.float32([1, 0]), np.float32([1, 0])) == 0
    assert np.isfinite(log_error(np.float32([1, 0]), np.float32([0, 1])))


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.data())
def test_kth_is_that_of_a_sort(values, data):
    k = data.draw(st.integers(1, len(values)))
    assert kth(np.array(values), k) == sorted(values, reverse=True)[k - 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k must be a whole number of at least 1, not 0"),
        ({"alpha": -1}, "alpha must be a number of at least 0"),
        ({"form": "cubic"}, "form must be"),
        ({"rank_by": "luck"}, "rank_by must be"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Choice(**settings)


def test_negative_sentiment_cannot_be_squared():
    with pytest.raises(ValueError, match=r"which Eq\. 2 would square"):
        Choice().check(8)
    Choice(base="classes").check(8)
    Choice(form="linear", alpha=0.5).check(8)
