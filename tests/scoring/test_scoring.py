"""Scoring: the batched, threaded stream against a loop over crops; unreadable files left out."""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from torchvision import transforms

from arlib import datasets
from arlib.datasets import read_image
from arlib.method import affective_regions, top_regions
from arlib.networks import LinearHead, load_backbone
from arlib.proposals import Proposals
from arlib.scoring import scorer as scoring
from arlib.scoring.choice import Choice
from arlib.scoring.crops import crop_regions
from arlib.scoring.inference import Item, image_features, prefetch, preparer, through
from arlib.scoring.scores import ScoresError, open_scores
from arlib.scoring.walk import Tolerance

START = {"value": 1e-9, "largest": 0.0, "broken": 0}
SIZES = [(64, 48), (40, 70), (120, 90), (33, 33), (200, 20)]


@dataclass(frozen=True)
class Halves:
    """No region for pictures narrower than 40 pixels, two below 100, else three."""

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
    found = (propose or Halves())(image)
    whole = np.array([[0, 0, image.shape[1], image.shape[0]]])
    probabilities = []
    for box, how in [(whole, {}), *((box[None], settings) for box in found.boxes)]:
        crop = crop_regions(image, box, preprocessing.size, fill=preprocessing.fill, **how)
        with torch.inference_mode():
            features, logits = network.features_and_logits(preprocessing.normalize(crop))
        own = logits.softmax(1).numpy()
        probabilities.append((own if head is None else head.probability(features.numpy()))[0])
    return probabilities[0], probabilities[1:], found


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
        one = scores.isel(image=i)
        image = read_image(dataset.path(i))
        whole, regions, found = brute_force(image, network, **settings)
        n = len(found)
        np.testing.assert_allclose(one.global_probability, whole, atol=2e-4)
        if n:
            np.testing.assert_allclose(one.region_probability[:n], regions, atol=2e-4)
        np.testing.assert_array_equal(one.box[:n], found.boxes)
        np.testing.assert_array_equal(one.objectness[:n], found.objectness)
        assert np.isnan(one.objectness[n:]).all()
        assert np.isnan(one.region_probability[n:]).all()
        assert int(one.label) == dataset.labels[i]
        assert int(one.fold) == dataset.folds[i]


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
def decided():
    """A network that is sure of some crops, so that the order of AR is not that of objectness."""
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    with torch.no_grad():
        network.network[-1].weight.mul_(4)
    return network


PATHS = [
    {"only": Choice(k=3)},
    {"only": Choice(k=3), "batch_size": 4},
    {"only": Choice(k=8, alpha=0.3), "batch_size": 64},
    {"only": Choice(k=3, form="linear", alpha=0.7)},
    {"only": Choice(k=2, rank_by="objectness")},
    {"only": Choice(k=2, rank_by="sentiment")},
]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("settings", PATHS)
def test_every_path_has_the_top_of_a_plain_loop(dataset, decided, tmp_path, settings, precision):
    scores = scoring.score(
        dataset,
        Falling(),
        decided,
        out=tmp_path / "s.zarr",
        precision=precision,
        progress=False,
        **settings,
    )
    only, effort = settings["only"], scores.attrs["effort"]
    ask = {name: value for name, value in only.to_dict().items() if name != "k"}
    chosen = affective_regions(scores, only.k, **ask)
    for i in range(len(dataset)):
        whole, regions, found = brute_force(read_image(dataset.path(i)), decided, propose=Falling())
        np.testing.assert_allclose(scores.global_probability[i], whole, atol=2e-4)
        if not regions:
            assert (chosen.region[i] == -1).all()
            continue
        best = top_regions(only.value(found.objectness, np.stack(regions)), only.k)
        np.testing.assert_array_equal(chosen.region[i], best)
        np.testing.assert_allclose(chosen.probability[i], np.stack(regions)[best], atol=2e-4)
    assert effort["proposed"] == 4 * 24
    assert int(scores.objectness.notnull().sum()) == effort["scored"] <= 4 * 24
    assert scores.attrs["parameters"]["only"] == only.to_dict()
    if precision == "bf16":
        assert 4 * only.k <= effort["again"] <= effort["scored"]
        assert 0 < effort["largest_error"] < effort["tolerance"]
        assert effort["tolerance_broken"] == 0
    if only.rank_by != "sentiment":
        assert effort["scored"] < 4 * 24


def plain_loop(image, boxes, network):
    """What one would write first: Pillow's crop, torchvision's transform, a batch of 1, float32."""
    picture, told = Image.fromarray(image), network.preprocessing
    transform = transforms.Compose(
        [
            transforms.Resize((told.size, told.size)),
            transforms.ToTensor(),
            transforms.Normalize(told.mean, told.std),
        ]
    )
    said = []
    with torch.no_grad():
        for box in boxes:
            corners = [*np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)]
            crop = transform(picture.crop([int(corner) for corner in corners]))
            said.append(network(crop[None]).softmax(1)[0].numpy())
    return np.stack(said)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("only", [None, Choice(k=1), Choice(k=3), Choice(k=8, alpha=0.5)])
def test_pillow_and_torchvision_have_the_same_top(decided, precision, only):
    """Their resizing differs by a grey level at most, which no gap between these regions is."""
    scenes = datasets.load("scenes-annotated", n=20, seed=0)
    for index in range(6):
        image, k = scenes.read(index), only.k if only else 3
        found = Falling()(image)
        loop = plain_loop(image, found.boxes, decided)
        scores = scoring.score_image(image, Falling(), decided, precision=precision, only=only)
        if only is None and precision == "bf16":
            np.testing.assert_allclose(scores.region_probability[0], loop, atol=0.05)
            continue
        choice = only or Choice(k=3)
        best = top_regions(choice.value(found.objectness, loop), k)
        chosen = affective_regions(scores, k, alpha=choice.alpha)
        np.testing.assert_array_equal(chosen.region[0], best)
        np.testing.assert_allclose(chosen.probability[0], loop[best], atol=0.02)


def test_bf16_alone_judges_every_region_a_little_off(dataset, decided, tmp_path):
    exact = scoring.score(dataset, Falling(), decided, out=tmp_path / "a.zarr", progress=False)
    fast = scoring.score(
        dataset, Falling(), decided, out=tmp_path / "b.zarr", precision="bf16", progress=False
    )
    xr.testing.assert_allclose(fast.global_probability, exact.global_probability, atol=1e-6)
    apart = abs(fast.region_probability - exact.region_probability)
    assert 1e-5 < float(apart.max()) < 0.1
    xr.testing.assert_equal(fast.objectness, exact.objectness)
    assert fast.attrs["parameters"]["precision"] == "bfloat16"
    assert "only" not in exact.attrs["parameters"]
    assert "effort" not in exact.attrs


def test_a_tolerance_that_breaks_is_told(dataset, decided, tmp_path, monkeypatch):
    monkeypatch.setattr(Tolerance, "__init__", lambda self: self.__dict__.update(START))
    scores = scoring.score(
        dataset,
        Falling(),
        decided,
        out=tmp_path / "s.zarr",
        precision="bf16",
        only=Choice(k=3),
        progress=False,
    )
    effort = scores.attrs["effort"]
    assert effort["tolerance_broken"] >= 1
    assert effort["tolerance"] > effort["largest_error"] > 1e-9


def test_what_is_asked_must_suit_the_emotions(dataset, network, tmp_path):
    eight = load_backbone("squeezenet1_1", classes=8, weights="random")
    many = replace(dataset, emotions=tuple("abcdefgh"))
    settings = {"out": tmp_path / "s.zarr", "progress": False}
    with pytest.raises(ValueError, match=r"Eq\. 2 would square"):
        scoring.score(many, Halves(), eight, only=Choice(), **settings)
    with pytest.raises(ValueError, match="precision must be"):
        scoring.score(dataset, Halves(), network, precision="half", **settings)


def test_each_image_is_judged_by_the_head_of_its_fold(dataset, network, tmp_path):
    heads = {1: linear_head(1), 2: linear_head(2)}
    scores = scoring.score(
        dataset, Halves(), network, out=tmp_path / "s.zarr", head=heads, progress=False
    )
    for i in range(len(dataset)):
        image = read_image(dataset.path(i))
        whole, regions, _ = brute_force(image, network, heads[int(dataset.folds[i])])
        one = scores.isel(image=i)
        np.testing.assert_allclose(one.global_probability, whole, atol=1e-3)
        if regions:
            np.testing.assert_allclose(one.region_probability[: len(regions)], regions, atol=1e-3)


def test_provenance_says_what_made_the_scores(dataset, network, tmp_path):
    out = tmp_path / "s.zarr"
    scoring.score(dataset, Halves(), network, out=out, head=linear_head(), progress=False)
    attrs = open_scores(out).attrs
    assert attrs["dataset"] == "folder"
    assert attrs["proposals"] == {"method": "Halves", "max_regions": 4}
    assert attrs["backbone"] == "squeezenet1_1"
    assert attrs["weights_sha256"] == network.sha256()
    assert attrs["parameters"] == {"crop": "warp", "context": 0.0}
    assert attrs["unreadable"] == {}


def test_an_unreadable_image_is_reported_and_left_out(dataset, network, tmp_path, caplog):
    whole = scoring.score(dataset, Halves(), network, out=tmp_path / "a.zarr", progress=False)
    truncated, gone = dataset.path(1), dataset.path(3)
    truncated.write_bytes(truncated.read_bytes()[:-500])
    gone.unlink()
    with caplog.at_level(logging.WARNING):
        part = scoring.score(dataset, Halves(), network, out=tmp_path / "b.zarr", progress=False)
    assert set(part.attrs["unreadable"]) == {dataset.keys[1], dataset.keys[3]}
    assert part.attrs["unreadable"][str(dataset.keys[3])] == "no such file"
    assert str(truncated) in caplog.text
    kept = whole.isel(image=[0, 2, 4])
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
    assert "squeezenet1_1 tells 3 classes apart, folder has 2" in refused(network=three)
    assert refused({1: linear_head()}) == "no head for fold(s) [2] of folder"
    assert "reads features of vgg16, not of squeezenet1_1" in refused(linear_head(0, "vgg16"))
    other = LinearHead(np.zeros((2, 512)), np.zeros(2), ("joy", "fear"), "squeezenet1_1")
    assert "tells ('joy', 'fear') apart" in refused(other)


def test_one_picture_in_memory(network):
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    scores = scoring.score_image(image, Halves(), network)
    whole, regions, found = brute_force(image, network)
    assert dict(scores.sizes) == {"image": 1, "region": 3, "corner": 4, "emotion": 2}
    np.testing.assert_allclose(scores.global_probability[0], whole, atol=2e-4)
    np.testing.assert_allclose(scores.region_probability[0], regions, atol=2e-4)
    np.testing.assert_array_equal(scores.box[0], found.boxes)
    narrow = scoring.score_image(image[:, :30], Halves(), network, head=linear_head())
    assert narrow.sizes["region"] == 0


def test_features_are_those_of_the_whole_images(dataset, network):
    gone = dataset.path(2)
    gone.write_bytes(b"no image")
    features, unreadable = image_features(dataset, network, progress=False)
    assert unreadable == {str(dataset.keys[2]): "no image, or of an unknown format"}
    assert np.isnan(features[2]).all()
    for i in (0, 1, 3, 4):
        image = read_image(dataset.path(i))
        whole = np.array([[0, 0, image.shape[1], image.shape[0]]])
        pixels = network.preprocessing.normalize(crop_regions(image, whole, 224))
        with torch.inference_mode():
            expected = network.features(pixels)[0].numpy()
        np.testing.assert_allclose(features[i], expected, atol=1e-3)


def test_preparing_stays_a_few_images_ahead(dataset, network):
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
    prepare = preparer(network, Halves(), "warp", 0.0)

    def counted(index, image):
        prepared.append(index)
        return prepare(index, image)

    for taken, (index, item) in enumerate(prefetch(many, counted, workers=2), 1):
        assert index == taken - 1
        assert isinstance(item, Item)
        assert len(prepared) - taken <= 4
    assert sorted(prepared) == list(range(60))


def test_batches_are_full_across_images():
    sizes = []

    def run(crops):
        sizes.append(len(crops))
        return crops.float().mean((1, 2, 3)).numpy()[:, None]

    items = [
        Item(i, Halves()(np.zeros((9, 9, 3))), torch.full((n, 3, 2, 2), i, dtype=torch.uint8))
        for i, n in enumerate([1, 5, 2, 7, 1, 1])
    ]
    passed = list(through(run, items, batch_size=4))
    assert sizes == [4, 4, 4, 4, 1]
    assert [item.index for item, _ in passed] == list(range(6))
    for item, output in passed:
        assert output.tolist() == [[item.index]] * len(item.crops)


def test_progress_shows_rate_and_time_left(dataset, network, tmp_path, capsys):
    scoring.score(dataset, Halves(), network, out=tmp_path / "s.zarr")
    shown = capsys.readouterr().err
    assert "folder: 100%" in shown
    assert "5/5" in shown
    assert "image/s" in shown or "s/image" in shown
