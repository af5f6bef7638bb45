"""The commands in the README and on the pages: each is parsed, the quick ones are run."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path

import click
import nbformat
import pytest
from click.testing import CliRunner
from PIL import Image

from arlib.cli.commands import app
from arlib.datasets import read_image
from arlib.publishing import load_edition

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))]
PAGES += sorted((ROOT / "book" / "guide").glob("*.md"))
BLOCK = re.compile(r"^ *```bash\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

QUICK = [
    "arlib data list",
    "arlib data where twitter2",
    "arlib editions",
    "arlib editions parameters scenes",
    "arlib runs",
    "arlib table twitter2",
]


def lines_of(block):
    """The words of each line of shell; a line whose quotation is open goes on in the next."""
    line = ""
    for part in block.replace("\\\n", " ").splitlines():
        line = f"{line}\n{part}" if line else part
        try:
            yield shlex.split(line, comments=True)
        except ValueError:
            continue
        line = ""
    assert not line, f"a quotation is not closed: {line}"


def commands():
    """Every command of arlib in a block of shell, as its words."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for words in lines_of(block):
                while words and "=" in words[0]:
                    words = words[1:]  # a variable for the command
                if words and Path(words[0]).name == "arlib":
                    yield pytest.param(words[1:], id=f"{page.stem}: {' '.join(words[1:])}")


@pytest.fixture
def with_files(tmp_path, monkeypatch):
    """A folder with the files that the commands name."""
    (tmp_path / "photos" / "sad").mkdir(parents=True)
    (tmp_path / "photos" / "glad").mkdir()
    (tmp_path / "_build" / "exported" / "objects").mkdir(parents=True)
    for name in ("photo.jpg", "labels.csv", "photos/labels.csv", "images.parquet"):
        (tmp_path / name).touch()
    (tmp_path / "boxes.csv").write_text("image,x0,y0,x1,y1,score\n")
    monkeypatch.chdir(tmp_path)


def parsed(words):
    """Parse a command as click does, without invoking it: its name and its parameters."""
    context = click.Context(app, info_name="arlib")
    command, rest = app, list(words)
    names = []
    while isinstance(command, click.Group) and rest:
        name, command, rest = command.resolve_command(context, rest)
        names.append(name)
        context = command.make_context(name, rest, parent=context)
        rest = [*context._protected_args, *context.args] if isinstance(command, click.Group) else []
    return names, context.params


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_is_parsed(words, with_files):
    names, parameters = parsed(words)
    if names == ["run"]:
        edition = load_edition(ROOT, parameters["edition"], parameters["parameters"])
        assert edition.name == parameters["edition"]


def test_the_pages_hold_commands():
    words_of = [each.values[0] for each in commands()]
    assert len(words_of) > 20
    assert {words[0] for words in words_of} >= {
        "run",
        "predict",
        "score",
        "table",
        "data",
        "editions",
    }


def test_every_goal_of_the_guide_has_a_recipe_of_commands():
    page = (ROOT / "book" / "guide" / "reruns.md").read_text()
    goals = dict(re.findall(r"^- \[(I .*)\]\(#(recipe-\w+)\)$", page, re.MULTILINE))
    recipes = re.findall(r"^\((recipe-\w+)\)=\n## (.*)\n((?:(?!^\().*\n)*)", page, re.MULTILINE)
    assert list(goals.items()) == [(heading, label) for label, heading, _ in recipes]
    for label, _, text in recipes:
        assert BLOCK.search(text.partition(":::")[0]), f"{label} has no command in its main line"


@pytest.mark.parametrize("command", QUICK)
def test_a_quick_command_runs(command, monkeypatch):
    lines = [" ".join(["arlib", *each.values[0]]) for each in commands()]
    assert command in lines, "name another: the pages no longer do"
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, command.split()[1:])
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) > 3


@pytest.mark.slow
def test_the_guide_s_commands_of_other_tools_execute_a_chapter(tmp_path, monkeypatch):
    """In a clone, and once from elsewhere, without the synthetic scenes."""
    clone, elsewhere = tmp_path / "clone", tmp_path / "elsewhere"
    shutil.copytree(ROOT / "book", clone / "book")
    elsewhere.mkdir()
    monkeypatch.setenv("PWD", str(clone))
    text = (ROOT / "book" / "guide" / "reruns.md").read_text()
    lines = re.findall(r"^\.venv/bin/((?:papermill|jupyter) .*)$", text, re.MULTILINE)
    assert len(lines) == 3
    elsewhere_line = lines[1].replace("book", f"'{clone}/book'")
    for line, folder in [*((line, clone) for line in lines), (elsewhere_line, elsewhere)]:
        command = f"{shlex.quote(str(Path(sys.executable).parent))}/{line}"
        subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True)
        done = nbformat.read(folder / "out.ipynb", as_version=4)
        for cell in done.cells:
            assert cell.cell_type != "code" or cell.execution_count, (line, cell.source)
        injected = [c for c in done.cells if "injected-parameters" in c.metadata.get("tags", [])]
        assert bool(injected) == ("-p k 11" in line or "-p run" in line)
        (folder / "out.ipynb").unlink()


def test_the_commands_that_read_images_share_one_bound_of_their_size(tmp_path):
    bound_of_library = signature(read_image).parameters["max_pixels"].default
    for name in ("predict", "score", "head", "finetune", "data check"):
        command = app
        for word in name.split():
            command = command.commands[word]
        (bound,) = [each for each in command.params if each.name == "max_pixels"]
        assert bound.default == bound_of_library, name

    for folder in ("glad", "sad"):
        (tmp_path / folder).mkdir()
        for number in range(5):
            image = Image.new("RGB", (20, 10 + number), "teal")
            image.save(tmp_path / folder / f"{number}.png")
    (tmp_path / "large.png").write_bytes((tmp_path / "sad" / "4.png").read_bytes())

    def refusals(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--max-pixels", "270"])
        assert result.exit_code == 1
        return result.output.count("20 x 14 exceeds 270 pixels")

    assert refusals("predict", "--no-overlay", str(tmp_path / "large.png")) == 1
    (tmp_path / "large.png").unlink()
    assert refusals("data", "check", str(tmp_path)) == 2


def test_what_p_can_set_is_listed_a_line_each(monkeypatch):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["editions", "parameters", "own"])
    assert done.exit_code == 0, done.output
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in done.output.splitlines()}
    assert lines["k"] == "8 K, how many affective regions an image; a whole number from 1 to 10000"
    assert lines["dataset"].startswith(
        "twitter2 images: a name (arlib data list), a table, or a fo"
    )
    done = CliRunner().invoke(app, ["editions", "parameters", "own", "--format", "json"])
    rows = {row["name"]: row for row in json.loads(done.output)}
    assert rows.keys() == lines.keys()
    assert rows["backbones"]["value"] == ["efficientnet_lite0"]


def test_help_says_what_there_is_to_set_and_which_images():
    of_run = CliRunner().invoke(app, ["run", "--help"]).output
    assert "arlib run own -p dataset photos/labels.csv" in of_run
    assert "arlib data list" in " ".join(of_run.split())
    of_training = CliRunner().invoke(app, ["finetune", "--help"]).output
    assert "lr            learning rate of the pre-trained layers; a number above 0" in of_training
