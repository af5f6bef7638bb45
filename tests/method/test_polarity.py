"""Polarity of several emotions: by the stated mapping, before Eq. 1 or after Eq. 3."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st

from arlib.method.algorithm import predict_labels
from arlib.method.polarity import (
    POLARITY_OF,
    first_side,
    has_polarity,
    in_polarity,
    polarities,
    sums,
)
from arlib.method.sentiment import sentiment_score

FI = ["amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness"]
ROI = ["anger", "disgust", "fear", "joy", "sadness", "surprise"]


def named(make_scores, emotions, **settings):
    scores = make_scores(20, 6, n_emotions=len(emotions), **settings)
    return scores.assign_coords(emotion=np.array(emotions, object))


@pytest.mark.parametrize("emotions", [FI, ROI])
def test_each_polaritys_probability_is_the_sum_of_its_emotions(make_scores, emotions):
    scores = named(make_scores, emotions)
    two = in_polarity(scores)
    assert two.emotion.values.tolist() == ["positive", "negative"]
    for i in range(20):
        for name, before, after in (
            ("global", scores.global_probability[i], two.global_probability[i]),
            ("region", scores.region_probability[i, 0], two.region_probability[i, 0]),
        ):
            expected = [0.0, 0.0]
            for emotion, value in zip(emotions, before.values, strict=True):
                expected[POLARITY_OF[emotion] == "negative"] += float(value)
            np.testing.assert_allclose(after, expected, atol=1e-6, err_msg=name)
        label = int(scores.label[i])
        assert int(two.label[i]) == (
            -1 if label < 0 else POLARITY_OF[emotions[label]] != "positive"
        )
    assert np.isnan(two.region_probability.values[0]).all()  # the first image has no region
    for kept in ("objectness", "box", "fold"):
        assert two[kept].equals(scores[kept])
    assert two.attrs == scores.attrs
    assert {two.region_probability.dtype, two.global_probability.dtype} == {np.dtype("float32")}
    assert predict_labels(two, 3).sizes == {"image": 20, "emotion": 2}


def test_dimensions_may_come_in_any_order(make_scores):
    scores = named(make_scores, FI)
    turned = scores.transpose("emotion", "region", "corner", "image")
    xr.testing.assert_identical(
        in_polarity(turned).transpose(*in_polarity(scores).dims),
        in_polarity(scores).transpose(*in_polarity(scores).dims),
    )


def test_of_two_emotions_nothing_changes_but_their_order(make_scores):
    scores = make_scores(20, 6)
    xr.testing.assert_allclose(in_polarity(scores), scores)
    turned = scores.isel(emotion=[1, 0])
    label = turned.label.values
    turned = turned.assign(label=("image", np.where(label < 0, -1, 1 - label).astype(np.int8)))
    xr.testing.assert_allclose(in_polarity(turned), scores)


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8).filter(lambda v: sum(v) > 0.1))
def test_polarity_never_leaves_a_region_less_decided_in_nats(values):
    s = np.array(values) / sum(values)
    two = sums(s, polarities(FI))
    assert two.sum() == pytest.approx(1)
    assert sentiment_score(two) >= sentiment_score(s) - 1e-9  # merging classes loses entropy


def test_a_polarity_that_is_not_stated_is_asked_for():
    with pytest.raises(ValueError, match=r"no polarity is stated for \['boredom'\]; there are "):
        polarities(["awe", "boredom"])
    assert polarities(["awe", "boredom"], {"awe": "positive", "boredom": "negative"}).tolist() == [
        0,
        1,
    ]
    with pytest.raises(ValueError, match="a polarity is 'positive' or 'negative', not 'good'"):
        polarities(["awe"], {"awe": "good"})
    with pytest.raises(ValueError, match=r"\['awe', 'joy'\] are all positive"):
        polarities(["awe", "joy"])


def test_sides():
    assert has_polarity(FI)
    assert has_polarity(ROI)
    assert not has_polarity(["positive", "negative"])  # is polarity already
    assert not has_polarity(["awe", "joy", "amusement"])
    mask, name = first_side(ROI)
    assert (mask.tolist(), name) == ([False, False, False, True, False, True], "positive")
    mask, name = first_side(["positive", "negative"])
    assert (mask.tolist(), name) == ([True, False], "positive")
    mask, name = first_side(["cat", "cow", "dog"])
    assert (mask.tolist(), name) == ([True, False, False], "cat")
