import math
import re

import numpy as np
import pytest
import xarray as xr

from arlib.evaluation import box_iou
from arlib.method.algorithm import affective_regions, predict_labels


def algorithm_1(scores, i, k, alpha, beta):
    """Algorithm 1 of the paper for image i, in float64 and step by step."""
    ranked = []
    for j in range(scores.sizes["region"]):
        s = scores.region_probability.values[i, j].astype(float)
        obj_score = float(scores.objectness.values[i, j])
        if math.isnan(obj_score):
            continue
        senti_score = 1 + sum(x * math.log(x) for x in s if x > 0)
        ranked.append((math.sqrt(obj_score**2 + alpha * senti_score**2), j, s))
    best = sorted(ranked, key=lambda region: (-region[0], region[1]))[:k]
    y = scores.global_probability.values[i].astype(float)
    if best:
        y = y + beta / len(best) * sum(s for _, _, s in best)
    return [j for _, j, _ in best], y, int(np.argmax(y))


@pytest.mark.parametrize(("k", "alpha", "beta"), [(1, 1.0, 0.5), (3, 0.2, 1.5), (20, 4.0, 0.25)])
def test_it_is_algorithm_1_image_by_image(make_scores, k, alpha, beta):
    scores = make_scores(30, 12)
    regions = affective_regions(scores, k, alpha=alpha)
    prediction = predict_labels(scores, k, alpha=alpha, beta=beta)
    for i in range(scores.sizes["image"]):
        index, response, label = algorithm_1(scores, i, k, alpha, beta)
        assert regions.region.values[i].tolist() == index + [-1] * (k - len(index))
        np.testing.assert_allclose(prediction.response.values[i], response, rtol=1e-6)
        np.testing.assert_allclose(
            prediction.probability.values[i], response / response.sum(), rtol=1e-6
        )
        assert prediction.label.values[i] == label


@pytest.mark.parametrize("rank_by", ["both", "objectness", "sentiment"])
def test_filtered_and_suppressed_it_is_algorithm_1_of_the_regions_that_are_left(
    make_scores, rank_by
):
    """Step by step: those of enough sentiment, best first, unless a better one covers them."""
    scores, least, most, k = make_scores(40, 15), 0.4, 0.02, 3
    index = affective_regions(scores, k, rank_by=rank_by, min_sentiment=least, nms=most).region
    shorter = covered = 0
    for i in range(scores.sizes["image"]):
        ranked = []
        for j, s in enumerate(scores.region_probability.values[i].astype(float)):
            obj = float(scores.objectness.values[i, j])
            senti = 1 + sum(x * math.log(x) for x in s if x > 0)
            if obj == obj and senti >= least:
                score = {"both": math.hypot(obj, senti), "objectness": obj, "sentiment": senti}
                ranked.append((-score[rank_by], j))
        stays = []
        for _, j in sorted(ranked):
            boxes = scores.box.values[i, [*stays, j]].astype(float)
            covers = box_iou(boxes[-1:], boxes[:-1]).max(initial=0) > most
            covered += covers
            stays += [] if covers else [j]
        assert index.values[i].tolist() == (stays + [-1] * k)[:k]
        shorter += 0 < len(ranked) < k
    assert shorter > 0
    assert covered > 10


def test_an_image_whose_regions_are_all_filtered_is_its_full_image(make_scores):
    scores = make_scores(10, 6)
    filtered = predict_labels(scores, 3, min_sentiment=1.0)
    np.testing.assert_array_equal(filtered.response, scores.global_probability)
    assert predict_labels(scores, 3, min_sentiment=0.0, nms=1.0).equals(predict_labels(scores, 3))
    with pytest.raises(ValueError, match="min_sentiment must be at most 1"):
        predict_labels(scores, 3, min_sentiment=1.01)
    with pytest.raises(ValueError, match="nms must be between 0 and 1, not 2"):
        predict_labels(scores, 3, nms=2)


def test_the_regions_that_are_returned(make_scores):
    scores = make_scores(6, 5)
    regions = affective_regions(scores, 4)
    assert regions["rank"].values.tolist() == [1, 2, 3, 4]
    assert {name: values.dims for name, values in regions.data_vars.items()} == {
        "region": ("image", "rank"),
        "objectness": ("image", "rank"),
        "sentiment_score": ("image", "rank"),
        "affective_score": ("image", "rank"),
        "box": ("image", "rank", "corner"),
        "probability": ("image", "rank", "emotion"),
    }
    assert all(v.dtype == np.float32 for n, v in regions.data_vars.items() if n != "region")
    for (i, r), j in np.ndenumerate(regions.region.values):
        for name, source in [("box", "box"), ("probability", "region_probability")]:
            expected = scores[source].values[i, j] if j >= 0 else np.nan
            np.testing.assert_array_equal(
                regions[name].values[i, r], np.broadcast_to(expected, regions[name].shape[2:])
            )
    fused = regions.objectness**2 + regions.sentiment_score**2
    np.testing.assert_allclose(regions.affective_score, np.sqrt(fused), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "affective_score"),
        ({"rank_by": "objectness"}, "objectness"),
        ({"rank_by": "sentiment"}, "sentiment_score"),
        ({"alpha": 0.0}, "objectness"),
        ({"alpha": 1.0, "form": "linear"}, "objectness"),
        ({"alpha": 0.0, "form": "linear"}, "sentiment_score"),
    ],
)
def test_the_best_come_first(make_scores, settings, name):
    regions = affective_regions(make_scores(20, 8, missing=False), 8, **settings)
    assert (regions[name].diff("rank") <= 0).all()
    assert (np.sort(regions.region.values, -1) == np.arange(8)).all()
    if "alpha" not in settings:
        others = {"affective_score", "objectness", "sentiment_score"} - {name}
        assert all((regions[other].diff("rank") > 0).any() for other in others)


def test_the_predictions_that_are_returned(make_scores):
    scores = make_scores(10, 5)
    prediction = predict_labels(scores, 2, beta=0.25)
    assert prediction.response.dims == prediction.probability.dims == ("image", "emotion")
    assert prediction.label.dtype == np.int8
    np.testing.assert_allclose(prediction.response[1:].sum("emotion"), 1.25, rtol=1e-6)
    np.testing.assert_array_equal(prediction.response[0], scores.global_probability[0])
    np.testing.assert_allclose(prediction.probability.sum("emotion"), 1, rtol=1e-6)


def test_beta_0_leaves_the_regions_out(make_scores):
    scores = make_scores(10, 5)
    prediction = predict_labels(scores, 2, beta=0.0)
    np.testing.assert_array_equal(prediction.response, scores.global_probability)


def test_the_convex_form_sums_to_1(make_scores):
    prediction = predict_labels(make_scores(10, 5), 2, fusion="convex", beta=0.25)
    np.testing.assert_allclose(prediction.response.sum("emotion"), 1, rtol=1e-6)
    xr.testing.assert_allclose(prediction.response, prediction.probability.rename("response"))


def test_of_equal_responses_the_first_emotion_is_the_label(make_scores):
    scores = make_scores(3, 2)
    scores["global_probability"] = xr.full_like(scores.global_probability, 0.5)
    assert predict_labels(scores, 1, beta=0.0).label.values.tolist() == [0, 0, 0]


def test_the_order_of_dimensions_does_not_matter(make_scores):
    scores = make_scores(6, 5)
    turned = scores.transpose("emotion", "corner", "region", "image")
    order = {"response": ("image", "emotion"), "probability": ("image", "emotion")}
    for name, dims in order.items():
        np.testing.assert_allclose(
            predict_labels(turned, 3)[name].transpose(*dims),
            predict_labels(scores, 3)[name],
            rtol=1e-6,
        )


def test_no_regions_at_all(make_scores):
    scores = make_scores(4, 3).isel(region=slice(0))
    assert (affective_regions(scores, 2).region == -1).all()
    np.testing.assert_array_equal(predict_labels(scores, 2).response, scores.global_probability)


def test_many_emotions_need_another_base_or_form(make_scores):
    scores = make_scores(5, 6, n_emotions=8)
    message = (
        "with 8 emotions and base 'e' Eq. 1 reaches -1.08, which Eq. 2 would square: "
        'use base="classes", or form="linear"'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_labels(scores, 2)
    for settings in ({"base": "classes"}, {"form": "linear"}, {"rank_by": "sentiment"}):
        assert predict_labels(scores, 2, **settings).response.shape == (5, 8)


def test_an_unknown_ranking_is_refused(make_scores):
    message = 'rank_by must be "both", "objectness" or "sentiment", not \'size\''
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        affective_regions(make_scores(2, 2), 1, rank_by="size")


def test_an_image_without_prediction_is_named(make_scores):
    scores = make_scores(4, 2)
    scores.global_probability[2] = np.nan
    message = "global_probability of image 'image0002.jpg' is NaN: it needs a prediction"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_labels(scores, 1)
