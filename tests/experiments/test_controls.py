"""Controls: every window against one crop at a time, ten-crop in its order, tiny pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from arlib.datasets import Dataset, ImageError
from arlib.experiments.baselines.rows import MOST, WINDOWS, control_probabilities
from arlib.networks import load_backbone
from arlib.scoring import Classifiers, box_outputs

SIZES = [(64, 96), (40, 32), (1, 1), (2, 3)]
BROKEN = len(SIZES)


@pytest.fixture(scope="module")
def drawn():
    """Pictures of ordinary and of tiny size; the last cannot be read."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]

    def draw(number):
        if number == BROKEN:
            raise ImageError("broken.png", "no picture")
        return pictures[number]

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
    made = {
        fold: load_backbone("vgg_tiny", classes=2, weights="random", seed=fold) for fold in (1, 2)
    }
    with torch.no_grad():
        for network in made.values():
            network.network[-1].weight *= 10
    return Classifiers(made)


@pytest.fixture(scope="module")
def found(drawn, classifiers):
    return control_probabilities(drawn, classifiers, progress=False)


def by_hand(drawn, classifiers, number, box, mirror=False):
    """Probabilities of one crop in a pass of its own, by the network of the picture's fold."""
    network = classifiers.networks[int(drawn.folds[number])]
    outputs = box_outputs(
        drawn.subset([number]), network, lambda *_: np.array([box]), mirror=mirror, progress=False
    )
    return outputs[0, 0]


def test_controls_are_named_and_in_the_images_order(drawn, found):
    assert found.dims == ("control", "image", "rank", "emotion")
    assert found.control.values.tolist() == ["grid", "centre crops", "ten-crop"]
    assert found.image.values.tolist() == drawn.keys.tolist()
    assert found["rank"].values.tolist() == list(range(1, MOST + 1))
    assert found.emotion.values.tolist() == ["positive", "negative"]
    assert found.dtype == np.float32


@pytest.mark.parametrize("number", [0, 1])
def test_ten_crop_is_the_middle_and_the_corners_each_before_its_mirror_image(
    drawn, classifiers, found, number
):
    """Krizhevsky et al. 2012, windows of 224/256 of the sides: 7/8."""
    height, width = SIZES[number]
    x, y = width / 8, height / 8
    corners = [(x / 2, y / 2), (0, 0), (x, 0), (0, y), (x, y)]
    expected = [
        by_hand(drawn, classifiers, number, (left, top, left + width - x, top + height - y), mirror)
        for left, top in corners
        for mirror in (False, True)
    ]
    np.testing.assert_allclose(
        found.sel(control="ten-crop")[number, :10].values, expected, atol=1e-4
    )
    apart = np.abs(np.array(expected)[:, None, 0] - np.array(expected)[None, :, 0])
    assert apart[np.triu_indices(10, 1)].min() > 2e-4, "no two windows say the same"


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", list(WINDOWS))
def test_windows_are_judged_in_their_own_order(drawn, classifiers, found, name, number):
    boxes = WINDOWS[name](drawn.read(number)).boxes
    assert len(boxes) == MOST
    expected = [by_hand(drawn, classifiers, number, box) for box in boxes]
    np.testing.assert_allclose(found.sel(control=name)[number].values, expected, atol=1e-4)


def test_ten_crop_has_no_eleventh_window(found):
    ten = found.sel(control="ten-crop").values
    assert np.isfinite(ten[:BROKEN, :10]).all()
    assert np.isnan(ten[:, 10:]).all()


def test_an_unreadable_picture_has_no_control(found):
    assert np.isnan(found[:, BROKEN].values).all()


def test_pictures_of_a_few_pixels_are_judged_too(found):
    for name in WINDOWS:
        assert np.isfinite(found.sel(control=name)[:BROKEN].values).all()
    np.testing.assert_allclose(found.sum("emotion")[:2, :BROKEN].values, 1, rtol=1e-5)


def test_where_windows_run_out_the_last_is_repeated(drawn, classifiers, found):
    """A single pixel has one window of the grid."""
    boxes = WINDOWS["grid"](drawn.read(2)).boxes
    assert boxes.tolist() == [[0, 0, 1, 1]]
    said = found.sel(control="grid")[2].values
    expected = by_hand(drawn, classifiers, 2, boxes[0])
    np.testing.assert_allclose(said, np.tile(expected, (MOST, 1)), atol=1e-4)
