"""The chain in miniature: every step once, kept under a name that covers what it stands on."""

from dataclasses import replace

import numpy as np
import pytest

from arlib import cache
from arlib.datasets.scenes import World, draw_scenes
from arlib.miniature import Miniature, fine_tune, pretrain, scored
from arlib.runs import open_run
from arlib.training import Training

QUICK = Training(iterations=4, round=2, batch_size=16, lr=0.01)
TINY = Miniature(
    scale=0.0, pretraining=QUICK, finetuning=QUICK, proposals="grid", max_regions=6, seed=3
)


@pytest.fixture(autouse=True)
def kept(tmp_path_factory, monkeypatch):
    """One cache for all tests of this file."""
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_no_two_sets_share_a_picture():
    names = ("objects", "tagged", "judged", "folded")
    whole = [TINY.dataset(name).read(0).mean() for name in names[1:]]
    assert len({round(value, 6) for value in whole}) == 3
    other = replace(TINY, seed=4).dataset("judged")
    assert (other.read(0) != TINY.dataset("judged").read(0)).any()


def test_objects_do_not_depend_on_the_share():
    shares = [replace(TINY, world=World(local_share=share)) for share in (0.0, 1.0)]
    one, other = (settings.dataset("objects") for settings in shares)
    assert (one.read(5) == other.read(5)).all()
    assert pretrain(shares[0], progress=False)[1] == pretrain(shares[1], progress=False)[1]
    tuned = [fine_tune(settings, progress=False)[1] for settings in shares]
    assert tuned[0] != tuned[1]


def test_a_step_is_taken_once(monkeypatch):
    first = scored(TINY, progress=False)

    def refuse(*_, **__):
        raise AssertionError("scored again")

    monkeypatch.setattr("arlib.miniature.score", refuse)
    assert scored(TINY, progress=False) == first
    with pytest.raises(AssertionError, match="scored again"):
        scored(replace(TINY, max_regions=5), progress=False)


def test_other_source_code_makes_another_name(monkeypatch):
    before = cache.folder_for("step", {"seed": 0})
    monkeypatch.setattr(cache, "source_sha256", lambda: "other")
    assert cache.folder_for("step", {"seed": 0}) != before


@pytest.mark.parametrize("name", ["judged", "folded"])
def test_a_run_is_complete(name):
    scores, facts = open_run(scored(TINY, name, progress=False))
    made = TINY.dataset(name)
    assert scores.image.values.tolist() == made.keys.tolist()
    assert (scores.label.values == made.labels).all()
    assert scores.sizes["region"] == 6
    assert scores.attrs["backbone"] == "vgg_tiny"
    assert facts["experiment"]["miniature"]["world"]["local_share"] == 0.5


def test_clean_labels_are_the_sign_of_the_valence():
    made = TINY.dataset("tagged")
    truth = draw_scenes(TINY.world, len(made), 3002).valence <= 0
    share = (made.labels == truth).mean()
    assert share == 1 - made.counts["wrong tags"] / len(made)
    folders = {fine_tune(TINY, clean=clean, progress=False)[1] for clean in (False, True)}
    assert len(folders) == 2
    scratch = fine_tune(TINY, pretrained=False, progress=False)[1]
    assert scratch not in folders
    assert np.isfinite(share)
