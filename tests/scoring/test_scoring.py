"""Scoring: the batched, threaded stream against a loop over crops; unreadable files left out."""

import logging
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from torchvision import transforms
from tqdm.auto import tqdm

from arlib import datasets
from arlib.datasets import read_image
from arlib.method import affective_regions, affective_score, sentiment_score, top_regions
from arlib.networks import LinearHead, load_backbone, resolve_engine
from arlib.proposals import Proposals
from arlib.scoring import scorer as scoring
from arlib.scoring.crops import crop_regions
from arlib.scoring.inference import global_outputs, in_batches, prefetch
from arlib.scoring.prediction import score_image
from arlib.scoring.scores import ScoresError, open_scores

START = {"value": 1e-9, "largest": 0.0, "broken": 0}
SIZES = [(64, 48), (40, 70), (120, 90), (33, 33), (200, 20)]


@dataclass(frozen=True)
class Halves:
    """No region for images narrower than 40 pixels, two below 100, else three."""

    max_regions: int = 4

    def __call__(self, image):
        height, width = image.shape[:2]
        halves = [[0, 0, width / 2, height], [width / 2, 0, width, height], [1, 1, 9, 9]]
        n = 0 if width < 40 else 2 if width < 100 else 3
        objectness = np.linspace(0.9, 0.1, 3)[:n]
        return Proposals(np.array(halves[:n], np.float32).reshape(-1, 4), np.float32(objectness))


@pytest.fixture(scope="module")
def network():
    return load_backbone("squeezenet1_1", classes=2, weights="random")


def linear_head(seed=0, backbone="squeezenet1_1"):
    weight = np.random.default_rng(seed).normal(size=(2, 512)).astype(np.float32)
    return LinearHead(weight, np.zeros(2, np.float32), ("positive", "negative"), backbone)


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    for number, (width, height) in enumerate(SIZES):
        folder = tmp_path / "photos" / ("positive" if number % 2 else "negative")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return datasets.load("folder", tmp_path / "photos", n_folds=2)


def brute_force(image, network, head=None, propose=None, **settings):
    """Algorithm 1's network half, one crop at a time: global and region probabilities."""
    preprocessing = network.preprocessing
    proposals = (propose or Halves())(image)
    full = np.array([[0, 0, image.shape[1], image.shape[0]]])
    probabilities = []
    for box, how in [(full, {}), *((box[None], settings) for box in proposals.boxes)]:
        crop = crop_regions(image, box, preprocessing.size, fill=preprocessing.fill, **how)
        with torch.inference_mode():
            features, logits = network.features_and_logits(preprocessing.normalize(crop))
        own = logits.softmax(1).numpy()
        probabilities.append((own if head is None else head.probability(features.numpy()))[0])
    return probabilities[0], probabilities[1:], proposals


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("settings", [{}, {"crop": "square", "context": 0.2}])
def test_scores_are_those_of_a_loop(dataset, network, tmp_path, batch_size, settings):
    scores = scoring.score(
        dataset,
        Halves(),
        network,
        out=tmp_path / "s.zarr",
        batch_size=batch_size,
        progress=False,
        **settings,
    )
    assert scores.image.values.tolist() == dataset.keys.tolist()
    assert scores.sizes["region"] == 4
    for i in range(len(dataset)):
        row = scores.isel(image=i)
        image = read_image(dataset.path(i))
        global_, regions, proposals = brute_force(image, network, **settings)
        n = len(proposals)
        np.testing.assert_allclose(row.global_probability, global_, atol=2e-4)
        if n:
            np.testing.assert_allclose(row.region_probability[:n], regions, atol=2e-4)
        np.testing.assert_array_equal(row.box[:n], proposals.boxes)
        np.testing.assert_array_equal(row.objectness[:n], proposals.objectness)
        assert np.isnan(row.objectness[n:]).all()
        assert np.isnan(row.region_probability[n:]).all()
        assert int(row.label) == dataset.labels[i]
        assert int(row.fold) == dataset.folds[i]


@dataclass(frozen=True)
class Falling:
    """Up to 24 boxes of random places and falling objectness, tied in pairs."""

    max_regions: int = 24

    def __call__(self, image):
        height, width = image.shape[:2]
        rng = np.random.default_rng(width)
        n = 0 if width < 40 else self.max_regions
        corner = rng.uniform(0, 0.7, (n, 2))
        boxes = np.concatenate([corner, corner + 0.25], 1) * [width, height, width, height]
        objectness = np.repeat(np.linspace(1.5, 0.1, 12), 2)[:n]
        return Proposals(boxes.astype(np.float32), objectness.astype(np.float32))


@pytest.fixture(scope="module")
def confident():
    """A network that is sure of some crops, so that the order of AR is not that of objectness."""
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    with torch.no_grad():
        network.network[-1].weight.mul_(4)
    return network


def plain_loop(image, boxes, network):
    """Score in the plainest way: Pillow's crop, torchvision's transform, a batch of 1, float32."""
    photograph, preprocessing = Image.fromarray(image), network.preprocessing
    transform = transforms.Compose(
        [
            transforms.Resize((preprocessing.size, preprocessing.size)),
            transforms.ToTensor(),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )
    probabilities = []
    with torch.no_grad():
        for box in boxes:
            corners = [*np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)]
            crop = transform(photograph.crop([int(corner) for corner in corners]))
            probabilities.append(network(crop[None]).softmax(1)[0].numpy())
    return np.stack(probabilities)


def test_pillow_and_torchvision_have_the_same_top(confident):
    """Their resizing differs by a grey level at most, which no gap between these regions is."""
    scenes = datasets.load("scenes-annotated", n=20, seed=0)
    for index in range(6):
        image = scenes.read(index)
        regions = Falling()(image)
        loop = plain_loop(image, regions.boxes, confident)
        scores = score_image(image, Falling(), confident)
        best = top_regions(affective_score(regions.objectness, sentiment_score(loop)), 3)
        chosen = affective_regions(scores, 3)
        np.testing.assert_array_equal(chosen.region[0], best)
        np.testing.assert_allclose(chosen.probability[0], loop[best], atol=0.02)


def test_bf16_is_a_little_off(dataset, confident, tmp_path):
    """Full images and regions alike; proposals are the same."""
    exact = scoring.score(dataset, Falling(), confident, out=tmp_path / "a.zarr", progress=False)
    fast = scoring.score(
        dataset, Falling(), confident, out=tmp_path / "b.zarr", precision="bf16", progress=False
    )
    for name in ("global_probability", "region_probability"):
        assert 1e-5 < float(abs(fast[name] - exact[name]).max()) < 0.1
    xr.testing.assert_equal(fast[["objectness", "box"]], exact[["objectness", "box"]])
    assert fast.attrs["parameters"]["precision"] == "bfloat16"
    assert exact.attrs["parameters"] == {"crop": "warp", "context": 0.0}
    image = read_image(dataset.path(2))
    row = score_image(image, Falling(), confident, precision="bf16")
    np.testing.assert_allclose(row.region_probability[0], fast.region_probability[2], atol=0.02)
    assert row.attrs["parameters"] == fast.attrs["parameters"]


def test_an_unknown_precision_is_refused_before_anything_is_written(dataset, network, tmp_path):
    settings = {"out": tmp_path / "s.zarr", "progress": False}
    with pytest.raises(ValueError, match="precision must be"):
        scoring.score(dataset, Halves(), network, precision="half", **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_each_image_is_classified_by_the_head_of_its_fold(dataset, network, tmp_path):
    heads = {1: linear_head(1), 2: linear_head(2)}
    scores = scoring.score(
        dataset, Halves(), network, out=tmp_path / "s.zarr", head=heads, progress=False
    )
    for i in range(len(dataset)):
        image = read_image(dataset.path(i))
        global_, regions, _ = brute_force(image, network, heads[int(dataset.folds[i])])
        row = scores.isel(image=i)
        np.testing.assert_allclose(row.global_probability, global_, atol=1e-3)
        if regions:
            np.testing.assert_allclose(row.region_probability[: len(regions)], regions, atol=1e-3)


def test_provenance_names_what_made_the_scores(dataset, network, tmp_path):
    out = tmp_path / "s.zarr"
    scoring.score(dataset, Halves(), network, out=out, head=linear_head(), progress=False)
    attrs = open_scores(out).attrs
    assert attrs["dataset"] == "folder"
    assert attrs["proposals"] == {"method": "Halves", "max_regions": 4}
    assert attrs["backbone"] == "squeezenet1_1"
    assert attrs["weights_sha256"] == network.sha256()
    engine = {} if resolve_engine(network) == "torch" else {"engine": "openvino"}
    assert attrs["parameters"] == {"crop": "warp", "context": 0.0, **engine}
    assert attrs["unreadable"] == {}


def test_an_unreadable_image_is_reported_and_left_out(dataset, network, tmp_path, caplog):
    complete = scoring.score(dataset, Halves(), network, out=tmp_path / "a.zarr", progress=False)
    truncated, gone = dataset.path(1), dataset.path(3)
    truncated.write_bytes(truncated.read_bytes()[:-500])
    gone.unlink()
    with caplog.at_level(logging.WARNING):
        part = scoring.score(dataset, Halves(), network, out=tmp_path / "b.zarr", progress=False)
    assert set(part.attrs["unreadable"]) == {dataset.keys[1], dataset.keys[3]}
    assert part.attrs["unreadable"][str(dataset.keys[3])] == "no such file"
    assert str(truncated) in caplog.text
    kept = complete.isel(image=[0, 2, 4])
    np.testing.assert_array_equal(part.image, kept.image)
    xr.testing.assert_allclose(part.drop_attrs(), kept.drop_attrs(), atol=1e-5)


def test_nothing_readable_is_an_error_and_writes_nothing(dataset, network, tmp_path):
    for i in range(len(dataset)):
        dataset.path(i).write_bytes(b"")
    with pytest.raises(ScoresError, match="no image was scored"):
        scoring.score(dataset, Halves(), network, out=tmp_path / "s.zarr", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_error_on_the_way_leaves_nothing_behind(dataset, network, tmp_path):
    def breaks(image):
        if image.shape[1] == 33:
            raise RuntimeError("out of luck")
        return Halves()(image)

    breaks.max_regions = 4
    with pytest.raises(RuntimeError, match="out of luck"):
        scoring.score(dataset, breaks, network, out=tmp_path / "s.zarr", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_what_is_there_is_not_overwritten_unasked(dataset, network, tmp_path):
    out = tmp_path / "s.zarr"
    first = dataset.subset([0])
    scoring.score(first, Halves(), network, out=out, progress=False)
    with pytest.raises(FileExistsError, match="remove it, or ask to overwrite it"):
        scoring.score(dataset, Halves(), network, out=out, progress=False)
    again = scoring.score(dataset, Halves(), network, out=out, progress=False, overwrite=True)
    assert again.sizes["image"] == len(dataset)


def test_heads_and_network_must_speak_of_the_datasets_emotions(dataset, network, tmp_path):
    def refused(head=None, network=network):
        with pytest.raises(ValueError, match=r".") as caught:
            scoring.score(dataset, Halves(), network, out=tmp_path / "s.zarr", head=head)
        return str(caught.value)

    three = load_backbone("squeezenet1_1", classes=3, weights="random")
    assert "squeezenet1_1 has 3 outputs, folder has 2 emotions" in refused(network=three)
    assert refused({1: linear_head()}) == "no head for fold(s) [2] of folder"
    assert "reads features of vgg16, not of squeezenet1_1" in refused(linear_head(0, "vgg16"))
    other = LinearHead(np.zeros((2, 512)), np.zeros(2), ("joy", "fear"), "squeezenet1_1")
    assert "the head predicts ('joy', 'fear'), not" in refused(other)
    narrow = LinearHead(np.zeros((2, 6)), np.zeros(2), dataset.emotions, "squeezenet1_1")
    assert refused(narrow) == "the head reads 6 features of squeezenet1_1, not 512"


def test_one_image_in_memory(network):
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    scores = score_image(image, Halves(), network)
    global_, regions, proposals = brute_force(image, network)
    assert dict(scores.sizes) == {"image": 1, "region": 3, "corner": 4, "emotion": 2}
    np.testing.assert_allclose(scores.global_probability[0], global_, atol=2e-4)
    np.testing.assert_allclose(scores.region_probability[0], regions, atol=2e-4)
    np.testing.assert_array_equal(scores.box[0], proposals.boxes)
    narrow = score_image(image[:, :30], Halves(), network, head=linear_head())
    assert narrow.sizes["region"] == 0


def test_features_are_those_of_the_full_images(dataset, network, caplog):
    unreadable = dataset.path(2)
    unreadable.write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        features = global_outputs(dataset, network, features=True, progress=False)
    assert "no image, or of an unknown format" in caplog.text
    assert np.isnan(features[2]).all()
    for i in (0, 1, 3, 4):
        image = read_image(dataset.path(i))
        box = np.array([[0, 0, image.shape[1], image.shape[0]]])
        pixels = network.preprocessing.normalize(crop_regions(image, box, 224))
        with torch.inference_mode():
            expected = network.features(pixels)[0].numpy()
        np.testing.assert_allclose(features[i], expected, atol=1e-3)


def test_preparing_stays_a_few_images_ahead(dataset):
    """What bounds memory: however many images there are, few wait for the network."""
    many = datasets.Dataset(
        name="many",
        root=dataset.root,
        keys=np.array([str(i) for i in range(60)]),
        files=np.repeat(dataset.files[:1], 60),
        labels=np.zeros(60, np.int8),
        folds=np.zeros(60, np.int8),
    )
    prepared = []

    def prepare(index, image):
        prepared.append(index)
        return index, image

    taken = prefetch(many, prepare, 2, {}, tqdm(disable=True))
    for number, (index, image) in enumerate(taken):
        assert index == number
        assert image.shape == (70, 40, 3)
        assert len(prepared) - number <= 5
    assert sorted(prepared) == list(range(60))


def test_batches_are_full_across_images():
    sizes = []

    def forward(crops):
        sizes.append(len(crops))
        return crops.float().mean((1, 2, 3)).numpy()[:, None]

    counts = [1, 5, 2, 7, 1, 1]
    items = [(i, torch.full((n, 3, 2, 2), i, dtype=torch.uint8)) for i, n in enumerate(counts)]
    passed = list(in_batches(forward, items, batch_size=4))
    assert sizes == [4, 4, 4, 4, 1]
    assert [index for index, _ in passed] == list(range(6))
    for (index, output), count in zip(passed, counts, strict=True):
        assert output.tolist() == [[index]] * count


def test_progress_shows_rate_and_time_left(dataset, network, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    scoring.score(dataset, Halves(), network, out=tmp_path / "s.zarr")
    bar = capsys.readouterr().err
    assert "folder: 100%" in bar
    assert "5/5" in bar
    assert "image/s" in bar or "s/image" in bar
