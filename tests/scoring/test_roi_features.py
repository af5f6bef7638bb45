"""One pass for all regions: where it must agree with cropping, and which networks it can cut."""

import numpy as np
import pytest
import torch

from arlib.datasets import load
from arlib.networks import LinearHead, load_backbone
from arlib.proposals import EdgeBoxes, Grid
from arlib.scoring import scorer as scoring
from arlib.scoring.crops import crop_regions
from arlib.scoring.prediction import score_image
from arlib.scoring.roi_features import shared_forward, split

CUT = {
    "vgg11": 7,
    "alexnet": 6,
    "squeezenet1_1": 13,
    "mobilenet_v2": 7,
    "resnet18": 7,
    "vgg_tiny": 6,
    "alexnet_tiny": 5,
}


@pytest.mark.parametrize("name", CUT)
def test_trunk_and_tail_are_the_network(name):
    network = load_backbone(name, classes=2, weights="random")
    trunk, tail, side = split(network)
    assert side == CUT[name]
    size = network.preprocessing.size
    batch = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = trunk(batch)
        if maps.shape[-1] != side:  # Fast R-CNN's place of pooling
            maps = network.network.features[-1](maps)
        np.testing.assert_allclose(tail(maps), network(batch), atol=1e-4)


@pytest.mark.parametrize("name", ["vit_b_16", "densenet121", "shufflenet_v2_x0_5"])
def test_what_cannot_be_cut_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} cannot be shared"):
        split(load_backbone(name, classes=2, weights="random"))


def test_at_the_networks_own_size_the_full_image_is_nearly_that_of_cropping():
    """The map is the same, and RoIAlign over all of it only smooths it."""
    network = load_backbone("resnet18", classes=2, weights="random")
    coarse = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    image = np.kron(coarse, np.ones((32, 32, 1), np.uint8))
    box = np.array([[0, 0, 224, 224]])
    shared = shared_forward(network, features=True, device="cpu", side=1.0)(image, box)
    with torch.inference_mode():
        own = network.features(network.preprocessing.normalize(crop_regions(image, box, 224)))
    assert np.abs(shared - own.numpy()).mean() < 0.03 * own.abs().mean()
    part = shared_forward(network, features=True, device="cpu", side=1.0)(image, box / 2)
    assert np.abs(part - own.numpy()).mean() > 0.1 * own.abs().mean()


def test_boxes_lie_where_they_are_in_the_image():
    """A network that reads colours: each half of an image, wherever it lies, has its own."""
    layer = torch.nn.Conv2d(3, 3, 1, bias=False)
    head = torch.nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3)[..., None, None])
    pool = torch.nn.AdaptiveAvgPool2d(1)
    tiny = load_backbone("vgg_tiny", classes=2, weights="random")
    tiny.network = torch.nn.Sequential(layer, pool, torch.nn.Flatten(), head)
    image = np.zeros((60, 200, 3), np.uint8)
    image[:, :50, 0] = 255
    image[:, 50:, 2] = 255
    run = shared_forward(tiny, features=True, device="cpu", side=1.0)  # 64 x 32: of other scales
    seen = run(image, np.array([[0, 0, 40, 60], [60, 0, 200, 60]]))  # mean colours, normalised
    colours = torch.tensor([[255, 0, 0], [0, 0, 255]], dtype=torch.uint8)[..., None, None]
    normal = tiny.preprocessing.normalize(colours)[..., 0, 0]
    np.testing.assert_allclose(seen, normal, atol=0.05)


def test_scores_by_shared_maps_keep_the_layout_and_the_full_image(tmp_path):
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    scenes = load("scenes-annotated", n=20, seed=0)
    settings = {"progress": False}
    crops = scoring.score(scenes, Grid(6), network, out=tmp_path / "a.zarr", **settings)
    shared = scoring.score(
        scenes, Grid(6), network, out=tmp_path / "b.zarr", features="shared", **settings
    )
    np.testing.assert_allclose(shared.global_probability, crops.global_probability, atol=1e-6)
    np.testing.assert_array_equal(shared.box, crops.box)
    run = shared_forward(network, features=False, device="cpu")
    expected = run(scenes.read(3), crops.box.values[3])
    np.testing.assert_allclose(shared.region_probability[3], expected, atol=1e-6)
    assert shared.attrs["parameters"]["features"] == "shared"
    assert float(abs(shared.region_probability - crops.region_probability).max()) > 1e-3
    image = score_image(scenes.read(3), Grid(6), network, features="shared")
    np.testing.assert_allclose(image.region_probability[0], expected, atol=1e-6)


def test_a_head_reads_shared_features():
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    weight = np.random.default_rng(0).normal(size=(2, 128)).astype(np.float32)
    head = LinearHead(weight, np.zeros(2, np.float32), ("positive", "negative"), "vgg_tiny")
    image = load("scenes-annotated", n=20, seed=0).read(0)
    scores = score_image(image, Grid(4), network, head=head, features="shared")
    read = shared_forward(network, features=True, device="cpu")(image, scores.box.values[0])
    np.testing.assert_allclose(scores.region_probability[0], head.probability(read), atol=1e-5)


def test_an_image_without_regions_has_a_global_probability():
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    image = np.full((50, 50, 3), 128, np.uint8)
    scores = score_image(image, EdgeBoxes(), network, features="shared")
    assert scores.sizes["region"] == 0
    assert float(scores.global_probability.sum()) == pytest.approx(1)


def test_wrong_settings():
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    image = np.zeros((50, 50, 3), np.uint8)
    with pytest.raises(ValueError, match="side must be positive, not 0"):
        shared_forward(network, features=False, side=0)
    with pytest.raises(ValueError, match="features must be 'crops' or 'shared', not 'x'"):
        score_image(image, Grid(4), network, features="x")
