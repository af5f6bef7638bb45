"""Former fusion: against a loop over images and folds; no network predicts an image it saw."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from tests.experiments.helpers import drawn_dataset

from arlib.experiments.baselines.former_fusion import former_fusion
from arlib.networks import load_backbone
from arlib.scoring import Classifiers, box_outputs

N = 18
BROKEN, UNLABELLED, BARE = 4, 7, 9
"""An image that cannot be read, one without label, one without region."""


@pytest.fixture(scope="module")
def drawn():
    """Noise, lighter where positive, in three folds."""
    rng = np.random.default_rng(0)
    labels = np.resize([0, 1], N).astype(np.int8)
    images = [
        rng.integers(40 - 30 * label, 256 - 60 * label, (30 + number, 50, 3), dtype=np.uint8)
        for number, label in enumerate(labels.tolist())
    ]
    labels[UNLABELLED] = -1
    return drawn_dataset(images, labels, np.repeat([3, 1, 2], N // 3), BROKEN)


@pytest.fixture(scope="module")
def boxes():
    corner = np.random.default_rng(1).integers(0, 15, (N, 1, 2))
    boxes = np.concatenate([corner, corner + 14], axis=-1).astype(np.float32)
    boxes[BARE] = np.nan
    return boxes


@pytest.fixture(scope="module")
def networks():
    return {
        fold: load_backbone("vgg_tiny", classes=2, weights="random", seed=fold)
        for fold in (1, 2, 3)
    }


@pytest.fixture(scope="module", params=["one network", "one a fold"])
def classifiers(request, drawn, networks):
    if request.param == "one network":
        return Classifiers.one(networks[1], drawn)
    return Classifiers(networks)


def fused(drawn, classifiers, boxes):
    return former_fusion(drawn, classifiers, boxes, progress=False)


def test_against_a_loop_over_images_and_folds(drawn, classifiers, boxes):
    probability = fused(drawn, classifiers, boxes)
    for fold, network in classifiers.networks.items():
        features = {}
        for number in range(N):
            if number == BROKEN:
                continue
            image = drawn.read(number)
            whole = [0, 0, image.shape[1], image.shape[0]]
            region = whole if number == BARE else boxes[number, 0].tolist()
            both = box_outputs(
                drawn.subset([number]),
                network,
                lambda *_, boxes=(whole, region): np.array(boxes),
                features=True,
                progress=False,
            )
            features[number] = both.ravel().astype(float)  # the full image, then the region
        others = [i for i in features if drawn.folds[i] != fold and i != UNLABELLED]
        scaler = StandardScaler().fit([features[i] for i in others])
        machine = LinearSVC(C=1.0, random_state=0, max_iter=20_000)
        machine.fit(scaler.transform([features[i] for i in others]), drawn.labels[others])
        mine = [i for i in features if drawn.folds[i] == fold]
        margin = machine.decision_function(scaler.transform([features[i] for i in mine]))
        np.testing.assert_allclose(probability[mine, 1], expit(margin), atol=2e-3)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(np.delete(probability, BROKEN, 0).sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_a_folds_own_labels_do_not_change_its_predictions(drawn, classifiers, boxes, fold):
    before = fused(drawn, classifiers, boxes)
    mine = drawn.folds == fold
    labels = np.where(mine & (drawn.labels >= 0), 1 - drawn.labels, drawn.labels)
    after = fused(replace(drawn, labels=labels.astype(np.int8)), classifiers, boxes)
    np.testing.assert_array_equal(after[mine], before[mine])
    assert np.nanmax(np.abs(after[~mine] - before[~mine])) > 0.01, "others learned from them"


def test_an_unreadable_image_is_not_predicted_and_one_without_label_is(drawn, classifiers, boxes):
    probability = fused(drawn, classifiers, boxes)
    assert np.flatnonzero(np.isnan(probability).any(axis=1)).tolist() == [BROKEN]
    assert np.isfinite(probability[UNLABELLED]).all()


def test_regions_count(drawn, classifiers, boxes):
    """Another region of one image changes its prediction."""
    other = boxes.copy()
    other[0] = [[20, 5, 45, 29]]
    before, after = fused(drawn, classifiers, boxes), fused(drawn, classifiers, other)
    assert np.abs(after[0] - before[0]).max() > 1e-4


def test_several_regions_stand_side_by_side(drawn, networks, boxes):
    two = np.concatenate([boxes, boxes + 2], axis=1)
    classifiers = Classifiers.one(networks[1], drawn)
    probability = fused(drawn, classifiers, two)
    assert probability.shape == (N, 2)
    assert np.nanmax(np.abs(probability - fused(drawn, classifiers, boxes))) > 1e-3


def test_a_single_fold_leaves_nothing_to_learn_from(drawn, networks, boxes):
    alone = replace(drawn, folds=np.ones(N, np.int8))
    with pytest.raises(ValueError, match="needs at least two folds"):
        fused(alone, Classifiers.one(networks[1], alone), boxes)
