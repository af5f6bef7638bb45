"""Rows that scores cannot fill: each against its definition; what is missing has a reason."""

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr
from tests.experiments.helpers import drawn_dataset, with_coupled_head

from arlib._support.stores import open_store
from arlib.evaluation import further_methods, methods
from arlib.experiments.baselines import rows as module
from arlib.experiments.baselines.former_fusion import former_fusion
from arlib.experiments.baselines.rows import (
    CAM,
    WSCNET,
    Missing,
    control_probabilities,
    measure_rows,
    rows_for,
)
from arlib.experiments.runs import write_baselines
from arlib.method import affective_regions
from arlib.networks import LinearHead, TooFewError, load_backbone
from arlib.proposals import Grid
from arlib.scoring import Classifiers, global_outputs, score_cam, score_cross_fold

N, BROKEN = 40, 6
FF = "VGGNet + ft + obj + senti + ff (K = 1)"
ROWS = ["SentiBank", "PCNN + CaffeNet", "PCNN + VGGNet", "VGGNet", FF, "DeepSentiBank", CAM, WSCNET]


@pytest.fixture(scope="module")
def drawn():
    """Noise, lighter where positive, in two folds; one image cannot be read."""
    rng = np.random.default_rng(0)
    labels = np.resize([0, 1], N).astype(np.int8)
    images = [rng.integers(0, 256 - 60 * x, (30, 50, 3), dtype=np.uint8) for x in labels.tolist()]
    folds = np.random.default_rng(1).permutation(np.resize([1, 2], N))
    agreement = np.resize([3, 4, 5], N).astype(np.int8)
    return drawn_dataset(images, labels, folds, BROKEN, agreement=agreement)


def network(seed, classes=2):
    return load_backbone("vgg_tiny", classes=classes, weights="random", seed=seed)


@pytest.fixture(scope="module")
def classifiers():
    return Classifiers({1: network(1), 2: network(2)})


@pytest.fixture(scope="module")
def scores(drawn, classifiers, tmp_path_factory):
    out = tmp_path_factory.mktemp("rows") / "scores"
    return score_cross_fold(classifiers, drawn, Grid(max_regions=4), out, progress=False)[0]


@pytest.fixture(scope="module")
def readable(drawn):
    return drawn.subset(np.arange(N) != BROKEN)


class Bank:
    """Stands for a SentiBank: random responses that depend a little on the labels."""

    def responses(self, dataset, *, progress):
        number = dataset.files.astype(int)
        return np.random.default_rng(5).normal(size=(N, 4))[number] + (number % 2)[:, None]


def never():
    raise AssertionError("made too early")


@pytest.fixture(scope="module")
def given(classifiers):
    turned = Classifiers({1: classifiers.networks[2], 2: classifiers.networks[1]})
    return {
        "plain": network(3, classes=7),
        "bank": Bank,
        "deep": lambda: network(4, classes=5),
        "pcnn": {"PCNN + CaffeNet": lambda: classifiers, "PCNN + VGGNet": lambda: turned},
        "coupled": lambda: Classifiers({fold: with_coupled_head(network(fold)) for fold in (1, 2)}),
        "progress": False,
    }


def rows(dataset, scores, classifiers, given, **changes):
    return rows_for(dataset, scores, lambda: classifiers, **{**given, **changes})


def test_rows_are_those_that_table_1_wants_of_a_run(readable, scores, classifiers, given):
    """Those of its methods that scores alone cannot fill."""
    names = list(rows(readable, scores, classifiers, given))
    every = [*methods(), *further_methods()]
    measured = [row.name for row in every if re.search("PCNN|Bank|^VGGNet$|ff|CAM|WSC", row.name)]
    assert names == ROWS == measured


def test_nothing_is_made_before_a_row_is_measured(readable, scores, classifiers, given):
    pcnn = {"PCNN + CaffeNet": never, "PCNN + VGGNet": never}
    changes = {"bank": never, "deep": never, "pcnn": pcnn, "coupled": never}
    named = rows(readable, scores, classifiers, given, **changes)
    for name in ("SentiBank", "DeepSentiBank", WSCNET, *pcnn):
        with pytest.raises(AssertionError, match="made too early"):
            named[name]()


def responses_of(name, dataset, given):
    """The features of the row's linear classifier."""
    return {
        "SentiBank": lambda: Bank().responses(dataset, progress=False),
        "VGGNet": lambda: global_outputs(dataset, given["plain"], features=True, progress=False),
        "DeepSentiBank": lambda: global_outputs(dataset, given["deep"](), progress=False),
    }[name]()


@pytest.mark.parametrize("name", ["SentiBank", "VGGNet", "DeepSentiBank"])
def test_mid_level_rows_are_heads_fitted_on_the_other_fold(
    readable, scores, classifiers, given, name
):
    probability = rows(readable, scores, classifiers, given)[name]()
    responses = responses_of(name, readable, given)
    for fold in (1, 2):
        mine = readable.folds == fold
        head = LinearHead.fit(
            responses[~mine], readable.labels[~mine], readable.emotions, backbone="any"
        )
        np.testing.assert_allclose(probability[mine], head.probability(responses[mine]), atol=1e-4)


@pytest.mark.parametrize("name", ["SentiBank", "VGGNet", "DeepSentiBank", FF])
def test_a_folds_own_labels_do_not_change_its_predictions(
    readable, scores, classifiers, given, name
):
    mine = readable.folds == 2
    labels = np.where(mine, np.roll(readable.labels, 1), readable.labels).astype(np.int8)
    assert (labels != readable.labels)[mine].any()
    turned = replace(readable, labels=labels)
    before = rows(readable, scores, classifiers, given)[name]()
    after = rows(turned, scores, classifiers, given)[name]()
    np.testing.assert_allclose(after[mine], before[mine], atol=1e-6)
    assert np.abs(after[~mine] - before[~mine]).max() > 1e-3, "the other fold learned from them"


@pytest.mark.parametrize("name", ["PCNN + CaffeNet", "PCNN + VGGNet"])
def test_pcnn_rows_are_the_full_images_by_their_folds_network(
    readable, scores, classifiers, given, name
):
    probability = rows(readable, scores, classifiers, given)[name]()
    for fold, network in given["pcnn"][name]().networks.items():
        mine = readable.folds == fold
        alone = global_outputs(readable.subset(mine), network, progress=False)
        np.testing.assert_allclose(probability[mine], alone, atol=1e-5)


def test_pcnn_is_missing_where_it_dropped_too_much(readable, scores, classifiers, given):
    def train():
        raise TooFewError("a set of 3 images")

    pcnn = rows(readable, scores, classifiers, given, pcnn={"PCNN": train})["PCNN"]
    with pytest.raises(Missing, match=r"^PCNN dropped too much to train on: a set of 3 images$"):
        pcnn()


def test_former_fusion_takes_the_region_that_is_best_by_eq_2(readable, scores, classifiers, given):
    rng, size = np.random.default_rng(0), (N - 1, 4)
    scores = scores.assign(  # the grid's own objectness and the network's certainty hardly vary
        objectness=(("image", "region"), rng.uniform(0.3, 1, size).astype(np.float32)),
        region_probability=(
            ("image", "region", "emotion"),
            rng.dirichlet([1, 1], size).astype(np.float32),
        ),
    )
    probability = {}
    for rank_by in ("both", "objectness", "sentiment"):
        best = affective_regions(scores, 1, rank_by=rank_by).box.values
        probability[rank_by] = former_fusion(readable, classifiers, best, progress=False)
    row = rows(readable, scores, classifiers, given)[FF]()
    np.testing.assert_array_equal(row, probability["both"])
    for rank_by in ("objectness", "sentiment"):
        assert np.abs(row - probability[rank_by]).max() > 1e-3


def test_cam_is_the_mean_over_the_maps_regions_or_else_the_full_image(
    readable, scores, classifiers, given, monkeypatch
):
    few = readable.subset(slice(4))
    kept = scores.isel(image=slice(4))
    regions = score_cam(few, kept, classifiers, progress=False)
    own = regions.region_probability.values
    own[1] = np.nan  # an image whose map is nowhere positive
    of_regions = regions.assign(region_probability=(regions.region_probability.dims, own))
    monkeypatch.setattr(module, "score_cam", lambda *_, **__: of_regions.isel(image=slice(3)))
    row = rows(few, kept, classifiers, given)[CAM]
    measured = measure_rows(few, {CAM: row})
    probability = measured.probability.sel({"method": CAM}).values
    for name, values in (("cam_box", regions.box[:, 0]), ("cam_peak", regions.peak)):
        np.testing.assert_array_equal(measured[name][:3], values[:3])
        assert np.isnan(measured[name][3]).all()
    assert np.isnan(probability[3]).all(), "it could not be read"
    np.testing.assert_array_equal(probability[1], kept.global_probability[1])
    for image in (0, 2):
        there = own[image][~np.isnan(own[image]).any(axis=1)]
        assert len(there)
        np.testing.assert_allclose(probability[image], there.mean(axis=0), atol=1e-6)


def test_wscnet_is_the_full_image_by_its_folds_coupled_network_and_its_maps_place(
    readable, scores, classifiers, given
):
    few, kept = readable.subset(slice(4)), scores.isel(image=slice(4))
    row = rows(few, kept, classifiers, given)[WSCNET]
    measured = measure_rows(few, {WSCNET: row})
    coupled = given["coupled"]()
    place = score_cam(few, kept, coupled, progress=False)
    np.testing.assert_array_equal(measured.wscnet_box, place.box[:, 0])
    np.testing.assert_array_equal(measured.wscnet_peak, place.peak)
    for fold, network in coupled.networks.items():
        mine = few.folds == fold
        alone = global_outputs(few.subset(mine), network, progress=False)
        np.testing.assert_allclose(measured.probability[0, mine], alone, atol=1e-5)


@pytest.fixture(scope="module")
def measured(readable, classifiers):
    """One row that is measured, and two that are not."""

    def without(reason):
        raise Missing(reason)

    row = np.random.default_rng(0).dirichlet([1, 1], len(readable)).astype(np.float32)
    rows = {
        "A": partial(without, "no photographs"),
        "B": lambda: row,
        "C": partial(without, "no weights"),
    }
    crops = {"grid": Grid(4)}
    rows["controls"] = lambda: (
        control_probabilities(readable, classifiers, crops, progress=False).values
    )
    return row, measure_rows(readable, rows, crops=crops)


def test_what_is_missing_has_its_reason_and_is_not_filled(measured):
    row, baselines = measured
    assert baselines.attrs["missing"] == {"A": "no photographs", "C": "no weights"}
    assert baselines.method.values.tolist() == ["B"]
    np.testing.assert_array_equal(baselines.probability.sel({"method": "B"}), row)


def test_rows_and_controls_and_agreement_are_in_the_datasets_order(readable, measured):
    _, baselines = measured
    assert baselines.image.values.tolist() == readable.keys.tolist()
    assert baselines.agreement.values.tolist() == readable.agreement.tolist()
    assert baselines.emotion.values.tolist() == ["positive", "negative"]
    assert baselines.control_probability.dims == ("control", "image", "rank", "emotion")
    assert np.isfinite(baselines.control_probability.sel(control="grid")[:, :4].values).all()


def test_controls_may_be_other_crops(readable, classifiers):
    few, crops = readable.subset(slice(3)), {"two": Grid(2)}
    values = control_probabilities(few, classifiers, crops, progress=False).values
    baselines = measure_rows(few, {"controls": lambda: values}, crops=crops)
    assert baselines.control.values.tolist() == ["two", "ten-crop"]
    known = np.isfinite(baselines.control_probability.values).all(axis=(1, 3))
    assert known.sum(axis=1).tolist() == [2, 10]


def test_where_agreement_is_not_known_there_is_none(readable):
    unknown = replace(readable.subset(slice(4)), agreement=None)
    assert "agreement" not in measure_rows(unknown, {})


@pytest.mark.parametrize("error", [KeyError, ValueError, TypeError, AssertionError])
def test_a_programming_error_is_not_taken_for_something_missing(readable, error):
    def broken():
        raise error("a fault")

    with pytest.raises(error, match="a fault"):
        measure_rows(readable, {"A": broken})


@pytest.mark.parametrize("rows", ["some", "none"])
def test_what_was_measured_survives_its_file(measured, tmp_path, rows):
    _, baselines = measured
    if rows == "none":  # every row is missing
        baselines = baselines.isel(method=[])
    write_baselines(tmp_path, baselines)
    again = open_store(tmp_path / "baselines.zarr").load()
    xr.testing.assert_equal(again, baselines)
    assert again.attrs == baselines.attrs
