"""Readers of datasets: each on a small copy of its layout, and on the real one where it is."""

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from arlib import datasets
from arlib._support.progress import progress_bar
from arlib.datasets import Dataset, DatasetError, load_coco
from arlib.datasets.dataset import repeated_key
from arlib.datasets.folds import stratified_folds
from arlib.datasets.scenes import SceneGenerator, draw_scenes, ground_truth, render


def save_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(path)


@pytest.fixture
def twitter2(tmp_path):
    """Six labelled rows, five of them with an image, one in each partition."""
    rows = [f"{i}.jpg\t{'negative' if i % 3 == 0 else 'positive'}" for i in range(1, 7)]
    text = "\r\n".join(["Image\tSentiment", *rows]) + "\r\n"
    (tmp_path / "groundTruthLabel.txt").write_bytes(text.encode())
    for i in range(1, 6):
        save_image(tmp_path / f"partition{i}" / f"{6 - i}.jpg")
    return tmp_path


def test_twitter2_is_read_in_its_own_layout(twitter2):
    ds = datasets.load("twitter2", twitter2)
    assert len(ds) == 5
    assert ds.keys.tolist() == ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert ds.labels.tolist() == [0, 0, 1, 0, 0]
    assert ds.folds.tolist() == [5, 4, 3, 2, 1]
    assert ds.emotions == ("positive", "negative")
    assert ds.counts == {"rows": 6, "rows without image": 1}
    assert ds.path(0) == twitter2 / "partition5" / "1.jpg"
    assert {ds.labels.dtype, ds.folds.dtype} == {np.dtype(np.int8)}


def test_twitter2_refuses_what_contradicts_itself(twitter2):
    labels = twitter2 / "groundTruthLabel.txt"
    text = labels.read_text()
    save_image(twitter2 / "partition1" / "7.jpg")
    with pytest.raises(DatasetError, match=r"1 images have no label in .*: \['7.jpg'\]"):
        datasets.load("twitter2", twitter2)
    (twitter2 / "partition1" / "7.jpg").unlink()
    labels.write_text(text + "8.jpg\thappy\n")
    with pytest.raises(DatasetError, match=r"line 8: \['8.jpg', 'happy'\] is no label"):
        datasets.load("twitter2", twitter2)
    labels.write_text(text + "1.jpg\tnegative\n")
    with pytest.raises(DatasetError, match=r"line 8: 1.jpg came already in line 2"):
        datasets.load("twitter2", twitter2)
    labels.write_text(text)
    save_image(twitter2 / "partition1" / "1.jpg")
    with pytest.raises(DatasetError, match=r"1.jpg is in partition1/1.jpg and"):
        datasets.load("twitter2", twitter2)


def test_twitter2_names_what_is_missing(twitter2):
    save_image(twitter2 / "partition3" / "x.jpg")
    for path in (twitter2 / "partition3").iterdir():
        path.unlink()
    (twitter2 / "partition3").rmdir()
    with pytest.raises(DatasetError, match=r"no folder .*partition3"):
        datasets.load("twitter2", twitter2)
    (twitter2 / "groundTruthLabel.txt").unlink()
    with pytest.raises(DatasetError, match=r"no label file .*groundTruthLabel.txt"):
        datasets.load("twitter2", twitter2)


@pytest.fixture
def oasis(tmp_path):
    """Ten images of each kind, one row without an image, one between the bounds; CR line ends."""
    lines = [",Theme,Category,Valence_mean"]
    for i in range(10):
        lines += [f"I{i},Good {i},Object,{4.5 + i / 10}", f"J{i},Bad {i} ,Scene,{3.5 - i / 10}"]
        save_image(tmp_path / "images" / f"Good {i}.jpg")
        save_image(tmp_path / "images" / f"Bad {i}.jpg")
    lines += ["K,Gone,Object,6.0", "L,Middling,Object,4.0"]
    save_image(tmp_path / "images" / "Middling.jpg")
    (tmp_path / "OASIS.csv").write_bytes("\r".join(lines).encode())
    return tmp_path


def test_oasis_labels_by_valence(oasis):
    ds = datasets.load("oasis", oasis)
    assert len(ds) == 20
    assert np.char.startswith(ds.keys, "Bad").tolist() == ds.labels.astype(bool).tolist()
    assert ds.counts == {"rows": 22, "rows between the bounds": 1, "rows without image": 1}
    assert ds.path(1).is_file()
    for fold in range(1, 6):
        assert np.bincount(ds.labels[ds.folds == fold]).tolist() == [2, 2]
    again, other = datasets.load("oasis", oasis), datasets.load("oasis", oasis, seed=1)
    assert (again.folds == ds.folds).all()
    assert (other.folds != ds.folds).any()


def test_oasis_bounds_are_parameters(oasis):
    ds = datasets.load("oasis", oasis, positive_from=5.0, negative_to=3.0, n_folds=2)
    assert np.bincount(ds.labels).tolist() == [5, 5]
    with pytest.raises(DatasetError, match=r"negative_to 4.5 must be below positive_from 4.5"):
        datasets.load("oasis", oasis, negative_to=4.5)
    with pytest.raises(
        DatasetError,
        match="oasis: 11 folds need 11 images of every class, and positive has 10, neg",
    ):
        datasets.load("oasis", oasis, n_folds=11)


def test_oasis_refuses_what_contradicts_itself(oasis):
    save_image(oasis / "images" / "Stray.jpg")
    with pytest.raises(DatasetError, match=r"1 images have no row: \['Stray'\]"):
        datasets.load("oasis", oasis)
    (oasis / "OASIS.csv").write_text("Theme,Mean\nx,4\n")
    with pytest.raises(DatasetError, match=r"line 1: the header .* lacks Valence_mean"):
        datasets.load("oasis", oasis)
    for row, message in [
        ("x,nan", "line 2: 'nan' is no valence from 1 to 7"),
        ("x,much", "line 2: 'much' is no valence"),
        ("x,7.01", "line 2: '7.01' is no valence"),
        ("x,4\nx ,4", "line 3: x came already in line 2"),
    ]:
        (oasis / "OASIS.csv").write_text(f"Theme,Valence_mean\n{row}\n")
        with pytest.raises(DatasetError, match=message):
            datasets.load("oasis", oasis)
    (oasis / "OASIS.csv").unlink()
    with pytest.raises(DatasetError, match=r"no table .*OASIS.csv"):
        datasets.load("oasis", oasis)


ANPS = """The sentiment value of each ANP is created by merging two values.

1. beautiful [sentiment: 1.00] [#images: 7,000,000]
\tbeautiful_flower [sentiment: 1.77] [#imgs: 2,380,000]
\tbeautiful_day [sentiment: 0.00] [#imgs: 13]
2. dark [sentiment: -0.50] [#images: 1,000]
\tdark_night [sentiment: -1.2] [#imgs: 9]
\tdark_wood [sentiment: -0.1] [#imgs: 9]
\told_dark_wood [sentiment: 2] [#imgs: 9]
"""


@pytest.fixture
def vso(tmp_path):
    """Four pairs with a sentiment that has a sign, one whose is 0, one with none."""
    (tmp_path / "3244ANPs.txt").write_text(ANPS)
    counts = {"beautiful_flower": 12, "dark_night": 8, "old_dark_wood": 8, "dark_wood": 12}
    for pair, n in {**counts, "beautiful_day": 3, "cute_cat": 2}.items():
        for i in range(n):
            save_image(tmp_path / "bi_concepts1553" / pair / f"{i:02}.jpg")
    (tmp_path / "bi_concepts1553" / "dark_wood" / "notes.txt").write_text("x")
    (tmp_path / "bi_concepts1553" / "index.txt").write_text("x")
    return tmp_path


def test_vso_labels_by_the_sign_of_the_pairs_sentiment(vso):
    ds = datasets.load("vso", vso)
    labels = {"beautiful_flower": 0, "dark_night": 1, "dark_wood": 1, "old_dark_wood": 0}
    assert len(ds) == 40
    assert set(ds.tags.tolist()) == set(labels)
    assert ds.labels.tolist() == [labels[tag] for tag in ds.tags.tolist()]
    assert ds.keys[0] == "beautiful_flower/00.jpg"
    assert ds.files is ds.keys
    for index, (key, tag) in enumerate(zip(ds.keys.tolist(), ds.tags.tolist(), strict=True)):
        assert ds.path(index) == vso / "bi_concepts1553" / tag / key.removeprefix(f"{tag}/")
        assert ds.path(index).is_file()


def test_vso_leaves_out_pairs_without_a_sentiment_and_counts_them(vso):
    """One that the table lacks, and one whose sentiment is 0, which has no sign."""
    ds = datasets.load("vso", vso)
    assert ds.counts == {"pairs": 4, "pairs without sentiment": 2, "other files": 1}
    assert not {"cute_cat", "beautiful_day"} & set(ds.tags.tolist())


def test_vso_holds_a_tenth_of_either_label_out(vso):
    ds = datasets.load("vso", vso)
    assert set(ds.folds.tolist()) == {1, -1}
    assert np.bincount(ds.labels[ds.folds == 1]).tolist() == [2, 2]
    again, other = datasets.load("vso", vso), datasets.load("vso", vso, seed=1)
    assert (again.folds == ds.folds).all()
    assert (other.folds != ds.folds).any()
    fifth = datasets.load("vso", vso, n_folds=5)
    assert np.bincount(fifth.labels[fifth.folds == 1]).tolist() == [4, 4]
    every = datasets.load("vso", vso, n_folds=5, held_out=False)
    assert ((every.folds == 1) == (fifth.folds == 1)).all()
    assert np.bincount(every.folds).tolist() == [0, 8, 8, 8, 8, 8]


def test_vso_holds_out_what_a_file_names(vso):
    drawn = datasets.load("vso", vso)
    chosen = np.where(np.arange(40) < 3, 1, -1).astype(np.int8)
    shuffled = replace(drawn, folds=chosen).subset(np.random.default_rng(0).permutation(40))
    shuffled.save_folds(vso / "folds.csv")
    stated = datasets.load("vso", vso)
    assert stated.keys is stated.files
    for name in ("keys", "labels", "folds", "tags"):  # in the order of the file
        assert getattr(stated, name).tolist() == getattr(shuffled, name).tolist()
    assert datasets.load("vso", vso, n_folds=10).folds.tolist() == drawn.folds.tolist()
    replace(drawn, folds=np.arange(40, dtype=np.int8) % 4 + 1).save_folds(vso / "folds.csv")
    assert np.bincount(datasets.load("vso", vso).folds + 1).tolist() == [30, 0, 10]
    assert set(datasets.load("vso", vso, held_out=False).folds.tolist()) == {1, 2, 3, 4}


def test_what_vso_holds_out_is_a_dataset_of_its_own(vso, caplog):
    both, part = datasets.load("vso", vso), datasets.load("vso-held-out", vso, seed=3)
    out = both.folds == 1
    assert part.name == "vso-held-out"
    for name in ("keys", "labels", "tags"):
        assert getattr(part, name).tolist() == getattr(both, name)[out].tolist()
    assert part.folds.tolist() == stratified_folds(part.labels, 2, 3).tolist()
    assert caplog.messages[-1] == "vso-held-out: positive has 2 images: 2 folds, not 5"
    replace(both, folds=np.arange(40, dtype=np.int8) % 2 + 1).save_folds(vso / "folds.csv")
    part = datasets.load("vso-held-out", vso)
    assert part.keys.tolist() == both.keys[::2].tolist()
    assert part.folds.tolist() == stratified_folds(part.labels, 5, 0).tolist()


@pytest.mark.parametrize("name", ["twitter1-five", "vso-held-out"])
def test_a_part_is_got_with_its_dataset(name, monkeypatch, tmp_path):
    source = datasets.source_of(name)
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    with pytest.raises(
        DatasetError, match=f"^{name} is not here: get it .`arlib data where {source}"
    ):
        datasets.load(name)
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match=f"^{name} is not at {tmp_path / source}: `arlib data w"):
        datasets.load(name)
    assert datasets.describe(name) == datasets.describe(source)
    with pytest.raises(DatasetError, match=f"^{source} is not here: `arlib data where {source}`"):
        list(datasets.check(name))


def test_vso_refuses_a_split_of_other_images(vso):
    drawn, path = datasets.load("vso", vso), vso / "folds.csv"
    replace(drawn, folds=np.full(40, -1, np.int8)).save_folds(path)
    with pytest.raises(DatasetError, match=r"folds\.csv: no image is in fold 1, which is held"):
        datasets.load("vso", vso)
    path.write_text("image,fold\ndark_wood/77.jpg,1\n")
    with pytest.raises(DatasetError, match="line 2: vso has no image 'dark_wood"):
        datasets.load("vso", vso)
    path.write_text("image,fold\ndark_wood/00.jpg,1\n")
    with pytest.raises(DatasetError, match="lacks 39 images of vso"):
        datasets.load("vso", vso)


def test_vso_refuses_a_second_sentiment(vso):
    table = vso / "3244ANPs.txt"
    table.write_text(f"{ANPS}\tdark_wood [sentiment: 1.0]\n")
    with pytest.raises(DatasetError) as caught:
        datasets.load("vso", vso)
    assert str(caught.value) == f"{table}, line 10: dark_wood came already in line 8"


def test_vso_names_what_is_missing(vso):
    (vso / "bi_concepts1553").rename(vso / "elsewhere")
    with pytest.raises(DatasetError, match=r"must hold 3244ANPs\.txt and bi_concepts1553/"):
        datasets.load("vso", vso)
    (vso / "bi_concepts1553").mkdir()
    with pytest.raises(DatasetError, match="vso: no image under"):
        datasets.load("vso", vso)
    (vso / "3244ANPs.txt").unlink()
    with pytest.raises(DatasetError, match=r"must hold 3244ANPs\.txt and bi_concepts1553/"):
        datasets.load("vso", vso)


def class_folders(root, classes, n=3):
    for name in classes:
        for i in range(n):
            save_image(root / name / f"{i}.PNG")


def test_a_folder_of_class_folders(tmp_path):
    class_folders(tmp_path, ["negative", "positive"])
    (tmp_path / "negative" / "notes.txt").write_text("x")
    (tmp_path / "negative" / ".hidden.png").write_text("x")
    ds = datasets.load("folder", tmp_path, n_folds=3)
    assert ds.emotions == ("positive", "negative")
    assert ds.keys[0] == "positive/0.PNG"
    assert ds.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert sorted(ds.folds.tolist()) == [1, 1, 2, 2, 3, 3]
    assert ds.counts == {"other files": 1}
    assert datasets.load("folder", tmp_path, n_folds=0).folds.tolist() == [-1] * 6


def test_a_folder_of_other_classes_goes_by_name(tmp_path):
    class_folders(tmp_path, ["joy", "anger", "fear"])
    assert datasets.load("folder", tmp_path, n_folds=2).emotions == ("anger", "fear", "joy")


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(DatasetError, match=r"needs a folder for each of two classes: \[\]"):
        datasets.load("folder", tmp_path)
    class_folders(tmp_path, ["a", "b"])
    save_image(tmp_path / "stray.jpg")
    with pytest.raises(DatasetError, match=r"1 images have no class folder: \['stray.jpg'\]"):
        datasets.load("folder", tmp_path)
    (tmp_path / "stray.jpg").unlink()
    (tmp_path / "c").mkdir()
    with pytest.raises(DatasetError, match=r"no image in .*c"):
        datasets.load("folder", tmp_path)


def test_images_without_labels(tmp_path):
    save_image(tmp_path / "a.jpg")
    save_image(tmp_path / "more" / "b.png")
    (tmp_path / "c.txt").write_text("x")
    ds = datasets.load(tmp_path)
    assert ds.keys.tolist() == ["a.jpg", "more/b.png"]
    assert ds.labels.tolist() == ds.folds.tolist() == [-1, -1]
    assert ds.counts == {"other files": 1}
    assert datasets.load(tmp_path, emotions=("joy", "fear")).emotions == ("joy", "fear")
    with pytest.raises(DatasetError, match="no folder"):
        datasets.load(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no image under"):
        datasets.load(tmp_path / "empty")


def test_what_is_not_here_names_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    with pytest.raises(DatasetError, match="set ARLIB_DATA to the folder that holds twitter2/"):
        datasets.load("twitter2")
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match=rf"oasis is not at {tmp_path}/oasis: `arlib data"):
        datasets.load("oasis")
    with pytest.raises(
        DatasetError,
        match=r"no dataset 'emotionsroi' \(did you mean emotionroi\?\); there are abstract, artp",
    ):
        datasets.load("emotionsroi")


def make(**changes):
    arrays = {
        "keys": np.array(["a", "b"]),
        "files": np.array(["a.jpg", "b.jpg"]),
        "labels": np.array([0, 1], np.int8),
        "folds": np.array([1, 2], np.int8),
    }
    return Dataset(name="x", root=None, **{**arrays, **changes})


def test_a_dataset_checks_its_parts():
    with pytest.raises(DatasetError, match="arrays of different lengths"):
        make(folds=np.array([1], np.int8))
    with pytest.raises(DatasetError, match="the key 'a' comes twice"):
        make(keys=np.array(["a", "a"]))
    with pytest.raises(DatasetError, match=r"labels must lie in -1..1"):
        make(labels=np.array([0, 2], np.int8))


def test_equal_hashes_are_no_equal_keys():
    assert repeated_key(np.array(["a", "b"]), hash_of=lambda key: 5) is None
    assert repeated_key(np.array(["b", "a", "a"]), hash_of=lambda key: 5) == "a"


def test_keys_that_are_files_stay_one_array():
    keys = np.array(["a.jpg", "b.jpg"])
    dataset = make(keys=keys, files=keys)
    for copy in (dataset.subset([1]), pickle.loads(pickle.dumps(dataset))):
        assert copy.files is copy.keys
    assert dataset.subset([1]).keys.tolist() == ["b.jpg"]
    assert make().subset([1]).files is not make().subset([1]).keys


class TestReadMap:
    def test_grey_levels_over_the_greatest(self, tmp_path):
        level = np.array([[0, 51, 255], [255, 102, 0]], np.uint8)
        Image.fromarray(level).save(tmp_path / "b.png")
        ds = replace(make(maps=np.array(["", "b.png"])), root=tmp_path)
        read = ds.read_map(1)
        assert (read.dtype, read.shape) == (np.float32, (2, 3))
        assert read.tolist() == (level / np.float32(255)).tolist()
        assert ds.subset([1]).read_map(0).tolist() == read.tolist()
        with pytest.raises(DatasetError, match=r"^x: a has no map$"):
            ds.read_map(0)

    def test_without_maps(self):
        with pytest.raises(DatasetError, match=r"^x: b has no map$"):
            make().read_map(1)


def test_a_subset_keeps_what_belongs_together():
    for index in ([1], np.array([False, True]), slice(1, None)):
        part = make().subset(index)
        assert (part.keys[0], part.files[0], part.labels[0], part.folds[0]) == ("b", "b.jpg", 1, 2)


def annotated(n, seed, **settings):
    return datasets.load("scenes-annotated", n=n, seed=seed, **settings)


def test_a_subset_keeps_what_people_wrote_and_how_many_agreed():
    dataset = annotated(60, seed=2)
    dataset = replace(dataset, tags=np.array([f"tag of {key}" for key in dataset.keys.tolist()]))
    assert set(dataset.agreement.tolist()) == {3, 4, 5}
    agreed = dict(zip(dataset.keys.tolist(), dataset.agreement.tolist(), strict=True))
    for index in ([7, 3], dataset.agreement == 4, slice(10, None, 3)):
        part = dataset.subset(index)
        assert part.agreement.tolist() == [agreed[key] for key in part.keys.tolist()]
        assert part.tags.tolist() == [f"tag of {key}" for key in part.keys.tolist()]


def test_what_has_no_tag_has_no_label():
    tagged = make(tags=np.array(["park", ""])).by_tag()
    assert (tagged.labels.tolist(), tagged.emotions) == ([0, -1], ("park",))


@pytest.mark.parametrize("name", ["tags", "agreement"])
def test_what_is_known_of_the_images_has_their_number(name):
    with pytest.raises(DatasetError, match=f"arrays of different lengths: .*'{name}': 3"):
        make(**{name: np.array([3, 4, 5])})


def test_agreement_is_how_many_of_five_gave_the_label():
    """`counts` has how many images at least so many agreed on."""
    dataset = annotated(60, seed=2)
    for m in (3, 4, 5):
        assert dataset.counts[f"{m} agree"] == (dataset.agreement >= m).sum()
    assert (annotated(60, seed=2, agreement=4).agreement >= 4).all()


class TestByTag:
    def test_labels_are_places_among_the_sorted_tags(self):
        tags = np.array(["wet dog", "big sky"])
        dataset = make(tags=tags).by_tag()
        assert dataset.emotions == ("big sky", "wet dog")
        assert dataset.labels.tolist() == [1, 0]
        assert dataset.name == "x by tag"
        assert (dataset.keys.tolist(), dataset.folds.tolist()) == (["a", "b"], [1, 2])

    def test_more_tags_than_eight_bits_count(self):
        n = 700
        tags = np.array([f"tag {number:03}" for number in range(n)])
        many = make(
            keys=tags,
            files=tags,
            labels=np.zeros(n, np.int8),
            folds=np.zeros(n, np.int8),
            tags=tags,
        )
        assert many.by_tag().labels.tolist() == list(range(n))

    def test_without_tags_there_is_nothing_to_label_by(self):
        with pytest.raises(ValueError, match="x has no tags"):
            make().by_tag()


class TestSha256:
    @pytest.fixture
    def root(self, tmp_path):
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / name).write_bytes(f"bytes of {name}".encode())
        return tmp_path

    def of(self, root, **changes):
        return replace(make(), root=root, **changes).sha256()

    def test_against_the_bytes_one_after_another(self, root):
        content = "a\nb0\n11\n2bytes of a.jpgbytes of b.jpg"
        assert self.of(root) == hashlib.sha256(content.encode()).hexdigest()

    @pytest.mark.parametrize(
        "change",
        [
            {"keys": np.array(["a", "c"])},
            {"labels": np.array([1, 1], np.int8)},
            {"folds": np.array([1, 3], np.int8)},
            {"files": np.array(["b.jpg", "a.jpg"])},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_other_data_have_another(self, root, change):
        assert self.of(root, **change) != self.of(root)

    def test_a_single_byte_of_an_image_counts(self, root):
        before = self.of(root)
        (root / "b.jpg").write_bytes(b"bytes of b.jpG")
        assert self.of(root) != before

    def test_an_image_that_is_not_there_counts(self, root):
        before = self.of(root)
        (root / "b.jpg").unlink()
        assert self.of(root) != before

    def test_an_image_whose_bytes_cannot_be_read_is_as_one_that_is_not_there(
        self, root, monkeypatch
    ):
        def read_bytes(path, usual=Path.read_bytes):
            if path.name == "b.jpg":
                raise PermissionError(13, "Permission denied", str(path))
            return usual(path)

        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        refused = self.of(root)
        (root / "b.jpg").unlink()
        assert self.of(root) == refused

    def test_the_bytes_are_read_once_while_no_file_changes(self, root, monkeypatch):
        read = []

        def read_bytes(path, usual=Path.read_bytes):
            read.append(path.name)
            return usual(path)

        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        first = self.of(root)
        assert self.of(root) == first
        assert read == ["a.jpg", "b.jpg"]
        assert self.of(root, folds=np.array([1, 3], np.int8)) != first
        (root / "a.jpg").write_bytes(b"bytes of A.jpg")
        assert self.of(root) != first
        assert read == ["a.jpg", "b.jpg"] * 3

    def test_a_bar_shows_after_a_moment(self, root, monkeypatch, capsys):
        shown = []

        def bar(rows, **settings):
            shown.append(settings)
            return progress_bar(rows, **settings)

        monkeypatch.setattr("arlib.datasets.dataset.progress_bar", bar)
        self.of(root)
        assert shown == [{"unit": "image", "desc": "x, SHA-256", "delay": 2.0}]
        assert capsys.readouterr().err == ""

    def test_the_same_data_elsewhere_have_the_same(self, root, tmp_path_factory):
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        for path in root.iterdir():
            (elsewhere / path.name).write_bytes(path.read_bytes())
        assert self.of(elsewhere) == self.of(root)

    def test_drawn_images_are_known_by_keys_labels_and_folds(self):
        first, again, other = (annotated(40, seed=seed).sha256() for seed in (1, 1, 2))
        assert first == again != other


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((4, 3, 3), np.nan), r"x: b is drawn as float64 \(4, 3, 3\); an image is"),
        (np.zeros((4, 3, 3), np.float32), r"b is drawn as float32 \(4, 3, 3\)"),
        (np.zeros((4, 3, 3), bool), r"b is drawn as bool"),
        (np.zeros((4, 3), np.uint8), r"b is drawn as uint8 \(4, 3\)"),
        (np.zeros((4, 3, 4), np.uint8), r"b is drawn as uint8 \(4, 3, 4\)"),
    ],
)
def test_what_is_drawn_must_be_an_image(image, message):
    drawn = make(files=np.array(["0", "1"]), draw=lambda number: image)
    with pytest.raises(DatasetError, match=message):
        drawn.read(1)


def test_what_is_drawn_is_asked_for_by_its_number():
    images = np.arange(2 * 4 * 3 * 3, dtype=np.uint8).reshape(2, 4, 3, 3)
    drawn = make(files=np.array(["1", "0"]), draw=images.__getitem__)
    assert (drawn.read(0) == images[1]).all()


def test_a_dataset_is_folded_anew():
    dataset = make(labels=np.array([-1, 1], np.int8))
    with pytest.raises(
        DatasetError, match="2 folds need 2 images of every class, and negative has 1: add images"
    ):
        dataset.with_stratified_folds(2, seed=0)
    assert dataset.with_stratified_folds(0, seed=0).folds.tolist() == [-1, -1]
    dataset = annotated(40, seed=1)
    again = dataset.with_stratified_folds(4, seed=3)
    assert again.folds.tolist() == stratified_folds(dataset.labels, 4, 3).tolist()
    assert again.keys is dataset.keys


def test_stratified_folds_are_those_of_scikit_learn():
    """Recorded runs were folded by it."""
    for seed in range(20):
        labels = np.random.default_rng(seed).choice([3, 0, 7], 90, p=[0.5, 0.3, 0.2])
        expected = np.zeros(90, int)
        splitter = StratifiedKFold(4, shuffle=True, random_state=seed)
        for number, (_, tested) in enumerate(splitter.split(labels, labels), 1):
            expected[tested] = number
        assert stratified_folds(labels, 4, seed).tolist() == expected.tolist()


@given(st.lists(st.integers(0, 3), min_size=40, max_size=200), st.integers(2, 4), st.integers(0, 9))
def test_stratified_folds_hold_every_labels_share(labels, n_folds, seed):
    labels = np.array(labels)
    counts = np.unique(labels, return_counts=True)[1]
    if counts.min() < n_folds:
        with pytest.raises(DatasetError, match=f"{n_folds} folds need {n_folds} images of every"):
            stratified_folds(labels, n_folds, seed)
        return
    folds = stratified_folds(labels, n_folds, seed)
    assert set(folds) == set(range(1, n_folds + 1))
    for label in np.unique(labels):
        share = np.bincount(folds[labels == label], minlength=n_folds + 1)[1:]
        assert share.max() - share.min() <= 1


def write_coco(root, **changes):
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 3, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": 3, "bbox": [1, 2, 10, 20], "iscrowd": 0},
            {"image_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 1},
            {"image_id": 3, "bbox": [4.5, 0, 5, 5]},
        ],
    }
    save_image(root / "images" / "a.jpg")
    save_image(root / "images" / "b.jpg")
    (root / "instances.json").write_text(json.dumps(content | changes))


def test_coco_ground_truth(tmp_path):
    write_coco(tmp_path)
    truth = load_coco(tmp_path)
    assert truth.read(0).shape == (3, 4, 3)
    assert truth.boxes[0].shape == (0, 4)
    assert truth.boxes[1].tolist() == [[1, 2, 11, 22], [4.5, 0, 9.5, 5]]
    assert len(truth) == 2


def test_coco_in_another_format(tmp_path):
    with pytest.raises(DatasetError, match=r"no .*instances\.json"):
        load_coco(tmp_path)
    write_coco(tmp_path, annotations=[{"image_id": 9, "bbox": [0, 0, 1, 1]}])
    with pytest.raises(DatasetError, match=r"not in COCO's format \(KeyError\(9\)\)"):
        load_coco(tmp_path)
    write_coco(tmp_path)
    (tmp_path / "images" / "b.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 images of .* are missing: \['b.jpg'\]"):
        load_coco(tmp_path)


def test_the_ground_truth_of_drawn_images_is_all_objects():
    generator = SceneGenerator()
    truth, scenes = ground_truth(generator, 40, seed=3), draw_scenes(generator, 40, seed=3)
    assert len(truth) == 40
    for of_image, boxes, present in zip(truth.boxes, scenes.boxes(), scenes.present, strict=True):
        assert of_image.dtype == np.float32
        assert of_image.tolist() == [box.tolist() for box in boxes[present]]
    faces = annotated(40, seed=3)
    for index, (boxes, known) in enumerate(zip(truth.boxes, faces.regions, strict=True)):
        assert (truth.read(index) == faces.read(index)).all(), "the same images as the sets'"
        known = known[~np.isnan(known).any(axis=1)]
        assert {tuple(box) for box in known} <= {tuple(box) for box in boxes}


def test_the_ground_truth_lies_where_something_is_drawn():
    """An object alone: what the image without it lacks is within its box, and fills it."""
    quiet = {"texture": 0, "pixel_noise": 0, "light_noise": 0, "warmth_noise": 0}
    generator = SceneGenerator(
        expressive=(0, 0), plain=(1, 1), weather_noise=0, weather_signal=0, **quiet
    )
    truth = ground_truth(generator, 20, seed=1)
    scenes = draw_scenes(generator, 20, seed=1)
    bare = render(replace(scenes, present=np.zeros_like(scenes.present)), range(20))
    for index, ((box,), empty) in enumerate(zip(truth.boxes, bare, strict=True)):
        rows, columns = np.nonzero((truth.read(index) != empty).any(axis=-1))
        extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(extent - box).max() <= 1.5


def test_an_image_without_an_object_has_no_box():
    truth = ground_truth(SceneGenerator(expressive=(0, 0), plain=(0, 0)), 3)
    assert [boxes.shape for boxes in truth.boxes] == [(0, 4)] * 3


def test_the_real_coco(data_root):
    truth = load_coco(data_root / "coco_val64")
    assert len(truth) == 64
    assert sum(map(len, truth.boxes)) > 400


def test_the_real_twitter2(data_root):
    ds = datasets.load("twitter2", data_root / "twitter2")
    assert np.bincount(ds.labels).tolist() == [470, 133]
    assert np.bincount(ds.folds)[1:].tolist() == [121, 121, 121, 121, 119]
    positives = [int(((ds.labels == 0) & (ds.folds == fold)).sum()) for fold in range(1, 6)]
    assert positives == [95, 99, 84, 98, 94]
    assert ds.counts == {"rows": 810, "rows without image": 207}


def test_the_real_oasis(data_root):
    ds = datasets.load("oasis", data_root / "oasis")
    assert len(ds) == 637
    assert all(ds.path(i).is_file() for i in range(len(ds)))
    assert ds.counts["rows"] == 900


def test_the_real_vso(data_root):
    """A few images of six pairs."""
    ds = datasets.load("vso", data_root / "vso")
    assert len(ds) == 72
    assert len(set(ds.tags.tolist())) == ds.counts["pairs"] == 6
    assert set(ds.labels.tolist()) == {0, 1}
    assert all(ds.path(i).is_file() for i in range(len(ds)))
    assert ds.read(0).ndim == 3
    assert 7 <= (ds.folds == 1).sum() <= 8
