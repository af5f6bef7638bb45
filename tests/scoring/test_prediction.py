"""Algorithm 1 for one image, against a loop straight from the paper."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from arlib import predict
from arlib.datasets import ImageError
from arlib.evaluation import box_iou
from arlib.networks import LinearHead, load_backbone
from arlib.proposals import EdgeBoxes, Grid, make_proposals
from arlib.scoring.prediction import (
    Prediction,
    default_network,
    prediction_from_scores,
    score_image,
)
from arlib.scoring.roi_features import SharedPass


def algorithm_1(scores, k, alpha, beta):
    """Steps 4 to 10 of the paper's Algorithm 1 for the one image in `scores`."""
    row = scores.isel(image=0)
    ranked = []
    for j, (objectness, s) in enumerate(
        zip(row.objectness.values, row.region_probability.values, strict=True)
    ):
        if math.isnan(objectness):
            continue
        senti = 1 + sum(p * math.log(p) for p in s.tolist() if p > 0)
        ranked.append((-math.sqrt(objectness**2 + alpha * senti**2), j))
    best = [j for _, j in sorted(ranked)[:k]]
    global_ = row.global_probability.values.astype(float)
    if not best:
        return best, global_
    mean = sum(row.region_probability.values[j].astype(float) for j in best) / len(best)
    return best, global_ + beta * mean


@pytest.mark.parametrize(
    ("k", "alpha", "beta"), [(1, 1, 0.5), (3, 0.2, 0.9), (20, 5, 0), (8, 0, 2)]
)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_algorithm_1(make_scores, k, alpha, beta, seed):
    scores = make_scores(3, 6, seed=seed).isel(image=[seed % 3])
    best, response = algorithm_1(scores, k, alpha, beta)
    prediction = prediction_from_scores(scores, k=k, alpha=alpha, beta=beta)
    boxes = scores.box.values[0]
    assert [region.box for region in prediction.regions] == [tuple(boxes[j].tolist()) for j in best]
    np.testing.assert_allclose(list(prediction.response.values()), response, rtol=1e-6)
    np.testing.assert_allclose(
        list(prediction.probability.values()), response / response.sum(), 1e-6
    )
    assert prediction.label == ("positive", "negative")[int(response.argmax())]
    assert sum(prediction.response.values()) == pytest.approx(1 + (beta if best else 0))


def test_the_base_goes_into_every_sentiment_score(make_scores):
    scores = make_scores(3, 6, seed=1).isel(image=[1])
    settings = {"k": 4, "alpha": 2.0, "beta": 0.5}
    natural = prediction_from_scores(scores, **settings)
    by_classes = prediction_from_scores(scores, **settings, base="classes")
    one, other = ({r.box: r.sentiment_score for r in f.regions} for f in (natural, by_classes))
    assert one.keys() & other.keys()
    for box in one.keys() & other.keys():
        assert other[box] == pytest.approx(1 - (1 - one[box]) / math.log(2), abs=1e-6)


@pytest.fixture(scope="module")
def network():
    return load_backbone("squeezenet1_1", classes=2, weights="random")


def test_a_file_and_its_array_predict_the_same(network, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    settings = {"network": network, "proposals": Grid(max_regions=10), "k": 3}
    prediction = predict(tmp_path / "x.png", **settings)
    assert prediction == predict(pixels, **settings)
    assert len(prediction.regions) == 3
    affective = [region.affective_score for region in prediction.regions]
    assert affective == sorted(affective, reverse=True)
    for region in prediction.regions:
        assert region.affective_score == pytest.approx(
            math.hypot(region.objectness, region.sentiment_score), rel=1e-5
        )
        assert sum(region.probability.values()) == pytest.approx(1, abs=1e-5)


def test_every_proposed_region_is_scored_before_they_are_ranked(network):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    grid = Grid(max_regions=40)
    scores = score_image(pixels, grid, network)
    assert scores.sizes["region"] == 40
    assert np.isfinite(scores.region_probability).all()
    prediction = predict(pixels, network=network, proposals=grid, k=5, alpha=0.5)
    assert prediction == prediction_from_scores(scores, k=5, alpha=0.5, beta=0.5)


def test_without_a_network_the_default_one_scores(tmp_path, monkeypatch):
    """Its weights are those of `ARLIB_DATA`, its head that of the package."""
    default = load_backbone("efficientnet_lite0", weights="random", seed=3)
    (tmp_path / "weights").mkdir()
    default.save(tmp_path / "weights" / "efficientnet_lite0.safetensors")
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    scores = score_image(pixels, Grid(max_regions=3))
    expected = score_image(pixels, Grid(max_regions=3), default, head=LinearHead.default())
    np.testing.assert_allclose(scores.region_probability, expected.region_probability, atol=1e-5)


def test_an_image_without_any_region_is_predicted_by_the_full_image(network):
    flat = np.full((50, 50, 3), 128, np.uint8)
    prediction = predict(flat, network=network, proposals=EdgeBoxes())
    assert prediction.regions == ()
    assert prediction.response == prediction.global_probability
    assert sum(prediction.probability.values()) == pytest.approx(1)


class TestRegionsOfTheMap:
    """Class activation maps in the place of proposals, on the network's own features."""

    @pytest.fixture
    def image(self):
        coarse = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        return np.kron(coarse, np.ones((12, 12, 1), np.uint8))

    def test_they_are_ranked_and_fused_as_proposals_are(self, image):
        network = load_backbone("vgg_tiny", classes=2, weights="random")
        scores = score_image(image, network=network, regions="cam")
        full = score_image(image, Grid(1), network).global_probability
        np.testing.assert_allclose(scores.global_probability, full, atol=1e-6)
        emotion = int(full[0].values.argmax())
        regions, probability, _ = SharedPass(network).cam_regions(image, emotion)
        assert len(regions) > 1
        np.testing.assert_array_equal(scores.box[0], regions.boxes)
        np.testing.assert_array_equal(scores.objectness[0], regions.objectness)
        np.testing.assert_allclose(scores.region_probability[0], probability, atol=1e-6)
        assert scores.attrs["parameters"]["regions"] == "cam"
        prediction = predict(image, network=network, regions="cam", k=2)
        assert prediction == prediction_from_scores(scores, k=2, alpha=1.0, beta=0.5)

    def test_a_head_says_what_the_map_is_of(self, image):
        network = load_backbone("squeezenet1_1", weights="random")
        weight = np.random.default_rng(0).normal(size=(1, 512)) * [[1], [-1]]
        bias = np.float32([0.5, 0])
        head = LinearHead(
            weight.astype(np.float32), bias, ("positive", "negative"), "squeezenet1_1"
        )
        opposite = replace(head, weight=-head.weight, bias=-head.bias)
        one, other = (
            score_image(image, network=network, head=each, regions="cam")
            for each in (head, opposite)
        )
        np.testing.assert_allclose(
            one.global_probability[0], other.global_probability[0, ::-1], atol=1e-5
        )
        assert one.sizes["region"] > 0
        np.testing.assert_allclose(one.box, other.box, atol=1e-3)  # of what is predicted
        np.testing.assert_allclose(
            one.region_probability, other.region_probability[..., ::-1], atol=1e-5
        )

    def test_what_does_not_go_together_is_refused(self, image, network):
        with pytest.raises(ValueError, match="regions must be 'proposals' or 'cam', not 'x'"):
            predict(image, network=network, regions="x")
        with pytest.raises(ValueError, match="the regions of 'cam' are its own"):
            predict(image, network=network, proposals=Grid(3), regions="cam")
        vit = load_backbone("vit_b_16", classes=2, weights="random")
        with pytest.raises(ValueError, match="vit_b_16 cannot be split"):
            predict(image, network=vit, regions="cam", engine="torch")


def test_regions_of_little_sentiment_and_covered_ones_are_dropped(network):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    how = {"network": network, "proposals": Grid(max_regions=40), "k": 40}
    regions = predict(pixels, **how).regions
    least = float(np.median([region.sentiment_score for region in regions]))
    enough = [region for region in regions if region.sentiment_score >= least]
    assert list(predict(pixels, **how, min_sentiment=least).regions) == enough
    apart = predict(pixels, **how, nms=0.3).regions
    assert 0 < len(apart) < len(regions)
    overlap = box_iou(*[[region.box for region in apart]] * 2)
    assert overlap[~np.eye(len(apart), dtype=bool)].max() <= 0.3


def test_a_file_of_boxes_finds_the_image_by_its_path(network, tmp_path):
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "b.csv").write_text("image,x0,y0,x1,y1,score\nx.png,1,2,11,22,0.5\n")
    boxes = make_proposals(str(tmp_path / "b.csv"))
    (region,) = predict(tmp_path / "x.png", network=network, proposals=boxes).regions
    assert region.box == (1, 2, 11, 22)
    with pytest.raises(ValueError, match="names none of the 1 images"):
        predict(np.zeros((60, 80, 3), np.uint8), network=network, proposals=boxes)


def test_it_is_json(network):
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    prediction = predict(image, network=network, proposals=Grid(max_regions=4), k=2)
    facts = json.loads(json.dumps(prediction.to_dict()))
    assert facts["label"] == prediction.label
    assert list(facts["probability"]) == ["positive", "negative"]
    assert set(facts["regions"][0]) == {
        "box",
        "objectness",
        "sentiment_score",
        "affective_score",
        "probability",
    }
    assert isinstance(prediction, Prediction)


def test_what_is_no_image(network, tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        predict(tmp_path / "absent.jpg", network=network)
    with pytest.raises(ValueError, match="uint8"):
        predict(np.zeros((5, 5)), network=network)


def test_bad_settings(network):
    image = np.zeros((40, 40, 3), np.uint8)
    settings = {"network": network, "proposals": Grid(max_regions=4)}
    with pytest.raises(ValueError, match="k must be a whole number of at least 1, not 0"):
        predict(image, **settings, k=0)
    with pytest.raises(ValueError, match="alpha must be between 0 and 1000"):
        predict(image, **settings, alpha=-1.0)
    with pytest.raises(ValueError, match="beta must be between 0 and 1000"):
        predict(image, **settings, beta=-1.0)


def test_the_default_network_on_a_photograph(data_root):
    """EfficientNet-Lite0 with its package's weights under the head that ships with the package."""
    from skimage.data import chelsea

    prediction = predict(chelsea())
    assert len(prediction.regions) == 8
    assert prediction.label == "positive"  # a cat


def test_the_default_network_is_that_of_the_folder_of_data(tmp_path, monkeypatch):
    """Once loaded it is kept, but another `ARLIB_DATA` has another."""
    weights = []
    for seed in (0, 1, 1):
        folder = tmp_path / str(seed)
        network = load_backbone("efficientnet_lite0", weights="random", seed=seed)
        (folder / "weights").mkdir(parents=True, exist_ok=True)
        network.save(folder / "weights" / "efficientnet_lite0.safetensors")
        monkeypatch.setenv("ARLIB_DATA", str(folder))
        weights.append(default_network())
    assert weights[0] is not weights[1] is weights[2]
    assert weights[0].sha256() != weights[1].sha256()


def test_eight_emotions_rank_by_a_score_that_cannot_be_negative():
    network = load_backbone("efficientnet_lite0", weights="random")
    weight = np.random.default_rng(0).normal(size=(8, 1280)).astype(np.float32)
    head = LinearHead(weight, np.zeros(8, np.float32), tuple("abcdefgh"), network.name)
    image = np.random.default_rng(1).integers(0, 256, (80, 100, 3)).astype(np.uint8)
    prediction = predict(image, network=network, head=head, proposals=Grid(), k=2)
    assert prediction.label in "abcdefgh"
    assert len(prediction.regions) == 2
