"""SentiBank: features against loops over pixels; a bank that learns, is kept, and is repeatable."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from safetensors.numpy import save as safetensors
from scipy.signal import convolve
from sklearn.metrics import roc_auc_score

from arlib.datasets import Dataset, load
from arlib.experiments.baselines import lowlevel, sentibank
from arlib.experiments.baselines.sentibank import (
    Descriptor,
    SentiBank,
    read_pairs,
    train_bank,
)

SMALL = Descriptor(size=64, bins=8, words=20)
SHAPES = ("disc", "star")


def shares(image, descriptor=SMALL):
    """The global features before the square roots: colour, GIST, patterns."""
    features, _ = lowlevel.low_level(image, descriptor)
    return np.split(features.astype(float) ** 2, [3 * descriptor.bins, 3 * descriptor.bins + 512])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module")
def tagged():
    """Close-ups of two shapes on every surface, tagged with both: 6 pairs."""
    dataset = load("scenes-objects", n=1200, seed=2)
    tags = np.array(dataset.emotions)[dataset.labels]
    kept = np.isin(np.char.rpartition(tags, " ")[:, 2], SHAPES)
    return replace(dataset, tags=tags).subset(kept)


def train(tagged, **settings):
    return train_bank(tagged, **{"descriptor": SMALL, "progress": False, **settings})


@pytest.fixture(scope="module")
def bank(tagged):
    return train(tagged.subset(slice(0, None, 2)))


def same(one, other):
    names = ("vocabulary", "weight", "bias", "counts", "precision")
    arrays = [(getattr(one, a), getattr(other, a)) for a in names]
    arrays = all(np.array_equal(*each, equal_nan=True) for each in arrays)
    return arrays and (one.anps, one.descriptor) == (other.anps, other.descriptor)


class TestFeatures:
    @pytest.mark.parametrize("bins", [1, 8, 10, 256])
    def test_colour_against_a_loop_over_pixels(self, bins):
        image = noise(32, 32, 3)
        expected = np.zeros((3, bins))
        for row in image.tolist():
            for pixel in row:
                for channel, value in enumerate(pixel):
                    expected[channel, value * bins // 256] += 1 / 32**2
        colour, _, _ = shares(image, Descriptor(size=32, bins=bins))
        np.testing.assert_allclose(colour, expected.ravel(), atol=1e-6)

    def test_gist_against_direct_convolution(self):
        from skimage.filters import gabor_kernel

        grey = noise(32, 32)
        half = np.floor(grey.reshape(16, 2, 16, 2).mean(axis=(1, 3)) + 0.5) / 255
        centred = np.pad(half - half.mean(), 4, mode="symmetric")
        expected = []
        for scale in range(4):
            for turn in range(8):
                kernel = gabor_kernel(0.35 / 1.85**scale, np.pi * turn / 8)
                (top, left) = (n // 2 for n in kernel.shape)
                again = np.pad(centred, [(top, top), (left, left)], mode="wrap")
                response = np.abs(convolve(again, kernel, mode="valid", method="direct"))
                for y in range(4, 20, 4):
                    for x in range(4, 20, 4):
                        expected.append(response[y : y + 4, x : x + 4].mean())
        np.testing.assert_allclose(lowlevel.gist(grey), expected, rtol=0, atol=1e-6)
        assert np.std(expected) > 0.005, "thousands of times what is tolerated"

    @pytest.mark.parametrize("turn", range(8))
    def test_gist_responds_most_to_the_waves_it_is_tuned_to(self, turn):
        x, y = np.meshgrid(np.arange(128), np.arange(128))
        angle, f = np.pi * turn / 8, 0.35 / 1.85**1 / 2  # GIST halves the image's sides
        wave = 128 + 100 * np.cos(2 * np.pi * f * (x * np.cos(angle) + y * np.sin(angle)))
        gist = lowlevel.gist(wave.astype(np.uint8)).reshape(4, 8, 16).mean(axis=2)
        assert np.unravel_index(gist.argmax(), gist.shape) == (1, turn)

    def test_patterns_against_a_loop_over_pixels(self):
        """One bin of 59 a uniform pattern, in skimage's order, which is left open: counts agree."""
        grey = np.clip(noise(32, 32).cumsum(axis=0) % 997 // 4, 0, 255).astype(np.uint8)
        ring = [(np.sin(a), np.cos(a)) for a in np.arange(8) * np.pi / 4]
        wide = np.pad(grey.astype(float), 2)  # outside it is black
        counts = {}
        for y in range(32):
            for x in range(32):
                signs = []
                for dy, dx in ring:
                    v, u = round(y - dy + 2, 5), round(x + dx + 2, 5)
                    top, left = int(v), int(u)
                    a, b = v - top, u - left
                    value = (1 - a) * (1 - b) * wide[top, left] + (1 - a) * b * wide[top, left + 1]
                    value += a * (1 - b) * wide[top + 1, left] + a * b * wide[top + 1, left + 1]
                    signs.append(value >= wide[y + 2, x + 2])
                changes = sum(signs[i] != signs[i - 1] for i in range(8))
                key = tuple(signs) if changes <= 2 else "the rest"
                counts[key] = counts.get(key, 0) + 1
        _, _, patterns = shares(np.repeat(grey[..., None], 3, 2), Descriptor(size=32))
        assert len(patterns) == 59
        expected = sorted([*counts.values(), *[0] * (59 - len(counts))])
        np.testing.assert_allclose(np.sort(patterns) * 32**2, expected, atol=1e-3)

    def test_a_patch_is_described_by_its_own_pixels(self):
        grey = noise(64, 64)
        other = grey.copy()
        other[40:, 40:] = noise(24, 24, seed=1)
        changed = (lowlevel.sift(grey, 8, 16) != lowlevel.sift(other, 8, 16)).any(axis=1)
        corner = np.zeros((8, 8), bool)
        corner[5:, 5:] = True
        changed = changed.reshape(8, 8)
        assert changed[corner].all()
        assert not changed[:3].any()
        assert not changed[:, :3].any()

    def test_patches_have_unit_length_and_flat_ones_none(self):
        length = (lowlevel.sift(noise(64, 64), 8, 16).astype(float) ** 2).sum(axis=1)
        np.testing.assert_allclose(length, 1, atol=0.01)
        assert not lowlevel.sift(np.full((64, 64), 7, np.uint8), 8, 16).any()

    @settings(max_examples=25)
    @given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
    def test_pooling_against_a_loop_over_patches(self, side, words, seed):
        rng = np.random.default_rng(seed)
        patches = rng.random((side**2, 128)).astype(np.float16)
        vocabulary = rng.random((words, 128)).astype(np.float32)
        expected = np.zeros((5, words))
        for number, patch in enumerate(patches.astype(float)):
            row, column = divmod(number, side)
            word = int(np.argmin([((patch - v) ** 2).sum() for v in vocabulary]))
            expected[0, word] = expected[1 + 2 * (row >= side / 2) + (column >= side / 2), word] = 1
        assert (lowlevel.pooled(patches, vocabulary) == expected.ravel()).all()

    def test_the_length_is_that_of_the_descriptor(self):
        image = noise(50, 70, 3)
        for descriptor in (SMALL, Descriptor(), Descriptor(size=48, step=16, bins=256, words=3)):
            features, patches = lowlevel.low_level(image, descriptor)
            pooled = lowlevel.pooled(patches, np.zeros((descriptor.words, 128), np.float32))
            assert len(features) + len(pooled) == descriptor.length
            assert len(patches) == (descriptor.size // descriptor.step) ** 2
            assert (features.dtype, patches.dtype) == (np.float32, np.float16)

    @pytest.mark.parametrize(
        "image",
        [
            np.repeat(noise(40, 60, 1), 3, axis=2),
            noise(1, 1, 3),
            noise(1, 300, 3),
            np.zeros((128, 128, 3), np.uint8),
            np.full((20, 20, 3), 255, np.uint8),
        ],
        ids=["grey", "one pixel", "a line", "black", "white"],
    )
    def test_odd_images_give_finite_features(self, image):
        features, patches = lowlevel.low_level(image, SMALL)
        assert np.isfinite(features).all()
        assert np.isfinite(patches).all()
        colour, _, patterns = shares(image)
        assert colour.sum() == pytest.approx(3, abs=1e-4)
        assert patterns.sum() == pytest.approx(1, abs=1e-4)

    @pytest.mark.parametrize(
        "wrong",
        [{"size": 60}, {"step": 5}, {"size": 0}, {"patch": 0}, {"bins": 257}, {"words": 0}],
    )
    def test_settings_outside_their_range_are_refused(self, wrong):
        with pytest.raises(ValueError, match="must"):
            Descriptor(**wrong)

    def test_the_least_and_the_greatest_settings_are_accepted(self):
        assert Descriptor(size=8, step=1, patch=1, bins=1, words=1).length == 3 + 512 + 59 + 5
        assert Descriptor(bins=256).bins == 256


class TestTraining:
    def test_detects_surfaces_in_images_it_has_not_seen(self):
        dataset = load("scenes-objects", n=360, seed=2)
        surface = np.char.partition(np.array(dataset.emotions)[dataset.labels], " ")[:, 0]
        dataset = replace(dataset, tags=np.char.add(surface, " shape"))
        bank = train_bank(dataset.subset(slice(200)), progress=False)
        held_out = dataset.subset(slice(200, None))
        responses = bank.responses(held_out, progress=False)
        assert bank.anps == ("dotted shape", "plain shape", "striped shape")
        assert responses.dtype == np.float32
        for number, anp in enumerate(bank.anps):
            assert roc_auc_score(held_out.tags == anp, responses[:, number]) > 0.7

    def test_counts_images_of_every_pair_with_enough_of_them(self, tagged):
        pairs, counts = np.unique(tagged.tags, return_counts=True)
        least = int(np.sort(counts)[-2])
        bank = train(tagged, least=least)
        assert bank.anps == tuple(pairs[counts >= least])
        assert bank.counts.tolist() == counts[counts >= least].tolist()
        assert len(bank.anps) < len(pairs)

    def test_the_folded_standardisation_responds_as_the_machine_itself(self):
        from sklearn.svm import LinearSVC

        rng = np.random.default_rng(0)
        features = rng.random((40, 6)).astype(np.float32) * [1, 1, 0.1, 0.1, 1e-4, 0] + 0.3
        tags = np.repeat(["a", "b"], [8, 32])  # unequal, so that the classes' weights count
        weight, bias = sentibank._Learner(features, tags, 9, 0).detectors(("a", "b"))
        scaled = (features - features.mean(0)) / np.maximum(features.std(0), 0.01)
        for number, anp in enumerate(("a", "b")):
            machine = LinearSVC(class_weight="balanced", random_state=0, max_iter=20_000)
            expected = machine.fit(scaled, tags == anp).decision_function(scaled)
            response = features @ weight[number] + bias[number]
            np.testing.assert_allclose(response, expected, atol=2e-3)
            assert np.ptp(expected) > 0.1

    def test_each_detector_sees_its_images_and_so_many_others(self, monkeypatch):
        seen = []

        def fit(self, x, y):
            seen.append((x, y))
            self.coef_, self.intercept_ = np.zeros((1, x.shape[1])), np.zeros(1)
            return self

        monkeypatch.setattr("sklearn.svm.LinearSVC.fit", fit)
        features = np.arange(20.0)[:, None].astype(np.float32)
        tags = np.repeat(["a", "b", "c"], [2, 15, 3])
        sentibank._Learner(features, tags, 3, 0).detectors(("a", "b"))
        (a, of_a), (b, of_b) = seen
        assert of_a.tolist() == [True] * 2 + [False] * 6
        assert of_b.tolist() == [True] * 15 + [False] * 5, "there are no more others"
        rows = np.rint(a[:, 0] * features.std() + features.mean()).astype(int)
        assert len(set(rows.tolist())) == len(rows)
        assert ((tags[rows] == "a") == of_a).all()
        assert len(b) == 20

    def test_the_threads_change_nothing_and_the_seed_does(self, bank, tagged):
        half = tagged.subset(slice(0, None, 2))
        assert same(bank, train(half, workers=4))
        other = train(half, seed=1)
        assert not np.array_equal(bank.vocabulary, other.vocabulary)
        assert not np.array_equal(bank.weight, other.weight)
        alone, together = (bank.responses(half, workers=w, progress=False) for w in (1, 3))
        np.testing.assert_array_equal(alone, together)

    def test_each_image_is_read_once(self, tagged):
        read = []
        counted = replace(tagged, draw=lambda row: read.append(row) or tagged.draw(row))
        train(counted)
        assert sorted(read) == sorted(map(int, tagged.files))

    def test_words_are_learned_from_few_images_and_every_image_is_described(
        self, tagged, monkeypatch
    ):
        monkeypatch.setattr(sentibank, "_SAMPLE", 10)
        monkeypatch.setattr(lowlevel, "_PATCHES", 100)
        monkeypatch.setattr(sentibank, "_AHEAD", 7)
        bank = train(tagged)
        assert bank.counts.sum() == len(tagged)
        assert np.isfinite(bank.weight).all()

    def test_sets_without_enough_to_learn_from_are_refused(self, tagged):
        with pytest.raises(ValueError, match="scenes-objects has no tags"):
            train(replace(tagged, tags=None))
        with pytest.raises(ValueError, match=r"0 of \d+ pairs have 999 images; .* needs two"):
            train(tagged, least=999)
        alone = tagged.subset(tagged.tags == tagged.tags[0])
        with pytest.raises(ValueError, match="1 of 1 pairs"):
            train(alone)
        with pytest.raises(ValueError, match=r"640 patches of 10 .* too few for 641 words"):
            train(tagged.subset(slice(10)), descriptor=replace(SMALL, words=641), least=1)


class TestFiles:
    @pytest.fixture
    def files(self, tagged, tmp_path):
        """Four pairs of images as files, every fifth of them damaged."""
        for number in range(40):
            name = f"{number:02d}.png"
            Image.fromarray(tagged.read(number)).save(tmp_path / name)
            if number % 5 == 2:
                (tmp_path / name).write_bytes(b"no image")
        dataset = load(tmp_path)
        return replace(dataset, tags=np.array(["a", "b", "c", "d"])[np.arange(40) % 4])

    def test_an_unreadable_image_gets_nan_and_is_logged(self, bank, files, caplog):
        responses = bank.responses(files, progress=False)
        damaged = np.arange(40) % 5 == 2
        assert np.isnan(responses[damaged]).all()
        assert np.isfinite(responses[~damaged]).all()
        assert len(caplog.records) == 8
        assert "02.png: no image" in caplog.text

    def test_an_unreadable_image_is_not_learned_from(self, files):
        bank = train(files)
        readable = train(files.subset(np.arange(40) % 5 != 2))
        assert bank.counts.tolist() == readable.counts.tolist() == [8, 8, 8, 8]
        with pytest.raises(ValueError, match="0 of 4 pairs have 9 images"):
            train(files, least=9)
        with pytest.raises(ValueError, match="0 patches of 0 readable images"):
            train(files.subset(np.arange(40) % 5 == 2), least=2)

    def test_a_bank_comes_back_as_it_was(self, bank, tagged, tmp_path):
        bank.save(tmp_path / "bank.safetensors")
        back = SentiBank.load(tmp_path / "bank.safetensors")
        assert same(bank, back)
        few = tagged.subset(slice(5))
        np.testing.assert_array_equal(
            bank.responses(few, progress=False), back.responses(few, progress=False)
        )
        facts = json.loads((tmp_path / "bank.json").read_text())
        assert facts["anps"] == list(bank.anps)
        assert facts["images"] == bank.counts.tolist()
        assert facts["average precision"] == [None] * len(bank.anps)
        assert facts["dropped"] == 0
        assert facts["descriptor"]["words"] == 20

    def test_strided_weights_come_back_as_they_were(self, bank, tmp_path):
        turned = replace(bank, weight=np.asfortranarray(bank.weight))
        turned.save(tmp_path / "bank.safetensors")
        assert same(bank, SentiBank.load(tmp_path / "bank.safetensors"))

    def test_a_missing_half_is_an_error(self, bank, tmp_path):
        bank.save(tmp_path / "bank.safetensors")
        (tmp_path / "bank.json").unlink()
        with pytest.raises(FileNotFoundError):
            SentiBank.load(tmp_path / "bank.safetensors")

    @pytest.mark.parametrize(
        ("ending", "content"),
        [
            (".safetensors", b""),
            (".safetensors", b"\x80\x04pickle"),
            (".safetensors", lambda old: old[: len(old) // 2]),
            (".safetensors", lambda _: safetensors({"weight": np.zeros((2, 3), np.float32)})),
            (".json", b""),
            (".json", b"[]"),
            (".json", b"{}"),
            (".json", lambda old: old.replace(b'"anps": [', b'"anps": "a", "others": [')),
            (".json", lambda old: old.replace(b"null", b'"high"')),
            (".json", lambda old: old.replace(b"null,", b"", 1)),
            (".json", lambda old: old.replace(b'"size": 64', b'"wings": 2')),
            (".json", lambda old: old.replace(b"64", b'"large"')),
            (".json", lambda old: old[: len(old) // 2]),
        ],
    )
    def test_a_damaged_file_is_named_in_one_line(self, bank, tmp_path, ending, content):
        bank.save(tmp_path / "bank.safetensors")
        path = tmp_path / f"bank{ending}"
        path.write_bytes(content(path.read_bytes()) if callable(content) else content)
        with pytest.raises(ValueError, match=r"^[^\n]*bank\.") as caught:
            SentiBank.load(tmp_path / "bank.safetensors")
        assert str(tmp_path) in str(caught.value)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_weights_that_are_not_finite_are_damaged(self, bank, tmp_path):
        replace(bank, bias=bank.bias * np.nan).save(tmp_path / "bank.safetensors")
        with pytest.raises(ValueError, match="bias not finite"):
            SentiBank.load(tmp_path / "bank.safetensors")

    def test_a_bank_that_cannot_be_written_leaves_the_old_one(self, bank, tmp_path, monkeypatch):
        path = tmp_path / "bank.safetensors"
        bank.save(path)

        def no_room(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", no_room)
        with pytest.raises(OSError, match="No space left"):
            replace(bank, bias=bank.bias + 1).save(path)
        assert same(bank, SentiBank.load(path))
        assert sorted(each.name for each in tmp_path.iterdir()) == ["bank.json", path.name]

    def test_parts_that_do_not_belong_together_are_refused(self, bank):
        with pytest.raises(ValueError, match="must be"):
            replace(bank, anps=bank.anps[1:])
        with pytest.raises(ValueError, match="must be"):
            replace(bank, descriptor=replace(SMALL, bins=9))


def test_importing_it_loads_no_library_that_it_calls():
    code = "import sys, arlib.experiments.baselines.sentibank; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"cv2", "skimage", "sklearn", "torch", "scipy.fft"} & set(done.stdout.split())


def features_of(*pairs, dimensions=6):
    """Features and tags of pairs, each (name, how many images, how far its images lie off)."""
    rng = np.random.default_rng(1)
    tags = np.repeat([name for name, _, _ in pairs], [n for _, n, _ in pairs])
    features = rng.normal(size=(len(tags), dimensions))
    for place, (name, _, shift) in enumerate(pairs):
        features[tags == name, place] += shift
    order = rng.permutation(len(tags))
    return features[order].astype(np.float32), tags[order]


class TestChosenPairs:
    @pytest.fixture
    def described(self, monkeypatch):
        """Let any images have given features, all of them global."""

        def use(features):
            def stream(dataset, *_):
                for row, key in enumerate(dataset.keys.tolist()):
                    yield row, features[int(key)], None

            wide = Descriptor(words=1)
            blank = np.zeros(wide.length - features.shape[1], np.float32)
            monkeypatch.setattr(sentibank, "_described", stream)
            monkeypatch.setattr(sentibank, "learn_words", lambda *_: np.zeros((1, 128), np.float32))
            monkeypatch.setattr(sentibank, "pooled", lambda *_: blank)
            return wide

        return use

    def bank(self, described, features, tags, **settings):
        n = len(tags)
        keys = np.arange(n).astype(str)
        dataset = Dataset(
            name="drawn",
            root=Path(),
            keys=keys,
            files=keys,
            labels=np.arange(n) % 2,
            folds=np.zeros(n, np.int8),
            tags=tags,
        )
        wide = described(features)
        return train_bank(dataset, descriptor=wide, progress=False, **settings)

    def test_those_stay_whose_detectors_rank_best_on_images_they_did_not_learn_from(
        self, described, caplog, tmp_path
    ):
        pairs = [("best", 40, 4.0), ("none", 90, 0.0), ("good", 30, 3.0), ("weak", 60, 1.5)]
        features, tags = features_of(*pairs)
        two = self.bank(described, features, tags, most=2)
        assert two.anps == ("best", "good")
        assert two.counts.tolist() == [40, 30], "not the most frequent ones"
        assert (two.precision > 0.8).all()
        two.save(tmp_path / "bank.safetensors")
        facts = json.loads((tmp_path / "bank.json").read_text())
        assert facts["dropped"] == two.dropped
        assert facts["average precision"] == two.precision.tolist()
        assert same(two, SentiBank.load(tmp_path / "bank.safetensors"))

    def test_those_that_do_not_rank_above_chance_are_dropped_and_counted(
        self, described, caplog, monkeypatch
    ):
        measured = {"a": 0.5, "b": 0.2, "c": 0.9, "d": 0.26}
        monkeypatch.setattr(
            sentibank._Learner, "measure", lambda self, number, anp: (measured[anp], 0.26)
        )
        features, tags = features_of(*((name, 6, 0.0) for name in measured))
        bank = self.bank(described, features, tags, most=3)
        assert (bank.anps, bank.dropped) == (("a", "c"), 2)
        assert bank.precision.tolist() == [0.5, 0.9]
        assert (
            "the detectors of 2 of 4 pairs do not rank above chance and are dropped" in caplog.text
        )
        whole = self.bank(described, features, tags, most=4)
        assert (len(whole.anps), whole.dropped) == (4, 0), "as many as asked for: none is dropped"
        plain = self.bank(described, features, tags)
        assert np.array_equal(whole.weight, plain.weight)
        assert np.isnan(plain.precision).all()
        measured["a"] = 0.1
        with pytest.raises(ValueError, match="the detectors of 1 pairs rank above chance; a bank"):
            self.bank(described, features, tags, most=3)

    def test_a_detector_is_measured_on_images_that_it_did_not_learn_from(self, monkeypatch):
        from sklearn.metrics import average_precision_score
        from sklearn.svm import LinearSVC

        features, tags = features_of(("a", 25, 1.0), ("b", 100, 0.0))
        learner = sentibank._Learner(features, tags, 3, 0)
        scaled, positive = learner.images(0, "a")
        fifth = np.concatenate([np.arange(25), np.arange(75)]) % 5
        expected = []
        for part in range(4):  # 20 of the 25 images
            machine = LinearSVC(class_weight="balanced", random_state=0, max_iter=20_000)
            machine.fit(scaled[fifth != part], positive[fifth != part])
            response = machine.decision_function(scaled[fifth == part])
            expected.append(average_precision_score(positive[fifth == part], response))
        precision, chance = learner.measure(0, "a")
        assert precision == pytest.approx(np.mean(expected))
        assert chance == pytest.approx(sentibank.chance_precision(5, 20))
        assert chance < precision
        # a pair of one image cannot be measured
        assert np.isnan(
            sentibank._Learner(*features_of(("a", 1, 0), ("b", 9, 0)), 3, 0).measure(0, "a")[0]
        )

    @pytest.mark.parametrize(("positive", "n"), [(1, 1), (1, 4), (2, 5), (3, 6), (4, 4)])
    def test_chance_is_the_mean_over_all_orders(self, positive, n):
        orders = np.array(list(combinations(range(n), positive)))  # ranks of the positive images
        found = np.arange(1, positive + 1)
        expected = (found / (orders + 1)).mean()
        assert sentibank.chance_precision(positive, n) == pytest.approx(expected)

    def test_named_pairs_all_stay_however_they_rank(self, described, caplog):
        features, tags = features_of(("a", 2, 0.0), ("b", 30, 0.0), ("c", 20, 5.0))
        bank = self.bank(described, features, tags, most=1, pairs=("b", "a"))
        assert (bank.anps, bank.counts.tolist(), bank.dropped) == (("a", "b"), [2, 30], 0)
        with pytest.raises(ValueError, match="1 of 2 pairs that are named have images"):
            self.bank(described, features, tags, pairs=("b", "z"))

    def test_the_moments_are_those_of_all_rows_whatever_is_read_at_once(self, monkeypatch):
        features, tags = features_of(("a", 30, 1.0), ("b", 41, 0.0))
        once = sentibank._Learner(features, tags, 3, 0)
        assert np.array_equal(once.mean, features.mean(0, dtype=np.float64))
        assert np.array_equal(once.spread, features.std(0, dtype=np.float64))
        monkeypatch.setattr(sentibank, "_ROWS", 7)
        parts = sentibank._Learner(features, tags, 3, 0)
        np.testing.assert_allclose(parts.spread, once.spread, rtol=1e-12)


class TestLists:
    KNOWN = ("happy_dog", "sad_dog", "dark sky")

    @pytest.mark.parametrize(
        ("text", "pairs"),
        [
            ("happy_dog\nsad_dog\n", ("happy_dog", "sad_dog")),
            ("# two\n\n  dark sky\r\nhappy_dog", ("dark sky", "happy_dog")),
            (
                "The values are merged.\n\n1. happy [sentiment: 1.00]\n"
                "\thappy_dog [sentiment: 1.77] [#imgs: 2,380,000]\n",
                ("happy_dog",),
            ),
        ],
    )
    def test_are_plain_or_a_table_of_sentiments(self, tmp_path, text, pairs):
        (tmp_path / "pairs.txt").write_text(text)
        assert read_pairs(tmp_path / "pairs.txt", self.KNOWN) == pairs

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "names no pair"),
            (b"# nothing\n\n", "names no pair"),
            (
                b"sad_dog\nhapy_dog\n",
                r", line 2: no image has the pair 'hapy_dog' \(did you mean h",
            ),
            (b"sad_dog\n\nsad_dog\n", ", line 3: sad_dog is on line 1 already"),
            (b"\xff\xfe\x00", "is no list of pairs"),
        ],
    )
    def test_what_is_wrong_in_one_is_named(self, tmp_path, content, message):
        (tmp_path / "pairs.txt").write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            read_pairs(tmp_path / "pairs.txt", self.KNOWN)
        assert str(caught.value).startswith(str(tmp_path / "pairs.txt"))
        assert "\n" not in str(caught.value)
