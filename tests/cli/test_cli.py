"""The command line across the process boundary: its output, its files, its exit status."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
import xarray as xr
import yaml
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from tests.cli.helpers import arlib, arlib_here

from arlib._support.stores import write_store
from arlib.evaluation import further_methods, methods
from arlib.networks import LinearHead, load_backbone
from arlib.scoring import open_scores, save_scores

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two photographs, a file that is none, and random weights where ARLIB_DATA has them."""
    from skimage.data import chelsea, coffee

    root = tmp_path_factory.mktemp("cli")
    Image.fromarray(chelsea()).save(root / "cat.jpg")
    Image.fromarray(coffee()).save(root / "cup.png")
    (root / "page.html").write_text("<html>")
    (root / "weights").mkdir()
    network = load_backbone("efficientnet_lite0", weights="random")
    network.save(root / "weights" / "efficientnet_lite0.safetensors")
    return root


def test_every_command_explains_itself(tmp_path):
    for arguments in ([], ["predict"], ["run"], ["table"], ["score"], ["finetune"], ["backbones"]):
        done = arlib_here(*arguments, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert "Usage: " in done.stdout
    version = arlib("--version", cwd=tmp_path)
    assert version.stdout.startswith("arlib, version 0.")


def test_predict_prints_and_draws(folder, tmp_path):
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
        overlay = Image.open(tmp_path / f"{name}.regions.png")
        assert np.asarray(overlay).std() > 10


def test_predict_prints_json(folder, tmp_path):
    done = arlib_here(
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
    assert cat["overlay"] is cat["html"] is None
    assert set(cat) == {
        "image",
        "overlay",
        "html",
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


def test_predict_writes_pages_to_explore(folder, tmp_path):
    """Every region goes in, the sliders stand where the options are."""
    options = ["--html", "--k", 3, "--alpha", 0.25, "--beta", 0.75, "--max-regions", 40]
    images = (folder / "cat.jpg", folder / "cup.png")
    done = arlib_here(
        "predict", *options, "--overlay", "out", *images, cwd=tmp_path, ARLIB_DATA=folder
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("to explore: out/") == 2
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == [
        f"{name}.{kind}" for name in ("cat", "cup") for kind in ("explorer.html", "regions.png")
    ]
    page = (tmp_path / "out" / "cup.explorer.html").read_text()
    facts = json.loads(re.search(r'"application/json">(.*?)</script>', page).group(1))
    assert len(facts["objectness"]) == 40
    assert facts["settings"] == {
        "k": 3,
        "alpha": 0.25,
        "beta": 0.75,
        "base": "e",
        "rankBy": "both",
    }
    label = re.search(r"cup\.png: (\w+)", done.stdout).group(1)
    assert f"cup.png: {label}, " in page
    assert "<title>cup.png</title>" in page


def test_predict_writes_a_page_without_an_overlay(folder, tmp_path):
    options = ("--html", "--no-overlay", "--json", "--max-regions", 9)
    done = arlib_here("predict", *options, folder / "cat.jpg", cwd=tmp_path, ARLIB_DATA=folder)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["overlay"], facts["html"]) == (None, "cat.explorer.html")
    assert [path.name for path in tmp_path.iterdir()] == ["cat.explorer.html"]


def test_predict_goes_on_after_a_file_that_is_no_image(folder, tmp_path):
    done = arlib_here(
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


def test_an_error_is_one_line_across_the_process_boundary(tmp_path):
    """As of any command; one that starts quickly, and one that reads a book."""
    for done, cause in (
        (arlib("data", "where", "flickr", cwd=tmp_path), "no dataset 'flickr' in the catalogue"),
        (arlib_here("run", "recorded", cwd=tmp_path), "run this inside a clone of its repository"),
    ):
        assert done.returncode == 1
        assert cause in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict"], "Missing argument 'IMAGE...'"),
        (["predict", "x.jpg", "--k", "0"], "0 is not in the range 1<=x<=10000"),
        (["predict", "x.jpg", "--beta", "-1"], "-1.0 is not in the range 0<=x<=1000"),
        (["run", "absent"], "no edition 'absent'; there are"),
        (["run", "smoke", "-p", "kk", "3"], "no parameter 'kk' in edition smoke (did you mean k?)"),
        (
            ["run", "own", "-p", "data", "x"],
            "(did you mean dataset?); `arlib editions parameters own`",
        ),
        (["run", "own", "-p", "dataset", ""], "parameter dataset: no dataset '', and no such file"),
        (["run", "own", "-p", "dataset", "x" * 300], "File name too long"),
        (
            ["run", "own", "-p", "anps", "vsso"],
            "parameter anps: no dataset 'vsso' (did you mean vso",
        ),
        (["run", "own", "-p", "proposals", "edges"], "no proposal method 'edges'; there are"),
        (["run", "own", "-p", "training", "{lr: nan}"], "parameter training.lr: must be a number"),
        (
            ["run", "own", "-p", "reader", "{nfolds: 3}"],
            "no setting 'nfolds' of reader (did you mean",
        ),
        (["run", "recorded", "-p", "beta", "1e308"], "beta: must be a number from 0 to 1000, not"),
        (
            ["run", "recorded", "-p", "runs", "[a"],
            "parameter runs: must be a list such as [a, b], not",
        ),
        (["run", "recorded", "-p", "run", "twitter"], "no run 'twitter'; there are"),
        (["run", "recrded"], "no edition 'recrded' (did you mean recorded?); there are"),
        (["run", "editions/own.yaml"], "an edition is given by its name: own, not 'editions/own."),
        (
            ["run", "elsewhere/my.yaml"],
            "is no edition of this book: copy it to editions/, as my.yaml",
        ),
        (["run", "tests/cli"], "with images of your own: arlib run own -p dataset tests/cli"),
        (["run", "own", "--timeout", "nan"], "nan is not a number"),
        (["table", "recorded", "-p", "runs", "!!python/name:os.system x"], "tags are not read"),
        (
            ["finetune", "scenes-tagged", "--out", "t", "-p", "lr", "["],
            "parameter lr: must be a num",
        ),
        (
            ["finetune", "scenes-tagged", "--out", "t", "--hold-out", "-1"],
            "not in the range 0<=x<=12",
        ),
        (["head", "twitter2", "--out", "h", "--seed", "-1"], "-1 is not in the range 0<=x<=214748"),
        (
            ["score", "--dataset", "x", "--out", "s", "--context", "nan"],
            "nan is not a number",
        ),
        (
            ["score", "--dataset", "x", "--out", "s", "--deadline", "inf"],
            "not in the range 0<x<=1000",
        ),
        (["score", "--dataset", "x", "--out", "s", "--max-regions", "1000000000"], "1<=x<=10000"),
        (
            ["score", "--dataset", "x", "--out", "s", "--resource", "GPU", "nan"],
            "nan is not a number",
        ),
        (["score", "--out", "s.zarr"], "give one of --dataset NAME and --images FOLDER"),
        (["score", "--dataset", "nope", "--out", "s.zarr"], "no dataset 'nope'; there are"),
        (["score", "--dataset", "oasis", "--out", "s.zarr"], "oasis is not here: get"),
        (["head", "twitter2", "--out", "h.safetensors"], "twitter2 is not here: get"),
    ],
)
def test_an_error_is_one_clear_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    done = arlib_here(*arguments, cwd=ROOT if arguments[0] in ("run", "table") else tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    if done.returncode == 1:
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["head", "t.csv", "--backbone", "absent", "--out", "h.safetensors"],
        ["finetune", "t.csv", "--hold-out", "9", "--out", "tuned"],
        ["score", "--dataset", "t.csv", "--backbone", "absent", "--out", "s.zarr"],
    ],
)
def test_images_that_are_lost_are_said_and_most_are_refused(arguments, tmp_path, caplog):
    for i in range(5):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{('positive', 'negative')[i % 2]}" for i in range(11)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows[:10]]))
    done = arlib_here(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "t.csv: 5 of its 10 images are not there, such as 5.png" in caplog.messages
    assert "of its 10 images" not in done.stderr.splitlines()[-1]  # it failed for another reason
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows]))
    done = arlib_here(*arguments, cwd=tmp_path)
    assert done.stderr.startswith("arlib: t.csv: 6 of its 11 images are not there, such as 5.png; ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["head", "finetune"])
def test_nothing_is_learned_without_labels(command, tmp_path, caplog):
    for name in ("good", "bad"):
        (tmp_path / "zip/photos" / name).mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(tmp_path / "zip/photos" / name / "1.png")
    done = arlib_here(command, "zip", "--out", "out.safetensors", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "arlib: zip has no labels to learn from\n")
    assert caplog.messages == ["zip: no labels: to have bad/, good/ as classes, give zip/photos"]


def test_weights_that_cannot_be_had_name_the_file(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "_opener", None)  # one that exists knows no other proxies
    nowhere = {"ARLIB_DATA": str(tmp_path), "TORCH_HOME": str(tmp_path / "hub")}
    offline = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    score = ["score", "--images", folder, "--backbone", "squeezenet1_1", "--out", "s.zarr"]
    done = arlib_here(*score, cwd=tmp_path, **nowhere, **offline)
    assert done.returncode == 1
    assert f"{tmp_path}/weights/squeezenet1_1.safetensors does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_score_a_folder_with_a_head_of_ones_own(folder, tmp_path):
    own = LinearHead.default()
    LinearHead(own.weight, own.bias, ("good", "bad"), own.backbone).save(tmp_path / "h.safetensors")
    plain = ["score", "--images", folder, "--proposals", "grid", "--max-regions", 6]
    done = arlib(*plain, "--out", tmp_path / "a.zarr", cwd=tmp_path, ARLIB_DATA=folder)
    assert done.returncode == 0, done.stderr
    assert "2 images scored, 0 left out" in done.stdout
    others = "2 other files passed over: 1 .html, 1 .safetensors"
    assert f"arlib: {folder}: {others}\n" in done.stderr
    scores = open_scores(tmp_path / "a.zarr")
    assert scores.image.values.tolist() == ["cat.jpg", "cup.png"]
    assert scores.sizes["region"] == 6
    assert (scores.label == -1).all()
    with_head = ["--head", tmp_path / "h.safetensors", "--out", tmp_path / "b.zarr"]
    done = arlib_here(*plain, *with_head, cwd=tmp_path, ARLIB_DATA=folder)
    assert done.returncode == 0, done.stderr
    own_scores = open_scores(tmp_path / "b.zarr")
    assert own_scores.emotion.values.tolist() == ["good", "bad"]
    assert np.array_equal(own_scores.global_probability, scores.global_probability)
    twice = arlib_here(*plain, "--out", tmp_path / "a.zarr", cwd=tmp_path, ARLIB_DATA=folder)
    assert twice.returncode == 0, twice.stderr
    assert "1 of 1 shards were kept from before" in twice.stdout
    (tmp_path / "own.csv").write_text("image,x0,y0,x1,y1,score\ncup.png,1,2,11,22,0.5\n")
    boxes = ["score", "--images", folder, "--proposals", "own.csv", "--out", "c.zarr"]
    done = arlib_here(*boxes, cwd=tmp_path, ARLIB_DATA=folder)
    assert done.returncode == 0, done.stderr
    of_file = open_scores(tmp_path / "c.zarr")
    assert of_file.box.values[:, 0].tolist()[1] == [1, 2, 11, 22]
    assert of_file.objectness.notnull().sum("region").values.tolist() == [0, 1]
    other = [*plain, "--context", 0.1, "--out", tmp_path / "a.zarr"]
    done = arlib_here(*other, cwd=tmp_path, ARLIB_DATA=folder)
    assert done.returncode == 1
    assert "exists already" in done.stderr


@pytest.mark.slow  # tests/scoring/test_scores.py kills what writes the store, without a network
def test_a_killed_score_leaves_no_incomplete_store(folder, tmp_path):
    """Killed while it writes the store."""
    code = f"""
import os, signal
from arlib import datasets, scoring
from arlib.scoring import scores
from arlib.networks import load_backbone
from arlib.proposals import Grid
append = scores.ScoresWriter.append
def killed(self, part):
    append(self, part)
    os.kill(os.getpid(), signal.SIGKILL)
scores.ScoresWriter.append = killed
network = load_backbone("squeezenet1_1", classes=2, weights="random")
images = datasets.load({str(folder)!r})
scoring.score(images, Grid(max_regions=2), network, out="s.zarr")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == -9
    assert not (tmp_path / "s.zarr").exists()


class TestFinetune:
    def arguments(self, out, *more):
        fixed = ["--backbone", "vgg_tiny", "--weights", "random", "--out", out]
        quick = ["-p", "iterations", 4, "-p", "round", 2, "-p", "batch_size", 8]
        return ["finetune", "scenes-annotated", *fixed, *quick, *more]

    def test_trains_prints_metrics_and_does_not_train_twice(self, tmp_path):
        done = arlib_here(*self.arguments("tuned"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "val_accuracy" in done.stdout
        assert done.stdout.splitlines()[-1] == "to use it: arlib predict --model tuned IMAGE"
        assert (
            load_backbone("vgg_tiny", weights=tmp_path / "tuned/network.safetensors").classes == 2
        )
        again = arlib_here(*self.arguments("tuned"), cwd=tmp_path)
        assert again.stdout == done.stdout

    def test_progressive_drops_images_and_trains_on(self, tmp_path):
        done = arlib_here(*self.arguments("tuned", "--progressive"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert re.search(r"dropped \d+\.\d% of 480 images", done.stdout)
        assert done.stdout.endswith("arlib predict --model tuned/progressive IMAGE\n")
        assert (tmp_path / "tuned/progressive/network.safetensors").is_file()
        assert (tmp_path / "tuned/network.safetensors").is_file()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (
                ("-p", "epoch", 3),
                "no setting 'epoch' of training (did you mean epochs?); there are",
            ),
            (
                ("-p", "lr", "fast"),
                "parameter lr: must be a number above 0, at most 100, not 'fast'",
            ),
            (("-p", "batch_size", 9999), "a batch of 9999 is larger than scenes-annotated"),
            (("--weights", "no.safetensors"), "no weights file no.safetensors"),
            (
                ("--hold-out", 9),
                "is in fold 9; its folds: [1, 2, 3, 4, 5]",
            ),
        ],
    )
    def test_an_error_is_one_line(self, tmp_path, more, message):
        done = arlib_here(*self.arguments("tuned", *more), cwd=tmp_path)
        assert done.returncode == 1
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


FT, LAST = "VGGNet + ft", "VGGNet + ft + obj + senti + lf (K)"
CONTROL = "VGGNet + ft, threshold chosen"


@pytest.fixture(scope="module")
def runs(make_scores, tmp_path_factory):
    """Two runs of other images; the second with one more row and with annotators."""
    root = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("alone", "annotated")):
        scores = make_scores(30, 4, seed=seed)
        keys = [f"{name}/{key}" for key in scores.image.values]
        save_scores(scores.assign_coords(image=keys), root / name / "scores.zarr")
        (root / name / "run.json").write_text("{}")
    share = np.random.default_rng(0).dirichlet([1, 1], (1, 30)).astype(np.float32)
    measured = xr.Dataset(
        {
            "probability": (("method", "image", "emotion"), share),
            "agreement": ("image", np.resize(np.int8([3, 4, 5, 5, 5, 5, 5]), 30)),
        },
        coords={"method": np.array(["VGGNet"], object)},
        attrs={"missing": {"SentiBank": "no noun pairs here"}},
    )
    write_store(measured, root / "annotated" / "baselines.zarr")
    return root


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of one chapter, inside it: an edition of recorded runs, and one that makes its own."""
    cell = new_code_cell("runs: list = ['x']", metadata={"tags": ["parameters"]})
    for folder in ("book/results", "editions"):
        (tmp_path / folder).mkdir(parents=True)
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "book/one.ipynb")
    (tmp_path / "book/index.md").touch()
    toc = {"root": "book/index", "parts": [{"chapters": [{"file": "book/one"}]}]}
    plain = {"title": "Recorded", "parameters": {"runs": ["alone"]}}
    fresh = {"title": "Anew", "experiment": {"dataset": "twitter2", "backbones": ["x"]}}
    for path, raw in {"_toc": toc, "editions/plain": plain, "editions/fresh": fresh}.items():
        (tmp_path / f"{path}.{'yml' if path == '_toc' else 'yaml'}").write_text(yaml.safe_dump(raw))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def within(*arguments):
    """Run `arlib` in this process, in its folder: exit status, and everything that it prints."""
    done = arlib_here(*arguments, cwd=Path.cwd())
    return done.returncode, done.stderr + done.stdout


class TestRuns:
    def test_scores_become_a_run_that_is_listed_and_has_a_table(self, make_scores, book):
        """Of photographs that are not here, within a book."""
        scores = make_scores(30, 4).assign_attrs(
            dataset="twitter2", backbone="vgg16", weights_sha256="5ha", unreadable={}
        )
        save_scores(scores, "s.zarr")
        assert within("runs") == (0, f"no run in {book / 'book/results'}\n")
        add = ["runs", "add", "s.zarr", "--dataset", "twitter2", "--name"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ARLIB_DATA", str(book))
            code, text = within(*add, "mine")
        run = book / "book" / "results" / "mine"
        assert code == 0
        assert (
            f"{run}: 30 images, Twitter II (mine) · VGG-16 fine-tuned on an unnamed set\n" in text
        )
        assert f"\narlib table {run}\n" in text
        code, text = within("table", "plain", "-p", "runs", "[mine]")
        assert code == 0
        assert "Twitter II (mine) (n = 29)" in text
        code, text = within("runs", "--format", "json")
        (row,) = json.loads(text)
        assert (row["name"], row["dataset"], row["images"]) == ("mine", "twitter2", 30)
        assert re.fullmatch(
            r"mine +30 images  20\d\d-\d\d-\d\d \d\d:\d\d  Twitter II \(mine\) · VGG-16 .*\n",
            within("runs")[1],
        )
        code, text = within(*add, "mine")
        assert (code, text) == (
            1,
            f"arlib: {run} exists already: give another name, or remove it\n",
        )

    def test_scores_without_labels_say_that_no_table_has_numbers(self, make_scores, book):
        bare = make_scores(6, 4, missing=False).assign_attrs(
            dataset="photos", backbone="vgg16", weights_sha256="5ha", unreadable={}
        )
        bare["label"], bare["fold"] = bare.label * 0 - 1, bare.fold * 0 - 1
        save_scores(bare, "s.zarr")
        Path("photos").mkdir()
        for key in bare.image.values:
            Path("photos", key).touch()
        code, text = within("runs", "add", "s.zarr", "--dataset", "photos", "--results", "mine")
        assert code == 0
        assert "no image has a label: no table has numbers" in text
        name = "own-photos-vgg16-ft-an_unnamed_set"
        assert within("runs", "--results", "mine")[1].startswith(name)
        code, text = within("table", Path("mine", name))
        assert (code, len(text.splitlines())) == (1, 1)


class TestTable:
    def test_prints_every_row_and_writes_the_predictions(self, runs, tmp_path):
        """Across the process boundary."""
        options = ["--predictions", tmp_path / "predictions.csv"]
        done = arlib("table", runs / "alone", runs / "annotated", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        head = next(line for line in done.stdout.splitlines() if "(n = " in line)
        assert re.findall(r"\S+(?:, \w+ agree)? \(n = \d+\)", head) == [
            "alone (n = 29)",
            "annotated, five agree (n = 20)",
            "annotated, four agree (n = 24)",
            "annotated, three agree (n = 29)",
        ]
        for method in [*methods(), *further_methods()]:
            assert f"\n{method.name}  " in done.stdout
        assert "\n  SentiBank: no noun pairs here\n" in done.stdout
        assert "The paper's own table" in done.stdout
        with (tmp_path / "predictions.csv").open() as file:
            lines = list(csv.DictReader(file))
        counts = {run: sum(line["run"] == run for line in lines) for run in ("alone", "annotated")}
        assert counts == {"alone": 30 * 8, "annotated": 30 * 9}
        assert all(
            abs(float(line["positive"]) + float(line["negative"]) - 1) < 3e-6 for line in lines
        )

    def test_as_csv_and_as_json_the_numbers_are_the_same(self, runs):
        arguments = ["table", runs / "alone", "--format"]
        code, text = within(*arguments, "json")
        assert code == 0
        results = json.loads(text)["alone"]
        assert results[LAST]["images"] == 29
        assert results["SentiBank"]["accuracy"] is None
        code, text = within(*arguments, "csv")
        assert code == 0
        for line in csv.DictReader(io.StringIO(text)):
            for key in ("accuracy", "low", "high", "p", "could"):
                number = results[line["method"]][key]
                assert line[key] == ("" if number is None else str(number))

    def test_compares_two_runs_row_by_row(self, runs):
        arguments = ["table", "--compare", runs / "alone", runs / "annotated"]
        code, text = within(*arguments)
        assert code == 0
        assert text.split()[:6] == ["one", "other", "difference", "low", "high", "p"]
        results = json.loads(within(*arguments, "--format", "json")[1])
        late = (name for name in (method.name for method in methods()) if "lf (K" in name)
        assert set(results) == {FT, CONTROL, *late}
        lines = csv.DictReader(io.StringIO(within(*arguments, "--format", "csv")[1]))
        for line in lines:
            row = results[line["method"]].pop(line["metric"])
            assert row["p"] is None, "other images are not paired"
            assert row["low"] < row["difference"] < row["high"]
            assert float(line["difference"]) == pytest.approx(row["difference"])
            assert f" {row['difference']:.3f} " in text
        assert not any(results.values())

    def test_a_run_against_itself_differs_in_nothing(self, runs):
        arguments = ["table", "--compare", runs / "annotated", runs / "annotated"]
        results = json.loads(within(*arguments, "--format", "json")[1])
        assert "VGGNet" in results
        for metrics in results.values():
            assert [row["difference"] for row in metrics.values()] == [0, 0, 0]
            accuracy = metrics["accuracy"]
            assert accuracy["p"] == 1
            assert accuracy["low"] == -accuracy["high"] < 0, "none of so few images differs"

    def test_an_edition_is_its_recorded_runs_or_those_named(self, runs, book):
        for name in ("alone", "annotated"):
            shutil.copytree(runs / name, book / "book/results" / name)
        arguments = ["--format", "json"]
        assert list(json.loads(within("table", "plain", *arguments)[1])) == ["alone"]
        named = within("table", "plain", "-p", "runs", "[annotated]", *arguments)
        assert len(json.loads(named[1])) == 3

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["absent"], 1, "no edition 'absent'; there are fresh, plain"),
            (["alone"], 1, "no edition 'alone'"),
            (["plain", "fresh"], 2, "plain is not the folder of a run; of editions give only one"),
            (["plain"], 1, "no run alone, fresh or recorded: `arlib run plain` makes it"),
            (["fresh"], 1, "no run twitter2-x, fresh or recorded: `arlib run fresh` makes it"),
            (
                ["fresh", "--seeds", "2"],
                1,
                "--seeds is for the synthetic scenes; fresh has photogr",
            ),
            (
                ["plain", "-p", "runs", "[]"],
                1,
                "must be a list such as [a, b], not '[]' (it is empty)",
            ),
            (["plain", "-p", "run", "x"], 1, "no parameter 'run' in edition plain"),
            (["RUN", "-p", "k", "3"], 2, "-p and --seeds are for editions, not for runs"),
            (["RUN", "--seeds", "2"], 2, "-p and --seeds are for editions, not for runs"),
            (["RUN", "absent"], 1, "no run at absent: it has no run.json"),
            (["RUN", "RUN"], 1, "two columns are called alone"),
            (["--compare", "RUN"], 2, "--compare takes two runs, not 1"),
            (["--compare", "RUN", "RUN", "RUN"], 2, "--compare takes two runs, not 3"),
            ([], 2, "Missing argument 'EDITION | RUN...'"),
        ],
    )
    def test_an_error_says_what_to_do(self, runs, book, arguments, code, message):
        words = [str(runs / "alone") if word == "RUN" else word for word in arguments]
        status, output = within("table", *words)
        assert status == code
        assert message in output

    def test_outside_a_book_there_are_no_editions(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        code, output = within("table", "scenes")
        assert code == 1
        assert "run this inside a clone of its repository" in output


def test_run_can_only_measure_and_record_the_runs(book, tmp_path, monkeypatch, make_photographs):
    """From photographs to a recorded run and its table; no chapter, no site."""
    data = make_photographs(tmp_path / "data", 0, (20, 30))
    monkeypatch.setenv("ARLIB_DATA", str(data))
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path / "cache"))
    settings = ["backbones [vgg_tiny]", "weights random", "proposals grid", "max_regions 3"]
    parameters = " ".join(f"-p {setting}" for setting in settings).split()
    code, output = within("run", "fresh", "--only-measure", "--record", *parameters)
    assert code == 0, output
    build = book / "_build" / "fresh"
    plan, seconds, *lines = output.splitlines()
    assert plan == (
        "twitter2-vgg_tiny: 20 images (10 positive, 10 negative), up to 3 regions each, by "
        "small VGG, frozen"
    )
    assert "scoring takes about" in seconds
    assert "besides the other rows of Table 1" in seconds
    rows = ["SentiBank", "PCNN + CaffeNet", "PCNN + VGGNet", "VGGNet"]
    rows += ["VGGNet + ft + obj + senti + ff (K = 1)", "DeepSentiBank"]
    rows += ["VGGNet + ft + CAM + lf", "WSCNet + VGGNet", "controls"]
    assert re.sub(r"\d+ s$", "N s", "\n".join(lines), flags=re.MULTILINE).splitlines() == [
        "scoring: twitter2-vgg_tiny",
        *(f"  twitter2: {row}" for row in rows),
        "scored: twitter2-vgg_tiny, N s",
        "recorded: book/results/twitter2-vgg_tiny",
        f"the runs are at {build / 'results'}",
    ]
    assert [path.name for path in build.iterdir()] == ["results"]
    assert (book / "book/results/twitter2-vgg_tiny/run.json").is_file()
    code, output = within("table", "fresh", *parameters)
    assert code == 0
    assert "Twitter II (n = 20)" in output
