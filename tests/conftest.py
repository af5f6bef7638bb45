"""What the tests share: settings, the place of real data, and scores without any image."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import settings
from PIL import Image

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # bits are compared; tests/networks/test_gpu.py asks for it
settings.register_profile("arlib", deadline=None)  # a busy machine is no failure
settings.load_profile("arlib")


def make_scores(n_images, n_regions, n_emotions=2, seed=0, missing=True, inner=False):
    """Random scores; if `missing`, the first image has no region, others few, the last no label.

    If `inner`, they also hold predictions by heads that left out one more fold.
    """
    rng = np.random.default_rng(seed)
    names = (
        ["positive", "negative"] if n_emotions == 2 else [f"emotion{i}" for i in range(n_emotions)]
    )
    region, emotion = ("image", "region"), ("image", "emotion")
    objectness = -np.sort(-rng.uniform(0, 1, (n_images, n_regions)))
    corner = rng.uniform(0, 300, (n_images, n_regions, 2))
    box = np.concatenate([corner, corner + rng.uniform(1, 100, corner.shape)], -1)
    probability = rng.dirichlet(np.ones(n_emotions), (n_images, n_regions))
    label = rng.integers(n_emotions, size=n_images)
    if missing:
        n_kept = rng.integers(1, n_regions + 1, n_images)
        n_kept[0] = 0
        gone = np.arange(n_regions) >= n_kept[:, None]
        objectness[gone] = box[gone] = probability[gone] = np.nan
        label[-1] = -1
    scores = xr.Dataset(
        {
            "objectness": (region, objectness.astype(np.float32)),
            "box": ((*region, "corner"), box.astype(np.float32)),
            "region_probability": ((*region, "emotion"), probability.astype(np.float32)),
            "global_probability": (
                emotion,
                rng.dirichlet(np.ones(n_emotions), n_images).astype(np.float32),
            ),
            "label": ("image", label.astype(np.int8)),
            "fold": ("image", (np.arange(n_images) % 5).astype(np.int8)),
        },
        coords={
            "image": np.array([f"image{i:04d}.jpg" for i in range(n_images)]),
            "emotion": np.array(names),
        },
        attrs={"dataset": "random", "proposals": "random", "backbone": "none", "seed": seed},
    )
    if not inner:
        return scores
    left_out = np.arange(5, dtype=np.int8)
    others = rng.dirichlet(np.ones(n_emotions), (n_images, 5, 1 + n_regions)).astype(np.float32)
    others[scores.fold.values[:, None] == left_out] = np.nan
    regions = others[:, :, 1:]
    regions[np.broadcast_to(np.isnan(objectness)[:, None], regions.shape[:-1])] = np.nan
    return scores.assign_coords(left_out=left_out).assign(
        inner_region_probability=(("image", "left_out", "region", "emotion"), regions),
        inner_global_probability=(("image", "left_out", "emotion"), others[:, :, 0]),
    )


@pytest.fixture(scope="session", name="make_scores")
def make_scores_fixture():
    return make_scores


@pytest.fixture(scope="module")  # while it is open, asyncio can start no other loop
def browser():
    """A real browser: Chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on the PATH")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def data_root():
    if "ARLIB_DATA" not in os.environ:
        pytest.skip("ARLIB_DATA is not set: real photographs are not here")
    return Path(os.environ["ARLIB_DATA"])


def paint(path, level, seed, size):
    """An image of noise around a level of light, (height, width) pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(level, level + 60, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def make_photographs():
    """Return a function: it makes light and dark images, `folder` and a few of `twitter2`."""

    def make(root, each, size):
        for i in range(each):
            paint(root / "folder" / "positive" / f"{i}.png", 180, i, size)
            paint(root / "folder" / "negative" / f"{i}.png", 20, 100 + i, size)
        rows = ["Image\tSentiment"]
        for i in range(20):
            place = root / "twitter2" / f"partition{i % 5 + 1}" / f"{i}.jpg"
            paint(place, 20 + 160 * (i % 2), i, size)
            rows.append(f"{i}.jpg\t{'positive' if i % 2 else 'negative'}")
        (root / "twitter2" / "groundTruthLabel.txt").write_text("\n".join(rows) + "\n")
        return root

    return make
