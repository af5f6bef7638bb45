"""Damaged files: a command ends with a result, or with one line that names the file.

Each file that the command line reads is damaged in many ways, a random one at a time. `make test`
tries some of them, `make soak` more.
"""

import gc
import io
import json
import logging
import os
import random
import resource
import shutil
import signal
import warnings
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from tests.experiments.helpers import write_measured_run

from arlib.cli.commands import main
from arlib.networks import LinearHead, Model, load_backbone
from arlib.proposals import Grid
from arlib.scoring import open_scores

SECONDS = 20
GIB = 2**30


# what is read


def write_book(root, make_scores):
    """Write a book with a chapter, two editions, one of them built, and their runs."""
    for folder in ("editions", "book/results", "_build/plain/html/_sources/book"):
        (root / folder).mkdir(parents=True)
    toc = {"format": "jb-book", "root": "book/index"}
    toc["parts"] = [{"caption": "All", "chapters": [{"file": "book/one"}]}]
    (root / "_toc.yml").write_text(yaml.safe_dump(toc))
    source = "k = 1\nalpha = 0.5\nrun = 'one'\nruns = ['one']"
    cells = [new_code_cell(source, metadata={"tags": ["parameters"]}), new_code_cell("print(k)")]
    nbformat.write(new_notebook(cells=cells), root / "book" / "one.ipynb")
    (root / "book" / "index.md").write_text("# A book\n")
    built = root / "_build" / "plain"
    nbformat.write(new_notebook(cells=cells), built / "html/_sources/book/one.ipynb")
    facts = {"title": "A", "seconds": {}, "parameters": {"k": 1}, "finished": "2024-05-01T10:00:00"}
    (built / "edition.json").write_text(json.dumps(facts))
    editions = {
        "plain": {"title": "Plain", "parameters": {"k": 2, "runs": ["one", "own-vgg16"]}},
        "scored": {
            "title": "Scored",
            "experiment": {
                "dataset": "twitter2",
                "backbones": ["vgg16"],
                "max_regions": 5,
                "training": {"epochs": 2},
            },
        },
    }
    for name, edition in editions.items():
        (root / "editions" / f"{name}.yaml").write_text(yaml.safe_dump(edition))
    for seed, name in enumerate(("one", "own-vgg16", "twitter2-vgg16")):
        scores = make_scores(6, 3, seed=seed, missing=False)
        scores = scores.assign_coords(image=[f"{name}{n}.jpg" for n in range(6)])
        write_measured_run(root / "book" / "results" / name, scores)


def write_photographs(root, n=4):
    """Write photographs in two class folders."""
    rng = np.random.default_rng(0)
    for number in range(n):
        path = root / ("dark", "light")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 60, (20, 24, 3), dtype=np.uint8) + 190 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_tables(root):
    """Write photographs, and tables of some of them."""
    write_photographs(root / "photos", 12)
    rows = [
        (f"photos/{each}/{number}.png", each, number // 2 + 1)
        for number, each in enumerate(("dark", "light") * 2)
    ]
    frame = pd.DataFrame(rows, columns=["path", "label", "fold"])
    frame.to_csv(root / "own.csv", index=False)
    frame.to_parquet(root / "own.parquet", index=False)


def write_datasets(root):
    """Write the smallest datasets of the catalogue's layouts."""
    names = [f"{number}.png" for number in range(10)]
    photographs = root / "photographs"
    write_photographs(photographs)
    image = photographs / "dark" / "0.png"

    def place(*folders):
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
            for name in names if "partition" not in folder else [f"{folder[-1]}.png"]:
                shutil.copy(image, root / folder / name)

    place("twitter1/images", *(f"twitter2/partition{number}" for number in range(1, 6)))
    place("vso/bi_concepts1553/happy_dog", "vso/bi_concepts1553/sad_cat", "oasis/images")
    lists = "\n".join(f"{name} {number % 2}" for number, name in enumerate(names)) + "\n"
    for agree in ("five", "four", "three"):
        (root / "twitter1" / f"{agree}_agree.txt").write_text(lists)
    signs = [f"{n}.png\t{('positive', 'negative')[n % 2]}" for n in range(1, 6)]
    table = "\n".join(["Image\tSentiment", *signs]) + "\n"
    (root / "twitter2" / "groundTruthLabel.txt").write_text(table)
    pairs = "happy_dog [sentiment: 1.2]\nsad_cat [sentiment: -0.8]\n"
    (root / "vso" / "3244ANPs.txt").write_text(pairs)
    place(*(f"emotionroi/images/{each}" for each in EMOTIONS))
    split = root / "emotionroi" / "training_testing_split"
    split.mkdir()
    for number, part in enumerate(("training", "testing")):
        keys = [f"{each}/{name}\n" for each in EMOTIONS for name in names[number::2]]
        (split / f"{part}.txt").write_text("".join(keys))
    place("emoset/image/awe", "emoset/image/fear")
    for part, numbers in (("train", range(4)), ("val", range(4, 6)), ("test", range(6, 10))):
        rows = [
            [each, f"image/{each}/{n}.png", f"annotation/{each}/{n}.json"]
            for each in ("awe", "fear")
            for n in numbers
        ]
        (root / "emoset" / f"{part}.json").write_text(json.dumps(rows))
    place("abstract")
    votes = "".join(f"'{n}.png',{n % 2},{1 - n % 2},0,0,0,0,0,0\n" for n in range(10))
    header = ",'Amusement','Anger','Awe','Content','Disgust','Excitement','Fear','Sad'\n"
    (root / "abstract" / "ABSTRACT_groundTruth.csv").write_text(header + votes)
    place("coco_val9/images")
    marks = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
        "annotations": [{"image_id": n, "bbox": [1, 2, 3, 4], "iscrowd": 0} for n in range(10)],
    }
    (root / "coco_val9" / "instances.json").write_text(json.dumps(marks))


EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise")


def write_shards(root):
    """Write Arrow shards as Hugging Face's `datasets` does."""
    datasets = pytest.importorskip("datasets")
    write_photographs(root / "photos")
    files = [str(path) for path in sorted((root / "photos").rglob("*.png"))]
    columns = {"image": files, "label": ["dark", "dark", "light", "light"]}
    split = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    datasets.disable_progress_bars()
    split.save_to_disk(str(root / "shards"))


SCORING = ["--proposals", "grid", "--max-regions", "2", "--shard-size", "2", "--out", "s.zarr"]
SCORE = ["score", "--images", "photos", *SCORING]
NETWORK = ["--backbone", "vgg_tiny", "--weights", "w.safetensors"]


def write_network(root):
    """Write photographs, a network's weights, and a head on its features."""
    write_photographs(root / "photos")
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    network.save(root / "w.safetensors")
    (root / "weights").mkdir()
    shutil.copy(root / "w.safetensors", root / "weights" / "vgg_tiny.safetensors")
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 128)).astype(np.float32)
    head = LinearHead(weight, np.zeros(2, np.float32), ("dark", "light"), "vgg_tiny", {"C": 1.0})
    head.save(root / "h.safetensors")


def write_models(root):
    """Write photographs, a model, and a file of PyTorch."""
    write_photographs(root / "photos")
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    Model(network, ("dark", "light")).save(root / "m.safetensors")
    torch.save({"state_dict": network.state_dict()}, root / "w.pth")


def write_half_scored(root):
    """Write what a run leaves that was killed after its first shard."""
    write_network(root)
    propose, images = Grid.__call__, []

    def fail_later(grid, image):
        images.append(image)
        if len(images) > 2:
            raise ValueError("no more")
        return propose(grid, image)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Grid, "__call__", fail_later)
        assert run([*SCORE, *NETWORK], root).code == 1
    partial = root / "s.zarr.partial"
    assert len(list(partial.glob("parts/*"))) == 1
    (partial / "lock").write_text("process 1 on nowhere")


def write_scored(root):
    """Write a finished store of scores, and what it was made from."""
    write_network(root)
    done = run([*SCORE, *NETWORK], root)
    assert done.code == 0, done.errors


# what damages it


def damages(path: Path) -> list[Callable]:
    """List the ways to damage a file."""
    ways = [flip, flip, cut, remove, repeat, insert, exchange, empty, huge]
    ways += [make_folder, make_loop, make_dangling, lose, forbid]
    if path.suffix in (".json", ".ipynb", ".yaml", ".yml"):
        ways += [retype] * 8 + [nest] * 2
    if path.suffix in (".csv", ".txt"):
        ways += [retype_cell] * 4
    return ways


VALUES = [None, True, -1, 0, 3, 1e308, 10**30, 0.5, "", "x", "a\nb", "\x1b[31m", [], ["x"], {}]
VALUES += [{"x": 1}, [[]], float("nan"), float("inf"), "9" * 5000, 10**9, "../..", "\0", "é" * 9]
WORDS = ["", "0", "-1", "1e308", "nan", "x", "../../etc/passwd", "\0", '"', "9" * 5000, "a,b", "é"]


def flip(path, draw, _others):
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 4))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut(path, draw, _others):
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def remove(path, draw, _others):
    content = path.read_bytes()
    start = draw.randrange(len(content))
    path.write_bytes(content[:start] + content[start + draw.randint(1, 64) :])


def repeat(path, draw, _others):
    content = path.read_bytes()
    start = draw.randrange(len(content))
    span = content[start : start + draw.choice((8, 64, len(content)))]
    path.write_bytes(content[:start] + span * 2 + content[start + len(span) :])


def insert(path, draw, _others):
    content = path.read_bytes()
    start = draw.randrange(len(content))
    strange = draw.choice((b"\0" * 8, b"\xff\xfe", b"\xed\xa0\x80", b"\r\n", b"\x1b[2J", b"9" * 99))
    path.write_bytes(content[:start] + strange + content[start:])


def exchange(path, draw, others):
    path.write_bytes(draw.choice(others))


def empty(path, _draw, _others):
    path.write_bytes(b"")


def huge(path, draw, _others):
    """Make a sparse file, or one of a long line."""
    if draw.random() < 0.5:
        path.write_bytes(b"[" * 200_000)
    else:
        with path.open("r+b") as file:
            file.truncate(2**23)


def make_folder(path, _draw, _others):
    path.unlink()
    path.mkdir()


def make_loop(path, _draw, _others):
    path.unlink()
    path.symlink_to(path)


def make_dangling(path, _draw, _others):
    path.unlink()
    path.symlink_to("nowhere")


def lose(path, _draw, _others):
    path.unlink()


def forbid(path, _draw, _others):
    path.chmod(0)


def nest(path, draw, _others):
    """Put thousands of brackets in the place of one value, or aliases that multiply."""
    if path.suffix in (".yaml", ".yml") and draw.random() < 0.5:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 12)]
        path.write_text("\n".join([*lines, "title: *a11", "parameters: {k: *a11}"]))
        return
    deep = "[" * 50_000 + "]" * 50_000
    text = path.read_text()
    place = draw.choice([n for n, character in enumerate(text) if character in ":,"] or [0])
    path.write_text(text[: place + 1] + deep + text[place + 1 :])


def retype(path, draw, _others):
    """Give one value of a JSON or YAML file another one, of another type as a rule; or lose it."""
    as_json = path.suffix in (".json", ".ipynb")
    content = json.loads(path.read_text()) if as_json else yaml.safe_load(path.read_text())
    places = [(None, None), *_places(content)]
    where, key = draw.choice(places)
    value = draw.choice(VALUES)
    if where is None:
        content = value
    elif isinstance(where, dict) and draw.random() < 0.2:
        del where[key]
    elif isinstance(where, dict) and draw.random() < 0.1:
        where["unknown"] = value
    else:
        where[key] = value
    path.write_text(json.dumps(content) if as_json else yaml.safe_dump(content))


def _places(node):
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def retype_cell(path, draw, _others):
    lines = path.read_text().splitlines()
    number = draw.randrange(len(lines))
    mark = next((mark for mark in "\t, " if mark in lines[number]), " ")
    cells = lines[number].split(mark)
    cells[draw.randrange(len(cells))] = draw.choice(WORDS)
    if draw.random() < 0.2:
        cells.append(draw.choice(WORDS))
    lines[number] = mark.join(cells)
    path.write_text("\n".join(lines) + "\n")


# how a command ends


@dataclass(frozen=True)
class Done:
    code: object
    output: str
    errors: list[str]


class TooLong(BaseException):
    """A command that did not end."""


@contextmanager
def limits(seconds=SECONDS, memory=2 * GIB):
    """Let the block take so many seconds, and so much more memory than there is in use."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)

    def stop(*_):
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, hard))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run(arguments, folder) -> Done:
    """Run a command in a folder as a user does, who also sees warnings and the log."""
    output, errors = io.StringIO(), io.StringIO()
    log = logging.StreamHandler(errors)
    log.setLevel(logging.WARNING)
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(record=True) as warned,
        redirect_stdout(output),
        redirect_stderr(errors),
        limits(),
    ):
        warnings.simplefilter("default")
        patch.chdir(folder)
        patch.setenv("ARLIB_DATA", str(folder))
        logging.getLogger().addHandler(log)
        try:
            main(arguments)
            code = 0
        except SystemExit as ended:
            code = ended.code
        finally:
            logging.getLogger().removeHandler(log)
    lines = [line for line in errors.getvalue().splitlines() if line and "%|" not in line]
    lines += [f"{w.filename}: {w.category.__name__}: {w.message}" for w in warned]
    return Done(code or 0, output.getvalue(), lines)


@dataclass(frozen=True)
class Kind:
    """A kind of file, and a command that reads it."""

    write: Callable[[Path], None]
    files: str
    command: list[str]
    known: Callable[[Path, Done], object] | None = None  # of a verified file: what must stay
    few: int = 5  # tries in `make test`, of 200
    also: tuple[
        str, ...
    ] = ()  # what else may be named: the edition that lacks the file or contradicts it


def printed(_folder, done):
    return done.output


def stored(folder, _done):
    return open_scores(folder / "s.zarr").load().drop_attrs().to_dict()


RUN = "book/results/one"
TABLE = ["table", "--format", "json"]

KINDS = {
    "edition": Kind(write_book, "editions/plain.yaml", [*TABLE, "plain"], also=("plain",)),
    "edition with an experiment": Kind(
        write_book, "editions/scored.yaml", [*TABLE, "scored"], also=("scored",)
    ),
    "list of editions": Kind(write_book, "editions/*.yaml", ["editions"]),
    "table of contents": Kind(
        write_book, "_toc.yml", [*TABLE, "plain"], also=("no book at", "plain")
    ),
    "chapter": Kind(write_book, "book/one.ipynb", [*TABLE, "plain"], also=("plain",)),
    "record of an edition": Kind(write_book, "_build/plain/edition.json", ["editions"]),
    "record that is compared": Kind(
        write_book,
        "_build/plain/edition.json",
        ["editions", "compare", "plain", "plain"],
        also=("plain",),
    ),
    "executed chapter": Kind(
        write_book, "_build/plain/html/**/*.ipynb", ["editions", "compare", "plain", "plain"]
    ),
    "run.json": Kind(write_book, f"{RUN}/run.json", [*TABLE, RUN]),
    "store": Kind(write_book, f"{RUN}/scores.zarr/**/zarr.json", [*TABLE, RUN], printed),
    "chunk": Kind(write_book, f"{RUN}/scores.zarr/**/c/**/*", [*TABLE, RUN], printed),
    "baselines": Kind(write_book, f"{RUN}/baselines.zarr/**/*", [*TABLE, RUN], printed),
    "runs that are compared": Kind(
        write_book,
        f"{RUN}/*.zarr/**/*",
        [*TABLE, "--compare", "book/results/own-vgg16", RUN],
        printed,
    ),
    "CSV": Kind(write_tables, "own.csv", ["data", "check", "own.csv"]),
    "Parquet": Kind(write_tables, "own.parquet", ["data", "check", "own.parquet"]),
    "photograph": Kind(write_tables, "photos/light/1.png", ["data", "check", "photos"]),
    "Arrow shards": Kind(write_shards, "shards/*", ["data", "check", "shards"]),
    "weights": Kind(write_network, "w.safetensors", [*SCORE, *NETWORK]),
    "head": Kind(write_network, "h.*", [*SCORE, "--head", "h.safetensors"]),
    "weights of a head": Kind(write_network, "weights/*", [*SCORE, "--head", "h.safetensors"]),
    "model": Kind(write_models, "m.safetensors", [*SCORE, "--model", "m.safetensors"], stored, 8),
    "facts of a model": Kind(write_models, "m.json", [*SCORE, "--model", "m.safetensors"]),
    "PyTorch's file": Kind(
        write_models,
        "w.pth",
        ["weights", "convert", "w.pth", "new.safetensors", "--backbone", "vgg_tiny"],
    ),
    "shard": Kind(
        write_half_scored, "s.zarr.partial/parts/**/*", [*SCORE, *NETWORK], stored, few=4
    ),
    "lock": Kind(write_half_scored, "s.zarr.partial/lock", [*SCORE, *NETWORK], stored, few=5),
    "finished store": Kind(write_scored, "s.zarr/**/*", [*SCORE, *NETWORK], stored),
    **{
        f"labels of {name}": Kind(
            write_datasets,
            files,
            ["data", "check", name],
            also=(f"error: {name}: ", "image "),
            few=5,
        )
        for name, files in {
            "twitter1": "twitter1/*.txt",
            "twitter2": "twitter2/*.txt",
            "vso": "vso/*.txt",
            "emotionroi": "emotionroi/*split/*",
            "emoset": "emoset/*.json",
            "abstract": "abstract/*.csv",
            "coco": "coco*/*.json",
        }.items()
    },
}


@pytest.fixture(scope="module", autouse=True)
def _no_collection():
    """Spare `gc.collect`, which statsmodels calls for every table, what stays anyway."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def templates(tmp_path_factory, make_scores):
    """Return a function: the folder of a kind's files, which are made once."""
    made = {}

    def template(write):
        if write not in made:
            folder = tmp_path_factory.mktemp(write.__name__)
            write(folder, *([make_scores] if write is write_book else []))
            made[write] = folder
        return made[write]

    return template


def link(source, target):
    """Link to a file, which is faster than a copy, unless commands write into it."""
    (shutil.copy if source.endswith("lock") else os.link)(source, target)


def check(kind, folder, victim, done, expected):
    """Check that a command succeeded, or named the file in one line."""
    # a store is known by its own name, a head by that of its two files
    parts = victim.relative_to(folder).parts
    store = next((part for part in parts if part.endswith((".zarr", ".partial"))), None)
    name = store or (parts[0] if parts[0] == "shards" else f"{victim.stem}.")
    names = (name, *kind.also)
    assert done.code in (0, 1, 2)
    assert all(any(name in line for name in names) for line in done.errors), done.errors
    if done.code == 0:
        assert len(done.errors) <= 1
        if kind.known is not None and not done.errors:
            assert kind.known(folder, done) == expected, "silently wrong"
    elif kind.command[:2] == ["data", "check"]:
        found = [line for line in done.output.splitlines() if line.startswith("  error: ")]
        assert found or done.errors
        assert any(name in done.output for name in names) or done.errors
    else:
        assert len(done.errors) == 1, done.errors
        assert done.errors[0].startswith("arlib: ")
        assert len(done.errors[0]) < 1500


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("tries", ["few", pytest.param("many", marks=pytest.mark.slow)])
def test_a_damaged_file_gives_a_result_or_is_named(name, tries, templates, tmp_path):
    kind = KINDS[name]
    seeds = range(kind.few) if tries == "few" else range(kind.few, 200)
    template = templates(kind.write)
    shutil.copytree(template, tmp_path / "whole")
    done = run(kind.command, tmp_path / "whole")
    assert (done.code, done.errors) == (0, []), done
    expected = None if kind.known is None else kind.known(tmp_path / "whole", done)
    files = sorted(path for path in template.glob(kind.files) if path.is_file())
    others = [path.read_bytes() for path in sorted(template.rglob("*")) if path.is_file()]
    failures = []
    for seed in seeds:
        draw = random.Random(f"{name} {seed}")
        folder = tmp_path / "damaged"
        shutil.copytree(template, folder, symlinks=True, copy_function=link)
        victim = folder / draw.choice(files).relative_to(template)
        content = victim.read_bytes()
        victim.unlink()
        victim.write_bytes(content)
        way = draw.choice(damages(victim))
        way(victim, draw, others)
        try:
            done = run(kind.command, folder)
            check(kind, folder, victim, done, expected)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            place = victim.relative_to(folder)
            failures.append(
                f"{seed}: {way.__name__} {place}: {type(error).__name__}: {error}"[:900]
            )
        if victim.is_file():
            victim.chmod(0o600)
        shutil.rmtree(folder)
    assert not failures, f"{len(failures)} of {len(seeds)}\n" + "\n".join(failures)
