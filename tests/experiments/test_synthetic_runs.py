"""Runs of the synthetic scenes: scored and measured once, by networks that never saw them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr

from arlib._support.storage import cache_dir
from arlib.datasets.scenes import export
from arlib.experiments import Finetuning, Protocol, stages, synthetic
from arlib.experiments.baselines.lowlevel import Descriptor
from arlib.experiments.baselines.sentibank import train_bank
from arlib.experiments.registry import parse_experiment
from arlib.experiments.runs import open_run
from arlib.experiments.synthetic import TESTED, SyntheticProtocol
from arlib.networks import Training

pytestmark = pytest.mark.xdist_group("synthetic_runs")  # one worker makes what they share

SLOW = Training(iterations=8, round=4, batch_size=4, lr=0.02, head_factor=1.0)
TINY = SyntheticProtocol(
    scale=0.0,
    pretraining=Training(iterations=4, round=2, batch_size=16, lr=0.01),
    finetuning=SLOW,  # until the network is confident about some images, which PCNN keeps
    proposals="grid",
    max_regions=6,
    seed=3,
)
SMALL = Descriptor(size=64, bins=8, words=20)
ROWS = {
    "SentiBank",
    "PCNN + CaffeNet",
    "PCNN + VGGNet",
    "VGGNet",
    "VGGNet + ft + obj + senti + ff (K = 1)",
    "DeepSentiBank",
}


def refuse(*_, **__):
    raise AssertionError("made again")


def forbid_everything(monkeypatch):
    monkeypatch.setattr("arlib.networks.training.Finetuner.training_step", refuse)
    for name in ("train_bank", "score_cross_fold", "measure_rows"):
        monkeypatch.setattr(synthetic, name, refuse)


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory):
    """One cache for all tests of this file, and a SentiBank of few words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        small = partial(train_bank, descriptor=SMALL)
        patch.setattr(synthetic, "train_bank", small)
        yield


@pytest.fixture(scope="module")
def tagged(here, tmp_path_factory):
    """The run of the tagged set's tenth, and the images that each step learned from."""
    learned = []

    def watched(step, place):
        def call(*given, **named):
            dataset = given[place]
            learned.append((dataset.name, set(dataset.keys.tolist())))
            return step(*given, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "finetune", watched(synthetic.finetune, 1))
        patch.setattr(synthetic, "train_on", watched(synthetic.train_on, 1))
        patch.setattr(synthetic, "train_bank", watched(synthetic.train_bank, 0))
        make = TINY.runs(progress=False)["scenes-tagged"]
        folder = make(tmp_path_factory.mktemp("unused"))
    return folder, learned


def test_an_editions_runs_are_the_tested_sets():
    assert list(TINY.runs()) == ["scenes-annotated", "scenes-folded", "scenes-tagged"]


@pytest.mark.parametrize("name", TESTED)
def test_a_run_is_complete(name):
    run, dataset = open_run(TINY.score(name, progress=False)), TINY.scored_set(name)
    assert run.name == f"scenes-{name}"
    assert run.scores.image.values.tolist() == dataset.keys.tolist()
    assert (run.labels == dataset.labels).all()
    assert (run.folds == dataset.folds).all()
    assert run.scores.sizes["region"] == 6
    assert run.scores.attrs["backbone"] == "vgg_tiny"
    assert run.facts["experiment"]["synthetic"]["generator"]["local_share"] == 0.5


def test_a_step_is_taken_once(monkeypatch):
    first = TINY.score(progress=False)
    monkeypatch.setattr(synthetic, "score_cross_fold", refuse)
    assert TINY.score(progress=False) == first
    with pytest.raises(AssertionError, match="made again"):
        replace(TINY, max_regions=5).score(progress=False)


def test_a_run_records_its_protocol():
    assert parse_experiment(open_run(TINY.score(progress=False)).facts["experiment"]) == TINY


class TestTheTaggedTenth:
    def test_is_the_held_out_one_in_five_folds_of_every_labels_share(self):
        tagged, tenth = TINY.dataset("tagged"), TINY.scored_set("tagged")
        assert tenth.keys.tolist() == tagged.keys[tagged.folds == 1].tolist()
        assert len(tenth) == len(tagged) // 10
        share = [np.bincount(tenth.labels[tenth.folds == fold]) for fold in range(1, 6)]
        assert np.ptp(share, axis=0).max() <= 1
        assert set(tenth.folds.tolist()) == {1, 2, 3, 4, 5}

    def test_was_learned_from_by_no_network_and_no_bank(self, tagged):
        tenth = set(TINY.scored_set("tagged").keys.tolist())
        of_tagged = [keys for name, keys in tagged[1] if name.startswith("scenes-tagged")]
        assert len(of_tagged) >= 6, "fine-tuned twice, PCNN twice, by tags, and the bank"
        complete = set(TINY.dataset("tagged").keys.tolist())
        for keys in of_tagged:
            assert keys == complete - tenth

    def test_stops_no_training_early(self):
        assert (
            SyntheticProtocol().finetuning.patience == SyntheticProtocol().pretraining.patience == 0
        )

    def test_has_every_row_and_control(self, tagged):
        run = open_run(tagged[0])
        baselines = run.baselines
        assert set(baselines.method.values.tolist()) == ROWS
        assert baselines.attrs["missing"] == {}
        assert baselines.image.values.tolist() == run.scores.image.values.tolist()
        assert np.isfinite(baselines.probability.values).all()
        np.testing.assert_allclose(baselines.probability.sum("emotion").values, 1, rtol=1e-5)
        assert baselines.control.values.tolist() == ["grid", "centre crops", "ten-crop"]

    def test_is_in_the_folder_of_the_scores_in_the_cache(self, tagged):
        folder, _ = tagged
        assert folder == TINY.score("tagged", progress=False)
        assert folder.name == "scenes-tagged"
        assert cache_dir() in folder.parents

    def test_is_measured_once(self, tagged, tmp_path, monkeypatch):
        forbid_everything(monkeypatch)
        assert TINY.score("tagged", baselines=True, progress=False) == tagged[0]
        assert TINY.runs(progress=False)["scenes-tagged"](tmp_path) == tagged[0]
        assert list(tmp_path.iterdir()) == []

    def test_is_what_the_papers_protocol_makes_of_the_same_images_in_files(
        self, tagged, tmp_path, monkeypatch
    ):
        dataset = TINY.dataset("tagged")
        for number, place in enumerate(export._write_vso(dataset, tmp_path / "vso")):
            export._write_png(tmp_path / "vso" / place, dataset.read(number))
        (tmp_path / "weights").mkdir()
        for backbone in ("vgg_tiny", "alexnet_tiny"):
            network, _ = replace(TINY, backbone=backbone).pretrain(progress=False)
            network.save(tmp_path / "weights" / f"{backbone}.safetensors")
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
        monkeypatch.setattr(stages, "train_bank", synthetic.train_bank)
        training = {name: getattr(SLOW, name) for name in ("iterations", "round", "batch_size")}
        training |= {"lr": SLOW.lr, "head_factor": SLOW.head_factor}
        photographs = Protocol(
            "vgg_tiny",
            Finetuning("vso", training=training),
            ("vso-held-out",),
            caffenet="alexnet_tiny",
            proposals="grid",
            max_regions=6,
            fit_on=0,  # as on the scenes, classifiers on features learn from the other folds
            seed=3,
        )
        (make,) = photographs.runs(progress=False).values()
        files, drawn = open_run(make(tmp_path / "results")), open_run(tagged[0])
        for name in drawn.scores.data_vars:
            assert np.array_equal(files.scores[name], drawn.scores[name], equal_nan=True), name
        rows = len(files.baselines.method)
        assert rows == 5
        assert files.baselines.method.values.tolist() == drawn.baselines.method.values.tolist()[:5]
        assert np.array_equal(files.baselines.probability, drawn.baselines.probability[:5])


@pytest.mark.parametrize("name", ["annotated", "folded"])
def test_the_other_sets_are_measured_in_the_order_of_their_scores(name, tmp_path, monkeypatch):
    measured = []

    def measure(dataset, classifiers, rows, *, progress):
        measured.append((dataset, set(rows)))
        return xr.Dataset(attrs={"missing": {}})

    monkeypatch.setattr(synthetic, "measure_rows", measure)
    run = open_run(TINY.runs(progress=False)[f"scenes-{name}"](tmp_path))
    ((dataset, rows),) = measured
    assert run.name == f"scenes-{name}"
    assert run.scores.image.values.tolist() == dataset.keys.tolist()
    assert dataset.folds.tolist() == TINY.scored_set(name).folds.tolist()
    assert rows == ROWS
    assert run.baselines is not None


def test_the_bank_is_kept_under_what_it_is_trained_on(tagged, monkeypatch):
    forbid_everything(monkeypatch)
    kept = replace(TINY, max_regions=5, backbone="alexnet_tiny").bank(progress=False)
    assert kept.descriptor == SMALL
    assert set(kept.anps) <= set(TINY.dataset("tagged").tags.tolist())
    with pytest.raises(AssertionError, match="made again"):
        replace(TINY, seed=4).bank(progress=False)
