"""Full images through a network, against one at a time; unreadable ones are left out."""

import numpy as np
import pytest
import torch

from arlib import datasets
from arlib.networks import load_backbone
from arlib.scoring.crops import crop_regions
from arlib.scoring.inference import box_outputs, global_probabilities, image_features


@pytest.fixture(scope="module")
def network():
    return load_backbone("vgg_tiny", classes=3, weights="random")


def one_by_one(dataset, network, index):
    image = dataset.read(index)
    whole = crop_regions(image, np.array([[0, 0, image.shape[1], image.shape[0]]]), 48)
    with torch.inference_mode():
        features, logits = network.features_and_logits(network.preprocessing.normalize(whole))
    return features[0].numpy(), logits.softmax(dim=1)[0].numpy()


@pytest.mark.parametrize("batch_size", [1, 4, 256])
def test_batches_give_what_one_at_a_time_gives(network, batch_size):
    few = datasets.load("scenes-annotated", n=40, seed=1).subset(slice(0, 10))
    settings = {"batch_size": batch_size, "progress": False}
    features, unreadable = image_features(few, network, **settings)
    probability = global_probabilities(few, network, **settings)
    for index in range(10):
        expected = one_by_one(few, network, index)
        np.testing.assert_allclose(features[index], expected[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(probability[index], expected[1], rtol=1e-3, atol=1e-5)
    assert (features.shape, probability.shape) == ((10, 128), (10, 3))
    assert features.dtype == probability.dtype == np.float32
    assert unreadable == {}


@pytest.fixture
def broken(tmp_path):
    """Two pictures, of which one is none."""
    from PIL import Image

    Image.new("RGB", (60, 40), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    return datasets.unlabelled_images(tmp_path)


def test_what_cannot_be_read_has_no_probability(broken, network):
    probability = global_probabilities(broken, network, progress=False)
    assert probability[0].sum() == pytest.approx(1)
    assert np.isnan(probability[1]).all()
    assert list(image_features(broken, network, progress=False)[1]) == ["b.png"]


def test_where_nothing_can_be_read_the_reasons_are_told(broken, network):
    with pytest.raises(ValueError, match=r"not one image of .* could be read: {'b.png': "):
        global_probabilities(broken.subset([1]), network, progress=False)


def thirds(number, image):
    """Two boxes that depend on the picture and on its number."""
    height, width = image.shape[:2]
    first = [0, 0, width / 3 + number, height]
    return np.array([first, [width / 2, height / 3, width, height]], np.float32)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("features", [False, True])
def test_boxes_are_what_one_crop_at_a_time_gives(network, features, mirror, batch_size):
    few = datasets.load("scenes-annotated", n=40, seed=1).subset(slice(0, 4))
    how = {"features": features, "mirror": mirror, "batch_size": batch_size, "progress": False}
    found = box_outputs(few, network, thirds, **how)
    assert (found.shape, found.dtype) == ((4, 3, 128 if features else 3), np.float32)
    for index in range(4):
        image = few.read(index)
        whole = [0, 0, image.shape[1], image.shape[0]]
        for place, box in enumerate([whole, *thirds(index, image).tolist()]):
            crop = crop_regions(image, np.array([box]), 48)[0].numpy()
            crop = crop[:, :, ::-1].copy() if mirror else crop
            batch = network.preprocessing.normalize(torch.from_numpy(crop)[None])
            with torch.inference_mode():
                entering, logits = network.features_and_logits(batch)
            expected = entering if features else logits.softmax(dim=1)
            np.testing.assert_allclose(found[index, place], expected[0], rtol=1e-3, atol=1e-4)


def test_without_boxes_the_whole_image_is_judged(network):
    few = datasets.load("scenes-annotated", n=40, seed=1).subset(slice(0, 4))
    none = box_outputs(few, network, lambda *_: np.empty((0, 4), np.float32), progress=False)
    whole = global_probabilities(few, network, progress=False)
    np.testing.assert_allclose(none[:, 0], whole, rtol=1e-3, atol=1e-5)
    assert none.shape == (4, 1, 3)


def test_boxes_of_what_cannot_be_read_are_nan(broken, network):
    found = box_outputs(broken, network, thirds, progress=False)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_boxes_where_nothing_can_be_read(broken, network):
    with pytest.raises(ValueError, match=r"not one image of .* could be read"):
        box_outputs(broken.subset([1]), network, thirds, progress=False)
