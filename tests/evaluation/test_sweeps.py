import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from arlib.evaluation.metrics import evaluate
from arlib.evaluation.sweeps import predicted_labels, sweep
from arlib.method import predict_labels

SETTINGS = [
    (2, {}),
    (2, {"rank_by": "objectness"}),
    (3, {"rank_by": "sentiment"}),
    (2, {"base": 2, "form": "linear", "fusion": "convex"}),
    (3, {"base": "classes"}),
]


def tied(scores, step, seed=0):
    """The same scores on a coarse grid: equal ranks and equal responses are common."""
    m = scores.sizes["emotion"]
    rng = np.random.default_rng(seed)
    scores = scores.copy(deep=True)
    scores["objectness"] = (scores.objectness * 4).round() / 4
    for name in ("global_probability", "region_probability"):
        parts = rng.multinomial(step, np.ones(m) / m, scores[name].shape[:-1])
        scores[name] = scores[name].where(scores[name].isnull(), parts.astype(np.float32) / step)
    return scores


@settings(max_examples=40)
@given(
    st.sampled_from(SETTINGS),
    st.sampled_from([8, 10]),  # eighths add up exactly, tenths do not
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.integers(0, 999),
)
def test_predicted_labels_are_those_of_algorithm_1(make_scores, case, step, beta, seed):
    n_emotions, others = case
    scores = tied(make_scores(12, 7, n_emotions, seed), step, seed)
    ks = (4, 1, 9, 2, 3)
    labels = predicted_labels(scores, ks, alpha=0.5, beta=beta, **others)
    assert labels.dims == ("image", "k")
    assert labels.dtype == np.int8
    assert labels.image.equals(scores.image)
    for k in ks:
        expected = predict_labels(scores, k, alpha=0.5, beta=beta, **others).label
        np.testing.assert_array_equal(labels.sel(k=k), expected)


def test_equal_responses_do_occur_in_these_tests(make_scores):
    scores = tied(make_scores(60, 8), 8)
    response = predict_labels(scores, 2).response
    assert (response[:, 0] == response[:, 1]).any()
    ranked = np.sort(predict_labels(tied(make_scores(60, 8), 10), 3).response)
    assert (ranked[:, 0] == ranked[:, 1]).any()


def test_predicted_labels_need_no_labels_and_no_names(make_scores):
    scores = make_scores(6, 4)
    bare = scores.drop_vars(["label", "fold", "image", "emotion"])
    labels = predicted_labels(bare.transpose("emotion", "region", "corner", "image"))
    np.testing.assert_array_equal(labels, predicted_labels(scores))
    assert labels.k.values.tolist() == list(range(1, 21))
    assert "image" not in labels.coords


def test_a_region_without_a_prediction_takes_its_rank_and_adds_nothing(make_scores):
    scores = make_scores(20, 6, missing=False)
    scores.region_probability[:, 0] = np.nan  # the one with the highest objectness
    labels = predicted_labels(scores, [1, 2, 6], rank_by="objectness")
    for k in (1, 2, 6):
        expected = predict_labels(scores, k, rank_by="objectness").label
        np.testing.assert_array_equal(labels.sel(k=k), expected)
    np.testing.assert_array_equal(labels.sel(k=1), scores.global_probability.argmax("emotion"))


@pytest.mark.parametrize(("n_emotions", "others"), SETTINGS)
def test_the_sweep_is_a_loop_over_algorithm_1(make_scores, n_emotions, others):
    ks, alphas, betas = (5, 1, 12), (0.0, 0.4, 1.0), (0.0, 0.5, 1.0)
    scores = make_scores(40, 8, n_emotions).drop_vars("fold")
    for source in (scores, tied(scores, 8)):
        swept = sweep(source, ks, alphas, betas, **others)
        assert swept.accuracy.dims == swept.balanced_accuracy.dims == ("k", "alpha", "beta")
        assert swept.attrs == {"images": 39, "unknown": 1}
        truth = source.label.values[:-1]
        for k, alpha, beta in product(ks, alphas, betas):
            label = predict_labels(source, k, alpha=alpha, beta=beta, **others).label.values[:-1]
            one = swept.sel(k=k, alpha=alpha, beta=beta)
            assert one.accuracy == accuracy_score(truth, label)
            assert one.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, label))


def test_the_default_sweep_holds_the_papers_setting(make_scores):
    scores = make_scores(10, 4).drop_vars("fold")
    swept = sweep(scores)
    assert set(swept) == {"accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy"}
    assert dict(swept.sizes) == {"k": 20, "alpha": 11, "beta": 11}
    one = swept.accuracy.sel(k=3, alpha=1.0, beta=0.5)
    assert one == (predict_labels(scores, 3).label == scores.label)[:-1].mean()
    assert np.unique(swept.accuracy.sel(beta=0.0)).size == 1  # no region counts


@pytest.mark.parametrize("n_emotions", [2, 3])
def test_the_numbers_are_those_of_evaluate(make_scores, n_emotions):
    scores = make_scores(1100, 8, n_emotions)  # more than a block
    scores.fold[::7] = -1
    scores.label[scores.fold == 2] = 0  # a fold that lacks emotions
    swept = sweep(scores, [2], [1.0], [0.0, 0.5], base="classes", confidence=0.9)
    for beta in (0.0, 0.5):
        response = predict_labels(scores, 2, beta=beta, base="classes").response
        table = evaluate(response, scores.label, folds=scores.fold, confidence=0.9)
        row = table.loc["accuracy"]
        one = swept.sel(k=2, alpha=1.0, beta=beta)
        np.testing.assert_allclose(
            [one.accuracy, one.accuracy_low, one.accuracy_high], [row.estimate, row.low, row.high]
        )
        assert float(one.balanced_accuracy) == pytest.approx(table.estimate["balanced_accuracy"])
    assert swept.attrs == {"images": table.images.iloc[0], "unknown": table.unknown.iloc[0]}


def test_unlabelled_images_change_nothing_but_their_count(make_scores):
    scores = make_scores(30, 5)
    scores.label[::4] = -1
    swept = sweep(scores, range(1, 4))
    known = sweep(scores.isel(image=scores.label.values >= 0), range(1, 4))
    assert swept.equals(known)
    assert (swept.attrs["unknown"], known.attrs["unknown"]) == (9, 0)


def test_more_images_than_a_block(make_scores):
    """A block is 1024 images; these take three, the last one short."""
    scores = make_scores(2100, 6).drop_vars("fold")
    ks, alphas, betas = (1, 3), (0.0, 1.0), (0.3, 0.9)
    swept = sweep(scores, ks, alphas, betas)
    for k, alpha, beta in product(ks, alphas, betas):
        label = predict_labels(scores, k, alpha=alpha, beta=beta).label
        expected = accuracy_score(scores.label[:-1], label[:-1])
        assert float(swept.accuracy.sel(k=k, alpha=alpha, beta=beta)) == pytest.approx(expected)
    for k in ks:
        expected = predict_labels(scores, k).label
        np.testing.assert_array_equal(predicted_labels(scores, ks).sel(k=k), expected)


def test_a_sweep_where_an_emotion_has_no_image(make_scores):
    scores = make_scores(5, 3)
    scores.label[:] = 0
    swept = sweep(scores, [1], [1.0], [0.5])
    assert np.isnan(swept.balanced_accuracy).all()
    for name in ("accuracy", "accuracy_low", "accuracy_high"):
        assert swept[name].notnull().all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": []}, "k must hold at least one value"),
        ({"beta": ()}, "beta must hold at least one value"),
        ({"k": [0, 1]}, "k must hold whole numbers of at least 1, not [0, 1]"),
        ({"k": [1.5]}, "k must hold whole numbers of at least 1, not [1.5]"),
        ({"alpha": [1, -1]}, "alpha must be between 0 and 1000 for form 'euclidean', not -1"),
        ({"beta": [0.5, -1]}, "beta must be between 0 and 1000 for form 'sum', not -1.0"),
        ({"rank_by": "size"}, 'rank_by must be "both", "objectness" or "sentiment", not \'size\''),
        ({"confidence": 95}, "confidence must be between 0 and 1, not 95"),
    ],
)
def test_a_wrong_sweep_is_refused(make_scores, values, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sweep(make_scores(4, 3), **values)


def spoilt(scores, name):
    """The same scores with one wrong value, late among the images."""
    scores[name][7] = np.nan if name == "global_probability" else 3.0
    return scores


@pytest.mark.parametrize(
    ("n_emotions", "name", "values"),
    [
        (2, "global_probability", {}),
        (2, "region_probability", {}),
        (3, None, {}),  # Eq. 2 would square negative scores
        (2, None, {"base": 1}),
        (2, None, {"form": "square"}),
        (2, None, {"fusion": "product"}),
        (2, None, {"fusion": "convex", "beta": 2.0}),
    ],
)
def test_what_algorithm_1_refuses_is_refused_in_its_words(make_scores, n_emotions, name, values):
    scores = make_scores(9, 4, n_emotions)
    if name:
        scores = spoilt(scores, name)
    with pytest.raises(ValueError, match=r"\w") as theirs:
        predict_labels(scores, 2, **values)
    with pytest.raises(ValueError, match=f"^{re.escape(str(theirs.value))}$"):
        predicted_labels(scores, [2], **values)


def test_many_nearly_equal_responses_fall_as_in_algorithm_1(make_scores):
    """Tenths in float32: whether two responses are equal hangs on how they are summed."""
    scores = tied(make_scores(2000, 20), 10)
    labels = predicted_labels(scores, (3, 7, 12, 20), beta=0.5)
    for k in labels.k.values:
        np.testing.assert_array_equal(labels.sel(k=k), predict_labels(scores, int(k)).label)
