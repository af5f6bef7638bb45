"""Runs by name: those at hand are opened, those of the synthetic scenes are made once."""

import json
import shutil
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import xarray as xr

from arlib.datasets import DatasetError
from arlib.evaluation import LabelsNeeded, Run
from arlib.experiments.protocol import Finetuning, scenes_protocol
from arlib.experiments.registry import (
    SYNTHETIC_RUNS,
    find_run,
    images_of,
)
from arlib.experiments.runs import write_baselines
from arlib.experiments.stages import Stages

QUICK = {"iterations": 4, "round": 2, "batch_size": 16, "lr": 0.01}
TINY = partial(
    scenes_protocol,
    scale=0.01,
    pretrain=Finetuning("scenes-objects", training=QUICK),
    finetune=Finetuning("scenes-tagged", training=QUICK),
    proposals="grid",
    max_regions=6,
)


@pytest.fixture(autouse=True)
def small(tmp_path_factory, monkeypatch):
    """Tiny synthetic sets, and one cache for all tests of this file."""
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path_factory.getbasetemp() / "registry"))
    monkeypatch.setattr("arlib.experiments.protocol.scenes_protocol", TINY)


def stages(**changes):
    return TINY(**changes).stages(progress=False)


def refuse(*_, **__):
    raise AssertionError("made again")


@pytest.mark.parametrize("name", ["annotated", "folded"])
def test_a_run_that_is_not_there_is_made_with_the_default_settings(tmp_path, name, monkeypatch):
    run = find_run(f"scenes-{name}", tmp_path, progress=False)
    assert run.facts["experiment"]["max_regions"] == 6
    assert run.scores.image.values.tolist() == stages().column(run.name).keys.tolist()
    assert not list(tmp_path.iterdir()), "it is kept in the cache, not beside the chapter"
    monkeypatch.setattr("arlib.scoring.shards.score", refuse)
    monkeypatch.setattr("arlib.experiments.stages.write_run", refuse)
    again = find_run(f"scenes-{name}", tmp_path, progress=False)
    assert again.scores.identical(run.scores)


def test_a_run_that_is_there_is_opened_as_it_is(tmp_path, monkeypatch):
    folder = stages(seed=1).measure("scenes-annotated", baselines=False)
    for name in ("scenes-annotated", "mine"):
        shutil.copytree(folder, tmp_path / "results" / name)
    monkeypatch.setattr(Stages, "measure", refuse)
    monkeypatch.chdir(tmp_path)
    for name in ("scenes-annotated", "mine"):
        run = find_run(name)
        assert (run.name, run.facts["experiment"]["protocol"]["seed"]) == (name, 1)


def measured(value):
    return xr.Dataset({"agreement": ("image", np.array([value]))}, attrs={"missing": {}})


def test_what_a_recorded_run_measured_is_opened_as_it_is(tmp_path, monkeypatch):
    made = stages(seed=1).measure("scenes-annotated", baselines=False)
    folder = shutil.copytree(made, tmp_path / "mine")
    write_baselines(folder, measured(4))
    monkeypatch.setattr(Stages, "baselines", refuse)
    for baselines in (False, True):
        run = find_run("mine", tmp_path, baselines=baselines)
        xr.testing.assert_identical(run.baselines.load(), measured(4))


def test_a_recorded_run_that_measured_nothing_is_not_measured_live(tmp_path, monkeypatch):
    made = stages(seed=1).measure("scenes-annotated", baselines=False)
    shutil.copytree(made, tmp_path / made.name)
    monkeypatch.setattr(Stages, "baselines", refuse)
    run = find_run("scenes-annotated", tmp_path, baselines=True)
    assert (run.name, run.baselines) == ("scenes-annotated", None)


def test_a_run_that_is_not_there_is_measured_once_if_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(Stages, "baselines", refuse)
    assert find_run("scenes-tagged", tmp_path, progress=False).baselines is None
    monkeypatch.setattr(Stages, "baselines", lambda *_: measured(5))
    first = find_run("scenes-tagged", tmp_path, baselines=True, progress=False)
    assert first.facts["experiment"]["dataset"] == "scenes-tagged-held-out"
    xr.testing.assert_identical(first.baselines.load(), measured(5))
    monkeypatch.setattr(Stages, "baselines", refuse)
    again = find_run("scenes-tagged", tmp_path, baselines=True, progress=False)
    xr.testing.assert_identical(again.baselines.load(), measured(5))
    assert not list(tmp_path.iterdir()), "it is kept in the cache, not beside the chapter"


def test_what_is_made_live_are_the_runs_of_the_protocol():
    assert tuple(scenes_protocol().runs()) == SYNTHETIC_RUNS


@pytest.mark.parametrize("name", ["flickr", "unfinished", "scenes-objects"])
@pytest.mark.parametrize("baselines", [False, True])
def test_an_unknown_run_is_refused_with_those_that_there_are(tmp_path, name, baselines):
    for folder in ("mine", "unfinished"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mine" / "run.json").write_text("{}")
    with pytest.raises(ValueError, match=r".") as caught:
        find_run(name, tmp_path, baselines=baselines)
    known = "mine, scenes-annotated, scenes-folded, scenes-tagged"
    assert str(caught.value) == f"no run {name!r} in {tmp_path}; there are {known}"


def run_of(experiment):
    """A run whose facts were written and read, without its scores."""
    return Run("any", scores=None, facts=json.loads(json.dumps({"experiment": experiment})))


@pytest.mark.parametrize("name", ["annotated", "folded"])
def test_the_images_of_a_run_are_drawn_again(name):
    settings = TINY(local_share=1.0, seed=2)
    run = run_of({"dataset": f"scenes-{name}", "protocol": asdict(settings)})
    again, dataset = images_of(run), settings.stages().column(f"scenes-{name}")
    assert (again.keys == dataset.keys).all()
    assert (again.labels == dataset.labels).all()
    assert (again.read(7) == dataset.read(7)).all()
    np.testing.assert_array_equal(again.regions, dataset.regions)


def test_photographs_are_where_the_data_is(tmp_path, monkeypatch):
    run = run_of({"dataset": "twitter2", "backbones": ["vgg16"]})
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    with pytest.raises(DatasetError, match="twitter2 is not here: get it"):
        images_of(run)
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match="twitter2 is not at"):
        images_of(run)


def test_the_network_of_a_run_in_words():
    scenes = {"backbones": ["vgg_tiny"], "finetune_on": ["scenes-tagged"]}
    assert run_of(scenes).network == "vgg_tiny, fine-tuned on tagged scenes"
    photographs = {"dataset": "twitter2", "backbones": ["vgg16"]}
    assert run_of(photographs).network == "vgg16, frozen, under a linear head"
    for source, words in {
        "none": "frozen, under a linear head",
        "shipped": "frozen, under the head that comes with the package",
        "folds": "fine-tuned on the other folds",
        "oasis": "fine-tuned on oasis",
    }.items():
        assert run_of({**photographs, "finetune_on": [source]}).network == f"vgg16, {words}"


def test_the_real_run_finds_its_photographs(data_root):
    run = run_of({"dataset": "twitter2", "backbones": ["mobilenet_v2"]})
    assert images_of(run).root == data_root / "twitter2"


def test_labels_are_asked_for_where_there_is_none(make_scores):
    scores = make_scores(6, 2)
    Run("some", scores).require_labels("A table")  # the last has none, others do
    scores["label"] = scores.label * 0 - 1
    message = r"A table: this needs labels, and of the run's 6 images none has one\. A table with"
    with pytest.raises(LabelsNeeded, match=message):
        Run("none", scores).require_labels("A table")
