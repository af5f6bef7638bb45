"""Overlap, recall and localisation, against counting pixels and loops over boxes."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t

from arlib.datasets import load
from arlib.evaluation.boxes import best_overlap, box_iou, locate, locate_rules, map_ratio, recall
from arlib.evaluation.significance import fold_means
from arlib.method import affective_regions

CORNERS = st.integers(0, 12)


@st.composite
def boxes(draw, least=0):
    n = draw(st.integers(least, 5))
    points = draw(arrays(np.float64, (n, 2, 2), elements=CORNERS))
    low, high = points.min(1), points.max(1) + 1
    return np.concatenate([low, high], axis=-1)


def pixels(box):
    x0, y0, x1, y1 = box
    return {(x, y) for x in range(int(x0), int(x1)) for y in range(int(y0), int(y1))}


def overlap(a, b):
    """IoU of two boxes by counting pixels."""
    return len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b))


@given(boxes(), boxes())
def test_iou_counts_pixels(a, b):
    iou = box_iou(a, b)
    assert iou.shape == (len(a), len(b))
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            assert iou[i, j] == pytest.approx(overlap(one, other))


@given(boxes(1), boxes(1))
def test_iou_is_a_symmetric_share(a, b):
    iou = box_iou(a, b)
    assert ((iou >= 0) & (iou <= 1)).all()
    np.testing.assert_array_equal(iou, box_iou(b, a).T)
    np.testing.assert_array_equal(np.diag(box_iou(a, a)), 1)
    np.testing.assert_allclose(iou, box_iou(a * 7 + 3, b * 7 + 3))
    np.testing.assert_array_equal(iou, box_iou(a / 1024, b / 1024), "boxes smaller than a pixel")


def test_iou_keeps_float32_and_leading_axes():
    a = np.zeros((3, 1, 5, 4), np.float32) + np.float32([0, 0, 1, 1])
    b = np.zeros((2, 6, 4), np.float32) + np.float32([0, 0, 2, 1])
    assert box_iou(a, b).shape == (3, 2, 5, 6)
    assert box_iou(a, b).dtype == np.float32
    assert (box_iou(a, b) == 0.5).all()


def test_iou_of_no_area_and_of_no_box():
    point, nothing = [[1.0, 1, 1, 1]], [[np.nan] * 4]
    assert box_iou(point, point) == 0
    assert np.isnan(box_iou(nothing, point)).all()
    assert box_iou([], point).shape == (0, 1)


def loop_recall(proposals, truth, iou, n):
    covered = total = 0
    for ranked, objects in zip(proposals, truth, strict=True):
        for true in objects:
            total += 1
            covered += any(overlap(box, true) >= iou for box in ranked[:n])
    return covered / total


@given(
    st.lists(st.tuples(boxes(), boxes()), max_size=4),
    boxes(1),
    st.sampled_from([0.3, 0.5, 1.0]),
)
def test_recall_is_that_of_a_loop(pairs, last, iou):
    proposals = [ranked for ranked, _ in pairs] + [last]
    truth = [objects for _, objects in pairs] + [last[:1]]
    counts = [0, 1, 2, 5, 100]
    expected = [loop_recall(proposals, truth, iou, n) for n in counts]
    np.testing.assert_allclose(recall(proposals, truth, counts, iou), expected)
    assert (np.diff(expected) >= 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: box_iou([[0, 0, 1]], [[0, 0, 1, 1]]), r"a must have shape"),
        (lambda: box_iou([[0, 0, 1, 1]], [[2, 0, 1, 1]]), r"b must have x0 <= x1 .* not \[2"),
        (lambda: recall([[]], [], [1]), "boxes are of 1 images, but truth is of 0"),
        (lambda: recall([[]], [[]], [1]), "truth must hold at least one box"),
        (lambda: recall([[]], [[[0, 0, 1, 1]]], [1], iou=0), r"iou must be in \(0, 1\], not 0"),
        (lambda: recall([[]], [[[0, 0, 1, 1]]], counts=[-1]), "counts must be whole numbers"),
        (
            lambda: locate([[0, 0, 1, 1]], [[[0, 0, 1, 1]]], iou=2),
            r"iou must be in \(0, 1\], not 2",
        ),
        (lambda: locate([[3, 0, 1, 1]], [[[0, 0, 1, 1]]]), "top must have x0 <= x1"),
        (lambda: locate([[0, 0, 1, 1]], [[[0, 9, 1, 1]]]), "known must have x0 <= x1"),
    ],
)
def test_what_is_no_box(call, message):
    with pytest.raises(ValueError, match=message):
        call()


N, K, R, SEED = st.integers(1, 6), st.integers(1, 4), st.integers(0, 4), st.integers(0, 99)


def draw(rng, *shape, gaps=0.3):
    """Boxes of full pixels, which often touch; some of them missing."""
    corner = rng.integers(0, 8, (*shape, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 8, corner.shape)], -1).astype(float)
    boxes[rng.random(shape) < gaps] = np.nan
    return boxes


def existing(boxes):
    return [box for box in boxes if not np.isnan(box).any()]


@given(N, K, R, SEED)
def test_the_best_overlap_is_what_counting_pixels_gives(n, k, r, seed):
    rng = np.random.default_rng(seed)
    boxes, known = draw(rng, n, k), draw(rng, n, r)
    best = best_overlap(boxes, known)
    assert best.shape == (n, k)
    for image in range(n):
        for place in range(k):
            box, regions = boxes[image, place], existing(known[image])
            if np.isnan(box).any() or not regions:
                assert np.isnan(best[image, place])
            else:
                expected = max(overlap(box, region) for region in regions)
                assert best[image, place] == pytest.approx(expected)


@given(N, R, SEED, st.sampled_from([0.1, 0.5, 1.0]), st.booleans())
def test_locate_against_a_loop_over_images(n, r, seed, iou, own_points):
    rng = np.random.default_rng(seed)
    top, known = draw(rng, n), draw(rng, n, r + 1)
    points = rng.integers(0, 16, (n, 2)).astype(float) if own_points else None
    if own_points:
        points[rng.random(n) < 0.2] = np.nan
    hits, overlaps, pointed = [], [], []
    for image in range(n):
        regions = existing(known[image])
        if not regions:
            continue
        missing = np.isnan(top[image]).any()
        best = 0.0 if missing else max(overlap(top[image], region) for region in regions)
        left, upper, right, lower = top[image]
        x, y = ((left + right) / 2, (upper + lower) / 2) if points is None else points[image]
        hits.append(best >= iou)
        overlaps.append(best)
        pointed.append(any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in regions))
    if not hits:
        with pytest.raises(ValueError, match="no image has a known region"):
            locate(top, known, points=points, iou=iou)
        return
    table = locate(top, known, points=points, iou=iou)
    assert table.index.tolist() == ["hit rate", "mean IoU", "pointing game"]
    for values, name in ((hits, "hit rate"), (pointed, "pointing game")):
        np.testing.assert_allclose(table.loc[name], fold_means(values, [0] * len(values)))
    mean, spread = np.mean(overlaps), np.std(overlaps, ddof=1) if len(overlaps) > 1 else np.nan
    if spread > 0:
        low, high = t.interval(0.95, len(overlaps) - 1, mean, spread / np.sqrt(len(overlaps)))
        np.testing.assert_allclose(table.loc["mean IoU"], [mean, max(low, 0), min(high, 1)])
    else:
        np.testing.assert_allclose(table.loc["mean IoU"], [mean, mean + spread, mean + spread])


def test_an_image_without_a_box_is_a_miss_and_one_without_a_region_is_left_out():
    region, none = [[0, 0, 10, 10]], [[np.nan] * 4]
    top = [region[0], [np.nan] * 4, region[0]]
    table = locate(top, [region, region, none])
    assert table.estimate.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("iou", "hit"), [(0.5, 1), (0.51, 0)])
def test_an_overlap_of_just_the_threshold_is_a_hit(iou, hit):
    table = locate([[0, 0, 10, 5]], [[[0, 0, 10, 10]]], iou=iou)
    assert table.estimate["hit rate"] == hit


def test_points_of_ones_own_change_the_pointing_game_alone():
    top, known = [[0, 0, 10, 10]] * 2, [[[0, 0, 10, 10]]] * 2
    table = locate(top, known, points=[[50, 50], [10, 10]])
    assert table.estimate.tolist() == [1.0, 1.0, 0.5]


def test_the_known_regions_of_synthetic_scenes_are_located_by_themselves():
    known = load("scenes-annotated", n=30, seed=1).regions
    first = known[np.arange(30), (~np.isnan(known).any(axis=-1)).argmax(axis=1)]
    table = locate(first, known)
    np.testing.assert_allclose(table.estimate, 1)
    corner = np.tile([0, 0, 1, 1], (30, 1))
    assert locate(corner, known).estimate["hit rate"] == 0


def test_where_no_region_is_known_nothing_is_located():
    for known in (np.full((2, 3, 4), np.nan), np.empty((2, 0, 4))):
        with pytest.raises(ValueError, match="no image has a known region"):
            locate([[0, 0, 1, 1]] * 2, known)


def test_first_regions_hit_as_often_as_a_loop_counts(make_scores):
    scores = make_scores(50, 6, seed=4)
    known = scores.box.values[:, [2, 0]].astype(float)  # regions that are proposals, or none
    own = known[:, 1] + 1  # of another method, near a known region
    table = locate_rules(scores, known, seed=3, others={"own": own})
    assert table.index.tolist() == ["Eq. 2", "objectness", "sentiment", "own"]
    usable = ~np.isnan(known).any(-1).all(-1)
    assert table.loc["own", "first"] == locate(own[usable], known[usable]).estimate["hit rate"]
    assert 0 < table.loc["own", "first"] < 1
    hits = {}
    for name, rank_by in {"Eq. 2": "both", "objectness": "objectness"}.items():
        boxes = affective_regions(scores, 1, rank_by=rank_by).box.values[:, 0]
        hits[name] = []
        for box, regions in zip(boxes, known, strict=True):
            regions = [each for each in regions if not np.isnan(each).any()]
            if regions:
                overlaps = [box_iou([box], [region]).item() for region in regions]
                hits[name].append(max(overlaps) >= 0.5)
        assert table.loc[name, "first"] == np.mean(hits[name])
    np.testing.assert_allclose(table.gain, table["first"] - table.random)
    assert table.random.nunique() == 1, "the same random proposals"
    assert table.loc["objectness", "first"] == 1, "it is a known region, or there is none"
    assert (table.low <= table.gain).all()
    assert (table.gain <= table.high).all()


def test_a_random_proposal_against_itself_is_no_gain(make_scores):
    scores = make_scores(20, 1, missing=False)
    table = locate_rules(scores, scores.box.values)
    assert table[["random", "first", "gain", "p"]].values.tolist() == [[1, 1, 0, 1]] * 3
    with pytest.raises(ValueError, match="no image has a known region"):
        locate_rules(scores, np.full((20, 1, 4), np.nan))


@given(arrays(np.uint8, (4, 5)), st.integers(0, 4), st.integers(0, 3))
def test_a_map_in_a_box_is_the_mean_of_its_pixels(weights, x, y):
    ratio = map_ratio(weights, [x, y, x + 0.5, y + 1])
    if not weights.any():
        assert np.isnan(ratio)
    else:
        assert ratio == pytest.approx(weights[y, x] / weights.mean())
    assert np.isnan(map_ratio(weights, [np.nan] * 4))


def test_a_box_beside_its_map_is_refused():
    with pytest.raises(ValueError, match="covers no pixel"):
        map_ratio([[1, 1]], [5, 5, 6, 6])
    with pytest.raises(ValueError, match=r"must be \(H, W\), not \(2,\)"):
        map_ratio([1, 1], [0, 0, 1, 1])
