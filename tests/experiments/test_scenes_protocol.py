"""The protocol on synthetic scenes: drawn, learned and scored, as on sets in files."""

import io
import json
import pickle
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from threading import Event
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from arlib._support.storage import cache_dir
from arlib.datasets.scenes import export_scenes
from arlib.evaluation import table1
from arlib.experiments import (
    Finetuning,
    Protocol,
    open_run,
    scenes_protocol,
    second_process,
    stages as module,
    trainings,
)
from arlib.experiments.baselines.lowlevel import Descriptor
from arlib.experiments.baselines.sentibank import train_bank
from arlib.experiments.registry import parse_experiment
from arlib.networks import Training, learning_curve
from arlib.scoring import Job, distributed

pytestmark = pytest.mark.xdist_group("scenes_protocol")  # one worker makes what they share

# until the network is confident about some images, which PCNN keeps
TAGS = {"iterations": 8, "round": 4, "batch_size": 4, "lr": 0.02, "head_factor": 1.0}
OBJECTS = {"iterations": 4, "round": 2, "batch_size": 16, "lr": 0.01}
TINY = scenes_protocol(
    pretrain=Finetuning("scenes-objects", training=OBJECTS),
    finetune=Finetuning("scenes-tagged", training=TAGS),
    scale=0.01,
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
    "VGGNet + ft + CAM + lf",
    "WSCNet + VGGNet",
    "DeepSentiBank",
}
QUIET = {"progress": False}


def refuse(*_, **__):
    raise AssertionError("made again")


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory):
    """One cache for all tests of this file, and a SentiBank of few words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(trainings, "train_bank", partial(train_bank, descriptor=SMALL))
        yield


@pytest.fixture(scope="module")
def learned():
    """The images that each step learned from, in order."""
    return []


@pytest.fixture(scope="module")
def runs(here, learned):
    """Column -> run, of all three, in the cache."""

    def watched(step, place):
        def call(*given, **named):
            learned.append((given[place].name, set(given[place].keys.tolist())))
            return step(*given, **named)

        return call

    stages = TINY.stages(**QUIET)
    with pytest.MonkeyPatch.context() as patch:
        for name, place in {"finetune": 1, "train_on": 1, "train_bank": 0}.items():
            patch.setattr(trainings, name, watched(getattr(trainings, name), place))
        return {column: open_run(stages.measure(column)) for column in TINY.columns}


def test_an_editions_runs_are_named_after_the_columns():
    assert TINY.synthetic
    assert list(TINY.runs()) == ["scenes-annotated", "scenes-folded", "scenes-tagged"]
    assert not replace(TINY, columns=("twitter2",)).synthetic


def test_a_run_is_complete(runs):
    stages = TINY.stages(**QUIET)
    for column, run in runs.items():
        dataset = stages.column(column)
        assert run.name == TINY.run_name(column)
        assert run.scores.image.values.tolist() == dataset.keys.tolist()
        assert (run.labels == dataset.labels).all()
        assert (run.folds == dataset.folds).all()
        assert run.scores.sizes["region"] == 6
        assert run.scores.attrs["backbone"] == "vgg_tiny"
        assert parse_experiment(run.facts["experiment"]) == TINY
        assert run.network == "small VGG fine-tuned on tagged scenes"


def test_it_has_every_row_and_control(runs):
    for run in runs.values():
        baselines = run.baselines
        assert set(baselines.method.values.tolist()) == ROWS
        assert baselines.attrs["missing"] == {}
        assert baselines.image.values.tolist() == run.scores.image.values.tolist()
        assert np.isfinite(baselines.probability.values).all()
        np.testing.assert_allclose(baselines.probability.sum("emotion").values, 1, rtol=1e-5)
        assert baselines.control.values.tolist() == [
            "grid",
            "centre crops",
            "random crops",
            "ten-crop",
        ]


def test_nothing_learned_from_the_held_out_tenth(runs, learned):
    stages = TINY.stages(**QUIET)
    tenth = set(runs["scenes-tagged-held-out"].scores.image.values.tolist())
    assert tenth == set(stages.source.keys[stages.source.folds == 1].tolist())
    assert len(tenth) == len(stages.source) // 10
    of_tagged = [keys for name, keys in learned if name.startswith("scenes-tagged")]
    assert len(of_tagged) >= 7, "fine-tuned twice, PCNN twice, by tags, coupled, and the bank"
    for keys in of_tagged:
        assert keys == set(stages.source.keys.tolist()) - tenth


def test_the_tenth_is_in_five_folds_of_every_labels_share():
    tenth = TINY.stages(**QUIET).held_out
    share = [np.bincount(tenth.labels[tenth.folds == fold]) for fold in range(1, 6)]
    assert np.ptp(share, axis=0).max() <= 1
    assert set(tenth.folds.tolist()) == {1, 2, 3, 4, 5}


def test_no_training_of_the_default_protocol_stops_early():
    protocol = scenes_protocol()
    for each in (protocol.pretrain, protocol.finetune):
        assert Training.parse(each.training).patience == 0


def test_a_run_is_made_once_in_the_cache(runs, monkeypatch):
    monkeypatch.setattr("arlib.networks.finetuner.Finetuner.training_step", refuse)
    monkeypatch.setattr(trainings, "train_bank", refuse)
    monkeypatch.setattr(module, "measure_rows", refuse)
    monkeypatch.setattr("arlib.scoring.shards.score", refuse)
    stages = TINY.stages(**QUIET)
    for column, run in runs.items():
        folder = stages.measure(column)
        assert cache_dir() in folder.parents
        assert open_run(folder).facts == run.facts
        assert stages.measure(column, baselines=False) == folder


def test_a_second_process_makes_meanwhile_what_later_stages_find(runs):
    stages = replace(TINY, rows=("pcnn-caffenet",), seed=5).stages(**QUIET)
    made = stages.pcnn_folder(TINY.caffenet) / "dropped.json"
    threads, others = torch.get_num_threads(), set(psutil.Process().children())
    with stages.shared(SimpleNamespace(gpu=False, seconds=100, columns=("scenes-folded",))):
        (helper,) = set(psutil.Process().children()) - others
        until = time.monotonic() + 120
        while not made.exists():
            assert helper.is_running()
            assert helper.status() != psutil.STATUS_ZOMBIE
            assert time.monotonic() < until, "nothing was made"
            time.sleep(0.1)
    assert not helper.is_running()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("gpu", "seconds", "workers"),
    [(True, 100, {}), (False, 10, {}), (False, 100, {"processes": 2})],
)
def test_no_second_process_where_it_would_not_pay(gpu, seconds, workers, monkeypatch):
    monkeypatch.setattr(second_process.subprocess, "Popen", refuse)
    plan = SimpleNamespace(gpu=gpu, seconds=seconds, columns=())
    with TINY.stages(**QUIET, workers=workers).shared(plan):
        pass


def test_the_second_process_ends_with_the_first(monkeypatch):
    """When its standard input does, as the system closes it for a process that was killed."""
    ended = Event()
    monkeypatch.setattr(second_process.os, "_exit", lambda status: ended.set())
    settings = asdict(replace(TINY, rows=()))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{json.dumps([settings, []])}\n"))
    second_process.work_ahead()
    assert ended.wait(10)


def test_rows_can_be_measured_after_the_scores(runs, monkeypatch):
    stages = replace(TINY, seed=4, rows=("vggnet",)).stages(**QUIET)
    first = open_run(stages.measure("scenes-folded", baselines=False))
    assert first.baselines is None
    again = open_run(stages.measure("scenes-folded"))
    assert again.baselines.method.values.tolist() == ["VGGNet"]
    assert again.facts == first.facts


class TestTheSets:
    def test_no_two_share_an_image(self):
        stages = TINY.stages(**QUIET)
        sets = [stages.objects, stages.source, *map(stages.column, TINY.columns[:2])]
        assert len({round(each.read(0).mean(), 6) for each in sets}) == 4
        other = replace(TINY, seed=4).stages(**QUIET).column("scenes-annotated")
        assert (other.read(0) != sets[2].read(0)).any()

    def test_objects_do_not_depend_on_the_share(self, runs):
        shares = [replace(TINY, local_share=share).stages(**QUIET) for share in (0.0, 0.5)]
        one, other = (each.objects for each in shares)
        assert (one.read(5) == other.read(5)).all()
        folders = [each.pretrained_folder("vgg_tiny") for each in shares]
        assert folders[0] == folders[1]
        assert shares[0].tuned_folder("vgg_tiny") != shares[1].tuned_folder("vgg_tiny")

    def test_true_labels_are_the_sign_of_the_valence(self, runs):
        stages = TINY.stages(**QUIET)
        tagged = stages.source
        truth = replace(tagged, labels=(tagged.valence <= 0).astype(np.int8))
        assert (tagged.labels != truth.labels).sum() == tagged.counts["wrong tags"] > 0
        assert stages.tuned_folder("vgg_tiny", truth) != stages.tuned_folder("vgg_tiny")
        network = stages.tuned("vgg_tiny", truth)
        assert network.sha256() != stages.network.sha256()
        assert learning_curve(stages.tuned_folder("vgg_tiny", truth))[-1]["step"] == 7

    def test_without_pre_training_it_is_another_network(self, runs):
        scratch = replace(TINY, pretrain=None).stages(**QUIET)
        assert scratch.tuned_folder("vgg_tiny") != TINY.stages(**QUIET).tuned_folder("vgg_tiny")


def test_pcnn_drops_tagged_images_and_trains_on(runs, monkeypatch):
    stages = TINY.stages(**QUIET)
    monkeypatch.setattr("arlib.networks.finetuner.Finetuner.training_step", refuse)
    done = stages.pcnn("vgg_tiny")
    assert done.kept.size == len(stages.learned)
    assert 4 <= done.kept.sum() < done.kept.size
    before = stages.network.state_dict()
    assert any((before[name] != value).any() for name, value in done.network.state_dict().items())
    other = replace(TINY, max_regions=5).stages(**QUIET)
    assert (other.pcnn("vgg_tiny").kept == done.kept).all()


def test_the_bank_is_kept_under_what_it_is_trained_on(runs, monkeypatch):
    monkeypatch.setattr(trainings, "train_bank", refuse)
    stages = replace(TINY, max_regions=5, backbone="alexnet_tiny").stages(**QUIET)
    assert stages.bank.descriptor == SMALL
    assert set(stages.bank.anps) <= set(stages.source.tags.tolist())
    with pytest.raises(AssertionError, match="made again"):
        _ = replace(TINY, seed=4).stages(**QUIET).bank


@pytest.mark.parametrize("complete", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_exported_to_files_in_the_original_layouts_they_give_the_same_table(
    runs, tmp_path, monkeypatch, complete
):
    """The same pixels, by the readers of Flickr, Twitter I and Twitter II: the same numbers."""
    stages = TINY.stages(**QUIET)
    export_scenes(tmp_path, objects=300, tagged=300, tested=100, seed=TINY.seed, **QUIET)
    (tmp_path / "weights").mkdir()
    for backbone in ("vgg_tiny", "alexnet_tiny"):
        stages.plain(backbone).save(tmp_path / "weights" / f"{backbone}.safetensors")
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    files = Protocol(
        "vgg_tiny",
        Finetuning("vso", training=TAGS),
        ("twitter1-three", "twitter2", "vso-held-out"),
        **{
            name: getattr(TINY, name)
            for name in ("caffenet", "proposals", "max_regions", "batch_size", "fit_on")
        },
        seed=TINY.seed,
    )
    of_files = files.stages(**QUIET)
    for column, drawn in zip(files.columns, runs.values(), strict=True):
        measured = of_files.measure(column, tmp_path / "results", baselines=complete)
        read = open_run(measured).load()
        for name in drawn.scores.data_vars:
            assert np.array_equal(read.scores[name], drawn.scores[name], equal_nan=True), name
        if not complete:
            continue
        rows = read.baselines.method.values.tolist()
        assert len(rows) == 5
        place = drawn.baselines.method.values.tolist()
        theirs = drawn.baselines.probability.values[[place.index(row) for row in rows]]
        assert np.array_equal(read.baselines.probability.values, theirs)
        tables = [table1([run.load()]) for run in (read, drawn)]
        ours, theirs = (list(table.values())[-1] for table in tables)  # of all images
        paper = ours.index.drop("DeepSentiBank")
        assert ours.accuracy[paper].equals(theirs.accuracy[paper])
        assert ours.accuracy[paper].notna().sum() >= 10


def test_a_process_that_scores_a_part_makes_the_same_job_again(runs, monkeypatch):
    """From the protocol and a column's name alone, which is all that is sent to it."""
    made = []

    def note(make, *_, **how):
        made.append((pickle.loads(pickle.dumps(make))(), how["processes"]))
        raise AssertionError("noted")

    stages = TINY.stages(**QUIET, workers={"processes": 2})
    expected = Job(
        stages.tested("scenes-folded"),
        stages.proposals(stages.tested("scenes-folded")),
        stages.network,
        settings={"crop": "warp", "context": 0.0, "precision": "float32", "features": "crops"},
    )
    monkeypatch.setattr(distributed, "score_in_shards", note)
    with pytest.raises(AssertionError, match="noted"):
        stages.scores("scenes-folded")
    ((job, processes),) = made
    assert processes == 2
    assert job.sha256 == expected.sha256
    assert job.image_sha256(7) == expected.image_sha256(7)


@pytest.mark.slow
def test_two_processes_score_as_one(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CROPS", 100)  # many shards
    other = replace(TINY, context=0.1)
    alone = other.stages(**QUIET).scores("scenes-folded").load()
    shutil.rmtree(other.stages(**QUIET).scores_folder("scenes-folded"))
    together = other.stages(**QUIET, workers={"processes": 2}).scores("scenes-folded").load()
    for name in alone.data_vars:
        np.testing.assert_allclose(together[name], alone[name], atol=1e-6)


MEASURE = """
import os, sys
from arlib.experiments.protocol import restore_protocol
protocol = restore_protocol(eval(sys.argv[1]))
stages = protocol.stages(progress=False)
for column in protocol.columns:
    stages.measure(column, sys.argv[2])
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_table(tmp_path, monkeypatch):
    rows = ("vggnet", "pcnn-vggnet", "former-fusion", "controls")
    protocol = replace(TINY, rows=rows, columns=("scenes-folded",), seed=5)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def start(name):
        monkeypatch.setenv("ARLIB_CACHE", str(tmp_path / name / "cache"))
        command = [sys.executable, "-c", MEASURE, repr(asdict(protocol)), str(tmp_path / name)]
        return subprocess.Popen(command)

    started = time.monotonic()
    assert start("whole").wait(600) == 0
    took, moments, kills = time.monotonic() - started, random.Random(0), 0
    while kills < 8:
        process = start("killed")
        try:
            process.wait(moments.uniform(0.2, 1) * took)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert kills, "it was never cut off"
    assert start("killed").wait(600) == 0
    whole, killed = (open_run(tmp_path / name / "scenes-folded") for name in ("whole", "killed"))
    assert max(killed.differences(whole).values()) == 0
    for name in ("probability", "control_probability"):
        assert np.array_equal(killed.baselines[name], whole.baselines[name], equal_nan=True)
