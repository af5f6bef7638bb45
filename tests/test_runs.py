"""A run: heads fitted without the tested fold, scores and facts written together, compared."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from arlib import datasets, experiment, runs
from arlib.algorithm import respond
from arlib.backbones import load_backbone
from arlib.evaluation import evaluate
from arlib.experiment import Experiment
from arlib.whole import image_features


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes of pictures that any network tells apart: light ones and dark ones."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, level in (("positive", 180), ("negative", 20)):
        folder = root / "folder" / name
        folder.mkdir(parents=True)
        for i in range(16):
            pixels = rng.integers(level, level + 60, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


EXPERIMENT = Experiment(
    "folder", ("squeezenet1_1",), proposals="grid", max_regions=5, weights="random"
)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARLIB_DATA", str(data))
        return experiment.measure(EXPERIMENT, "squeezenet1_1", tmp_path_factory.mktemp("results"))


def test_a_run_holds_scores_and_facts(run):
    assert run.name == "folder-squeezenet1_1"
    assert sorted(path.name for path in run.iterdir()) == ["baselines.zarr", "run.json", "scores.zarr"]
    scores, facts = runs.open_run(run)
    assert dict(scores.sizes) == {"image": 32, "region": 5, "corner": 4, "emotion": 2}
    assert facts["experiment"]["max_regions"] == 5
    assert facts["dataset"]["images"] == 32
    assert facts["dataset"]["positive"] == facts["dataset"]["negative"] == 16
    assert facts["dataset"]["majority"] == 0.5
    assert facts["dataset"]["unreadable"] == {}
    assert set(facts["seconds"]) == {"training", "scoring", "baselines"}
    assert facts["machine"]["cores"] >= 1
    assert set(facts["results"]) == set(runs.METHODS)


def test_light_and_dark_are_told_apart(run):
    _, facts = runs.open_run(run)
    assert facts["results"]["whole image"]["accuracy"]["estimate"] > 0.9


def test_the_facts_are_those_of_the_scores(run):
    scores, facts = runs.open_run(run)
    for method, settings in runs.METHODS.items():
        table = evaluate(respond(scores, **settings).probability.values, scores.label.values)
        for metric, row in table.iterrows():
            assert facts["results"][method][metric]["estimate"] == row.estimate
            assert facts["results"][method][metric]["low"] == row.low


def test_a_head_has_not_seen_the_fold_that_it_judges(run, data, monkeypatch):
    """Fitted again by hand for one fold, it gives the whole images' recorded probabilities."""
    from arlib.heads import fit_head

    monkeypatch.setenv("ARLIB_DATA", str(data))
    dataset = datasets.load("folder")
    network = load_backbone("squeezenet1_1", weights="random")
    features, _ = image_features(dataset, network, progress=False)
    scores, _ = runs.open_run(run)
    for fold in (1, 4):
        train = dataset.folds != fold
        head = fit_head(
            features[train], dataset.labels[train], dataset.emotions, backbone="squeezenet1_1"
        )
        np.testing.assert_allclose(
            scores.global_probability[~train], head.probability(features[~train]), atol=1e-3
        )


def test_measured_again_it_is_the_same(run, data, tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(data))
    again = experiment.measure(EXPERIMENT, "squeezenet1_1", tmp_path)
    apart = runs.compare(again, run)
    assert set(apart) == {
        "objectness",
        "box",
        "region_probability",
        "global_probability",
        "label",
        "fold",
        "results",
    }
    assert max(apart.values()) < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["folder-squeezenet1_1"]


def test_runs_that_differ_are_told_apart(run, data, tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(data))
    other = experiment.measure(replace(EXPERIMENT, max_regions=4), "squeezenet1_1", tmp_path)
    assert runs.compare(other, run) == {"images": np.inf}
    facts = json.loads((other / "run.json").read_text())
    assert facts["experiment"]["max_regions"] == 4


def test_a_dataset_head_says_what_it_was_fitted_on(data, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(data))
    monkeypatch.setattr(
        "arlib.backbones.load_backbone", lambda name: load_backbone(name, weights="random")
    )
    head = experiment.fit_dataset_head("folder", "squeezenet1_1", seed=3)
    assert head.backbone == "squeezenet1_1"
    assert head.provenance["dataset"] == "folder"
    assert head.provenance["images"] == 32
    assert head.provenance["seed"] == 3
    assert len(head.provenance["weights_sha256"]) == 64
