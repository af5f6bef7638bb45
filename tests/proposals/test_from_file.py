"""Boxes of a file: found by an image's name, and refused where they are no boxes of it."""

import hashlib
import json
import pickle
from dataclasses import asdict

import numpy as np
import pytest
from tests.experiments.helpers import drawn_dataset

from arlib.networks import load_backbone
from arlib.proposals import Grid, bound, make_proposals, propose_named
from arlib.scoring import Classifiers, score, score_cross_fold

IMAGE = np.zeros((30, 50, 3), np.uint8)
HEAD = "image,x0,y0,x1,y1,score"


@pytest.fixture
def csv_of(tmp_path):
    """Return a function that writes rows of boxes, and makes the method of them."""

    def make(*rows, head=HEAD, name="boxes.csv", **settings):
        (tmp_path / name).write_text("\n".join([head, *rows]) + "\n")
        return make_proposals(str(tmp_path / name), **settings)

    return make


@pytest.fixture
def json_of(tmp_path):
    def make(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "boxes.json").write_text(text)
        return make_proposals(str(tmp_path / "boxes.json"))

    return make


def boxes_of(method, key, keys=None):
    return propose_named(bound(method, keys or [key]), IMAGE, key).boxes.tolist()


def result(image, score=0.5, box=(1, 2, 10, 20), **more):
    return {"image_id": image, "bbox": [*box], "score": score, **more}


def test_boxes_are_in_order_of_their_scores_and_the_best_are_kept(csv_of):
    rows = ["a.jpg,0,0,5,5,0.2", "b.jpg,0,0,9,9,1", "a.jpg,1,1,6,6,0.9", "a.jpg,2,2,7,7,0.5"]
    method = bound(csv_of(*rows, max_regions=2), ["a.jpg", "b.jpg", "c.jpg"])
    proposals = propose_named(method, IMAGE, "a.jpg")
    assert proposals.boxes.tolist() == [[1, 1, 6, 6], [2, 2, 7, 7]]
    np.testing.assert_array_equal(proposals.objectness, np.float32([0.9, 0.5]))
    assert len(propose_named(method, IMAGE, "c.jpg")) == 0, "an image may have no box"


def test_columns_may_stand_in_any_order_among_others(csv_of):
    method = csv_of("0.5,cat,9,8,2,1,a.jpg", head="score,what,y1,x1,y0,x0,image")
    assert boxes_of(method, "a.jpg") == [[1, 2, 8, 9]]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a/1.jpg", "a/1.jpg"),
        ("a\\1.jpg", "x/1.jpg"),
        ("1.jpg", "x/1.jpg"),
        ("/far/away/1.jpg", "x/1.jpg"),
        ("1", "x/1.png"),
        ("1.jpg", "1"),
    ],
)
def test_an_image_is_found_by_its_key_or_its_files_name(csv_of, name, key):
    method = csv_of(f"{name},1,2,11,22,0.5", "other.jpg,0,0,9,9,0.5")
    assert boxes_of(method, key) == [[1, 2, 11, 22]]


def test_of_two_files_of_one_name_each_is_found_by_its_key_alone(csv_of):
    method = csv_of("a/1.jpg,0,0,5,5,1", "b/1.jpg,0,0,9,9,1")
    keys = ["a/1.jpg", "b/1.jpg", "c/1.jpg"]
    assert boxes_of(method, "a/1.jpg", keys) == [[0, 0, 5, 5]]
    assert boxes_of(method, "b/1.jpg", keys) == [[0, 0, 9, 9]]
    assert boxes_of(method, "c/1.jpg", keys) == []


def test_a_name_of_two_images_is_refused(csv_of):
    with pytest.raises(ValueError, match=r"'1.jpg' may be 'a/1.jpg' or 'b/1.jpg': give their keys"):
        bound(csv_of("1.jpg,0,0,5,5,1"), ["a/1.jpg", "b/1.jpg"])


def test_a_file_that_names_no_image_is_refused(csv_of):
    message = r"names none of the 2 images: it has 'c\.jpg', they are 'a\.jpg' and so on"
    with pytest.raises(ValueError, match=message):
        bound(csv_of("c.jpg,0,0,5,5,1"), ["a.jpg", "b.jpg"])
    with pytest.raises(ValueError, match=r"it has no box, they are 'a\.jpg'"):
        bound(csv_of(), ["a.jpg"])
    with pytest.raises(ValueError, match=r"boxes\.csv: no image is given"):
        bound(csv_of("c.jpg,0,0,5,5,1"), [])


def test_images_that_the_file_does_not_name_are_counted(csv_of, caplog):
    method = csv_of("a.jpg,0,0,5,5,1")
    bound(bound(method, ["a.jpg", "b.jpg", "c.jpg"]), ["a.jpg", "b.jpg"])
    assert [record.getMessage() for record in caplog.records] == [
        f"{method.path} names 1 of 3 images; the others have no regions"
    ]
    bound(method, ["a.jpg"])
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ([result("a.jpg")], "x/a.jpg"),
        ([result(139)], "val/000000000139.jpg"),
        ([result(7, file_name="a.jpg")], "a.jpg"),
        (
            {
                "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "7.jpg"}],
                "annotations": [result(7)],
            },
            "a.jpg",
        ),
    ],
)
def test_cocos_results_are_corner_and_size(json_of, content, key):
    assert boxes_of(json_of(content), key, [key, "other.jpg"]) == [[1, 2, 11, 22]]


def test_a_number_is_an_image_id_only_where_no_name_is_known(json_of):
    listed = {"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [result(7)]}
    with pytest.raises(ValueError, match=r"names none of the 1 images"):
        bound(json_of(listed), ["7.jpg"])


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("a.jpg,0,0,5,nan,1", r"row 2: a number is not finite"),
        ("a.jpg,0,0,inf,5,1", r"row 2: a number is not finite"),
        ("a.jpg,0,0,5,5,", r"row 2: could not convert"),
        ("a.jpg,0,0,5", r"row 2: .*not 'NoneType'"),
        ("a.jpg,5,0,5,5,1", r"row 2: a box needs x0 < x1 and y0 < y1, not \[5.0, 0.0, 5.0, 5.0\]"),
        ("a.jpg,0,0,5,5,-1", r"row 2: a score must be at least 0"),
        (",0,0,5,5,1", r"row 2: no image is named"),
    ],
)
def test_a_row_that_is_no_box_is_named(csv_of, row, wrong):
    with pytest.raises(ValueError, match=wrong):
        csv_of(row)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("[{", "not in COCO's form of results"),
        ("3", "not in COCO's form of results"),
        ({"images": []}, "not in COCO's form of results: 'annotations'"),
        ([{"image_id": 1, "bbox": [0, 0, 1, 1]}], "result 0: KeyError.*score"),
        ([result(1, box=(0, 0, 5))], "result 0: .*not enough values"),
        ([result(1, score="high")], "result 0: .*'high' is not a number"),
        ([result(1, score="0.5")], "result 0: .*'0.5' is not a number"),
        ([result(1, score=True)], "result 0: .*True is not a number"),
        ([result(1, box=("1", "2", "20", "30"))], "result 0: .*'1' is not a number"),
        ([result(1, box=(0, 0, True, 5))], "result 0: .*True is not a number"),
        ([result(1, score=10**400)], "result 0: OverflowError"),
        ([result(1, box=(10**400, 0, 5, 5))], "result 0: OverflowError"),
        ([result(1, box=(0, 0, 0, 5))], "result 0: a box needs x0 < x1"),
        ("[" + json.dumps(result(1, score=float("nan"))) + "]", "result 0: a number is not finite"),
        (
            {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [result(2)]},
            "image_id 2 is not in the list of images",
        ),
        ([["a"]], "result 0: TypeError"),
    ],
)
def test_a_result_that_is_no_box_is_named(json_of, content, wrong):
    with pytest.raises(ValueError, match=wrong) as caught:
        json_of(content)
    assert "\n" not in str(caught.value)


def test_wrong_columns_are_named_and_what_there_should_be(csv_of):
    with pytest.raises(ValueError, match="no column x1, y1; it needs image, x0, y0, x1, y1, score"):
        csv_of("a.jpg,0,0,1,1,1", head="image,x0,y0,w,h,score")


def test_there_must_be_a_file_of_a_known_type(tmp_path):
    with pytest.raises(ValueError, match=r"no file of boxes nowhere.csv: No such file"):
        make_proposals("nowhere.csv")
    with pytest.raises(ValueError, match=r"'boxes.txt'; .*, and a file of boxes, X.csv or X.json"):
        make_proposals("boxes.txt")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"b.csv: 'utf-8' codec"):
        make_proposals(str(tmp_path / "b.csv"))


def test_a_box_outside_its_image_is_refused_but_for_rounding(csv_of):
    method = bound(csv_of("a.jpg,-0.6,0,50.4,31,1", "b.jpg,0,0,50,32,1"), ["a.jpg", "b.jpg"])
    assert propose_named(method, IMAGE, "a.jpg").boxes.tolist() == [[0, 0, 50, 30]]
    with pytest.raises(
        ValueError, match=r"a box of b.jpg, .*, is not within the image, .* 50 x 30"
    ):
        propose_named(method, IMAGE, "b.jpg")


def test_without_a_name_no_boxes_are_found(csv_of):
    method = csv_of("a.jpg,0,0,5,5,1")
    for each, key in ((method, "a.jpg"), (bound(method, ["a.jpg"]), "b.jpg")):
        with pytest.raises(ValueError, match="has boxes by images' names, and this image has none"):
            propose_named(each, IMAGE, key)
    with pytest.raises(ValueError, match="and this image has none"):
        method(IMAGE)


def test_its_provenance_is_the_files_hash(csv_of, tmp_path):
    method = bound(csv_of("a.jpg,0,0,5,5,1", max_regions=7), ["a.jpg"])
    path = tmp_path / "boxes.csv"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert asdict(method) == {"path": str(path), "max_regions": 7, "sha256": sha256}
    again = pickle.loads(pickle.dumps(method))  # as workers get it
    assert boxes_of(again, "a.jpg") == [[0, 0, 5, 5]]
    assert make_proposals(str(path), cached=True, deadline=9, max_regions=7) == method
    with pytest.raises(ValueError, match="no setting 'levels'"):
        make_proposals(str(path), levels=3)


def test_other_methods_need_no_name():
    method = Grid(3)
    assert bound(method, []) is method
    assert propose_named(method, IMAGE, "any").boxes.tolist() == method(IMAGE).boxes.tolist()


def test_scores_are_of_the_files_boxes_shard_by_shard(csv_of, tmp_path):
    """The first shard holds no image that the file names."""
    images = [np.full((30, 50, 3), level, np.uint8) for level in (10, 90, 170, 250)]
    dataset = drawn_dataset(images, np.array([0, 1, 0, 1], np.int8), np.array([1, 2, 1, 2]), -1)
    method = csv_of("p2.jpg,1,2,11,22,0.5", "p3.jpg,0,0,9,9,0.25", "p3.jpg,0,0,50,30,0.75")
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    whole = score(dataset, method, network, out=tmp_path / "a.zarr", progress=False)
    classifiers = Classifiers.one(network, dataset)
    how = {"shard_size": 1, "progress": False}
    parts, report = score_cross_fold(classifiers, dataset, method, tmp_path / "b.zarr", **how)
    assert report.shards == 4
    for scores in (whole, parts):
        assert scores.objectness.notnull().sum("region").values.tolist() == [0, 0, 1, 2]
        assert scores.box.values[3, :2].tolist() == [[0, 0, 50, 30], [0, 0, 9, 9]]
        assert scores.attrs["proposals"]["sha256"] == method.sha256
    full = whole.region_probability[3, 0] - whole.global_probability[3]
    assert float(abs(full).max()) < 1e-6, "a box of the full image"
