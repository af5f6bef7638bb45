"""Controls: every crop against one crop at a time, ten-crop in its order, tiny images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from arlib.datasets import Dataset, ImageError
from arlib.experiments.baselines.rows import MOST, control_crops, control_probabilities
from arlib.networks import load_backbone
from arlib.scoring import Classifiers, box_outputs

SIZES = [(64, 96), (40, 32), (1, 1), (2, 3)]
BROKEN = len(SIZES)
N = 23  # more than the other controls have
CROPS = control_crops(N)


@pytest.fixture(scope="module")
def drawn():
    """Images of ordinary and of tiny size; the last cannot be read."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]

    def draw(number):
        if number == BROKEN:
            raise ImageError("broken.png", "no image")
        return images[number]

    n = len(SIZES) + 1
    return Dataset(
        name="drawn",
        root=Path(),
        keys=np.array([f"p{number}" for number in range(n)]),
        files=np.arange(n).astype(str),
        labels=np.resize([0, 1], n).astype(np.int8),
        folds=np.resize([1, 2], n).astype(np.int8),
        draw=draw,
    )


@pytest.fixture(scope="module")
def classifiers():
    networks = {
        fold: load_backbone("vgg_tiny", classes=2, weights="random", seed=fold) for fold in (1, 2)
    }
    with torch.no_grad():
        for network in networks.values():
            network.network[-1].weight *= 10
    return Classifiers(networks)


@pytest.fixture(scope="module")
def controls(drawn, classifiers):
    return control_probabilities(drawn, classifiers, CROPS, progress=False)


def by_hand(drawn, classifiers, number, box, mirror=False):
    """Probabilities of one crop in a pass of its own, by the network of the image's fold."""
    network = classifiers.networks[int(drawn.folds[number])]
    outputs = box_outputs(
        drawn.subset([number]), network, lambda *_: np.array([box]), mirror=mirror, progress=False
    )
    return outputs[0, 0]


def test_controls_are_named_and_in_the_images_order(drawn, controls):
    assert controls.dims == ("control", "image", "rank", "emotion")
    assert controls.control.values.tolist() == ["grid", "centre crops", "random crops", "ten-crop"]
    assert controls.image.values.tolist() == drawn.keys.tolist()
    assert controls["rank"].values.tolist() == list(range(1, N + 1))
    assert controls.emotion.values.tolist() == ["positive", "negative"]
    assert controls.dtype == np.float32


@pytest.mark.parametrize("number", [0, 1])
def test_ten_crop_is_the_middle_and_the_corners_each_before_its_mirror_image(
    drawn, classifiers, controls, number
):
    """Krizhevsky et al. 2012, crops of 224/256 of the sides: 7/8."""
    height, width = SIZES[number]
    x, y = width / 8, height / 8
    corners = [(x / 2, y / 2), (0, 0), (x, 0), (0, y), (x, y)]
    expected = [
        by_hand(drawn, classifiers, number, (left, top, left + width - x, top + height - y), mirror)
        for left, top in corners
        for mirror in (False, True)
    ]
    np.testing.assert_allclose(
        controls.sel(control="ten-crop")[number, :10].values, expected, atol=1e-4
    )
    apart = np.abs(np.array(expected)[:, None, 0] - np.array(expected)[None, :, 0])
    assert apart[np.triu_indices(10, 1)].min() > 2e-4, "no two crops have the same"


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", list(CROPS))
def test_crops_are_classified_in_their_own_order(drawn, classifiers, controls, name, number):
    boxes = CROPS[name](drawn.read(number)).boxes
    assert len(boxes) == (N if name == "random crops" else MOST)
    expected = [by_hand(drawn, classifiers, number, box) for box in boxes]
    measured = controls.sel(control=name)[number, : len(boxes)].values
    np.testing.assert_allclose(measured, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "count"), [("ten-crop", 10), ("grid", MOST), ("centre crops", MOST)]
)
def test_no_control_has_more_than_its_own_crops(controls, name, count):
    values = controls.sel(control=name).values
    assert np.isfinite(values[:BROKEN, :count]).all()
    assert np.isnan(values[:, count:]).all()


def test_an_unreadable_image_has_no_control(controls):
    assert np.isnan(controls[:, BROKEN].values).all()


def test_images_of_a_few_pixels_are_classified_too(controls):
    for name in CROPS:
        assert np.isfinite(controls.sel(control=name)[:BROKEN, :MOST].values).all()
    known = controls.sum("emotion")[:, :BROKEN, :10].values
    np.testing.assert_allclose(known, 1, rtol=1e-5)


def test_where_crops_run_out_the_last_is_repeated(drawn, classifiers, controls):
    """A single pixel has one crop of the grid."""
    boxes = CROPS["grid"](drawn.read(2)).boxes
    assert boxes.tolist() == [[0, 0, 1, 1]]
    probability = controls.sel(control="grid")[2, :MOST].values
    expected = by_hand(drawn, classifiers, 2, boxes[0])
    np.testing.assert_allclose(probability, np.tile(expected, (MOST, 1)), atol=1e-4)


def test_where_few_crops_differ_the_last_is_repeated_not_all_of_them(drawn, classifiers, controls):
    """Six pixels have nine crops of the grid."""
    boxes = CROPS["grid"](drawn.read(3)).boxes
    assert len(boxes) == 9
    first, last = (by_hand(drawn, classifiers, 3, boxes[place]) for place in (0, -1))
    assert np.abs(first - last).max() > 1e-3
    probability = controls.sel(control="grid")[3, :MOST].values
    np.testing.assert_allclose(probability[8:], np.tile(last, (MOST - 8, 1)), atol=1e-4)
