"""Errors in people's files: each names the file, the line and what to do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.datasets.helpers import fails, touch

from arlib import datasets
from arlib.datasets import DatasetError, ImageError, load
from arlib.datasets.files import file_names, folder_names, is_image, lines, rows, walk
from arlib.datasets.folder import folder, unlabelled_images
from arlib.datasets.images import IMAGE_ENDINGS
from arlib.datasets.labels import encode
from arlib.datasets.vso import vso


class TestLines:
    def test_a_bom_mixed_ends_and_blanks(self, tmp_path):
        path = tmp_path / "list.txt"
        path.write_bytes("\ufeffa 1\r\n\n  b 0 \rc\u00e9 1\r \r\nd".encode())
        assert list(lines(path)) == [(1, "a 1"), (3, "b 0"), (4, "c\u00e9 1"), (6, "d")]

    def test_bytes_that_are_no_utf8(self, tmp_path):
        path = tmp_path / "list.txt"
        path.write_bytes(b"a 1\r\ncaf\xe9 1\n")
        with fails(f"{path}, line 2: byte 0xe9 is no UTF-8: save the file as UTF-8"):
            list(lines(path))

    def test_a_file_that_is_not_there(self, tmp_path):
        with fails(f"{tmp_path / 'list.txt'}: No such file or directory"):
            list(lines(tmp_path / "list.txt"))


class TestRows:
    def read(self, tmp_path, content, needed=("a",)):
        path = tmp_path / "t.csv"
        path.write_bytes(content)
        return list(rows(path, needed))

    def test_a_bom_mixed_ends_blanks_and_quotes(self, tmp_path):
        content = b'\xef\xbb\xbfa, b\r\n\r1 ,"x, y"\r,\n"2\n3",z'
        assert self.read(tmp_path, content) == [
            (3, {"a": "1", "b": "x, y"}),
            (6, {"a": "2\n3", "b": "z"}),
        ]

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"", ": an empty file, without a header"),
            (b"\nb,c\n1,2", ", line 2: the header ['b', 'c'] lacks a"),
            (b"a,b,a\n1,2,3", ", line 1: the header ['a', 'b', 'a'] has a twice"),
            (b"a,b\n1,2\n1\n", ", line 3: 1 cells, where the header has 2"),
            (b"a,b\r1,2,3\r", ", line 2: 3 cells, where the header has 2"),
            (b"a\n\xff\n", ", line 2: byte 0xff is no UTF-8: save the file as UTF-8"),
            (b"a\n" + b"x" * 200_000, ", line 2: field larger than field limit (131072)"),
        ],
    )
    def test_what_is_no_table(self, tmp_path, content, text):
        with fails(f"{tmp_path / 't.csv'}{text}"):
            self.read(tmp_path, content)


class TestWalk:
    def test_the_order_is_that_of_the_parts(self, tmp_path):
        touch(tmp_path, "b.jpg", "a.jpg", "a/2.jpg", "a/1/x", ".h/x", "a/.x", "a0")
        assert list(walk(tmp_path)) == ["a/1/x", "a/2.jpg", "a.jpg", "a0", "b.jpg"]
        assert file_names(tmp_path) == ["a.jpg", "a0", "b.jpg"]
        assert folder_names(tmp_path) == ["a"]

    def test_what_systems_keep_is_passed_over(self, tmp_path):
        touch(tmp_path, *(f"{name}/{i}.jpg" for name in ("joy", "fear") for i in range(5)))
        expected = load(tmp_path)
        system = ("@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "lost+found", ".thumbnails",
                  "System Volume Information", "@Recycle", ".Trash-1000")  # fmt: skip
        for name in system:
            touch(tmp_path, f"{name}/x.jpg", f"joy/{name}/1.jpg/THUMB_M.jpg")
        touch(tmp_path, "joy/._1.jpg", "joy/Thumbs.db", "fear/desktop.ini", ".DS_Store", "Icon\r")
        dataset = load(tmp_path)
        assert dataset.keys.tolist() == expected.keys.tolist()
        assert (dataset.notes, dataset.counts) == ((), {"other files": 0})
        assert load(tmp_path, labels=False).keys.tolist() == sorted(expected.keys.tolist())
        assert file_names(tmp_path) == []

    def test_links_to_folders_and_files_are_followed(self, tmp_path):
        touch(tmp_path, "elsewhere/x/1.jpg", "here/2.jpg")
        (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "here" / "one.jpg").symlink_to("2.jpg")
        (tmp_path / "here" / "again").symlink_to(tmp_path / "elsewhere")
        expected = ["2.jpg", "again/x/1.jpg", "link/x/1.jpg", "one.jpg"]
        assert list(walk(tmp_path / "here")) == expected

    @pytest.mark.parametrize("target", ["a", "a/b", "."])
    def test_a_link_to_a_folder_above(self, tmp_path, target):
        touch(tmp_path, "a/b/1.jpg", "c/1.jpg", "c/2.jpg")
        link, above = tmp_path / "a" / "b" / "up", tmp_path / target
        link.symlink_to(above)
        text = f"{link} is a link to {above}, a folder above itself: remove the link"
        for read in (unlabelled_images, folder):
            with fails(text if read is not folder or target != "." else self.inner(tmp_path)):
                read(tmp_path)

    def inner(self, root):
        """From a class folder the walk sees the loop one turn later."""
        link = f"{root}/a/b/up/a"
        return f"{link} is a link to {root}/a, a folder above itself: remove the link"

    def test_a_link_to_a_folder_above_in_the_ontology(self, tmp_path):
        (tmp_path / "3244ANPs.txt").write_text("happy_dog [sentiment: 1]")
        below = touch(tmp_path / "bi_concepts1553", "happy_dog/1.jpg") / "happy_dog"
        (below / "up").symlink_to(below)
        with fails(f"{below}/up is a link to {below}, a folder above itself: remove the link"):
            vso(tmp_path)

    def test_links_to_nothing(self, tmp_path):
        (tmp_path / "a.jpg").symlink_to("gone.jpg")
        with fails(f"{tmp_path / 'a.jpg'} is a link to nothing: remove it, or fix it"):
            unlabelled_images(tmp_path)
        (tmp_path / "a.jpg").unlink()
        (tmp_path / "a.jpg").symlink_to("a.jpg")
        with fails(f"{tmp_path / 'a.jpg'}: Too many levels of symbolic links"):
            unlabelled_images(tmp_path)

    def test_a_folder_that_is_not_there(self, tmp_path):
        with fails(f"{tmp_path / 'no'}: No such file or directory"):
            list(walk(tmp_path / "no"))

    def test_names_that_are_no_utf8(self, tmp_path):
        touch(tmp_path, "\u00e9.jpg")
        assert unlabelled_images(tmp_path).keys.tolist() == ["\u00e9.jpg"]
        path = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
        Path(os.fsdecode(path)).touch()
        with fails(
            f"{path!r}: a name that is no UTF-8: rename the file; for a folder of latin-1 "
            "names, convmv -f latin1 -t utf8 -r --notest FOLDER does it"
        ):
            unlabelled_images(tmp_path)


class TestClasses:
    def test_bounds(self):
        with fails("there must be 2 to 127 classes, not 1: ['joy']"):
            encode(["joy", ""], None, str)
        with fails("a class comes twice: ['joy', 'joy']"):
            encode(["joy"], ["joy", "joy"], str)
        many = [f"class {number:03}" for number in range(128)]
        assert encode(many[:127], None, str)[0].tolist() == list(range(127))
        with fails(f"there must be 2 to 127 classes, not 128: {many[:5]}"):
            encode(many, None, str)

    def test_one_polarity_alone_keeps_the_papers_order(self):
        labels, emotions, notes = encode(["negative", ""], None, str)
        assert (labels.tolist(), labels.dtype) == ([1, -1], np.int8)
        assert (emotions, notes) == (("positive", "negative"), ())

    def test_a_class_folder_too_many(self, tmp_path):
        touch(tmp_path, *(f"class {number:03}/1.jpg" for number in range(128)))
        with pytest.raises(
            DatasetError, match=rf"^{tmp_path}: there must be 2 to 127 classes, not"
        ):
            folder(tmp_path)

    @pytest.mark.parametrize(
        ("names", "numbers", "emotions", "note"),
        [
            (
                ["Joy", "joy", "joy", "fear"],
                [1, 1, 1, 0],
                ("fear", "joy"),
                "'Joy' (1) as joy",
            ),
            (["Joy", "joy", "fear"], [1, 1, 0], ("fear", "joy"), "'Joy' (1) as joy"),
            (
                ["joie\u0301", "joi\u00e9", "peur"],
                [0, 0, 1],
                ("joi\u00e9", "peur"),
                r"'joie\u0301' (1) as joi" + "\u00e9",
            ),
            (
                ["positive\u200b", "\ufeffnegative", "posi\u00adtive", "negative"],
                [0, 1, 0, 1],
                ("positive", "negative"),
                r"'positive\u200b' (1), 'posi\xadtive' (1) as positive; "
                r"'\ufeffnegative' (1) as negative",
            ),
            (["very\u00a0sad", "very  sad", "joy"], [1, 1, 0], ("joy", "very sad"), "as very sad"),
            (["\uff2aoy", "joy", "joy", "fear"], [1, 1, 1, 0], ("fear", "joy"), "(1) as joy"),
            (
                ["nan", "None", "NULL", "n/a", "", "joy", "fear"],
                [-1, -1, -1, -1, -1, 1, 0],
                ("fear", "joy"),
                "'nan' (1), 'None' (1), 'NULL' (1), 'n/a' (1) as no label",
            ),
            (["POSITIVE", "NEGATIVE"], [0, 1], ("positive", "negative"), "'NEGATIVE' (1) as neg"),
            (["neg", "Pos"], [1, 0], ("positive", "negative"), "'Pos' (1) as positive; 'neg' (1)"),
            (["-", "+"], [1, 0], ("positive", "negative"), "'-' (1) as negative"),
            (["-1", "1", "nan"], [1, 0, -1], ("positive", "negative"), "'1' (1) as positive"),
            (["0", "1"], [0, 1], ("0", "1"), "labels 0 and 1 are read as two classes"),
            (["neg", "neutral", "pos"], [0, 1, 2], ("neg", "neutral", "pos"), ""),
            (["1", "2"], [0, 1], ("1", "2"), ""),
            (["\u0645\u06cc\u200c\u062e", "joy"], [1, 0], ("joy", "\u0645\u06cc\u200c\u062e"), ""),
        ],
    )
    def test_spellings_of_one_label(self, names, numbers, emotions, note):
        labels, classes, notes = encode(names, None, str)
        assert (labels.tolist(), classes) == (numbers, emotions)
        assert len(notes) == bool(note)
        assert note in "".join(notes)

    def test_given_classes_are_found_in_any_spelling(self):
        given = ("none", "joy")
        labels, classes, _ = encode(["JOY", "None", "", "nan"], given, str)
        assert (labels.tolist(), classes) == ([1, 0, -1, -1], given)
        with fails("a class comes twice: ['joy', 'Joy']"):
            encode(["joy"], ["joy", "Joy"], str)

    def test_class_folders_of_one_class(self, tmp_path):
        touch(tmp_path, *(f"{name}/{i}.jpg" for name in ("Joy", "joy", "fear") for i in range(5)))
        dataset = folder(tmp_path)
        assert dataset.labels.tolist() == [0] * 5 + [1] * 10
        assert dataset.notes == ("labels are read otherwise than written: 'Joy' (5) as joy",)


class TestSplits:
    @pytest.mark.parametrize(
        ("parts", "folds"),
        [
            (("train", "test"), (-1, 1)),
            (("Train", "validation"), (-1, 1)),
            (("training", "dev", "testing"), (-1, -1, 1)),
            (("train2017", "val2017"), (-1, 1)),
            (("train_set", "test-set"), (-1, 1)),
            (("fold1", "fold2", "fold3", "fold4", "fold5"), (1, 2, 3, 4, 5)),
            (("split0", "split1"), (1, 2)),
            (("fold_9", "fold_10"), (9, 10)),
        ],
    )
    @pytest.mark.parametrize("layout", ["{part}/{name}/{part}.jpg", "{name}/{part}/{part}.jpg"])
    def test_parts_above_or_below_the_classes_are_fixed_folds(self, tmp_path, parts, folds, layout):
        names = ("positive", "negative")
        files = {
            layout.format(part=part, name=name): (name, fold)
            for part, fold in zip(parts, folds, strict=True)
            for name in names
        }
        dataset = load(touch(tmp_path, *files))
        assert dataset.emotions == names
        found = zip(dataset.labels.tolist(), dataset.folds.tolist(), strict=True)
        expected = [(names.index(files[key][0]), files[key][1]) for key in dataset.keys]
        assert list(found) == expected
        assert len(dataset) == len(files)
        assert "parts of a split" in dataset.notes[0]
        assert load(tmp_path, n_folds=2).folds.min() == 1

    def test_classes_of_the_parts_may_be_spelt_apart(self, tmp_path):
        names = ("train/Joy", "train/fear", "test/joy", "test/fear")
        dataset = load(touch(tmp_path, *(f"{name}/1.jpg" for name in names)))
        assert dataset.emotions == ("fear", "joy")
        assert dataset.labels.tolist() == [0, 0, 1, 1]

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (
                ("train/joy", "train/fear", "test"),
                "test/, train/ in {0} are parts of a split, not classes, and 1 images of test have "
                "no class folder",
            ),
            (("train", "val"), "and 1 images of train have no class folder"),
            (("joy", "fear", "test"), "{0} holds test/ of a split beside fear/, joy/: leave"),
            (("train/joy", "train/fear", "extra"), "{0} holds train/ of a split beside extra/"),
            (("val/joy", "test/joy"), "the parts of a split, test, val, do not fit together"),
            (("train/joy", "training/joy"), "the parts of a split, train, training, do not fit"),
            (("fold1/joy", "fold01/joy"), "the parts of a split, fold01, fold1, do not fit"),
            (("fold1/joy", "train/joy"), "the parts of a split, fold1, train, do not fit"),
            (("image/joy", "annotation/joy"), "{0} holds image/ beside annotation/, which are no"),
            (("images", "masks"), "{0} holds images/ beside masks/, which are no classes: give"),
            (("Images", "Labels"), "give {0}/Images, or a table of path,label"),
            (("train/images", "train/labels", "val/images"), "{0}/train holds images/ beside"),
        ],
    )
    def test_other_layouts_are_refused(self, tmp_path, names, message):
        touch(tmp_path, *(f"{name}/1.jpg" for name in names))
        with pytest.raises(DatasetError, match=re.escape(message.format(tmp_path))):
            load(tmp_path)

    def test_train_may_be_a_class_of_vehicles(self, tmp_path):
        touch(tmp_path, *(f"{name}/{i}.jpg" for name in ("train", "plane") for i in range(5)))
        assert load(tmp_path).emotions == ("plane", "train")

    def test_masks_among_images_without_labels_are_a_note(self, tmp_path):
        dataset = load(touch(tmp_path, "images/1.jpg", "masks/1.png"), labels=False)
        note = f"what is in masks/ is taken too: to leave them out, give {tmp_path}/images"
        assert (len(dataset), dataset.notes) == (2, (note,))


class TestFolds:
    @pytest.fixture
    def photos(self, tmp_path):
        names = [f"{name}/{i}, {i}.jpg" for name in ("joy", "fear") for i in range(4)]
        return folder(touch(tmp_path / "photos", *names), n_folds=2)

    def test_there_and_back(self, photos, tmp_path):
        path = tmp_path / "split.csv"
        photos.save_folds(path)
        assert (folder(photos.root, n_folds=4, seed=3).folds != photos.folds).any()
        for dataset in (
            load("folder", photos.root, n_folds=4, seed=3, folds=path),
            load(str(photos.root), n_folds=0, folds=path),
        ):
            assert dataset.folds.tolist() == photos.folds.tolist()
            assert dataset.folds.dtype == np.int8

    def test_the_order_of_rows_is_free_and_none_is_kept(self, photos, tmp_path):
        path = tmp_path / "split.csv"
        keys = photos.keys.tolist()
        text = "".join(f'"{key}",{"" if i < 2 else -1 if i < 4 else i}\n'
                       for i, key in reversed(list(enumerate(keys))))  # fmt: skip
        path.write_text("image,fold\n" + text)
        dataset = load(photos.root, folds=path, n_folds=0)
        assert dataset.folds.tolist() == [-1, -1, -1, -1, 4, 5, 6, 7]

    @pytest.mark.parametrize(
        ("tail", "text"),
        [
            ("sea.jpg,1\n", ", line 10: folder has no image 'sea.jpg'"),
            ('"joy/0, 0.jpg",1\n', ", line 10: joy/0, 0.jpg came already in line 6"),
        ],
    )
    def test_images_that_are_unknown_or_come_twice(self, photos, tmp_path, tail, text):
        path = tmp_path / "split.csv"
        photos.save_folds(path)
        path.write_text(path.read_text() + tail)
        with fails(f"{path}{text}"):
            load(photos.root, folds=path, n_folds=0)

    @pytest.mark.parametrize("fold", ["0", "128", "-2", "1.0", "one", "\u00b2"])
    def test_what_is_no_fold(self, photos, tmp_path, fold):
        path = tmp_path / "split.csv"
        path.write_text(f'image,fold\n"joy/0, 0.jpg",{fold}\n', encoding="utf-8")
        with fails(f"{path}, line 2: {fold!r} is no fold; a fold is 1 to 127, or blank or -1"):
            load(photos.root, folds=path, n_folds=0)

    def test_images_that_are_lost(self, photos, tmp_path):
        path = tmp_path / "split.csv"
        photos.subset(slice(1, None)).save_folds(path)
        with fails(f"{path}: lacks 1 images of folder: ['fear/0, 0.jpg']"):
            load(photos.root, folds=path, n_folds=0)


class TestPaths:
    def test_a_folder_of_class_folders(self, tmp_path):
        touch(tmp_path, "joy/1.jpg", "fear/1.jpg", "readme.txt")
        dataset = load(tmp_path, n_folds=0)
        assert (dataset.name, dataset.emotions) == ("folder", ("fear", "joy"))

    def test_any_other_folder_has_no_labels(self, tmp_path):
        touch(tmp_path / "beside", "joy/1.jpg", "fear/1.jpg", "x.jpg")
        touch(tmp_path / "single", "joy/1.jpg")
        touch(tmp_path / "nested", "photos/joy/1.jpg", "photos/fear/1.jpg")
        for name, n, why in (
            ("beside", 3, ", since 1 image lies beside the folders fear/, joy/"),
            ("single", 1, ", since a single folder, joy, is no two classes"),
            ("nested", 2, f": to have fear/, joy/ as classes, give {tmp_path}/nested/photos"),
        ):
            dataset = load(f"{tmp_path}/{name}")
            assert (dataset.name, dataset.labels.tolist()) == (name, [-1] * n)
            assert dataset.notes == (f"no labels{why}",)
            assert load(f"{tmp_path}/{name}", labels=False).notes == ()

    def test_class_folders_without_their_labels(self, tmp_path):
        touch(tmp_path, *(f"{name}/{n}.jpg" for name in ("joy", "fear") for n in range(5)))
        assert load(tmp_path).emotions == ("fear", "joy")
        dataset = load(tmp_path, labels=False, emotions=("joy", "fear"))
        assert dataset.keys.tolist()[::5] == ["fear/0.jpg", "joy/0.jpg"]
        assert dataset.labels.tolist() == dataset.folds.tolist() == [-1] * 10
        assert dataset.emotions == ("joy", "fear")

    def test_a_folder_in_this_folder_needs_no_slash_but_names_come_first(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(touch(tmp_path, "photos/1.jpg", "scenes-objects/1.jpg"))
        assert len(load("photos")) == 1
        assert len(load("scenes-objects", n=3)) == 3

    def test_a_table(self, tmp_path):
        touch(tmp_path, "1.jpg")
        (tmp_path / "my.CSV").write_text("path\n1.jpg\n")
        assert load(str(tmp_path / "my.CSV")).keys.tolist() == ["1.jpg"]

    def test_what_is_not_there(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with fails("no folder photos"):
            load("photos/")
        with fails("no table labels.csv"):
            load("labels.csv")
        there = f"there are {', '.join(datasets.names())}, and paths"
        with fails(f"no dataset 'holiday'; {there}"):
            load("holiday")
        for name in ("twiter2", "Twitter2", "TWITTER_2"):
            with fails(f"no dataset {name!r} (did you mean twitter2?); {there}"):
                load(name)
        with fails(f"{tmp_path} is a path: root x is only for names"):
            load(tmp_path, "x")

    def test_a_file_where_a_folder_is_due(self, tmp_path):
        touch(tmp_path, "sea.JPG", "labels.xlsx", "photos.zip", "list.txt", "my.csv")
        for labels in ({}, {"labels": False}):
            with fails(f"{tmp_path}/sea.JPG is an image: give the folder that holds it"):
                load(tmp_path / "sea.JPG", **labels)
            for name in ("labels.xlsx", "photos.zip", "list.txt"):
                with pytest.raises(
                    DatasetError, match=rf"{name} is a file: give a folder of image"
                ):
                    load(tmp_path / name, **labels)
        with pytest.raises(
            DatasetError, match=r"my.csv is a table, which has labels: take it as a"
        ):
            load(tmp_path / "my.csv", labels=False)

    def test_settings_that_there_are_not(self, tmp_path):
        touch(tmp_path, "photos/1.jpg", "set/joy/1.jpg", "set/fear/1.jpg", "oasis/OASIS.csv")
        known = "there are n_folds, seed"
        with fails(f"{tmp_path}/set: no setting 'nfolds' (did you mean n_folds?); {known}"):
            load(tmp_path / "set", nfolds=2)
        with fails(f"{tmp_path}/photos: no setting 'n_folds'; there are emotions"):
            load(tmp_path / "photos", n_folds=2)
        with pytest.raises(
            DatasetError,
            match=r"no setting 'positve_from' \(did you mean positive_from\?\)",
        ):
            load("oasis", tmp_path / "oasis", positve_from=5)

    def test_few_images_are_fewer_folds_and_one_is_an_error(self, tmp_path):
        touch(tmp_path, *(f"joy/{i}.jpg" for i in range(7)), "fear/0.jpg", "fear/1.jpg")
        dataset = load(tmp_path)
        assert dataset.notes == ("fear has 2 images: 2 folds, not 5",)
        assert set(dataset.folds.tolist()) == {1, 2}
        (tmp_path / "fear/1.jpg").unlink()
        with fails(
            f"{tmp_path}: fear has 1 image, of 8: a class needs 5 for 5 folds, and 2 at least, one "
            "to learn from and one to test: add images, or leave the class out"
        ):
            load(tmp_path)
        assert load(tmp_path, n_folds=0).folds.tolist() == [-1] * 8


class TestNotes:
    def test_what_is_passed_over_is_counted_by_its_ending(self, tmp_path):
        touch(tmp_path, "1.jpg", *(f"{i}.JXL" for i in range(9)), "a.txt", "b.txt", "sub/LICENSE")
        dataset = load(tmp_path, labels=False)
        assert (dataset.keys.tolist(), dataset.counts) == (["1.jpg"], {"other files": 12})
        assert dataset.notes == (
            "12 other files passed over: 9 .jxl, 2 .txt, 1 without ending; to have .jxl read, "
            "convert them to JPEG",
        )
        (tmp_path / "1.jpg").unlink()
        with pytest.raises(DatasetError, match=r"no image under .*; 12 other files passed over: 9"):
            load(tmp_path)

    def test_class_folders_count_theirs_too(self, tmp_path):
        touch(tmp_path, *(f"{n}/{i}.jpg" for n in ("joy", "fear") for i in range(5)), "joy/a.txt")
        assert load(touch(tmp_path, "README")).notes == (
            "2 other files passed over: 1 without ending, 1 .txt",
        )
        (tmp_path / "empty").mkdir()
        touch(tmp_path, "empty/a.mp4")
        with fails(f"folder: no image in {tmp_path}/empty; 1 other file passed over: 1 .mp4: a "
                   "class has images; if it is none, move it away"):  # fmt: skip
            load(tmp_path)

    def test_they_are_logged_once_and_not_by_workers(self, tmp_path, caplog, monkeypatch):
        touch(tmp_path, "1.jpg", "a.txt")
        load(tmp_path)
        assert caplog.messages == [f"{tmp_path}: 1 other file passed over: 1 .txt"]
        monkeypatch.setattr("arlib.datasets.registry.parent_process", lambda: "another")
        load(tmp_path)
        assert len(caplog.messages) == 1

    def test_images_are_known_by_the_endings_that_are_read(self, tmp_path):
        """Whatever Pillow can write that `read_image` reads is listed, by each of its endings."""
        image = Image.new("RGB", (8, 6))
        for number, ending in enumerate(IMAGE_ENDINGS):
            form = IMAGE_ENDINGS[ending]
            if form != "HEIF":
                image.save(tmp_path / f"{number}{ending.upper()}", form)
        for name in ("a.jpg_large", "a.JPG:large", "a.jpg-orig", "a.png_small", "a.jpg?name=large"):
            image.save(tmp_path / name, "JPEG")
        dataset = load(tmp_path)
        assert dataset.notes == ()
        assert {dataset.read(index).shape for index in range(len(dataset))} == {(6, 8, 3)}
        assert not any(map(is_image, ("a.txt", "a.mp4", "jpg", "a.jpg.part", "a.json", "a.xjpg")))


def test_a_file_that_is_no_image_is_an_error_when_it_is_read(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_text("nothing that anybody could see")
    dataset = unlabelled_images(tmp_path)
    assert dataset.read(0).shape == (3, 4, 3)
    text = f"{tmp_path / 'b.jpg'}: no image, or of an unknown format"
    with pytest.raises(ImageError, match=f"^{re.escape(text)}$"):
        dataset.read(1)


def test_importing_the_registry_draws_nothing():
    code = (
        "import sys, arlib.datasets as d; print('arlib.datasets.scenes' in sys.modules); d.scenes"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
