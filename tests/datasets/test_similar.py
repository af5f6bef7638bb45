"""Images that are nearly the same, beside a loop over all pairs, and copies made on purpose."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from arlib.datasets.similar import _AT_ONCE, similar_groups, thumbnail


def scene(seed, size=(96, 64)):
    """A smooth image, as photographs are at the size of a thumbnail."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def loop(thumbnails):
    """What `similar_groups` computes, bit by bit."""

    def bits(grey):
        small = np.array([[grey[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean() for c in range(9)]
                          for r in range(8)])  # fmt: skip
        return [small[r, c + 1] > small[r, c] for r in range(8) for c in range(8)]

    def near(a, b):
        apart = sum(x != y for x, y in zip(bits(a), bits(b), strict=True))
        return apart <= 10 and np.corrcoef(a.ravel(), b.ravel())[0, 1] >= 0.95

    grey = thumbnails.astype(float)
    groups = [{i} for i in range(len(grey))]
    for i in range(len(grey)):
        for j in range(i + 1, len(grey)):
            if near(grey[i], grey[j]) or near(grey[i], grey[j][:, ::-1]):
                one, other = (next(each for each in groups if k in each) for k in (i, j))
                groups = [each for each in groups if each not in (one, other)] + [one | other]
    return sorted(sorted(each) for each in groups if len(each) > 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((48, 32)),
        lambda image: image.resize((64, 64)),
        lambda image: image.quantize(64).convert("RGB"),
        lambda image: ImageEnhance.Brightness(image).enhance(0.7),
        lambda image: ImageEnhance.Contrast(image).enhance(0.6),
        lambda image: image.convert("L").convert("RGB"),
        ImageOps.mirror,
        lambda image: ImageOps.mirror(image).resize((48, 32)),
    ],
)
def test_copies_are_found_and_others_are_not(change):
    images = [scene(seed) for seed in range(20)]
    images.append(change(images[7]))
    thumbnails = np.stack([thumbnail(np.asarray(image)) for image in images])
    assert similar_groups(thumbnails) == [[7, 20]]


def test_against_a_loop_over_pairs(monkeypatch):
    rng = np.random.default_rng(0)
    base = np.stack([thumbnail(np.asarray(scene(seed))) for seed in range(8)])
    noise = rng.normal(0, rng.uniform(0, 25, (24, 1, 1)), (24, 16, 18))
    thumbnails = np.clip(base[np.arange(24) % 8] + noise, 0, 255).astype(np.uint8)
    expected = loop(thumbnails)
    assert {len(each) for each in expected} > {2}
    for at_once in (_AT_ONCE, 64, 24 * 5):  # all in one step, or in many
        monkeypatch.setattr("arlib.datasets.similar._AT_ONCE", at_once)
        assert similar_groups(thumbnails) == expected


def test_plain_images_are_not_alike_and_none_are_no_pair():
    assert similar_groups(np.full((3, 16, 18), 7, np.uint8)) == []
    assert similar_groups(np.empty((0, 16, 18), np.uint8)) == []
