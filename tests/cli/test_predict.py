"""`arlib predict` with what people give it: each image has its files, a failure is one image's."""

import errno
import json
import os
import shutil
import sys

import click
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from arlib import cli
from arlib.cli.commands import app
from arlib.cli.predict import names_apart
from arlib.networks import load_backbone, model_card

LONG = "x" * 245
"""A name that leaves no room for `.regions.png`."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of data with random weights."""
    root = tmp_path_factory.mktemp("data")
    (root / "weights").mkdir()
    network = load_backbone("efficientnet_lite0", weights="random")
    network.save(root / "weights" / "efficientnet_lite0.safetensors")
    return root


@pytest.fixture
def here(tmp_path, monkeypatch, data):
    """An empty folder, where this process is; figures are drawn in no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARLIB_DATA", str(data))
    monkeypatch.setattr("arlib.figures.show_prediction", lambda *_: Figure(figsize=(1, 1)))
    return tmp_path


@pytest.fixture
def predict(here, capsys):
    """Return a function that makes its images where they are missing, and predicts them."""

    def run(*arguments, images=()):
        for name in images:
            paint(here / name)
        with pytest.raises(SystemExit) as ended:
            cli.main(["predict", "--json", "--max-regions", "1", *arguments, *images])
        output, errors = capsys.readouterr()
        return ended.value.code, [*map(json.loads, output.splitlines())], errors.splitlines()

    return run


def test_about_prints_the_model_card(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["predict", "--about"])
    assert (ended.value.code, capsys.readouterr().out) == (0, model_card())


def paint(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((80, 60)).save(path, "PNG" if path.suffix == ".png" else "JPEG")


def content(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestNames:
    def test_each_image_has_files_of_its_own(self, predict, here):
        images = ("a/1.jpg", "b/1.jpg", "b/1.png", "b/2.png")
        code, records, errors = predict("--html", "--overlay", "out", images=images)
        assert (code, errors) == (0, [])
        assert [record["overlay"] for record in records] == [
            "out/a-1.jpg.regions.png",
            "out/b-1.jpg.regions.png",
            "out/1.png.regions.png",
            "out/2.regions.png",
        ]
        written = {record[kind] for record in records for kind in ("overlay", "html")}
        assert written == {f"out/{name}" for name in content(here / "out")}

    @pytest.mark.parametrize(
        ("images", "names"),
        [
            (["1.jpg"], ["1"]),
            (["1.jpg", "./1.jpg", "d/../1.jpg"], ["1", "1", "1"]),  # one image
            (["1.jpg", "1.png"], ["1.jpg", "1.png"]),
            (["train/dog/1.jpg", "val/dog/1.jpg"], ["train-dog-1.jpg", "val-dog-1.jpg"]),
        ],
    )
    def test_names_say_no_more_than_tells_apart(self, images, names):
        assert list(names_apart(images).values()) == names

    @pytest.mark.parametrize(
        "images",
        [
            ["a/b-1.jpg", "a-b/1.jpg", "x/b-1.jpg", "x/1.jpg"],
            ["a/1.jpg", "b/1.jpg", "c/a-1.jpg.png"],
            ["A.jpg", "a.jpg"],  # one name on a Mac, as are the next
            ["\u00e9.jpg", "e\u0301.jpg"],
            ["/1.jpg", "/tmp/1.jpg"],
        ],
    )
    def test_names_differ_whatever_the_order(self, images):
        names = names_apart(images)
        assert len({name.casefold() for name in names.values()}) == len(images)
        assert names_apart(images[::-1]) == names

    def test_an_image_given_twice_is_predicted_twice_into_one_file(self, predict, here):
        code, records, _ = predict("--overlay", "out", "./1.jpg", "d/../1.jpg", images=["1.jpg"])
        assert code == 1  # there is no folder d
        (here / "d").mkdir()
        code, records, _ = predict("--overlay", "out", "./1.jpg", "d/../1.jpg", images=["1.jpg"])
        assert code == 0
        assert [record["overlay"] for record in records] == ["out/1.regions.png"] * 3
        assert content(here / "out") == ["1.regions.png"]


class TestFilesThatCannotBeWritten:
    def check(self, code, records, errors, reason, kinds=1):
        assert code == 1
        assert [record["label"] in ("positive", "negative") for record in records] == [True, True]
        assert records[0]["overlay"] is records[0]["html"] is None
        assert len(errors) == kinds
        assert all(reason in line and "is not written" in line for line in errors)

    def test_a_name_that_is_too_long(self, predict):
        code, records, errors = predict("--html", images=[f"{LONG}.jpg", "z.jpg"])
        self.check(code, records, errors, "File name too long", kinds=2)
        assert records[1]["overlay"] == "z.regions.png"
        assert records[1]["html"] == "z.explorer.html"

    def test_a_folder_that_is_a_file(self, predict, here):
        (here / "out").write_text("mine")
        code, records, errors = predict("--overlay", "out", images=["a.jpg", "z.jpg"])
        self.check(code, records, errors, "out is no folder", kinds=2)
        assert (here / "out").read_text() == "mine"

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
    def test_a_disk_that_does_not_take_it_keeps_what_was_there(
        self, predict, here, monkeypatch, number
    ):
        images = ["a.jpg", "z.jpg"]
        predict("--html", images=images)
        before = {name: (here / name).read_bytes() for name in content(here)}

        def fails(_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fails)
        code, records, errors = predict("--html", images=images)
        self.check(code, records, errors, os.strerror(number), kinds=4)
        assert {name: (here / name).read_bytes() for name in content(here)} == before

    def test_too_little_memory(self, predict, monkeypatch):
        def fails(*_):
            raise MemoryError

        monkeypatch.setattr("arlib.figures.show_prediction", fails)
        self.check(*predict(images=["a.jpg", "z.jpg"]), "too little memory", kinds=2)

    def test_a_photograph_of_that_name_is_not_replaced(self, predict, here):
        images = ["a.jpg", "a.regions.png"]
        code, records, errors = predict(images=images)
        self.check(code, records, errors, "a.regions.png is not written: a file of this name was")
        assert records[1]["overlay"] == "a.regions.regions.png"
        with Image.open(here / "a.regions.png") as image:
            assert image.size == (80, 60)

    def test_nor_is_one_behind_a_link(self, predict, here):
        paint(here / "photo.png")
        (here / "a.regions.png").symlink_to("photo.png")
        before = (here / "photo.png").read_bytes()
        code, _, _ = predict(images=["a.jpg"])
        assert code == 1
        assert (here / "photo.png").read_bytes() == before

    def test_an_empty_file_of_an_earlier_failure_is_replaced(self, predict, here):
        (here / "a.explorer.html").touch()
        assert predict("--html", images=["a.jpg"])[0] == 0
        assert (here / "a.explorer.html").stat().st_size


def test_what_it_wrote_is_passed_over_when_given_again(predict, here):
    predict("--html", images=["a.jpg", "b.png"])
    before = content(here)
    code, records, errors = predict("--html", *before)
    assert code == 0
    assert [record["image"] for record in records] == ["a.jpg", "b.png"]
    assert errors == ["arlib: 4 of the files were written by this command and are passed over"]
    assert content(here) == before
    assert predict("a.regions.png")[:2] == (1, [])


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac takes no such names")
def test_a_name_that_is_not_utf_8(predict, here, capsys):
    name = os.fsdecode(b"q\xff.jpg")
    code, records, errors = predict("--html", images=[name])
    assert (code, errors) == (0, [])
    assert records[0]["image"] == name
    assert "q\ufffd.jpg" in (here / records[0]["html"]).read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        cli.main(["predict", "--no-overlay", "--max-regions", "1", name])
    assert capsys.readouterr().out.startswith("q\\udcff.jpg: ")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("https://example.org/a.jpg", "https://example.org/a.jpg: an address: download the image"),
        ("file:///tmp/a.jpg", "file:///tmp/a.jpg: an address"),
        ("-", "-: standard input is not read: give a file"),
        ("folder", "folder: a folder: give its images, or `arlib score --images folder --out"),
        ("*.tif", "*.tif: no file matches this pattern"),
        ("", ": a folder"),
        ("absent.jpg", "absent.jpg: no such file"),
        ("empty.jpg", "empty.jpg: an empty file"),
        ("text.jpg", "text.jpg: no image, or of an unknown format"),
        ("clip.mp4", "clip.mp4: a video: give images out of it"),
        (f"{LONG}{LONG}.jpg", "File name too long"),
        ("pipe.regions.png", "pipe.regions.png: not a regular file"),
    ],
)
def test_what_is_no_image_is_a_line_and_the_rest_goes_on(predict, here, given, message):
    (here / "folder").mkdir()
    (here / "empty.jpg").touch()
    os.mkfifo(here / "pipe.regions.png")
    for name in ("text.jpg", "clip.mp4"):
        (here / name).write_text("no image")
    code, records, errors = predict("--no-overlay", given, images=["z.jpg"])
    assert code == 1
    assert [record["image"] for record in records] == ["z.jpg"]
    assert len(errors) == 1
    assert message in errors[0]


def test_a_file_is_read_whatever_its_name(predict, here):
    names = ["-", "[a]*.jpg", "clip.mp4", "https:/x/a.jpg"]
    paint(here / "image.jpg")
    for name in names:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(here / "image.jpg", here / name)
    code, records, errors = predict("--no-overlay", *names[:-1], "https://x/a.jpg")
    assert (code, errors) == (0, [])
    assert [record["image"] for record in records] == names


def numbers(command, name=""):
    """Each option of a command, and of those in it, that takes a number: its type."""
    for each in getattr(command, "commands", {}).items():
        yield from numbers(each[1], f"{name} {each[0]}")
    for parameter in command.params:
        for kind in getattr(parameter.type, "types", [parameter.type]):
            if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
                yield pytest.param(kind, id=f"{name} {parameter.opts[0]}")


@pytest.mark.parametrize("kind", list(numbers(app)))
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "1e308", "1" + "0" * 30])
def test_every_number_has_a_range(kind, value):
    with pytest.raises(click.BadParameter):
        kind.convert(value, None, None)


def test_a_number_out_of_its_range_is_said_before_anything_is_read(predict):
    for option in ("--beta", "--alpha", "--k", "--max-regions"):
        code, records, errors = predict(option, "1e308", "absent.jpg")
        assert (code, records) == (2, [])
        assert f"Invalid value for '{option}'" in errors[-1]


class TestRegions:
    def test_of_the_map_stand_in_the_place_of_proposals(self, predict):
        code, (record,), errors = predict("--no-overlay", "--regions", "cam", images=["a.jpg"])
        assert (code, errors) == (0, [])
        own = [region["objectness"] for region in record["regions"]]
        assert 0 < sum(own) <= 1, "shares of one map"
        assert len(own) == 1, "as many as --max-regions at most"

    def test_of_the_map_may_be_more_than_eight(self, predict, monkeypatch):
        spots = np.zeros((40, 40), np.float32)
        spots[::8, ::8] = 1
        monkeypatch.setattr("arlib.scoring.roi_features.SharedPass.class_map", lambda *_: spots)
        how = ("--no-overlay", "--regions", "cam", "--k", "20", "--max-regions", "12")
        _, (record,), _ = predict(*how, images=["a.jpg"])
        assert len(record["regions"]) == 12

    def test_of_a_black_image_there_may_be_none(self, predict, here, monkeypatch):
        Image.new("RGB", (64, 64)).save(here / "black.png")
        nowhere = np.zeros((8, 8), np.float32)  # as the published weights' map of it
        monkeypatch.setattr("arlib.scoring.roi_features.SharedPass.class_map", lambda *_: nowhere)
        code, (record,), errors = predict("--regions", "cam", "--html", "black.png")
        assert (code, errors, record["regions"]) == (0, [], [])
        assert record["response"] == record["global_probability"]

    def test_of_a_file_are_its_boxes_image_by_image(self, predict, here):
        rows = ["image,x0,y0,x1,y1,score", "a.jpg,1,2,11,22,0.5", "b.png,0,0,9,9,1"]
        (here / "boxes.csv").write_text("\n".join(rows) + "\n")
        images = ["a.jpg", "d/b.png", "c.jpg"]
        code, records, _ = predict("--no-overlay", "--proposals", "boxes.csv", images=images)
        assert code == 0
        boxes = [[region["box"] for region in record["regions"]] for record in records]
        assert boxes == [[[1, 2, 11, 22]], [[0, 0, 9, 9]], []]

    def test_of_a_file_that_are_not_within_an_image_are_its_failure(self, predict, here):
        rows = ["image,x0,y0,x1,y1,score", "a.jpg,1,2,11,22,0.5", "b.jpg,0,0,99,9,1"]
        (here / "boxes.csv").write_text("\n".join([*rows, "c.jpg,0,0,9,9,1"]) + "\n")
        images = ["a.jpg", "b.jpg", "c.jpg"]
        code, records, (error,) = predict("--proposals", "boxes.csv", images=images)
        assert (code, [record["image"] for record in records]) == (1, ["a.jpg", "c.jpg"])
        assert error.startswith("arlib: b.jpg: boxes.csv: a box of b.jpg, [0.0, 0.0, 99.0, 9.0]")

    def test_of_a_file_where_no_image_is_left(self, predict, here):
        (here / "boxes.csv").write_text("image,x0,y0,x1,y1,score\na.jpg,1,2,11,22,0.5\n")
        assert predict("--proposals", "boxes.csv", images=["a.jpg"])[0] == 0
        code, records, (error,) = predict("--proposals", "boxes.csv", "a.regions.png")
        assert (code, records) == (1, [])
        assert error.startswith("arlib: 1 of the files were written by this command")

    def test_a_better_one_drops_what_it_covers(self, predict):
        how = ("--no-overlay", "--proposals", "grid", "--max-regions", "30", "--k", "30")
        counts = []
        for more in ((), ("--nms", "0.1"), ("--min-sentiment", "1")):
            _, (record,), _ = predict(*how, *more, images=["a.jpg"])
            counts.append(len(record["regions"]))
        assert counts[0] == 30 > counts[1] > counts[2]

    @pytest.mark.parametrize(
        ("options", "code", "message"),
        [
            (
                ["--regions", "cam", "--proposals", "grid"],
                2,
                "give one of --proposals and --regions",
            ),
            (["--html", "--nms", "0.5"], 2, "--html ranks all regions"),
            (["--nms", "1.5"], 2, "is not in the range 0<=x<=1"),
            (["--proposals", "nowhere.json"], 1, "no file of boxes nowhere.json: No such file"),
            (["--proposals", "none.csv"], 1, "none.csv names none of the 1 images: it has no box"),
        ],
    )
    def test_what_cannot_be_is_said_before_anything_is_read(
        self, predict, here, options, code, message
    ):
        (here / "none.csv").write_text("image,x0,y0,x1,y1,score\n")
        ended, records, errors = predict(*options, "absent.jpg")
        assert (ended, records) == (code, [])
        assert message in errors[-1]
