"""Proposals kept on disk: the same as made, found by content, made anew when anything changes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from arlib import scoring
from arlib.datasets.scenes import SceneGenerator, annotated
from arlib.networks import load_backbone
from arlib.proposals import Cached, EdgeBoxes, Grid, Proposals, cached, uncached

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Counted:
    """A grid that notes the shape of every picture that it is asked about."""

    max_regions: int = 5
    asked: list = field(default_factory=list, compare=False)

    def __call__(self, image):
        self.asked.append(image.shape)
        return Grid(max_regions=self.max_regions)(image)


def same(one, other):
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.objectness, other.objectness)


def test_what_is_found_is_what_was_made(tmp_path):
    method = EdgeBoxes(max_regions=20)
    picture = annotated(SceneGenerator(), 20, seed=0).read(0)
    for image in (picture, np.full((50, 50, 3), 9, np.uint8)):
        propose = Cached(method, tmp_path)
        made, found = propose(image), propose(image)
        same(made, method(image))
        same(found, made)
        assert found.boxes.dtype == found.objectness.dtype == np.float32
    assert len(method(picture)) > 3


def test_content_decides_and_nothing_is_searched_twice(tmp_path):
    method = Counted()
    propose = Cached(method, tmp_path)
    for image in (IMAGE, IMAGE.copy(), np.asfortranarray(IMAGE)):
        propose(image)
    assert len(method.asked) == 1
    other = IMAGE.copy()
    other[3, 4, 1] ^= 1
    propose(other)
    propose(IMAGE.reshape(60, 40, 3))  # the same bytes
    assert len(method.asked) == 3


def test_other_settings_or_code_are_another_folder(tmp_path, monkeypatch):
    first = Cached(Grid(5), tmp_path).folder
    assert Cached(Grid(5), tmp_path).folder == first
    assert Cached(Grid(6), tmp_path).folder != first
    assert Cached(Counted(5), tmp_path).folder != first
    monkeypatch.setattr(cached, "code_sha256", lambda _: "another")
    assert Cached(Grid(5), tmp_path).folder != first


def test_a_damaged_file_is_made_anew(tmp_path):
    method = Counted()
    propose = Cached(method, tmp_path)
    made = propose(IMAGE)
    (path,) = propose.folder.iterdir()
    for content in (b"", path.read_bytes()[:-30], b"no array at all"):
        path.write_bytes(content)
        same(propose(IMAGE), made)
    assert len(method.asked) == 4
    same(propose(IMAGE), made)
    assert len(method.asked) == 4


def test_threads_may_share_a_folder(tmp_path):
    propose = Cached(Grid(5), tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(propose, [IMAGE] * 40):
            same(found, Grid(5)(IMAGE))
    assert [path.suffix for path in propose.folder.iterdir()] == [".npy"]


def test_scores_name_the_method_itself(tmp_path):
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    scenes = annotated(SceneGenerator(), 20, seed=0).subset(slice(0, 2))
    settings = {"network": network, "progress": False}
    one = scoring.score(scenes, Grid(4), out=tmp_path / "a.zarr", **settings)
    propose = Cached(Grid(4), tmp_path)
    other = scoring.score(scenes, propose, out=tmp_path / "b.zarr", **settings)
    assert other.attrs == one.attrs
    np.testing.assert_array_equal(other.box, one.box)
    assert uncached(propose) == uncached(Grid(4)) == Grid(4)


def test_an_error_of_the_method_is_not_kept(tmp_path):
    propose = Cached(EdgeBoxes(), tmp_path)
    with pytest.raises(ValueError, match="uint8"):
        propose(IMAGE.astype(np.float32))
    assert not propose.folder.exists()
    assert isinstance(replace(propose)(IMAGE), Proposals)
