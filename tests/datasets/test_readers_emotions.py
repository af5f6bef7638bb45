"""Readers of Twitter I, FI, EmotionROI, tables and Arrow shards, on files of their form."""

import pickle
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.datasets.helpers import fails, touch

from arlib.datasets import DatasetError, ImageError, load, read_image
from arlib.datasets.emotionroi import emotionroi
from arlib.datasets.fi import fi
from arlib.datasets.folds import stratified_folds
from arlib.datasets.shards import wrap_split
from arlib.datasets.table import COLUMNS, table
from arlib.datasets.twitter1 import read_lists, select_subset, twitter1

HOW = "`arlib data where twitter1` says how to get them"
MUST = (
    "a table has a column path (or file, filename, filepath, image, image_path, img, img_path), "
    "label (or emotion, sentiment, class, category), and, if you like, fold (or split)"
)
OTHERS = "rename or remove the others"
GET = "paths are relative to {}: get the images, or remove their rows"
MEMBERS = {"five": range(5), "four": range(1, 10), "three": [*range(2, 15), 4][:13]}
POSITIVE = {0, 1, 2, 5, 7, 10, 12}


def row(number):
    return f"{number:02}.jpg {int(number in POSITIVE)}"


def write_folds(root, agree, change=None):
    """Deal the members in turn: test k has every fifth, train all others."""
    members = MEMBERS[agree]
    for fold in range(1, 6):
        folder = root / f"{agree}_agrees" / f"test{fold}"
        folder.mkdir(parents=True, exist_ok=True)
        tested = [number for i, number in enumerate(members) if i % 5 == fold - 1]
        trained = [number for number in members if number not in tested]
        (folder / "test.txt").write_text("".join(f"{row(n)}\n" for n in tested))
        (folder / "train.txt").write_bytes("\r\n".join([*map(row, trained), ""]).encode())


@pytest.fixture
def lists(tmp_path):
    """The five-fold lists: four lacks one of five's images, three lacks two, as the real ones."""
    for agree in MEMBERS:
        write_folds(tmp_path / "ground_truth", agree)
    return tmp_path


@pytest.fixture
def first(tmp_path):
    """The first release: a list each, a BOM, mixed ends, a tab, blanks."""
    for agree, members in MEMBERS.items():
        text = "\ufeff" + "\r\n".join(row(n).replace(" ", " \t") for n in members) + " \n\n"
        (tmp_path / f"{agree}_agree.txt").write_text(text, encoding="utf-8", newline="")
    return tmp_path


def images(root, numbers, folder="Agg_AMT_Candidates"):
    return touch(root, *(f"{folder}/{number:02}.jpg" for number in numbers))


def subset(root, agree="three"):
    """Read a subset's lists, without the images: name -> label, fold."""
    return select_subset(root, read_lists(root), agree)


class TestTwitter1:
    @pytest.mark.parametrize("agree", ["five", "four", "three"])
    def test_the_folds_of_the_lists(self, lists, agree):
        ds = load("twitter1", images(lists, range(15)), agree=agree)
        members = MEMBERS[agree]
        fold = {f"{n:02}.jpg": i % 5 + 1 for i, n in enumerate(members)}
        assert dict(zip(ds.keys.tolist(), ds.folds.tolist(), strict=True)) == fold
        assert ds.keys.tolist() == sorted(fold), "an order that does not show the folds"
        assert [int(key[:2]) in POSITIVE for key in ds.keys.tolist()] == (ds.labels == 0).tolist()
        strictest = [5 if n < 5 else 4 if n < 10 else 3 for n in (int(k[:2]) for k in ds.keys)]
        assert ds.agreement.tolist() == strictest
        assert ds.counts == {
            "rows": len(members),
            "rows without image": 0,
            "images without label": 0,
        }
        assert ds.path(0) == lists / "Agg_AMT_Candidates" / ds.keys[0]
        assert {ds.labels.dtype, ds.folds.dtype, ds.agreement.dtype} == {np.dtype(np.int8)}

    @pytest.mark.parametrize("agree", ["five", "four", "three"])
    def test_a_subset_is_a_dataset_of_its_own(self, lists, agree):
        """One column: its own folds, and nothing that would split it by how many agreed."""
        images(lists, range(15))
        ds, same = load(f"twitter1-{agree}", lists), load("twitter1", lists, agree=agree)
        assert ds.name == f"twitter1-{agree}"
        assert ds.agreement is None
        for of in ("keys", "files", "labels", "folds"):
            assert getattr(ds, of).tolist() == getattr(same, of).tolist()
        with pytest.raises(DatasetError, match="no setting 'agree'; there are n_folds, seed"):
            load(f"twitter1-{agree}", lists, agree="three")

    def test_the_lists_may_lie_in_the_folder_itself(self, tmp_path):
        write_folds(tmp_path, "five")
        assert [fold for _, fold in subset(tmp_path, "five").values()] == [1, 2, 3, 4, 5]
        ds = load("twitter1", images(tmp_path, range(5)), agree="five")
        assert ds.folds.tolist() == [1, 2, 3, 4, 5]
        assert ds.agreement is None, "the other subsets are not here"

    @pytest.mark.parametrize("folder", ["Agg_AMT_Candidates", "images"])
    def test_the_first_release_is_dealt(self, first, folder):
        images(first, range(15), folder)
        ds = load("twitter1", first, agree="three", n_folds=3)
        assert ds.keys.tolist() == [f"{n:02}.jpg" for n in MEMBERS["three"]]
        assert (ds.labels == 0).tolist() == [n in POSITIVE for n in MEMBERS["three"]]
        assert ds.agreement.tolist() == [5] * 3 + [4] * 5 + [3] * 5
        assert ds.folds.tolist() == stratified_folds(ds.labels, 3, 0).tolist()
        five = load("twitter1", first, agree="three", seed=1)
        assert five.folds.tolist() == stratified_folds(ds.labels, 5, 1).tolist()

    def test_a_number_of_folds_deals_anew(self, lists):
        ds = load("twitter1", images(lists, range(15)), n_folds=2, seed=4)
        assert ds.folds.tolist() == stratified_folds(ds.labels, 2, 4).tolist()

    def test_of_both_releases_the_folds_count(self, lists):
        (lists / "five_agree.txt").write_text("99.jpg 1\n")
        assert "99.jpg" not in subset(lists, "five")

    def test_another_name_of_the_first_releases_lists(self, tmp_path):
        touch(tmp_path, "ground_truth/x")
        (tmp_path / "ground_truth" / "twitter_five_agrees.txt").write_text("my cat.jpg 1\n")
        assert subset(tmp_path, "five") == {"my cat.jpg": (0, -1)}

    def test_gaps_are_counted(self, lists):
        images(lists, [2, 3, 4, 14, 77])
        ds = load("twitter1", lists)
        assert sorted(ds.keys.tolist()) == ["02.jpg", "03.jpg", "04.jpg", "14.jpg"]
        assert ds.counts == {"rows": 13, "rows without image": 9, "images without label": 1}

    def test_labels_alone(self, lists):
        assert len(subset(lists)) == 13
        with fails(
            f"twitter1: 13 labels, but no images: {lists} has neither Agg_AMT_Candidates/ nor "
            f"images/; {HOW}"
        ):
            load("twitter1", lists)
        images(lists, [77])
        with fails(f"twitter1: none of the 13 images is in {lists / 'Agg_AMT_Candidates'}; {HOW}"):
            load("twitter1", lists)

    def test_no_lists(self, tmp_path):
        with fails(
            f"twitter1: {tmp_path} has neither four_agrees/ nor four_agree.txt, nor has its "
            f"ground_truth/; {HOW}"
        ):
            subset(tmp_path, "four")
        with fails("agree must be 'five', 'four' or 'three', not 5"):
            twitter1(tmp_path, agree=5)

    @pytest.mark.parametrize("line", ["00.jpg", "00.jpg 2", "00.jpg positive", "1"])
    def test_a_line_that_is_no_label(self, first, line):
        path = first / "five_agree.txt"
        path.write_text(f"09.jpg 1\r{line}\r")
        with fails(f"{path}, line 2: {line!r} is no label; a line is NAME.jpg and 1 or 0"):
            subset(first, "five")

    @pytest.mark.parametrize(
        ("name", "line", "text"),
        [
            ("test1/test.txt", "00.jpg 1", "line 2: 00.jpg came already in line 1"),
            ("test2/test.txt", "00.jpg 1", "line 2: 00.jpg is tested in test1 too"),
            ("test2/train.txt", "01.jpg 1", "line 5: 01.jpg is tested in this fold"),
            ("test2/train.txt", "88.jpg 1", "line 5: 88.jpg is tested in no fold"),
            ("test2/train.txt", "00.jpg 1", "line 5: 00.jpg came already in line 1"),
        ],
    )
    def test_folds_that_contradict_each_other(self, lists, name, line, text):
        path = lists / "ground_truth" / "five_agrees" / name
        path.write_text(path.read_text() + line + "\n")
        with fails(f"{path}, {text}"):
            subset(lists, "five")

    def test_a_train_list_with_another_label_or_a_gap(self, lists):
        path = lists / "ground_truth" / "five_agrees" / "test2" / "train.txt"
        path.write_text("00.jpg 1\n02.jpg 0\n")
        with fails(f"{path}, line 2: 02.jpg has another label in test3/test.txt"):
            subset(lists, "five")
        path.write_text("00.jpg 1\n02.jpg 1\n")
        with fails(f"{path}: 2 images of the other folds are lost: ['03.jpg', '04.jpg']"):
            subset(lists, "five")
        path.unlink()
        with fails(f"{path}: No such file or directory"):
            subset(lists, "five")

    def test_subsets_that_contradict_each_other(self, first):
        (first / "five_agree.txt").write_text("03.jpg 1\n")
        text = "twitter1: the lists of four and five differ in the label of ['03.jpg']"
        with fails(text):
            subset(first, "four")

    def test_the_real_lists(self, data_root):
        """Not quite nested: 1 of five's images is not in four, 3 not in three, 4 of four's not."""
        subsets = {}
        for agree, n, positive in (("five", 880, 579), ("four", 1115, 688), ("three", 1265, 767)):
            rows = subset(data_root / "twitter1", agree)
            labels, folds = np.array(list(rows.values())).T
            assert (len(rows), int((labels == 0).sum())) == (n, positive)
            assert np.bincount(folds)[1:].tolist() == [n // 5] * 5
            subsets[agree] = set(rows)
        lost = [("five", "four", 1), ("five", "three", 3), ("four", "three", 4)]
        assert [len(subsets[a] - subsets[b]) for a, b, _ in lost] == [n for *_, n in lost]
        with pytest.raises(DatasetError, match=r"^twitter1: 1,265 labels, but no images: "):
            load("twitter1", data_root / "twitter1")


MIKELS = ["amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness"]


class TestFI:
    @pytest.fixture
    def root(self, tmp_path):
        return touch(tmp_path, *(f"{e}/{i}.JPG" for e in MIKELS for i in range(2)), "awe/x.txt")

    def test_both_views_have_the_same_folds(self, root):
        emotions = load("fi", root, n_folds=2, seed=5)
        polarity = load("fi", root, n_folds=2, seed=5, classes="polarity")
        assert emotions.emotions == tuple(MIKELS)
        assert emotions.keys.tolist() == [f"{e}/{i}.JPG" for e in MIKELS for i in range(2)]
        assert emotions.labels.tolist() == [i // 2 for i in range(16)]
        assert polarity.emotions == ("positive", "negative")
        negative = {"anger", "disgust", "fear", "sadness"}
        assert polarity.labels.tolist() == [int(e in negative) for e in MIKELS for _ in range(2)]
        assert polarity.folds.tolist() == emotions.folds.tolist()
        assert (emotions.folds[::2] != emotions.folds[1::2]).all()
        assert emotions.counts == {"other files": 1}
        assert emotions.path(0).is_file()
        assert polarity.labels.dtype == np.int8

    def test_what_is_wrong(self, root):
        with fails("classes must be 'emotions' or 'polarity', not 'both'"):
            fi(root, n_folds=2, classes="both")
        touch(root, "happy/1.jpg")
        with fails(f"fi: {root} has folders of no class: ['happy']; move them away"):
            fi(root)
        (root / "happy").rename(root / "fear" / "more")
        assert "fear/more/1.jpg" in fi(root, n_folds=2).keys
        (root / "awe").rename(root / "fear" / "yet more")
        with fails(f"fi: no folder {root / 'awe'}"):
            fi(root)
        (root / "awe").mkdir()
        with fails(f"fi: no image in {root / 'awe'}"):
            fi(root)


EKMAN = ["anger", "disgust", "fear", "joy", "sadness", "surprise"]


class TestEmotionROI:
    @pytest.fixture
    def root(self, tmp_path):
        names = [f"{emotion}/{i}.jpg" for emotion in EKMAN for i in (1, 2, 3)]
        touch(tmp_path / "images", *names)
        (tmp_path / "training_testing_split").mkdir()
        self.write(tmp_path, "training", [n for n in names if "3" not in n] + ["joy/9.jpg"])
        self.write(tmp_path, "testing", [n for n in names if "3" in n])
        return tmp_path

    def write(self, root, name, names):
        path = root / "training_testing_split" / f"{name}.txt"
        path.write_bytes("\r\n".join([*names, ""]).encode())
        return path

    def test_its_own_split_and_maps(self, root):
        map_path = root / "ground_truth" / "anger" / "2.png"
        map_path.parent.mkdir(parents=True)
        Image.new("L", (5, 4), 51).save(map_path)
        ds = load("emotionroi", root)
        assert ds.emotions == tuple(EKMAN)
        assert ds.keys.tolist() == [f"{e}/{i}.jpg" for e in EKMAN for i in (1, 2, 3)]
        assert ds.labels.tolist() == [i // 3 for i in range(18)]
        assert ds.folds.tolist() == [-1, -1, 1] * 6
        assert ds.counts == {
            "rows": 19,
            "rows without image": 1,
            "images without map": 17,
            "other files": 0,
        }
        assert ds.path(0) == root / "images" / "anger" / "1.jpg"
        assert ds.maps.tolist() == ["", "ground_truth/anger/2.png", *[""] * 16]
        assert ds.read_map(1).shape == (4, 5)
        assert ds.read_map(1)[0, 0] == np.float32(0.2)

    def test_polarity_and_no_maps(self, root):
        ds = load("emotionroi", root, classes="polarity")
        assert ds.labels.tolist() == [
            int(e not in ("joy", "surprise")) for e in EKMAN for _ in "123"
        ]
        assert ds.maps is None
        assert ds.counts["images without map"] == 18

    @pytest.mark.parametrize("line", ["happy/1.jpg", "1.jpg", "joy"])
    def test_a_line_of_no_class(self, root, line):
        path = self.write(root, "testing", ["joy/3.jpg", line])
        with fails(
            f"{path}, line 2: {line!r} is of no class; a line is EMOTION/NAME.jpg, and there are "
            "anger, disgust, fear, joy, sadness, surprise"
        ):
            emotionroi(root)

    def test_lists_that_contradict_each_other(self, root):
        path = self.write(root, "testing", ["joy/3.jpg", "fear/3.jpg", "joy/3.jpg"])
        with fails(f"{path}, line 3: joy/3.jpg came already in line 1"):
            emotionroi(root)
        self.write(root, "testing", ["joy/3.jpg", "joy/1.jpg"])
        with fails(f"{path}, line 2: joy/1.jpg is in training.txt too"):
            emotionroi(root)
        self.write(root, "testing", [f"{emotion}/3.jpg" for emotion in EKMAN[1:]])
        with fails(
            "emotionroi: 1 images are neither in training.txt nor in testing.txt of "
            f"{path.parent}: ['anger/3.jpg']"
        ):
            emotionroi(root)
        path.unlink()
        with fails(f"{path}: No such file or directory"):
            emotionroi(root)


class TestTable:
    def write(self, root, text):
        touch(root, *(f"{name}.jpg" for name in "abcd"), "more/e.jpg")
        path = root / "my set.csv"
        path.write_text(text, encoding="utf-8", newline="")
        return path

    def test_labels_and_folds(self, tmp_path):
        text = "\ufefflabel,path,fold\r\nnegative,./a.jpg,2\r,more/e.jpg,\n\npositive,gone.jpg,1\n"
        path = self.write(tmp_path, text + 'positive,"b.jpg",-1')
        ds = table(path)
        assert ds.name == "my set"
        assert ds.keys.tolist() == ["a.jpg", "more/e.jpg", "b.jpg"]
        assert ds.files is ds.keys
        assert ds.path(1) == tmp_path / "more" / "e.jpg"
        assert (ds.labels.tolist(), ds.folds.tolist()) == ([1, -1, 0], [2, -1, -1])
        assert ds.emotions == ("positive", "negative")
        assert ds.counts == {"rows": 4, "rows without image": 1}
        assert {ds.labels.dtype, ds.folds.dtype} == {np.dtype(np.int8)}

    def test_without_folds_the_labelled_are_dealt(self, tmp_path):
        path = self.write(
            tmp_path, "path,label\na.jpg,joy\nb.jpg,joy\nc.jpg,\nd.jpg,awe\nmore/e.jpg,awe\n"
        )
        ds = load(path, n_folds=2, seed=3)
        assert ds.emotions == ("awe", "joy")
        known = ds.labels >= 0
        assert ds.folds[known].tolist() == stratified_folds(ds.labels[known], 2, 3).tolist()
        assert ds.folds[~known].tolist() == [-1]
        assert table(path, n_folds=0).folds.tolist() == [-1] * 5

    def test_without_labels(self, tmp_path):
        ds = table(self.write(tmp_path, "path\na.jpg\nb.jpg\n"))
        assert (ds.labels.tolist(), ds.folds.tolist()) == ([-1, -1], [-1, -1])
        assert ds.emotions == ("positive", "negative")

    def test_the_classes_in_an_order_of_ones_own(self, tmp_path):
        path = self.write(tmp_path, "path,label\na.jpg,joy\nb.jpg,awe\nc.jpg,jyo\n")
        ds = table(path, emotions=("joy", "jyo", "awe"), n_folds=0)
        assert ds.labels.tolist() == [0, 2, 1]
        with fails(f"{path}, line 4: 'jyo' is no class; there are joy, awe"):
            table(path, emotions=("joy", "awe"))

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("path,lable\na.jpg,joy\n", f", line 1: unknown columns ['lable']: {MUST}; {OTHERS}"),
            ("image_url\na.jpg\n", f", line 1: no column path among ['image_url']: {MUST}"),
            ("a.jpg,joy\n", ", line 1: no header: write one above it, such as path,label"),
            (
                "path,File,label\na.jpg,a.jpg,joy\n",
                ", line 1: columns path, File mean the same: leave one of them",
            ),
            ("path,label\na.jpg,x\n\n,x\n", ", line 4: no path"),
            ("path\na.jpg\nb.jpg\n./a.jpg\n", ", line 4: a.jpg came already in line 2"),
            ("path\na.jpg\n.\\\\a.jpg\n", ", line 3: a.jpg came already in line 2"),
            ("path\rx.jpg\ry.jpg\r", f": 2 of its 2 images are not there, such as x.jpg; {GET}"),
            (
                "path\nx.jpg\ny.jpg\na.jpg",
                f": 2 of its 3 images are not there, such as x.jpg; {GET}",
            ),
            (
                "path\nhttps://x.org/a.jpg",
                ", line 2: https://x.org/a.jpg is no file: download the images",
            ),
            ("path,label\n", ": a header without rows"),
            ("", ": an empty file, without a header"),
            (
                "path,label\na.jpg,joy\nb.jpg,joy\nc.jpg,fear\n",
                ": fear has 1 image, of 3: a class needs 5 for 5 folds, and 2 at least, one to "
                "learn from and one to test: add images, or leave the class out",
            ),
            (
                "path,fold\na.jpg,train\nb.jpg,train\n",
                ": the parts of a split, train, do not fit together: there must be one to train on "
                "and one to test (train, test), or numbered folds (fold1, fold2)",
            ),
            (
                "path,fold\na.jpg,train\nb.jpg,test\nc.jpg,x\n",
                ", line 4: 'x' is no fold beside test, train",
            ),
            (
                "path,fold\na.jpg,1\nb.jpg,x\n",
                ", line 3: 'x' is no fold; a fold is 1 to 127, or blank or -1",
            ),
            (
                "path,label\na.jpg,joy\n",
                ": there must be 2 to 127 classes, not 1: ['joy']",
            ),
        ],
    )
    def test_what_is_wrong(self, tmp_path, text, error):
        path = self.write(tmp_path, text)
        with fails(f"{path}{error.format(tmp_path)}"):
            table(path)

    @pytest.mark.parametrize(
        ("text", "notes"),
        [
            ("path;label\na.jpg;joy\nb.jpg;fear", ()),
            ("path\tlabel\na.jpg\tjoy\nb.jpg\tfear", ()),
            ("path|label\na.jpg|joy\nb.jpg|fear", ()),
            ("Path,LABEL\na.jpg,joy\nb.jpg,fear", ()),
            ('\ufeff"path","label"\r\n"a.jpg","joy"\r\n"b.jpg","fear"\r\n', ()),
            (
                "Image Path,Emotion\na.jpg,joy\nb.jpg,fear",
                ("column Image Path is read as path, Emotion is read as label",),
            ),
            (",path,label\n0,a.jpg,joy\n1,b.jpg,fear", ("column without name is passed over",)),
            (
                "Unnamed: 0,filename,class\n0,a.jpg,joy\n1,b.jpg,fear",
                (
                    "column filename is read as path, class is read as label",
                    "column Unnamed: 0 is passed over",
                ),
            ),
            ("path,label\n.\\\\a.jpg,joy\n.\\\\b.jpg,fear", ()),
        ],
    )
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_what_spreadsheets_and_pandas_write(self, tmp_path, text, notes, encoding):
        path = self.write(tmp_path, "")
        path.write_bytes(text.replace("\\\\", "\\").encode(encoding))
        ds = table(path, n_folds=0)
        assert (ds.keys.tolist(), ds.emotions) == (["a.jpg", "b.jpg"], ("fear", "joy"))
        assert (ds.labels.tolist(), ds.notes) == ([1, 0], notes)

    @pytest.mark.parametrize("name", [*COLUMNS["path"], "File Name", "IMAGE-PATH"])
    def test_names_of_the_column_of_paths(self, tmp_path, name):
        ds = table(self.write(tmp_path, f"{name}\na.jpg\n"))
        assert ds.notes == (f"column {name} is read as path",)

    def test_a_spreadsheet_or_utf16_without_its_mark(self, tmp_path):
        path = self.write(tmp_path, "")
        for content in (b"PK\x03\x04\x14\0", b"\xd0\xcf\x11\xe0\xa1"):
            path.write_bytes(content)
            with pytest.raises(
                DatasetError, match=rf"^{path}: a spreadsheet or an archive, not text"
            ):
                table(path)
        path.write_bytes("path\na.jpg".encode("utf-16-le"))
        with fails(f"{path}, line 1: a byte 0 is no text: save it as UTF-8"):
            table(path)
        path.write_bytes(b"\xff\xfep")
        with fails(f"{path}: damaged UTF-16: save the file as UTF-8"):
            table(path)

    def test_half_of_the_images_lost_is_a_note(self, tmp_path):
        ds = table(self.write(tmp_path, "path\na.jpg\nx.jpg\n"))
        assert ds.notes == ("1 of its 2 images is not there, such as x.jpg",)

    def test_images_outside_are_a_note_and_absolute_paths_within_are_none(self, tmp_path):
        touch(tmp_path / "elsewhere", "e.jpg")
        path = self.write(tmp_path / "set", "")
        path.write_text(
            f"path\n../elsewhere/e.jpg\n{path.parent}/a.jpg\n{tmp_path}/elsewhere/f.jpg\n"
        )
        touch(tmp_path / "elsewhere", "f.jpg")
        note = "2 of its images lie outside of the table's folder, such as ../elsewhere/e.jpg"
        assert table(path).notes == (note,)

    @pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
    def test_names_composed_otherwise_are_found(self, tmp_path, forms):
        on_disk, in_table = (unicodedata.normalize(form, "caf\u00e9.jpg") for form in forms)
        touch(tmp_path, on_disk)
        assert table(self.write(tmp_path, f"path\n{in_table}\n")).keys.tolist() == [on_disk]

    @pytest.mark.parametrize(
        ("parts", "folds", "note"),
        [
            (
                ("train", "val", "test"),
                [-1, -1, 1],
                "test is fold 1, for testing; in no fold, for training: train, val",
            ),
            (
                ("Training", "dev", ""),
                [-1, 1, -1],
                "dev is fold 1, for testing; in no fold, for training: Training",
            ),
            (("fold 0", "fold 2", "fold 1"), [1, 3, 2], "fold 0, fold 1, fold 2 are folds 1, 2, 3"),
        ],
    )
    @pytest.mark.parametrize("column", ["fold", "Split"])
    def test_folds_in_words(self, tmp_path, parts, folds, note, column):
        rows = "".join(f"{name}.jpg,{part}\n" for name, part in zip("abc", parts, strict=True))
        ds = table(self.write(tmp_path, f"path,{column}\n{rows}"))
        assert (ds.folds.tolist(), ds.folds.dtype, ds.notes[-1]) == (folds, np.int8, note)

    def test_fewer_folds_where_a_class_is_small(self, tmp_path):
        rows = "".join(f"{name}.jpg,{label}\n" for name, label in zip("abcd", "xyxy", strict=True))
        path = self.write(tmp_path, f"path,label\n{rows}more/e.jpg,x\n")
        ds = table(path)
        assert ds.notes == ("y has 2 images: 2 folds, not 5",)
        assert ds.folds.tolist() == table(path, n_folds=2).folds.tolist()
        with pytest.raises(
            DatasetError, match="5 folds need 5 images of every class, and x has 3, y"
        ):
            table(path, n_folds=5)


class TestParquet:
    def write(self, root, **columns):
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        touch(root, "a.jpg", "b.jpg", "c.jpg")
        path = root / "t.parquet"
        parquet.write_table(arrow.table(columns), path)
        return path

    def test_it_reads_as_the_same_csv(self, tmp_path):
        label = ["negative", None, "positive"]
        path = self.write(
            tmp_path, path=["a.jpg", "b.jpg", "c.jpg"], label=label, fold=[3, None, -1]
        )
        ds = load(path)
        assert ds.keys.tolist() == ["a.jpg", "b.jpg", "c.jpg"]
        assert (ds.labels.tolist(), ds.folds.tolist()) == ([1, -1, 0], [3, -1, -1])

    def test_names_of_columns_and_the_numbering_of_pandas(self, tmp_path):
        ds = table(self.write(tmp_path, file=["a.jpg", "b.jpg"], __index_level_0__=[0, 1]))
        assert ds.keys.tolist() == ["a.jpg", "b.jpg"]
        assert ds.notes == (
            "column file is read as path",
            "column __index_level_0__ is passed over",
        )

    def test_what_is_wrong_names_the_row(self, tmp_path):
        path = self.write(tmp_path, path=["a.jpg", "b.jpg", "a.jpg"])
        with fails(f"{path}, row 3: a.jpg came already in row 1"):
            table(path)
        path = self.write(tmp_path, path=["a.jpg", "b.jpg"], fold=[1, 200])
        with fails(f"{path}, row 2: '200' is no fold; a fold is 1 to 127, or blank or -1"):
            table(path)
        path = self.write(tmp_path, path=["a.jpg"], folds=[1])
        with fails(f"{path}: unknown columns ['folds']: {MUST}; {OTHERS}"):
            table(path)
        path = self.write(tmp_path, url=["a.jpg"])
        with fails(f"{path}: no column path among ['url']: {MUST}"):
            table(path)
        path.write_text("path\na.jpg\n")
        with pytest.raises(DatasetError, match=rf"^{path}: no Parquet, or damaged: "):
            table(path)

    def test_without_pyarrow(self, tmp_path, monkeypatch):
        (tmp_path / "t.parquet").touch()
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        path = tmp_path / "t.parquet"
        with fails(f'{path}: Parquet is read by pyarrow: pip install "arlib[datasets]"'):
            table(path)


class TestWrapSplit:
    @pytest.fixture
    def hf(self):
        return pytest.importorskip("datasets")

    @pytest.fixture
    def photos(self, tmp_path):
        """An upright one with transparency, one that lies on its side, and one that is no image."""
        Image.new("RGBA", (4, 3), (0, 0, 0, 0)).save(tmp_path / "a.png")
        exif = Image.Exif()
        exif[0x0112] = 6
        rng = np.random.default_rng(0)
        side = Image.fromarray(rng.integers(0, 255, (3, 8, 3), dtype=np.uint8))
        side.save(tmp_path / "b.png", exif=exif)
        (tmp_path / "c.png").write_text("no image at all")
        return [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]

    def make(self, hf, photos, label, feature, **more):
        features = {"image": hf.Image(), "label": feature, **{k: hf.Value("int64") for k in more}}
        columns = {"image": photos, "label": label, **more}
        return hf.Dataset.from_dict(columns, features=hf.Features(features))

    def test_images_are_decoded_when_they_are_read_as_files_are(self, hf, photos):
        names = hf.ClassLabel(names=["sad", "glad"])
        split = self.make(hf, photos, [1, -1, 0], names, part=[2, None, 1])
        dataset = wrap_split(split, "photos", fold="part")
        assert dataset.emotions == ("sad", "glad")
        assert dataset.keys.tolist() == ["0", "1", "2"]
        assert (dataset.labels.tolist(), dataset.folds.tolist()) == ([1, -1, 0], [2, -1, 1])
        assert dataset.read(1).shape == (8, 3, 3)
        for index in (0, 1):
            assert (dataset.read(index) == read_image(photos[index])).all()
            assert (dataset.subset([index]).read(0) == dataset.read(index)).all()
        assert (pickle.loads(pickle.dumps(dataset)).read(0) == 255).all()
        with pytest.raises(ImageError, match=r"c\.png: no image, or of an unknown format$"):
            dataset.read(2)

    def test_a_large_image_is_refused_before_it_is_decoded(self, hf, photos, tmp_path):
        rows = [{"bytes": Path(photos[0]).read_bytes(), "path": None}, photos[1], None]
        self.make(hf, rows, ["a", "b", "a"], hf.Value("string")).save_to_disk(tmp_path / "arrow")
        dataset = load(tmp_path / "arrow", max_pixels=10)
        for index, name, size in ((0, "row 0", "4 x 3"), (1, "row 1", "8 x 3")):
            with pytest.raises(ImageError, match=f"^{name}: {size} exceeds 10 pixels$"):
                dataset.read(index)
        with pytest.raises(ImageError, match=r"^row 2: no image$"):
            dataset.read(2)
        assert load(tmp_path / "arrow").read(0).shape == read_image(photos[0]).shape

    def test_texts_and_numbers_are_classes_by_name(self, hf, photos):
        split = self.make(hf, photos, ["negative", None, "positive"], hf.Value("string"))
        dataset = wrap_split(split, "photos")
        assert (dataset.labels.tolist(), dataset.emotions) == ([1, -1, 0], ("positive", "negative"))
        numbers = self.make(hf, photos, [7, 3, 7], hf.Value("int64"))
        dataset = wrap_split(numbers, "photos")
        assert (dataset.labels.tolist(), dataset.emotions) == ([1, 0, 1], ("3", "7"))
        dataset = wrap_split(split, "photos", label=None)
        assert dataset.labels.tolist() == dataset.folds.tolist() == [-1] * 3

    def test_what_is_wrong(self, hf, photos):
        split = self.make(hf, photos, ["a", "b", "a"], hf.Value("string"), part=[1, 1, 0])
        with fails("photos: no column 'img' among ['image', 'label', 'part']"):
            wrap_split(split, "photos", image="img")
        with fails(f"photos: 'label' is no column of images: {split.features['label']}"):
            wrap_split(split, "photos", image="label")
        with fails("photos: the split is empty"):
            wrap_split(split.select([]), "photos")
        with fails("photos, row 2: '0' is no fold; a fold is 1 to 127, or blank or -1"):
            wrap_split(split, "photos", fold="part")


class TestShards:
    @pytest.fixture
    def saved(self, tmp_path):
        """Twelve images of two classes in three Arrow shards, and as files."""
        hf = pytest.importorskip("datasets")
        rng = np.random.default_rng(0)
        files = [tmp_path / f"{number:02}.png" for number in range(12)]
        for path in files:
            Image.fromarray(rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(path)
        names = hf.ClassLabel(names=["positive", "negative"])
        features = hf.Features(image=hf.Image(), label=names, fold=hf.Value("int64"))
        columns = {
            "image": list(map(str, files)),
            "label": [0, 1] * 6,
            "fold": [1, 2, 3] * 4,
        }
        split = hf.Dataset.from_dict(columns, features=features)
        split.save_to_disk(tmp_path / "photos.arrow", num_shards=3)
        hf.DatasetDict(train=split).save_to_disk(tmp_path / "splits")
        return tmp_path, files

    def test_a_folder_of_shards_is_a_dataset_by_its_path(self, saved):
        folder, files = saved
        assert len(list((folder / "photos.arrow").glob("*.arrow"))) == 3
        dataset = load(folder / "photos.arrow")
        assert (dataset.name, dataset.emotions) == ("photos.arrow", ("positive", "negative"))
        assert (dataset.labels.tolist(), dataset.folds.tolist()) == ([0, 1] * 6, [1, 2, 3] * 4)
        before = [read_image(path) for path in files]
        for path in files:
            path.unlink()  # the shards hold the images, not their paths
        assert all((dataset.read(index) == before[index]).all() for index in range(12))
        assert (load(folder / "photos.arrow", label=None).labels == -1).all()

    def test_what_cannot_be_opened_is_an_error(self, saved):
        folder, _ = saved
        with fails(f"{folder / 'splits'} holds the splits ['train']: name the folder of one"):
            load(folder / "splits")
        (folder / "photos.arrow" / "state.json").unlink()
        with pytest.raises(DatasetError, match=r"photos\.arrow: no complete set of shards \("):
            load(folder / "photos.arrow")

    def test_a_network_learns_from_shards_what_it_learns_from_files(self, saved):
        from arlib.networks import Training, finetune, load_backbone

        folder, files = saved
        shards = load(folder / "photos.arrow")
        rows = "".join(
            f"{path.name},{shards.emotions[label]}\n"
            for path, label in zip(files, shards.labels, strict=True)
        )
        (folder / "photos.csv").write_text("path,label\n" + rows)
        training = Training(iterations=3, batch_size=4, lr=0.02, workers=1)
        weights = []
        for name, dataset in (("a", shards), ("b", load(folder / "photos.csv"))):
            network = load_backbone("vgg_tiny", classes=2, weights="random")
            finetune(network, dataset, folder / name, training=training, progress=False)
            weights.append(network.state_dict())
        assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
