"""Networks of a run: what each learned from; what is missing, in words, not paths."""

import shutil
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from arlib import datasets
from arlib.datasets import DatasetError
from arlib.experiments import trainings
from arlib.experiments.baselines.pcnn import Progress
from arlib.experiments.baselines.rows import Missing
from arlib.experiments.photographs import Experiment
from arlib.experiments.runs import open_run
from arlib.networks import (
    FeatureMaps,
    LinearHead,
    WeightsError,
    fit_coupled,
    load_backbone,
)
from arlib.proposals import Grid
from arlib.scoring import global_outputs

DATASET = "folder"
QUICK = {"iterations": 2, "batch_size": 8}
FEW = {"grid": Grid(2)}


@pytest.fixture(scope="module")
def root(tmp_path_factory, make_photographs):
    """Light and dark images: `folder` in five folds, and a few of `twitter2`."""
    return make_photographs(tmp_path_factory.mktemp("data"), 10, (20, 30))


@pytest.fixture(autouse=True)
def here(root, tmp_path_factory, monkeypatch):
    """The data, and one cache for all tests of this file."""
    monkeypatch.setenv("ARLIB_DATA", str(root))
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path_factory.getbasetemp() / "networks"))


def protocol(finetune_on="folds", backbone="vgg_tiny", **changes):
    settings = {"weights": "random", "training": QUICK, "caffenet": "alexnet_tiny"}
    settings |= {"proposals": "grid", "max_regions": 3, **changes}
    experiment = Experiment("folder", (backbone,), finetune_on=(finetune_on,), **settings)
    (stages,) = experiment.stages(progress=False)
    stages.crops = FEW
    return stages


@pytest.fixture
def trained(monkeypatch):
    """Nothing is trained: the images that each network would have learned from are noted."""
    steps = []

    def finetune(network, dataset, folder, **_):
        steps.append(("finetune", network, dataset))
        return network

    def train_on(network, dataset, folder, **_):
        steps.append(("train_on", network, dataset))
        return Progress(network, np.ones(len(dataset), bool), 0.0)

    monkeypatch.setattr(trainings, "finetune", finetune)
    monkeypatch.setattr(trainings, "train_on", train_on)
    return steps


def learned(trained, network):
    """Keys of all images that a network learned from."""
    return {key for _, learner, part in trained if learner is network for key in part.keys.tolist()}


class TestWhatANetworkLearnedFrom:
    def test_a_folds_network_saw_the_other_folds_and_none_of_its_own(self, trained):
        run = protocol()
        assert sorted(run.classifiers(DATASET).networks) == [1, 2, 3, 4, 5]
        for fold, network in run.classifiers(DATASET).networks.items():
            others = run.columns(DATASET).keys[run.columns(DATASET).folds != fold].tolist()
            assert learned(trained, network) == set(others)
        assert len(trained) == 5

    @pytest.mark.parametrize("backbone", ["vgg_tiny", "alexnet_tiny"])
    def test_neither_did_pcnns_in_either_training(self, trained, backbone):
        run = protocol()
        classifiers = run.pcnn_classifiers(DATASET, backbone)
        for fold, network in classifiers.networks.items():
            assert network.name == backbone
            others = run.columns(DATASET).keys[run.columns(DATASET).folds != fold].tolist()
            assert learned(trained, network) == set(others)
        assert [name for name, *_ in trained] == ["finetune", "train_on"] * 5

    def test_neither_did_the_one_with_a_coupled_head(self, trained):
        run = protocol()
        classifiers = run.coupled_classifiers(DATASET)
        for fold, network in classifiers.networks.items():
            others = run.columns(DATASET).keys[run.columns(DATASET).folds != fold].tolist()
            assert learned(trained, network) == set(others)
        assert len(trained) == 5
        again = run.coupled_classifiers(DATASET).networks
        assert again == classifiers.networks, "each is trained once"

    def test_a_frozen_networks_coupled_heads_saw_the_other_folds_alone(self, trained, monkeypatch):
        run, seen = protocol("none"), []

        def fit(network, maps, labels, classes, training):
            seen.append((maps, labels))
            return fit_coupled(network, maps, labels, classes, training)

        monkeypatch.setattr(trainings, "fit_coupled", fit)
        networks = run.coupled_classifiers(DATASET).networks
        assert not trained
        dataset, plain = run.columns(DATASET), run.plain("vgg_tiny")
        maps = global_outputs(dataset, FeatureMaps(plain), features=True, progress=False)
        for (of_others, labels), fold in zip(seen, networks, strict=True):
            others = dataset.folds != fold
            np.testing.assert_array_equal(labels, dataset.labels[others])
            np.testing.assert_allclose(of_others, maps[others], atol=1e-6)
        shas = {network.sha256() for network in networks.values()}
        assert len(shas) == 5
        below = {next(network.parameters()).data_ptr() for network in networks.values()}
        assert below == {next(plain.parameters()).data_ptr()}, "the network itself"

    def test_images_without_label_are_not_learned_from_and_those_without_fold_are(self, trained):
        run = protocol()
        labels, folds = run.columns(DATASET).labels.copy(), run.columns(DATASET).folds.copy()
        labels[3], folds[4] = -1, -1
        run._datasets[DATASET] = replace(run.columns(DATASET), labels=labels, folds=folds)
        known = np.arange(len(labels)) != 3
        assert sorted(run.classifiers(DATASET).networks) == [1, 2, 3, 4, 5]
        for fold, network in run.classifiers(DATASET).networks.items():
            others = run.columns(DATASET).keys[known & (folds != fold)].tolist()
            assert learned(trained, network) == set(others)

    def test_of_a_fixed_split_the_training_part_is_learned_from(
        self, trained, root, tmp_path, monkeypatch
    ):
        for part, numbers in {"train": (0, 1, 2), "val": (3, 4), "test": (5, 6)}.items():
            for emotion in ("positive", "negative"):
                (tmp_path / part / emotion).mkdir(parents=True)
                for number in numbers:
                    image = root / "folder" / emotion / f"{number}.png"
                    shutil.copy(image, tmp_path / part / emotion)
        experiment = Experiment(
            str(tmp_path), ("vgg_tiny",), finetune_on=("folds",), weights="random", training=QUICK
        )
        (run,) = experiment.stages(progress=False)
        assert sorted(run.classifiers(str(tmp_path)).networks) == [1]
        assert len(run.tested(str(tmp_path))) == 4
        keys = learned(trained, run.classifiers(str(tmp_path)).networks[1])
        assert {key.partition("/")[0] for key in keys} == {"train", "val"}
        assert len(keys) == 10

    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_dataset_by_name_is_learned_from_completely(self, trained, progressive):
        run = protocol("twitter2")
        classifiers = (
            run.pcnn_classifiers(DATASET, "vgg_tiny") if progressive else run.classifiers(DATASET)
        )
        (network,) = set(classifiers.networks.values())
        assert learned(trained, network) == set(datasets.load("twitter2").keys.tolist())
        assert not learned(trained, network) & set(run.columns(DATASET).keys.tolist())
        assert set(classifiers.networks) == {1, 2, 3, 4, 5}

    def test_a_frozen_network_learns_nothing(self, trained):
        run = protocol("none")
        (network,) = set(run.classifiers(DATASET).networks.values())
        assert network.sha256() == run.plain("vgg_tiny").sha256()
        assert trained == []

    @pytest.mark.parametrize("fold", [1, pytest.param(4, marks=pytest.mark.slow)])
    def test_a_head_is_fitted_on_the_other_folds(self, fold):
        run = protocol("none")
        features = global_outputs(
            run.columns(DATASET), run.plain("vgg_tiny"), features=True, progress=False
        )
        others = run.columns(DATASET).folds != fold
        by_hand = LinearHead.fit(
            features[others],
            run.columns(DATASET).labels[others],
            ("positive", "negative"),
            backbone="any",
        )
        np.testing.assert_allclose(
            run.classifiers(DATASET).heads[fold].probability(features),
            by_hand.probability(features),
            atol=1e-4,
        )

    def test_the_tagged_photographs_train_the_bank_and_the_pairs(self, trained, monkeypatch):
        tagged = datasets.load("scenes-tagged", n=40)
        learners = []

        def train_bank(dataset, **_):
            learners.append(dataset)
            raise AssertionError("noted")

        monkeypatch.setattr(trainings, "train_bank", train_bank)
        run = protocol()
        run.__dict__["tagged"] = tagged
        with pytest.raises(AssertionError, match="noted"):
            _ = run.bank
        assert learners == [tagged]
        assert run.deep.classes == len(set(tagged.tags.tolist()))
        ((_, _, part),) = trained
        assert part.name == "scenes-tagged by tag"
        assert part.keys.tolist() == tagged.keys.tolist()


class TestTraining:
    def test_is_done_once_and_the_same(self, monkeypatch):
        first = protocol("twitter2").classifiers(DATASET).networks[1]
        monkeypatch.setattr(
            "arlib.networks.finetuner.Finetuner.training_step", None
        )  # nothing trains
        again = protocol("twitter2").classifiers(DATASET).networks[1]
        assert again.sha256() == first.sha256()
        assert first.sha256() != protocol("twitter2").plain("vgg_tiny").sha256()

    @pytest.mark.parametrize(
        "change", [{"seed": 1}, {"training": {**QUICK, "lr": 0.01}}], ids=["seed", "training"]
    )
    def test_another_setting_is_another_network(self, change):
        one, other = protocol("twitter2"), protocol("twitter2", **change)
        shas = {each.classifiers(DATASET).networks[1].sha256() for each in (one, other)}
        assert len(shas) == 2

    def test_other_images_under_the_same_names_are_learned_from_anew(
        self, root, tmp_path, monkeypatch
    ):
        before = protocol("twitter2").classifiers(DATASET).networks[1].sha256()
        shutil.copytree(root, tmp_path / "data")
        for path in (tmp_path / "data" / "twitter2").glob("*/*.jpg"):
            Image.new("RGB", (30, 20), (100, 130, 160)).save(path)
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "data"))
        assert protocol("twitter2").classifiers(DATASET).networks[1].sha256() != before

    def test_pcnn_leaves_the_fine_tuned_network_as_it_was(self):
        run = protocol("twitter2", training={**QUICK, "lr": 0.02})
        before = run.classifiers(DATASET).networks[1].sha256()
        try:
            run.pcnn_classifiers(DATASET, "vgg_tiny")
        except Missing:
            pytest.fail("the network is confident enough to keep images")
        assert run.classifiers(DATASET).networks[1].sha256() == before

    def test_a_batch_is_no_larger_than_the_set(self, trained, monkeypatch):
        plans = []
        inner = trainings.finetune

        def finetune(*given, training, **named):
            plans.append((training, len(given[1])))
            return inner(*given, **named)

        monkeypatch.setattr(trainings, "finetune", finetune)
        assert protocol(training={"batch_size": 500}).classifiers(DATASET)
        assert [(plan.batch_size, n) for plan, n in plans] == [(16, 16)] * 5

    def test_training_takes_the_runs_seed(self, trained, monkeypatch):
        seeds = []
        monkeypatch.setattr(
            trainings, "finetune", lambda network, *_, training, **__: seeds.append(training.seed)
        )
        assert protocol("twitter2", seed=4).classifiers(DATASET)
        assert seeds == [4]


class TestWhatIsMissing:
    def test_of_a_frozen_network_without_tagged_photographs(self, root):
        baselines = protocol("none").baselines(DATASET)
        tagged = "vso is not at ARLIB_DATA/vso: `arlib data where vso` says how to get it"
        frozen = "a frozen network is not trained on: see a run that is fine-tuned"
        assert baselines.attrs["missing"] == {
            "SentiBank": tagged,
            "DeepSentiBank": tagged,
            "PCNN + CaffeNet": frozen,
            "PCNN + VGGNet": frozen,
        }
        assert baselines.method.values.tolist() == [
            "VGGNet",
            "VGGNet + ft + obj + senti + ff (K = 1)",
            "VGGNet + ft + CAM + lf",
            "WSCNet + VGGNet",
        ]
        assert np.isfinite(baselines.probability.values).all()
        assert baselines.control.values.tolist() == ["grid", "ten-crop"]
        assert str(root) not in str(baselines.attrs)

    def test_of_a_network_whose_weights_are_not_here(self, trained, root, monkeypatch):
        """The run's own network is there; CaffeNet's stand-in is not."""

        def load(name, *, weights, **settings):
            if name == "alexnet_tiny":
                raise WeightsError(f"no weights for {name}: {root}/weights/ does not exist")
            return load_backbone(name, weights="random", **settings)

        monkeypatch.setattr(trainings, "load_backbone", load)
        run = protocol("twitter2", weights="auto")
        assert run.classifiers(DATASET)
        with pytest.raises(Missing) as caught:
            run.pcnn_classifiers(DATASET, "alexnet_tiny")
        assert str(caught.value) == (
            "no weights of alexnet_tiny: ARLIB_DATA/weights/alexnet_tiny.safetensors is not there, "
            "and they cannot be downloaded"
        )

    def test_of_another_network_than_the_one_whose_file_was_named(self, trained, tmp_path):
        file = tmp_path / "vgg.safetensors"
        load_backbone("vgg_tiny", classes=2, weights="random").save(file)
        run = protocol("twitter2", weights=str(file))
        assert run.classifiers(DATASET)
        with pytest.raises(Missing) as caught:
            run.pcnn_classifiers(DATASET, "alexnet_tiny")
        assert str(caught.value) == "the weights that were named do not fit alexnet_tiny"

    def test_damaged_weights_are_not_missing(self, trained, root, tmp_path, monkeypatch):
        shutil.copytree(root, tmp_path / "data")
        (tmp_path / "data" / "weights").mkdir()
        (tmp_path / "data" / "weights" / "alexnet_tiny.safetensors").write_bytes(b"half")
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "data"))
        with pytest.raises(WeightsError, match="not a readable safetensors file"):
            protocol("twitter2", weights="auto").pcnn_classifiers(DATASET, "alexnet_tiny")

    def test_a_training_that_fails_otherwise_is_not_missing(self):
        """Its loss is not finite: the learning rate is too high."""
        training = {"iterations": 4, "batch_size": 8, "lr": 100, "head_factor": 1e4}
        with pytest.raises(ValueError, match="the loss is"):
            protocol("twitter2", training=training).pcnn_classifiers(DATASET, "alexnet_tiny")

    def test_a_tagged_dataset_that_there_is_none_of_is_refused(self):
        with pytest.raises(
            DatasetError, match=r"no dataset 'vsoo' \(did you mean vso\?\); there are"
        ):
            _ = protocol("none", anps="vsoo").tagged

    def test_a_fault_in_training_the_bank_is_the_rows_reason(self):
        run = protocol("none")
        run.__dict__["tagged"] = run.columns(DATASET)  # which has no tags
        missing = run.baselines(DATASET).attrs["missing"]
        assert missing["SentiBank"] == "folder has no tags to learn pairs from"


def test_unreadable_images_are_left_out_of_rows_and_controls(root, tmp_path, monkeypatch):
    shutil.copytree(root, tmp_path / "data")
    broken = tmp_path / "data" / "folder" / "positive" / "3.png"
    broken.write_text("no image")
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "data"))
    run = protocol("none")
    baselines = run.baselines(DATASET)
    expected = [key for key in run.columns(DATASET).keys.tolist() if key != "positive/3.png"]
    assert baselines.image.values.tolist() == run.scores(DATASET).image.values.tolist() == expected
    assert np.isfinite(baselines.probability.values).all()


class TestWithoutLabels:
    @pytest.fixture
    def unlabelled(self, monkeypatch):
        load = datasets.load

        def blank(name, *args, **settings):
            dataset = load(name, *args, **settings)
            return replace(dataset, labels=np.full(len(dataset), -1, np.int8))

        monkeypatch.setattr(datasets, "load", blank)

    @pytest.mark.parametrize("source", ["none", "folds"])
    def test_there_is_nothing_to_learn_from(self, unlabelled, source):
        with pytest.raises(DatasetError, match=r"folder: no image has a label; add .* finetune_on"):
            _ = protocol(source).classifiers(DATASET)

    def test_the_head_that_comes_with_the_package_predicts_every_fold(self, unlabelled):
        run = protocol("shipped", "efficientnet_lite0")
        assert {head.provenance["dataset"] for head in run.classifiers(DATASET).heads.values()} == {
            "oasis"
        }
        for head in run.classifiers(DATASET).heads.values():
            np.testing.assert_array_equal(head.weight, LinearHead.default().weight)
        assert set(run.classifiers(DATASET).networks.values()) == {run.plain("efficientnet_lite0")}

    def test_it_fits_one_network(self):
        with pytest.raises(ValueError, match="reads features of efficientnet_lite0, not of vgg_t"):
            _ = protocol("shipped").classifiers(DATASET)

    def test_it_does_not_predict_what_it_has_seen(self, monkeypatch):
        seen = replace(LinearHead.default(), provenance={"dataset": "folder"})
        monkeypatch.setattr(trainings.LinearHead, "default", lambda: seen)
        with pytest.raises(ValueError, match="comes with the package has seen folder"):
            _ = protocol("shipped").classifiers(DATASET)


def test_pairs_are_not_learned_from_the_images_that_are_predicted():
    with pytest.raises(Missing, match="the noun pairs at hand are those of folder, whose images"):
        _ = protocol(anps="folder").tagged


def test_nor_from_a_set_that_holds_them():
    experiment = Experiment("vso-held-out", ("vgg_tiny",), anps="vso")
    with pytest.raises(Missing, match="the noun pairs at hand are those of vso, whose images"):
        _ = experiment.stages()[0].tagged


def test_the_readers_settings_reach_it():
    assert np.unique(protocol(reader={"n_folds": 3}).columns(DATASET).folds).tolist() == [1, 2, 3]


def test_a_row_of_maps_is_added_to_a_run_that_was_recorded_without_it(tmp_path):
    path = Path(__file__).parents[2] / "tools" / "add_row.py"
    spec = spec_from_file_location("add_row", path)
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)
    folder = protocol("none", rows="main").measure(DATASET, tmp_path)
    before = open_run(folder).load()
    tool.add_row("wscnet", folder)
    after, row = open_run(folder).load(), "WSCNet + VGGNet"
    assert after.baselines.method.values.tolist() == [*before.baselines.method.values, row]
    xr.testing.assert_equal(
        after.baselines.drop_vars(["wscnet_box", "wscnet_peak"]).isel(method=slice(-1)),
        before.baselines,
    )
    assert np.isfinite(after.baselines.probability.values[-1]).all()
    assert after.baselines.wscnet_box.sizes == {"image": 20, "corner": 4}
    facts = {**after.facts}
    assert facts.pop("added")[row]["full_images_apart"] < 1e-4
    assert facts == before.facts
    with pytest.raises(SystemExit, match="has the row"):
        tool.add_row("wscnet", folder)
