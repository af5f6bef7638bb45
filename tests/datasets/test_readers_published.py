"""Readers of EmoSet, Emotion6, ArtPhoto, Abstract, IAPS and FI's lists, on files of their form."""

import json

import numpy as np
import pytest
from PIL import Image
from tests.datasets.helpers import fails, touch

from arlib.datasets import check, load
from arlib.datasets.emoset import emoset
from arlib.datasets.fi import fi
from arlib.datasets.folds import stratified_folds
from arlib.datasets.rated import rated

EKMAN = ["anger", "disgust", "fear", "joy", "sadness", "surprise"]
MIKELS = ["amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness"]
NEGATIVE = {"anger", "disgust", "fear", "sadness"}


def how(name, what="them"):
    return f"`arlib data where {name}` says how to get {what}"


def polar(emotions):
    return [int(each in NEGATIVE) for each in emotions]


def same_but_for_labels(emotions, polarity):
    assert polarity.emotions == ("positive", "negative")
    assert polarity.labels.tolist() == polar(emotions.emotions[i] for i in emotions.labels)
    assert polarity.keys.tolist() == emotions.keys.tolist()
    assert polarity.folds.tolist() == emotions.folds.tolist()


def annotate(root, name, **facts):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps({"image_id": name, "brightness": 0.3, **facts}))


class TestEmoSet:
    """Three images an emotion, one a part; the row of one test image is without its image."""

    @pytest.fixture(params=["with name", "without name", "in the archive's folder", "backslashes"])
    def root(self, request, tmp_path):
        root = tmp_path / "EmoSet-118K" if "archive" in request.param else tmp_path
        for number, part in enumerate(("train", "val", "test")):
            rows = []
            for emotion in MIKELS:
                name = f"{emotion}_0000{number}"
                image, annotation = (
                    f"image/{emotion}/{name}.jpg",
                    f"annotation/{emotion}/{name}.json",
                )
                touch(root, image)
                annotate(root, annotation, emotion=emotion, scene=f"scene {number}")
                row = [emotion, name, image, annotation]
                if request.param == "backslashes":
                    row = [each.replace("/", "\\") for each in row]
                rows.append([row[0], *row[2:]] if request.param == "without name" else row)
            (root / f"{part}.json").write_text(json.dumps(rows))
        (root / "image" / "awe" / "awe_00002.jpg").unlink()
        touch(root, "image/fear/stray.jpg", "image/fear/Thumbs.db", "image/fear/x.txt")
        return tmp_path

    def test_the_test_list_is_fold_1(self, root):
        ds = load("emoset", root)
        assert ds.emotions == tuple(MIKELS)
        assert len(ds) == 23
        assert ds.keys[:2].tolist() == ["amusement/amusement_00000.jpg", "anger/anger_00000.jpg"]
        assert ds.labels.tolist() == [*range(8), *range(8), 0, 1, *range(3, 8)]
        assert ds.folds.tolist() == [-1] * 16 + [1] * 7
        assert ds.counts == {
            "rows": 24,
            "rows without image": 1,
            "images without label": 1,
            "other files": 1,
        }
        assert all(ds.path(index).is_file() for index in range(23))
        assert ds.tags is None
        assert ds.notes[-1] == "1 of its 24 rows have no image: are files missing?"
        same_but_for_labels(ds, load("emoset", root, classes="polarity"))


class TestAttributesOfEmoSet:
    @pytest.fixture
    def root(self, tmp_path):
        for number, part in enumerate(("train", "val", "test")):
            rows = [["awe", f"image/awe/{number}.jpg", f"annotation/awe/{number}.json"]]
            (tmp_path / f"{part}.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(rows).encode())
            touch(tmp_path, f"image/awe/{number}.jpg")
        annotate(tmp_path, "annotation/awe/0.json", emotion="awe", scene="lake", object=["Cat"])
        annotate(tmp_path, "annotation/awe/1.json", emotion="awe", object=["Boat", "Tree"])
        annotate(tmp_path, "annotation/awe/2.json", scene="bakery/shop")
        return tmp_path

    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ("scene", ["lake", "", "bakery/shop"]),
            ("object", ["Cat", "Boat, Tree", ""]),
            ("brightness", ["0.3"] * 3),
            ("human_action", [""] * 3),
        ],
    )
    def test_an_attribute_is_the_tag(self, root, tags, expected):
        ds = load("emoset", root, tags=tags)
        assert ds.tags.tolist() == expected
        assert ds.counts[f"images without {tags}"] == expected.count("")
        named = ds.by_tag()
        assert named.emotions == tuple(sorted(set(expected) - {""}))
        assert [(*named.emotions, "")[i] for i in named.labels] == expected

    def test_what_is_wrong_with_annotations(self, root):
        with fails(
            "emoset: tags must be scene, object, facial_expression, human_action, brightness, "
            "colorfulness or none, not 'mood'"
        ):
            emoset(root, tags="mood")
        path = root / "annotation" / "awe" / "1.json"
        annotate(root, "annotation/awe/1.json", emotion="fear")
        with fails(f"{path}: its emotion is 'fear', and in val.json awe"):
            emoset(root, tags="scene")
        path.write_text("[]")
        with fails(f"{path}: no annotation, but []"):
            emoset(root, tags="scene")
        path.unlink()
        with fails(
            f"{path}: No such file or directory; `arlib data where emoset` says what its archive "
            "holds"
        ):
            emoset(root, tags="scene")

    @pytest.mark.parametrize(
        "kind", ["../x.json", "/x.json", "image/../../x.json", "link.json", "a\0"]
    )
    def test_an_annotation_out_of_the_archive_is_not_read(self, root, kind):
        inside, outside = root / "archive", root / "x.json"
        outside.write_text('{"scene": "secret"}')
        inside.mkdir()
        for name in ("image", "train.json", "val.json", "test.json", "annotation"):
            (root / name).rename(inside / name)
        (inside / "link.json").symlink_to(outside)
        name = str(outside) if kind == "/x.json" else kind
        rows = [
            ["awe", "image/awe/9.jpg", "annotation/awe/9.json"],
            ["awe", "image/awe/1.jpg", name],
        ]
        (inside / "val.json").write_text(json.dumps(rows))
        name = name.replace("\0", r"\x00")
        with fails(f"{inside / 'val.json'}, row 2: its annotation, {name}, is not within {inside}"):
            emoset(inside, tags="scene")

    @pytest.mark.parametrize(
        "row",
        [
            "awe",
            ["awe"],
            ["awe", "image/awe/9.jpg"],
            ["joy", "image/awe/9.jpg", "annotation/awe/9.json"],
            ["awe", "image/awe/9.jpg", 9],
            ["awe", "a", "b", "image/awe/9.jpg", "annotation/awe/9.json"],
            {"emotion": "awe"},
        ],
    )
    def test_a_row_that_is_none(self, root, row):
        path = root / "val.json"
        path.write_text(json.dumps([*json.loads(path.read_bytes()), row]))
        with fails(
            f"{path}, row 2: {row} is no row; a row is an emotion, a name if you like, the image "
            f"and its annotation, and there are {', '.join(MIKELS)}"
        ):
            emoset(root)

    def test_lists_that_contradict_each_other_or_are_missing(self, root):
        path = root / "test.json"
        row = ["awe", "image/awe/2.jpg", "annotation/awe/2.json"]
        path.write_text(json.dumps([row, row]))
        with fails(f"{path}, row 2: image/awe/2.jpg came already"):
            emoset(root)
        path.write_text(json.dumps([["fear", "image/awe/0.jpg", "annotation/awe/0.json"]]))
        with fails(f"{path}: image/awe/0.jpg is in train.json too"):
            emoset(root)
        path.write_text("{}")
        with fails(f"{path}: no list of rows"):
            emoset(root)
        path.write_text('[["awe",')
        with pytest.raises(ValueError, match=r"test\.json: no JSON, or damaged: Expecting value"):
            emoset(root)
        path.write_bytes(b"\xff")
        with pytest.raises(ValueError, match=r"test\.json: no JSON, or damaged: 'utf-8' codec"):
            emoset(root)
        path.unlink()
        with pytest.raises(ValueError, match=r"^.*test\.json: No such file or directory; `arlib"):
            emoset(root)

    def test_no_images(self, root):
        (root / "image").rename(root / "images")
        with fails(f"emoset: none of the 3 images is in {root / 'image'}; {how('emoset')}"):
            emoset(root)


def write_emotion6(root, rows, header=None, end="\r\n"):
    """The form of its readme.txt: tabs; image, valence, arousal, and seven shares."""
    names = [f"[prob. {each}]" for each in (*EKMAN, "neutral")]
    header = header or ["[image_filename]", "[valence]", "[arousal]", *names]
    lines = [
        "\t".join(header),
        *("\t".join([name, "2.5", "3.8", *map(str, p)]) for name, p in rows),
    ]
    path = root / "ground_truth.txt"
    path.write_bytes(end.join([*lines, ""]).encode())
    return path


def shares(index, most=0.7):
    """Most for one of the seven, and equal parts for two others."""
    probabilities = [0.0] * 7
    probabilities[index] = most
    for other in ((index + 1) % 7, (index + 2) % 7):
        probabilities[other] = round((1 - most) / 2, 6)
    return probabilities


class TestEmotion6:
    @pytest.fixture
    def root(self, tmp_path):
        """Two images an emotion, all in the folder of one word; one neutral, one torn, one lost."""
        rows = [(f"joy/{n}.jpg", shares(n % 6)) for n in range(12)]
        rows += [
            ("fear/1.jpg", shares(6)),
            ("fear/2.jpg", [0.5, 0.5, *[0] * 5]),
            ("fear/3.jpg", shares(2)),
        ]
        write_emotion6(tmp_path, rows)
        touch(tmp_path / "images", *(name for name, _ in rows[:-1]), "anger/1.jpg", "readme.txt")
        return tmp_path

    def test_the_label_is_the_largest_share_not_the_folder(self, root):
        ds = load("emotion6", root)
        assert ds.emotions == tuple(EKMAN)
        assert ds.keys.tolist() == [f"joy/{n}.jpg" for n in range(12)]
        assert ds.labels.tolist() == [n % 6 for n in range(12)]
        assert ds.path(3) == root / "images" / "joy" / "3.jpg"
        assert ds.counts == {
            "rows": 15,
            "rows of no single emotion": 2,
            "rows without image": 1,
            "images without label": 1,
            "other files": 1,
        }
        assert ds.notes[0] == "anger has 2 images: 2 folds, not 5"
        assert ds.folds.tolist() == stratified_folds(ds.labels, 2, 0).tolist()
        assert {ds.labels.dtype, ds.folds.dtype} == {np.dtype(np.int8)}
        same_but_for_labels(ds, load("emotion6", root, classes="polarity"))
        assert load("emotion6", root, n_folds=0).folds.tolist() == [-1] * 12

    @pytest.mark.parametrize("end", ["\n", "\r"])
    @pytest.mark.parametrize("mark", ["\ufeff", ""])
    def test_other_line_ends_a_mark_bare_names_and_the_archives_folder(self, root, end, mark):
        header = [f"{mark}image", "valence", "arousal", *(f"prob. {each}" for each in EKMAN)]
        archive = root / "Emotion6"
        archive.mkdir()
        write_emotion6(
            archive, [("joy/1.jpg", shares(3)), ("joy/2.jpg", shares(0))], [*header, "neutral"], end
        )
        touch(archive, "images/joy/1.PNG", "images/joy/2.jpeg")
        ds = load("emotion6", root, n_folds=0)
        assert ds.labels.tolist() == [3, 0]
        assert ds.files.tolist() == ["images/joy/1.PNG", "images/joy/2.jpeg"]
        assert (ds.root, ds.path(0).is_file()) == (archive, True)

    @pytest.mark.parametrize("text", ["much", "nan", "inf", "-0.1", ""])
    def test_a_share_that_is_none(self, root, text):
        path = write_emotion6(root, [("joy/1.jpg", [*shares(3)[:6], text])])
        with fails(f"{path}, line 2: {text!r} is no rating, a number from 0 up"):
            rated("emotion6")(root)

    def test_what_is_wrong(self, root):
        path = write_emotion6(root, [("joy/1.jpg", shares(3)), ("joy/1.jpg", shares(2))])
        with fails(f"{path}, line 3: joy/1.jpg came already in line 2"):
            rated("emotion6")(root)
        write_emotion6(root, [])
        with fails(f"{path}: a header without rows"):
            rated("emotion6")(root)
        write_emotion6(root, [("", shares(3))])
        with fails(f"{path}, line 2: no image"):
            rated("emotion6")(root)
        path.write_text("joy/1.jpg\t1\t2\n")
        with fails(
            f"{path}, line 1: the header ['image', '1', '2'] lacks anger, disgust, fear, joy, "
            "sadness, surprise, neutral"
        ):
            rated("emotion6")(root)
        write_emotion6(root, [("joy/1.jpg", shares(3)), ("joy/1.png", shares(2))])
        with fails(
            "emotion6: the rows joy/1.jpg and joy/1.png are of one image, but for its ending: "
            "leave one"
        ):
            rated("emotion6")(root)
        (root / "images").rename(root / "photos")
        write_emotion6(root, [("joy/1.jpg", shares(3))])
        with fails(f"emotion6: {root} has no folder images; {how('emotion6', 'it')}"):
            rated("emotion6")(root)
        (root / "photos").rename(root / "images")
        write_emotion6(root, [("joy/77.jpg", shares(3))])
        with fails(
            f"emotion6: none of the 1 rated images is in {root / 'images'}; {how('emotion6')}"
        ):
            rated("emotion6")(root)
        touch(root, "images/joy/1.png")
        with fails("emotion6: joy/1.jpg and joy/1.png have one name: leave one"):
            rated("emotion6")(root)
        path.rename(root / "truth.txt")
        with fails(f"emotion6: {root} has no ground_truth (.csv, .txt); {how('emotion6', 'it')}"):
            rated("emotion6")(root)


class TestArtPhoto:
    @pytest.fixture
    def root(self, tmp_path):
        words = [*MIKELS[:-1], "sad"]
        names = [f"{word}_{number:04}.jpg" for word in words for number in range(2)]
        return touch(tmp_path, *(f"testImages_artphoto/{name}" for name in [*names, "ReadMe.rtf"]))

    def test_labels_are_the_first_words_of_names(self, root):
        ds = load("artphoto", root)
        assert ds.emotions == tuple(MIKELS)
        assert ds.labels.tolist() == [number // 2 for number in range(16)]
        assert ds.keys[-1] == "sad_0001.jpg"
        assert ds.path(15) == root / "testImages_artphoto" / "sad_0001.jpg"
        assert ds.counts == {"other files": 1}
        assert ds.notes[0] == "amusement has 2 images: 2 folds, not 5"
        same_but_for_labels(ds, load("artphoto", root, classes="polarity"))
        flat = load("artphoto", root / "testImages_artphoto")
        assert (flat.keys.tolist(), flat.labels.tolist()) == (ds.keys.tolist(), ds.labels.tolist())

    def test_what_is_wrong(self, root):
        touch(root, "testImages_artphoto/AWE_9.JPG", "testImages_artphoto/joy_1.jpg")
        with fails(
            "artphoto: 1 images are of no emotion: ['joy_1.jpg']; a name is EMOTION_NUMBER.jpg, "
            f"and there are {', '.join(MIKELS)}, sad"
        ):
            load("artphoto", root)
        (root / "testImages_artphoto" / "joy_1.jpg").unlink()
        assert load("artphoto", root).labels[0] == MIKELS.index("awe")
        (root / "testImages_artphoto").rename(root / "else")
        (root / "testImages_artphoto").mkdir()
        folder = root / "testImages_artphoto"
        with fails(f"artphoto: no image in {folder}; {how('artphoto')}"):
            load("artphoto", root)


VOTED = ["Amusement", "Anger", "Awe", "Content", "Disgust", "Excitement", "Fear", "Sad"]


class TestAbstract:
    @pytest.fixture
    def root(self, tmp_path):
        """Two paintings an emotion, one of equal votes; ' around names, a header without one."""
        rows = []
        for number in range(17):
            votes = [0] * 8
            votes[number % 8], votes[(number + 1) % 8] = (7, 7) if number == 16 else (8, 3)
            rows.append(f"'abstract_{number:04}.jpg',{','.join(map(str, votes))}")
            touch(tmp_path, f"abstract_{number:04}.jpg")
        head = "," + ",".join(f"'{each}'" for each in VOTED)
        (tmp_path / "ABSTRACT_groundTruth.csv").write_bytes("\r\n".join([head, *rows, ""]).encode())
        return tmp_path

    def test_the_label_is_what_most_voted_for(self, root):
        ds = load("abstract", root)
        assert ds.emotions == tuple(MIKELS)
        assert ds.keys.tolist() == [f"abstract_{number:04}.jpg" for number in range(16)]
        assert ds.labels.tolist() == [*range(8), *range(8)]
        assert ds.counts == {
            "rows": 17,
            "rows of no single emotion": 1,
            "rows without image": 0,
            "images without label": 0,
            "other files": 0,
        }
        assert ds.notes == ("amusement has 2 images: 2 folds, not 5",)
        same_but_for_labels(ds, load("abstract", root, classes="polarity"))

    def test_in_the_archives_folder_with_a_first_column_named_by_quotes(self, root):
        table = root / "ABSTRACT_groundTruth.csv"
        table.write_text("''" + table.read_text())
        archive = root.parent / "abstract"
        archive.mkdir()
        root.rename(archive / "testImages_abstract")
        assert len(load("abstract", archive)) == 16

    def test_what_is_wrong(self, root):
        table = root / "ABSTRACT_groundTruth.csv"
        text = table.read_text()
        table.write_text(text + "'abstract_0001.jpg',0,0,0,0,0,0,0,1\n")
        with fails(f"{table}, line 19: abstract_0001.jpg came already in line 3"):
            load("abstract", root)
        table.write_text(text + "'abstract_0099.jpg',0,0\n")
        with fails(f"{table}, line 19: 3 cells, where the header has 9"):
            load("abstract", root)
        table.write_text(text.replace("'Sad'", "'Bored'"))
        with pytest.raises(ValueError, match=r"line 1: the header .* lacks sad$"):
            load("abstract", root)
        table.rename(root / "abstract_groundtruth.txt")
        (root / "ABSTRACT_groundTruth.csv").write_text(text)
        with fails(
            "abstract: ABSTRACT_groundTruth.csv and abstract_groundtruth.txt in "
            f"{root} are one table: leave one"
        ):
            load("abstract", root)


class TestIAPS:
    NEGATIVE = ("Angr", "Disg", "Fear", "Sadn")
    POSITIVE = ("Amus", "Awe", "Cont", "Exci")

    def write(self, root, half, pictures, ending="txt", between="\t"):
        """A table of one half: its picture, a category in letters, means and deviations."""
        names = self.NEGATIVE if half == "negative" else self.POSITIVE
        columns = [f"{each}{what}" for each in names for what in ("Mean", "SD")]
        lines = [between.join(["Picture", "Category", "GendDiff", *columns])]
        for picture, means in pictures:
            cells = [str(cell) for mean in means for cell in (mean, 0.5)]
            lines.append(between.join([picture, "DS", "*", *cells]))
        path = root / f"mikels2005{half}norms.{ending}"
        path.write_bytes("\r\n".join([*lines, ""]).encode())
        return path

    @pytest.fixture
    def root(self, tmp_path):
        highest = [[7 if i == emotion else 2.5 for i in range(4)] for emotion in range(4)]
        lower = [(f"{1000 + n}", highest[n % 4]) for n in range(8)]
        self.write(tmp_path, "negative", [*lower, ("2819", highest[0]), ("1200", [3, 3, 1, 1])])
        upper = [("2055.1", highest[0]), ("2058.0", highest[1])]
        upper += [(f"{3000 + n}", highest[(n + 2) % 4]) for n in range(6)]
        self.write(tmp_path, "positive", upper, "CSV", ",")
        pictures = [picture.removesuffix(".0") for picture, _ in (*lower, *upper)]
        return touch(tmp_path / "images", *(f"{each}.jpg" for each in (*pictures, "1200", "9999")))

    def test_the_label_is_the_greatest_mean(self, root):
        ds = load("iaps", root.parent)
        assert ds.emotions == tuple(MIKELS)
        halves = ["anger", "disgust", "fear", "sadness"] * 2
        halves += ["amusement", "awe", "contentment", "excitement"] * 2
        assert [ds.emotions[label] for label in ds.labels] == halves
        assert ds.keys[8:10].tolist() == ["2055.1", "2058"]
        assert ds.path(8) == root / "2055.1.jpg"
        assert ds.counts == {
            "rows": 18,
            "rows of no single emotion": 1,
            "rows without image": 1,
            "images without label": 1,
            "other files": 0,
        }
        assert ds.notes == ("amusement has 2 images: 2 folds, not 5",), (
            "2819 is known to be missing"
        )
        same_but_for_labels(ds, load("iaps", root.parent, classes="polarity"))

    def test_what_is_wrong(self, root):
        path = self.write(root.parent, "positive", [("1001.0", [1, 2, 3, 4])], "CSV", ",")
        with fails(f"{path}: ['1001'] came already in Mikels2005negativenorms"):
            load("iaps", root.parent)
        path.unlink()
        with fails(
            f"iaps: {root.parent} has no Mikels2005positivenorms (.csv, .txt); {how('iaps', 'it')}"
        ):
            load("iaps", root.parent)


class TestListsOfFI:
    @pytest.fixture
    def root(self, tmp_path):
        """Three images an emotion, of which two have a majority; one row has no image."""
        (tmp_path / "agg").mkdir()
        for emotion in MIKELS:
            rows = [
                f"7,https://farm1.staticflickr.com/1/{emotion}1_b.jpg,1,4",
                f"8,http://scontent.cdninstagram.com/e15/{emotion}2.jpg?ig_cache_key=Mz, 2 , 3",
                f"9,https://farm1.staticflickr.com/1/{emotion}3_b.jpg,3,2",
            ]
            self.write(tmp_path, emotion, rows)
            touch(tmp_path / emotion, f"{emotion}1_b.jpg", f"{emotion}2.jpg", f"{emotion}3_b.jpg")
        with (tmp_path / "agg" / "awe_agg.csv").open("ab") as file:
            file.write(b"10,https://farm1.staticflickr.com/1/gone_b.jpg,0,5\r\n")
        return touch(tmp_path, "fear/unlisted.jpg", "fear/x.txt")

    def write(self, root, emotion, rows, ending="_agg.csv"):
        path = root / "agg" / f"{emotion}{ending}"
        path.write_bytes("\r\n".join([*rows, ""]).encode())
        return path

    def test_a_majority_is_kept(self, root):
        ds = load("fi", root, n_folds=2)
        assert ds.keys.tolist() == [f"{e}/{e}{n}" for e in MIKELS for n in ("1_b.jpg", "2.jpg")]
        assert ds.labels.tolist() == [number // 2 for number in range(16)]
        assert ds.folds.tolist() == stratified_folds(ds.labels, 2, 0).tolist()
        assert ds.counts == {
            "other files": 1,
            "rows": 25,
            "rows without majority": 8,
            "rows without image": 1,
            "images without label": 1,
        }
        same_but_for_labels(ds, load("fi", root, n_folds=2, classes="polarity"))

    def test_votes_of_rows_of_one_image_are_added(self, root):
        address = "https://farm1.staticflickr.com/1/fear3_b.jpg"
        path = root / "agg" / "fear_agg.csv"
        path.write_bytes(path.read_bytes() + f"11,{address},0,4\r\n".encode())
        ds = load("fi", root, n_folds=2)
        assert "fear/fear3_b.jpg" in ds.keys
        assert ds.counts["rows"] == 25
        note = "1 rows of agg/ name an image of an earlier row: their votes are added"
        assert note in ds.notes

    @pytest.mark.parametrize(
        "row", ["7,https://x/a.jpg,1", "7,https://x/,1,4", "7,https://x/a.jpg,1,four", "7,a,b,-1,4"]
    )
    def test_a_row_that_is_none(self, root, row):
        path = self.write(root, "awe", ["7,https://x/a.jpg,1,4", row])
        with fails(
            f"{path}, line 2: {row!r} is no row; a row is anything, an image's address, and how "
            "many voted against its emotion and for it"
        ):
            fi(root)

    def test_what_is_wrong(self, root):
        (root / "agg" / "awe_agg.csv").rename(root / "agg" / "joy_agg.csv")
        with fails(
            f"fi: {root / 'agg' / 'joy_agg.csv'} is no list; a list is EMOTION.csv or "
            f"EMOTION_....csv, and there are {', '.join(MIKELS)}"
        ):
            fi(root)
        (root / "agg" / "joy_agg.csv").unlink()
        with fails(f"fi: {root / 'agg'} has no list of awe"):
            fi(root)
        for emotion in MIKELS:
            self.write(root, emotion, ["7,https://x/a.jpg,1,4"], ".csv")
            (root / "agg" / f"{emotion}_agg.csv").unlink(missing_ok=True)
        with fails(
            f"fi: none of the images is in the lists of {root / 'agg'}: an image's name is the "
            "last part of its address there"
        ):
            fi(root)


def test_check_compares_with_what_is_published(tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    root = tmp_path / "emotion6"
    (root / "images" / "joy").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / "joy" / f"{number}.jpg")
    write_emotion6(root, [(f"joy/{n}.jpg", shares(n % 6)) for n in range(12)])
    (report,) = check()
    assert (report.name, report.facts["images"], report.failed) == ("emotion6", 12, False)
    assert report.facts["folds"] == "1: 6, 2: 6"
    assert "not as published: 12 rows (-1,968)" in report.as_text()
