"""Networks of a run: who learned from what, spied upon; what is missing, in words, not paths."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from arlib import datasets
from arlib.datasets import DatasetError
from arlib.experiments import photographs as networks
from arlib.experiments.baselines.pcnn import Progress
from arlib.experiments.baselines.rows import Missing
from arlib.experiments.photographs import PhotographProtocol
from arlib.networks import (
    WeightsError,
    default_head,
    fit_head,
    load_backbone,
)
from arlib.proposals import Grid
from arlib.scoring import image_features, score_cross_fold

QUICK = {"iterations": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def root(tmp_path_factory, make_photographs):
    """Light and dark pictures: `folder` in five folds, and a few of `twitter2`."""
    return make_photographs(tmp_path_factory.mktemp("data"), 10, (20, 30))


@pytest.fixture(autouse=True)
def here(root, tmp_path_factory, monkeypatch):
    """The data, one cache for all tests of this file, and a small network for CaffeNet."""
    monkeypatch.setenv("ARLIB_DATA", str(root))
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path_factory.getbasetemp() / "networks"))
    monkeypatch.setattr(networks, "CAFFENET", "alexnet_tiny")
    monkeypatch.setattr(
        "arlib.experiments.baselines.rows.WINDOWS", {"grid": Grid(2)}
    )  # twenty are slow


def chain(finetune_on="folds", **changes):
    settings = {"weights": "random", "training": QUICK, "progress": False, **changes}
    return PhotographProtocol("folder", "vgg_tiny", finetune_on, **settings)


@pytest.fixture
def spied(monkeypatch):
    """Nothing is trained: who would have learned from which pictures is noted."""
    seen = []

    def finetune(network, dataset, folder, **_):
        seen.append(("finetune", network, dataset))
        return network

    def train_on(network, dataset, folder, **_):
        seen.append(("train_on", network, dataset))
        return Progress(network, np.ones(len(dataset), bool), 0.0)

    monkeypatch.setattr(networks, "finetune", finetune)
    monkeypatch.setattr(networks, "train_on", train_on)
    return seen


def learned(spied, network):
    """Keys of all pictures that a network learned from."""
    return {key for _, one, part in spied if one is network for key in part.keys.tolist()}


class TestWhoLearnedFromWhat:
    def test_a_folds_network_saw_the_other_folds_and_none_of_its_own(self, spied):
        made = chain()
        assert sorted(made.classifiers.networks) == [1, 2, 3, 4, 5]
        for fold, network in made.classifiers.networks.items():
            others = made.dataset.keys[made.dataset.folds != fold].tolist()
            assert learned(spied, network) == set(others)
        assert len(spied) == 5

    @pytest.mark.parametrize("backbone", ["vgg_tiny", "alexnet_tiny"])
    def test_neither_did_pcnns_in_either_training(self, spied, backbone):
        made = chain()
        classifiers = made._pcnn(backbone)
        for fold, network in classifiers.networks.items():
            assert network.name == backbone
            others = made.dataset.keys[made.dataset.folds != fold].tolist()
            assert learned(spied, network) == set(others)
        assert [name for name, *_ in spied] == ["finetune", "train_on"] * 5

    def test_pictures_without_label_or_fold_are_not_learned_from_and_the_latter_judged(self, spied):
        made = chain()
        labels, folds = made.dataset.labels.copy(), made.dataset.folds.copy()
        labels[3], folds[4] = -1, -1
        made.__dict__["dataset"] = replace(made.dataset, labels=labels, folds=folds)
        nowhere = made.dataset.keys[[3, 4]].tolist()
        assert sorted(made.classifiers.networks) == [-1, 1, 2, 3, 4, 5]
        for fold, network in made.classifiers.networks.items():
            mine = made.dataset.keys[folds == fold].tolist()
            assert not learned(spied, network) & {*mine, *nowhere}
        known = [key for key in made.dataset.keys.tolist() if key not in nowhere]
        assert learned(spied, made.classifiers.networks[-1]) == set(known)

    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_dataset_by_name_is_learned_from_as_a_whole(self, spied, progressive):
        made = chain("twitter2")
        classifiers = made._pcnn("vgg_tiny") if progressive else made.classifiers
        (network,) = set(classifiers.networks.values())
        assert learned(spied, network) == set(datasets.load("twitter2").keys.tolist())
        assert not learned(spied, network) & set(made.dataset.keys.tolist())
        assert set(classifiers.networks) == {1, 2, 3, 4, 5}

    def test_the_dataset_that_is_judged_is_refused(self):
        with pytest.raises(ValueError, match="fine-tuned on all of folder has seen what it would"):
            chain("folder")

    def test_a_frozen_network_learns_nothing(self, spied):
        made = chain("none")
        (network,) = set(made.classifiers.networks.values())
        assert network.sha256() == made.plain.sha256()
        assert spied == []

    @pytest.mark.parametrize("fold", [1, 4])
    def test_a_head_is_fitted_on_the_other_folds(self, fold):
        made = chain("none")
        features, _ = image_features(made.dataset, made.plain, progress=False)
        others = made.dataset.folds != fold
        by_hand = fit_head(
            features[others], made.dataset.labels[others], ("positive", "negative"), backbone="any"
        )
        np.testing.assert_allclose(
            made.classifiers.heads[fold].probability(features),
            by_hand.probability(features),
            atol=1e-4,
        )

    def test_the_tagged_photographs_train_the_bank_and_the_pairs(self, spied, monkeypatch):
        tagged = datasets.load("scenes-tagged", n=40)
        monkeypatch.setattr(PhotographProtocol, "_tagged", lambda self: tagged)
        monkeypatch.setattr(networks, "train_bank", lambda dataset, **_: dataset)
        made = chain()
        assert made._bank is tagged
        assert made._deep.classes == len(set(tagged.tags.tolist()))
        ((_, _, part),) = spied
        assert part.name == "scenes-tagged by tag"
        assert part.keys.tolist() == tagged.keys.tolist()


class TestTraining:
    def test_is_done_once_and_the_same(self, monkeypatch):
        first = chain("twitter2").classifiers.networks[1]
        monkeypatch.setattr(
            "arlib.networks.training.Finetuner.training_step", None
        )  # nothing trains
        again = chain("twitter2").classifiers.networks[1]
        assert again.sha256() == first.sha256()
        assert first.sha256() != chain("twitter2").plain.sha256()

    @pytest.mark.parametrize(
        "change", [{"seed": 1}, {"training": {**QUICK, "lr": 0.01}}], ids=["seed", "training"]
    )
    def test_another_setting_is_another_network(self, change):
        one, other = chain("twitter2"), chain("twitter2", **change)
        shas = {each.classifiers.networks[1].sha256() for each in (one, other)}
        assert len(shas) == 2

    def test_other_pictures_under_the_same_names_are_learned_from_anew(
        self, root, tmp_path, monkeypatch
    ):
        before = chain("twitter2").classifiers.networks[1].sha256()
        shutil.copytree(root, tmp_path / "data")
        for path in (tmp_path / "data" / "twitter2").glob("*/*.jpg"):
            Image.new("RGB", (30, 20), (100, 130, 160)).save(path)
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "data"))
        assert chain("twitter2").classifiers.networks[1].sha256() != before

    def test_pcnn_leaves_the_judges_as_they_were(self):
        made = chain("twitter2", training={**QUICK, "lr": 0.02})
        before = made.classifiers.networks[1].sha256()
        try:
            made._pcnn("vgg_tiny")
        except networks.Missing:
            pytest.fail("the network is sure enough to keep pictures")
        assert made.classifiers.networks[1].sha256() == before

    def test_a_batch_is_no_larger_than_the_set(self, spied, monkeypatch):
        plans = []
        whole = networks.finetune

        def finetune(*given, training, **named):
            plans.append((training, len(given[1])))
            return whole(*given, **named)

        monkeypatch.setattr(networks, "finetune", finetune)
        assert chain(training={"batch_size": 500}).classifiers
        assert [(plan.batch_size, n) for plan, n in plans] == [(16, 16)] * 5

    def test_training_takes_the_runs_seed(self, spied, monkeypatch):
        seeds = []
        monkeypatch.setattr(
            networks, "finetune", lambda network, *_, training, **__: seeds.append(training.seed)
        )
        assert chain("twitter2", seed=4).classifiers
        assert seeds == [4]


@pytest.fixture(scope="module")
def scores(root, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARLIB_DATA", str(root))
        made = chain("none")
        out = tmp_path_factory.mktemp("scores") / "scores"
        return score_cross_fold(
            made.classifiers, made.dataset, Grid(max_regions=3), out, progress=False
        )


def reason(made, row, scores):
    return made.baselines(scores).attrs["missing"][row]


class TestWhatIsMissing:
    def test_of_a_frozen_network_without_tagged_photographs(self, scores, root):
        found = chain("none").baselines(scores)
        tagged = "the ANP-tagged photographs are not here: ARLIB_DATA/vso"
        frozen = "a frozen network is not trained on: see a run that is fine-tuned"
        assert found.attrs["missing"] == {
            "SentiBank": tagged,
            "DeepSentiBank": tagged,
            "PCNN + CaffeNet": frozen,
            "PCNN + VGGNet": frozen,
        }
        assert found.method.values.tolist() == ["VGGNet", "VGGNet + ft + obj + senti + ff (K = 1)"]
        assert np.isfinite(found.probability.values).all()
        assert str(root) not in str(found.attrs)

    def test_of_a_network_whose_weights_are_not_here(self, spied, root, monkeypatch):
        """The run's own network is there; CaffeNet's stand-in is not."""

        def load(name, *, weights, **settings):
            if name == "alexnet_tiny":
                raise WeightsError(f"no weights for {name}: {root}/weights/ does not exist")
            return load_backbone(name, weights="random", **settings)

        monkeypatch.setattr(networks, "load_backbone", load)
        made = chain("twitter2", weights="auto")
        assert made.classifiers
        with pytest.raises(networks.Missing) as caught:
            made._pcnn("alexnet_tiny")
        assert str(caught.value) == (
            "no weights of alexnet_tiny: ARLIB_DATA/weights/alexnet_tiny.safetensors is not there, "
            "and torchvision's download failed"
        )

    def test_of_another_network_than_the_one_whose_file_was_named(self, spied, tmp_path):
        file = tmp_path / "vgg.safetensors"
        load_backbone("vgg_tiny", classes=2, weights="random").save(file)
        made = chain("twitter2", weights=str(file))
        assert made.classifiers
        with pytest.raises(networks.Missing) as caught:
            made._pcnn("alexnet_tiny")
        assert str(caught.value) == "the weights that were named do not fit alexnet_tiny"

    def test_damaged_weights_are_not_missing(self, spied, root, tmp_path, monkeypatch):
        shutil.copytree(root, tmp_path / "data")
        (tmp_path / "data" / "weights").mkdir()
        (tmp_path / "data" / "weights" / "alexnet_tiny.safetensors").write_bytes(b"half")
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "data"))
        with pytest.raises(WeightsError, match="not a readable safetensors file"):
            chain("twitter2", weights="auto")._pcnn("alexnet_tiny")

    @pytest.mark.parametrize(
        ("kept", "why"),
        [(0, "twitter2 holds no image"), (3, "a batch of 8 is larger than twitter2: 3 images")],
    )
    def test_of_pcnn_where_too_few_pictures_are_left(self, monkeypatch, kept, why):
        def decided(dataset, network, **_):
            return np.where(np.arange(len(dataset))[:, None] < kept, [0.0, 1.0], [0.5, 0.5])

        monkeypatch.setattr("arlib.experiments.baselines.pcnn.global_probabilities", decided)
        with pytest.raises(networks.Missing) as caught:
            chain("twitter2", seed=20 + kept)._pcnn("vgg_tiny")
        assert str(caught.value).startswith(f"PCNN dropped too much to train on: {why}")

    def test_a_training_that_fails_otherwise_is_not_missing(self):
        """Its loss is no number: that is for whoever set the learning rate to mend."""
        training = {"iterations": 4, "batch_size": 8, "lr": 1e30}
        with pytest.raises(ValueError, match="the loss is"):
            chain("twitter2", training=training)._pcnn("alexnet_tiny")

    @pytest.mark.parametrize("error", [PermissionError, UnicodeError, KeyError])
    def test_a_fault_in_reading_the_tagged_photographs_is_not_missing(
        self, monkeypatch, tmp_path, error
    ):
        (tmp_path / "vso").mkdir()
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path))

        def load(_):
            raise error("a fault")

        monkeypatch.setattr(networks.datasets, "load", load)
        with pytest.raises(error, match="a fault"):
            chain("none")._tagged()

    def test_a_tagged_dataset_that_there_is_none_of_is_refused(self):
        with pytest.raises(DatasetError, match="no dataset 'vsoo'; there are"):
            replace(chain("none"), anps="vsoo")._tagged()

    def test_a_fault_in_training_the_bank_is_not_missing(self, scores, monkeypatch):
        monkeypatch.setattr(
            PhotographProtocol, "_tagged", lambda self: self.dataset
        )  # which has no tags
        with pytest.raises(ValueError, match="folder has no tags to learn pairs from"):
            chain("none").baselines(scores)


def test_unreadable_pictures_are_left_out_of_rows_and_controls(root, tmp_path, monkeypatch):
    shutil.copytree(root, tmp_path / "data")
    broken = tmp_path / "data" / "folder" / "positive" / "3.png"
    broken.write_text("no picture")
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "data"))
    made = chain("none")
    scores = score_cross_fold(
        made.classifiers, made.dataset, Grid(max_regions=3), tmp_path / "scores", progress=False
    )
    found = made.baselines(scores)
    expected = [key for key in made.dataset.keys.tolist() if key != "positive/3.png"]
    assert found.image.values.tolist() == scores.image.values.tolist() == expected
    assert np.isfinite(found.probability.values).all()


class TestWithoutLabels:
    @pytest.fixture
    def unlabelled(self, monkeypatch):
        load = datasets.load

        def blank(name, *args, **settings):
            found = load(name, *args, **settings)
            return replace(found, labels=np.full(len(found), -1, np.int8))

        monkeypatch.setattr(datasets, "load", blank)

    @pytest.mark.parametrize("source", ["none", "folds"])
    def test_there_is_nothing_to_learn_from(self, unlabelled, source):
        with pytest.raises(DatasetError, match="folder has no labels to learn from: finetune_on"):
            _ = chain(source).classifiers

    def test_the_head_that_comes_with_the_package_judges_everyone(self, unlabelled):
        made = PhotographProtocol(
            "folder", "squeezenet1_1", "shipped", weights="random", progress=False
        )
        assert {head.provenance["dataset"] for head in made.classifiers.heads.values()} == {"oasis"}
        for head in made.classifiers.heads.values():
            np.testing.assert_array_equal(head.weight, default_head().weight)
        assert set(made.classifiers.networks.values()) == {made.plain}

    def test_it_fits_one_network(self):
        with pytest.raises(ValueError, match="head reads features of squeezenet1_1, not of vgg_t"):
            _ = chain("shipped").classifiers

    def test_it_does_not_judge_what_it_has_seen(self, monkeypatch):
        seen = replace(default_head(), provenance={"dataset": "folder"})
        monkeypatch.setattr(networks, "default_head", lambda: seen)
        with pytest.raises(ValueError, match="comes with the package has seen folder"):
            _ = chain("shipped").classifiers


def test_pairs_are_not_learned_from_the_pictures_that_are_judged():
    with pytest.raises(Missing, match="the noun pairs at hand are those of folder, whose pictures"):
        chain(anps="folder")._tagged()


def test_the_readers_settings_reach_it():
    assert np.unique(chain(reader={"n_folds": 3}).dataset.folds).tolist() == [1, 2, 3]
