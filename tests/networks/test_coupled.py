"""The coupled head: against its formula, in training, on several networks, through its file."""

import json
import pickle
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from tests.experiments.helpers import drawn_dataset
from torch.nn.functional import cross_entropy

from arlib.networks import (
    CoupledHead,
    FeatureMaps,
    Model,
    Training,
    WeightsError,
    finetune,
    fit_coupled,
    learning_curve,
    load_backbone,
    load_model,
    make_engine,
    split_network,
)
from arlib.networks.feature_maps import couple
from arlib.networks.loaders import TrainingImages, collate

MAPS = {  # network -> channels and side of its last feature map
    "vgg_tiny": (128, 6),
    "alexnet": (256, 13),  # before its last pooling
    "squeezenet1_1": (512, 13),
    "mobilenet_v2": (1280, 7),
    "efficientnet_lite0": (1280, 7),
}


def network(name="vgg_tiny", classes=2, seed=0):
    return load_backbone(name, classes=classes, weights="random", seed=seed)


def by_loops(head, maps):
    """Yang et al. (2018), one place, one detector, one feature at a time."""
    weight, bias = (each.detach().numpy() for each in head.detectors.parameters())
    features, height, width = maps.shape
    classes = head.classifier.out_features
    k = len(weight) // classes
    of_emotions = np.zeros((classes, height, width))
    for emotion in range(classes):
        for detector in range(emotion * k, (emotion + 1) * k):
            for y in range(height):
                for x in range(width):
                    response = bias[detector]
                    for d in range(features):
                        response += weight[detector, d, 0, 0] * maps[d, y, x]
                    of_emotions[emotion, y, x] += response / k
    scores = [of_emotions[emotion].sum() / (height * width) for emotion in range(classes)]
    shares = np.exp(scores) / np.exp(scores).sum()
    sentiment_map = sum(shares[emotion] * of_emotions[emotion] for emotion in range(classes))
    pooled = [maps[d].mean() for d in range(features)]
    pooled += [(maps[d] * sentiment_map).mean() for d in range(features)]
    weight, bias = (each.detach().numpy() for each in head.classifier.parameters())
    return weight @ np.array(pooled) + bias, scores, sentiment_map


class TestTheHead:
    @pytest.mark.parametrize("classes", [2, 3])
    def test_it_is_the_formula_by_loops(self, classes):
        torch.manual_seed(0)
        head, maps = CoupledHead(5, classes), torch.randn(2, 5, 3, 4)
        found = [each.detach().numpy() for each in head.branches(maps)]
        for image in range(2):
            logits, scores, sentiment_map = by_loops(head, maps[image].numpy())
            np.testing.assert_allclose(found[0][image], logits, atol=1e-6)
            np.testing.assert_allclose(found[1][image], scores, atol=1e-6)
            np.testing.assert_allclose(found[2][image, 0], sentiment_map, atol=1e-6)
        np.testing.assert_array_equal(head(maps).detach(), found[0])

    def test_both_losses_teach_the_detectors_and_one_the_classifier(self):
        head, labels = CoupledHead(5, 2), torch.tensor([0, 1])
        logits, scores, _ = head.branches(torch.randn(2, 5, 3, 4))
        for output, taught in ((logits, {"detectors", "classifier"}), (scores, {"detectors"})):
            head.zero_grad()
            cross_entropy(output, labels).backward(retain_graph=True)
            learned = {
                name.partition(".")[0]
                for name, weight in head.named_parameters()
                if weight.grad is not None and weight.grad.abs().sum() > 0
            }
            assert learned == taught


class TestNetworks:
    @pytest.mark.parametrize("name", MAPS)
    def test_any_that_ends_in_a_feature_map_takes_it(self, name):
        plain = network(name, classes=3)
        coupled, (channels, side) = couple(plain), MAPS[name]
        assert (coupled.kind, coupled.classes, coupled.n_features) == ("coupled", 3, 2 * channels)
        trunk, head, of_map = split_network(coupled)
        assert (head, of_map) == (coupled.head, side)
        own = {weight.data_ptr() for weight in plain.parameters()}
        assert {weight.data_ptr() for weight in trunk.parameters()} <= own
        size = plain.preprocessing.size
        batch = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            maps = trunk(batch)
            assert maps.shape == (2, channels, side, side)
            logits, _, sentiment_map = head.branches(maps)
            features, theirs = coupled.features_and_logits(batch)
            np.testing.assert_array_equal(theirs, logits)
            pooled = torch.cat([maps, maps * sentiment_map], dim=1).mean(dim=(2, 3))
            np.testing.assert_allclose(features, pooled, atol=1e-6)
            np.testing.assert_array_equal(FeatureMaps(plain).features(batch), maps.flatten(1))
            np.testing.assert_allclose(coupled.for_inference()(batch), logits, atol=1e-5)

    @pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
    def test_openvino_computes_the_same(self):
        coupled = couple(network())
        crops = np.random.default_rng(0).integers(0, 256, (3, 3, 48, 48), np.uint8)
        outputs = [make_engine(coupled, engine)(crops) for engine in ("torch", "openvino")]
        for ours, theirs in zip(*outputs, strict=True):
            np.testing.assert_allclose(theirs, ours, atol=1e-4)


class TestFiles:
    def save(self, folder):
        coupled = couple(network(classes=3), seed=1)
        Model(coupled, ("joy", "fear", "awe"), facts={"dataset": "photos"}).save(
            folder / "m.safetensors"
        )
        return coupled

    def test_it_is_the_same_from_its_file(self, tmp_path):
        coupled, model = self.save(tmp_path), load_model(tmp_path / "m.safetensors")
        assert model.description == "vgg_tiny, fine-tuned with a coupled head on photos"
        assert model.network.kind == "coupled"
        assert model.network.sha256() == coupled.sha256()
        batch = torch.randn(2, 3, 48, 48)
        for again in (model.network, pickle.loads(pickle.dumps(coupled))):
            with torch.inference_mode():
                np.testing.assert_array_equal(again(batch), coupled(batch))

    @pytest.mark.parametrize(
        ("head", "error", "message"),
        [
            ("linear", WeightsError, "do not fit vgg_tiny"),
            ("other", ValueError, r"m\.json: 'head' must be 'linear' or 'coupled'"),
        ],
    )
    def test_a_file_that_says_otherwise_is_refused(self, tmp_path, head, error, message):
        self.save(tmp_path)
        described = tmp_path / "m.json"
        described.write_text(json.dumps(json.loads(described.read_text()) | {"head": head}))
        with pytest.raises(error, match=message):
            load_model(tmp_path / "m.safetensors")

    def test_one_without_a_word_about_its_head_is_linear(self, tmp_path):
        """As older versions wrote it."""
        Model(network(), ("positive", "negative")).save(tmp_path / "m.safetensors")
        described = tmp_path / "m.json"
        facts = json.loads(described.read_text())
        assert facts.pop("head") == "linear"
        described.write_text(json.dumps(facts))
        assert load_model(tmp_path / "m.safetensors").network.kind == "linear"


@pytest.fixture(scope="module")
def shades():
    """Noise, lighter where positive."""
    rng = np.random.default_rng(0)
    labels = np.resize([0, 1], 32).astype(np.int8)
    images = [rng.integers(0, 256 - 90 * x, (30, 50, 3), dtype=np.uint8) for x in labels.tolist()]
    return drawn_dataset(images, labels, np.ones(32), None)


PLAN = Training(iterations=20, round=10, batch_size=16, lr=0.01, head_factor=2, head="coupled")


class TestTraining:
    def test_it_learns_a_small_set_and_its_folder_is_a_model(self, shades, tmp_path):
        trained = finetune(
            network(), shades, tmp_path / "a", training=PLAN, validation=shades, progress=False
        )
        first, last = learning_curve(tmp_path / "a")
        assert first["train_loss"] > last["train_loss"]
        assert last["val_accuracy"] == 1
        before = couple(network(), seed=PLAN.seed).state_dict()
        changed = {
            name for name, weight in trained.state_dict().items() if (weight != before[name]).any()
        }
        assert changed == before.keys()
        assert load_model(tmp_path / "a").network.sha256() == trained.sha256()

        # it is trained on with its head, and with no other
        more = Training(iterations=2, batch_size=16, head="coupled")
        again = finetune(trained, shades, tmp_path / "b", training=more, progress=False)
        assert again is trained
        with pytest.raises(ValueError, match="vgg_tiny has a coupled head, which is trained on wi"):
            finetune(trained, shades, tmp_path / "c", training=Training(batch_size=16))

    def test_its_loss_is_the_sum_of_both_branches(self, shades, tmp_path):
        plan = Training(iterations=1, batch_size=32, lr=1e-9, head="coupled", augment=False)
        finetune(network(), shades, tmp_path / "d", training=plan, progress=False)
        (step,) = learning_curve(tmp_path / "d")
        images = TrainingImages(shades, 48, resize=None, mirror=False, seed=plan.seed)
        pixels, labels, _ = collate([images[number] for number in range(32)])
        coupled = couple(network(), seed=plan.seed)
        batch = coupled.preprocessing.normalize(pixels)
        losses = [cross_entropy(each, labels).item() for each in coupled.supervised(batch)]
        assert step["train_loss"] == pytest.approx(sum(losses), abs=1e-5)

    def test_on_frozen_maps_the_head_alone_learns(self):
        plain, rng = network(), np.random.default_rng(0)
        labels = np.resize([0, 1, 2], 60)
        maps = rng.random((60, 128, 6, 6), np.float32)
        for image, label in enumerate(labels.tolist()):  # a spot, in another channel for each
            maps[image, label, 1:3, 2:4] += 5
        before = plain.sha256()
        plan = Training(iterations=100, batch_size=500, lr=0.01, seed=3)
        fitted = [fit_coupled(plain, maps.reshape(60, -1), labels, 3, plan) for _ in range(2)]
        assert fitted[0].sha256() == fitted[1].sha256()
        assert plain.sha256() == before
        with torch.inference_mode():
            logits, _, sentiment_map = fitted[0].head.branches(torch.from_numpy(maps))
        assert (logits.argmax(dim=1).numpy() == labels).mean() > 0.95
        inside = sentiment_map[:, 0, 1:3, 2:4].mean(dim=(1, 2))
        assert (inside > sentiment_map.mean(dim=(1, 2, 3))).all(), "the map finds the spot"

    def test_the_scale_of_frozen_maps_changes_nothing(self):
        maps = np.random.default_rng(4).random((20, 128 * 36), np.float32)
        plan = Training(batch_size=10, epochs=4, lr=0.001)
        logits = []
        for scale in np.float32([1, 1000]):
            fitted = fit_coupled(network(), scale * maps, np.arange(20) % 2, 2, plan)
            with torch.inference_mode():
                entering = torch.from_numpy(scale * maps).unflatten(1, (-1, 6, 6))
                logits.append(fitted.head(entering).numpy())
        np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-5)

    def test_frozen_maps_on_which_it_diverges_are_an_error(self):
        maps = np.random.default_rng(4).random((4, 128 * 36), np.float32)
        plan = Training(batch_size=4, epochs=20, lr=1, head_factor=100)
        with pytest.raises(ValueError, match=r"the loss is \w+: lower lr \(1\) or head_factor"):
            fit_coupled(network(), maps, np.array([0, 1, 0, 1]), 2, plan)
