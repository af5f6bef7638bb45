"""Localisation against loops over boxes, and what must hold for any boxes."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from arlib.datasets import load
from arlib.evaluation.boxes import best_overlap, centers, locate, points_inside
from arlib.evaluation.significance import bootstrap_mean

N, K, R, SEED = st.integers(1, 6), st.integers(1, 4), st.integers(0, 4), st.integers(0, 99)


def draw(rng, *shape, gaps=0.3):
    """Whole-pixel boxes, which often touch; some of them missing."""
    corner = rng.integers(0, 8, (*shape, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 8, corner.shape)], -1).astype(float)
    boxes[rng.random(shape) < gaps] = np.nan
    return boxes


def overlap(a, b):
    """IoU of two boxes by counting pixels."""
    ours, theirs = (
        {(x, y) for x in range(int(x0), int(x1)) for y in range(int(y0), int(y1))}
        for x0, y0, x1, y1 in (a, b)
    )
    return len(ours & theirs) / len(ours | theirs)


def there(boxes):
    return [box for box in boxes if not np.isnan(box).any()]


@given(N, K, R, SEED)
def test_the_best_overlap_is_what_counting_pixels_gives(n, k, r, seed):
    rng = np.random.default_rng(seed)
    boxes, known = draw(rng, n, k), draw(rng, n, r)
    found = best_overlap(boxes, known)
    assert found.shape == (n, k)
    for image in range(n):
        for place in range(k):
            box, regions = boxes[image, place], there(known[image])
            if np.isnan(box).any() or not regions:
                assert np.isnan(found[image, place])
            else:
                expected = max(overlap(box, region) for region in regions)
                assert found[image, place] == pytest.approx(expected)


@given(N, R, SEED)
def test_the_pointing_game_against_a_loop(n, r, seed):
    rng = np.random.default_rng(seed)
    points, known = rng.integers(0, 16, (n, 2)).astype(float), draw(rng, n, r)
    points[rng.random(n) < 0.2] = np.nan
    expected = [
        any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in regions)
        for (x, y), regions in zip(points, known, strict=True)
    ]
    assert points_inside(points, known).tolist() == expected


def test_the_middle_of_a_box():
    boxes = draw(np.random.default_rng(0), 3, 5, gaps=0)
    for (x0, y0, x1, y1), middle in zip(
        boxes.reshape(-1, 4), centers(boxes).reshape(-1, 2), strict=True
    ):
        assert middle.tolist() == [(x0 + x1) / 2, (y0 + y1) / 2]
    assert np.isnan(centers(np.full((2, 4), np.nan))).all()


@given(N, R, SEED, st.sampled_from([0.1, 0.5, 1.0]), st.booleans())
def test_locate_against_a_loop_over_images(n, r, seed, iou, own_points):
    rng = np.random.default_rng(seed)
    top, known = draw(rng, n), draw(rng, n, r + 1)
    points = rng.uniform(0, 16, (n, 2)) if own_points else None
    hits, overlaps, pointed = [], [], []
    for image in range(n):
        regions = there(known[image])
        if not regions:
            continue
        missing = np.isnan(top[image]).any()
        best = 0.0 if missing else max(overlap(top[image], region) for region in regions)
        x, y = centers(top[image]) if points is None else points[image]
        hits.append(best >= iou)
        overlaps.append(best)
        pointed.append(any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in regions))
    if not hits:
        with pytest.raises(ValueError, match="no image has a known region"):
            locate(top, known, points=points, iou=iou)
        return
    table = locate(top, known, points=points, iou=iou, n_bootstrap=20, seed=seed)
    assert table.index.tolist() == ["hit rate", "mean IoU", "pointing game"]
    for values, row in zip((hits, overlaps, pointed), table.itertuples(), strict=True):
        expected = bootstrap_mean(values, n_bootstrap=20, seed=seed)
        np.testing.assert_allclose([row.estimate, row.low, row.high], expected)


def test_an_image_without_a_box_is_a_miss_and_one_without_a_region_is_left_out():
    region, none = [[0, 0, 10, 10]], [[np.nan] * 4]
    top = [region[0], [np.nan] * 4, region[0]]
    table = locate(top, [region, region, none], n_bootstrap=10)
    assert table.estimate.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("iou", "hit"), [(0.5, 1), (0.51, 0)])
def test_an_overlap_of_just_the_threshold_is_a_hit(iou, hit):
    table = locate([[0, 0, 10, 5]], [[[0, 0, 10, 10]]], iou=iou, n_bootstrap=10)
    assert table.estimate["hit rate"] == hit


def test_points_of_ones_own_change_the_pointing_game_alone():
    top, known = [[0, 0, 10, 10]] * 2, [[[0, 0, 10, 10]]] * 2
    table = locate(top, known, points=[[50, 50], [10, 10]], n_bootstrap=10)
    assert table.estimate.tolist() == [1.0, 1.0, 0.5]


def test_the_same_seed_gives_the_same_interval():
    rng = np.random.default_rng(0)
    top, known = draw(rng, 40), draw(rng, 40, 3, gaps=0)
    one, same, other = (locate(top, known, n_bootstrap=50, seed=seed) for seed in (0, 0, 1))
    assert one.equals(same)
    assert not one.equals(other)
    assert (one.low <= one.estimate).all()
    assert (one.estimate <= one.high).all()
    assert one.low["mean IoU"] < one.high["mean IoU"]


def test_what_is_known_of_drawn_pictures_is_located_by_itself():
    known = load("scenes-annotated", n=30, seed=1).regions
    first = known[np.arange(30), (~np.isnan(known).any(axis=-1)).argmax(axis=1)]
    table = locate(first, known, n_bootstrap=10)
    np.testing.assert_allclose(table, 1)
    corner = np.tile([0, 0, 1, 1], (30, 1))
    assert locate(corner, known, n_bootstrap=10).estimate["hit rate"] == 0


def test_where_nothing_is_known_nothing_is_located():
    for known in (np.full((2, 3, 4), np.nan), np.empty((2, 0, 4))):
        with pytest.raises(ValueError, match="no image has a known region"):
            locate([[0, 0, 1, 1]] * 2, known)
