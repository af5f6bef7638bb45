"""Rows beyond the paper's, each beside a loop over images."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import check_grad

from arlib.evaluation import further_methods, saturation, table1
from arlib.evaluation.further import (
    ATTENTION,
    CAM,
    ORACLE,
    STACKED,
    _regions,
    attention,
    attention_loss,
)
from arlib.evaluation.rows import REFERENCE, Unavailable
from arlib.evaluation.runs import Run

N, REGIONS = 60, 5
LEARNED = [STACKED, ATTENTION]


@pytest.fixture(scope="module")
def nested(make_scores):
    """Random scores with those of inner heads: images without regions, or without a label."""
    scores = make_scores(N, REGIONS, seed=12, inner=True)
    scores.label[[7, 20]] = -1
    return Run("nested", scores)


@pytest.fixture(scope="module")
def run(nested):
    """The same without inner heads."""
    names = ["inner_global_probability", "inner_region_probability", "left_out"]
    return Run("random", nested.scores.drop_vars(names))


def predict(name, run, **settings):
    return next(each for each in further_methods(**settings) if each.name == name).predict(run)


def test_attention_is_eq_3_over_regions_by_their_weights_image_by_image(run):
    parameters = np.array([0.7, -1.2, 0.4, -0.3, 0.2, -0.1])
    inputs = _regions(run, "e")
    got, _, share = attention(parameters, inputs)
    for image in range(N):
        of, weights = run.scores.isel(image=image), []
        for objectness, box, s in zip(
            of.objectness.values, of.box.values, of.region_probability.values, strict=True
        ):
            if math.isnan(objectness):
                weights.append(0.0)
                continue
            senti = 1 + sum(float(p) * math.log(p) for p in s if p > 0)
            area = float(box[2] - box[0]) * float(box[3] - box[1])
            weights.append(math.exp(0.7 * objectness - 1.2 * senti + 0.4 * math.log(area)))
        total = sum(weights) or 1.0
        np.testing.assert_allclose(share[image], np.array(weights) / total, rtol=1e-5)
        y = [float(p) for p in of.global_probability.values]
        for weight, s in zip(weights, of.region_probability.values, strict=True):
            if weight:
                y = [
                    a + math.exp(-0.3) * weight / total * float(b)
                    for a, b in zip(y, s, strict=True)
                ]
        y = [a * math.exp(bias) for a, bias in zip(y, (0.2, -0.1), strict=True)]
        np.testing.assert_allclose(got[image], np.array(y) / sum(y), rtol=1e-5)


def test_without_weights_attention_is_eq_3_of_all_regions(run):
    parameters = np.array([0, 0, 0, math.log(0.5), 0, 0])
    inputs, regions = _regions(run, "e"), run.scores.region_probability.values
    expected = run.scores.global_probability.values.astype(float)
    some = ~np.isnan(regions).all((1, 2))
    expected[some] += 0.5 * np.nanmean(regions[some].astype(float), axis=1)
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(attention(parameters, inputs)[0], expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_the_attention_is_that_of_its_loss(run, seed):
    known = run.labels >= 0
    inputs = type(_regions(run, "e"))(*(each[known] for each in _regions(run, "e")))
    inputs = inputs._replace(about=inputs.about / 10)
    labels, point = run.labels[known], np.random.default_rng(seed).normal(size=6)

    def loss(parameters):
        return attention_loss(parameters, inputs, labels)[0]

    def gradient(parameters):
        return attention_loss(parameters, inputs, labels)[1]

    assert check_grad(loss, gradient, point) < 1e-6


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("kind", ["run", "nested"])
def test_no_label_of_a_fold_counts_in_what_predicts_it(name, kind, request):
    run = request.getfixturevalue(kind)
    turned = run.scores.label.copy()
    turned[run.folds == 2] = 1 - turned[run.folds == 2]
    other = Run(run.name, run.scores.assign(label=turned.clip(-1, 1)))
    before, after = (predict(name, each).response for each in (run, other))
    np.testing.assert_array_equal(before[run.folds == 2], after[run.folds == 2])
    assert not np.allclose(before[run.folds == 1], after[run.folds == 1])
    np.testing.assert_allclose(before.sum(-1), 1)


@pytest.mark.parametrize("name", LEARNED)
def test_where_a_fold_is_left_out_no_label_of_it_counts_in_any_other(nested, name):
    turned = nested.scores.label.copy()
    turned[nested.folds == 2] = 1 - turned[nested.folds == 2]
    other = Run("turned", nested.scores.assign(label=turned.clip(-1, 1)))
    before, after = (predict(name, each).without(2) for each in (nested, other))
    np.testing.assert_array_equal(before[nested.folds != 2], after[nested.folds != 2])


@pytest.mark.parametrize("name", LEARNED)
def test_a_fusion_learns_what_the_regions_tell(run, name):
    """Regions that know the label, beside a full image that does not."""
    rng, regions = np.random.default_rng(0), run.scores.region_probability.copy()
    truth = np.maximum(run.labels, 0)
    regions[:, :, 0] = np.where(truth[:, None] == 0, 0.9, 0.1) + rng.uniform(-0.05, 0.05, (N, 1))
    regions[:, :, 1] = 1 - regions[:, :, 0]
    scores = run.scores.assign(region_probability=regions.where(run.scores.objectness.notnull()))
    response = predict(name, Run("telling", scores)).response
    known = (run.labels >= 0) & run.scores.objectness.notnull().any("region").values
    right = (response.argmax(-1) == run.labels)[known].mean()
    assert right > (run.scores.global_probability.values.argmax(-1) == run.labels)[known].mean()
    assert right > 0.9


def test_the_oracle_is_the_best_of_eq_3_over_single_regions(run):
    response = predict(ORACLE, run, beta=0.8).response
    for image in np.flatnonzero(run.labels >= 0).tolist():
        of, label = run.scores.isel(image=image), int(run.labels[image])
        full = of.global_probability.values.astype(float)
        regions = [s for s in of.region_probability.values.astype(float) if not np.isnan(s).any()]
        candidates = [full + 0.8 * s for s in regions] or [full]
        shares = max(y[label] / y.sum() for y in candidates)
        assert response[image][label] / response[image].sum() == pytest.approx(shares, abs=1e-6)
    assert np.isnan(response[run.labels < 0]).all()


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_cams_regions_are_fused_by_eq_3(run, beta):
    regions = np.random.default_rng(3).dirichlet([1, 1], (1, N))
    measured = xr.Dataset(
        {"probability": (("method", "image", "emotion"), regions)},
        coords={"method": np.array([CAM], object), "image": run.scores.image.values},
    )
    response = predict(CAM, Run("random", run.scores, measured), beta=beta).response
    for image in range(N):
        full = run.scores.global_probability.values[image].astype(float)
        y = [full[m] + beta * float(regions[0, image, m]) for m in range(2)]
        np.testing.assert_allclose(response[image], [value / sum(y) for value in y], atol=1e-6)


def test_without_any_region_no_attention_is_learned(run):
    names = ("objectness", "box", "region_probability")
    none = run.scores.assign({name: run.scores[name] * np.nan for name in names})
    with pytest.raises(Unavailable, match="no image has a region"):
        predict(ATTENTION, Run("none", none))
    np.testing.assert_allclose(predict(STACKED, Run("none", none)).response.sum(-1), 1)


def test_of_several_emotions_the_oracle_takes_the_region_whose_fused_lead_is_largest():
    """Not the region's own lead, which is the second's."""
    scores = xr.Dataset(
        {
            "global_probability": (("image", "emotion"), [[0.4, 0.6, 0.0]]),
            "region_probability": (
                ("image", "region", "emotion"),
                [[[0.5, 0.05, 0.45], [0.5, 0.38, 0.12]]],
            ),
            "label": ("image", np.int8([0])),
            "fold": ("image", np.int8([1])),
        },
        coords={"image": ["a"], "emotion": ["joy", "fear", "awe"]},
    )
    response = predict(ORACLE, Run("three", scores)).response[0]
    np.testing.assert_allclose(response, [0.4 + 0.25, 0.6 + 0.025, 0.225])
    assert response.argmax() == 0


@pytest.mark.parametrize("ns", [(2, 3, 100), (5,), ()])
def test_saturation_ends_with_all_regions_that_there_are(run, ns):
    table = saturation(run, further_methods(), ns)
    assert sorted(table.n.unique()) == sorted({*(n for n in ns if n < REGIONS), REGIONS})
    last = table[table.n == REGIONS].set_index("method")
    assert last.index.tolist() == [STACKED, ATTENTION, ORACLE]
    (usual,) = table1([run], further=True).values()
    np.testing.assert_allclose(last.auc, usual.auc[last.index])


def test_what_cannot_be_learned_gives_the_reason(run):
    two = Run("two", run.scores.assign(fold=("image", np.arange(N) % 2)))
    for name in LEARNED:
        with pytest.raises(Unavailable, match="4 folds: here 2"):
            predict(name, two)
    with pytest.raises(Unavailable, match="not measured in this run"):
        predict(CAM, run)
    alone = Run("alone", run.scores.assign(label=("image", np.zeros(N, np.int8))))
    with pytest.raises(Unavailable, match="two emotions or more"):
        predict(STACKED, alone)


def test_the_table_corrects_their_p_apart_and_tests_no_oracle(run):
    (usual,), (both,) = (table1([run], further=f).values() for f in (False, True))
    xr.testing.assert_equal(usual.to_xarray(), both.loc[usual.index].to_xarray())
    further = both.loc[[STACKED, ATTENTION]]
    assert set(further.tests) == {2}
    assert (further.p_holm >= further.p).all()
    assert further.p_holm.max() <= 2 * further.p.min() or further.p_holm.max() == further.p.max()
    oracle = both.loc[ORACLE]
    assert math.isnan(oracle.p)
    assert oracle.gain == pytest.approx(oracle.accuracy - both.accuracy[REFERENCE])
    assert "own label" in oracle.note
