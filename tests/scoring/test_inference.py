"""Outputs of full images and of boxes, against one crop at a time; unreadable images are NaN."""

import numpy as np
import pytest
import torch
from PIL import Image

from arlib import datasets
from arlib.datasets.scenes import SceneGenerator
from arlib.networks import load_backbone
from arlib.scoring.crops import crop_regions
from arlib.scoring.inference import box_outputs, global_outputs


@pytest.fixture(scope="module")
def network():
    return load_backbone("vgg_tiny", classes=3, weights="random")


@pytest.fixture(scope="module")
def scenes():
    return datasets.load("scenes-annotated", generator=SceneGenerator(), n=40, seed=1).subset(
        slice(0, 10)
    )


def by_hand(network, image, box, *, features, mirror=False):
    """Outputs of one crop in a pass of its own."""
    crop = crop_regions(image, np.array([box]), 48)[0].numpy()
    crop = crop[:, :, ::-1].copy() if mirror else crop
    with torch.inference_mode():
        batch = network.preprocessing.normalize(torch.from_numpy(crop)[None])
        entering, logits = network.features_and_logits(batch)
    return (entering if features else logits.softmax(dim=1))[0].numpy()


@pytest.mark.parametrize("batch_size", [1, 4, 256])
@pytest.mark.parametrize("features", [False, True])
def test_full_images_are_what_one_at_a_time_gives(network, scenes, batch_size, features):
    outputs = global_outputs(
        scenes, network, features=features, batch_size=batch_size, progress=False
    )
    assert (outputs.shape, outputs.dtype) == ((10, 128 if features else 3), np.float32)
    for index in range(10):
        image = scenes.read(index)
        box = [0, 0, image.shape[1], image.shape[0]]
        expected = by_hand(network, image, box, features=features)
        np.testing.assert_allclose(outputs[index], expected, rtol=1e-3, atol=1e-4)


def thirds(number, image):
    """Two boxes that depend on the image and on its number."""
    height, width = image.shape[:2]
    first = [0, 0, width / 3 + number, height]
    return np.array([first, [width / 2, height / 3, width, height]], np.float32)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("features", [False, True])
def test_boxes_are_what_one_crop_at_a_time_gives(network, scenes, features, mirror, batch_size):
    few = scenes.subset(slice(0, 4))
    how = {"features": features, "mirror": mirror, "batch_size": batch_size, "progress": False}
    outputs = box_outputs(few, network, thirds, **how)
    assert (outputs.shape, outputs.dtype) == ((4, 2, 128 if features else 3), np.float32)
    for index in range(4):
        image = few.read(index)
        for place, box in enumerate(thirds(index, image).tolist()):
            expected = by_hand(network, image, box, features=features, mirror=mirror)
            np.testing.assert_allclose(outputs[index, place], expected, rtol=1e-3, atol=1e-4)


@pytest.fixture
def half_readable(tmp_path):
    """Two files, of which one is no image."""
    Image.new("RGB", (60, 40), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    return datasets.load(tmp_path)


def test_an_unreadable_image_is_nan_and_logged(half_readable, network, caplog):
    probability = global_outputs(half_readable, network, progress=False)
    assert probability[0].sum() == pytest.approx(1)
    assert np.isnan(probability[1]).all()
    assert "b.png" in caplog.text
    outputs = box_outputs(half_readable, network, thirds, progress=False)
    assert np.isfinite(outputs[0]).all()
    assert np.isnan(outputs[1]).all()


def test_where_no_image_can_be_read_the_reasons_are_named(half_readable, network):
    with pytest.raises(ValueError, match=r"no image of .* could be read: {'b.png': "):
        global_outputs(half_readable.subset([1]), network, progress=False)


@pytest.mark.parametrize(
    ("batch_size", "advice"),
    [(8, "in batches of 8: lower batch_size"), (1, "image by image: take a smaller network, .*")],
)
def test_where_memory_does_not_suffice_a_line_says_what_to_lower(
    scenes, network, monkeypatch, batch_size, advice
):
    def forward(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 98.00 MiB.")

    monkeypatch.setattr("arlib.networks.backbones.Backbone.features_and_logits", forward)
    with pytest.raises(MemoryError, match=f"^too little memory for the network {advice}$"):
        global_outputs(scenes, network, batch_size=batch_size, progress=False)


def test_an_image_without_a_box_is_refused(scenes, network):
    def none(number, image):
        return thirds(number, image)[: 0 if number == 2 else 2]

    with pytest.raises(ValueError, match=f"{scenes.keys[2]} has no box"):
        box_outputs(scenes, network, none, progress=False)
