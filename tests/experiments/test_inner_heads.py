"""Inner heads of a frozen network: by hand; nothing chosen for a fold is changed by its labels."""

from dataclasses import replace

import numpy as np
import pytest
from tests.experiments.helpers import drawn_dataset

from arlib.evaluation import Run
from arlib.experiments.baselines.rows import first_regions
from arlib.experiments.protocol import Finetuning, Protocol
from arlib.networks import LinearHead, load_backbone
from arlib.proposals import Grid
from arlib.scoring import box_outputs, score_cross_fold

N, FOLDS, TESTED = 48, (1, 2, 3), 2
PROTOCOL = Protocol("vgg_tiny", Finetuning("none"), ("drawn",), weights="random")


@pytest.fixture(scope="module")
def drawn():
    """Noise, a little lighter where positive, in three folds; one image has no label."""
    rng = np.random.default_rng(0)
    labels = np.resize([0, 1], N).astype(np.int8)
    images = [rng.integers(0, 256 - 16 * x, (30, 40, 3), dtype=np.uint8) for x in labels.tolist()]
    labels[5] = -1
    return drawn_dataset(images, labels, rng.permutation(np.resize(FOLDS, N)), None)


def classified(dataset):
    """The heads of the stages of a frozen network."""
    stages = PROTOCOL.stages(progress=False)
    stages._datasets["drawn"] = dataset
    return stages.classifiers("drawn")


def scored(dataset, out):
    grid = Grid(max_regions=6)
    return score_cross_fold(classified(dataset), dataset, grid, out, progress=False)[0].load()


@pytest.fixture(scope="module")
def scores(drawn, tmp_path_factory):
    return scored(drawn, tmp_path_factory.mktemp("inner") / "scores")


@pytest.fixture(scope="module")
def turned(drawn, tmp_path_factory):
    """The same, but for the labels of the tested fold, each of which is another."""
    turn = (drawn.folds == TESTED) & (drawn.labels >= 0)
    labels = np.where(turn, 1 - drawn.labels, drawn.labels).astype(np.int8)
    return scored(replace(drawn, labels=labels), tmp_path_factory.mktemp("turned") / "scores")


def without_inner(scores):
    names = ["inner_global_probability", "inner_region_probability", "left_out"]
    return scores.drop_vars(names)


def test_a_head_fitted_by_hand_without_two_folds_predicts_the_same(drawn, scores):
    network = load_backbone("vgg_tiny", weights="random")

    def boxes(number, image):
        full = [[0, 0, image.shape[1], image.shape[0]]]
        return np.concatenate([full, scores.box.values[number]])

    features = box_outputs(drawn, network, boxes, features=True, progress=False)
    learn = (drawn.labels >= 0) & (drawn.folds == 3)  # neither 1 nor 2
    head = LinearHead.fit(
        features[learn, 0], drawn.labels[learn], drawn.emotions, backbone="vgg_tiny"
    )
    expected = head.probability(features)
    for own, other in ((1, 2), (2, 1)):
        mine = drawn.folds == own
        stored = scores.sel(left_out=other).isel(image=mine)
        np.testing.assert_allclose(stored.inner_global_probability, expected[mine, 0], atol=1e-4)
        np.testing.assert_allclose(stored.inner_region_probability, expected[mine, 1:], atol=1e-4)
    run = Run("drawn", scores).leaving_out(2).scores
    np.testing.assert_allclose(
        run.global_probability[drawn.folds == 1], expected[drawn.folds == 1, 0], atol=1e-4
    )
    for name in ("global_probability", "region_probability"):  # its own head left it out already
        own = np.flatnonzero(drawn.folds == 2)
        np.testing.assert_array_equal(run[name][own], scores[name][own])


def test_no_label_of_a_fold_changes_what_is_predicted_for_its_choices(drawn, scores, turned):
    names = ["global_probability", "region_probability"]
    before, after = (Run("", each).leaving_out(TESTED).scores[names] for each in (scores, turned))
    assert before.equals(after)
    others = drawn.folds != TESTED
    plain = [without_inner(each)[names].isel(image=others) for each in (scores, turned)]
    assert not plain[0].equals(plain[1]), "heads of the other folds learned from them"


def test_nor_the_region_of_early_fusion(drawn, scores, turned):
    before, after = (first_regions(each, "e") for each in (scores, turned))
    np.testing.assert_array_equal(before[TESTED], after[TESTED])
    assert (before[1] != after[1]).any()
    leaking = [first_regions(without_inner(each), "e") for each in (scores, turned)]
    assert (leaking[0] != leaking[1])[drawn.folds != TESTED].any()


def test_without_a_class_outside_two_folds_there_are_no_inner_heads(drawn):
    folds = np.where((drawn.folds == 3) & (drawn.labels == 1), 2, drawn.folds).astype(np.int8)
    few = classified(replace(drawn, folds=folds))
    assert sorted(few.heads) == [1, 2, 3]
    assert few.inner is None
