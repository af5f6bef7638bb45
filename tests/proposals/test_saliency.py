"""Saliency: salient parts get boxes, a flat image has none, and the same comes out again."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from skimage import data

from arlib.proposals import Saliency, make_proposals, most_salient_point, regions_of_map
from arlib.proposals.saliency import saliency_map

CAT = data.chelsea()[:200, :260]


def spot(x, y, side=4, size=64):
    image = np.full((size, size, 3), 40, np.uint8)
    image[y : y + side, x : x + side] = 250
    return image


def noise(height, width, levels, seed):
    random = np.random.default_rng(seed).integers(0, levels, (height, width, 3))
    return (random * 255 // max(1, levels - 1)).astype(np.uint8)


@pytest.mark.parametrize("colour", [0, 80, 255])
@pytest.mark.parametrize("shape", [(1, 1), (60, 40)])
def test_a_flat_image_has_no_salient_part(colour, shape):
    flat = np.full((*shape, 3), colour, np.uint8)
    assert (saliency_map(flat) == 0).all()
    assert len(Saliency(min_box_area=1)(flat)) == 0
    assert most_salient_point(flat) == (0.5, 0.5)


@settings(max_examples=20)
@given(st.integers(8, 52), st.integers(8, 52))
def test_a_bright_spot_is_found_wherever_it_is(x, y):
    proposals = Saliency(min_box_area=1)(spot(x, y))
    x0, y0, x1, y1 = proposals.boxes[0]
    assert x0 - 1 <= x + 2 <= x1 + 1
    assert y0 - 1 <= y + 2 <= y1 + 1
    assert (x1 - x0) * (y1 - y0) < 64 * 64 / 8
    px, py = most_salient_point(spot(x, y))
    assert abs(px - (x + 2)) <= 4
    assert abs(py - (y + 2)) <= 4


def test_the_map_of_a_photograph():
    salient = saliency_map(CAT)
    assert salient.shape == CAT.shape[:2]
    assert salient.dtype == np.float32
    assert 0 <= salient.min() < salient.max() <= 1
    y, x = np.argwhere(salient == salient.max())[0]
    assert most_salient_point(CAT) == (x + 0.5, y + 0.5)


def test_boxes_are_the_connected_parts_of_the_cut_map():
    salient = saliency_map(CAT)
    cut = salient > 0.2 * salient.max()  # one level: the lowest
    proposals = Saliency(levels=1, max_regions=1000, min_box_area=1)(CAT)
    covered = np.zeros_like(cut)
    for x0, y0, x1, y1 in proposals.boxes.astype(int):
        covered[y0:y1, x0:x1] = True
        inside = cut[y0:y1, x0:x1]
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
    assert covered[cut].all()


def test_objectness_is_the_mean_saliency_of_the_part():
    image = spot(30, 30)
    salient = saliency_map(image)
    proposals = Saliency(levels=1, min_box_area=1)(image)
    x0, y0, x1, y1 = proposals.boxes[0].astype(int)
    inside = salient[y0:y1, x0:x1]
    expected = inside[inside > 0.2 * salient.max()].mean()
    assert proposals.objectness[0] == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 2, 256]), st.integers(0, 99))
def test_boxes_of_any_image_lie_inside_it(height, width, levels, seed):
    image = noise(height, width, levels, seed)
    proposals = Saliency(max_regions=20, min_box_area=4)(image)  # Proposals checks itself
    assert len(proposals) <= 20
    assert (proposals.boxes >= 0).all()
    assert (proposals.boxes <= [width, height, width, height]).all()
    sides = proposals.boxes[:, 2:] - proposals.boxes[:, :2]
    assert (sides.prod(axis=1) >= 4).all()
    x, y = most_salient_point(image)
    assert 0 < x < width
    assert 0 < y < height


def flood(above, start):
    """The places that connect with one, by sides or corners."""
    reached, todo = {start}, [start]
    while todo:
        y, x = todo.pop()
        near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
        new = {place for place in near if place in above} - reached
        reached |= new
        todo += new
    return reached


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 6), st.floats(0.1, 0.9), st.integers(0, 99))
def test_regions_of_a_map_are_its_connected_parts_by_their_share(height, width, threshold, seed):
    weights = np.random.default_rng(seed).random((height, width)) ** 3
    image = np.zeros((height * 4, width * 10, 3), np.uint8)
    above = {tuple(at) for at in np.argwhere(weights > threshold * weights.max()).tolist()}
    parts = {frozenset(flood(above, at)) for at in above}
    expected = {}
    for part in parts:
        rows, columns = zip(*part, strict=True)
        box = (min(columns) * 10, min(rows) * 4, max(columns) * 10 + 10, max(rows) * 4 + 4)
        share = sum(weights[at] for at in part) / weights.sum()
        expected[box] = max(share, expected.get(box, 0))
    found = regions_of_map(weights, image, threshold=threshold, max_regions=36)
    by_box = dict(zip(map(tuple, found.boxes.tolist()), found.objectness.tolist(), strict=True))
    assert by_box.keys() == expected.keys()
    assert by_box == pytest.approx(expected, abs=1e-6)
    assert (np.diff(found.objectness) <= 0).all()
    few = regions_of_map(weights, image, threshold=threshold, max_regions=1)
    assert few.boxes.tolist() == found.boxes[:1].tolist()


def test_a_map_of_zeros_has_no_region():
    assert len(regions_of_map(np.zeros((3, 4)), CAT)) == 0


@pytest.mark.parametrize(
    ("weights", "how", "wrong"),
    [
        ([[1, -1]], {}, "of finite numbers of at least 0"),
        ([[1, np.nan]], {}, "of finite numbers of at least 0"),
        ([1, 2], {}, r"a map must be \(h, w\)"),
        ([[1, 2]], {"threshold": 1}, r"threshold must be in \(0, 1\), not 1"),
        ([[1, 2]], {"max_regions": 0}, "max_regions must be a whole number"),
    ],
)
def test_what_is_no_map(weights, how, wrong):
    with pytest.raises(ValueError, match=wrong):
        regions_of_map(np.array(weights, float), CAT, **how)


def test_fewer_are_the_best_of_more():
    few, many = Saliency(max_regions=3)(CAT), Saliency(max_regions=30)(CAT)
    np.testing.assert_array_equal(few.boxes, many.boxes[:3])
    assert len(many) > 3


def test_the_same_image_has_the_same_proposals():
    method = Saliency()
    first = method(CAT)
    method(data.coffee())  # another image in between leaves no trace
    with ThreadPoolExecutor(4) as pool:
        others = list(pool.map(method, [CAT] * 4))
    for other in [method(CAT), make_proposals("saliency")(CAT), *others]:
        np.testing.assert_array_equal(other.boxes, first.boxes)
        np.testing.assert_array_equal(other.objectness, first.objectness)


@pytest.mark.parametrize(
    ("setting", "value", "interval"),
    [
        ("max_regions", 0, "a whole number of at least 1"),
        ("max_regions", 2.5, "a whole number of at least 1"),
        ("levels", 0, "a whole number of at least 1"),
        ("levels", True, "a whole number of at least 1"),
        ("min_box_area", 0.5, "in [1, inf)"),
        ("min_box_area", math.inf, "in [1, inf)"),
        ("min_box_area", math.nan, "in [1, inf)"),
    ],
)
def test_settings_are_checked(setting, value, interval):
    with pytest.raises(ValueError, match=r".") as caught:
        Saliency(**{setting: value})
    assert str(caught.value) == f"{setting} must be {interval}, not {value!r}"


@pytest.mark.parametrize("call", [Saliency(), saliency_map, most_salient_point])
def test_what_is_no_image(call):
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((5, 0, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8 RGB"):
            call(image)
