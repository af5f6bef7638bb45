"""Runs by name: those at hand are opened, those of the synthetic scenes are made once."""

import json
import shutil
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import xarray as xr

from arlib.datasets import DatasetError
from arlib.datasets.scenes import SceneGenerator
from arlib.experiments.registry import (
    LabelsNeeded,
    find_baselines,
    find_run,
    find_run_results,
    images_of,
    need_labels,
    network_of,
)
from arlib.experiments.runs import write_baselines
from arlib.experiments.synthetic import SyntheticProtocol, scored
from arlib.networks import Training

QUICK = Training(iterations=4, round=2, batch_size=16, lr=0.01)
TINY = partial(
    SyntheticProtocol,
    scale=0.0,
    pretraining=QUICK,
    finetuning=QUICK,
    proposals="grid",
    max_regions=6,
)


@pytest.fixture(autouse=True)
def small(tmp_path_factory, monkeypatch):
    """A tiny synthetic scenes, and one cache for all tests of this file."""
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path_factory.getbasetemp() / "shelf"))
    monkeypatch.setattr("arlib.experiments.synthetic.SyntheticProtocol", TINY)


def refuse(*_, **__):
    raise AssertionError("made again")


@pytest.mark.parametrize("name", ["annotated", "folded"])
def test_a_run_that_is_not_there_is_made_with_the_default_settings(tmp_path, name, monkeypatch):
    scores, facts = find_run(f"scenes-{name}", tmp_path, progress=False)
    assert facts["experiment"]["synthetic"]["max_regions"] == 6
    assert scores.image.values.tolist() == TINY().dataset(name).keys.tolist()
    assert not list(tmp_path.iterdir()), "it is kept in the cache, not beside the chapter"
    monkeypatch.setattr("arlib.experiments.synthetic.score_cross_fold", refuse)
    again, _ = find_run(f"scenes-{name}", tmp_path, progress=False)
    assert again.identical(scores)


def test_a_run_that_is_there_is_opened_as_it_is(tmp_path, monkeypatch):
    made = scored(TINY(seed=1), progress=False)
    for name in ("scenes-annotated", "mine"):
        shutil.copytree(made, tmp_path / "results" / name)
    monkeypatch.setattr("arlib.experiments.synthetic.score_cross_fold", refuse)
    monkeypatch.chdir(tmp_path)
    for name in ("scenes-annotated", "mine"):
        _, facts = find_run(name)
        assert facts["experiment"]["synthetic"]["seed"] == 1


def measured(value):
    return xr.Dataset({"agreement": ("image", np.array([value]))}, attrs={"missing": {}})


def test_what_a_recorded_run_measured_is_opened_as_it_is(tmp_path, monkeypatch):
    run = shutil.copytree(scored(TINY(seed=1), progress=False), tmp_path / "mine")
    monkeypatch.setattr("arlib.experiments.synthetic._rows", refuse)
    assert find_baselines("mine", tmp_path) is None
    bare = find_run_results("mine", tmp_path)
    assert (bare.name, bare.baselines) == ("mine", None)
    write_baselines(run, measured(4))
    xr.testing.assert_identical(find_baselines("mine", tmp_path).load(), measured(4))
    found = find_run_results("mine", tmp_path)
    xr.testing.assert_identical(found.baselines, measured(4))
    assert found.scores.identical(find_run("mine", tmp_path)[0].load())
    assert found.facts["experiment"]["synthetic"]["seed"] == 1


def test_a_recorded_run_that_measured_nothing_is_not_measured_live(tmp_path, monkeypatch):
    shutil.copytree(scored(TINY(seed=1), progress=False), tmp_path / "scenes-annotated")
    monkeypatch.setattr("arlib.experiments.synthetic._rows", refuse)
    assert find_baselines("scenes-annotated", tmp_path) is None


def test_a_run_that_is_not_there_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setattr("arlib.experiments.synthetic._rows", lambda *_: measured(5))
    first = find_run_results("scenes-tagged", tmp_path, progress=False)
    assert first.facts["experiment"]["dataset"] == "scenes-tagged"
    xr.testing.assert_identical(first.baselines, measured(5))
    monkeypatch.setattr("arlib.experiments.synthetic._rows", refuse)
    again = find_baselines("scenes-tagged", tmp_path, progress=False)
    xr.testing.assert_identical(again.load(), measured(5))
    assert not list(tmp_path.iterdir()), "it is kept in the cache, not beside the chapter"


def test_what_a_run_that_there_is_none_of_measured(tmp_path):
    for find in (find_baselines, find_run_results):
        with pytest.raises(ValueError, match=r"no run 'flickr' in .*; there are scenes-folded"):
            find("flickr", tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("flickr", "no run 'flickr' in {}; there are mine, scenes-folded, scenes-annotated"),
        (
            "unfinished",
            "no run 'unfinished' in {}; there are mine, scenes-folded, scenes-annotated",
        ),
        (
            "scenes-objects",
            "no run 'scenes-objects'; the synthetic scenes has scenes-folded, scenes-j",
        ),
    ],
)
def test_a_run_that_there_is_none_of_names_those_there_are(tmp_path, name, told):
    for folder in ("mine", "unfinished"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mine" / "run.json").write_text("{}")
    with pytest.raises(ValueError, match=r".") as caught:
        find_run(name, tmp_path)
    assert str(caught.value).startswith(told.format(tmp_path))


@pytest.mark.parametrize("name", ["annotated", "folded"])
def test_the_pictures_of_a_run_are_drawn_again(name):
    settings = TINY(generator=SceneGenerator(local_share=1.0), seed=2)
    facts = {"experiment": {"dataset": f"scenes-{name}", "synthetic": asdict(settings)}}
    found, made = images_of(json.loads(json.dumps(facts))), settings.dataset(name)
    assert (found.keys == made.keys).all()
    assert (found.labels == made.labels).all()
    assert (found.read(7) == made.read(7)).all()
    np.testing.assert_array_equal(found.regions, made.regions)


def test_photographs_are_where_the_data_is(tmp_path, monkeypatch):
    facts = {"experiment": {"dataset": "twitter2", "backbones": ["vgg16"]}}
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    with pytest.raises(DatasetError, match="twitter2 is not here: get it"):
        images_of(facts)
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match="twitter2 is not at"):
        images_of(facts)


def test_the_network_of_a_run_in_words():
    drawn = {"experiment": {"dataset": "scenes-annotated", "synthetic": asdict(TINY())}}
    assert network_of(drawn) == "vgg_tiny, fine-tuned on tagged scenes"
    photographs = {"experiment": {"dataset": "twitter2", "backbones": ["vgg16"]}}
    assert network_of(photographs) == "vgg16, frozen, under a linear head"
    for learned, told in {"folds": "the other folds", "oasis": "oasis"}.items():
        photographs["experiment"]["finetune_on"] = [learned]
        assert network_of(photographs) == f"vgg16, fine-tuned on {told}"


def test_the_real_run_finds_its_photographs(data_root):
    made = images_of({"experiment": {"dataset": "twitter2", "backbones": ["mobilenet_v2"]}})
    assert made.root == data_root / "twitter2"


def test_labels_are_asked_for_where_there_is_none(make_scores):
    scores = make_scores(6, 2)
    need_labels(scores, "A table")  # one of them has none, others do
    scores["label"] = scores.label * 0 - 1
    told = r"A table: this needs labels, and of the run's 6 pictures none has one\. A table with"
    with pytest.raises(LabelsNeeded, match=told):
        need_labels(scores, "A table")
