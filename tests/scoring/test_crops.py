"""Regions cut and warped: against Pillow, and by what must hold for any box."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from PIL import Image
from torchvision.transforms.v2.functional import resize

from arlib.scoring.crops import (
    _cut,
    _frames,
    crop_arrays,
    crop_regions,
    resize_frames,
    resize_pixels,
)

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (60, 80, 3), np.uint8)


def test_warp_agrees_with_pillow_within_rounding():
    smooth = np.asarray(Image.fromarray(IMAGE).resize((320, 240), Image.Resampling.BICUBIC))
    box = (17, 31, 250, 200)
    ours = crop_regions(smooth, np.array([box]), 64)[0].permute(1, 2, 0).numpy()
    theirs = Image.fromarray(smooth).crop(box).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(ours.astype(int) - np.asarray(theirs, dtype=int)).max() <= 2


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = crop_regions(stripes, np.array([[0, 0, 64, 64]]), 8)
    assert (small.float() - 127.5).abs().max() < 6


def test_a_box_of_the_network_size_is_copied():
    crop = crop_regions(IMAGE, np.array([[10, 20, 42, 52]]), 32)[0]
    assert np.array_equal(crop.permute(1, 2, 0), IMAGE[20:52, 10:42])


def test_a_full_image_is_resized_as_in_training():
    """`arlib.networks` resizes training images by the same call."""
    crop = crop_regions(IMAGE, np.array([[0, 0, 80, 60]]), 48)[0]
    expected = resize(torch.from_numpy(IMAGE).permute(2, 0, 1), [48, 48], antialias=True)
    assert torch.equal(crop, expected)


def test_fractional_borders_take_in_the_pixel():
    frame = _frames(np.array([[10.2, 20.9, 12.1, 22.0]]), "warp", 0.0)
    assert frame.tolist() == [[10, 20, 13, 22]]


def test_square_keeps_proportions_and_centre():
    x0, y0, x1, y1 = _frames(np.array([[10, 20, 50, 40]]), "square", 0.0)[0]
    assert (x1 - x0, y1 - y0) == (40, 40)
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == (30, 30)


def test_context_adds_a_share_of_each_side():
    assert _frames(np.array([[10, 20, 50, 40]]), "warp", 0.5).tolist() == [[-10, 10, 70, 50]]


def test_beyond_the_image_is_filled():
    white = np.full((20, 20, 3), 255, np.uint8)
    crop = crop_regions(white, np.array([[0, 0, 20, 10]]), 20, crop="square", fill=(1, 2, 3))[0]
    assert crop[:, 0, 0].tolist() == [1, 2, 3]
    assert crop[:, 10, 10].tolist() == [255, 255, 255]


@given(
    st.lists(
        st.tuples(st.floats(0, 79), st.floats(0, 59), st.floats(0.1, 80), st.floats(0.1, 60)),
        max_size=4,
    ),
    st.sampled_from(["warp", "square"]),
    st.floats(0, 1),
)
def test_any_box_gives_a_crop_whose_colours_were_there(sizes, crop, context):
    flat = np.full((60, 80, 3), (9, 99, 199), np.uint8)
    boxes = np.array([[x, y, min(x + w, 80), min(y + h, 60)] for x, y, w, h in sizes])
    crops = crop_regions(
        flat, boxes.reshape(-1, 4), 16, crop=crop, context=context, fill=(9, 99, 199)
    )
    assert crops.shape == (len(sizes), 3, 16, 16)
    assert crops.dtype == torch.uint8
    assert (crops == torch.tensor([9, 99, 199], dtype=torch.uint8).view(3, 1, 1)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": "stretch"}, "crop must be 'warp' or 'square', not 'stretch'"),
        ({"context": -0.1}, "context must be >= 0, not -0.1"),
        ({"context": float("nan")}, "context must be >= 0, not nan"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        crop_regions(IMAGE, np.array([[0, 0, 8, 8]]), 8, **settings)


def test_wrong_boxes():
    with pytest.raises(ValueError, match=r"boxes must have shape \(N, 4\), not \(4,\)"):
        crop_regions(IMAGE, np.array([0, 0, 8, 8]), 8)


@pytest.mark.parametrize(("crop", "context"), [("warp", 0.0), ("square", 0.3)])
def test_matrix_products_resize_as_torchvision_does(crop, context):
    """What a GPU computes: regions of every size and shape, within the image and beyond it."""
    corners = np.sort(np.random.default_rng(1).uniform(0, (60, 80), (40, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, :, ::-1].reshape(-1, 4), [[0, 0, 80, 60], [3, 5, 4, 6]]])
    pixels, fill = torch.from_numpy(IMAGE).permute(2, 0, 1), (1, 20, 200)
    frames = _frames(boxes, crop, context)
    ours = resize_frames(pixels, frames, 24, fill)
    cut = (torch.from_numpy(_cut(IMAGE, frame, fill)).permute(2, 0, 1).float() for frame in frames)
    theirs = torch.stack([resize(each, [24, 24], antialias=True) for each in cut])
    assert (ours - theirs).abs().max() < 0.5 + 1e-3  # half a grey level is rounding


@given(
    st.integers(1, 90), st.integers(1, 90), st.sampled_from([8, 24, 48]), st.integers(0, 2**32 - 1)
)
def test_without_pytorch_pixels_are_resized_to_the_same_bits(height, width, size, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    expected = resize(torch.from_numpy(pixels).permute(2, 0, 1), [size, size], antialias=True)
    np.testing.assert_array_equal(resize_pixels(pixels, size), expected.permute(1, 2, 0))


def test_large_pixels_are_resized_to_the_same_bits():
    pixels = np.random.default_rng(0).integers(0, 256, (700, 2100, 3), np.uint8)
    expected = resize(torch.from_numpy(pixels).permute(2, 0, 1), [16, 16], antialias=True)
    np.testing.assert_array_equal(resize_pixels(pixels, 16), expected.permute(1, 2, 0))


_ALONE = """
import sys
import numpy as np
from arlib.scoring.crops import crop_arrays
np.save(sys.argv[2], crop_arrays(np.load(sys.argv[1]), *eval(sys.argv[3]), **eval(sys.argv[4])))
assert "torch" not in sys.modules
"""


def test_a_process_without_pytorch_cuts_the_same(tmp_path):
    np.save(tmp_path / "image.npy", IMAGE)
    paths = [str(tmp_path / name) for name in ("image.npy", "crops.npy")]
    boxes = [[3, 5, 61.5, 40], [0, 0, 80, 60], [70, 2, 80, 60]]
    how = {"context": 0.2, "crop": "square", "fill": (1, 2, 3)}
    settings = [f"(np.array({boxes}), 24)", repr(how)]
    subprocess.run([sys.executable, "-c", _ALONE, *paths, *settings], check=True)
    ours = crop_arrays(IMAGE, np.array(boxes), 24, **how)  # PyTorch is here
    assert np.array_equal(np.load(paths[1]), ours)
