"""What was trained, from its two files: whatever is not of one model is refused in a line."""

import json
import re
import shutil

import numpy as np
import pytest

from arlib.datasets import load
from arlib.networks.backbones import load_backbone
from arlib.networks.finetuning import finetune
from arlib.networks.heads import LinearHead
from arlib.networks.models import Model, load_model
from arlib.networks.training import Training

MOODS = ("joy", "fear", "awe")


def head_of(network, emotions=MOODS, **facts):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(len(emotions), network.n_features)).astype(np.float32)
    return LinearHead(weight, np.zeros(len(emotions), np.float32), emotions, network.name, facts)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of a fine-tuning, one that was cut off, and a head on weights of ARLIB_DATA."""
    root = tmp_path_factory.mktemp("models")
    few = load("scenes-annotated", n=16, seed=1)
    plan = Training(iterations=2, batch_size=8)
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    finetune(network, few, root / "tuned", training=plan, progress=False)
    shutil.copytree(root / "tuned", root / "begun")
    (root / "begun/network.json").unlink()
    (root / "weights").mkdir()
    pretrained = load_backbone("vgg_tiny", weights="random", seed=7)
    pretrained.save(root / "weights/vgg_tiny.safetensors")
    head_of(pretrained, weights_sha256=pretrained.sha256(), dataset="photos").save(
        root / "head.safetensors"
    )
    head_of(pretrained).save(root / "bare_head.safetensors")
    Model(load_backbone("vgg_tiny", classes=3, weights="random"), MOODS).save(
        root / "moods.safetensors"
    )
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of them, in which one is damaged."""
    shutil.copytree(made, tmp_path / "m")
    monkeypatch.chdir(tmp_path / "m")
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "m"))
    return tmp_path / "m"


class TestWhatWasTrained:
    def test_a_fine_tuning_has_all_that_predicting_needs(self, here):
        model = load_model("tuned")
        assert (model.network.name, model.emotions) == ("vgg_tiny", ("positive", "negative"))
        assert model.head is None
        assert model.description == "vgg_tiny, fine-tuned on scenes-annotated"
        facts = json.loads((here / "tuned/network.json").read_text())
        assert facts["weights_sha256"] == model.network.sha256()
        assert facts["preprocessing"]["size"] == model.network.preprocessing.size == 48
        assert (facts["images"], facts["steps"]) == (16, 2)
        assert model.facts.keys() == facts.keys() - {"backbone", "emotions"}
        assert not model.network.training

    def test_a_file_of_it_is_the_same_and_may_be_called_otherwise(self, here):
        for suffix in (".safetensors", ".json"):
            shutil.copy(f"tuned/network{suffix}", f"mine{suffix}")
        shas = {load_model(p).network.sha256() for p in ("tuned", "mine.safetensors")}
        assert len(shas) == 1

    def test_a_head_brings_the_weights_that_are_found(self, here):
        model = load_model("head.safetensors")
        assert model.emotions == model.head.emotions == MOODS
        assert model.network.sha256() == model.facts["weights_sha256"]
        assert model.description == "vgg_tiny, frozen, under a linear head fitted on photos"
        model.save("again.safetensors")
        assert np.array_equal(load_model("again.safetensors").head.weight, model.head.weight)
        assert load_model("bare_head.safetensors").head is not None  # names no weights

    def test_one_without_recorded_weights_is_taken_as_it_is(self, here):
        for name in ("weights_sha256", "preprocessing"):
            edit(here / "moods.json", lambda facts, name=name: facts.pop(name))
        assert load_model("moods.safetensors").emotions == MOODS

    def test_fine_tuning_again_refuses_changed_weights(self, here):
        load_backbone("vgg_tiny", classes=2, weights="random", seed=5).save(
            "tuned/network.safetensors"
        )
        few, plan = load("scenes-annotated", n=16, seed=1), Training(iterations=2, batch_size=8)
        network = load_backbone("vgg_tiny", classes=2, weights="random")
        with pytest.raises(ValueError, match="has other weights than"):
            finetune(network, few, "tuned", training=plan, progress=False)


def edit(path, change):
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def facts_of(**values):
    """Return what changes these values in a model's JSON."""
    return lambda here: edit(here / "moods.json", lambda facts: facts.update(values))


def other_weights(here):
    load_backbone("vgg_tiny", classes=3, weights="random", seed=5).save(here / "moods.safetensors")


def other_backbone(here):
    load_backbone("vgg_tiny", weights="random", seed=8).save(here / "weights/vgg_tiny.safetensors")


def cut(here):
    path = here / "moods.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


M = "moods.safetensors"
REFUSED = {
    "nothing": ("gone", None, "no model gone: give the folder of a fine-tuning, or X.safetensors"),
    "cut off": ("begun", None, "begun holds a training that is not finished"),
    "checkpoints": (
        "c",
        lambda h: (h / "c/checkpoints").mkdir(parents=True),
        "c holds a training that is not finished",
    ),
    "another folder": ("weights", None, "weights is no model, without network.json: give"),
    "no weights": (
        "tuned",
        lambda h: (h / "tuned/network.safetensors").unlink(),
        "no file tuned/network.safetensors",
    ),
    "no JSON": (M, lambda h: (h / "moods.json").unlink(), "no file moods.json"),
    "its JSON": ("moods.json", None, "moods.json describes a model: give moods.safetensors"),
    "a pickle": ("w.pth", lambda h: (h / "w.pth").touch(), "`arlib weights convert` makes one"),
    "changed": (M, other_weights, "moods.safetensors has other weights than moods.json describes"),
    "a byte cut": (M, cut, "moods.safetensors is not a readable safetensors file"),
    "another network": (M, facts_of(backbone="alexnet_tiny"), "do not fit alexnet_tiny"),
    "no network": (M, facts_of(backbone="vgg"), "moods.json names a network that there is not"),
    "fewer": (M, facts_of(emotions=["a", "b"]), "not of one model: 2 emotions, but 3 outputs"),
    "one twice": (M, facts_of(emotions=["a", "b", "b"]), "moods.json: 'emotions' must be two"),
    "numbers": (M, facts_of(emotions=[1, 2, 3]), "moods.json: 'emotions' must be two"),
    "a text": (M, facts_of(emotions="joy"), "moods.json: 'emotions' must be a list"),
    "an input": (M, facts_of(preprocessing={"size": 9}), "describes an input (size, mean, std)"),
    "a head of other weights": (
        "head.safetensors",
        other_backbone,
        "head.safetensors is a head on other weights of vgg_tiny",
    ),
    "a head of another network": (
        "head.safetensors",
        lambda h: edit(h / "head.json", lambda f: f.update(backbone="squeezenet1_1")),
        "",
    ),
    "a head of no network": (
        "head.safetensors",
        lambda h: edit(h / "head.json", lambda f: f.update(backbone="vgg")),
        "head.json names a network that there is not, 'vgg'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_is_named_in_a_line(here, name):
    path, damage, message = REFUSED[name]
    if damage:
        damage(here)
    if name == "a head of another network":
        load_backbone("squeezenet1_1", weights="random").save("weights/squeezenet1_1.safetensors")
        message = "the head reads 128 features of squeezenet1_1, not 512 of squeezenet1_1"
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
