"""The command line across the process boundary: what it prints, writes, and exits with."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arlib.backbones import load_backbone, save_weights
from arlib.heads import LinearHead, default_head
from arlib.scores import open_scores

ROOT = Path(__file__).parents[1]


def arlib(*arguments, cwd, **environment):
    """Run `arlib` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "arlib.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two photographs, something that is none, and random weights where ARLIB_DATA has them."""
    from skimage.data import chelsea, coffee

    root = tmp_path_factory.mktemp("cli")
    Image.fromarray(chelsea()).save(root / "cat.jpg")
    Image.fromarray(coffee()).save(root / "cup.png")
    (root / "page.html").write_text("<html>")
    (root / "weights").mkdir()
    network = load_backbone("squeezenet1_1", weights="random")
    save_weights(network, root / "weights" / "squeezenet1_1.safetensors")
    return root


def test_every_command_explains_itself(tmp_path):
    for arguments in ([], ["predict"], ["run"], ["score"], ["head"], ["finetune"]):
        done = arlib(*arguments, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert "Usage: " in done.stdout
    version = arlib("--version", cwd=tmp_path)
    assert version.stdout.startswith("arlib, version 0.")


def test_predict_says_and_draws(folder, tmp_path):
    done = arlib(
        "predict", folder / "cat.jpg", folder / "cup.png", "--k", 3, cwd=tmp_path, ARLIB_DATA=folder
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{folder / 'cat.jpg'}: ")
    assert lines[0].split()[-1] in ("positive", "negative")
    assert len(lines) == 2 * (1 + 2 + 1 + 3 + 1)
    for name in ("cat", "cup"):
        drawn = Image.open(tmp_path / f"{name}.regions.png")
        assert np.asarray(drawn).std() > 10


def test_predict_for_machines(folder, tmp_path):
    done = arlib(
        "predict",
        "--json",
        "--no-overlay",
        folder / "cat.jpg",
        folder / "cup.png",
        cwd=tmp_path,
        ARLIB_DATA=folder,
    )
    assert done.returncode == 0, done.stderr
    cat, cup = map(json.loads, done.stdout.splitlines())
    assert cat["image"] == str(folder / "cat.jpg")
    assert cat["overlay"] is None
    assert set(cat) == {
        "image",
        "overlay",
        "label",
        "response",
        "probability",
        "global_probability",
        "regions",
    }
    assert list(cup["probability"]) == ["positive", "negative"]
    assert sum(cup["response"].values()) == pytest.approx(1.5, abs=1e-5)
    assert len(cup["regions"]) == 8
    assert list(tmp_path.iterdir()) == []


def test_predict_goes_on_after_what_is_no_picture(folder, tmp_path):
    done = arlib(
        "predict",
        "--json",
        "--no-overlay",
        folder / "page.html",
        folder / "absent.jpg",
        folder / "cat.jpg",
        cwd=tmp_path,
        ARLIB_DATA=folder,
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert f"arlib: {folder / 'page.html'}: no image, or of an unknown format" in done.stderr
    assert f"arlib: {folder / 'absent.jpg'}: no such file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict"], "Missing argument 'IMAGE...'"),
        (["predict", "x.jpg", "--k", "0"], "0 is not in the range x>=1"),
        (["predict", "x.jpg", "--beta", "-1"], "-1.0 is not in the range x>=0"),
        (["run", "absent"], "no edition 'absent'; there are"),
        (["run", "smoke", "-p", "kk", "3"], "no parameter 'kk' in edition smoke; there are"),
        (["score", "--out", "s.zarr"], "give one of --dataset NAME and --images FOLDER"),
        (["score", "--dataset", "nope", "--out", "s.zarr"], "no dataset 'nope'; there are"),
        (["score", "--dataset", "oasis", "--out", "s.zarr"], "oasis is not here: get"),
        (["head", "twitter2", "--out", "h.safetensors"], "twitter2 is not here: get"),
    ],
)
def test_what_is_wrong_is_one_clear_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    inside = ROOT if arguments[0] == "run" else tmp_path
    done = arlib(*arguments, cwd=inside)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_run_needs_the_books_repository(tmp_path):
    done = arlib("run", "recorded", cwd=tmp_path)
    assert done.returncode == 1
    assert "run this inside a clone of its repository" in done.stderr


def test_weights_that_cannot_be_had_name_the_file(folder, tmp_path):
    nowhere = {"ARLIB_DATA": str(tmp_path), "TORCH_HOME": str(tmp_path / "hub")}
    offline = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = arlib("predict", folder / "cat.jpg", cwd=tmp_path, **nowhere, **offline)
    assert done.returncode == 1
    assert f"{tmp_path}/weights/squeezenet1_1.safetensors does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_score_a_folder_with_a_head_of_ones_own(folder, tmp_path):
    own = default_head()
    LinearHead(own.weight, own.bias, ("good", "bad"), own.backbone).save(tmp_path / "h.safetensors")
    plain = ["score", "--images", folder, "--proposals", "grid", "--max-regions", 6]
    done = arlib(*plain, "--out", tmp_path / "a.zarr", cwd=tmp_path, ARLIB_DATA=folder)
    assert done.returncode == 0, done.stderr
    assert "2 images scored, 0 left out" in done.stdout
    scores = open_scores(tmp_path / "a.zarr")
    assert scores.image.values.tolist() == ["cat.jpg", "cup.png"]
    assert scores.sizes["region"] == 6
    assert (scores.label == -1).all()
    mine = ["--head", tmp_path / "h.safetensors", "--out", tmp_path / "b.zarr"]
    done = arlib(*plain, *mine, cwd=tmp_path, ARLIB_DATA=folder)
    assert done.returncode == 0, done.stderr
    own_scores = open_scores(tmp_path / "b.zarr")
    assert own_scores.emotion.values.tolist() == ["good", "bad"]
    assert np.array_equal(own_scores.global_probability, scores.global_probability)
    twice = arlib(*plain, "--out", tmp_path / "a.zarr", cwd=tmp_path, ARLIB_DATA=folder)
    assert twice.returncode == 1
    assert "exists already" in twice.stderr


def test_an_interrupted_score_leaves_nothing_half_written(folder, tmp_path):
    """Killed while the store is being written, there is no store."""
    code = f"""
import os, signal
from arlib import datasets, scores, scoring
from arlib.backbones import load_backbone
from arlib.proposals import Grid
append = scores.ScoresWriter.append
def killed(self, part):
    append(self, part)
    os.kill(os.getpid(), signal.SIGKILL)
scores.ScoresWriter.append = killed
network = load_backbone("squeezenet1_1", classes=2, weights="random")
scoring.score(datasets.pictures({str(folder)!r}), Grid(max_regions=2), network, out="s.zarr")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == -9
    assert not (tmp_path / "s.zarr").exists()


class TestFinetune:
    def arguments(self, out, *more):
        fixed = ["--backbone", "vgg_tiny", "--weights", "random", "--out", out]
        quick = ["-p", "iterations", 4, "-p", "round", 2, "-p", "batch_size", 8]
        return ["finetune", "scenes-judged", *fixed, *quick, *more]

    def test_trains_says_how_well_and_does_not_train_twice(self, tmp_path):
        done = arlib(*self.arguments("tuned"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "val_accuracy" in done.stdout
        assert (
            load_backbone("vgg_tiny", weights=tmp_path / "tuned/network.safetensors").classes == 2
        )
        again = arlib(*self.arguments("tuned"), cwd=tmp_path)
        assert again.stdout == done.stdout

    def test_progressive_drops_pictures_and_trains_on(self, tmp_path):
        done = arlib(*self.arguments("tuned", "--progressive"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert re.search(r"dropped \d+\.\d% of 480 pictures", done.stdout)
        assert (tmp_path / "tuned/progressive/network.safetensors").is_file()
        assert (tmp_path / "tuned/network.safetensors").is_file()

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            (("-p", "epoch", 3), "no setting 'epoch' of training; there are"),
            (("-p", "lr", "fast"), "lr must be float, not 'fast'"),
            (("-p", "batch_size", 9999), "a batch of 9999 is larger than scenes-judged"),
            (("--weights", "no.safetensors"), "no weights file no.safetensors"),
            (
                ("--hold-out", 9),
                "is in fold 9; its folds: [1, 2, 3, 4, 5]",
            ),
        ],
    )
    def test_what_it_cannot_do_is_one_line(self, tmp_path, more, told):
        done = arlib(*self.arguments("tuned", *more), cwd=tmp_path)
        assert done.returncode == 1
        assert told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
