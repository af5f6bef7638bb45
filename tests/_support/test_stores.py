"""A store is read as it was written, or not at all: its files are listed, with size and hash."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr

from arlib._support.stores import (
    StoreError,
    check_store,
    fill_values,
    finish_store,
    is_finished_store,
    open_store,
)

ATTRIBUTES = {"dataset": "x", "heads": {10: 0.1, 2: None}, "unreadable": {"ü.jpg": "no image"}}


def write(folder, data, attributes=ATTRIBUTES, finish=True):
    encoding = fill_values(data)
    for name in data.variables:
        if "image" in data[name].dims:
            encoding[name]["chunks"] = (2, *data[name].shape[1:])
    data.to_zarr(folder, encoding=encoding, consolidated=False)
    if finish:
        finish_store(folder, attributes)
    return folder


@pytest.fixture
def data():
    share = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    return xr.Dataset(
        {
            "share": (("image", "region"), share),
            "unknown": (("image", "region"), np.full((4, 3), np.nan, np.float32)),
            "label": ("image", np.int8([0, 0, 0, -1])),
            "rank": ("region", np.arange(3)),
            "count": ("region", np.uint8([0, 0, 255 - 1])),
        },
        coords={"image": np.array(["a", "ü", "b/c", "d"], object)},
    )


@pytest.fixture
def store(data, tmp_path):
    return write(tmp_path / "s.zarr", data)


def test_what_is_opened_is_what_was_written(store, data):
    opened = open_store(store)
    xr.testing.assert_equal(opened.load(), data)
    assert opened.dtypes == data.dtypes
    assert opened.attrs == json.loads(json.dumps(ATTRIBUTES))
    check_store(store)
    assert is_finished_store(store)


def test_zarr_itself_still_opens_it_without_a_word(store, data):
    plain = xr.open_zarr(store, consolidated=False, chunks=None)
    xr.testing.assert_equal(plain.load(), data)


def test_every_chunk_is_written_and_no_fill_value_passes_for_data(store, data):
    for name in data.variables:
        assert list((store / name / "c").iterdir())
        shutil.rmtree(store / name / "c")
        lost = xr.open_zarr(store, consolidated=False, chunks=None)[name].values.ravel()[0]
        assert lost in (-np.inf, -128, np.iinfo(np.int64).min, 255, "\0")


CHUNKS = ["share/c/1/0", "unknown/c/0/0", "label/c/0", "image/c/1", "rank/zarr.json"]


@pytest.mark.parametrize("name", CHUNKS)
def test_a_lost_or_cut_file_is_named_when_the_store_is_opened(store, name):
    content = (store / name).read_bytes()
    (store / name).unlink()
    with pytest.raises(StoreError, match=f"^{store / name} is missing: restore it, or"):
        open_store(store)
    for other in (content[:-1], content + b"x", b""):
        (store / name).write_bytes(other)
        with pytest.raises(StoreError, match=f"^{store / name} has .* bytes, and was written"):
            open_store(store)
    (store / name).unlink()
    (store / name).mkdir()
    with pytest.raises(StoreError, match=f"^{store / name} has .* bytes"):
        open_store(store)
    assert is_finished_store(store)  # so that it may be overwritten


@pytest.mark.parametrize("name", CHUNKS)
def test_another_content_of_the_same_size_is_named_when_it_is_read(store, name):
    content = bytearray((store / name).read_bytes())
    content[len(content) // 2] ^= 1
    (store / name).write_bytes(content)
    message = f"^{store / name} has changed since it was written"
    with pytest.raises(StoreError, match=message):
        open_store(store).load()
    with pytest.raises(StoreError, match=message):
        check_store(store)


def test_swapped_chunks_are_not_read(store, data):
    one, other = store / "share/c/0/0", store / "share/c/1/0"
    texts = one.read_bytes(), other.read_bytes()
    one.write_bytes(texts[1])
    other.write_bytes(texts[0])
    with pytest.raises(StoreError, match=r"share/c/\d/0 has changed since"):
        open_store(store).share.load()
    xr.testing.assert_equal(open_store(store).label, data.label)  # those that are not meant


def test_a_store_that_is_replaced_while_it_is_open_is_not_read(store, data):
    opened = open_store(store)
    shutil.rmtree(store)
    write(store, data.assign(share=data.share * 2))
    with pytest.raises(StoreError, match=r"share/c/\d/0 has"):
        opened.share.load()


def test_a_file_that_is_not_listed_is_not_read(store, data):
    (store / "share/c/7").mkdir()
    (store / "share/c/7/0").write_bytes(b"foreign")
    (store / ".DS_Store").write_bytes(b"foreign")
    xr.testing.assert_equal(open_store(store).load(), data)
    assert not is_finished_store(store)  # so that it is not lost


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: '{"attributes": 3}',
        lambda text: '{"attributes": {"content": {"files": []}}}',
        lambda text: '{"attributes": {"content": {"files": {"a": 3}, "sha256": ""}}}',
        lambda text: text.replace('"dataset": "x"', '"dataset": "y"'),
        lambda text: text.replace('"share/c/0/0"', '"share/c/0/1"'),
    ],
)
def test_a_damaged_list_is_named_in_a_line(store, change):
    root = store / "zarr.json"
    root.write_text(change(root.read_text()))
    with pytest.raises(StoreError) as error:
        open_store(store)
    assert str(error.value).startswith(f"{root} is ")
    assert "\n" not in str(error.value)
    assert not is_finished_store(store)


def test_an_unfinished_store_is_none(data, tmp_path):
    folder = write(tmp_path / "s.zarr", data, finish=False)
    with pytest.raises(StoreError, match="has no list of its files: it is unfinished"):
        open_store(folder)
    assert not is_finished_store(folder)
    finish_store(folder)
    xr.testing.assert_equal(open_store(folder).load(), data)


def test_a_list_without_arrays_is_no_store(tmp_path):
    (tmp_path / "zarr.json").write_text('{"attributes": {}}')
    finish_store(tmp_path)
    group = json.loads((tmp_path / "zarr.json").read_text())
    assert group["attributes"]["content"]["files"] == {}
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "zarr.json").write_text("{}")
    finish_store(tmp_path)
    with pytest.raises(StoreError, match="is no store of arrays"):
        open_store(tmp_path)


def test_a_link_to_a_store_is_no_store_to_be_replaced(store, tmp_path):
    (tmp_path / "link").symlink_to(store)
    open_store(tmp_path / "link")
    assert not is_finished_store(tmp_path / "link")
