"""Checks of datasets that were broken on purpose, and of real ones where they are at hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from arlib.datasets.checks import Finding, Report, check, check_folder
from arlib.datasets.files import DatasetError


def save_image(path, seed, form="JPEG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path, form)
    return path


def texts(report, severity):
    return [each.text for each in report.findings if each.severity == severity]


@pytest.fixture
def table(tmp_path):
    """Ten sound images in two folds and two classes, listed in a table; what to add to it."""
    rows = ["path,label,fold"]

    def add(name, seed, label, fold, form="JPEG"):
        rows.append(f"{name},{label},{fold}")
        (tmp_path / "all.csv").write_text("\n".join(rows))
        return save_image(tmp_path / name, seed, form)

    for i in range(10):
        add(f"{i}.jpg", i, ("positive", "negative")[i % 5 > 2], i % 2 + 1)
    return add


@pytest.fixture
def twitter2(tmp_path):
    """Two images a partition, one positive and one negative, and a row without an image."""
    rows = ["Image\tSentiment", "gone.jpg\tpositive"]
    for fold in range(1, 6):
        for sentiment in ("positive", "negative"):
            name = f"{fold}{sentiment[0]}.jpg"
            save_image(
                tmp_path / f"twitter2/partition{fold}/{name}", 2 * fold + (sentiment == "negative")
            )
            rows.append(f"{name}\t{sentiment}")
    (tmp_path / "twitter2/groundTruthLabel.txt").write_text("\r\n".join(rows))
    return tmp_path / "twitter2"


def check_table(tmp_path):
    (report,) = check(str(tmp_path / "all.csv"))
    return report


def test_a_sound_table_has_facts_and_no_finding(table, tmp_path):
    report = check_table(tmp_path)
    assert report.findings == ()
    assert not report.failed
    assert report.facts == {
        "images": 10,
        "positive": 6,
        "negative": 4,
        "majority": "60.0%",
        "folds": "1: 5, 2: 5",
        "rows": 10,
        "rows without image": 0,
    }


def test_a_copy_in_the_same_fold_with_the_same_label_is_a_note(table, tmp_path):
    table("copy.jpg", 0, "positive", 1)
    (finding,) = check_table(tmp_path).findings
    assert finding == Finding(
        "note",
        "1 groups of equal images (byte by byte)",
        ("0.jpg (positive) = copy.jpg (positive)",),
    )


def test_a_copy_in_another_fold_is_a_leak(table, tmp_path):
    table("copy.jpg", 0, "positive", 2)
    report = check_table(tmp_path)
    (leak,) = [each for each in report.findings if "leak" in each.text]
    assert leak.severity == "warning"
    assert leak.examples == ("0.jpg (1) = copy.jpg (2)",)
    assert not any("different labels" in each.text for each in report.findings)


def test_a_copy_for_training_alone_is_a_leak_too(table, tmp_path):
    table("copy.jpg", 0, "positive", "")
    (leak,) = [each for each in check_table(tmp_path).findings if "leak" in each.text]
    assert leak.examples == ("0.jpg (1) = copy.jpg (-1)",)


def test_a_copy_with_another_label_contradicts(table, tmp_path):
    table("copy.jpg", 0, "negative", 1)
    table("blank.jpg", 1, "", 2)
    report = check_table(tmp_path)
    (contradict,) = [each for each in report.findings if "different labels" in each.text]
    assert contradict.severity == "warning"
    assert contradict.examples == (
        "0.jpg (positive) = copy.jpg (negative)",
        "1.jpg (positive) = blank.jpg (no label)",
    )
    assert report.facts["without label"] == 1
    assert not any("leak" in each.text for each in report.findings)


def test_a_scaled_or_mirrored_copy_in_another_fold_is_a_leak_too(table, tmp_path):
    for name, copy, label, change in (
        ("0.jpg", "half.png", "positive", lambda image: image.resize((36, 32))),
        ("5.jpg", "mirrored.png", "negative", ImageOps.mirror),
    ):
        table(copy, 0, label, 2, "PNG")
        image = Image.open(tmp_path / name).resize((72, 64))
        image.save(tmp_path / name)
        change(image).save(tmp_path / copy)
    findings = {each.text: each for each in check_table(tmp_path).findings}
    near = "nearly the same image"
    leak = findings[
        f"1 groups of {near} (scaled, recoded, mirrored?) lie in different folds: a leak from "
        "training into testing"
    ]
    assert (leak.severity, leak.examples) == ("warning", ("0.jpg (1) ~ half.png (2)",))
    contradict = findings[f"1 groups of {near} have different labels"]
    assert contradict.examples == ("5.jpg (positive) ~ mirrored.png (negative)",)
    note = findings[f"2 groups of {near} (scaled, recoded, mirrored?)"]
    assert (note.severity, len(note.examples)) == ("note", 2)
    assert len(findings) == 3


def test_what_a_reader_takes_otherwise_is_a_warning(tmp_path):
    for i in range(10):
        save_image(tmp_path / f"{'Joy' if i < 2 else ('joy', 'fear')[i % 2]}/{i}.jpg", i)
    (tmp_path / "notes.jxl").touch()
    (report,) = check(str(tmp_path))
    assert texts(report, "warning") == [
        "labels are read otherwise than written: 'Joy' (2) as joy",
        "fear has 4 images: 4 folds, not 5",
        "1 other file passed over: 1 .jxl; to have .jxl read, convert them to JPEG",
    ]
    assert not report.failed


def test_files_that_cannot_be_read_are_an_error(table, tmp_path):
    table("empty.jpg", 50, "positive", 1).write_bytes(b"")
    half = table("half.jpg", 51, "positive", 1)
    half.write_bytes(half.read_bytes()[:300])
    table("page.jpg", 52, "positive", 1).write_text("<html>")
    report = check_table(tmp_path)
    assert report.failed
    (error,) = report.findings
    assert error.text == "3 files cannot be read; replace or remove them"
    assert error.examples[0] == "empty.jpg: an empty file"
    assert error.examples[2] == "page.jpg: no image, or of an unknown format"


def test_files_of_another_format_are_a_note(table, tmp_path):
    table("odd.jpg", 50, "positive", 1, "PNG")
    table("fine.PNG", 51, "positive", 1, "PNG")
    two = table("multi.jpg", 52, "positive", 1)
    with Image.open(save_image(tmp_path / "more", 54)) as more, Image.open(two) as first:
        first.save(two, "MPO", save_all=True, append_images=[more])
    table("fine.jfif", 53, "positive", 1, "JPEG")
    table("fine.jpg_large", 55, "positive", 1, "JPEG")
    (note,) = check_table(tmp_path).findings
    assert (note.severity, note.examples) == ("note", ("odd.jpg: PNG",))


def test_rows_without_image_are_a_warning(table, tmp_path):
    table("gone.jpg", 50, "positive", 1).unlink()
    report = check_table(tmp_path)
    lost = "1 of its 11 images is not there, such as gone.jpg"
    assert texts(report, "warning") == [lost]
    assert report.facts["rows without image"] == 1


def test_what_the_reader_refuses_is_an_error(table, tmp_path):
    table("5.jpg", 50, "positive", 1)
    report = check_table(tmp_path)
    assert report.failed
    assert report.facts == {}
    assert "5.jpg came already" in texts(report, "error")[0]


def test_a_folder_of_class_folders_is_checked_by_its_path(tmp_path):
    for i in range(12):
        save_image(tmp_path / ("joy", "fear")[i % 2] / f"{i}.jpg", i)
    (report,) = check(str(tmp_path))
    assert (report.facts["fear"], report.facts["joy"], report.findings) == (6, 6, ())


def test_counts_are_held_against_the_published_ones(twitter2):
    report = check_folder("twitter2", twitter2)
    assert texts(report, "warning") == [
        "1 of its 11 rows have no image: are files missing?",
        "not as published: 10 images (-593), 5 positive (-465), 5 negative (-128)",
    ]
    assert "images                     10  (published: 603)" in report.as_text()
    assert not report.failed


def test_as_many_rows_without_image_as_known_are_a_note(twitter2):
    labels = twitter2 / "groundTruthLabel.txt"
    gone = "".join(f"\r\ngone{i}.jpg\tpositive" for i in range(206))
    labels.write_text(labels.read_text() + gone)
    report = check_folder("twitter2", twitter2)
    assert texts(report, "note") == ["207 rows have no image, as is known of this dataset"]


class TestTwitter1:
    def lists(self, root, rows):
        root.mkdir(exist_ok=True)
        for agree, count in rows.items():
            lines = (f"{i}.jpg {int(i % 2 == 0)}" for i in range(count))
            (root / f"{agree}_agree.txt").write_text("\n".join(lines))
        return root

    def test_lists_alone_are_counted_and_a_warning(self, tmp_path):
        report = check_folder(
            "twitter1", self.lists(tmp_path, {"three": 20, "four": 15, "five": 10})
        )
        assert report.facts["images"] == 0
        assert report.facts["four agree, rows"] == "15 (8 positive, 7 negative)"
        warnings = texts(report, "warning")
        assert "five agree: not as published: 5 positive (-576), 5 negative (-296)" in warnings
        assert "no images, labels alone: `arlib data where twitter1` says how" in warnings[-1]
        assert not report.failed

    def test_with_images_they_are_checked(self, tmp_path):
        self.lists(tmp_path, {"three": 20, "four": 15, "five": 10})
        for i in range(20):
            save_image(tmp_path / f"Agg_AMT_Candidates/{i}.jpg", i)
        (tmp_path / "Agg_AMT_Candidates/3.jpg").write_bytes(b"")
        report = check_folder("twitter1", tmp_path)
        assert (report.facts["images"], report.facts["positive"]) == (20, 10)
        assert report.findings[0].examples == ("Agg_AMT_Candidates/3.jpg: an empty file",)
        assert report.failed

    def test_a_subset_without_list_is_an_error(self, tmp_path):
        report = check_folder("twitter1", self.lists(tmp_path, {"three": 20, "five": 10}))
        assert "four_agrees/ nor four_agree.txt" in texts(report, "error")[0]
        assert "three agree, rows" in report.facts

    def test_an_empty_folder_of_images_is_an_error(self, tmp_path):
        self.lists(tmp_path, {"three": 20, "four": 15, "five": 10})
        (tmp_path / "images").mkdir()
        report = check_folder("twitter1", tmp_path)
        assert report.failed
        assert "none of the 20 images is in" in texts(report, "error")[0]


class TestBoxes:
    def coco(self, root, *boxes):
        save_image(root / "images/a.jpg", 1)
        marks = [{"image_id": 1, "bbox": box} for box in boxes]
        images = [{"id": 1, "file_name": "a.jpg"}]
        (root / "instances.json").write_text(json.dumps({"images": images, "annotations": marks}))
        return root

    def test_boxes_within_are_counted(self, tmp_path):
        report = check_folder("coco", self.coco(tmp_path, [0, 0, 8.5, 8], [1, 1, 2, 2]))
        assert report.facts == {"images": 1, "boxes": 2, "images without box": 0}
        assert texts(report, "warning") == ["not as published: 1 images (-4,999)"]

    @pytest.mark.parametrize("box", [[0, 0, 10, 8], [0, 1, 8, 9], [-2, 0, 5, 5], [0, -2, 5, 5]])
    def test_a_box_beyond_its_image_is_an_error(self, box, tmp_path):
        report = check_folder("coco", self.coco(tmp_path, [1, 1, 2, 2], box))
        assert report.failed
        assert "1 boxes reach beyond their image" in texts(report, "error")[0]

    def test_an_image_that_cannot_be_read_is_an_error(self, tmp_path):
        root = self.coco(tmp_path, [1, 1, 2, 2])
        (root / "images/a.jpg").write_bytes(b"")
        assert texts(check_folder("coco", root), "error") == [
            "1 images cannot be read; replace them"
        ]


def test_what_is_drawn_has_no_folder(tmp_path):
    with pytest.raises(DatasetError, match="scenes has no folder to check; give the path of ima"):
        check_folder("scenes", tmp_path)


def test_a_report_has_five_examples_and_counts_the_rest():
    finding = Finding("note", "7 files", tuple(map(str, range(7))))
    report = Report("x", Path("x"), {}, (finding,))
    assert report.as_text().splitlines()[-2:] == ["      4", "      ... and 2 more"]
    assert json.loads(json.dumps(report.as_dict()))["findings"][0]["examples"][-1] == "6"


def test_everything_under_arlib_data_is_checked(twitter2, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(twitter2.parent))
    for reports in (check(), check("twitter2")):
        assert [(report.name, report.root) for report in reports] == [("twitter2", twitter2)]


def test_real_data_are_reported_as_they_are(data_root):
    report = check_folder("twitter2", data_root / "twitter2")
    facts = [report.facts[key] for key in ("images", "positive", "negative", "rows without image")]
    assert facts == [603, 470, 133, 207]
    assert not report.failed
