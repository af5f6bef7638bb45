"""The protocol on synthetic scenes: every step once, kept under what it depends on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.datasets.helpers import touch

from arlib._support.storage import cache_dir
from arlib.datasets import load
from arlib.datasets.scenes import SceneGenerator, draw_scenes, export, export_scenes
from arlib.experiments.synthetic import SyntheticProtocol
from arlib.networks import Training

QUICK = Training(iterations=4, round=2, batch_size=16, lr=0.01)
TINY = SyntheticProtocol(
    scale=0.0, pretraining=QUICK, finetuning=QUICK, proposals="grid", max_regions=6, seed=3
)


@pytest.fixture(autouse=True)
def kept(tmp_path_factory, monkeypatch):
    """One cache for all tests of this file."""
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_no_two_sets_share_an_image():
    names = ("tagged", "annotated", "folded")
    means = [TINY.dataset(name).read(0).mean() for name in names]
    assert len({round(value, 6) for value in means}) == 3
    other = replace(TINY, seed=4).dataset("annotated")
    assert (other.read(0) != TINY.dataset("annotated").read(0)).any()


def test_exported_scenes_are_those_of_the_protocol(tmp_path, monkeypatch):
    """By size and seed, of which `tests/datasets/test_scenes.py` shows that pixels follow."""
    monkeypatch.setattr(export, "_write_png", lambda path, _: touch(path.parent, path.name))
    export_scenes(tmp_path, TINY.generator, objects=300, tagged=300, tested=100, seed=TINY.seed)
    read = {
        "tagged": load("vso", tmp_path / "vso"),
        "annotated": load("twitter1", tmp_path / "twitter1"),
        "folded": load("twitter2", tmp_path / "twitter2"),
    }
    for name, files in read.items():
        dataset = TINY.dataset(name)
        assert files.labels.tolist() == dataset.labels.tolist()
        assert files.folds.tolist() == dataset.folds.tolist()
    replaced = replace(TINY, n_objects=3000, scale=0.1).dataset("objects")
    objects = load(tmp_path / "objects")
    assert sorted(map(objects.emotions.__getitem__, objects.labels)) == sorted(
        map(replaced.emotions.__getitem__, replaced.labels)
    )


def test_objects_do_not_depend_on_the_share():
    shares = [replace(TINY, generator=SceneGenerator(local_share=share)) for share in (0.0, 1.0)]
    one, other = (settings.dataset("objects") for settings in shares)
    assert (one.read(5) == other.read(5)).all()
    assert shares[0].pretrain(progress=False)[1] == shares[1].pretrain(progress=False)[1]
    tuned = [settings.fine_tune(progress=False)[1] for settings in shares]
    assert tuned[0] != tuned[1]


def test_clean_labels_are_the_sign_of_the_valence():
    dataset = TINY.dataset("tagged")
    truth = draw_scenes(TINY.generator, len(dataset), 3002).valence <= 0
    share = (dataset.labels == truth).mean()
    assert share == 1 - dataset.counts["wrong tags"] / len(dataset)
    folders = {TINY.fine_tune(clean=clean, progress=False)[1] for clean in (False, True)}
    assert len(folders) == 2
    scratch = TINY.fine_tune(pretrained=False, progress=False)[1]
    assert scratch not in folders
    assert np.isfinite(share)


def test_progressive_drops_tagged_images_and_trains_on(monkeypatch):
    slow = Training(iterations=8, round=4, batch_size=4, lr=0.02, head_factor=1.0)
    settings = replace(TINY, finetuning=slow)
    done = settings.progressive(progress=False)
    assert done.kept.size == (settings.dataset("tagged").folds != 1).sum()
    assert 4 <= done.kept.sum() < done.kept.size
    (folder,) = cache_dir().glob("pcnn-*")
    facts = json.loads((folder / "dropped.json").read_text())
    assert facts["images"] == done.kept.size
    before = settings.fine_tune(progress=False)[0].state_dict()
    assert any((before[name] != value).any() for name, value in done.network.state_dict().items())

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr("arlib.networks.training.Finetuner.training_step", refuse)
    again = replace(settings, max_regions=5).progressive(progress=False)
    assert (again.kept == done.kept).all()
