"""Polarity of several emotions by the stated mapping."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st

from arlib.method.algorithm import predict_labels
from arlib.method.polarity import POLARITY_OF, first_side, polarities, to_polarity
from arlib.method.sentiment import sentiment_score

FI = ["amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness"]
ROI = ["anger", "disgust", "fear", "joy", "sadness", "surprise"]


def named(make_scores, emotions, **settings):
    scores = make_scores(20, 6, n_emotions=len(emotions), **settings)
    return scores.assign_coords(emotion=np.array(emotions, object))


@pytest.mark.parametrize("emotions", [FI, ROI])
def test_each_polaritys_probability_is_the_sum_of_its_emotions(make_scores, emotions):
    scores = named(make_scores, emotions)
    two = to_polarity(scores)
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
        to_polarity(turned).transpose(*to_polarity(scores).dims),
        to_polarity(scores).transpose(*to_polarity(scores).dims),
    )


def test_of_two_emotions_nothing_changes_but_their_order(make_scores):
    scores = make_scores(20, 6)
    xr.testing.assert_allclose(to_polarity(scores), scores)
    turned = scores.isel(emotion=[1, 0])
    label = turned.label.values
    turned = turned.assign(label=("image", np.where(label < 0, -1, 1 - label).astype(np.int8)))
    xr.testing.assert_allclose(to_polarity(turned), scores)


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8).filter(lambda v: sum(v) > 0.1))
def test_polarity_never_raises_a_regions_entropy_in_nats(values):
    s = xr.Dataset({"s": ("emotion", np.array(values) / sum(values))})
    two = to_polarity(s, FI)
    assert two.s.sum() == pytest.approx(1)
    assert sentiment_score(two.s) >= sentiment_score(s.s) - 1e-9  # merging classes loses entropy


def test_variables_without_emotions_are_kept_and_names_may_be_given(make_scores):
    scores = named(make_scores, ROI)
    bare = scores.drop_vars(["emotion", "label"])
    expected = to_polarity(scores).drop_vars("label")
    xr.testing.assert_identical(to_polarity(bare, ROI), expected[list(to_polarity(bare, ROI))])


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
    mask, name = first_side(ROI)
    assert (mask.tolist(), name) == ([False, False, False, True, False, True], "positive")
    mask, name = first_side(["positive", "negative"])
    assert (mask.tolist(), name) == ([True, False], "positive")
    mask, name = first_side(["cat", "cow", "dog"])
    assert (mask.tolist(), name) == ([True, False, False], "cat")
