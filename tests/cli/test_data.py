"""`arlib data`: its output and its exit status, once across the process boundary."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tests.cli.helpers import arlib, arlib_here

from arlib.cli.commands import main
from arlib.datasets import describe, load
from arlib.datasets.scenes import export


def data(*arguments, cwd, run=arlib_here, **environment):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ARLIB_DATA", raising=False)
        return run("data", *arguments, cwd=cwd, **environment)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """COCO's layout with one image, and images of one's own, one of them broken."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("coco_val9/images/a.jpg", *(f"own/{i % 2}/{i}.jpg" for i in range(12))):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(root / name)
    marks = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}
    (root / "coco_val9/instances.json").write_text(json.dumps(marks))
    (root / "own/1/1.jpg").write_bytes(b"")
    return root


def test_every_command_explains_itself(tmp_path):
    for command in ([], ["list"], ["where"], ["check"], ["fetch"], ["export-scenes"]):
        done = data(*command, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert "Usage: " in done.stdout


def test_help_imports_nothing_heavy(tmp_path):
    code = "import sys, arlib.cli; print(sorted({'numpy', 'torch', 'pooch'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_list_names_what_is_known_and_what_is_here(root, tmp_path):
    done = data("list", cwd=tmp_path, ARLIB_DATA=str(root))
    assert done.returncode == 0, done.stderr
    blocks = done.stdout.split("\n")
    coco = blocks[blocks.index("coco         COCO val2017, for proposal recall (2014)") :][:5]
    assert coco[1] == "    published  5,000 images"
    assert coco[2].startswith(f"    here       {root}/coco_val9, 0.0 MB")
    assert coco[4] == "    citation   lin2014"
    assert "    here       no" in blocks


def test_list_works_without_data_and_for_machines(root, tmp_path):
    assert data("list", cwd=tmp_path).returncode == 0
    done = data("list", "--format", "json", cwd=tmp_path, ARLIB_DATA=str(root))
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["twitter2"]["published"]["images"] == 603
    assert rows["twitter2"]["here"] == []
    (folder,) = rows["coco"]["here"]
    size = sum(path.stat().st_size for path in (root / "coco_val9").rglob("*") if path.is_file())
    assert folder == {"path": str(root / "coco_val9"), "bytes": size}
    assert [name for name, row in rows.items() if row["fetch"]] == ["coco"]


def test_list_as_markdown_is_the_books_page(tmp_path):
    done = data("list", "--format", "markdown", cwd=tmp_path)
    assert done.stdout == describe(form="markdown") + "\n"


def test_where_describes_how(tmp_path):
    done = data("where", "oasis", cwd=tmp_path)
    assert done.stdout == describe("oasis") + "\n"


def test_check_of_everything_that_is_here(root, tmp_path):
    done = data("check", cwd=tmp_path, run=arlib, ARLIB_DATA=str(root))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == f"coco at {root / 'coco_val9'}"
    assert lines[-1] == "  warning: not as published: 1 images (-4,999)"


def test_check_by_name_and_for_machines(root, tmp_path):
    done = data("check", "coco", "--json", cwd=tmp_path, ARLIB_DATA=str(root))
    report = json.loads(done.stdout)
    assert (report["name"], report["facts"]["images"], report["failed"]) == ("coco", 1, False)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_error_in_images_of_ones_own_is_exit_status_1(form, root):
    done = data("check", "own", *form, cwd=root)
    assert done.returncode == 1
    assert "1/1.jpg: an empty file" in done.stdout
    assert "Traceback" not in done.stderr
    (root / "own/1/1.jpg").unlink()
    assert data("check", "own", *form, cwd=root).returncode == 0
    (root / "own/1/1.jpg").write_bytes(b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["where", "flickr"], "no dataset 'flickr' in the catalogue; there are twitter1, "),
        (
            ["check", "twiter2"],
            "twiter2 is neither a path nor in the catalogue (did you mean twitter2?); there are",
        ),
        (["check", "flickr"], "flickr is neither a path nor in the catalogue; there are twitter1"),
        (["check", "fi"], "fi is not here: `arlib data where fi` says how to get it"),
        (["check", "scenes"], "scenes has no folder to check"),
        (["check"], "set ARLIB_DATA to the folder that holds"),
        (["fetch", "fi"], "fi cannot be fetched: neither a licence nor a checksum"),
        (["fetch", "coco"], "set ARLIB_DATA to the folder that holds"),
    ],
)
def test_what_it_cannot_do_is_one_line(arguments, message, tmp_path):
    done = data(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"arlib: {message}")
    assert len(done.stderr.splitlines()) == 1


def test_nothing_under_arlib_data_is_an_error(tmp_path):
    done = data("check", cwd=tmp_path, ARLIB_DATA=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"arlib: no dataset under {tmp_path}; `arlib data list`\n"


def test_fetch_leaves_what_is_there(root, tmp_path):
    (tmp_path / "coco_val2017").mkdir()
    done = data("fetch", "coco", cwd=tmp_path, ARLIB_DATA=str(tmp_path))
    assert done.returncode == 1
    assert "coco_val2017 is there already" in done.stderr


def test_scenes_are_exported_and_read_by_their_names(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "_write_png", lambda path, _: save_grey(path))
    folder = tmp_path / "new" / "scenes"
    sizes = ["--objects", "300", "--tagged", "60", "--tested", "50"]
    done = run_main("export-scenes", folder, *sizes, "--seed", "2", "--local-share", "0.9")
    assert done == 0
    printed = capsys.readouterr()
    assert printed.out == (
        f"{folder}/README.md describes the files; to use them: export ARLIB_DATA={folder}\n"
    )
    assert printed.err == ""
    facts = json.loads((folder / "scenes.json").read_text())
    assert facts["generator"]["local_share"] == 0.9
    assert {name: tuple(of.values()) for name, of in facts["sets"].items()} == {
        "objects": (300, 2001),
        "tagged": (60, 2002),
        "annotated": (50, 2003),
        "folded": (50, 2004),
    }
    monkeypatch.setenv("ARLIB_DATA", str(folder))
    columns = ("twitter1-five", "twitter1-four", "twitter1-three", "twitter2", "vso-held-out")
    five, four, *rest = (len(load(name)) for name in columns)
    assert five < four < 50
    assert rest == [50, 50, 6]
    assert run_main("check", "twitter2") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["own"], "own exists already and is not an empty folder, or one that `arlib data export"),
        (["own/1/1.jpg/x"], "[Errno 17] File exists: 'own/1/1.jpg'"),
        (["new", "--tested", "9"], "scenes-annotated: 5 folds need 5 images of every class"),
    ],
)
def test_scenes_that_cannot_be_exported(root, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(root)
    assert run_main("export-scenes", *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"arlib: {message}")
    assert error.count("\n") == 1
    assert not (root / "new").exists()


def run_main(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["data", *map(str, arguments)])
    return ended.value.code or 0


def save_grey(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (9, 9)).save(path)
