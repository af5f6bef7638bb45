"""Runs of the synthetic scenes: scored and measured once, by networks that never saw them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr

from arlib._support import storage as cache
from arlib.experiments import synthetic as miniature_runs, synthetic as synthetic
from arlib.experiments.baselines.lowlevel import Descriptor
from arlib.experiments.baselines.sentibank import train_bank
from arlib.experiments.runs import open_baselines, open_run
from arlib.experiments.synthetic import (
    TESTED,
    SyntheticProtocol,
    bank,
    live_runs,
    restore_synthetic,
    scored,
    scored_set,
    with_rows,
)
from arlib.networks import Training
from arlib.proposals import Grid, make_proposals

pytestmark = pytest.mark.xdist_group("miniature_runs")  # one worker makes what they stand on

SLOW = Training(iterations=8, round=4, batch_size=4, lr=0.02, head_factor=1.0)
TINY = SyntheticProtocol(
    scale=0.0,
    pretraining=Training(iterations=4, round=2, batch_size=16, lr=0.01),
    finetuning=SLOW,  # until the network is sure of some pictures, which PCNN keeps
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
        monkeypatch.setattr(miniature_runs, name, refuse)


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory):
    """One cache for all tests of this file, and a SentiBank of few words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        centre = make_proposals("center_crops", max_regions=2)
        few = {"grid": Grid(2), "centre crops": centre}  # twenty are slow
        patch.setattr("arlib.experiments.baselines.rows.WINDOWS", few)
        small = partial(train_bank, descriptor=SMALL)
        patch.setattr(miniature_runs, "train_bank", small)
        yield


@pytest.fixture(scope="module")
def tagged(here, tmp_path_factory):
    """The run of the tagged set's tenth, and which pictures each step learned from on the way."""
    learned = []

    def watched(step, place):
        def call(*given, **named):
            made = given[place]
            learned.append((made.name, set(made.keys.tolist())))
            return step(*given, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "finetune", watched(synthetic.finetune, 1))
        patch.setattr(synthetic, "train_on", watched(synthetic.train_on, 1))
        patch.setattr(miniature_runs, "train_bank", watched(miniature_runs.train_bank, 0))
        runs = live_runs(TINY, progress=False)
        run = runs["scenes-tagged"](tmp_path_factory.mktemp("unused"))
    return run, learned


def test_an_editions_runs_are_the_tested_sets():
    assert list(live_runs(TINY)) == ["scenes-annotated", "scenes-folded", "scenes-tagged"]


@pytest.mark.parametrize("name", TESTED)
def test_a_run_is_complete(name):
    scores, facts = open_run(scored(TINY, name, progress=False))
    made = scored_set(TINY, name)
    assert scores.image.values.tolist() == made.keys.tolist()
    assert (scores.label.values == made.labels).all()
    assert (scores.fold.values == made.folds).all()
    assert scores.sizes["region"] == 6
    assert scores.attrs["backbone"] == "vgg_tiny"
    assert facts["experiment"]["synthetic"]["generator"]["local_share"] == 0.5


def test_a_step_is_taken_once(monkeypatch):
    first = scored(TINY, progress=False)
    monkeypatch.setattr(miniature_runs, "score_cross_fold", refuse)
    assert scored(TINY, progress=False) == first
    with pytest.raises(AssertionError, match="made again"):
        scored(replace(TINY, max_regions=5), progress=False)


def test_a_run_tells_how_its_pictures_are_drawn():
    _, facts = open_run(scored(TINY, progress=False))
    assert restore_synthetic(facts["experiment"]["synthetic"]) == TINY


class TestTheTaggedTenth:
    def test_is_the_held_out_one_in_five_folds_of_every_labels_share(self):
        whole, tenth = TINY.dataset("tagged"), scored_set(TINY, "tagged")
        assert tenth.keys.tolist() == whole.keys[whole.folds == 1].tolist()
        assert len(tenth) == len(whole) // 10
        share = [np.bincount(tenth.labels[tenth.folds == fold]) for fold in range(1, 6)]
        assert np.ptp(share, axis=0).max() <= 1
        assert set(tenth.folds.tolist()) == {1, 2, 3, 4, 5}

    def test_was_learned_from_by_no_network_and_no_bank(self, tagged):
        tenth = set(scored_set(TINY, "tagged").keys.tolist())
        of_tagged = [keys for name, keys in tagged[1] if name.startswith("scenes-tagged")]
        assert len(of_tagged) >= 6, "fine-tuned twice, PCNN twice, by tags, and the bank"
        whole = set(TINY.dataset("tagged").keys.tolist())
        for keys in of_tagged:
            assert keys == whole - tenth

    def test_stops_no_training_early(self):
        assert (
            SyntheticProtocol().finetuning.patience == SyntheticProtocol().pretraining.patience == 0
        )

    def test_has_every_row_and_control(self, tagged):
        run, _ = tagged
        found = open_baselines(run)
        assert set(found.method.values.tolist()) == ROWS
        assert found.attrs["missing"] == {}
        assert found.image.values.tolist() == open_run(run)[0].image.values.tolist()
        assert np.isfinite(found.probability.values).all()
        np.testing.assert_allclose(found.probability.sum("emotion").values, 1, rtol=1e-5)
        assert found.control.values.tolist() == ["grid", "centre crops", "ten-crop"]

    def test_is_in_the_folder_of_the_scores_in_the_cache(self, tagged):
        run, _ = tagged
        assert run == scored(TINY, "tagged", progress=False)
        assert run.name == "scenes-tagged"
        assert cache.cache_dir() in run.parents

    def test_is_measured_once(self, tagged, tmp_path, monkeypatch):
        forbid_everything(monkeypatch)
        assert with_rows(TINY, "tagged", progress=False) == tagged[0]
        assert live_runs(TINY, progress=False)["scenes-tagged"](tmp_path) == tagged[0]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["annotated", "folded"])
def test_the_other_sets_are_measured_in_the_order_of_their_scores(name, tmp_path, monkeypatch):
    asked = []

    def measure(dataset, classifiers, rows, *, progress):
        asked.append((dataset, set(rows)))
        return xr.Dataset(attrs={"missing": {}})

    monkeypatch.setattr(miniature_runs, "measure_rows", measure)
    run = live_runs(TINY, progress=False)[f"scenes-{name}"](tmp_path)
    ((dataset, rows),) = asked
    assert run.name == f"scenes-{name}"
    assert open_run(run)[0].image.values.tolist() == dataset.keys.tolist()
    assert dataset.folds.tolist() == scored_set(TINY, name).folds.tolist()
    assert rows == ROWS
    assert open_baselines(run) is not None


def test_the_bank_is_kept_under_what_it_is_trained_on(tagged, monkeypatch):
    forbid_everything(monkeypatch)
    kept = bank(replace(TINY, max_regions=5, backbone="alexnet_tiny"), progress=False)
    assert kept.descriptor == SMALL
    assert set(kept.anps) <= set(TINY.dataset("tagged").tags.tolist())
    with pytest.raises(AssertionError, match="made again"):
        bank(replace(TINY, seed=4), progress=False)
