"""An experiment on photographs: from images in folders to complete runs."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from arlib import datasets
from arlib.evaluation import Run, methods, table1
from arlib.experiments import photographs, runs, stages, trainings
from arlib.experiments.photographs import Experiment, fit_dataset_head, outline
from arlib.experiments.registry import parse_experiment
from arlib.experiments.runs import open_run
from arlib.networks import LinearHead, load_backbone
from arlib.scoring import global_outputs

pytestmark = pytest.mark.xdist_group("experiment")  # one worker makes what they share

EXPERIMENT = Experiment(
    "folder",
    ("vgg_tiny",),
    proposals="grid",
    max_regions=3,
    weights="random",
    finetune_on=("none", "folds", "twitter2"),
    training={"iterations": 4, "batch_size": 8, "lr": 0.01},
    caffenet="alexnet_tiny",
)
SOURCES = EXPERIMENT.finetune_on


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_photographs):
    """Images that any network classifies, light ones and dark ones: two sets of them."""
    return make_photographs(tmp_path_factory.mktemp("data"), 12, (40, 60))


@pytest.fixture(scope="module", autouse=True)
def here(data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARLIB_DATA", str(data))
        patch.setenv("ARLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(runs, "source_commit", lambda: "c0ffee+")
        patch.setattr("sys.argv", ["/usr/bin/arlib", "run", "photographs"])
        yield


@pytest.fixture(scope="module")
def results(here, tmp_path_factory):
    """All three runs of the experiment: what its network learned from -> run."""
    folder = tmp_path_factory.mktemp("results")
    todo = EXPERIMENT.runs(progress=False)
    assert list(todo) == ["folder-vgg_tiny", "folder-vgg_tiny-ft", "folder-vgg_tiny-ft-twitter2"]
    folders = [measure(folder) for measure in todo.values()]
    assert [path.name for path in folders] == list(todo)
    assert sorted(folder.iterdir()) == sorted(folders)
    for path in folders:
        names = sorted(part.name for part in path.iterdir())
        assert names == ["baselines.zarr", "run.json", "scores.zarr"]
    return {source: open_run(path) for source, path in zip(SOURCES, folders, strict=True)}


@pytest.mark.parametrize("source", SOURCES)
class TestEveryRun:
    def test_holds_scores_of_every_image(self, results, source):
        scores = results[source].scores
        sizes = {"image": 24, "region": 3, "corner": 4, "emotion": 2}
        inner = {"left_out": 5} if source == "none" else {}
        assert dict(scores.sizes) == sizes | inner
        assert scores.image.values.tolist() == datasets.load("folder").keys.tolist()

    def test_records_what_it_was_made_from_and_with(self, results, source):
        facts = results[source].facts
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
        facts = results[source].facts
        assert parse_experiment(facts["experiment"]) == replace(EXPERIMENT, finetune_on=(source,))

    def test_classifies_light_and_dark(self, results, source):
        facts = results[source].facts
        assert facts["results"]["full image"]["accuracy"]["estimate"] > 0.9

    def test_measures_rows_and_controls_of_its_own_images(self, results, source):
        scores, baselines = results[source].scores, results[source].baselines
        assert baselines.image.values.tolist() == scores.image.values.tolist()
        assert baselines.control.values.tolist() == [
            "grid",
            "centre crops",
            "random crops",
            "ten-crop",
        ]
        pcnn = {"PCNN + CaffeNet", "PCNN + VGGNet"}
        expected = set() if source == "none" else pcnn
        assert pcnn & set(baselines.method.values.tolist()) == expected, baselines.attrs["missing"]
        assert np.isfinite(baselines.probability.values).all()

    def test_no_reason_holds_a_path(self, results, source, data):
        missing = results[source].baselines.attrs["missing"]
        assert {"SentiBank", "DeepSentiBank"} <= missing.keys()
        assert str(data) not in json.dumps(missing)

    def test_every_row_of_table_1_is_measured_fused_or_missing(self, results, source):
        baselines = results[source].baselines
        known = {*baselines.method.values.tolist(), *baselines.attrs["missing"]}
        rows = {row.name for row in methods()} | {"VGGNet + ft + CAM + lf", "WSCNet + VGGNet"}
        scored = {name for name in rows if re.search(r"^VGGNet \+ ft(?!.*(ff|CAM))", name)}
        assert known | scored == rows


def test_the_weights_of_every_network_are_named(results):
    facts = {source: run.facts["weights_sha256"] for source, run in results.items()}
    plain = load_backbone("vgg_tiny", weights="random")
    assert facts["none"] == plain.sha256()
    assert sorted(facts["folds"]) == ["1", "2", "3", "4", "5"]
    assert len({facts["twitter2"], *facts["folds"].values()}) == 6


def test_the_network_of_each_run_in_words(results):
    assert {source: run.network for source, run in results.items()} == {
        "none": "small VGG, frozen",
        "folds": "small VGG fine-tuned on the other folds",
        "twitter2": "small VGG fine-tuned on Twitter II",
    }


def test_a_network_under_the_head_that_comes_with_the_package_is_frozen_too(make_scores):
    scores = make_scores(10, 3, missing=False)
    for source in ("none", "shipped", "folds", "twitter2"):
        experiment = {"dataset": "own", "backbones": ["vgg_tiny"], "finetune_on": [source]}
        run = Run("own", scores, facts={"experiment": experiment})
        assert run.frozen == (source in ("none", "shipped")), source
        row = table1([run])["own"].loc["VGGNet"]
        assert np.isfinite(row.accuracy) == run.frozen, source


def test_measured_again_a_run_is_the_same(tmp_path, results):
    fresh = {"ARLIB_CACHE": str(tmp_path / "cache")}  # where nothing is kept
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*fresh.popitem())
        made = EXPERIMENT.stages(progress=False)[0].measure("folder", tmp_path)
    apart = open_run(made).differences(results["none"])
    assert max(apart.values()) < 1e-4
    assert set(apart) > {"objectness", "box", "global_probability", "label", "fold", "results"}


@pytest.mark.parametrize("fold", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_head_has_not_seen_the_fold_that_it_predicts(results, fold):
    """Fitted again by hand for one fold, it gives the full images' recorded probabilities."""
    dataset = datasets.load("folder")
    network = load_backbone("vgg_tiny", weights="random")
    features = global_outputs(dataset, network, features=True, progress=False)
    scores = results["none"].scores
    train = dataset.folds != fold
    head = LinearHead.fit(
        features[train], dataset.labels[train], dataset.emotions, backbone="vgg_tiny"
    )
    np.testing.assert_allclose(
        scores.global_probability[~train], head.probability(features[~train]), atol=1e-3
    )


def test_a_failure_midway_leaves_no_half_run(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("cut off")

    monkeypatch.setattr(stages.Stages, "baselines", fail)
    with pytest.raises(RuntimeError, match="cut off"):
        EXPERIMENT.stages(progress=False)[0].measure("folder", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dataset", "source"), [("vso-held-out", "vso"), ("twitter1", "twitter1-five")]
)
def test_nor_is_a_set_that_holds_its_images(dataset, source):
    with pytest.raises(ValueError, match=f"all of {source} has seen the images that it would"):
        replace(EXPERIMENT, dataset=dataset, finetune_on=(source,))


def test_the_predicted_dataset_is_no_training_set():
    with pytest.raises(ValueError, match="has seen the images that it would predict"):
        replace(EXPERIMENT, finetune_on=("none", "folder"))


def test_a_dataset_that_is_not_here_is_reported_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    monkeypatch.setattr(trainings, "load_backbone", None)  # nothing is loaded
    for measure in EXPERIMENT.runs(progress=False).values():
        with pytest.raises(datasets.DatasetError, match="folder is not at"):
            measure(tmp_path)


def test_a_dataset_head_records_what_it_was_fitted_on(monkeypatch):
    network = load_backbone("vgg_tiny", weights="random")
    monkeypatch.setattr(photographs, "load_backbone", lambda name: network)
    head = fit_dataset_head("folder", "vgg_tiny", seed=3)
    assert head.backbone == "vgg_tiny"
    assert head.provenance["dataset"] == "folder"
    assert head.provenance["images"] == 24
    assert head.provenance["seed"] == 3
    assert head.provenance["weights_sha256"] == network.sha256()


class TestFewImages:
    """What can be done with them is done, and what cannot is said before it starts."""

    @pytest.fixture
    def own(self, data, tmp_path):
        """Return a function: it makes a table of so many light and dark images, and a protocol."""

        def make(light, dark, *, folds=None, names="pn", **changes):
            rows = [
                f"{data}/folder/{kind}/{i}.png,{name}"
                for kind, name, n in [
                    ("positive", names[0], light),
                    ("negative", names[1], dark),
                ]
                for i in range(n)
            ]
            words = {"p": "positive", "n": "negative", "j": "joy", "f": "fear", "-": ""}
            rows = [f"{row[:-1]}{words[row[-1]]}" for row in rows]
            head = "path,label"
            if folds is not None:
                head, rows = f"{head},fold", [f"{r},{f}" for r, f in zip(rows, folds, strict=True)]
            (tmp_path / "few.csv").write_text("\n".join([head, *rows]) + "\n")
            settings = {
                "rows": "main",
                "finetune_on": ("auto",),
                "dataset": str(tmp_path / "few.csv"),
            }
            return replace(EXPERIMENT, **{**settings, **changes})

        return make

    @pytest.mark.parametrize(
        ("light", "dark", "more", "said"),
        [
            (6, 6, {}, r"12 images \(6 positive, 6 negative\), .* small VGG, frozen"),
            (
                3,
                6,
                {},
                "3 folds instead of 5, as positive has 3 images; the heads' C is chosen on 2",
            ),
            (2, 2, {}, "2 folds instead of 5, as positive has 2 images; the heads' C is fixed"),
            (3, 3, {"folds": range(1, 7)}, "no intervals, as a fold has one image"),
            (1, 4, {}, "positive has 1 image, .* so the head that comes with the package predicts"),
            (1, 4, {}, "no choice of K by fold"),
            (4, 0, {}, "negative has no image, .* no AUC and no balanced accuracy"),
            (2, 2, {"names": "--"}, r"4 images \(4 without label\), .* nothing is compared with"),
            (
                6,
                6,
                {},
                r"left out: SentiBank, DeepSentiBank, WSCNet \+ VGGNet \(-p rows all\), controls",
            ),
            (6, 6, {}, r"scoring takes about \d+ s here$"),
        ],
    )
    def test_the_plan_says_so(self, own, monkeypatch, light, dark, more, said):
        monkeypatch.setattr(trainings.LinearHead, "default", shipped)
        lines = []
        own(light, dark, **more).runs(progress=False, say=lines.append)
        text = "; ".join(lines)
        assert re.search(said, text), text

    def test_where_nothing_can_be_done_it_is_refused_before_it_starts(self, own):
        with pytest.raises(datasets.DatasetError, match=r"few: joy has 1 image, .*; add images"):
            list(outline(own(1, 4, names="jf").stages()[0]))

    @pytest.mark.parametrize(("light", "dark"), [(3, 5), (2, 2), (1, 4)])
    def test_they_make_a_run_with_the_main_rows(self, own, tmp_path, monkeypatch, light, dark):
        monkeypatch.setattr(trainings.LinearHead, "default", shipped)
        (make,) = own(light, dark).runs(progress=False).values()
        run = open_run(make(tmp_path)).load()
        assert run.name == "own-few-vgg_tiny"
        learned = "shipped" if light == 1 else "none"
        assert run.facts["experiment"]["finetune_on"] == [learned]
        assert "control_probability" not in run.baselines
        missing = run.baselines.attrs["missing"]
        assert missing["SentiBank"] == "not asked for: -p rows all"
        assert missing["controls"] == "not asked for: -p rows controls"
        assert missing["PCNN + VGGNet"].startswith("a frozen network is not trained on")
        table = table1([run])["own-few-vgg_tiny"]
        fused = [name for name in table.index if "lf (K = 1)" in name or name == "VGGNet + ft"]
        assert table.accuracy[fused].notna().all()
        early = "VGGNet + ft + obj + senti + ff (K = 1)"
        assert np.isfinite(table.accuracy[early]) == (light > 1)
        if light == 1:
            assert table.note[early].startswith("no classifier of its own: positive has 1 image")

    def test_of_rows_there_are_three_levels(self):
        with pytest.raises(ValueError, match="rows must be one of main, controls, all, not 'some'"):
            replace(EXPERIMENT, rows="some")


def shipped():
    """A head of two emotions for the small network, in place of the one that comes with arlib."""
    rng = np.random.default_rng(0)
    width = global_outputs(
        datasets.load("folder").subset([0]),
        load_backbone("vgg_tiny", weights="random"),
        features=True,
        progress=False,
    ).shape[1]
    weight = rng.normal(size=(2, width)).astype(np.float32)
    return LinearHead(weight, np.zeros(2, np.float32), ("positive", "negative"), "vgg_tiny")
