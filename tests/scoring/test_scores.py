"""Scores: the layout is held, the store is complete or absent, what is reopened is equal."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from arlib.scoring.scores import (
    CHUNK,
    ScoresError,
    ScoresWriter,
    assemble_scores,
    check_scores,
    open_scores,
    save_scores,
)


@pytest.mark.parametrize("n_images", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_reopened_equal(make_scores, tmp_path, n_images):
    scores = make_scores(n_images, 7, inner=n_images == CHUNK + 1)
    scores.attrs = {"dataset": "x", "parameters": {"context": 0.1}, "unreadable": {}}
    again = open_scores(save_scores(scores, tmp_path / "s.zarr"))
    xr.testing.assert_identical(again.load(), scores)
    assert {name: again[name].dtype for name in again.data_vars} == {
        name: scores[name].dtype for name in scores.data_vars
    }


def test_keys_of_any_script(make_scores, tmp_path):
    scores = make_scores(3, 2).assign_coords(image=["ü/ß.jpg", "图.jpg", "x y.jpg"])
    again = open_scores(save_scores(scores, tmp_path / "s.zarr"))
    assert again.image.values.tolist() == ["ü/ß.jpg", "图.jpg", "x y.jpg"]


def test_store_is_chunked_along_images(make_scores, tmp_path):
    save_scores(make_scores(2 * CHUNK + 1, 3), tmp_path / "s.zarr")
    chunks = sorted(p.name for p in (tmp_path / "s.zarr/objectness/c").iterdir())
    assert chunks == ["0", "1", "2"]


def test_an_existing_store_is_kept_unless_asked(make_scores, tmp_path):
    one, other = make_scores(2, 2, seed=1), make_scores(4, 2, seed=2)
    save_scores(one, tmp_path / "s.zarr")
    with pytest.raises(FileExistsError, match="exists already"):
        save_scores(other, tmp_path / "s.zarr")
    assert open_scores(tmp_path / "s.zarr").sizes["image"] == 2
    save_scores(other, tmp_path / "s.zarr", overwrite=True)
    assert open_scores(tmp_path / "s.zarr").sizes["image"] == 4
    assert [p.name for p in tmp_path.iterdir()] == ["s.zarr"]


def test_a_failed_write_leaves_nothing(make_scores, tmp_path):
    def fail():
        with ScoresWriter(tmp_path / "s.zarr") as writer:
            writer.append(make_scores(CHUNK, 2))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_store(tmp_path):
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from conftest import make_scores
from arlib.scoring.scores import CHUNK, ScoresWriter
with ScoresWriter({str(tmp_path / "s.zarr")!r}) as writer:
    writer.append(make_scores(CHUNK, 2))
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with pytest.raises(ScoresError, match="no scores at"):
        open_scores(tmp_path / "s.zarr")


def test_nothing_appended_is_an_error(tmp_path):
    with pytest.raises(ScoresError, match="no image was scored"), ScoresWriter(tmp_path / "s.zarr"):
        pass


def test_a_part_after_a_short_part_is_refused(make_scores, tmp_path):
    with ScoresWriter(tmp_path / "s.zarr") as writer:
        writer.append(make_scores(3, 2))
        with pytest.raises(ValueError, match="only the last part"):
            writer.append(make_scores(3, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop_vars("box"), "no 'box'"),
        (lambda s: s.assign(label=s.label.astype("int64")), "label must be .* int8, not .* int64"),
        (lambda s: s.transpose("region", ...), "objectness must be"),
        (lambda s: s.drop_vars("emotion"), "no coordinate 'emotion'"),
        (lambda s: s.assign_coords(image=["a"] * s.sizes["image"]), "same key"),
        (lambda s: s.assign(objectness=s.objectness.fillna(0)), "objectness but no probability"),
        (lambda s: s.assign(label=s.label - np.int8(2)), "label is not in -1..1"),
        (lambda s: s.assign(label=s.label + np.int8(2)), "label is not in -1..1"),
        (lambda s: s.assign(fold=s.fold * 0 + np.int8(-128)), "fold is not in -1..127"),
        (
            lambda s: s.assign(global_probability=s.global_probability * np.float32(np.nan)),
            "global_probability does not sum to 1",
        ),
        (
            lambda s: s.assign(objectness=s.objectness.fillna(-np.inf)),
            "objectness but no probability",
        ),
        (
            lambda s: s.assign(global_probability=s.global_probability * 2),
            "global_probability does not sum to 1",
        ),
        (
            lambda s: s.assign(region_probability=s.region_probability * 2),
            "region_probability does not sum to 1",
        ),
    ],
)
def test_wrong_layouts_are_named(make_scores, change, message):
    with pytest.raises(ScoresError, match=message):
        check_scores(change(make_scores(5, 4)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop_vars("inner_global_probability"), "no 'inner_global_probability'"),
        (lambda s: s.drop_vars("inner_region_probability"), "no 'inner_region_probability'"),
        (lambda s: s.drop_vars("left_out"), "no coordinate 'left_out'"),
        (lambda s: s.assign_coords(left_out=[0, 1, 2, 3, 3]), "left out twice"),
        (lambda s: s.assign_coords(left_out=[1, 0, 2, 3, 4]), "sum to 1"),
        (lambda s: s.assign_coords(left_out=[0, 1, 2, 3, 9]), "sum to 1"),
        (lambda s: s.transpose("image", "region", ...), "inner_region_probability must be"),
        (
            lambda s: s.assign(inner_global_probability=s.inner_global_probability.fillna(0.5)),
            "inner_global_probability must be NaN where",
        ),
        (
            lambda s: s.assign(inner_region_probability=s.inner_region_probability.fillna(0.5)),
            "inner_region_probability must be NaN where",
        ),
        (lambda s: s.assign(fold=s.fold * 0 - np.int8(1)), "must be NaN where"),
    ],
)
def test_wrong_layouts_of_inner_heads_are_named(make_scores, change, message):
    scores = make_scores(6, 4, inner=True)
    assert check_scores(scores) is scores
    with pytest.raises(ScoresError, match=message):
        check_scores(change(scores))


def test_arrays_that_do_not_fit_together():
    with pytest.raises(ScoresError, match="do not fit together"):
        assemble_scores(
            ["a", "b"],
            ["positive", "negative"],
            objectness=np.zeros((1, 1)),
            box=np.zeros((1, 1, 4)),
            region_probability=np.full((1, 1, 2), 0.5),
            global_probability=np.full((1, 2), 0.5),
            label=np.zeros(1),
            fold=np.zeros(1),
        )


def test_a_folder_that_holds_no_scores(tmp_path):
    with pytest.raises(ScoresError, match="arlib score"):
        open_scores(tmp_path)


def test_a_lost_chunk_is_named_and_never_read_as_labels(make_scores, tmp_path):
    path = save_scores(make_scores(CHUNK + 1, 2), tmp_path / "s.zarr")
    chunk = path / "label/c/1"
    chunk.unlink()
    with pytest.raises(ScoresError, match=f"^{chunk} is missing: restore it, or remove the"):
        open_scores(path)
    plain = xr.open_zarr(path, consolidated=False, chunks=None)  # without its list, neither
    with pytest.raises(ScoresError, match=r"its label is not in -1\.\.1"):
        check_scores(plain)


@pytest.mark.parametrize("kind", ["folder", "store with a photograph", "file", "link"])
def test_only_scores_are_overwritten(make_scores, tmp_path, kind):
    path, scores = tmp_path / "s.zarr", make_scores(2, 2)
    if kind == "file":
        path.write_text("mine")
    elif kind == "link":
        save_scores(scores, tmp_path / "t.zarr")
        path.symlink_to("t.zarr")
    else:
        (path if kind == "folder" else save_scores(scores, path)).mkdir(exist_ok=True)
        (path / "mine.jpg").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match="exists already and is not a finished store of sc"):
        save_scores(scores, path, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before
