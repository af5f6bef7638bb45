"""No command replaces or deletes what is not its own: everything stays as it was, in one line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from arlib._support.stores import write_store
from arlib.cli.commands import main
from arlib.networks import LinearHead
from arlib.scoring import save_scores


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_scores):
    """Photographs in two class folders, a table of them, stores, a run and heads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("outputs"))
        fill(make_scores(6, 2))
        yield Path.cwd()


@pytest.fixture
def here(folder, monkeypatch):
    """The folder, in which no refused command changes anything, as the working one."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ARLIB_DATA", str(folder / "data"))
    return folder


def fill(scores):
    for path in ("photos/sad/1.png", "photos/glad/2.png", "data/oasis/x.png", "trip.partial/3.png"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30, 3), 99, np.uint8)).save(path)
    Path("labels.csv").write_text("path,label\nphotos/sad/1.png,sad\nphotos/glad/2.png,glad\n")
    Path("notes.json").write_text("{}")
    Path("link").symlink_to("photos")
    Path("dangling").symlink_to("gone")
    Path("empty.zarr").mkdir()
    save_scores(scores, "old.zarr")
    save_scores(scores, "mixed.zarr")
    shutil.copy("photos/sad/1.png", "mixed.zarr/1.png")
    save_scores(scores, "run/scores.zarr")
    Path("run/run.json").write_text("{}")
    head = LinearHead.default()
    head.save("head.safetensors")
    Path("weights.safetensors").write_bytes(Path("head.safetensors").read_bytes()[:-4])
    Path("tuned").mkdir()
    Path("tuned/plan.json").write_text("[]")


def tree(folder):
    """Everything below a folder: contents of files, targets of links."""
    return {
        str(path): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


def refused(here, capsys, *arguments):
    """Run a command that must be refused with all left as it was: what it says, in a line."""
    before = tree(here)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (1, 2)
    assert tree(here) == before
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    return line


@pytest.mark.parametrize(
    "out",
    [
        "photos",
        "photos/",
        "./photos/../photos",
        "link",
        "photos/sad",
        "photos/s.zarr",
        "link/s.zarr",
        "photos/new/s.zarr",
        ".",
        "..",
    ],
)
@pytest.mark.parametrize("command", [["score", "--images"], ["score", "--dataset"], ["finetune"]])
def test_an_output_is_in_no_input(here, capsys, command, out):
    how = ["--overwrite"] if command[0] == "score" else []
    line = refused(here, capsys, *command, "photos", "--out", out, *how)
    assert " the input photos: name another output" in line


@pytest.mark.parametrize("name", ["head.safetensors", "./head.safetensors"])
@pytest.mark.parametrize("option", ["--model", "--head", "--weights"])
def test_weights_that_are_read_are_an_input(here, capsys, name, option):
    arguments = ["score", "--images", "photos", option, name, "--out", "head.safetensors"]
    assert "is the input" in refused(here, capsys, *arguments, "--overwrite")


def test_boxes_that_are_read_are_an_input(here, capsys):
    (here / "boxes.csv").write_text("image,x0,y0,x1,y1,score\n")
    arguments = ["score", "--images", "photos", "--proposals", "boxes.csv", "--out", "boxes.csv"]
    assert "is the input boxes.csv" in refused(here, capsys, *arguments, "--overwrite")


def test_a_dataset_by_its_name_is_an_input(here, capsys):
    for command in (["score", "--dataset", "oasis"], ["finetune", "oasis"]):
        for out in ("data", "data/oasis", "data/oasis/s.zarr"):
            assert "oasis: name another" in refused(here, capsys, *command, "--out", out)


def test_a_part_of_a_dataset_is_an_input_by_its_name(here, capsys):
    (here / "data" / "vso").mkdir(exist_ok=True)
    for command in (["score", "--dataset", "vso-held-out"], ["finetune", "vso-held-out"]):
        assert "vso: name another" in refused(here, capsys, *command, "--out", "data/vso/out")


@pytest.mark.parametrize("out", ["data", "labels.csv", "run", "empty.zarr", "mixed.zarr", "trip"])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_scores_replace_scores_alone(here, capsys, out, overwrite):
    arguments = ["score", "--images", "photos", "--proposals", "grid", *overwrite]
    if out == "trip":  # whose folder of unfinished shards is a folder of photographs
        weights = ["--backbone", "vgg_tiny", "--weights", "random"]
        line = refused(here, capsys, *arguments, *weights, "--out", out)
        assert "trip.partial exists already and is not what an unfinished scoring left" in line
    else:
        line = refused(here, capsys, *arguments, "--out", out)
        assert f"{out} exists already and is not a finished store of scores: name another" in line


def test_scores_that_are_damaged_are_not_finished_and_can_be_made_anew(here, capsys):
    command = ["score", "--images", "photos", "--proposals", "grid", "--max-regions", "2"]
    command += ["--backbone", "vgg_tiny", "--weights", "random", "--out", "s.zarr"]

    def run(*more):
        with pytest.raises(SystemExit) as ended:
            main([*command, *more])
        return ended.value.code

    assert run() == 0
    chunk = here / "s.zarr/box/c/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    for damage in (lambda: chunk.write_bytes(content), chunk.unlink):
        damage()
        line = refused(here, capsys, *command)
        assert str(chunk) in line
        assert line.endswith("; to score again, overwrite it")
    assert run("--overwrite") == run() == 0


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("labels.csv", "must be called X.safetensors"),
        ("notes.json", "must be called X.safetensors"),
        ("weights.safetensors", "is not of a head that `arlib head` fitted"),
        ("notes.safetensors", "notes.json exists already and is not of a head"),
        ("photos/head.safetensors", "lies in the input photos"),
        ("link/head.safetensors", "lies in the input photos"),
    ],
)
def test_a_head_replaces_a_head_alone(here, capsys, out, message):
    assert message in refused(here, capsys, "head", "photos", "--out", out)


def test_a_head_of_ones_own_is_replaced(here, monkeypatch):
    head = LinearHead.default()
    head.save("own.safetensors")
    other = LinearHead(head.weight, head.bias, ("sad", "glad"), head.backbone)
    monkeypatch.setattr("arlib.experiments.fit_dataset_head", lambda *_, **__: other)
    with pytest.raises(SystemExit) as ended:
        main(["head", "photos", "--out", "own.safetensors"])
    assert ended.value.code == 0
    assert LinearHead.load("own.safetensors").emotions == ("sad", "glad")


@pytest.mark.parametrize("out", ["data", "run", "old.zarr", "tuned"])
def test_a_fine_tuning_begins_in_an_empty_folder(here, capsys, out):
    quick = ["--backbone", "vgg_tiny", "--weights", "random", "-p", "batch_size", "2"]
    arguments = ["finetune", "scenes-annotated", "--hold-out", "0", "--out", out, *quick]
    line = refused(here, capsys, *arguments)
    assert f"{out} is not empty and holds no" in line or "plan.json must hold an object" in line


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("labels.csv", "labels.csv exists already and is not a table of predictions"),
        ("run", "run exists already and is not a table of predictions"),
        ("dangling", "dangling exists already and is not a table of predictions"),
        ("run/run.json", "run/run.json exists already"),
        ("run/p.csv", "run/p.csv lies in the input run"),
        ("run/scores.zarr/p.csv", "lies in the input run"),
    ],
)
def test_predictions_replace_predictions_alone(here, capsys, out, message):
    assert message in refused(here, capsys, "table", "run", "--predictions", out)


def test_a_table_of_a_damaged_run_names_the_chunk(here, capsys):
    shutil.copytree("run", "damaged")
    share = np.full((1, 6, 2), 0.5, np.float32)
    rows = xr.Dataset(
        {"probability": (("method", "image", "emotion"), share)},
        coords={"method": np.array(["VGGNet"], object)},
        attrs={"missing": {}},
    )
    write_store(rows, Path("damaged/baselines.zarr"))
    for store in ("scores.zarr/label/c/0", "baselines.zarr/probability/c/0/0/0"):
        chunk = Path("damaged", store)
        content = chunk.read_bytes()
        for damaged in (None, content[:-1], content[::-1]):
            chunk.unlink() if damaged is None else chunk.write_bytes(damaged)
            assert f"arlib: {chunk} " in refused(here, capsys, "table", "damaged")
            compare = ["table", "--compare", "run", "damaged"]
            assert f"arlib: {chunk} " in refused(here, capsys, *compare)
        chunk.write_bytes(content)
