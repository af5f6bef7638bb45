"""One pass for all regions: where it must agree with cropping, and which networks it can cut."""

import numpy as np
import pytest
import torch
from tests.experiments.helpers import drawn_dataset, with_coupled_head

from arlib.datasets import load
from arlib.networks import LinearHead, Training, fit_coupled, load_backbone, split_network
from arlib.proposals import EdgeBoxes, Grid
from arlib.scoring import Classifiers, scorer as scoring
from arlib.scoring.crops import crop_regions
from arlib.scoring.prediction import score_image
from arlib.scoring.roi_features import SharedPass, score_cam, shared_forward
from arlib.scoring.scores import pack, row

CUT = {
    "vgg11": 7,
    "alexnet": 6,
    "squeezenet1_1": 13,
    "mobilenet_v2": 7,
    "resnet18": 7,
    "densenet121": 7,
    "shufflenet_v2_x0_5": 7,
    "vgg_tiny": 6,
    "alexnet_tiny": 5,
}


@pytest.mark.parametrize("name", CUT)
def test_trunk_and_tail_are_the_network(name):
    network = load_backbone(name, classes=2, weights="random")
    trunk, tail, side = split_network(network)
    assert side == CUT[name]
    size = network.preprocessing.size
    batch = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = trunk(batch)
        if maps.shape[-1] != side:  # Fast R-CNN's place of pooling
            maps = network.network.features[-1](maps)
        np.testing.assert_allclose(tail(maps), network(batch), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("vit_b_16", "reads more than one feature map"), ("maxvit_t", "of its own size alone")],
)
def test_what_cannot_be_cut_is_refused(name, reason):
    network = load_backbone(name, classes=2, weights="random")
    with pytest.raises(ValueError, match=f"{name} cannot be split: .*{reason}"):
        split_network(network)
    with pytest.raises(ValueError, match=rf"a coupled head reads .* feature map: {name} cannot"):
        fit_coupled(network, np.zeros((2, 1)), np.array([0, 1]), 2, Training())


class Joined(torch.nn.Module):
    """A network whose classifier reads more than its last map, and asks how long a batch is."""

    def __init__(self, skips):
        super().__init__()
        self.skips, self.first, self.second = skips, *(torch.nn.Conv2d(3, 3, 3) for _ in "ab")
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, batch):
        n, first = batch.size(0), self.first(batch)
        pooled = self.second(first).mean(dim=(2, 3)).view(n, -1)
        return self.fc(pooled + first.mean(dim=(2, 3)) if self.skips else pooled)


def test_a_classifier_may_read_one_map_alone():
    tiny = load_backbone("vgg_tiny", classes=2, weights="random")
    tiny.network = Joined(skips=True)
    with pytest.raises(ValueError, match="reads more than one feature map"):
        split_network(tiny)
    tiny.network = Joined(skips=False)
    trunk, tail, side = split_network(tiny)
    maps = torch.randn(4, 3, side, side)
    expected = tiny.network.fc(maps.mean(dim=(2, 3)))
    np.testing.assert_allclose(tail(maps).detach(), expected.detach(), atol=1e-6)
    assert trunk(torch.zeros(1, 3, 48, 48)).shape == (1, 3, side, side)


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


class TestClassActivationMaps:
    @pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1"])
    def test_of_average_pooling_and_a_linear_head_they_are_those_of_zhou(self, name):
        network = load_backbone(name, classes=2, weights="random")
        rng = np.random.default_rng(0)
        weight = rng.normal([[0.1], [-0.1]], size=(2, network.n_features)).astype(np.float32)
        head = LinearHead(weight, np.float32([3, -3]), ("positive", "negative"), name)
        image = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
        shared = SharedPass(network, device="cpu", side=1.0)
        maps = shared.maps(image)
        for emotion in (0, 1):
            weighted = np.einsum("d,dhw->hw", weight[emotion], maps[0])
            assert weighted.max() != 0
            expected = torch.from_numpy(np.maximum(weighted, 0))[None, None]
            expected = torch.nn.functional.interpolate(expected, scale_factor=8, mode="bilinear")
            found = shared.class_map(maps, image, emotion, head) * weighted.size  # 1 / hw
            np.testing.assert_allclose(found, expected[0, 0], atol=1e-4 * np.abs(weighted).max())

    def test_else_they_are_of_the_gradient_by_differences(self):
        """Each channel's weight is what the logit gains, a place, if the channel is raised."""
        network = load_backbone("vgg_tiny", classes=2, weights="random")
        image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
        shared = SharedPass(network, device="cpu")
        maps, full = shared.maps(image), np.array([[0, 0, 96, 96]])
        with torch.no_grad():
            before = shared.outputs(maps, image, full)[1][0, 0].double()
            weights = []
            for channel in range(maps.shape[1]):
                raised = maps.clone()
                raised[:, channel] += 1e-3
                weights.append((shared.outputs(raised, image, full)[1][0, 0] - before) / 1e-3)
        weighted = torch.einsum("d,dhw->hw", torch.stack(weights), maps[0].double()).clamp(min=0)
        found = shared.class_map(maps, image, 0)[4::8, 4::8]  # near the middle of each place
        assert np.corrcoef(found.ravel(), weighted.ravel())[0, 1] > 0.97

    def test_a_box_lies_where_the_emotion_is_predicted_from(self):
        """A network of colours: red is the first emotion, blue the second."""
        network, image = colours()
        shared = SharedPass(network, device="cpu", side=2.0)
        for emotion, inside in ((0, (10, 10, 40, 30)), (1, (70, 30, 90, 50))):
            regions, probability, peak = shared.cam_regions(image, emotion)
            assert len(regions) == 1
            assert (inside[:2] <= peak).all()
            assert (peak <= inside[2:]).all()
            np.testing.assert_allclose(regions.boxes[0], inside, atol=3)
            assert probability[0, emotion] > 0.9
            assert 0.7 < regions.objectness[0] <= 1  # the rest is below the threshold

    def test_of_a_coupled_network_they_are_its_own(self):
        """Detectors of red and of blue, weighed about alike: the one map has both spots."""
        network, image = colours()
        coupled = with_coupled_head(network)
        pixels = torch.tensor([[255, 0, 0], [0, 0, 255], [128] * 3], dtype=torch.uint8)
        values = coupled.preprocessing.normalize(pixels.T[None, :, :, None])[0, :, :, 0].T
        with torch.no_grad():
            for emotion in (0, 1):  # 1 on its colour, 0 on the others
                detector = torch.linalg.solve(values, torch.eye(3)[emotion])
                coupled.head.detectors.weight[4 * emotion : 4 * emotion + 4, :, 0, 0] = detector
            coupled.head.detectors.bias.zero_()
        shared = SharedPass(coupled, device="cpu")
        maps = shared.maps(image)
        with torch.no_grad():
            expected = coupled.head.branches(maps)[2].relu()
        expected = torch.nn.functional.interpolate(expected, scale_factor=8, mode="bilinear")[0, 0]
        assert expected.max() > 0
        for emotion in (0, 1):
            found = shared.class_map(maps, image, emotion)
            np.testing.assert_allclose(found, expected, atol=1e-6)
        scores = score_image(image, network=coupled, regions="cam", engine="torch")
        boxes = scores.box.values[0][np.argsort(scores.box.values[0, :, 0])]
        np.testing.assert_allclose(boxes, [(10, 10, 40, 30), (70, 30, 90, 50)], atol=3)
        run = shared_forward(coupled, features=False, device="cpu")
        expected = run(image, scores.box.values[0])
        np.testing.assert_allclose(scores.region_probability[0], expected, atol=1e-6)

    def test_scores_of_maps_take_the_predicted_emotion_and_its_folds_head(self):
        """Of two folds with opposite heads each finds its own part; no label counts."""
        network, image = colours()
        labels, folds = np.array([0, 1, 0], np.int8), np.array([1, 2, 1])
        dataset = drawn_dataset([image, image, image[:, 60:]], labels, folds, broken=1)
        weight = np.float32([[1, -1, -1], [-1, -1, 1]]) * 4
        heads = {
            fold: LinearHead(sign * weight, np.zeros(2, np.float32), dataset.emotions, network.name)
            for fold, sign in ((1, 1), (2, -1))
        }
        classifiers = Classifiers.one(network, dataset, heads)
        full = np.float32([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
        scores = pack(
            [row(n, Grid(1)(image), np.stack([full[n], full[n]])) for n in range(3)], dataset, 1
        )
        found = score_cam(dataset, scores, classifiers, max_regions=2, progress=False)
        assert found.image.values.tolist() == ["p0", "p2"]  # the other cannot be read
        np.testing.assert_allclose(found.box[0, 0], (10, 10, 40, 30), atol=3)
        np.testing.assert_allclose(found.box[1, 0], (10, 30, 30, 50), atol=3)
        np.testing.assert_array_equal(found.global_probability, full[[0, 2]])
        assert float(found.region_probability[0, 0, 0]) > 0.9
        assert found.objectness[:, 1].isnull().all()
        x, y = found.peak.values[0]
        assert 10 < x < 40
        assert 10 < y < 30
        with pytest.raises(ValueError, match="not of the 2 images of drawn"):
            score_cam(dataset.subset([0, 2]), scores, classifiers)

    def test_of_a_map_that_is_nowhere_positive_there_are_no_regions(self, monkeypatch):
        network = load_backbone("efficientnet_lite0", weights="random")  # its tail takes no batch
        head, image = LinearHead.default(), np.zeros((64, 64, 3), np.uint8)
        monkeypatch.setattr(SharedPass, "class_map", lambda *_: np.zeros((8, 8), np.float32))
        shared = SharedPass(network)
        for given, emotions in ((None, network.classes), (head, 2)):
            regions, probability, peak = shared.cam_regions(image, 0, given)
            assert (len(regions), probability.shape) == (0, (0, emotions))
            assert np.isnan(peak).all()
        scores = score_image(image, None, network, head=head, regions="cam")
        assert scores.sizes["region"] == 0
        assert float(scores.global_probability.sum()) == pytest.approx(1)

    def test_without_an_image_that_can_be_read_there_are_no_scores(self):
        network, image = colours()
        dataset = drawn_dataset([image], np.array([0], np.int8), np.array([1]), broken=0)
        scores = pack([row(0, Grid(1)(image), np.full((2, 2), 0.5, np.float32))], dataset, 1)
        with pytest.raises(ValueError, match="no image of drawn could be read"):
            score_cam(dataset, scores, Classifiers.one(network, dataset), progress=False)


def colours():
    """A network whose features are colours, and a grey image with a red and a blue part."""
    layer, head = torch.nn.Conv2d(3, 3, 1, bias=False), torch.nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3)[..., None, None])
        head.weight.copy_(4 * torch.tensor([[1.0, -1, -1], [-1, -1, 1]]))
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    pool = torch.nn.AdaptiveAvgPool2d(1)
    network.network = torch.nn.Sequential(layer, pool, torch.nn.Flatten(), head)
    image = np.full((60, 100, 3), 128, np.uint8)
    image[10:30, 10:40] = (255, 0, 0)
    image[30:50, 70:90] = (0, 0, 255)
    return network, image
