"""Networks by name: classifier replaced, features and logits, weights from files, errors."""

import hashlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from torchvision.transforms.v2.functional import resize

from arlib import cli
from arlib.networks import weights, zoo
from arlib.networks.backbones import Preprocessing, convert_weights, load_backbone
from arlib.networks.weights import WeightsError, check_torch, weights_at_hand


@pytest.fixture
def batch():
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2", "shufflenet_v2_x0_5"])
def test_logits_are_torchvisions(name, batch):
    backbone = load_backbone(name, weights="random", seed=3)
    torch.manual_seed(3)
    theirs = models.get_model(name, weights=None).eval()
    with torch.inference_mode():
        torch.testing.assert_close(backbone(batch), theirs(batch))


def test_features_enter_the_classifier(batch):
    backbone = load_backbone("mobilenet_v2", weights="random")
    with torch.inference_mode():
        features, logits = backbone.features_and_logits(batch)
        by_hand = backbone.network.classifier[1](features)
    assert features.shape == (2, 1280)
    torch.testing.assert_close(logits, by_hand)


def test_features_of_a_convolutional_classifier_are_its_mean_input(batch):
    backbone = load_backbone("squeezenet1_1", weights="random")
    with torch.inference_mode():
        by_hand = backbone.network.features(batch).mean(dim=(2, 3))
        torch.testing.assert_close(backbone.features(batch), by_hand)


@pytest.mark.parametrize("classes", [2, 6, 8])
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2", "alexnet"])
def test_classifier_is_replaced(name, classes, batch):
    backbone = load_backbone(name, classes=classes, weights="random")
    assert backbone.classes == classes
    with torch.inference_mode():
        assert backbone(batch).shape == (2, classes)


class TestTheSmallNetworks:
    """Those of the synthetic scenes, at 48 pixels."""

    small = torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize("name", ["vgg_tiny", "alexnet_tiny"])
    def test_they_build_with_the_requested_classes(self, name):
        assert name in zoo.names()
        full, swapped = (
            load_backbone(name, classes=classes, weights="random", seed=1) for classes in (None, 5)
        )
        assert (full.classes, swapped.classes) == (36, 5)
        assert full.preprocessing.size == 48
        with torch.inference_mode():
            features, logits = swapped.features_and_logits(self.small)
            assert features.shape == (4, 128)
            assert logits.shape == (4, 5)
            torch.testing.assert_close(full.features(self.small), features)
            torch.testing.assert_close(swapped.network[-1](features), logits)

    @pytest.mark.parametrize("name", ["vgg_tiny", "alexnet_tiny"])
    def test_their_outputs_repeat(self, name):
        network = load_backbone(name, classes=2, weights="random")
        with torch.inference_mode():
            first = network(self.small)
            assert torch.equal(network(self.small), first)
            torch.testing.assert_close(network.for_inference()(self.small), first)
        again = load_backbone(name, classes=2, weights="random")
        assert again.sha256() == network.sha256()

    def test_dropout_applies_in_training_only(self):
        network = load_backbone("alexnet_tiny", classes=2, weights="random").train()
        torch.manual_seed(0)
        with torch.inference_mode():
            assert not torch.equal(network(self.small), network(self.small))

    def test_every_weight_has_a_gradient(self):
        for name in ("vgg_tiny", "alexnet_tiny"):
            network = load_backbone(name, classes=2, weights="random")
            network(self.small).square().sum().backward()
            assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())

    def test_they_have_no_published_weights(self, monkeypatch):
        monkeypatch.delenv("ARLIB_DATA", raising=False)
        with pytest.raises(WeightsError, match="alexnet_tiny has no published weights: train it"):
            load_backbone("alexnet_tiny")


def test_replacing_the_classifier_keeps_the_rest():
    full = load_backbone("mobilenet_v2", weights="random", seed=1).network.features
    swapped = load_backbone("mobilenet_v2", classes=2, weights="random", seed=1).network.features
    for one, other in zip(full.parameters(), swapped.parameters(), strict=True):
        assert torch.equal(one, other)


def test_for_inference_gives_the_same_outputs(batch):
    backbone = load_backbone("mobilenet_v2", weights="random")
    for module in backbone.network.modules():  # batch norms that are not the identity
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    with torch.inference_mode():
        slow = backbone.features_and_logits(batch)
        fast = backbone.for_inference().features_and_logits(batch)
    for one, other in zip(slow, fast, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_weights_survive_the_file(tmp_path):
    saved = load_backbone("squeezenet1_1", weights="random", seed=5)
    saved.save(tmp_path / "w.safetensors")
    loaded = load_backbone("squeezenet1_1", weights=tmp_path / "w.safetensors")
    assert saved.sha256() == loaded.sha256()


def test_the_file_of_a_fine_tuned_network_sets_the_classes(tmp_path):
    load_backbone("squeezenet1_1", classes=8, weights="random").save(tmp_path / "w.safetensors")
    assert load_backbone("squeezenet1_1", weights=tmp_path / "w.safetensors").classes == 8


def test_float16_weights_are_computed_with_in_float32(tmp_path):
    state = load_backbone("squeezenet1_1", weights="random").network.state_dict()
    save_file({k: v.half() for k, v in state.items()}, tmp_path / "w.safetensors")
    loaded = load_backbone("squeezenet1_1", weights=tmp_path / "w.safetensors")
    assert {p.dtype for p in loaded.network.parameters()} == {torch.float32}


def test_different_weights_have_different_hashes():
    one, other = (load_backbone("squeezenet1_1", weights="random", seed=s) for s in (0, 1))
    assert one.sha256() != other.sha256()


def test_building_a_network_keeps_the_callers_random_state():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    load_backbone("squeezenet1_1", classes=2, weights="random")
    assert torch.equal(torch.rand(1), expected)


def test_weights_under_arlib_data_are_loaded(tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    saved = load_backbone("squeezenet1_1", weights="random", seed=5)
    saved.save(tmp_path / "weights" / "squeezenet1_1.safetensors")
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    assert load_backbone("squeezenet1_1").sha256() == saved.sha256()


def test_weights_at_hand_are_under_arlib_data_or_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    downloaded = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    for path in (downloaded, tmp_path / "weights" / "vgg16.safetensors"):
        name = path.name.partition("-")[0].removesuffix(".safetensors")
        assert not weights_at_hand(name)
        path.parent.mkdir(parents=True)
        path.touch()
        assert weights_at_hand(name)
    assert not weights_at_hand("mobilenet_v2")


@pytest.mark.parametrize("with_data", [True, False])
def test_missing_weights_name_the_file(tmp_path, monkeypatch, with_data):
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    if with_data:
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path))

    def offline(*_args, **_kwargs):
        raise OSError("no network here")

    monkeypatch.setattr(models.VGG16_Weights, "get_state_dict", offline)
    with pytest.raises(WeightsError, match=r"weights/vgg16\.safetensors.*no network here"):
        load_backbone("vgg16")


def test_unknown_network():
    with pytest.raises(ValueError, match="no network 'vgg17'; there are alexnet,"):
        load_backbone("vgg17")


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match="no weights file"):
        load_backbone("squeezenet1_1", weights=tmp_path / "no.safetensors")


@pytest.mark.filterwarnings("ignore:unclosed file")
@pytest.mark.filterwarnings("ignore:Exception ignored")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["evil.safetensors", "w.pth"])
def test_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path, name, zipped):
    path = tmp_path / name
    saved = load_backbone("vgg_tiny", weights="random")
    torch.save(saved.network.state_dict(), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="is PyTorch's pickle, not safetensors") as caught:
        load_backbone("vgg_tiny", weights=path)
    command = shlex.split(re.fullmatch(r".* Convert it: (.*)", str(caught.value))[1])
    with pytest.raises(SystemExit) as ended:
        cli.main(command[1:])
    assert ended.value.code == 0
    assert load_backbone("vgg_tiny", weights=command[4]).sha256() == saved.sha256()


def state(prefix="", dtype=None):
    """The weights of a random network under other names, in another precision."""
    weights = load_backbone("vgg_tiny", classes=3, weights="random").network.state_dict()
    return {f"{prefix}{key}": value.to(dtype) for key, value in weights.items()}


class TestWeightsOfOtherPrograms:
    @pytest.mark.parametrize(
        "content",
        [
            lambda: state(),
            lambda: state("module."),
            lambda: state("module.network."),
            lambda: state("_orig_mod.module.backbone."),
            lambda: {"state_dict": state("model.")},
            lambda: {"model": {"state_dict": state()}},
            lambda: {"model_state_dict": state()},
            lambda: state(dtype=torch.float64),
            lambda: {key: torch.nn.Parameter(value) for key, value in state().items()},
        ],
        ids=range(9),
    )
    @pytest.mark.parametrize("zipped", [True, False])
    def test_are_this_network_s(self, tmp_path, content, zipped):
        torch.save(content(), tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
        converted = convert_weights(tmp_path / "w.pt", "vgg_tiny")
        wanted = load_backbone("vgg_tiny", classes=3, weights="random")
        assert converted.classes == 3
        assert converted.sha256() == wanted.sha256()
        assert not converted.training

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_in_half_precision_become_float32(self, tmp_path, dtype):
        torch.save(state("module.", dtype), tmp_path / "w.pt")
        converted = convert_weights(tmp_path / "w.pt", "vgg_tiny").network.state_dict()
        wanted = state(dtype=dtype)
        assert all(converted[key].dtype == torch.float32 for key in wanted)
        assert all((converted[key] == wanted[key].float()).all() for key in wanted)

    def test_what_is_passed_over_is_said(self, tmp_path, caplog):
        torch.save({"model": state(), "model_ema": state(), "epoch": 3}, tmp_path / "w.pt")
        convert_weights(tmp_path / "w.pt", "vgg_tiny")
        (line,) = caplog.messages
        assert line.endswith("w.pt: 'model' is taken; passed over: 'model_ema', 'epoch'")

    def test_safetensors_of_other_names_are_read_too(self, tmp_path):
        save_file(state("module."), tmp_path / "w.safetensors")
        assert convert_weights(tmp_path / "w.safetensors", "vgg_tiny").classes == 3

    def test_old_names_and_files_without_counts_of_batches_fit(self, tmp_path):
        """As torchvision's own files of DenseNets are."""
        network = load_backbone("densenet121", classes=3, weights="random")
        old = {
            re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
            for key, value in network.network.state_dict().items()
            if not key.endswith("num_batches_tracked")
        }
        assert "features.denseblock1.denselayer1.norm.1.weight" in old
        torch.save(old, tmp_path / "w.pth")
        assert convert_weights(tmp_path / "w.pth", "densenet121").sha256() == network.sha256()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (lambda: torch.nn.Linear(2, 2), "holds more than tensors, such as a pickled module"),
            (lambda: {"state_dict": state(), "args": Path("x")}, "holds more than tensors"),
            (lambda: [1, 2], r"holds no state dict, but \[1, 2\]"),
            (lambda: {}, "holds no state dict"),
            (lambda: {"epoch": 3, **state()}, r"1 of its 13 entries are none, \['epoch'\]"),
            (lambda: {**state("module."), "0.0.weight": torch.zeros(1)}, "12 unknown"),
            (
                lambda: dict(list(state("module.").items())[1:]),
                r"1 missing \['0\.0\.weight'\], 0 unknown",
            ),
            (lambda: state("encoder."), "12 missing .*, 12 unknown"),
            (lambda: {key: value * torch.nan for key, value in state().items()}, "are not finite"),
        ],
    )
    def test_that_are_not_its_own_are_refused_in_a_line(self, tmp_path, content, message):
        torch.save(content(), tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=message) as caught:
            convert_weights(tmp_path / "w.pth", "vgg_tiny")
        assert "w.pth" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"<html>", b"PK\3\4" + bytes(99), None])
    def test_a_damaged_file_is_named(self, tmp_path, content):
        path = tmp_path / "w.pth"
        torch.save(state(), path)
        path.write_bytes(path.read_bytes()[:-900] if content is None else content)
        with pytest.raises(WeightsError, match=r"w\.pth is damaged, or"):
            convert_weights(path, "vgg_tiny")

    def test_a_folder_or_nothing_is_named(self, tmp_path):
        with pytest.raises(WeightsError, match="is a folder: name the file"):
            convert_weights(tmp_path, "vgg_tiny")
        with pytest.raises(WeightsError, match="no weights file"):
            convert_weights(tmp_path / "w.pth", "vgg_tiny")
        with pytest.raises(ValueError, match="no network 'vgg'"):
            convert_weights(tmp_path, "vgg")


@pytest.mark.parametrize("content", [b"", b"<html>portal</html>", b"\x10" + bytes(99), b"x" * 999])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.safetensors is not a readable safetensors file"):
        load_backbone("squeezenet1_1", weights=path)


def test_a_file_that_was_cut_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    load_backbone("vgg_tiny", weights="random").save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"w\.safetensors is not a readable safetensors file"):
        load_backbone("vgg_tiny", weights=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.fill_(torch.nan), "1 weights in .* are not finite: .*diverged"),
        (
            lambda w: w.index_fill(0, torch.tensor([1]), torch.inf),
            "1 weights in .* are not finite: .*diverged",
        ),
        (lambda w: w.to(torch.int8), "1 of another shape or kind"),
        (lambda w: torch.tensor(1.0), "1 of another shape or kind"),
        (lambda w: w[:1], "1 of another shape or kind"),
        (lambda w: w[:0], "1 of another shape or kind"),
    ],
)
def test_weights_that_cannot_be_right(tmp_path, change, message):
    state = load_backbone("vgg_tiny", weights="random").network.state_dict()
    last = [name for name in state if name.endswith("weight")][-1]
    state[last] = change(state[last].clone())
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=message) as caught:
        load_backbone("vgg_tiny", weights=tmp_path / "w.safetensors")
    assert str(tmp_path / "w.safetensors") in str(caught.value)


class TestTorchsCache:
    """Where torchvision keeps what it downloads."""

    @pytest.fixture
    def file(self, tmp_path, monkeypatch):
        monkeypatch.delenv("ARLIB_DATA", raising=False)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        path = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
        path.parent.mkdir(parents=True)
        return path

    @pytest.mark.parametrize("kind", ["empty", "html", "cut", "another"])
    def test_a_damaged_file_is_to_be_deleted(self, file, kind):
        torch.save({"classifier.1.bias": torch.zeros(1000)}, file)
        saved = file.read_bytes()
        contents = {"empty": b"", "html": b"<html>portal</html>", "cut": saved[:-9]}
        file.write_bytes(contents.get(kind, saved))
        with pytest.raises(WeightsError, match=r"is damaged .* delete it, and download or i"):
            load_backbone("squeezenet1_1")
        assert file.exists()

    def test_a_folder_in_its_place_is_named(self, file):
        file.mkdir()
        with pytest.raises(WeightsError, match=r"b8a52dc0\.pth cannot be read: Is a directory"):
            load_backbone("squeezenet1_1")

    def test_a_complete_file_is_loaded(self, file, monkeypatch):
        saved = load_backbone("squeezenet1_1", weights="random", seed=7)
        torch.save(saved.network.state_dict(), file)
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        kept = file.rename(file.with_name(f"squeezenet1_1-{digest[:8]}.pth"))
        url = f"https://download.pytorch.org/models/{kept.name}"
        known = models.get_model_weights("squeezenet1_1").DEFAULT.value
        monkeypatch.setattr(known, "url", url)
        assert load_backbone("squeezenet1_1").sha256() == saved.sha256()

    def test_every_name_of_torchvision_ends_in_a_hash(self):
        for name in models.list_models(module=models):
            cached = weights._cached_file(models.get_model_weights(name).DEFAULT.url)
            assert re.search(r"-[0-9a-f]{8,}\.", cached.name), name


def test_weights_of_another_network(tmp_path):
    load_backbone("alexnet", weights="random").save(tmp_path / "a.safetensors")
    with pytest.raises(
        WeightsError, match=r"weights in .*a\.safetensors do not fit squeezenet1_1: \d+ missing"
    ):
        load_backbone("squeezenet1_1", weights=tmp_path / "a.safetensors")


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="classes must be at least 2, not 1"):
        load_backbone("squeezenet1_1", classes=1, weights="random")


@pytest.mark.parametrize(
    ("torch_version", "cuda", "torchvision_version", "refused"),
    [
        ("2.15.0+cu132", "13.2", "0.29.2", False),
        ("2.13.0+cpu", None, "0.29.2", True),
        ("2.13.0+cpu", None, "0.28.0+cpu", False),  # a pair from one index
        ("2.15.0", None, "0.29.2", False),  # macOS
    ],
)
def test_torch_without_cuda_is_refused(torch_version, cuda, torchvision_version, refused):
    if refused:
        with pytest.raises(ImportError, match="pip install --upgrade"):
            check_torch(torch_version, cuda, torchvision_version)
    else:
        check_torch(torch_version, cuda, torchvision_version)


def test_preprocessing_is_torchvisions():
    weights = models.MobileNet_V2_Weights.IMAGENET1K_V1
    theirs = weights.transforms(resize_size=224)
    ours = load_backbone("mobilenet_v2", weights="random").preprocessing
    assert (ours.size, list(ours.mean), list(ours.std)) == (224, theirs.mean, theirs.std)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224), np.uint8))
    torch.testing.assert_close(ours.normalize(pixels), theirs(pixels), rtol=1e-5, atol=1e-5)


def test_fill_normalises_to_about_zero():
    ours = Preprocessing(8, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    colour = torch.tensor(ours.fill, dtype=torch.uint8).view(1, 3, 1, 1)
    assert ours.normalize(colour).abs().max() < 0.01


def test_real_weights_recognise_a_cat(data_root):
    from skimage.data import chelsea

    backbone = load_backbone("mobilenet_v2", weights=data_root / "weights/mobilenet_v2.safetensors")
    image = chelsea()
    crops = resize(torch.from_numpy(image).permute(2, 0, 1), [224, 224], antialias=True)[None]
    with torch.inference_mode():
        best = int(backbone(backbone.preprocessing.normalize(crops)).argmax())
    categories = models.MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
    assert categories[best] in ("tabby", "tiger cat", "Egyptian cat")
