"""Proposal methods: one type, settings checked before OpenCV sees them, the same boxes again."""

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st
from skimage import data

from arlib.datasets import load_coco
from arlib.evaluation import box_iou, recall_curves
from arlib.method import normalize_objectness
from arlib.proposals import (
    EdgeBoxes,
    Grid,
    Proposals,
    RandomBoxes,
    SelectiveSearch,
    edge_map,
    make_proposals,
)
from arlib.proposals.controls import CenterCrops, FiveCrops
from arlib.proposals.edge_boxes import _strongest

NAMES = ["edge_boxes", "selective_search", "grid", "random_boxes"]
CROPS = ["center_crops", "five_crops"]
CAT = data.chelsea()[:200, :260]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_proposals_of_a_photograph(name):
    proposals = make_proposals(name, max_regions=40)(CAT)
    assert isinstance(proposals, Proposals)
    assert 10 < len(proposals) <= 40
    assert proposals.boxes.dtype == proposals.objectness.dtype == np.float32
    assert len(np.unique(proposals.boxes, axis=0)) == len(proposals)
    assert (proposals.boxes >= 0).all()
    assert (proposals.boxes <= [260, 200, 260, 200]).all()
    assert (proposals.objectness[0] > proposals.objectness[-1]) & (proposals.objectness[-1] > 0)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_are_the_best_of_more(name):
    few, many = make_proposals(name, max_regions=5)(CAT), make_proposals(name, max_regions=30)(CAT)
    np.testing.assert_array_equal(few.boxes[:4], many.boxes[:4])


@pytest.mark.parametrize("name", NAMES + CROPS)
def test_the_same_image_has_the_same_proposals(name):
    method = make_proposals(name, max_regions=50)
    first = method(CAT)
    method(data.coffee())  # another image in between leaves no trace
    with ThreadPoolExecutor(4) as pool:
        others = list(pool.map(method, [CAT] * 4))
    for other in [method(CAT), make_proposals(name, max_regions=50)(CAT), *others]:
        np.testing.assert_array_equal(other.boxes, first.boxes)
        np.testing.assert_array_equal(other.objectness, first.objectness)


@pytest.mark.parametrize("name", NAMES + CROPS)
@settings(max_examples=15)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    levels=st.sampled_from([1, 2, 256]),
    seed=st.integers(0, 99),
)
def test_any_image_has_a_result(name, height, width, levels, seed):
    image = noise(height, width, seed).astype(int) * levels // 256 * (255 // max(1, levels - 1))
    proposals = make_proposals(name, max_regions=20)(image.astype(np.uint8))
    assert len(proposals) <= 20
    assert (proposals.boxes <= [width, height, width, height]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_large_image_and_a_single_pixel(name):
    large = np.kron(noise(20, 20), np.ones((100, 100, 1), np.uint8))
    proposals = make_proposals(name, max_regions=30)(large)
    assert len(proposals) == 30
    assert proposals.boxes.max() > 1000, "boxes are in pixels of the image, not of a smaller copy"
    assert len(make_proposals(name)(noise(1, 1))) <= 100


def test_noise_is_bounded_and_flat_images_have_no_edges():
    assert len(EdgeBoxes(max_regions=50)(noise(200, 200))) <= 50
    assert len(EdgeBoxes()(np.full((100, 100, 3), 80, np.uint8))) == 0
    assert len(SelectiveSearch()(np.full((100, 100, 3), 80, np.uint8))) <= 1


def test_too_many_edges_are_cut_to_the_strongest(monkeypatch):
    found = EdgeBoxes()(CAT)
    magnitude, _ = edge_map(CAT)
    edges = int((magnitude > 0.1).sum())
    monkeypatch.setattr("arlib.proposals.edge_boxes._MAX_EDGES", edges)
    np.testing.assert_array_equal(EdgeBoxes()(CAT).boxes, found.boxes)  # not one too many
    monkeypatch.setattr("arlib.proposals.edge_boxes._MAX_EDGES", edges // 2)
    assert not np.array_equal(EdgeBoxes()(CAT).boxes, found.boxes)
    ties = np.ones((30, 30), np.float32)  # all as strong
    for most in (1, 100, 899):
        assert np.count_nonzero(_strongest(ties, 0.1, most)) == most
    strongest = _strongest(magnitude, 0.1, edges // 2)
    assert strongest[strongest > 0].min() >= np.median(magnitude[magnitude > 0.1])


def test_edge_boxes_finds_a_drawn_box():
    canvas = np.full((200, 300, 3), 230, np.uint8)
    canvas[50:150, 80:210] = (180, 30, 40)
    best = EdgeBoxes(max_regions=1)(canvas).boxes
    assert box_iou(best, [[80, 50, 210, 150]])[0, 0] > 0.85


def test_a_working_copy_gives_nearly_the_same_boxes():
    large = np.kron(CAT, np.ones((4, 4, 1), np.uint8))
    small = EdgeBoxes(max_regions=20)(CAT).boxes
    scaled = EdgeBoxes(max_regions=20, max_side=260)(large).boxes / 4
    assert (box_iou(small, scaled).max(axis=1) > 0.7).mean() > 0.7


def test_edge_boxes_uses_a_fresh_detector_every_time():
    """Why: one that is reused answers otherwise the second time."""
    import cv2

    magnitude, orientation = edge_map(CAT)
    reused = cv2.ximgproc.createEdgeBoxes(maxBoxes=100)
    one, two = (np.array(reused.getBoundingBoxes(magnitude, orientation)[0]) for _ in range(2))
    assert one.shape != two.shape or (one != two).any()


def test_selective_search_comes_large_first_on_average():
    proposals = SelectiveSearch(max_regions=2000)(CAT)
    area = np.prod(proposals.boxes[:, 2:] - proposals.boxes[:, :2], axis=1)
    half = len(area) // 2
    assert area[:half].mean() > 1.5 * area[half:].mean()
    other = SelectiveSearch(max_regions=2000, seed=1)(CAT)
    assert {tuple(b) for b in other.boxes} == {tuple(b) for b in proposals.boxes}
    assert (other.boxes != proposals.boxes).any()


@given(st.integers(1, 300), st.integers(40, 200), st.integers(40, 200))
def test_a_grid_has_as_many_boxes_as_asked(n, height, width):
    proposals = Grid(max_regions=n)(np.zeros((height, width, 3), np.uint8))
    assert len(proposals) == n
    area = np.prod(proposals.boxes[:, 2:] - proposals.boxes[:, :2], axis=1)
    for before, after in pairwise(area):
        assert after < 1.13 * before, "coarse ones come first"


def test_random_boxes_depend_on_size_and_seed_alone():
    boxes = RandomBoxes(max_regions=9)(CAT).boxes
    other = noise(*CAT.shape[:2])
    np.testing.assert_array_equal(RandomBoxes(max_regions=9)(other).boxes, boxes)
    assert (RandomBoxes(max_regions=9, seed=1)(CAT).boxes != boxes).any()
    wide = RandomBoxes(max_regions=9)(np.zeros((200, 520, 3), np.uint8)).boxes
    np.testing.assert_allclose(wide, boxes * [2, 1, 2, 1], rtol=1e-5)


@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 300))
def test_centre_crops_against_a_loop_over_sides(n, height, width):
    proposals = CenterCrops(max_regions=n)(np.zeros((height, width, 3), np.uint8))
    expected = []
    for step in range(1, n + 1):
        w, h = width * (n + 1 - step) / (n + 1), height * (n + 1 - step) / (n + 1)
        expected.append([(width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2])
    np.testing.assert_allclose(proposals.boxes, expected, atol=1e-4 * max(height, width))
    assert (proposals.boxes >= 0).all()
    assert (proposals.boxes <= [width, height, width, height]).all()
    np.testing.assert_allclose(proposals.objectness, [1 - rank / n for rank in range(n)], rtol=1e-6)


@given(st.integers(1, 300), st.integers(1, 300))
def test_five_crops_are_the_centre_and_the_corners(height, width):
    boxes = FiveCrops()(np.zeros((height, width, 3), np.uint8)).boxes
    w, h = width * 224 / 256, height * 224 / 256
    left, top, right, bottom = 0, 0, width - w, height - h
    corners = [(right / 2, bottom / 2), (left, top), (right, top), (left, bottom), (right, bottom)]
    expected = [[x, y, x + w, y + h] for x, y in corners]
    np.testing.assert_allclose(boxes, expected, atol=1e-4 * max(height, width))
    assert (boxes <= [width, height, width, height]).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_of_the_five_crops_are_the_first(n):
    some = make_proposals("five_crops", max_regions=n)(CAT)
    np.testing.assert_array_equal(some.boxes, FiveCrops()(CAT).boxes[:n])


@pytest.mark.parametrize(
    ("setting", "value", "interval"),
    [
        ("max_regions", 0, "a whole number of at least 1"),
        ("max_regions", 2.5, "a whole number of at least 1"),
        ("max_regions", True, "a whole number of at least 1"),
        ("max_side", 3, "a whole number of at least 16"),
        ("alpha", 0, "in (0, 1)"),
        ("alpha", 1.0, "in (0, 1)"),
        ("alpha", math.nan, "in (0, 1)"),
        ("beta", 1.5, "in (0, 1)"),
        ("eta", 0, "in (0, 1]"),
        ("eta", 1.1, "in (0, 1]"),
        ("min_score", -0.1, "in [0, inf)"),
        ("edge_min_mag", 1, "in [0, 1)"),
        ("cluster_min_mag", -1, "in [0, inf)"),
        ("max_aspect_ratio", 0.5, "in [1, inf)"),
        ("min_box_area", 0, "in [1, inf)"),
        ("min_box_area", math.inf, "in [1, inf)"),
        ("edge_merge_thr", 0, "in (0, inf)"),
        ("gamma", -1, "in (0, inf)"),
        ("kappa", 0, "in (0, inf)"),
        ("sigma", 0, "in (0, inf)"),
    ],
)
def test_edge_boxes_settings_are_checked(setting, value, interval):
    with pytest.raises(ValueError, match=r".") as caught:
        EdgeBoxes(**{setting: value})
    assert str(caught.value) == f"{setting} must be {interval}, not {value!r}"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_proposals("edges"), "no proposal method 'edges'; there are edge_boxes, sel"),
        (lambda: make_proposals("grid", max_regions="5"), "max_regions must be int, not '5'"),
        (lambda: make_proposals("grid", seed=1), "no setting 'seed' of grid; there are max_"),
        (lambda: SelectiveSearch(mode="slow"), "mode must be 'fast' or 'quality', not 'slow'"),
        (lambda: SelectiveSearch(seed=-1), "seed must be a whole number of at least 0"),
        (lambda: Grid(max_regions=0), "max_regions must be a whole number of at least 1"),
        (lambda: RandomBoxes(seed=0.5), "seed must be a whole number of at least 0"),
        (lambda: CenterCrops(max_regions=0), "max_regions must be a whole number of at least 1"),
        (lambda: FiveCrops(max_regions=0), "max_regions must be a whole number of at least 1"),
        (lambda: make_proposals("five_crops", seed=1), "no setting 'seed' of five_crops; there"),
    ],
)
def test_other_settings_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", NAMES + CROPS)
def test_what_is_no_image(name):
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((5, 0, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8 RGB"):
            make_proposals(name)(image)


@pytest.mark.parametrize(
    ("boxes", "objectness", "message"),
    [
        (np.zeros((2, 4), np.float32), np.zeros(1, np.float32), r"boxes \(N, 4\) and obj"),
        (np.zeros((1, 4)), np.zeros(1, np.float32), "both must be float32"),
        (np.float32([[0, 0, 0, 1]]), np.zeros(1, np.float32), "x0 < x1 and y0 < y1"),
        (np.float32([[0, 0, np.inf, 1]]), np.zeros(1, np.float32), "boxes must be finite"),
        (np.float32([[0, 0, 1, 1]] * 2), np.float32([0, 1]), "finite and descending"),
    ],
)
def test_proposals_check_themselves(boxes, objectness, message):
    with pytest.raises(ValueError, match=message):
        Proposals(boxes, objectness)


SCORES = st.lists(st.one_of(st.just(math.nan), st.floats(-5, 5, width=32)), min_size=1, max_size=9)


@given(SCORES)
def test_normalised_objectness_against_a_loop(scores):
    known = [score for score in scores if not math.isnan(score)]
    scaled = normalize_objectness(scores, "minmax")
    ranked = normalize_objectness(scores, "rank")
    for score, minmax, rank in zip(scores, scaled, ranked, strict=True):
        if math.isnan(score):
            assert math.isnan(minmax)
            assert math.isnan(rank)
            continue
        low, high = min(known), max(known)
        assert minmax == pytest.approx(1 if low == high else (score - low) / (high - low))
        assert rank == pytest.approx(1 - sum(other > score for other in known) / len(known))


def test_normalised_objectness_keeps_type_and_dims(make_scores):
    objectness = make_scores(5, 7).objectness.transpose("region", "image")
    scaled = normalize_objectness(objectness, "minmax")
    assert isinstance(scaled, xr.DataArray)
    assert scaled.dims == ("region", "image")
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(
        scaled.values.T, normalize_objectness(objectness.values.T, "minmax")
    )
    xr.testing.assert_identical(normalize_objectness(objectness), objectness)
    with pytest.raises(ValueError, match="normalise by one of none, minmax, rank, not by 'max'"):
        normalize_objectness([1.0], "max")


def test_recall_on_a_few_real_photographs(data_root):
    truth = load_coco(data_root / "coco_val64")
    methods = {"edges": EdgeBoxes(max_regions=1000), "grid": Grid(max_regions=1000)}
    curves, seconds = recall_curves(methods, truth, max_images=6, progress=False)
    assert curves.loc[1000, "edges"] > curves.loc[1000, "grid"] + 0.1
    assert (curves.diff().dropna() >= 0).all(axis=None)
    assert (seconds > 0).all()


@pytest.mark.slow
def test_recall_on_real_photographs(data_root):
    """The default finds 0.702 of the objects with 1000 boxes; a plain grid 0.516."""
    truth = load_coco(data_root / "coco_val64")
    methods = {"edges": EdgeBoxes(max_regions=1000), "grid": Grid(max_regions=1000)}
    curves, seconds = recall_curves(methods, truth, progress=False)
    assert curves.loc[1000, "edges"] >= 0.69
    assert curves.loc[100, "edges"] >= 0.34
    assert curves.loc[1000, "edges"] > curves.loc[1000, "grid"] + 0.1
    assert (curves.diff().dropna() >= 0).all(axis=None)
    assert (seconds > 0).all()
    few, _ = recall_curves(methods, truth, max_images=2, counts=(10,), progress=False)
    assert few.shape == (1, 2)
