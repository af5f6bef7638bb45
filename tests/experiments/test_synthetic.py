"""The chain in miniature: every step once, kept under a name that covers what it stands on."""

import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from arlib._support import storage as cache
from arlib.datasets.scenes import SceneGenerator, draw_scenes
from arlib.experiments.synthetic import (
    SETTINGS,
    SyntheticProtocol,
    fine_tune,
    parse_synthetic,
    pretrain,
    progressive,
    restore_synthetic,
)
from arlib.networks import Training

QUICK = Training(iterations=4, round=2, batch_size=16, lr=0.01)
TINY = SyntheticProtocol(
    scale=0.0, pretraining=QUICK, finetuning=QUICK, proposals="grid", max_regions=6, seed=3
)


@pytest.fixture(autouse=True)
def kept(tmp_path_factory, monkeypatch):
    """One cache for all tests of this file."""
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_no_two_sets_share_a_picture():
    names = ("objects", "tagged", "annotated", "folded")
    whole = [TINY.dataset(name).read(0).mean() for name in names[1:]]
    assert len({round(value, 6) for value in whole}) == 3
    other = replace(TINY, seed=4).dataset("annotated")
    assert (other.read(0) != TINY.dataset("annotated").read(0)).any()


def test_objects_do_not_depend_on_the_share():
    shares = [replace(TINY, generator=SceneGenerator(local_share=share)) for share in (0.0, 1.0)]
    one, other = (settings.dataset("objects") for settings in shares)
    assert (one.read(5) == other.read(5)).all()
    assert pretrain(shares[0], progress=False)[1] == pretrain(shares[1], progress=False)[1]
    tuned = [fine_tune(settings, progress=False)[1] for settings in shares]
    assert tuned[0] != tuned[1]


def test_other_source_code_makes_another_name(monkeypatch):
    before = cache.cache_folder("step", {"seed": 0}, "networks")
    assert cache.cache_folder("step", {"seed": 0}, "scoring") != before
    monkeypatch.setattr(cache, "code_sha256", lambda *_: "other")
    assert cache.cache_folder("step", {"seed": 0}, "networks") != before


def test_clean_labels_are_the_sign_of_the_valence():
    made = TINY.dataset("tagged")
    truth = draw_scenes(TINY.generator, len(made), 3002).valence <= 0
    share = (made.labels == truth).mean()
    assert share == 1 - made.counts["wrong tags"] / len(made)
    folders = {fine_tune(TINY, clean=clean, progress=False)[1] for clean in (False, True)}
    assert len(folders) == 2
    scratch = fine_tune(TINY, pretrained=False, progress=False)[1]
    assert scratch not in folders
    assert np.isfinite(share)


def test_progressive_drops_tagged_pictures_and_trains_on(monkeypatch):
    slow = Training(iterations=8, round=4, batch_size=4, lr=0.02, head_factor=1.0)
    settings = replace(TINY, finetuning=slow)
    done = progressive(settings, progress=False)
    assert done.kept.size == (settings.dataset("tagged").folds != 1).sum()
    assert 4 <= done.kept.sum() < done.kept.size
    (folder,) = cache.cache_dir().glob("pcnn-*")
    facts = json.loads((folder / "dropped.json").read_text())
    assert facts["pictures"] == done.kept.size
    before = fine_tune(settings, progress=False)[0].state_dict()
    assert any((before[name] != value).any() for name, value in done.network.state_dict().items())

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr("arlib.networks.training.Finetuner.training_step", refuse)
    again = progressive(replace(settings, max_regions=5), progress=False)
    assert (again.kept == done.kept).all()


def test_names_and_values_make_settings():
    assert parse_synthetic({}) == SyntheticProtocol()
    assert parse_synthetic(SETTINGS) == SyntheticProtocol()
    settings = {"scale": 1, "seed": 2, "backbone": "alexnet_tiny", "local_share": 0}
    made = parse_synthetic(settings)
    assert made == SyntheticProtocol(
        scale=1, seed=2, backbone="alexnet_tiny", generator=SceneGenerator(local_share=0.0)
    )
    assert settings == {"scale": 1, "seed": 2, "backbone": "alexnet_tiny", "local_share": 0}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"scales": 1.0},
            "no setting 'scales' of the synthetic scenes; there are local_share, scale, seed, ",
        ),
        ({"pretraining": {}}, "no setting 'pretraining' of the synthetic scenes"),
        ({"seed": 0.5}, "seed must be int, not 0.5"),
        ({"scale": "small"}, "scale must be float, not 'small'"),
        ({"max_regions": True}, "max_regions must be int, not True"),
        ({"local_share": 1.5}, r"local_share must lie in \[0, 1\], not 1.5"),
    ],
)
def test_settings_that_are_none_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        parse_synthetic(settings)


WHOLE = st.integers(1, 10**6)
SHARE = st.floats(0, 1)
PAIR = st.tuples(st.integers(0, 3), st.integers(3, 6))


@given(
    st.builds(
        SyntheticProtocol,
        generator=st.builds(
            SceneGenerator, local_share=SHARE, expressive=PAIR, plain=PAIR, tone=SHARE
        ),
        seed=WHOLE,
        scale=SHARE,
        n_tagged=WHOLE,
        backbone=st.sampled_from(["vgg_tiny", "alexnet_tiny"]),
        pretraining=st.builds(Training, epochs=st.floats(1, 9), class_weights=st.booleans()),
        finetuning=st.builds(Training, iterations=WHOLE, precision=st.just("32-true")),
        max_regions=WHOLE,
    )
)
def test_settings_come_back_from_json(settings):
    again = restore_synthetic(json.loads(json.dumps(asdict(settings))))
    assert again == settings
    for field in fields(settings):
        assert type(getattr(again, field.name)) is type(getattr(settings, field.name))
