import itertools
import math
import re
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from arlib.method.ranking import affective_score, suppress, take_regions, top_regions

# few values, so that ties are common
TIED = st.sampled_from([0.0, 0.25, 0.5, 1.0, -1.0, math.inf, -math.inf, math.nan])
SCORES = arrays(
    st.sampled_from([np.float16, np.float32, np.float64]),
    array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
    elements=TIED,
)


def best_first(score, k):
    """Pick the best that is left, K times."""
    left, chosen = {j: s for j, s in enumerate(score) if not math.isnan(s)}, []
    for _ in range(k):
        best = -1
        for j, s in left.items():
            if best == -1 or s > left[best]:
                best = j
        left.pop(best, None)
        chosen.append(best)
    return chosen


@given(SCORES, st.integers(1, 8))
def test_top_regions_are_those_of_a_loop(score, k):
    index = top_regions(score, k)
    assert index.shape == (*score.shape[:-1], k)
    assert index.dtype == np.int64
    for where in np.ndindex(score.shape[:-1]):
        assert index[where].tolist() == best_first(score[where].tolist(), k)


@given(SCORES, st.integers(1, 8))
def test_a_larger_k_only_adds_regions(score, k):
    np.testing.assert_array_equal(top_regions(score, k + 1)[..., :k], top_regions(score, k))


def iou_of(a, b):
    """Intersection over union of two boxes, side by side."""
    sides = [max(0, min(a[d + 2], b[d + 2]) - max(a[d], b[d])) for d in (0, 1)]
    shared = sides[0] * sides[1]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return Fraction(shared, sum(areas) - shared)


def kept_greedily(score, boxes, iou):
    """The regions that stay, best first: each unless one that stays overlaps it too much."""
    stays = []
    for j in best_first(score, sum(not math.isnan(s) for s in score)):
        if all(iou_of(boxes[i], boxes[j]) <= iou for i in stays):
            stays.append(j)
    return stays


@st.composite
def regions(draw):
    """Scores (n, N) with ties and gaps, and boxes (n, N, 4) of whole, few sides."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(0, 7)))
    score = draw(arrays(np.float32, shape, elements=TIED))
    corner, side = (draw(arrays(np.int64, (*shape, 2), elements=st.integers(*r))) for r in SPANS)
    return score, np.concatenate([corner, corner + side], -1)


SPANS = (0, 3), (1, 4)
OVERLAPS = st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(1, 2), Fraction(1)])


@given(regions(), OVERLAPS, st.integers(1, 4))
def test_suppression_is_that_of_a_loop(scored, iou, k):
    score, boxes = scored
    left = suppress(score, boxes, float(iou), score.shape[1] + 1)
    few = top_regions(suppress(score, boxes, float(iou), k), k)
    assert left.dtype == score.dtype
    for row, values in enumerate(score.tolist()):
        stays = kept_greedily(values, boxes[row].tolist(), iou)
        assert top_regions(left[row], len(values) + 1).tolist() == stays + [-1] * (
            len(values) + 1 - len(stays)
        )
        assert few[row].tolist() == (stays + [-1] * k)[:k], "only the best k are needed"
        np.testing.assert_array_equal(left[row, stays], score[row, stays])


@given(regions(), OVERLAPS)
def test_what_stays_is_apart_and_stays_again(scored, iou):
    score, boxes = scored
    most = score.shape[1] + 1
    left = suppress(score, boxes, float(iou), most)
    np.testing.assert_array_equal(suppress(left, boxes, float(iou), most), left)
    np.testing.assert_array_equal(suppress(score, boxes, 1.0, most), score)
    for row, stays in enumerate(~np.isnan(left)):
        apart = boxes[row, stays].tolist()
        assert all(iou_of(a, b) <= iou for a, b in itertools.combinations(apart, 2))


def test_boxes_of_nothing_drop_none():
    boxes = [[0, 0, 4, 4], [np.nan] * 4, [0, 0, 4, 4]]
    assert suppress([0.2, np.nan, 0.1], boxes, 0.5, 3).tolist()[:1] == [0.2]


@pytest.mark.parametrize("iou", [-0.1, 1.5, math.nan])
def test_an_overlap_is_a_share(iou):
    with pytest.raises(ValueError, match="nms must be between 0 and 1"):
        suppress([0.5], [[0, 0, 1, 1]], iou, 1)


def test_many_equal_scores_keep_their_order():
    score = np.tile(np.float32([0.5, 0.25]), 500)
    assert top_regions(score, 1000).tolist() == [*range(0, 1000, 2), *range(1, 1000, 2)]


def test_unsigned_scores_do_not_wrap():
    assert top_regions(np.array([0, 3, 1], np.uint8), 3).tolist() == [1, 2, 0]


def test_top_regions_names_its_dimension(make_scores):
    objectness = make_scores(5, 7).objectness
    index = top_regions(objectness, 3)
    assert index.dims == ("image", "rank")
    assert index.name == "region"
    np.testing.assert_array_equal(index, top_regions(objectness.values, 3))
    np.testing.assert_array_equal(index, top_regions(objectness.T, 3))


@pytest.mark.parametrize("k", [0, -1, 2.0, "3", None])
def test_k_must_count(k):
    message = f"k must be a whole number of at least 1, not {k!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        top_regions([0.5], k)


def test_a_dataarray_without_regions_is_refused():
    with pytest.raises(ValueError, match=r"^score must have the dimension 'region', not only \('x"):
        top_regions(xr.DataArray([0.5], dims="x"), 1)


@pytest.mark.parametrize("rest", [(), (4,), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_take_regions_is_a_loop_of_look_ups(rest, dtype):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 100, (5, 6, *rest)).astype(dtype)
    index = rng.integers(-1, 6, (5, 8))
    taken = take_regions(values, index)
    assert taken.shape == (5, 8, *rest)
    assert taken.dtype == (dtype if dtype != np.int64 else np.float64)
    for i, r in np.ndindex(index.shape):
        expected = values[i, index[i, r]] if index[i, r] >= 0 else np.full(rest, np.nan)
        np.testing.assert_array_equal(taken[i, r], expected)


def test_take_regions_of_dataarrays_goes_by_name(make_scores):
    scores = make_scores(4, 6)
    index = top_regions(scores.objectness, 3)
    box = take_regions(scores.box.transpose("corner", "region", "image"), index)
    assert box.dims == ("corner", "rank", "image")
    assert box.name == "box"
    np.testing.assert_array_equal(
        box.transpose("image", "rank", "corner"), take_regions(scores.box.values, index.values)
    )
    more = xr.concat([index, index[:, ::-1]], "alpha")
    taken = take_regions(scores.objectness, more)
    assert taken.dims == ("alpha", "image", "rank")
    xr.testing.assert_identical(
        taken.isel(alpha=1), take_regions(scores.objectness, index[:, ::-1])
    )


def test_where_there_is_no_region_nothing_is_taken():
    nothing = np.empty((2, 0, 4), np.float32)
    index = top_regions(nothing[..., 0], 3)
    assert (index == -1).all()
    assert np.isnan(take_regions(nothing, index)).all()


@pytest.mark.parametrize("index", [-2, 3])
def test_take_regions_refuses_an_index_out_of_range(index):
    message = rf"^index must be in \[-1, 3\) for 3 regions, not {index}$"
    with pytest.raises(ValueError, match=message):
        take_regions([0.1, 0.2, 0.3], [0, index])


UNIT = st.floats(0, 1, width=32)


@given(UNIT, UNIT, st.floats(0, 10))
def test_affective_score_is_eq_2(objectness, sentiment, alpha):
    expected = math.sqrt(objectness**2 + alpha * sentiment**2)
    assert affective_score(objectness, sentiment, alpha) == pytest.approx(expected, abs=1e-15)


@given(UNIT, UNIT, UNIT)
def test_the_linear_form_weighs_the_objectness_by_alpha(objectness, sentiment, alpha):
    expected = (1 - alpha) * sentiment + alpha * objectness
    assert affective_score(objectness, sentiment, alpha, form="linear") == pytest.approx(expected)


@given(arrays(np.float32, 20, elements=UNIT), arrays(np.float32, 20, elements=UNIT))
def test_at_its_ends_alpha_leaves_one_score(objectness, sentiment):
    np.testing.assert_allclose(affective_score(objectness, sentiment, 0), objectness, 1e-6)
    np.testing.assert_array_equal(affective_score(objectness, sentiment, 0, "linear"), sentiment)
    np.testing.assert_array_equal(affective_score(objectness, sentiment, 1, "linear"), objectness)


@given(UNIT, UNIT, UNIT, st.floats(0, 10), st.sampled_from(["euclidean", "linear"]))
def test_more_of_either_score_never_lowers_it(objectness, sentiment, more, alpha, form):
    alpha = min(alpha, 1.0) if form == "linear" else alpha
    score = affective_score(objectness, sentiment, alpha, form) - 1e-12
    assert affective_score(objectness + more, sentiment, alpha, form) >= score
    assert affective_score(objectness, sentiment + more, alpha, form) >= score


@pytest.mark.parametrize("form", ["euclidean", "linear"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("alpha", [1, 0.3, np.float64(0.3), np.array([[0.1], [0.9]])])
def test_affective_score_keeps_the_precision(form, dtype, alpha):
    objectness, sentiment = np.random.default_rng(0).uniform(size=(2, 3)).astype(dtype)
    score = affective_score(objectness, sentiment, alpha, form)
    assert score.dtype == dtype
    assert score.shape == np.broadcast_shapes((3,), np.shape(alpha))


def test_affective_score_takes_lists_numbers_and_nan():
    np.testing.assert_allclose(affective_score([0.6, math.nan], 0.8), [1.0, math.nan])
    assert affective_score(np.float32([0.6]), 0.8).dtype == np.float32
    assert affective_score(3, 4) == 5


def test_affective_score_of_dataarrays_broadcasts_by_name(make_scores):
    objectness = make_scores(3, 4).objectness
    alpha = xr.DataArray([0.0, 1.0], dims="alpha")
    score = affective_score(objectness, objectness.T, alpha)
    assert score.name == "affective_score"
    assert score.dtype == np.float32
    expected = affective_score(objectness.values, objectness.values, 1.0)
    np.testing.assert_array_equal(score.isel(alpha=1).transpose("image", "region"), expected)


@pytest.mark.parametrize(
    ("alpha", "form", "message"),
    [
        (-1, "euclidean", "alpha must be between 0 and 1000 for form 'euclidean', not -1"),
        (math.inf, "euclidean", "alpha must be between 0 and 1000 for form 'euclidean', not i"),
        ([0, math.nan], "euclidean", "alpha must be between 0 and 1000 for form 'euclidean', "),
        ([0.5, 1.5], "linear", "alpha must be between 0 and 1 for form 'linear', not 1.5"),
        (1, "cubic", 'form must be "euclidean" or "linear", not \'cubic\''),
    ],
)
def test_wrong_settings_are_refused(alpha, form, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        affective_score(0.5, 0.5, alpha, form)
