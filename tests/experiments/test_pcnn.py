"""PCNN: what is dropped, against a scalar loop; what is left is trained on with."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from arlib.datasets import ImageError, load
from arlib.experiments.baselines import pcnn
from arlib.experiments.baselines.pcnn import Progress, drop_probability, train_on
from arlib.networks import TooFewError, Training, finetune, load_backbone
from arlib.scoring import global_outputs

TRAINING = Training(iterations=4, round=2, batch_size=8, lr=0.02, head_factor=1.0, seed=3)
DIFFERENCE = st.floats(0, 1)


@pytest.fixture(scope="module")
def few():
    return load("scenes-annotated", n=48, seed=1)


def network(confidence=8.0):
    """Random weights, whose responses differ the more the larger `confidence`."""
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    with torch.no_grad():
        for parameter in network.classifier.parameters():
            parameter *= confidence
    return network


def run(few, folder, plan=TRAINING, start=None, **settings):
    return train_on(start or network(), few, folder, training=plan, progress=False, **settings)


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def two(difference):
    return [[(1 + d) / 2, (1 - d) / 2] for d in difference]


class TestTheRule:
    @given(st.integers(0, 30), st.integers(2, 6), st.integers(0, 99))
    def test_against_a_loop_over_images(self, n, classes, seed):
        probability = np.random.default_rng(seed).dirichlet(np.ones(classes), n).reshape(n, classes)
        expected = []
        for responses in probability.tolist():
            second, first = sorted(responses)[-2:]
            expected.append(max(0.0, 2 - math.exp(first - second)))
        np.testing.assert_allclose(drop_probability(probability), expected, atol=1e-12)

    @given(st.lists(DIFFERENCE, min_size=2, max_size=30))
    def test_the_more_confident_the_less_likely_and_never_beyond_0_and_1(self, difference):
        chance = drop_probability(two(sorted(difference)))
        assert (chance >= 0).all()
        assert (chance <= 1).all()
        assert (np.diff(chance) <= 1e-12).all()

    @given(st.lists(DIFFERENCE, min_size=1, max_size=9))
    def test_which_class_responds_more_does_not_matter(self, difference):
        responses = np.array(two(difference))
        assert (drop_probability(responses) == drop_probability(responses[:, ::-1])).all()

    def test_equal_responses_are_dropped_and_confident_ones_kept(self):
        assert drop_probability([[0.5, 0.5]]) == 1
        assert drop_probability(two([math.log(2) - 1e-6]))[0] > 0
        assert drop_probability(two([math.log(2) + 1e-6]))[0] == 0

    def test_uniform_differences_lose_the_stated_share(self):
        rng = np.random.default_rng(0)
        chance = drop_probability(two(rng.random(200_000)))
        share = 2 * np.log(2) - 1
        assert chance.mean() == pytest.approx(share, abs=0.003)
        assert (rng.random(len(chance)) < chance).mean() == pytest.approx(share, abs=0.005)

    @pytest.mark.parametrize("shape", [(3,), (3, 1), (0, 1), (2, 2, 2)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"probability must be \(n, M\) with M >= 2, not \("):
            drop_probability(np.zeros(shape))


class TestARound:
    def test_keeps_those_that_seed_and_rule_keep(self, few, tmp_path):
        chance = drop_probability(global_outputs(few, network(), progress=False)).tolist()
        drawn = np.random.default_rng([TRAINING.seed, 4])
        expected = [drawn.random() >= p for p in chance]
        done = run(few, tmp_path)
        assert done.kept.tolist() == expected
        assert 8 < sum(expected) < len(few), "some are dropped, some are kept"
        assert done.dropped == pytest.approx(1 - sum(expected) / len(few))
        assert done.expected == pytest.approx(np.mean(chance))

    def test_trains_on_with_them_alone(self, few, tmp_path):
        done = run(few, tmp_path / "round")
        by_hand = finetune(
            network(),
            few.subset(done.kept),
            tmp_path / "by hand",
            training=TRAINING,
            progress=False,
        )
        assert same(done.network, by_hand)
        assert not same(done.network, network())
        assert not done.network.training
        facts = json.loads((tmp_path / "round" / "network.json").read_text())
        assert facts["images"] == done.kept.sum()

    def test_writes_how_many_were_dropped(self, few, tmp_path):
        done = run(few, tmp_path, validation=few)
        facts = json.loads((tmp_path / "dropped.json").read_text())
        shares = {"dropped": done.dropped, "expected": done.expected}
        assert facts == {"images": 48, **shares, "unreadable": []}

    def test_an_unreadable_image_is_neither_kept_nor_counted(self, few, tmp_path):
        """The others are kept or dropped as if it were not there."""

        def draw(number):
            if number == int(few.files[3]):
                raise ImageError("3.png", "no image")
            return few.draw(number)

        full, done = run(few, tmp_path / "full"), run(replace(few, draw=draw), tmp_path / "less")
        others = np.arange(48) != 3
        assert not done.kept[3]
        assert (done.kept[others] == full.kept[others]).all()
        assert done.dropped == pytest.approx(1 - full.kept[others].mean())
        chance = drop_probability(global_outputs(few, network(), progress=False))
        assert done.expected == pytest.approx(chance[others].mean())
        facts = json.loads((tmp_path / "less" / "dropped.json").read_text())
        assert facts["unreadable"] == [few.keys[3]]

    def test_is_the_same_when_called_again(self, few, tmp_path):
        first = run(few, tmp_path)
        written = (tmp_path / "dropped.json").read_text()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "arlib.networks.finetuner.Finetuner.training_step", None
            )  # nothing trains
            again = run(few, tmp_path)
        assert same(first.network, again.network)
        assert (first.kept == again.kept).all()
        assert (tmp_path / "dropped.json").read_text() == written

    def test_another_seed_keeps_others(self, few, tmp_path):
        one = run(few, tmp_path / "1")
        other = run(few, tmp_path / "2", replace(TRAINING, seed=4))
        assert (one.kept != other.kept).any()
        assert one.expected == other.expected


class TestTooFewAreLeft:
    def test_where_everything_is_dropped(self, few, tmp_path):
        with pytest.raises(TooFewError, match="scenes-annotated holds no "):
            run(few, tmp_path, start=network(confidence=0.0))
        assert not (tmp_path / "dropped.json").exists()

    @pytest.mark.parametrize(
        ("kept", "reason"),
        [
            (lambda labels: labels == 0, "scenes-annotated has one class only"),
            (
                lambda labels: np.arange(len(labels)) < 5,
                "a batch of 8 is larger than scenes-annotated: 5",
            ),
        ],
    )
    def test_of_one_class_or_of_less_than_a_batch(self, few, tmp_path, monkeypatch, kept, reason):
        responses = np.where(kept(few.labels)[:, None], [0.0, 1.0], [0.5, 0.5])
        monkeypatch.setattr(pcnn, "global_outputs", lambda *_, **__: responses)
        with pytest.raises(TooFewError, match=reason):
            run(few, tmp_path)


def test_the_share_dropped_is_of_the_readable_images():
    kept = np.array([True, False, False, False])
    assert Progress(None, kept, 0.5).dropped == 0.75
    assert Progress(None, kept, 0.5, unreadable=1).dropped == pytest.approx(2 / 3)
