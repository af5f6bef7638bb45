"""Fine-tuning: resumed equals uninterrupted, bad settings are refused, a full disk is survived."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import example, given, strategies as st
from torchvision.transforms.v2.functional import resize

from arlib._support import progress
from arlib.datasets import ImageError, load
from arlib.datasets.scenes import SceneGenerator
from arlib.networks import finetuner
from arlib.networks.backbones import WeightsError, load_backbone
from arlib.networks.devices import memory_for
from arlib.networks.finetuning import finetune, learning_curve
from arlib.networks.loaders import Schedule, TrainingImages
from arlib.networks.tiny import NETWORKS
from arlib.networks.training import TooFewError, Training

TRAINING = Training(iterations=12, round=4, batch_size=8, lr=0.02, head_factor=1.0)


@pytest.fixture(scope="module")
def few():
    return load("scenes-annotated", n=48, seed=1)


def network(seed=0):
    return load_backbone("vgg_tiny", classes=2, weights="random", seed=seed)


def run(few, folder, plan=TRAINING, **settings):
    return finetune(network(), few, folder, training=plan, progress=False, **settings)


@pytest.fixture(scope="module")
def full(few, tmp_path_factory):
    """A run that nothing interrupts, validated after each round: its network and its folder."""
    folder = tmp_path_factory.mktemp("full")
    return run(few, folder, validation=few), folder


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@dataclass(frozen=True)
class Damaged:
    """Draw images, some of which cannot be read."""

    draw: Callable[[int], np.ndarray]
    numbers: frozenset[int]

    def __call__(self, number):
        if number in self.numbers:
            raise ImageError(f"{number}.png", "no image")
        return self.draw(number)


def damaged(dataset, *rows):
    numbers = frozenset(int(dataset.files[row]) for row in rows)
    return replace(dataset, draw=Damaged(dataset.draw, numbers))


class Cut(Exception):
    """Stands for whatever ends a run early."""


def cut_at(step, patch):
    step_of_lightning = finetuner.Finetuner.training_step

    def training_step(self, batch, index):
        if self.global_step == step:
            raise Cut
        return step_of_lightning(self, batch, index)

    patch.setattr(finetuner.Finetuner, "training_step", training_step)


class TestSchedule:
    def of(self, **settings):
        return Schedule(10, 4, **{"iterations": 9, "per_round": 4, "seed": 0, **settings})

    def places(self, schedule):
        batches = []
        for number in range(schedule.rounds):
            schedule.set_epoch(number)
            batches += list(schedule)
        return batches

    def test_every_pass_has_every_image_once(self):
        flat = [place for batch in self.places(self.of()) for place in batch]
        assert [position for _, position in flat] == list(range(36))
        for start in (0, 10, 20):
            assert sorted(index for index, _ in flat[start : start + 10]) == list(range(10))

    def test_rounds_cut_the_same_stream_anywhere(self):
        assert self.places(self.of()) == self.places(self.of(per_round=2))
        assert self.places(self.of()) != self.places(self.of(seed=1))

    def test_processes_share_each_batch(self):
        parts = [self.places(self.of(rank=rank, processes=2)) for rank in range(2)]
        together = [one + other for one, other in zip(*parts, strict=True)]
        assert together == self.places(self.of())

    @pytest.mark.parametrize(
        ("batch", "settings", "message"),
        [(11, {}, "does not fit a set of 10"), (4, {"processes": 3}, "3 processes cannot share")],
    )
    def test_what_does_not_fit_is_refused(self, batch, settings, message):
        with pytest.raises(ValueError, match=message):
            Schedule(10, batch, iterations=1, per_round=1, seed=0, **settings)


@pytest.mark.parametrize("n", [32, 1000, 435_832])
@pytest.mark.parametrize("asked", [1, 7, 10, 100_000])
@pytest.mark.parametrize("length", [0, 1, 3, 1000])
def test_a_plan_has_the_iterations_asked_for(n, asked, length):
    plan = Training(iterations=asked, round=length).planned(n)
    assert plan.iterations == asked
    rounds = -(-asked // plan.round)
    about = asked / (length or max(1, n // plan.batch_size))
    assert rounds <= max(1, round(about))
    assert 0 < asked - (rounds - 1) * plan.round <= plan.round


@pytest.mark.parametrize(("epochs", "length", "expected"), [(4, 0, (312, 78)), (1, 40, (156, 39))])
def test_epochs_are_rounds_of_equal_length(epochs, length, expected):
    """As the recorded trainings on scenes had them: on 2,520 objects, and on 5,040 tagged."""
    plan = Training(epochs=epochs, round=length).planned(2520 if epochs == 4 else 5040)
    assert (plan.iterations, plan.round) == expected


def test_the_rate_drops_as_in_the_release():
    """To a tenth each fifth, as every 4,000 of 20,000 iterations: without being asked for."""
    plan = Training(iterations=20).planned(23_000)
    described = finetuner.Finetuner(network(), plan).configure_optimizers()
    drops, rates = described["lr_scheduler"]["scheduler"], []
    described["optimizer"].step()
    for _ in range(20):
        rates.append(drops.get_last_lr()[0])
        drops.step()
    np.testing.assert_allclose(rates, np.repeat([1e-4, 1e-5, 1e-6, 1e-7, 1e-8], 4))


class TestTrainingImages:
    def test_without_augmentation_they_equal_those_of_scoring(self, few):
        pixels, label, _ = TrainingImages(few, 48, resize=None, mirror=False, seed=0)[3]
        full = resize(torch.from_numpy(few.read(3)).permute(2, 0, 1), [48, 48], antialias=True)
        assert (pixels == full).all()
        assert label == few.labels[3]

    def test_augmentation_depends_on_the_position_alone(self, few):
        one = TrainingImages(few, 48, resize=55, mirror=True, seed=0)
        other = TrainingImages(few, 48, resize=55, mirror=True, seed=0)
        other[(5, 1)], torch.rand(3)
        assert (one[(3, 77)][0] == other[(3, 77)][0]).all()
        assert any((one[(3, 77)][0] != one[(3, p)][0]).any() for p in range(5))

    def test_augmenting_leaves_the_generator_alone(self, few):
        torch.manual_seed(0)
        expected = torch.rand(1)
        torch.manual_seed(0)
        TrainingImages(few, 48, resize=55, mirror=True, seed=0)[(3, 1)]
        assert torch.rand(1) == expected


class TestARun:
    def test_writes_weights_facts_and_curve(self, full):
        trained, folder = full
        again = load_backbone("vgg_tiny", weights=folder / "network.safetensors")
        assert same(trained, again)
        assert not same(trained, network())
        facts = json.loads((folder / "network.json").read_text())
        assert facts["steps"] == 12
        assert facts["training"]["lr"] == 0.02
        assert facts["emotions"] == ["positive", "negative"]
        curve = learning_curve(folder)
        assert [row["step"] for row in curve] == [3, 7, 11]
        assert {"train_loss", "val_loss", "val_accuracy"} <= curve[-1].keys()
        assert not trained.training

    def test_depends_on_the_seed_alone(self, few, full, tmp_path):
        one, _ = full  # validation changes nothing either
        assert same(one, run(few, tmp_path / "2"))
        assert not same(one, run(few, tmp_path / "3", replace(TRAINING, seed=1)))

    @pytest.mark.parametrize("step", [1, 6, 8])
    def test_resumed_is_uninterrupted(self, few, full, tmp_path, step):
        uninterrupted, folder = full
        with pytest.MonkeyPatch.context() as patch:
            cut_at(step, patch)
            with pytest.raises(Cut):
                run(few, tmp_path / "cut", validation=few)
        assert not (tmp_path / "cut" / "network.json").exists()
        assert same(uninterrupted, run(few, tmp_path / "cut", validation=few))
        assert learning_curve(tmp_path / "cut") == learning_curve(folder)

    def test_iterations_asked_for_are_exact_and_the_shorter_last_round_counts(self, few, tmp_path):
        """11 in rounds of 4: the last, of 3, is validated, and resumed as the others are."""
        plan = replace(TRAINING, iterations=11)
        full = run(few, tmp_path / "full", plan, validation=few)
        assert json.loads((tmp_path / "full" / "network.json").read_text())["steps"] == 11
        curve = learning_curve(tmp_path / "full")
        assert [row["step"] for row in curve] == [3, 7, 10]
        assert all("val_loss" in row for row in curve)
        with pytest.MonkeyPatch.context() as patch:
            cut_at(9, patch)
            with pytest.raises(Cut):
                run(few, tmp_path / "cut", plan, validation=few)
        assert same(full, run(few, tmp_path / "cut", plan, validation=few))
        assert learning_curve(tmp_path / "cut") == curve

    @pytest.mark.parametrize(
        "step", [6, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 8))]
    )
    def test_resumed_drops_the_same(self, few, tmp_path, step):
        def start(folder):
            fresh = load_backbone("alexnet_tiny", classes=2, weights="random")
            return finetune(fresh, few, tmp_path / folder, training=TRAINING, progress=False)

        with pytest.MonkeyPatch.context() as patch:
            cut_at(step, patch)
            with pytest.raises(Cut):
                start("cut")
        assert same(start("full"), start("cut"))

    def test_every_round_starts_where_the_last_one_ended(self, few, tmp_path, monkeypatch):
        seen = []
        item = TrainingImages.__getitem__

        def watched(self, place):
            seen.append(place)
            return item(self, place)

        monkeypatch.setattr(TrainingImages, "__getitem__", watched)
        run(few, tmp_path)
        assert [position for _, position in seen] == list(range(12 * 8))
        assert sorted(index for index, _ in seen[:48]) == list(range(48))

    def test_a_finished_run_is_loaded_not_repeated(self, few, tmp_path):
        one = run(few, tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            cut_at(0, patch)
            assert same(one, run(few, tmp_path))

    def test_one_of_another_version_of_the_library_is_loaded_too(self, few, tmp_path):
        one = run(few, tmp_path)
        plan = json.loads((tmp_path / "plan.json").read_text())
        (tmp_path / "plan.json").write_text(json.dumps({**plan, "arlib": "0.0.1"}))
        assert same(one, run(few, tmp_path))

    def test_ema_and_class_weights_and_steps_change_what_is_learned(self, few, tmp_path):
        plain = run(few, tmp_path / "plain")
        for name, settings in {
            "ema": {"ema": 0.9},
            "weights": {"class_weights": True},
            "step": {"step": 0.0},
            "bf16": {"precision": "bf16-mixed"},
        }.items():
            other = run(few.subset(slice(0, 48)), tmp_path / name, replace(TRAINING, **settings))
            assert not same(plain, other), name

    def test_the_head_alone_learns_when_the_body_has_no_rate(self, few, tmp_path):
        settings = replace(TRAINING, lr=1e-12, head_factor=1e10, weight_decay=0.0)
        trained, fresh = run(few, tmp_path, settings).state_dict(), network().state_dict()
        weights = [name for name in fresh if name.endswith("weight")]
        moved = {name: float((trained[name] - fresh[name]).abs().max()) for name in weights}
        head = weights[-1]
        assert moved.pop(head) > 1e-4
        assert max(moved.values()) < 1e-6

    def test_stops_early_when_validation_no_longer_improves(self, few, tmp_path):
        settings = replace(TRAINING, iterations=40, round=2, lr=1e-9, patience=2)
        run(few, tmp_path, settings, validation=few)
        assert json.loads((tmp_path / "network.json").read_text())["steps"] < 40

    def test_learns_what_there_is_to_learn(self, tmp_path):
        generator = SceneGenerator(local_share=0.0, light_signal=0.4, warmth_signal=0.3)
        easy = load("scenes-annotated", generator=generator, n=160, seed=1)
        plan = Training(iterations=80, batch_size=16, lr=0.01, head_factor=1.0, step=0)
        finetune(network(), easy, tmp_path, training=plan, validation=easy, progress=False)
        assert learning_curve(tmp_path)[-1]["val_accuracy"] > 0.8


class TestBadInput:
    def test_a_loss_that_is_not_finite_names_the_step(self, few, tmp_path):
        with pytest.raises(ValueError, match=r"the loss is nan at step \d+: lower lr"):
            run(few, tmp_path, replace(TRAINING, lr=1e30, iterations=12))

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            (
                lambda d: d.subset(slice(0, 4)),
                TooFewError,
                "a batch of 8 is larger than scenes-annotated: 4",
            ),
            (lambda d: d.subset(d.labels == 0), TooFewError, "has one class only"),
            (lambda d: replace(d, labels=0 * d.labels - 1), ValueError, "48 images .* no label"),
            (lambda d: replace(d, emotions=("a", "b", "c")), ValueError, "has 2 outputs"),
            (lambda d: d.subset(slice(0, 0)), TooFewError, "holds no image"),
        ],
    )
    def test_a_set_that_does_not_fit_is_refused(self, few, tmp_path, change, error, message):
        with pytest.raises(error, match=message):
            run(change(few), tmp_path)

    def test_another_run_s_folder_is_refused(self, few, tmp_path):
        run(few, tmp_path)
        with pytest.raises(ValueError, match="holds another run"):
            run(few, tmp_path, replace(TRAINING, lr=0.5))

    def test_the_same_images_under_other_labels_are_another_run(self, few, tmp_path):
        run(few, tmp_path)
        inverted = replace(few, labels=1 - few.labels)
        with pytest.raises(ValueError, match=r"another run \(its images_sha256 differ\)"):
            run(inverted, tmp_path)

    @pytest.mark.parametrize("workers", [0, 1])
    def test_a_set_of_unreadable_images_is_refused(self, tmp_path, workers):
        for name in ("positive", "negative"):
            (tmp_path / name).mkdir()
            for number in range(4):
                (tmp_path / name / f"{number}.png").write_text("no image")
        unreadable = load("folder", tmp_path, n_folds=0)
        training = replace(TRAINING, batch_size=4, workers=workers)
        with pytest.raises(
            ValueError, match=r"^folder: 4 images of .* \S*\.png: no image"
        ) as caught:
            run(unreadable, tmp_path / "run", training)
        assert "\n" not in str(caught.value)


class TestUnreadableImages:
    """Trained without them, by batches that depend on the seed and the step as ever."""

    def facts(self, folder):
        return json.loads((folder / "network.json").read_text())

    @pytest.mark.parametrize("workers", [0, 1])
    def test_they_are_logged_and_listed_and_training_goes_on(self, few, tmp_path, caplog, workers):
        some, plan = damaged(few, 3, 20), replace(TRAINING, workers=workers)
        run(some, tmp_path, plan, validation=damaged(few, 20, 30).subset(slice(24, 48)))
        facts, keys = self.facts(tmp_path), few.keys[[3, 20, 30]].tolist()
        assert facts["unreadable"] == dict.fromkeys(keys, "no image")
        assert facts["steps"] == 12
        assert facts["images"] == 48
        assert sorted(caplog.messages) == [f"left out: {key}: no image" for key in keys]

    def test_resumed_is_uninterrupted(self, few, tmp_path):
        some = damaged(few, *range(0, 20, 2))
        with pytest.MonkeyPatch.context() as patch:
            cut_at(6, patch)
            with pytest.raises(Cut):
                run(some, tmp_path / "cut")
        assert same(run(some, tmp_path / "full"), run(some, tmp_path / "cut"))
        cut, full = self.facts(tmp_path / "cut"), self.facts(tmp_path / "full")
        assert cut["unreadable"] == full["unreadable"]
        assert len(full["unreadable"]) == 10

    def test_the_images_are_those_asked_for_and_no_other_run_s(self, few, tmp_path):
        """An image that becomes unreadable, or readable, does not train a network anew."""
        one = run(damaged(few, 3), tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            cut_at(0, patch)
            assert same(one, run(few, tmp_path))

    def test_another_of_its_class_takes_the_place_by_the_position(self, few):
        lost = np.flatnonzero(few.labels == few.labels[3])[::2]
        images = TrainingImages(damaged(few, 3, *lost), 48, resize=None, mirror=False, seed=0)
        again = TrainingImages(damaged(few, 3, *lost), 48, resize=None, mirror=False, seed=0)
        intact = TrainingImages(few, 48, resize=None, mirror=False, seed=0)
        others = np.flatnonzero(few.labels == few.labels[3])
        readable = [intact[int(row)][0] for row in others if row not in {3, *lost.tolist()}]
        taken = set()
        for position in reversed(range(20)):
            pixels, label, unreadable = images[(3, position)]
            taken |= {n for n, each in enumerate(readable) if (each == pixels).all()}
            assert label == few.labels[3]
            assert unreadable == {few.keys[3]: "no image"}
        assert len(taken) > 3
        assert (again[(3, 7)][0] == images[(3, 7)][0]).all()
        assert (images[(4, 7)][0] == intact[(4, 7)][0]).all()

    def test_where_most_are_unreadable_it_is_an_error(self, few, tmp_path):
        wrong = r"^scenes-annotated: 2\d of 48 images are unreadable, such as \S+: no image$"
        with pytest.raises(ValueError, match=wrong):
            run(damaged(few, *range(29)), tmp_path)

    def test_half_of_them_is_no_error(self, few, tmp_path):
        run(damaged(few, *range(24)), tmp_path)
        assert len(self.facts(tmp_path)["unreadable"]) == 24


class TestMemory:
    """What PyTorch raises where there is too little, as a line that says what to lower."""

    def failing(self, patch, error):
        def training_step(self, batch, index):
            raise error

        patch.setattr(finetuner.Finetuner, "training_step", training_step)

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 98.00 MiB."),
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
            RuntimeError("MPS backend out of memory (MPS allocated: 18.10 GB)"),
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
            MemoryError("Unable to allocate 9 GiB for an array"),
        ],
    )
    def test_a_batch_that_does_not_fit(self, few, tmp_path, monkeypatch, error):
        self.failing(monkeypatch, error)
        lower = "^too little memory for training vgg_tiny in batches of 8: lower batch_size$"
        with pytest.raises(MemoryError, match=lower):
            run(few, tmp_path)

    def test_what_the_processor_really_says(self):
        with (
            pytest.raises(MemoryError, match="for nothing in batches of 2"),
            memory_for(2, "nothing"),
        ):
            torch.empty(2**60)

    def test_other_errors_stay(self, few, tmp_path, monkeypatch):
        self.failing(monkeypatch, RuntimeError("a shape that does not fit"))
        with pytest.raises(RuntimeError, match="a shape that does not fit"):
            run(few, tmp_path)

    def test_a_killed_process_that_loads_images(self, few, tmp_path):
        lost = replace(few, draw=Killed())
        with pytest.raises(MemoryError, match=r"^a process that loads .*: lower workers$"):
            run(lost, tmp_path, replace(TRAINING, workers=1))


class Killed:
    """Draw an image in a process that the system ends."""

    def __call__(self, number):
        os.kill(os.getpid(), signal.SIGKILL)


class TestProgress:
    def lines(self, few, folder, monkeypatch, capsys, **settings):
        """What stands on stderr, which is no terminal, when every step is worth a line."""
        monkeypatch.setattr(progress, "EVERY", 0.0)
        finetune(network(), few, folder, training=TRAINING, **settings)
        return capsys.readouterr().err.splitlines()

    def test_has_the_stage_the_rate_and_what_is_left(self, few, tmp_path, monkeypatch, capsys):
        lines = self.lines(few, tmp_path, monkeypatch, capsys, validation=few)
        step = r"fine-tuning vgg_tiny: \d+ of 12 steps, [\d.]+ steps/s, \d\d:\d\d, \d\d:\d\d left.*"
        validating = "validating vgg_tiny: 1 of 1 steps, "
        assert sum(re.fullmatch(step, line) is not None for line in lines) >= 10
        assert any(line.startswith(validating) for line in lines)
        assert any(re.search(r"left, .*train_loss=[\d.]+", line) for line in lines)
        assert all(line and line.isprintable() for line in lines), "one loop in another"

    def test_is_none_where_it_is_not_asked_for(self, few, tmp_path, monkeypatch, capsys):
        assert self.lines(few, tmp_path, monkeypatch, capsys, progress=False) == []


class TestACheckpointThatDoesNotFit:
    """Each is in `checkpoints/` when the run starts, and is refused by its name."""

    def message(self, few, folder):
        with pytest.raises(ValueError, match=r".") as caught:
            run(few, folder)
        (path,) = (folder / "checkpoints").glob("*.ckpt")
        assert str(path) in str(caught.value)
        assert str(caught.value).endswith(
            "remove it, and training resumes from the one before, or from the start"
        )
        return str(caught.value)

    @hypothesis.settings(max_examples=30)
    @given(st.binary(max_size=60))
    @example(b"")
    @example(b"no checkpoint")
    @example(b".")  # an IndexError of torch's own
    @example(b"G")  # a struct.error
    @example(b"\x80\x02}q\x00.")
    @example(b"PK\x03\x04")
    def test_garbage(self, few, garbage):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "checkpoints", "00000004.ckpt")
            path.parent.mkdir()
            path.write_bytes(garbage)
            assert "is no checkpoint of a training" in self.message(few, Path(folder))

    @pytest.mark.parametrize("content", [[1], {"weights": {}}, {"state_dict": {"a": 1}}, "text"])
    def test_something_else_that_torch_has_saved(self, few, tmp_path, content):
        (tmp_path / "checkpoints").mkdir()
        torch.save(content, tmp_path / "checkpoints" / "00000004.ckpt")
        assert "is no checkpoint of a training" in self.message(few, tmp_path)

    def cut_short(self, images, folder, other):
        with pytest.MonkeyPatch.context() as patch:
            cut_at(5, patch)
            with pytest.raises(Cut):
                finetune(other, images, folder, training=TRAINING, progress=False)

    def test_half_of_one(self, few, full, tmp_path):
        self.cut_short(few, tmp_path, network())
        (path,) = (tmp_path / "checkpoints").glob("*.ckpt")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert "is no checkpoint of a training" in self.message(few, tmp_path)
        path.unlink()
        assert same(run(few, tmp_path), full[0])

    @pytest.mark.parametrize(("name", "classes"), [("alexnet_tiny", 2), ("vgg_tiny", 3)])
    def test_one_of_another_network(self, few, tmp_path, name, classes):
        other = load_backbone(name, classes=classes, weights="random")
        emotions = ("positive", "negative", "neutral")[:classes]
        self.cut_short(replace(few, emotions=emotions), tmp_path / "theirs", other)
        (tmp_path / "ours").mkdir()
        (tmp_path / "theirs" / "checkpoints").rename(tmp_path / "ours" / "checkpoints")
        assert "is a checkpoint of another network" in self.message(few, tmp_path / "ours")


class TestTheMachine:
    def resolved(self, monkeypatch, *, gpu=False, bf16=False, cores=8, **settings):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
        monkeypatch.setattr("os.cpu_count", lambda: cores)
        plan = Training(**settings).planned(320)
        return plan.precision, plan.workers

    def test_without_a_gpu_precision_is_full_and_no_process_loads(self, monkeypatch):
        assert self.resolved(monkeypatch) == ("32-true", 0)
        assert self.resolved(monkeypatch, bf16=True) == ("32-true", 0)

    def test_beside_a_gpu_all_cores_but_one_load(self, monkeypatch):
        assert self.resolved(monkeypatch, gpu=True, bf16=True) == ("bf16-mixed", 7)
        assert self.resolved(monkeypatch, gpu=True) == ("32-true", 7)
        assert self.resolved(monkeypatch, gpu=True, cores=1) == ("32-true", 1)
        assert self.resolved(monkeypatch, gpu=True, cores=None) == ("32-true", 1)

    @pytest.mark.parametrize("gpu", [True, False])
    def test_named_settings_stay(self, monkeypatch, gpu):
        named = {"precision": "16-mixed", "workers": 3}
        assert self.resolved(monkeypatch, gpu=gpu, bf16=True, **named) == ("16-mixed", 3)
        assert self.resolved(monkeypatch, gpu=gpu, precision="32-true", workers=0) == ("32-true", 0)

    def test_a_run_records_its_precision_and_resumes_with_other_workers(self, few, tmp_path):
        one = run(few, tmp_path, replace(TRAINING, workers=0))
        plan = json.loads((tmp_path / "plan.json").read_text())["training"]
        assert plan["precision"] in ("32-true", "bf16-mixed")
        assert same(one, run(few, tmp_path, replace(TRAINING, workers=3)))
        with pytest.raises(ValueError, match=r"another run \(its training differ\)"):
            run(few, tmp_path, replace(TRAINING, precision="16-mixed"))


class TestFrozenNorms:
    """A small network with a batch norm, whose input is that of the others."""

    @pytest.fixture(autouse=True)
    def normed(self, monkeypatch):
        def build(num_classes=36):
            return torch.nn.Sequential(
                torch.nn.Conv2d(3, 4, 5, stride=4),
                torch.nn.BatchNorm2d(4),
                torch.nn.ReLU(),
                torch.nn.AdaptiveAvgPool2d(2),
                torch.nn.Flatten(),
                torch.nn.Linear(16, num_classes),
            )

        monkeypatch.setitem(NETWORKS, "normed_tiny", build)

    def moved(self, few, folder, *, validation=None, **settings):
        """The parts of the batch norm that training changed."""
        fresh = load_backbone("normed_tiny", classes=2, weights="random")
        before = {name: value.clone() for name, value in fresh.network[1].state_dict().items()}
        plan = replace(TRAINING, **settings)
        trained = finetune(fresh, few, folder, training=plan, validation=validation, progress=False)
        after = trained.network[1].state_dict()
        return {name for name in before if not torch.equal(before[name], after[name])}

    @pytest.mark.parametrize("validated", [False, True])
    def test_scale_and_shift_learn_alone(self, few, tmp_path, validated):
        validation = few if validated else None  # after which Lightning continues training
        moved = self.moved(few, tmp_path, frozen_norm=True, validation=validation)
        assert moved == {"weight", "bias"}

    def test_otherwise_mean_and_variance_follow_the_images(self, few, tmp_path):
        moved = self.moved(few, tmp_path)
        assert moved == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}

    def test_a_step_takes_the_gradient_of_the_network_in_evaluation(self, few, tmp_path):
        plan = replace(TRAINING, iterations=1, round=1, momentum=0.0, weight_decay=0.0)
        plan = replace(plan, augment=False, frozen_norm=True, precision="32-true", batch_size=48)
        by_hand = load_backbone("normed_tiny", classes=2, weights="random")
        images = TrainingImages(few, 48, resize=None, mirror=False, seed=0)
        pixels = torch.stack([images[i][0] for i in range(48)])
        logits = by_hand(by_hand.preprocessing.normalize(pixels))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(few.labels.astype(int)))
        loss.backward()
        fresh = load_backbone("normed_tiny", classes=2, weights="random")
        trained = finetune(fresh, few, tmp_path, training=plan, progress=False)
        pairs = zip(by_hand.parameters(), trained.parameters(), strict=True)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours - plan.lr * ours.grad, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on a file's size")
def test_no_room_for_a_checkpoint_keeps_the_last_one(few, full, tmp_path):
    """A limit on a file's size, from the seventh step on, is as a disk that fills up."""
    import resource

    step_of_lightning = finetuner.Finetuner.training_step
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def training_step(self, batch, index):
        if self.global_step == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        return step_of_lightning(self, batch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetuner.Finetuner, "training_step", training_step)
        try:
            with pytest.raises(OSError, match=r"."):
                run(few, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "checkpoints").glob("*.ckpt")] == ["00000004.ckpt"]
    assert same(run(few, tmp_path), full[0])


TWO = """
import sys
from arlib.networks.backbones import load_backbone
from arlib.datasets import load
from arlib.networks.finetuning import finetune
from arlib.networks.training import Training

if __name__ == "__main__":
    training = Training(iterations=12, round=4, batch_size=8, lr=0.02, head_factor=1.0)
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    few = load("scenes-annotated", n=48, seed=1)
    finetune(network, few, sys.argv[1], training=training, devices=2, progress=False)
"""


def test_two_processes_follow_the_curve_of_one(full, tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO)
    command = [sys.executable, str(script), str(tmp_path / "2")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    one, two = (
        [row["train_loss"] for row in learning_curve(folder)]
        for folder in (full[1], tmp_path / "2")
    )
    np.testing.assert_allclose(two, one, rtol=0.02)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    load_backbone("squeezenet1_1", classes=2, weights="random").save(tmp_path / "s.safetensors")
    with pytest.raises(WeightsError, match="do not fit vgg_tiny"):
        load_backbone("vgg_tiny", weights=tmp_path / "s.safetensors")
    Path(tmp_path / "p.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_backbone("vgg_tiny", weights=tmp_path / "p.safetensors")
