"""Saliency: what stands out is found, a flat picture has nothing, and the same comes out again."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from skimage import data

from arlib.proposals import Saliency, make, most_salient_point
from arlib.proposals.saliency import saliency_map

CAT = data.chelsea()[:200, :260]


def spot(x, y, side=4, size=64):
    picture = np.full((size, size, 3), 40, np.uint8)
    picture[y : y + side, x : x + side] = 250
    return picture


def noise(height, width, levels, seed):
    random = np.random.default_rng(seed).integers(0, levels, (height, width, 3))
    return (random * 255 // max(1, levels - 1)).astype(np.uint8)


@pytest.mark.parametrize("colour", [0, 80, 255])
@pytest.mark.parametrize("shape", [(1, 1), (60, 40)])
def test_a_flat_picture_has_nothing_that_stands_out(colour, shape):
    flat = np.full((*shape, 3), colour, np.uint8)
    assert (saliency_map(flat) == 0).all()
    assert len(Saliency(min_box_area=1)(flat)) == 0
    assert most_salient_point(flat) == (0.5, 0.5)


@settings(max_examples=20)
@given(st.integers(8, 52), st.integers(8, 52))
def test_a_bright_spot_is_found_wherever_it_is(x, y):
    found = Saliency(min_box_area=1)(spot(x, y))
    x0, y0, x1, y1 = found.boxes[0]
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
    found = Saliency(levels=1, max_regions=1000, min_box_area=1)(CAT)
    covered = np.zeros_like(cut)
    for x0, y0, x1, y1 in found.boxes.astype(int):
        covered[y0:y1, x0:x1] = True
        inside = cut[y0:y1, x0:x1]
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
    assert covered[cut].all()


def test_objectness_is_the_mean_saliency_of_the_part():
    picture = spot(30, 30)
    salient = saliency_map(picture)
    found = Saliency(levels=1, min_box_area=1)(picture)
    x0, y0, x1, y1 = found.boxes[0].astype(int)
    window = salient[y0:y1, x0:x1]
    expected = window[window > 0.2 * salient.max()].mean()
    assert found.objectness[0] == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 2, 256]), st.integers(0, 99))
def test_boxes_of_any_picture_lie_inside_it(height, width, levels, seed):
    picture = noise(height, width, levels, seed)
    found = Saliency(max_regions=20, min_box_area=4)(picture)  # Proposals checks itself
    assert len(found) <= 20
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [width, height, width, height]).all()
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    assert (sides.prod(axis=1) >= 4).all()
    x, y = most_salient_point(picture)
    assert 0 < x < width
    assert 0 < y < height


def test_fewer_are_the_best_of_more():
    few, many = Saliency(max_regions=3)(CAT), Saliency(max_regions=30)(CAT)
    np.testing.assert_array_equal(few.boxes, many.boxes[:3])
    assert len(many) > 3


def test_the_same_picture_has_the_same_proposals():
    method = Saliency()
    first = method(CAT)
    method(data.coffee())  # another picture in between leaves no trace
    with ThreadPoolExecutor(4) as pool:
        others = list(pool.map(method, [CAT] * 4))
    for other in [method(CAT), make("saliency")(CAT), *others]:
        np.testing.assert_array_equal(other.boxes, first.boxes)
        np.testing.assert_array_equal(other.objectness, first.objectness)


@pytest.mark.parametrize(
    ("setting", "value", "told"),
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
def test_settings_are_checked(setting, value, told):
    with pytest.raises(ValueError, match=r".") as caught:
        Saliency(**{setting: value})
    assert str(caught.value) == f"{setting} must be {told}, not {value!r}"


@pytest.mark.parametrize("call", [Saliency(), saliency_map, most_salient_point])
def test_what_is_no_image(call):
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((5, 0, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8 RGB"):
            call(image)
