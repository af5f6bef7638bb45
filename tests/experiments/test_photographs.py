"""An experiment on photographs: from pictures in folders to whole runs, one by one."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from arlib import datasets
from arlib.evaluation import methods
from arlib.experiments import photographs as experiment, photographs as networks, runs
from arlib.experiments.photographs import Experiment, parse_experiment
from arlib.experiments.registry import network_of
from arlib.networks import fit_head, load_backbone
from arlib.proposals import CenterCrops, Grid
from arlib.scoring import image_features

pytestmark = pytest.mark.xdist_group("experiment")  # one worker makes what they stand on

EXPERIMENT = Experiment(
    "folder",
    ("vgg_tiny",),
    proposals="grid",
    max_regions=3,
    weights="random",
    finetune_on=("none", "folds", "twitter2"),
    training={"iterations": 4, "batch_size": 8, "lr": 0.01},
)
SOURCES = EXPERIMENT.finetune_on


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_photographs):
    """Pictures that any network tells apart, light ones and dark ones: two sets of them."""
    return make_photographs(tmp_path_factory.mktemp("data"), 12, (40, 60))


@pytest.fixture(scope="module", autouse=True)
def here(data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARLIB_DATA", str(data))
        patch.setenv("ARLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(networks, "CAFFENET", "alexnet_tiny")
        few = {"grid": Grid(2), "centre crops": CenterCrops(2)}  # twenty are slow
        patch.setattr("arlib.experiments.baselines.rows.WINDOWS", few)
        patch.setattr(runs, "source_commit", lambda: "c0ffee+")
        patch.setattr("sys.argv", ["/usr/bin/arlib", "run", "photographs"])
        yield


@pytest.fixture(scope="module")
def results(here, tmp_path_factory):
    """All three runs of the experiment: what a network learned from -> folder."""
    folder = tmp_path_factory.mktemp("results")
    made = EXPERIMENT.runs(progress=False)
    assert list(made) == ["folder-vgg_tiny", "folder-vgg_tiny-ft", "folder-vgg_tiny-ft-twitter2"]
    return {source: make(folder) for source, (_, make) in zip(SOURCES, made.items(), strict=True)}


@pytest.mark.parametrize("source", SOURCES)
class TestEveryRun:
    def test_holds_scores_baselines_and_facts(self, results, source):
        run = results[source]
        assert run.name == experiment.run_name("folder", "vgg_tiny", source)
        found = sorted(path.name for path in run.iterdir())
        assert found == ["baselines.zarr", "run.json", "scores.zarr"]
        scores, _ = runs.open_run(run)
        assert dict(scores.sizes) == {"image": 24, "region": 3, "corner": 4, "emotion": 2}
        assert scores.image.values.tolist() == datasets.load("folder").keys.tolist()

    def test_says_what_it_was_made_from_and_with(self, results, source):
        facts = json.loads((results[source] / "run.json").read_text())
        assert facts["command"] == "arlib run photographs"
        assert facts["commit"] == "c0ffee+"
        age = datetime.now(UTC) - datetime.fromisoformat(facts["finished"])
        assert timedelta(seconds=-1) < age < timedelta(hours=1)
        assert facts["dataset"]["sha256"] == datasets.load("folder").sha256()
        assert (facts["dataset"]["images"], facts["dataset"]["positive"]) == (24, 12)
        assert set(facts["seconds"]) == {"training", "scoring", "baselines"}
        assert facts["machine"]["cores"] >= 1
        assert set(facts["results"]) == set(runs.METHODS)

    def test_can_be_made_again_from_its_settings(self, results, source):
        facts = json.loads((results[source] / "run.json").read_text())
        assert parse_experiment(facts["experiment"]) == replace(EXPERIMENT, finetune_on=(source,))

    def test_tells_light_from_dark(self, results, source):
        _, facts = runs.open_run(results[source])
        assert facts["results"]["full image"]["accuracy"]["estimate"] > 0.9

    def test_measures_rows_and_controls_of_its_own_images(self, results, source):
        scores, _ = runs.open_run(results[source])
        found = runs.open_baselines(results[source])
        assert found.image.values.tolist() == scores.image.values.tolist()
        assert found.control.values.tolist() == ["grid", "centre crops", "ten-crop"]
        pcnn = {"PCNN + CaffeNet", "PCNN + VGGNet"}
        there = set() if source == "none" else pcnn
        assert pcnn & set(found.method.values.tolist()) == there, found.attrs["missing"]
        assert np.isfinite(found.probability.values).all()

    def test_no_reason_holds_a_path(self, results, source, data):
        missing = runs.open_baselines(results[source]).attrs["missing"]
        assert {"SentiBank", "DeepSentiBank"} <= missing.keys()
        assert str(data) not in json.dumps(missing)

    def test_every_row_of_table_1_is_measured_fused_or_missing(self, results, source):
        found = runs.open_baselines(results[source])
        told = {*found.method.values.tolist(), *found.attrs["missing"]}
        fused = {one.name for one in methods() if "lf" in one.name or one.name == "VGGNet + ft"}
        assert told | fused == {one.name for one in methods()}


def test_the_weights_of_every_network_are_named(results):
    facts = {source: runs.open_run(run)[1]["weights_sha256"] for source, run in results.items()}
    plain = load_backbone("vgg_tiny", weights="random")
    assert facts["none"] == plain.sha256()
    assert sorted(facts["folds"]) == ["1", "2", "3", "4", "5"]
    assert len({facts["twitter2"], *facts["folds"].values()}) == 6


def test_the_network_of_each_run_in_words(results):
    told = {source: network_of(runs.open_run(run)[1]) for source, run in results.items()}
    assert told == {
        "none": "vgg_tiny, frozen, under a linear head",
        "folds": "vgg_tiny, fine-tuned on the other folds",
        "twitter2": "vgg_tiny, fine-tuned on twitter2",
    }


def test_called_with_several_sources_the_first_counts_and_is_told(data, tmp_path, results):
    run = experiment.measure(EXPERIMENT, "vgg_tiny", tmp_path, progress=False)
    assert run.name == "folder-vgg_tiny"
    assert json.loads((run / "run.json").read_text())["experiment"]["finetune_on"] == ["none"]
    apart = runs.compare(run, results["none"])
    assert max(apart.values()) < 1e-4, "measured again it is the same"
    assert set(apart) > {"objectness", "box", "global_probability", "label", "fold", "results"}


@pytest.mark.parametrize("fold", [1, 4])
def test_a_head_has_not_seen_the_fold_that_it_judges(results, fold):
    """Fitted again by hand for one fold, it gives the full images' recorded probabilities."""
    dataset = datasets.load("folder")
    network = load_backbone("vgg_tiny", weights="random")
    features, _ = image_features(dataset, network, progress=False)
    scores, _ = runs.open_run(results["none"])
    train = dataset.folds != fold
    head = fit_head(features[train], dataset.labels[train], dataset.emotions, backbone="vgg_tiny")
    np.testing.assert_allclose(
        scores.global_probability[~train], head.probability(features[~train]), atol=1e-3
    )


def test_a_failure_midway_leaves_no_half_run(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("cut off")

    monkeypatch.setattr(networks.PhotographProtocol, "baselines", fail)
    with pytest.raises(RuntimeError, match="cut off"):
        experiment.measure(EXPERIMENT, "vgg_tiny", tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_judged_dataset_is_no_training_set(tmp_path):
    with pytest.raises(ValueError, match="has seen what it would judge"):
        experiment.measure(
            replace(EXPERIMENT, finetune_on=("folder",)), "vgg_tiny", tmp_path, progress=False
        )


def test_a_dataset_that_is_not_here_is_told_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    monkeypatch.setattr(networks, "load_backbone", None)  # nothing is loaded
    for source in SOURCES:
        with pytest.raises(datasets.DatasetError, match="folder is not at"):
            experiment.measure(
                replace(EXPERIMENT, finetune_on=(source,)), "vgg_tiny", tmp_path, progress=False
            )


def test_names_and_values_make_an_experiment():
    made = parse_experiment(
        {"dataset": "oasis", "backbones": ["vgg16"], "finetune_on": ["none", "folds"]}
    )
    assert made == Experiment("oasis", ("vgg16",), finetune_on=("none", "folds"))


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"dataset": "oasis"}, ValueError, "an experiment on photographs needs backbones"),
        ({}, ValueError, "needs backbones and dataset"),
        (
            {"dataset": "oasis", "backbones": ["vgg16"], "epochs": 3},
            ValueError,
            "no setting 'epochs' of an experiment; there are",
        ),
        (
            {"dataset": "oasis", "backbones": ["vgg16"], "training": {"epoch": 3}},
            ValueError,
            "no setting 'epoch' of training",
        ),
    ],
)
def test_settings_that_make_no_experiment(settings, error, told):
    with pytest.raises(error, match=told):
        parse_experiment(settings)


def test_a_dataset_head_says_what_it_was_fitted_on(monkeypatch):
    network = load_backbone("vgg_tiny", weights="random")
    monkeypatch.setattr("arlib.networks.load_backbone", lambda name: network)
    head = experiment.fit_dataset_head("folder", "vgg_tiny", seed=3)
    assert head.backbone == "vgg_tiny"
    assert head.provenance["dataset"] == "folder"
    assert head.provenance["images"] == 24
    assert head.provenance["seed"] == 3
    assert head.provenance["weights_sha256"] == network.sha256()
