"""Classifiers: several networks at once, against each fold alone and against crop by crop."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from arlib.datasets import Dataset, ImageError
from arlib.networks import LinearHead, load_backbone
from arlib.proposals import Grid
from arlib.scoring.crops import crop_regions
from arlib.scoring.cross_fold import Classifiers, check_heads, classify_boxes
from arlib.scoring.distributed import score_cross_fold
from arlib.scoring.jobs import Job
from arlib.scoring.scorer import score
from arlib.scoring.scores import open_scores

FOLDS = [2, 1, 3, 1, 2, 3, 1, 2, 3, 2]
UNREADABLE = (3, 5)
GRID = Grid(max_regions=3)
QUIET = {"progress": False}


@pytest.fixture(scope="module")
def drawn():
    """Images of several sizes, their folds in no order; two cannot be read."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 60, (len(FOLDS), 2))
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]

    def draw(number):
        if number in UNREADABLE:
            raise ImageError(f"{number}.png", f"unreadable {number}")
        return images[number]

    return Dataset(
        name="drawn",
        root=Path(),
        keys=np.array([f"p{number}" for number in range(len(FOLDS))]),
        files=np.arange(len(FOLDS)).astype(str),
        labels=np.resize([0, 1], len(FOLDS)).astype(np.int8),
        folds=np.array(FOLDS, np.int8),
        draw=draw,
    )


@pytest.fixture(scope="module")
def networks():
    """One network a fold; random ones predict nearly 0.5 and 0.5: these are more confident."""
    networks = {
        fold: load_backbone("vgg_tiny", classes=2, weights="random", seed=fold)
        for fold in (1, 2, 3)
    }
    with torch.no_grad():
        for network in networks.values():
            network.network[-1].weight *= 10
    return networks


def random_head(rng, **provenance):
    weight, bias = rng.normal(size=(2, 128)), rng.normal(size=2)
    emotions = ("positive", "negative")
    return LinearHead(
        weight.astype(np.float32), bias.astype(np.float32), emotions, "vgg_tiny", provenance
    )


@pytest.fixture(scope="module")
def heads():
    rng = np.random.default_rng(1)
    return {fold: random_head(rng) for fold in (1, 2, 3)}


@pytest.fixture(scope="module")
def scored(drawn, networks, tmp_path_factory):
    """What one network a fold predicts, as it was returned, and its store."""
    folder = tmp_path_factory.mktemp("scored")
    return score_cross_fold(Classifiers(networks), drawn, GRID, folder / "store", **QUIET)[
        0
    ], folder


def readable(dataset):
    return np.array([number not in UNREADABLE for number in range(len(dataset))])


@pytest.mark.parametrize("headed", [False, True])
def test_several_networks_are_each_fold_alone_in_the_datasets_order(
    drawn, networks, heads, headed, scored, tmp_path
):
    together, _ = scored
    if headed:
        classifiers = Classifiers(networks, heads)
        together, _ = score_cross_fold(classifiers, drawn, GRID, tmp_path / "all", **QUIET)
    assert together.image.values.tolist() == drawn.keys[readable(drawn)].tolist()
    assert together.fold.values.tolist() == drawn.folds[readable(drawn)].tolist()
    assert together.label.values.tolist() == drawn.labels[readable(drawn)].tolist()
    for fold, network in networks.items():
        alone = score(
            drawn.subset(drawn.folds == fold),
            GRID,
            network,
            out=tmp_path / str(fold),
            head=heads[fold] if headed else None,
            **QUIET,
        )
        part = together.sel(image=alone.image.values)
        for name in ("box", "objectness"):
            np.testing.assert_array_equal(part[name], alone[name])
        for name in ("global_probability", "region_probability"):
            np.testing.assert_allclose(part[name], alone[name], atol=1e-5)


def test_another_folds_network_predicts_something_else(drawn, networks, scored, tmp_path):
    """What the test above would see if networks were mixed up."""
    right, _ = scored
    mixed = {1: networks[2], 2: networks[3], 3: networks[1]}
    wrong, _ = score_cross_fold(Classifiers(mixed), drawn, GRID, tmp_path / "wrong", **QUIET)
    apart = np.abs(right.global_probability - wrong.global_probability).max("emotion")
    assert float(apart.min()) > 1e-3


def test_the_store_holds_what_is_returned(scored):
    returned, folder = scored
    stored = open_scores(folder / "store").load()
    assert stored.equals(returned)
    assert stored.attrs == returned.attrs
    assert [path.name for path in folder.iterdir()] == ["store"]


def test_unreadable_images_of_every_fold_are_listed(scored):
    scores, _ = scored
    assert scores.attrs["unreadable"] == {"p3": "unreadable 3", "p5": "unreadable 5"}


def test_every_network_is_named_by_the_folds_it_classifies(drawn, networks, tmp_path):
    shared = Classifiers({1: networks[1], 2: networks[2], 3: networks[1]})
    scores, _ = score_cross_fold(shared, drawn, GRID, tmp_path / "store", **QUIET)
    assert scores.attrs["weights_sha256"] == {
        "1,3": networks[1].sha256(),
        "2": networks[2].sha256(),
    }


def test_one_network_for_all_is_plain_scoring(drawn, networks, tmp_path):
    one, _ = score_cross_fold(
        Classifiers.one(networks[1], drawn), drawn, GRID, tmp_path / "one", **QUIET
    )
    plain = score(drawn, GRID, networks[1], out=tmp_path / "plain", **QUIET)
    assert one.equals(plain)
    assert one.attrs["weights_sha256"] == networks[1].sha256()


def test_settings_of_scoring_are_passed_on(drawn, networks, tmp_path):
    settings = {"crop": "square", "context": 0.1}
    scores, _ = score_cross_fold(
        Classifiers(networks), drawn, GRID, tmp_path / "store", **settings, **QUIET
    )
    assert scores.attrs["parameters"] == settings


def test_every_image_is_in_one_group_with_its_folds_network(drawn, networks):
    shared = Classifiers({1: networks[1], 2: networks[2], 3: networks[1], 9: networks[3]})
    times = np.zeros(len(drawn), int)
    for network, mask in shared.groups(drawn):
        times += mask
        for fold in drawn.folds[mask].tolist():
            assert network is shared.networks[fold]
    assert (times == 1).all()
    assert len(list(shared.groups(drawn))) == 2, "fold 9 has no image"


@pytest.mark.parametrize(
    "ask",
    [
        lambda classifiers, drawn, out: score_cross_fold(classifiers, drawn, GRID, out, **QUIET),
        lambda classifiers, drawn, out: classify_boxes(classifiers, drawn, full, **QUIET),
    ],
)
def test_a_fold_without_a_network_is_refused(drawn, networks, tmp_path, ask):
    few = Classifiers({1: networks[1], 3: networks[3]})
    with pytest.raises(ValueError, match=r"no network for fold\(s\) \[2\] of drawn"):
        ask(few, drawn, tmp_path / "store")


@pytest.fixture(scope="module")
def inner():
    """A head for each two folds."""
    rng = np.random.default_rng(2)
    return {pair: random_head(rng, folds=list(pair)) for pair in ((1, 2), (1, 3), (2, 3))}


def test_inner_heads_predict_each_image_once_for_each_other_fold(
    drawn, networks, heads, inner, tmp_path
):
    classifiers = Classifiers.one(networks[1], drawn, heads, inner)
    scores, report = score_cross_fold(
        classifiers, drawn, GRID, tmp_path / "inner", shard_size=4, **QUIET
    )
    assert report.shards == 3
    assert scores.left_out.values.tolist() == [1, 2, 3]
    assert scores.attrs["inner_heads"]["(1, 3)"] == {"folds": [1, 3]}
    for number in np.flatnonzero(readable(drawn)).tolist():
        image, fold = drawn.read(number), FOLDS[number]
        row = scores.sel(image=drawn.keys[number])
        full = [0, 0, image.shape[1], image.shape[0]]
        boxes = [full, *GRID(image).boxes.tolist()]
        features = np.stack([by_hand(networks[1], image, box, False)[0] for box in boxes])
        plain = beside(row.global_probability, row.region_probability)
        np.testing.assert_allclose(plain, heads[fold].probability(features), atol=1e-4)
        for other in (1, 2, 3):
            predicted = row.sel(left_out=other)
            mine = beside(predicted.inner_global_probability, predicted.inner_region_probability)
            if other == fold:
                assert np.isnan(mine).all()
                continue
            (head,) = (h for pair, h in inner.items() if set(pair) == {fold, other})
            np.testing.assert_allclose(mine, head.probability(features), atol=1e-4)


def beside(full, regions):
    return np.concatenate([full.values[None], regions.values])


def test_scores_by_other_inner_heads_are_another_job(drawn, networks, heads, inner):
    turned = {(1, 2): inner[1, 3], (1, 3): inner[1, 2], (2, 3): inner[2, 3]}
    jobs = [Job(drawn, GRID, networks[1], heads, inner=each) for each in (None, inner, turned)]
    assert len({job.sha256 for job in jobs}) == 3


def test_inner_heads_that_do_not_fit_are_refused(drawn, networks, heads, inner):
    few = {pair: head for pair, head in inner.items() if pair != (1, 3)}
    with pytest.raises(ValueError, match=r"no inner head for the folds \(1, 3\) of drawn"):
        Classifiers.one(networks[1], drawn, heads, few)
    others = {pair: replace(head, backbone="vgg16") for pair, head in inner.items()}
    with pytest.raises(ValueError, match="the head reads features of vgg16"):
        Classifiers.one(networks[1], drawn, heads, others)
    for head in (None, heads[1]):
        with pytest.raises(ValueError, match="inner heads go with heads by fold"):
            check_heads(drawn, networks[1], head, inner)


def full(_, image):
    return np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)


def two_boxes(number, image):
    """Boxes that depend on which image it is."""
    height, width = image.shape[:2]
    return np.array([[number / 2, 1, width - 1, height - 2], [0, 0, width / 2, height]], np.float32)


def by_hand(network, image, box, mirror):
    """Features and probabilities of one crop in a pass of its own."""
    crop = crop_regions(image, np.array([box]), 48)[0].numpy()
    crop = crop[:, :, ::-1].copy() if mirror else crop
    with torch.inference_mode():
        batch = network.preprocessing.normalize(torch.from_numpy(crop)[None])
        features, logits = network.features_and_logits(batch)
    return features[0].numpy(), logits.softmax(dim=1)[0].numpy()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("headed", [False, True])
def test_boxes_are_classified_as_one_crop_at_a_time(drawn, networks, heads, headed, mirror):
    classifiers = Classifiers(networks, heads if headed else None)
    probability = classify_boxes(classifiers, drawn, two_boxes, mirror=mirror, **QUIET)
    assert (probability.shape, probability.dtype) == ((len(drawn), 2, 2), np.float32)
    for number in np.flatnonzero(readable(drawn)).tolist():
        image, fold = drawn.read(number), FOLDS[number]
        for row, box in enumerate(two_boxes(number, image)):
            features, own = by_hand(networks[fold], image, box, mirror)
            expected = heads[fold].probability(features) if headed else own
            np.testing.assert_allclose(probability[number, row], expected, atol=1e-4)


def test_unreadable_images_are_nan(drawn, networks):
    probability = classify_boxes(Classifiers(networks), drawn, full, **QUIET)
    assert np.isnan(probability).all(axis=(1, 2)).tolist() == (~readable(drawn)).tolist()
