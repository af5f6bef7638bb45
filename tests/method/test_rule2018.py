"""The rule of 2018, as settings of Algorithm 1, beside a loop by hand."""

import math

import numpy as np
import pytest
import xarray as xr

from arlib.method.algorithm import RULE_2018, affective_regions, predict_labels

N, REGIONS = 30, 12


@pytest.fixture(scope="module")
def scores(make_scores):
    """In double precision, as a loop in Python computes; the first image has no region."""
    return make_scores(N, REGIONS, seed=18).astype(float)


def minmax(values):
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 1.0 for value in values]


def predict(scores, **changed):
    """Regions and labels by the rule of 2018, or by one that differs from it in a setting."""
    settings = {**RULE_2018, **changed}
    ranking = {name: settings[name] for name in settings if name not in ("beta", "fusion")}
    return predict_labels(scores, **settings).assign(
        region=affective_regions(scores, **ranking).region
    )


def by_hand(image, k, normalize):
    """One image: its best regions and its response, straight from the rule."""
    s, global_ = image.region_probability.values.tolist(), image.global_probability.values.tolist()
    regions = [j for j, obj in enumerate(image.objectness.values.tolist()) if not math.isnan(obj)]
    if not regions:
        return [], global_
    obj = [float(image.objectness[j]) for j in regions]
    senti = [1 + sum(p * math.log(p) for p in s[j] if p > 0) for j in regions]
    if normalize == "minmax":
        obj, senti = minmax(obj), minmax(senti)
    ar = {j: 0.4 * b + 0.6 * a for j, a, b in zip(regions, obj, senti, strict=True)}
    best = sorted(regions, key=lambda j: -ar[j])[:k]
    mean = [sum(s[j][c] for j in best) / len(best) for c in range(len(global_))]
    return best, [0.7 * y + 0.3 * m for y, m in zip(global_, mean, strict=True)]


def check(scores, prediction, k, normalize="minmax"):
    for i in range(scores.sizes["image"]):
        best, y = by_hand(scores.isel(image=i), k, normalize)
        assert prediction.region.values[i].tolist() == best + [-1] * (k - len(best))
        np.testing.assert_allclose(prediction.response.values[i], y)
        assert prediction.label.values[i] == y.index(max(y))


@pytest.mark.parametrize("normalize", ["minmax", "none"])
def test_the_rule_is_a_loop_over_images(scores, normalize):
    check(scores, predict(scores, normalize=normalize), 8, normalize)


def test_with_another_k_and_more_emotions(make_scores):
    more = make_scores(N, REGIONS, n_emotions=4, seed=3).astype(float)
    check(more, predict(more, k=3), 3)


def test_min_max_changes_what_is_selected_and_not_the_scores_that_are_returned(scores):
    assert (predict(scores).region != predict(scores, normalize="none").region).any()
    regions = affective_regions(scores, REGIONS, form="linear", normalize="minmax")
    plain = affective_regions(scores, REGIONS, form="linear")
    for name in ("objectness", "sentiment_score"):
        np.testing.assert_array_equal(np.sort(regions[name]), np.sort(plain[name]))
    assert (regions.affective_score.max("rank")[1:] <= 1).all()
    assert (regions.affective_score.min("rank") >= 0)[1:].all()


def test_with_min_max_each_image_may_have_a_scale_of_its_own(scores):
    """Halves and quarters, which a computer scales exactly."""
    scale = xr.DataArray(0.5 ** (np.arange(N) % 7), dims="image")
    other = scores.assign(objectness=scores.objectness * scale)
    xr.testing.assert_equal(predict(other), predict(scores))
    plain, changed = (predict(each, normalize="none").region for each in (scores, other))
    assert (plain != changed).any()


def test_an_image_without_regions_keeps_its_global_prediction(scores):
    assert scores.objectness[0].isnull().all()
    prediction = predict(scores).isel(image=0)
    assert (prediction.region == -1).all()
    np.testing.assert_array_equal(prediction.response, scores.global_probability[0])
    assert prediction.label == scores.global_probability[0].values.argmax()


def test_a_response_sums_to_one(scores):
    np.testing.assert_allclose(predict(scores).response.sum("emotion"), 1)


def test_of_equal_regions_the_first_are_taken_and_of_equal_shares_the_first():
    """All scores alike: min-max gives 1 to each."""
    half = xr.Dataset(
        {
            "objectness": (("image", "region"), np.full((1, 10), 0.25)),
            "box": (("image", "region", "corner"), np.ones((1, 10, 4))),
            "region_probability": (("image", "region", "emotion"), np.full((1, 10, 2), 0.5)),
            "global_probability": (("image", "emotion"), [[0.5, 0.5]]),
        }
    )
    prediction = predict(half)
    assert prediction.region.values.tolist() == [list(range(8))]
    assert prediction.response.values.tolist() == [[0.5, 0.5]]
    assert prediction.label.values.tolist() == [0]


def test_a_twin_of_a_region_comes_right_after_it(scores):
    """Every region twice: the choice is the one without twins, each followed by its twin."""
    twice = scores.isel(region=np.repeat(np.arange(REGIONS), 2))
    once = predict(scores, k=4).region.values
    expected = np.where(once < 0, -1, 2 * once)
    region = predict(twice).region.values
    np.testing.assert_array_equal(region[:, ::2], expected)
    np.testing.assert_array_equal(region[:, 1::2], np.where(once < 0, -1, expected + 1))


def test_scores_go_by_name_not_by_the_order_of_dimensions(scores):
    turned = predict(scores.transpose("emotion", "region", "image", ...))
    xr.testing.assert_equal(turned.transpose(*predict(scores).dims), predict(scores))
    assert turned.label.dtype == np.int8


def test_normalised_scores_are_not_negative_so_eq_2_takes_them(make_scores):
    """Of eight emotions Eq. 1 is negative, which Eq. 2 refuses to square."""
    scores = make_scores(5, 6, n_emotions=8)
    with pytest.raises(ValueError, match=r"which Eq\. 2 would square"):
        affective_regions(scores, 2)
    regions = affective_regions(scores, 2, normalize="minmax")
    assert (regions.affective_score[1:, 0] > 0).all()


def test_an_unknown_normalisation_is_refused(scores):
    with pytest.raises(ValueError, match=r"^normalise by one of none, minmax, rank, not by 'max'$"):
        predict_labels(scores, 1, normalize="max")
