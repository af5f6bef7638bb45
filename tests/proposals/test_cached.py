"""Proposals kept on disk: found by content, proposed anew when anything changes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from arlib import scoring
from arlib.datasets import load
from arlib.networks import load_backbone
from arlib.proposals.cached import Cached
from arlib.proposals.controls import Grid
from arlib.proposals.edge_boxes import EdgeBoxes
from arlib.proposals.registry import make_proposals
from arlib.proposals.timeout import Deadline
from arlib.proposals.types import Proposals

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Counted:
    """A grid that notes the shapes of the images that it is called with."""

    max_regions: int = 5
    asked: list = field(default_factory=list, compare=False)

    def __call__(self, image):
        self.asked.append(image.shape)
        return Grid(max_regions=self.max_regions)(image)


def same(one, other):
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.objectness, other.objectness)


def test_what_is_read_is_what_was_proposed(tmp_path):
    method = EdgeBoxes(max_regions=20)
    scene = load("scenes-annotated", n=20).read(0)
    for image in (scene, np.full((50, 50, 3), 9, np.uint8)):
        propose = Cached(method, tmp_path)
        first, again = propose(image), propose(image)
        same(first, method(image))
        same(again, first)
        assert again.boxes.dtype == again.objectness.dtype == np.float32
    assert len(method(scene)) > 3


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


def test_other_settings_are_another_folder(tmp_path):
    first = Cached(Grid(5), tmp_path).folder
    assert Cached(Grid(5), tmp_path).folder == first
    assert Cached(Grid(6), tmp_path).folder != first
    assert Cached(Counted(5), tmp_path).folder != first
    assert Cached(Grid(5)).folder.name == first.name


def test_a_damaged_file_is_replaced(tmp_path):
    method = Counted()
    propose = Cached(method, tmp_path)
    proposals = propose(IMAGE)
    (path,) = propose.folder.iterdir()
    for content in (b"", path.read_bytes()[:-30], b"no array at all"):
        path.write_bytes(content)
        same(propose(IMAGE), proposals)
    assert len(method.asked) == 4
    same(propose(IMAGE), proposals)
    assert len(method.asked) == 4


def test_threads_may_share_a_folder(tmp_path):
    propose = Cached(Grid(5), tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for proposals in pool.map(propose, [IMAGE] * 40):
            same(proposals, Grid(5)(IMAGE))
    assert [path.suffix for path in propose.folder.iterdir()] == [".npy"]


def test_scores_name_the_method_itself(tmp_path):
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    scenes = load("scenes-annotated", n=20).subset(slice(0, 2))
    settings = {"network": network, "progress": False}
    plain = scoring.score(scenes, Grid(4), out=tmp_path / "plain.zarr", **settings)
    wrapped = Deadline(Cached(Grid(4), tmp_path), seconds=60)
    scores = scoring.score(scenes, wrapped, out=tmp_path / "wrapped.zarr", **settings)
    assert scores.attrs == plain.attrs
    assert scores.attrs["proposals"] == {"method": "Grid", "max_regions": 4}
    np.testing.assert_array_equal(scores.box, plain.box)


def test_an_error_of_the_method_is_not_kept(tmp_path):
    propose = Cached(EdgeBoxes(), tmp_path)
    with pytest.raises(ValueError, match="uint8"):
        propose(IMAGE.astype(np.float32))
    assert not propose.folder.exists()
    assert isinstance(replace(propose)(IMAGE), Proposals)


def test_a_method_is_wrapped_by_name():
    cached = make_proposals("grid", cached=True, max_regions=4)
    assert cached == Cached(Grid(4))
    assert make_proposals("grid", deadline=60, max_regions=4) == Deadline(Grid(4), 60)
    both = make_proposals("grid", cached=True, deadline=60, max_regions=4)
    assert both == Deadline(cached, 60)
    assert both.max_regions == 4
