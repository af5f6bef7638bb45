"""The synthetic scenes: what causes what, and that it is drawn the same every time."""

from dataclasses import replace

import numpy as np
import pytest

from arlib.datasets import DatasetError, load
from arlib.datasets.scenes import SceneGenerator, draw_scenes, render
from arlib.datasets.scenes.benchmark import ADJECTIVES, OBJECTS, annotated, folded, objects, tagged
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
