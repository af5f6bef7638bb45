"""Linear heads: scikit-learn's probabilities, saved as a file of a few KB."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from arlib.networks import LinearHead, model_card
from arlib.networks.heads import SHIPPED

ROOT = Path(__file__).parents[2]

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [40, 30, 30])
FEATURES = (RNG.normal(size=(100, 6)) * [1, 10, 0.1, 1, 1, 3] + LABELS[:, None]).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_is_scikit_learns_model(classes):
    keep = np.isin(LABELS, range(classes))
    features, labels = FEATURES[keep], LABELS[keep]
    emotions = ("a", "b", "c")[:classes]
    head = LinearHead.fit(features, labels, emotions, backbone="x", strengths=(0.1,))
    scaled = StandardScaler().fit_transform(features.astype(float))
    theirs = LogisticRegression(C=0.1, max_iter=2000).fit(scaled, labels).predict_proba(scaled)
    np.testing.assert_allclose(head.probability(features), theirs, atol=1e-4)


def test_strength_is_chosen_by_generalisation():
    noise = np.random.default_rng(1).normal(size=(100, 200))
    labels = np.arange(100) % 2
    head = LinearHead.fit(noise, labels, ("a", "b"), backbone="x")
    assert head.provenance["C"] == 1e-4
    assert head.provenance["images"] == 100


def test_probabilities_broadcast_and_sum_to_one():
    head = LinearHead.fit(FEATURES, LABELS, ("a", "b", "c"), backbone="x")
    probability = head.probability(FEATURES.reshape(10, 10, 6))
    assert probability.shape == (10, 10, 3)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability.sum(-1), 1, rtol=1e-6)


def test_a_head_survives_its_file(tmp_path):
    head = LinearHead.fit(FEATURES, LABELS, ("a", "b", "c"), backbone="mobilenet_v2")
    head.save(tmp_path / "h.safetensors")
    again = LinearHead.load(tmp_path / "h.safetensors")
    assert np.array_equal(head.weight, again.weight)
    assert np.array_equal(head.bias, again.bias)
    assert (head.emotions, head.backbone) == (again.emotions, again.backbone)
    assert head.provenance == again.provenance
    assert json.loads((tmp_path / "h.json").read_text())["backbone"] == "mobilenet_v2"


class TestADamagedHead:
    """One error, which names the file."""

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "h.safetensors"
        LinearHead.fit(FEATURES, LABELS, ("a", "b", "c"), backbone="x", strengths=(0.1,)).save(path)
        return path

    def refused(self, path, message):
        with pytest.raises(ValueError, match=message) as caught:
            LinearHead.load(path)
        assert "h.safetensors" in str(caught.value) or "h.json" in str(caught.value)

    @pytest.mark.parametrize("name", ["h.safetensors", "h.json"])
    def test_one_of_its_files_is_missing(self, path, name):
        path.with_name(name).unlink()
        self.refused(path, rf"no file .*{name}: a head is X\.safetensors and X\.json")

    def test_the_wrong_one_of_its_files_is_given(self, path):
        self.refused(path.with_suffix(".json"), r"describes a head: give .*h\.safetensors")

    @pytest.mark.parametrize("content", [b"", b"<html>", b"x" * 999, None])
    def test_its_numbers_are_damaged(self, path, content):
        path.write_bytes(path.read_bytes()[:-3] if content is None else content)
        self.refused(path, r"h\.safetensors is no linear head, or damaged")

    def test_its_numbers_are_of_something_else(self, path):
        save_file({"fc.weight": np.zeros((3, 6), np.float32)}, path)
        self.refused(path, r"h\.safetensors is no linear head, or damaged: 'weight'")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"{}",
            b"\xff\xfe",
            b'{"emotions": ["a", "b", "c"]}',
            b'{"emotions": "abc", "backbone": "x"}',
            b'{"emotions": [1, 2, 3], "backbone": "x"}',
            b'{"emotions": ["a", "b", "c"], "backbone": null}',
        ],
    )
    def test_its_description_is_damaged(self, path, content):
        path.with_suffix(".json").write_bytes(content)
        self.refused(path, r"h\.json describes no linear head")

    def test_its_description_is_another_head_s(self, path):
        path.with_suffix(".json").write_text('{"emotions": ["a", "b"], "backbone": "x"}')
        self.refused(path, r"h\.json are not of one head: 2 emotions need weight \(2, D\)")

    @pytest.mark.parametrize("number", [np.nan, np.inf])
    def test_its_numbers_are_not_finite(self, path, number):
        weight = np.full((3, 6), number, np.float32)
        save_file({"weight": weight, "bias": np.zeros(3, np.float32)}, path)
        self.refused(path, "weight and bias must be finite")


def test_the_shipped_head_reads_efficientnet_features():
    head = LinearHead.default()
    assert head.backbone == "efficientnet_lite0"
    assert head.weight.shape == (2, 1280)
    assert head.provenance["dataset"] == "oasis"


class TestTheModelCard:
    def test_the_page_of_the_guide_is_the_card(self):
        page = (ROOT / "book" / "guide" / "card.md").read_text(encoding="utf-8")
        generated = page.partition("<!-- card -->")[2].partition("<!-- /card -->")[0]
        assert generated.strip() == model_card().strip()

    def test_what_was_measured_is_of_the_head_that_ships(self):
        record = json.loads(Path(f"{SHIPPED.with_suffix('')}-card.json").read_text())
        facts = LinearHead.default().provenance
        assert record["weights_sha256"] == facts["weights_sha256"]
        plain, oasis = record["failures"]["as they are"], record["runs"]["oasis-efficientnet_lite0"]
        assert plain["images"] == oasis["full image"]["images"] == facts["images"]
        for measure in ("accuracy", "auc"):  # the same images and heads, by two programs
            assert plain[measure] == pytest.approx(oasis["full image"][measure], abs=0.004)

    def test_its_prose_is_true_of_what_was_recorded(self):
        record = json.loads(Path(f"{SHIPPED.with_suffix('')}-card.json").read_text())
        for row in record["runs"]["twitter2-efficientnet_lite0-shipped"].values():
            assert row["accuracy"][0] < row["majority"]
            assert row["right"]["positive"] < 0.9, "the threshold does not fit"
        words, plain = (record["failures"][name] for name in ("words", "as they are"))
        assert words["right"]["positive"] > 0.9 > 0.1 > words["right"]["negative"]
        for name in ("grey", "dark", "small", "turned"):
            assert record["failures"][name]["accuracy"][0] < plain["accuracy"][1]

    def test_its_numbers_are_those_that_were_recorded(self, monkeypatch):
        before = model_card()
        record = json.loads(Path(f"{SHIPPED.with_suffix('')}-card.json").read_text())
        record["failures"]["dark"]["accuracy"][0] = 0.1234
        record["runs"]["twitter2-efficientnet_lite0-shipped"]["fused"]["auc"] = [0.5, 0.25, 0.75]
        monkeypatch.setattr("arlib.networks.card.read_json", lambda _: record)
        after = model_card()
        assert "Dark images, of an eighth of the light: 12.3 %" in after
        assert "| 0.500 [0.250, 0.750] |" in after
        assert (
            sum(a != b for a, b in zip(*(t.splitlines() for t in (before, after)), strict=True))
            == 2
        )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.repeat([0, 3], 50), r"labels must lie in 0\.\.1"),
        (np.repeat([0, -1], 50), r"labels must lie in 0\.\.1"),
        (np.repeat([0], 100), "no image of 'b' to learn from"),
    ],
)
def test_labels_that_cannot_be_fitted(labels, message):
    with pytest.raises(ValueError, match=message):
        LinearHead.fit(FEATURES, labels, ("a", "b"), backbone="x")


@pytest.mark.parametrize(("rarest", "inner"), [(5, None), (4, 4), (2, 2), (1, 0)])
def test_a_class_of_few_images_leaves_fewer_inner_folds_or_none(rarest, inner):
    labels = np.repeat([0, 1], [100 - rarest, rarest])
    head = LinearHead.fit(FEATURES, labels, ("a", "b"), backbone="x", strengths=(1e-4, 1e-2, 1.0))
    assert head.provenance.get("inner_folds") == inner
    assert inner != 0 or head.provenance["C"] == 1e-2
    assert np.isfinite(head.probability(FEATURES)).all()


def test_features_of_another_network():
    head = LinearHead.fit(FEATURES, LABELS, ("a", "b", "c"), backbone="x")
    with pytest.raises(ValueError, match="reads 6 features of x, not 5"):
        head.probability(FEATURES[:, :5])


def test_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"2 emotions need weight \(2, D\)"):
        LinearHead(np.zeros((3, 4)), np.zeros(3), ("a", "b"), "x")


def test_a_feature_that_never_varies_harms_no_head():
    features = np.concatenate([FEATURES, np.full((100, 1), 7, np.float32)], axis=1)
    head = LinearHead.fit(features, LABELS, ("a", "b", "c"), backbone="x")
    assert np.isfinite(head.probability(features)).all()
