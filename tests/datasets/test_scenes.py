"""The synthetic scenes: what causes what, and that it is drawn the same every time."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.datasets.helpers import touch

from arlib.datasets import DatasetError, check, load
from arlib.datasets.scenes import SceneGenerator, draw_scenes, export, export_scenes, render
from arlib.datasets.scenes.benchmark import (
    ADJECTIVES,
    OBJECTS,
    SETS,
    annotated,
    folded,
    objects,
    tagged,
)
from arlib.datasets.scenes.shapes import EXTENTS, RADII, SHAPES

GENERATOR = SceneGenerator()


def plain(**settings):
    """A generator without anything random to see but what the test sets."""
    quiet = {"texture": 0, "pixel_noise": 0, "light_noise": 0, "warmth_noise": 0}
    return SceneGenerator(**{**quiet, "weather_signal": 0, "weather_noise": 0, **settings})


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"local_share": 1.1}, "local_share must lie in"),
            ({"local_share": -0.1}, "local_share must lie in"),
            ({"size": 40}, "size must be 56 or more"),
            ({"radius": (10, 40)}, "radius must rise within"),
            ({"radius": (20, 10)}, "radius must rise within"),
            ({"expressive": (3, 1)}, "must rise from 0"),
        ],
    )
    def test_nonsense_is_refused(self, settings, message):
        with pytest.raises(DatasetError, match=message):
            SceneGenerator(**settings)


class TestPixels:
    def test_same_seed_same_bytes(self):
        first, again = (render(draw_scenes(GENERATOR, 9, seed=3), range(9)) for _ in range(2))
        assert (first == again).all()
        other = render(draw_scenes(GENERATOR, 9, seed=4), range(9))
        assert (first != other).mean() > 0.5

    def test_an_image_does_not_depend_on_what_is_drawn_with_it(self):
        scenes = draw_scenes(GENERATOR, 70, seed=0)
        together = render(scenes, range(70))
        for index in (0, 31, 32, 69):
            assert (render(scenes, [index])[0] == together[index]).all()

    def test_an_object_fills_its_box_and_nothing_else(self):
        generator = plain(expressive=(0, 0), plain=(1, 1))
        scenes = draw_scenes(generator, 60, seed=1)
        bare = render(replace(scenes, present=np.zeros_like(scenes.present)), range(60))
        changed = (render(scenes, range(60)) != bare).any(axis=-1)
        boxes = scenes.boxes()
        for mask, present, box in zip(changed, scenes.present, boxes, strict=True):
            (expected,) = box[present]
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            extent = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert np.abs(extent - expected).max() <= 1.5

    def test_boxes_are_tight_around_every_outline(self):
        angle = 2 * np.pi * np.arange(720) / 720
        for shape in range(len(SHAPES)):
            for turn in (0, 45, 700):
                radius = RADII[shape, (np.arange(720) - turn) % 720]
                x, y = radius * np.cos(angle), radius * np.sin(angle)
                expected = [x.min(), y.min(), x.max(), y.max()]
                np.testing.assert_allclose(EXTENTS[shape, turn], expected, atol=1e-6)

    def test_warmth_and_light_move_the_colours(self):
        scenes = draw_scenes(plain(), 2, seed=0)
        zero = np.zeros(2, np.float32)
        scenes = replace(scenes, warmth=zero, light=zero)
        before = render(scenes, [0]).mean(axis=(0, 1, 2))
        warm = render(replace(scenes, warmth=zero + 0.2), [0]).mean(axis=(0, 1, 2))
        assert warm[0] > before[0]
        assert warm[2] < before[2]
        light = render(replace(scenes, light=zero + 0.2), [0]).mean(axis=(0, 1, 2))
        assert (light > before).all()

    def test_a_face_shows_its_mood_and_only_there(self):
        scenes = draw_scenes(plain(expressive=(1, 1), plain=(0, 0)), 1, seed=2)
        happy = render(replace(scenes, expression=np.full_like(scenes.expression, 2)), [0])[0]
        sad = render(replace(scenes, expression=np.full_like(scenes.expression, -2)), [0])[0]
        rows, columns = np.nonzero((happy != sad).any(axis=-1))
        x0, y0, x1, y1 = scenes.boxes()[0][scenes.face[0]][0]
        assert rows.size > 20
        assert (y0 - 1 <= rows).all()
        assert (rows <= y1 + 1).all()
        assert (x0 - 1 <= columns).all()
        assert (columns <= x1 + 1).all()


class TestCauses:
    scenes = draw_scenes(SceneGenerator(local_share=0.3), 4000, seed=0)

    def test_valence_is_the_stated_mixture(self):
        expected = np.sqrt(0.7) * self.scenes.global_mood + np.sqrt(0.3) * self.scenes.local_mood
        np.testing.assert_allclose(self.scenes.valence, expected)
        assert self.scenes.valence.std() == pytest.approx(1, abs=0.05)
        share = np.corrcoef(self.scenes.valence, self.scenes.local_mood)[0, 1] ** 2
        assert share == pytest.approx(0.3, abs=0.04)

    @pytest.mark.parametrize("share", [0.0, 1.0])
    def test_at_either_end_one_mood_decides(self, share):
        scenes = replace(self.scenes, generator=SceneGenerator(local_share=share))
        assert (scenes.valence == (scenes.local_mood if share else scenes.global_mood)).all()

    @pytest.mark.parametrize("name", ["light", "warmth", "weather"])
    def test_the_global_mood_and_not_the_local_is_in_light_and_weather(self, name):
        cue = getattr(self.scenes, name)
        assert np.corrcoef(cue, self.scenes.global_mood)[0, 1] > 0.5
        assert abs(np.corrcoef(cue, self.scenes.local_mood)[0, 1]) < 0.05

    def test_the_local_mood_is_in_faces(self):
        face = self.scenes.face
        local = np.broadcast_to(self.scenes.local_mood[:, None], face.shape)[face]
        assert np.corrcoef(self.scenes.expression[face], local)[0, 1] > 0.8
        assert (self.scenes.expression[~face] == 0).all()

    @pytest.mark.parametrize("name", ["shape", "surface", "radius", "turn"])
    def test_nothing_else_carries_sentiment(self, name):
        values = getattr(self.scenes, name).mean(axis=1)
        assert abs(np.corrcoef(values, self.scenes.valence)[0, 1]) < 0.05
        colour = self.scenes.colour.mean(axis=(1, 2))
        assert abs(np.corrcoef(colour, self.scenes.valence)[0, 1]) < 0.05

    def test_numbers_of_objects_are_as_set(self):
        faces = self.scenes.face.sum(axis=1)
        others = (self.scenes.present & ~self.scenes.face).sum(axis=1)
        assert (faces.min(), faces.max()) == (1, 3)
        assert (others.min(), others.max()) == (1, 4)
        assert not (self.scenes.face & ~self.scenes.present).any()


class TestSets:
    def test_objects_show_their_class_close_up(self):
        dataset = objects(GENERATOR, 300, seed=1)
        assert dataset.emotions == OBJECTS
        assert len(OBJECTS) == 36
        assert np.unique(dataset.labels).size == 36
        shapes = np.array([dataset.read(i).shape for i in range(50)])
        assert (shapes[:, :2].min() >= 10) & (shapes[:, :2].max() <= 128)

    def test_tags_carry_the_label_and_are_often_wrong(self):
        dataset = tagged(GENERATOR, 2000, seed=1)
        adjectives, nouns = np.char.partition(dataset.tags, " ")[:, [0, 2]].T
        assert np.isin(nouns, SHAPES).all()
        positive = np.isin(adjectives, ADJECTIVES["positive"])
        assert (positive == (dataset.labels == 0)).all()
        assert (positive | np.isin(adjectives, ADJECTIVES["negative"])).all()
        assert 0.15 < dataset.counts["wrong tags"] / 2000 < 0.35
        assert (dataset.folds == 1).mean() == pytest.approx(0.1)
        assert set(dataset.folds) == {-1, 1}

    def test_agreement_comes_out_of_the_votes(self):
        sets = {
            agreement: annotated(GENERATOR, 500, seed=1, agreement=agreement)
            for agreement in (5, 4, 3)
        }
        counts = sets[3].counts
        assert [len(dataset) for dataset in sets.values()] == list(counts.values())
        assert counts["5 agree"] < counts["4 agree"] < counts["3 agree"] == 500
        assert set(sets[5].keys) < set(sets[4].keys) < set(sets[3].keys)
        with pytest.raises(DatasetError, match="agreement must be 3, 4 or 5"):
            annotated(GENERATOR, 50, agreement=2)

    def test_the_more_agree_the_more_often_the_label_is_right(self):
        scenes = draw_scenes(GENERATOR, 3000, seed=5)
        right = {}
        for agreement in (5, 3):
            dataset = annotated(GENERATOR, 3000, seed=5, agreement=agreement)
            rows = dataset.files.astype(int)
            right[agreement] = ((scenes.valence[rows] > 0) == (dataset.labels == 0)).mean()
        assert right[5] > right[3] > 0.8

    def test_folded_is_as_unbalanced_as_twitter2(self):
        dataset = folded(GENERATOR, 200, seed=1)
        assert len(dataset) == 200
        assert (dataset.labels == 0).mean() == 0.78
        assert sorted(np.unique(dataset.folds)) == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize("make", [objects, tagged, annotated, folded])
    def test_a_set_reads_the_same_again_and_in_part(self, make):
        dataset, again = make(GENERATOR, 60, seed=2), make(GENERATOR, 60, seed=2)
        assert (dataset.labels == again.labels).all()
        assert load(dataset.name, n=60, seed=2).keys.tolist() == dataset.keys.tolist()
        part = dataset.subset([7, 5])
        assert (part.read(1) == again.read(5)).all()
        assert (part.regions is None) == (dataset.regions is None)

    def test_regions_are_those_with_a_face(self):
        dataset = annotated(GENERATOR, 40, seed=2)
        scenes = draw_scenes(GENERATOR, 40, seed=2)
        known = ~np.isnan(dataset.regions).any(axis=-1)
        assert (known == scenes.face).all()
        inside = dataset.regions[known]
        assert inside.min() >= 0
        assert inside.max() <= GENERATOR.size


SMALL = SceneGenerator(size=60, local_share=0.7)
SIZES = {"objects": 300, "tagged": 60, "tested": 50}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "below" / "scenes"
    return export_scenes(folder, SMALL, **SIZES, seed=1, progress=False)


class TestExport:
    def drawn(self, name, **more):
        number = list(SETS).index(name) + 1
        size = SIZES.get(name, SIZES["tested"])
        return SETS[name](SMALL, size, 1000 + number, **more)

    @pytest.mark.parametrize(
        ("read", "settings", "name", "more"),
        [
            ("twitter1", {}, "annotated", {}),
            ("twitter1", {"agree": "four"}, "annotated", {"agreement": 4}),
            ("twitter1", {"agree": "five"}, "annotated", {"agreement": 5}),
            ("twitter2", {}, "folded", {}),
            ("vso", {}, "tagged", {}),
        ],
    )
    def test_what_is_read_is_what_is_drawn(self, exported, monkeypatch, read, settings, name, more):
        monkeypatch.setenv("ARLIB_DATA", str(exported))
        ds, drawn = load(read, **settings), self.drawn(name, **more)
        names = [key.rpartition("/")[2] for key in ds.keys.tolist()]
        assert names == [f"{key}.png" for key in drawn.keys.tolist()]
        assert ds.emotions == drawn.emotions
        assert ds.labels.tolist() == drawn.labels.tolist()
        assert ds.folds.tolist() == drawn.folds.tolist()
        for of, words in ((ds.agreement, drawn.agreement), (ds.tags, drawn.tags)):
            told = None if words is None else np.char.replace(words.astype(str), " ", "_").tolist()
            assert told is None or of.astype(str).tolist() == told
        for index in range(len(ds)):
            assert (ds.read(index) == drawn.read(index)).all()

    def test_another_tenth_can_be_held_out(self, exported):
        ds = load("vso", exported / "vso", n_folds=10)
        assert np.bincount(ds.folds[ds.folds > 0])[1] == 6
        assert ds.folds.tolist() != self.drawn("tagged").folds.tolist()

    def test_objects_lie_in_a_folder_a_class(self, exported):
        ds, drawn = load(exported / "objects"), self.drawn("objects")
        number = {key: index for index, key in enumerate(drawn.keys.tolist())}
        assert ds.emotions == tuple(sorted(OBJECTS))
        assert len(ds) == len(drawn)
        for index, key in enumerate(ds.keys.tolist()):
            of = number[key.rpartition("/")[2].removesuffix(".png")]
            assert ds.emotions[ds.labels[index]] == drawn.emotions[drawn.labels[of]]
            assert (ds.read(index) == drawn.read(of)).all()

    @settings(max_examples=6)
    @given(st.integers(0, 10**6), st.integers(120, 200), st.floats(0, 1))
    def test_of_any_seed_size_and_share(self, tmp_path_factory, seed, n, share):
        """Labels, folds, order and tags survive the layouts; the images are empty files."""
        root, generator = tmp_path_factory.mktemp("any"), SceneGenerator(local_share=share)
        subsets = {
            name: annotated(generator, n, seed, agreement=least)
            for name, least in (("five", 5), ("four", 4), ("three", 3))
        }
        few, tags = folded(generator, n, seed), tagged(generator, n, seed)
        touch(root / "1", *export._write_twitter1(subsets, root / "1"))
        touch(root / "2", *export._write_twitter2(few, root / "2"))
        touch(root / "vso", *export._write_vso(tags, root / "vso"))
        pairs = [(load("twitter1", root / "1", agree=each), subsets[each]) for each in subsets]
        pairs += [(load("twitter2", root / "2"), few), (load("vso", root / "vso"), tags)]
        for ds, drawn in pairs:
            assert [key[-10:-4] for key in ds.keys.tolist()] == [
                k[-6:] for k in drawn.keys.tolist()
            ]
            assert (ds.labels == drawn.labels).all()
            assert (ds.folds == drawn.folds).all()
        shutil.rmtree(root)

    def test_it_holds_nothing_that_a_check_calls_an_error(self, exported, monkeypatch):
        monkeypatch.setenv("ARLIB_DATA", str(exported))
        reports = list(check())
        assert [report.name for report in reports] == ["twitter1", "twitter2", "vso"]
        assert not any(report.failed for report in reports)
        texts = [finding.text for report in reports for finding in report.findings]
        assert all("not as published" in text for text in texts)

    def test_it_says_what_it_is(self, exported):
        facts = json.loads((exported / "scenes.json").read_text())
        assert facts["generator"]["local_share"] == 0.7
        assert facts["sets"]["tagged"] == {"n": 60, "seed": 1002}
        text = (exported / "README.md").read_text()
        assert all(f"{path.name}/" in text for path in exported.iterdir() if path.is_dir())
        again = facts["sets"]["folded"]
        assert self.drawn("folded").sha256() == folded(SMALL, **again).sha256()


class TestExportReplaces:
    """A folder that is new, empty or its own; what fails leaves everything as it was."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(export, "_write_png", lambda path, image: touch(path.parent, path.name))

    def export(self, folder, **more):
        return export_scenes(folder, SMALL, **{**SIZES, **more}, progress=False)

    def test_an_empty_folder_and_its_own(self, tmp_path):
        self.export(tmp_path)
        self.export(tmp_path, tested=60)
        assert len(load("twitter2", tmp_path / "twitter2")) == 60
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            *("README.md", "objects", "scenes.json", "twitter1", "twitter2", "vso")
        ]

    def test_nothing_that_somebody_added_is_lost(self, tmp_path):
        self.export(tmp_path)
        for added in ("weights/vgg16.safetensors", "vso/notes.txt", "own.png"):
            touch(tmp_path, added)
            with pytest.raises(FileExistsError, match="and is not an empty folder, or one that"):
                self.export(tmp_path)
            (tmp_path / added).unlink()

    @pytest.mark.parametrize("facts", [None, "", "[]", '{"files": 2}', '{"files": 9, "sets": {}}'])
    def test_a_folder_of_somebody_elses(self, tmp_path, facts):
        touch(tmp_path, "twitter2/partition1/mine.jpg")
        if facts is not None:
            (tmp_path / "scenes.json").write_text(facts)
        with pytest.raises(FileExistsError, match="name another output, or remove it"):
            self.export(tmp_path)
        assert (tmp_path / "twitter2/partition1/mine.jpg").exists()

    def test_a_file_and_a_link(self, tmp_path):
        touch(tmp_path, "file")
        (tmp_path / "empty").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "empty")
        for name in ("file", "link"):
            with pytest.raises(FileExistsError, match=f"{name} exists already"):
                self.export(tmp_path / name)

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_what_is_cut_off_leaves_the_former_one(self, tmp_path, monkeypatch, error):
        folder = self.export(tmp_path / "scenes")

        def full(path, image):
            raise error

        monkeypatch.setattr(export, "_write_png", full)
        with pytest.raises(type(error)) as caught:
            self.export(folder, tested=60)
        if isinstance(error, OSError):
            assert str(caught.value) == f"[Errno 28] No space left on device: '{folder}'"
        assert [path.name for path in tmp_path.iterdir()] == ["scenes"]
        assert len(load("twitter2", folder / "twitter2")) == 50

    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ({"tested": 8}, "scenes-annotated: 5 folds need 5 images of every class, and "),
            ({"tagged": 9}, "scenes-tagged: 10 folds need 10 images of every class, and "),
            ({"objects": 36}, "of 36 objects 0 are striped egg, "),
        ],
    )
    def test_too_few_images(self, tmp_path, sizes, message):
        with pytest.raises(DatasetError, match=f"^{message}"):
            self.export(tmp_path / "scenes", **sizes)
        assert not list(tmp_path.iterdir())
