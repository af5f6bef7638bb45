"""Use what was trained: `--model` of `arlib predict` and `arlib score`, `arlib weights convert`."""

import json
import re
import shlex
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from arlib import cli, predict
from arlib.networks import LinearHead, Model, load_backbone, load_model
from arlib.scoring import open_scores

MOODS = ("awe", "fear", "joy")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Photographs, weights, a model of three emotions, a head, and PyTorch's own files."""
    root = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    for number, mood in enumerate(MOODS):
        (root / "photos" / mood).mkdir(parents=True)
        for each in range(2):
            pixels = rng.integers(60 * number, 60 * number + 99, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "photos" / mood / f"{each}.png")
    network = load_backbone("vgg_tiny", classes=3, weights="random")
    Model(network, MOODS, facts={"dataset": "photos", "steps": 9}).save(root / "m.safetensors")
    torch.save({"state_dict": network.state_dict(), "epoch": 1}, root / "w.pth")
    torch.save(network, root / "pickled.pth")
    (root / "weights").mkdir()
    network.save(root / "weights" / "vgg_tiny.safetensors")
    weight = rng.normal(size=(3, network.n_features)).astype(np.float32)
    head = LinearHead(weight, np.zeros(3, np.float32), MOODS, "vgg_tiny", {"C": 1.0})
    head.save(root / "h.safetensors")
    return root


@pytest.fixture
def arlib(made, tmp_path, monkeypatch, capsys):
    """Return a function that runs a command beside a copy of them: its status and its lines."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "here"))

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            cli.main(list(map(str, words)))
        output, errors = capsys.readouterr()
        return ended.value.code, output.splitlines(), errors.splitlines()

    return run


PHOTO = "photos/joy/0.png"
SCORE = ["score", "--proposals", "grid", "--max-regions", "3", "--out", "s.zarr"]


class TestPredict:
    @pytest.mark.parametrize("model", ["m.safetensors", "h.safetensors"])
    def test_by_three_emotions_as_the_library(self, arlib, model):
        code, (line,), _ = arlib("predict", "--json", "--no-overlay", "--model", model, PHOTO)
        assert code == 0
        record = json.loads(line)
        expected = predict(PHOTO, model=model)
        assert record["probability"] == expected.probability
        assert list(record["probability"]) == list(MOODS)
        assert expected == predict(PHOTO, model=load_model(model))

    def test_in_words_and_as_a_page(self, arlib):
        code, lines, errors = arlib("predict", "--html", "--model", "m.safetensors", PHOTO)
        assert (code, errors) == (0, [])
        label = lines[0].partition(": ")[2]
        assert label in MOODS
        assert re.fullmatch(rf"  region .* AR  {label}", lines[3])
        assert lines[-1] == "  to explore: 0.explorer.html"

    def test_an_error_comes_before_any_image_is_read(self, arlib):
        code, lines, (error,) = arlib("predict", "--model", "photos", PHOTO, "gone.png")
        assert (code, lines) == (1, [])
        assert error.startswith("arlib: photos is no model, without network.json: give the folder")

    def test_a_model_and_a_network_are_not_given_together(self, arlib):
        model = load_model("m.safetensors")
        for more in ({"network": model.network}, {"head": LinearHead.default()}):
            with pytest.raises(ValueError, match="give a model, or a network and head, not both"):
                predict(PHOTO, model=model, **more)


class TestScore:
    def test_labelled_or_not_the_model_names_the_emotions_and_is_recorded(self, arlib):
        for given in (["--images", "photos"], ["--dataset", "photos", "--overwrite"]):
            code, _, _ = arlib(*SCORE, *given, "--model", "m.safetensors")
            assert code == 0
            scores = open_scores("s.zarr")
            assert scores.emotion.values.tolist() == list(MOODS)
            model = load_model("m.safetensors")
            assert scores.attrs["model"] == model.facts
            assert scores.attrs["weights_sha256"] == model.facts["weights_sha256"]
        assert sorted(scores.label.values.tolist()) == [0, 0, 1, 1, 2, 2]
        # the same network by other names gives the same scores
        other = ["--backbone", "vgg_tiny", "--weights", "m.safetensors"]
        code, (line,), _ = arlib(*SCORE, "--dataset", "photos", *other)
        assert line.endswith("1 of 1 shards were kept from before")

    def test_a_head_scores_as_a_model(self, arlib):
        probabilities = []
        for option in ("--head", "--model"):
            out = f"{option}.zarr"
            code, _, _ = arlib(*SCORE, "--images", "photos", option, "h.safetensors", "--out", out)
            assert code == 0
            probabilities.append(open_scores(out).region_probability.values)
        assert np.array_equal(*probabilities)
        assert open_scores(out).attrs["head"] == {"C": 1.0}

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--model", "m.safetensors", "--head", "h.safetensors"], "give no others beside it"),
            (["--model", "m.safetensors", "--backbone", "vgg_tiny"], "give no others beside it"),
            (["--model", "m.safetensors", "--weights", "random"], "give no others beside it"),
            (["--weights", "m.safetensors"], "are of a backbone: give its name too"),
            (["--head", "m.safetensors"], "is no linear head, but a network: give it as the model"),
            (["--model", "weights"], "weights is no model, without network.json"),
            (["--model", "w.pth"], "`arlib weights convert` makes one of PyTorch's file"),
            (
                ["--backbone", "vgg_tiny", "--weights", "w.pth"],
                "Convert it: arlib weights convert",
            ),
            (["--model", "m.safetensors", "--out", "m.safetensors"], "is the input m.safetensors"),
        ],
    )
    def test_what_does_not_go_together_is_a_line(self, arlib, more, message):
        code, _, (error,) = arlib(*SCORE, "--images", "photos", *more)
        assert code == 1
        assert message in error

    def test_a_dataset_of_other_emotions_is_refused(self, arlib):
        code, _, errors = arlib(*SCORE, "--dataset", "scenes-annotated", "--model", "m.safetensors")
        assert code == 1
        assert errors[-1].endswith(
            "m.safetensors predicts awe, fear, joy, and scenes-annotated has positive, negative"
        )


class TestConvert:
    def test_a_model_of_another_program_predicts_here(self, arlib):
        command = ["weights", "convert", "w.pth", "new/m.safetensors", "--backbone", "vgg_tiny"]
        code, lines, _ = arlib(*command, "--emotions", "awe, fear, joy")
        assert code == 0
        words = shlex.split(lines[-1].removeprefix("to use it: "))
        assert words == ["arlib", "predict", "--model", "new/m.safetensors", "IMAGE"]
        code, (line,), _ = arlib(*words[1:-1], "--json", "--no-overlay", PHOTO)
        assert json.loads(line)["probability"] == predict(PHOTO, model="m.safetensors").probability

    def test_weights_are_found_where_it_says(self, arlib, tmp_path):
        command = ["weights", "convert", "w.pth", "out.safetensors", "--backbone", "vgg_tiny"]
        _, lines, _ = arlib(*command)
        place = tmp_path / "here" / "weights" / "vgg_tiny.safetensors"
        assert f"--weights out.safetensors, or move it to {place}" in lines[-1]
        assert load_backbone("vgg_tiny", weights="out.safetensors").classes == 3

    def test_it_replaces_only_the_same(self, arlib, tmp_path):
        command = ["weights", "convert", "w.pth", "m.safetensors", "--backbone", "vgg_tiny"]
        refused = "exists already and is not the same, converted from w.pth: name another"
        for out in ("h.safetensors", "photos", "dangling.safetensors"):
            (tmp_path / "here" / "dangling.safetensors").unlink(missing_ok=True)
            (tmp_path / "here" / "dangling.safetensors").symlink_to("nowhere")
            code, _, errors = arlib(*command[:3], out, *command[4:])
            assert code == (2 if out == "photos" else 1)
            assert refused in errors[-1] or "must be called X.safetensors" in errors[-1]
        assert arlib(*command)[0] == 0  # m.safetensors holds these weights
        assert arlib(*command, "--emotions", ",".join(MOODS))[0] == 0
        code, _, errors = arlib(*command, "--emotions", "fear,awe,joy")
        assert (code, refused in errors[-1]) == (1, True)
        code, _, errors = arlib(*command[:2], "m.safetensors", *command[3:])
        assert "m.safetensors is the input m.safetensors" in errors[-1]
        assert load_model("m.safetensors").emotions == MOODS

    @pytest.mark.parametrize(
        ("source", "more", "message"),
        [
            ("pickled.pth", [], "holds more than tensors, such as a pickled module"),
            ("photos/joy/0.png", [], "is damaged, or neither a file of torch.save nor"),
            ("photos", [], "photos is a folder: name the file"),
            ("gone.pth", [], "no weights file gone.pth"),
            ("w.pth", ["--backbone", "alexnet_tiny"], "do not fit alexnet_tiny: 8 missing"),
            ("w.pth", ["--emotions", "a,b"], "--emotions must name the 3 classes of w.pth"),
            ("w.pth", ["--emotions", "a,b,b"], "each once"),
        ],
    )
    def test_what_is_not_converted_is_a_line(self, arlib, source, more, message):
        fixed = ["--backbone", "vgg_tiny"]
        code, lines, errors = arlib("weights", "convert", source, "o.safetensors", *fixed, *more)
        assert code in (1, 2)
        assert message in errors[-1]
        assert lines == []
