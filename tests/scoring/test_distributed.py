"""Scoring in shards: resumed, in several processes, killed, on a full disk; always one store."""

import gc
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, strategies as st
from PIL import Image

from arlib import datasets
from arlib._support.storage import BusyError, exclusive_lock
from arlib.datasets import ImageError
from arlib.method import affective_regions, top_regions
from arlib.networks import load_backbone
from arlib.proposals import Grid, Proposals
from arlib.scoring import shards
from arlib.scoring.distributed import FailedShardsError, score_in_shards
from arlib.scoring.jobs import Job, named_job
from arlib.scoring.scorer import score
from arlib.scoring.scores import ScoresError, assemble_scores, open_scores
from arlib.scoring.shards import ShardError, assemble
from arlib.scoring.workers import NonRetryableError

SOAK = Path(__file__).with_name("soak")
SCENES = {"dataset": "scenes-annotated", "dataset_settings": {"n": 20}}
NAMES = {
    **SCENES,
    "backbone": "vgg_tiny",
    "weights": "random",
    "proposals": "grid",
    "max_regions": 4,
}
TINY = partial(named_job, **NAMES)


def test_the_bound_of_an_images_size_is_part_of_a_job(tmp_path):
    Image.new("RGB", (20, 12), "teal").save(tmp_path / "a.png")
    names = {"images": tmp_path, "proposals": "grid", "backbone": "vgg_tiny", "weights": "random"}
    job, small = named_job(**names), named_job(**names, max_pixels=239)
    assert job.dataset.read(0).shape == (12, 20, 3)
    assert small.sha256 != job.sha256  # other images are left out
    with pytest.raises(ImageError, match="20 x 12 exceeds 239 pixels"):
        small.dataset.read(0)


@dataclass(frozen=True)
class Moody:
    """A region, but for images 37 pixels wide, on which it fails so many times."""

    max_regions: int = 1
    times: int = 99

    def __call__(self, image):
        CALLS.append(1)
        if image.shape[1] == 37 and len(FAILED) < self.times:
            FAILED.append(1)
            raise RuntimeError("out of luck")
        return Proposals(np.float32([[0, 0, 9, 9]]), np.float32([0.5]))


FAILED: list[int] = []
CALLS: list[int] = []


@pytest.fixture(autouse=True)
def none_called():
    FAILED.clear()
    CALLS.clear()


@pytest.fixture(scope="module")
def network():
    return load_backbone("vgg_tiny", classes=2, weights="random")


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(10):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (30, 37 if number == 6 else 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return datasets.load("folder", tmp_path / "photos", n_folds=2)


@pytest.fixture
def job(photos, network):
    return Job(photos, Grid(max_regions=3), network, settings={"device": "cpu"})


def run(job, out, **settings):
    settings = {"shard_size": 4, "progress": False, **settings}
    return score_in_shards(job if callable(job) else lambda: job, out, **settings)


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def apart(one, other):
    return max(
        float(np.nanmax(np.abs(one[name].values - other[name].values), initial=0))
        for name in one.data_vars
    )


def test_the_scores_are_those_of_one_pass(job, tmp_path):
    scores, report = run(job, tmp_path / "s.zarr")
    plain = score(job.dataset, job.proposals, job.network, out=tmp_path / "p.zarr", progress=False)
    xr.testing.assert_allclose(scores.drop_attrs(), plain.drop_attrs(), atol=1e-6)
    assert {k: v for k, v in scores.attrs.items() if k != "key"} == plain.attrs
    assert (report.shards, report.reused, report.retried) == (3, 0, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.zarr", "photos", "s.zarr"]


def test_only_missing_shards_are_done(job, tmp_path):
    moody = Job(job.dataset, Moody(), job.network)
    with pytest.raises(FailedShardsError, match=r"(?s)1 of 3 shards failed;.*: out of l") as e:
        run(moody, tmp_path / "s.zarr")
    (number,) = e.value.errors
    assert e.value.errors[number] == ("RuntimeError: out of luck",) * 3
    assert not (tmp_path / "s.zarr").exists()
    CALLS.clear()
    FAILED.extend([1] * 99)  # the fault is fixed
    _, report = run(moody, tmp_path / "s.zarr")
    assert report.reused == 2
    assert len(CALLS) == 4  # the images of the missing shard
    assert not (tmp_path / "s.zarr.partial").exists()
    _, again = run(moody, tmp_path / "s.zarr")  # nothing to do
    assert (again.reused, len(CALLS)) == (3, 4)


def test_a_shard_that_fails_twice_comes_in_the_end(job, tmp_path):
    scores, report = run(Job(job.dataset, Moody(times=2), job.network), tmp_path / "s.zarr")
    assert scores.sizes["image"] == 10
    assert list(report.retried.values()) == [("RuntimeError: out of luck",) * 2]


def test_a_store_of_something_else_is_left_alone_unless_asked(job, photos, tmp_path):
    out = tmp_path / "s.zarr"
    run(job, out)
    before = content(out)
    path = photos.path(3)
    Image.open(path).rotate(180).save(path)
    with pytest.raises(FileExistsError, match="holds no scores of these very images"):
        run(job, out)
    assert content(out) == before
    assert not (tmp_path / "s.zarr.partial").exists()
    run(job, out, overwrite=True)
    after = content(out)
    assert after.keys() == before.keys()
    assert after != before


@pytest.mark.parametrize(
    "change",
    [
        lambda j, _: Job(j.dataset, Grid(max_regions=2), j.network),
        lambda j, _: Job(
            j.dataset, j.proposals, load_backbone("vgg_tiny", classes=2, weights="random", seed=1)
        ),
        lambda j, _: Job(j.dataset, j.proposals, j.network, settings={"crop": "square"}),
        lambda j, m: (
            m.setattr("arlib.scoring.jobs.code_sha256", lambda *_: "other code")
            or Job(j.dataset, j.proposals, j.network)
        ),
    ],
    ids=["proposals", "weights", "parameter", "code"],
)
def test_whatever_decides_the_numbers_is_in_the_key(job, tmp_path, monkeypatch, change):
    job = Job(job.dataset, job.proposals, job.network)
    folders = [tmp_path / name for name in ("parts", "temporary")]
    for folder in folders:
        folder.mkdir()
    first = shards.score_shard(job, 4, 0, *folders)
    assert shards.score_shard(job, 4, 0, *folders).reused
    other = change(job, monkeypatch)
    second = shards.score_shard(other, 4, 0, *folders)
    assert not second.reused
    assert second.folder != first.folder
    assert first.folder.is_dir()


def test_a_smaller_batch_goes_on_with_what_is_there(job):
    """As after too little memory."""
    settings = {"device": "cpu", "batch_size": 4}
    assert Job(job.dataset, job.proposals, job.network, settings=settings).sha256 == job.sha256


@pytest.mark.parametrize("change", ["bytes", "label", "fold", "key", "gone"])
def test_one_image_decides_its_shard_alone(job, photos, change):
    before = [job.image_sha256(i) for i in range(10)]
    path = photos.path(5)
    if change == "bytes":
        data = bytearray(path.read_bytes())
        data[-20] ^= 1
        path.write_bytes(data)
    elif change == "gone":
        path.unlink()
    else:
        array = {"label": photos.labels, "fold": photos.folds, "key": photos.keys}[change]
        array[5] = "another" if change == "key" else 1 - array[5]
    after = [job.image_sha256(i) for i in range(10)]
    assert [i for i in range(10) if before[i] != after[i]] == [5]


@dataclass(frozen=True)
class Rewriting:
    """A region; whenever it is asked, a file grows."""

    file: str
    max_regions: int = 1

    def __call__(self, image):
        with Path(self.file).open("ab") as file:
            file.write(b"x")
        return Proposals(np.float32([[0, 0, 9, 9]]), np.float32([0.5]))


def test_an_image_that_changes_while_it_is_scored(photos, network, tmp_path):
    job = Job(photos, Rewriting(str(photos.path(0))), network)
    with pytest.raises(FailedShardsError, match="an image of shard 0 changed while it was scored"):
        run(job, tmp_path / "s.zarr", shard_size=10)


@pytest.mark.parametrize("damage", ["chunk gone", "chunk", "part.json", "half of part.json"])
def test_a_damaged_shard_is_scored_anew(job, tmp_path, damage):
    folders = [tmp_path / name for name in ("parts", "temporary")]
    for folder in folders:
        folder.mkdir()
    part = shards.score_shard(job, 4, 0, *folders)
    facts = part.folder / "part.json"
    chunk = part.folder / "scores.zarr" / "objectness" / "c" / "0" / "0"
    if damage == "chunk gone":
        chunk.unlink()
    elif damage == "chunk":
        chunk.write_bytes(chunk.read_bytes()[::-1])
    elif damage == "part.json":
        facts.unlink()
    else:
        facts.write_text(facts.read_text()[:40])
    with pytest.raises(ShardError, match=r"damaged|no finished shard"):
        shards.read_part(part.folder, 0).open()
    again = shards.score_shard(job, 4, 0, *folders)
    assert not again.reused
    assert shards.scores_sha256(again.open()) == part.scores_sha256


def test_unreadable_images_are_left_out_of_chunks_and_shards(job, photos, tmp_path, caplog):
    unreadable = [0, 1, 2, 3, 6]  # all of the first shard, and one more
    for number in unreadable:
        photos.path(number).write_bytes(b"no image")
    with caplog.at_level(logging.ERROR):
        scores, _ = run(job, tmp_path / "s.zarr")
    assert scores.image.values.tolist() == [photos.keys[i] for i in (4, 5, 7, 8, 9)]
    assert list(scores.attrs["unreadable"]) == [photos.keys[i] for i in unreadable]
    for path in photos.root.rglob("*.png"):
        path.unlink()
    with caplog.at_level(logging.ERROR), pytest.raises(ScoresError, match="no image was scored"):
        run(job, tmp_path / "t.zarr")


def test_shards_become_full_chunks_however_they_were_cut(job, make_scores, tmp_path):
    scores = make_scores(19, 2)
    stores = []
    for cut, bounds in enumerate([[0, 19], [0, 1, 2, 9, 9, 18, 19], [0, 4, 8, 12, 16, 19]]):
        parts = []
        for low, high in pairwise(bounds):
            part = scores.isel(image=slice(low, high)).drop_attrs() if high > low else None
            parts.append(SimpleNamespace(images=(), unreadable={}, open=lambda part=part: part))
        assemble(parts, job, tmp_path / f"{cut}.zarr", chunk=4)
        stores.append(content(tmp_path / f"{cut}.zarr"))
    assert stores[0] == stores[1] == stores[2]
    assert len([path for path in stores[0] if path.parts[:2] == ("label", "c")]) == 5
    result = open_scores(tmp_path / "0.zarr").load()
    xr.testing.assert_equal(result.drop_attrs(), scores.drop_attrs())


def test_two_runs_at_once_the_second_is_refused(job, tmp_path):
    out = tmp_path / "s.zarr"
    with exclusive_lock(tmp_path / "s.zarr.partial" / "lock"):
        with pytest.raises(BusyError, match=rf"held by process {os.getpid()} on "):
            run(job, out)
        assert not out.exists()
    run(job, out)
    assert out.exists()


def test_the_same_scores_whatever_the_batch_the_shards_and_the_processes(tmp_path):
    """Within 1e-6, of float32 sums in another order; boxes and their order are the same."""
    reference, _ = run(TINY, tmp_path / "0.zarr", shard_size=20)
    first = affective_regions(reference, k=2)
    settings = [
        {"shard_size": 7, "processes": 2},
        {"shard_size": 3, "batch": 1},
        {"shard_size": 5, "batch": 64},
    ]
    for number, how in enumerate(settings, 1):
        batch = how.pop("batch", 16)
        make = partial(TINY, batch_size=batch)
        scores, _ = run(make, tmp_path / f"{number}.zarr", **how)
        assert scores.image.values.tolist() == reference.image.values.tolist()
        assert apart(scores, reference) <= 1e-6
        np.testing.assert_array_equal(scores.box, reference.box)
        np.testing.assert_array_equal(affective_regions(scores, k=2).region, first.region)
    again, _ = run(TINY, tmp_path / "again.zarr", shard_size=20)
    assert content(tmp_path / "again.zarr") == content(tmp_path / "0.zarr")
    assert apart(again, reference) == 0


def test_a_worker_that_has_another_job_ends_the_run(job, tmp_path):
    work = shards.ShardWork(lambda: job, "run", "another", 4, tmp_path)
    with pytest.raises(NonRetryableError, match="other code, weights or settings"):
        work(0)


def test_numbers_below_one_are_refused(job, tmp_path):
    with pytest.raises(ValueError, match="1 or more"):
        run(job, tmp_path / "s.zarr", shard_size=0)


def soak(script, *arguments):
    command = [sys.executable, str(SOAK / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    """Five times; two hundred times by `tests/scoring/soak/kills.py`."""
    result = soak("kills.py", 5, 0, tmp_path)
    assert result["kills"] == 5
    assert result["resumed and complete"] >= 1


def mount(disk, options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root alone")
def test_a_disk_that_fills_up(job, tmp_path):
    """Once, and then with room; at every write by `tests/scoring/soak/full_disk.py`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount(disk, "size=64m")
    try:
        run(Job(job.dataset, Moody(times=0), job.network), disk / "s.zarr")
        before, used = content(disk / "s.zarr"), shutil.disk_usage(disk).used // 1024
        mount(disk, f"remount,size={used + 40}k")
        with pytest.raises(OSError, match="No space left on device"):
            run(job, disk / "s.zarr", overwrite=True)
        assert content(disk / "s.zarr") == before
        mount(disk, "remount,size=64m")
        run(job, disk / "s.zarr", overwrite=True)
        run(job, tmp_path / "room.zarr")
        assert content(disk / "s.zarr") == content(tmp_path / "room.zarr")
        assert [path.name for path in disk.iterdir()] == ["s.zarr"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@given(
    st.lists(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), min_size=1, max_size=9),
    st.integers(1, 3),
)
def test_a_hash_of_scores_sees_every_number(rows, cut):
    """Boxes, scores and gaps of any kind: two stores have one hash only if they are the same."""
    objectness = np.array(rows, np.float32)
    objectness[:, cut:] = np.nan
    n = len(objectness)
    box = np.broadcast_to(np.float32([0, 0, 1, 1]), (n, 3, 4)) + objectness[..., None] * 0
    probability = np.stack([objectness, 1 - objectness], -1)
    scores = assemble_scores(
        [str(i) for i in range(n)],
        ("positive", "negative"),
        objectness=objectness,
        box=box,
        region_probability=probability,
        global_probability=np.full((n, 2), 0.5),
        label=np.zeros(n),
        fold=np.zeros(n),
    )
    digest = shards.scores_sha256(scores)
    assert digest == shards.scores_sha256(scores.copy(deep=True))
    other = scores.copy(deep=True)
    other.objectness[0, 0] = np.nextafter(other.objectness[0, 0], np.float32(2))
    assert shards.scores_sha256(other) != digest
    order = top_regions(scores.objectness.values, 3)
    assert ((order >= 0).sum(axis=1) == cut).all()


def test_a_shard_s_copy_of_the_network_goes_with_it(job, tmp_path):
    """A worker that scored many shards holds as many parameters as one that scored one."""

    def held():
        return sum(issubclass(type(thing), torch.nn.Parameter) for thing in gc.get_objects())

    folders = [tmp_path / name for name in ("parts", "temporary")]
    for folder in folders:
        folder.mkdir()
    gc.collect()
    gc.disable()
    try:
        before = held()
        for number in range(3):
            shards.score_shard(job, 4, number, *folders)
        assert held() == before
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("settings", "facts"),
    [({"precision": "bf16"}, {"precision": "bfloat16"}), ({"features": "shared"},) * 2],
)
def test_fast_and_shared_scores_come_in_shards_too(tmp_path, settings, facts):
    plain, _ = score_in_shards(NAMES, tmp_path / "plain.zarr", shard_size=7)
    scores, report = score_in_shards(NAMES | settings, tmp_path / "other.zarr", shard_size=7)
    assert report.shards == 3
    assert scores.attrs["parameters"].items() >= facts.items()
    assert scores.image.equals(plain.image)
    assert not scores.region_probability.equals(plain.region_probability)
    if "precision" in settings:
        assert abs(scores.region_probability - plain.region_probability).max() < 0.05


def test_automatic_precision_is_resolved_where_the_job_is_made():
    assert TINY(precision="auto").settings["precision"] in ("float32", "bf16")
