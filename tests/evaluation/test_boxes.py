"""Overlap and recall, against counting pixels and a loop over boxes."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from arlib.evaluation.boxes import box_iou, recall

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


@given(boxes(), boxes())
def test_iou_counts_pixels(a, b):
    overlap = box_iou(a, b)
    assert overlap.shape == (len(a), len(b))
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            shared = len(pixels(one) & pixels(other))
            assert overlap[i, j] == pytest.approx(shared / len(pixels(one) | pixels(other)))


@given(boxes(1), boxes(1))
def test_iou_is_a_symmetric_share(a, b):
    overlap = box_iou(a, b)
    assert ((overlap >= 0) & (overlap <= 1)).all()
    np.testing.assert_array_equal(overlap, box_iou(b, a).T)
    np.testing.assert_array_equal(np.diag(box_iou(a, a)), 1)
    np.testing.assert_allclose(overlap, box_iou(a * 7 + 3, b * 7 + 3))


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
    found = total = 0
    for some, objects in zip(proposals, truth, strict=True):
        for thing in objects:
            total += 1
            for box in some[:n]:
                both = len(pixels(box) & pixels(thing))
                if both / len(pixels(box) | pixels(thing)) >= iou:
                    found += 1
                    break
    return found / total


@given(
    st.lists(st.tuples(boxes(), boxes()), max_size=4),
    boxes(1),
    st.sampled_from([0.3, 0.5, 1.0]),
)
def test_recall_is_that_of_a_loop(pairs, last, iou):
    proposals = [some for some, _ in pairs] + [last]
    truth = [objects for _, objects in pairs] + [last[:1]]
    counts = [0, 1, 2, 5, 100]
    expected = [loop_recall(proposals, truth, iou, n) for n in counts]
    np.testing.assert_allclose(recall(proposals, truth, iou, counts), expected)
    assert recall(proposals, truth, iou) == pytest.approx(expected[-1])
    assert (np.diff(expected) >= 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: box_iou([[0, 0, 1]], [[0, 0, 1, 1]]), r"a must have shape"),
        (lambda: box_iou([[0, 0, 1, 1]], [[2, 0, 1, 1]]), r"b must have x0 <= x1 .* not \[2"),
        (lambda: recall([[]], []), "boxes are of 1 images, but truth is of 0"),
        (lambda: recall([[]], [[]]), "truth must hold at least one box"),
        (lambda: recall([[]], [[[0, 0, 1, 1]]], iou=0), r"iou must be in \(0, 1\], not 0"),
        (lambda: recall([[]], [[[0, 0, 1, 1]]], counts=[-1]), "counts must be whole numbers"),
    ],
)
def test_what_is_no_box(call, message):
    with pytest.raises(ValueError, match=message):
        call()
