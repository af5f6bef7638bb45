"""Accuracy over K for every selection rule, beside loops over images, rules and K."""

import math

import numpy as np
import pytest
import xarray as xr

from arlib.evaluation.metrics import compare, evaluate
from arlib.evaluation.runs import Run
from arlib.evaluation.selection import ALL, CROPS, RANDOM, RULES, _shuffled, curves, hits
from arlib.evaluation.significance import fold_differences, fold_means
from arlib.method import late_fusion

N, REGIONS, MOST = 30, 6, 8
KS = (1, 2, 3, 5, 6, 9)
CONTROLS = ("grid", CROPS, "ten-crop")


@pytest.fixture(scope="module")
def run(make_scores):
    """Random scores and crops; the last control has fewer of them than the others."""
    scores = make_scores(N, REGIONS, seed=1)
    scores.label[[3, 11]] = -1
    crops = np.random.default_rng(2).dirichlet([1, 1], (len(CONTROLS), N, MOST))
    crops[2, :, 4:] = np.nan
    measured = xr.Dataset(
        {
            "control_probability": (
                ("control", "image", "rank", "emotion"),
                crops.astype(np.float32),
            )
        },
        coords={"control": np.array(CONTROLS, object)},
    )
    return Run("random", scores, measured)


@pytest.fixture(scope="module")
def hit(run):
    return hits(run, ks=KS, n_draws=4, seed=5)


def fused_is_right(global_, regions, label, beta=0.5):
    """Eq. 3 over the regions that exist, for one image."""
    regions = [s for s in regions if not np.isnan(s).any()]
    y = [float(p) for p in global_]
    for s in regions:
        y = [y_i + beta / len(regions) * float(s_i) for y_i, s_i in zip(y, s, strict=True)]
    return y.index(max(y)) == label


def ranked(image, rule, alpha=1.0, base=math.e):
    """One image's proposals, best first, by Eq. 2 or one of its two scores."""
    scored = []
    for obj, s in zip(image.objectness.values, image.region_probability.values, strict=True):
        if not math.isnan(obj):
            senti = 1 + sum(float(p) * math.log(p, base) for p in s if p > 0)
            ar = math.sqrt(float(obj) ** 2 + alpha * senti**2)
            scored.append(({"both": ar, "objectness": obj, "sentiment": senti}[RULES[rule]], s))
    return [s for _, s in sorted(scored, key=lambda pair: -pair[0])]


def labelled(run):
    return [
        (i, run.scores.isel(image=i), int(label))
        for i, label in enumerate(run.labels)
        if label >= 0
    ]


def test_the_rules_are_the_papers_then_the_controls_then_chance_and_all(run, hit):
    assert hit.rule.values.tolist() == [*RULES, "grid", "ten-crop", RANDOM, ALL, CROPS]
    assert (RANDOM, ALL) == ("random regions", "all regions")  # as figures know them
    assert hit.k.values.tolist() == list(KS)
    bare = hits(Run("bare", run.scores), ks=KS, n_draws=4, seed=5)
    assert bare.rule.values.tolist() == [*RULES, RANDOM, ALL]
    xr.testing.assert_equal(bare, hit.sel(rule=bare.rule))
    other = xr.Dataset({"agreement": ("image", np.full(N, 5))})
    without = hits(Run("no controls", run.scores, other), ks=KS, n_draws=4, seed=5)
    xr.testing.assert_equal(without, bare)


def test_images_without_a_label_are_left_out(run, hit):
    known = run.labels >= 0
    assert 0 < known.sum() < N
    assert hit.image.values.tolist() == run.scores.image.values[known].tolist()
    assert hit.fold.values.tolist() == run.folds[known].tolist()
    unlabelled = run.scores.assign(label=("image", np.full(N, -1, np.int8)))
    with pytest.raises(ValueError, match=r"^no image has a label$"):
        hits(Run("unlabelled", unlabelled))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("equations", [{}, {"alpha": 0.2, "beta": 2.0, "base": 2}])
def test_a_rule_is_a_loop_over_images_and_k(run, rule, equations):
    measured = hits(run, ks=KS, n_draws=1, **equations).sel(rule=rule).values
    ranking = {name: value for name, value in equations.items() if name != "beta"}
    beta = equations.get("beta", 0.5)
    expected = [
        [
            fused_is_right(
                image.global_probability.values, ranked(image, rule, **ranking)[:k], label, beta
            )
            for _, image, label in labelled(run)
        ]
        for k in KS
    ]
    np.testing.assert_array_equal(measured, expected)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_takes_the_first_k_of_its_own_crops_and_random_crops_all(run, hit, control):
    crops = run.baselines.control_probability.sel(control=control).values
    expected = [
        [
            fused_is_right(
                image.global_probability.values, crops[i, : MOST if control == CROPS else k], label
            )
            for i, image, label in labelled(run)
        ]
        for k in KS
    ]
    np.testing.assert_array_equal(hit.sel(rule=control).values, expected)


def test_all_regions_are_all_whatever_k(run, hit):
    expected = [
        fused_is_right(image.global_probability.values, image.region_probability.values, label)
        for _, image, label in labelled(run)
    ]
    for k in KS:
        assert hit.sel(rule=ALL, k=k).values.tolist() == expected


def test_random_regions_are_an_average_over_draws(run, hit):
    """One draw after another from one generator: each image's regions by a key each."""
    images = labelled(run)
    rng = np.random.default_rng(5)
    right = np.zeros((len(KS), len(images)))
    for _ in range(4):
        keys = rng.random((len(images), REGIONS))
        for column, (_, image, label) in enumerate(images):
            s = image.region_probability.values
            regions = [j for j in range(REGIONS) if not np.isnan(s[j]).any()]
            order = sorted(regions, key=lambda j, key=keys[column]: key[j])
            for row, k in enumerate(KS):
                right[row, column] += fused_is_right(
                    image.global_probability.values, s[order[:k]], label
                )
    np.testing.assert_allclose(hit.sel(rule=RANDOM).values, right / 4)


def test_draws_depend_on_the_seed_alone(run, hit):
    again, other = (hits(run, ks=KS, n_draws=4, seed=seed) for seed in (5, 6))
    xr.testing.assert_identical(again, hit)
    assert (other.sel(rule=RANDOM) != hit.sel(rule=RANDOM)).any()
    rest = [rule for rule in hit.rule.values.tolist() if rule != RANDOM]
    xr.testing.assert_equal(other.sel(rule=rest), hit.sel(rule=rest))


def test_one_random_region_is_any_with_the_same_chance(run):
    """Averaged over many draws, K = 1 is right as often as the regions taken one by one."""
    shares = hits(run, ks=[1], n_draws=500).sel(rule=RANDOM, k=1).values
    for (_, image, label), share in zip(labelled(run), shares.tolist(), strict=True):
        s = [s for s in image.region_probability.values if not np.isnan(s).any()] or [[np.nan]]
        right = [fused_is_right(image.global_probability.values, [x], label) for x in s]
        assert share == pytest.approx(np.mean(right), abs=5 * 0.5 / math.sqrt(500))


def test_regions_are_shuffled_among_themselves_and_those_that_exist_first(run):
    regions = run.scores.region_probability.values
    shuffled = _shuffled(regions, np.random.default_rng(0))
    moved = 0
    for before, after in zip(regions, shuffled, strict=True):
        exist = before[~np.isnan(before).any(-1)].tolist()
        assert sorted(after[: len(exist)].tolist()) == sorted(exist)
        assert np.isnan(after[len(exist) :]).all()
        moved += after[: len(exist)].tolist() != exist
    assert moved > N / 3


def test_as_many_random_regions_as_there_are_are_all_of_them(hit):
    for k in (REGIONS, REGIONS + 3):
        np.testing.assert_array_equal(hit.sel(rule=RANDOM, k=k), hit.sel(rule=ALL, k=k))
    assert (hit.sel(rule=RANDOM, k=1) != hit.sel(rule=ALL, k=1)).any()


def curves_of(run, **options):
    return curves(run, ks=KS, n_draws=4, **options)


def test_a_curve_is_the_mean_over_folds_of_the_mean_over_images(run, hit):
    measured = curves_of(run, seed=5)
    assert measured.rule.values.tolist() == hit.rule.values.tolist()
    for rule in hit.rule.values.tolist():
        for k in KS:
            row = hit.sel(rule=rule, k=k)
            means = [row.values[hit.fold.values == fold].mean() for fold in range(5)]
            assert float(measured.accuracy.sel(rule=rule, k=k)) == pytest.approx(np.mean(means))
    assert (measured.low <= measured.accuracy).all()
    assert (measured.accuracy <= measured.high).all()
    assert (measured.low < measured.high).any()


def test_a_gain_is_eq_2_less_the_rule(run, hit):
    measured = curves_of(run, seed=5)
    eq_2 = measured.accuracy.sel(rule="obj + senti (Eq. 2)")
    expected = eq_2.values - measured.accuracy.transpose("rule", "k").values
    np.testing.assert_allclose(measured.gain, expected, atol=1e-12)
    own = measured[["gain", "gain_low", "gain_high"]].sel(rule="obj + senti (Eq. 2)")
    assert not own.gain.any()
    np.testing.assert_allclose(own.gain_low, -own.gain_high)  # of no image that differs
    _, low, high = fold_differences(
        hit.sel(rule="grid", k=2).values,
        hit.sel(rule="obj + senti (Eq. 2)", k=2).values,
        hit.fold.values,
    )
    at = measured.sel(rule="grid", k=2)
    np.testing.assert_allclose([at.gain_low, at.gain_high], [low, high], atol=1e-9)
    assert low < high


def test_equations_reach_the_curves(run):
    settings = {"alpha": 0.2, "beta": 2.0, "base": 2}
    right = hits(run, ks=KS, n_draws=4, seed=5, **settings)
    accuracy, _, _ = fold_means(right.values, right.fold.values)
    np.testing.assert_array_equal(curves_of(run, seed=5, **settings).accuracy, accuracy)
    assert (curves_of(run, seed=5).accuracy != accuracy).any()


def test_a_rules_cost_is_every_crop_that_it_needs_predicted(run, hit):
    """Eq. 1 and 2 need all proposals before they choose; objectness, chance and controls K."""
    measured = curves_of(run).cost
    images = labelled(run)
    proposed = [int((~np.isnan(image.objectness.values)).sum()) for _, image, _ in images]
    assert min(proposed) < max(KS), "some images have fewer than K"
    every = 1 + np.mean(proposed)
    for k in KS:
        at = measured.sel(k=k)
        for rule in ("obj + senti (Eq. 2)", "senti", ALL):
            assert float(at.sel(rule=rule)) == pytest.approx(every)
        assert float(at.sel(rule=CROPS)) == 1 + MOST
        for rule in ("obj", RANDOM):
            some = [min(n, k) for n in proposed]
            assert float(at.sel(rule=rule)) == pytest.approx(1 + np.mean(some))
        of_some = at.sel(rule=["grid", "ten-crop"]).values.tolist()
        assert of_some == [1 + min(k, MOST), 1 + min(k, 4)]


def test_areas_and_their_gains_are_those_of_evaluate_and_compare(run):
    """Of every rule that is one order; of random regions the mean over draws."""
    measured = curves_of(run, seed=5)
    known = [i for i, *_ in labelled(run)]
    labels, folds = run.labels[known], run.folds[known]
    full = run.scores.global_probability.values[known]

    def fuse(orders):
        return np.stack(
            [
                late_fusion(g, np.array(o)[:2] if len(o) else np.full((1, 2), np.nan), 0.5)
                for g, o in zip(full, orders, strict=True)
            ]
        )

    best = fuse([ranked(image, "obj + senti (Eq. 2)") for _, image, _ in labelled(run)])
    crops = fuse(run.baselines.control_probability.sel(control="grid").values[known])
    at = measured.sel(k=2)
    for rule, response in (("obj + senti (Eq. 2)", best), ("grid", crops)):
        expected = evaluate(response / 1.5, labels, folds=folds).estimate["auc"]
        assert float(at.auc.sel(rule=rule)) == pytest.approx(expected)
    row = compare(crops / 1.5, best / 1.5, labels, folds=folds).loc["auc"]
    gain = at[["auc_gain", "auc_gain_low", "auc_gain_high"]].sel(rule="grid").to_array()
    np.testing.assert_allclose(gain, row[["difference", "low", "high"]].astype(float))
    first = measured.sel(rule="obj + senti (Eq. 2)")
    assert not first.auc_gain.any()
    assert first.auc_gain_low.isnull().all(), "no difference, no interval"
    draws = [curves(run, ks=[2], n_draws=n, seed=5).auc.sel(rule=RANDOM).item() for n in (1, 4)]
    assert draws[0] != draws[1] == pytest.approx(float(at.auc.sel(rule=RANDOM)))
