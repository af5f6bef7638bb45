"""The rows of Table 1, each beside a loop straight from Algorithm 1 and Eq. 1 to 3."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr

from arlib.evaluation import rows
from arlib.evaluation.rows import CONTROL, KS, REFERENCE, THRESHOLDS, Unavailable, methods
from arlib.evaluation.runs import Run
from arlib.evaluation.tables import paper_table

N, REGIONS = 40, 6
MEASURED = ("VGGNet", "SentiBank", "PCNN + VGGNet")
LAST = "VGGNet + ft + obj + senti + lf (K)"
FUSED = {
    "VGGNet + ft": {"beta": 0.0},
    "VGGNet + ft + obj + lf (K = 1)": {"rank_by": "objectness"},
    "VGGNet + ft + senti + lf (K = 1)": {"rank_by": "sentiment"},
    "VGGNet + ft + obj + senti + lf (K = 1)": {"rank_by": "both"},
}


@pytest.fixture(scope="module")
def run(make_scores):
    """Random scores: an image without regions, images without a label, some rows measured."""
    scores = make_scores(N, REGIONS, seed=48)
    scores.label[[7, 20]] = -1
    rng = np.random.default_rng(4)
    measured = xr.Dataset(
        {
            "probability": (
                ("method", "image", "emotion"),
                rng.dirichlet([1, 1], (len(MEASURED), N)).astype(np.float32),
            )
        },
        coords={"method": np.array(MEASURED, object), "image": scores.image.values},
        attrs={"missing": {"DeepSentiBank": "no adjective-noun pairs here"}},
    )
    return Run("random", scores, measured, {"commit": "abc"})


def algorithm_1(scores, image, k, rank_by="both", alpha=1.0, beta=0.5, base=math.e):
    """One image's label distribution: Eq. 1 and 2 for every proposal, the best K, Eq. 3."""
    of = scores.isel(image=image)
    proposals = []
    for obj, s in zip(of.objectness.values, of.region_probability.values, strict=True):
        if math.isnan(obj):
            continue
        senti = 1 + sum(float(p) * math.log(p, base) for p in s if p > 0)
        ar = math.sqrt(float(obj) ** 2 + alpha * senti**2)
        proposals.append(({"both": ar, "objectness": obj, "sentiment": senti}[rank_by], s))
    best = [s for _, s in sorted(proposals, key=lambda proposal: -proposal[0])[:k]]
    y = [float(p) for p in of.global_probability.values]
    for s in best:
        y = [y_i + beta / len(best) * float(s_i) for y_i, s_i in zip(y, s, strict=True)]
    return [y_i / sum(y) for y_i in y]


def predict(name, run, **settings):
    return next(method for method in methods(**settings) if method.name == name).predict(run)


def relabelled(run, labels):
    scores = run.scores.assign(label=("image", np.asarray(labels, np.int8)))
    return Run(run.name, scores, run.baselines)


def test_the_rows_are_the_papers_in_its_order_and_two_more():
    names = [method.name for method in methods()]
    assert names == [*paper_table().index, "DeepSentiBank", CONTROL]
    assert REFERENCE in names
    assert all(method.refers for method in methods())


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("equations", [{}, {"alpha": 0.3, "beta": 1.5, "base": 2}])
def test_a_late_fusion_row_is_algorithm_1_image_by_image(run, name, equations):
    settings = {**equations, **FUSED[name]}
    expected = [algorithm_1(run.scores, i, 1, **settings) for i in range(N)]
    prediction = predict(name, run, **equations)
    np.testing.assert_allclose(prediction.response, expected, atol=1e-6)
    assert (prediction.note, prediction.picked) == ("", None)


@pytest.mark.parametrize("name", MEASURED)
def test_a_measured_row_is_what_was_measured_whatever_the_order_of_dimensions(run, name):
    turned = run.baselines.transpose("emotion", "image", "method")
    expected = run.baselines.probability.values[MEASURED.index(name)]
    for measured in (run.baselines, turned):
        response = predict(name, Run("random", run.scores, measured)).response
        np.testing.assert_array_equal(response, expected)


@pytest.mark.parametrize(
    ("name", "measured", "reason"),
    [
        ("VGGNet", False, "not measured in this run: it holds scores alone"),
        ("DeepSentiBank", True, "no adjective-noun pairs here"),
        ("PCNN + CaffeNet", True, "not measured in this run"),
    ],
)
def test_a_row_that_is_not_available_gives_the_reason(run, name, measured, reason):
    source = run if measured else Run("bare", run.scores)
    with pytest.raises(Unavailable, match=f"^{reason}$"):
        predict(name, source)


def right_by_hand(run, ks, **equations):
    """K -> fold -> the share of labelled images that Algorithm 1 gets right, as a fraction."""
    labels, folds = run.labels.tolist(), run.folds.tolist()
    shares = {}
    for k in ks:
        hits = {}
        for i, (label, fold) in enumerate(zip(labels, folds, strict=True)):
            if label >= 0:
                y = algorithm_1(run.scores, i, k, **equations)
                hits.setdefault(fold, []).append(y.index(max(y)) == label)
        shares[k] = {fold: Fraction(sum(h), len(h)) for fold, h in sorted(hits.items())}
    return shares


def best_k(shares, folds):
    """The first K whose mean over these folds is highest."""
    return max(shares, key=lambda k: (sum(shares[k][fold] for fold in folds), -k))


@pytest.mark.parametrize(
    "settings", [{}, {"ks": (2, 3, 5)}, {"alpha": 0.2, "beta": 2.0, "base": 2}]
)
def test_the_last_rows_k_is_best_on_the_other_folds(run, settings):
    """Each fold's K, and every image's response with it, by hand."""
    ks = settings.get("ks", KS)
    equations = {name: value for name, value in settings.items() if name != "ks"}
    shares = right_by_hand(run, ks, **equations)
    chosen = {fold: best_k(shares, set(range(5)) - {fold}) for fold in range(5)}
    prediction = predict(LAST, run, **settings)
    assert prediction.note == f"K = {', '.join(map(str, chosen.values()))} in folds 0 to 4"
    assert len(set(chosen.values())) > 1, "one K for all folds would not show whose it is"
    for i in np.flatnonzero(run.labels >= 0).tolist():
        k = chosen[int(run.folds[i])]
        expected = algorithm_1(run.scores, i, k, **equations)
        np.testing.assert_allclose(prediction.response[i], expected, atol=1e-6)


def test_an_image_without_a_label_gets_the_k_that_is_best_over_all_folds(run):
    """It is in no fold's accuracy, but its prediction is written down too."""
    overall = best_k(right_by_hand(run, KS), range(5))
    assert overall != KS[0], "the first K would be right by chance"
    response = predict(LAST, run).response
    for i in np.flatnonzero(run.labels < 0).tolist():
        expected = algorithm_1(run.scores, i, overall)
        np.testing.assert_allclose(response[i], expected, atol=1e-6)


@pytest.mark.parametrize("fold", range(5))
def test_a_folds_own_labels_do_not_choose_its_k(run, fold):
    own = run.folds == fold
    labels = np.where(own & (run.labels >= 0), 1 - run.labels, run.labels)
    before, after = predict(LAST, run), predict(LAST, relabelled(run, labels))
    known = own & (labels >= 0)
    np.testing.assert_array_equal(after.response[known], before.response[known])
    ks = [prediction.note.removeprefix("K = ").split(",")[fold] for prediction in (before, after)]
    assert ks[0].split()[0] == ks[1].split()[0]


def test_but_they_choose_the_ks_of_other_folds(run):
    own = run.folds == 0
    labels = np.where(own & (run.labels >= 0), 1 - run.labels, run.labels)
    assert predict(LAST, relabelled(run, labels)).note != predict(LAST, run).note


def test_picked_on_test_is_the_greatest_mean_over_folds_of_any_k(run):
    shares = right_by_hand(run, KS)
    means = {k: sum(of.values()) / 5 for k, of in shares.items()}
    k, accuracy = predict(LAST, run).picked
    assert accuracy == pytest.approx(float(max(means.values())))
    assert means[k] == max(means.values())


def test_of_ks_that_are_exactly_equal_on_test_the_first_is_picked(run, monkeypatch):
    """Three hits of ten in one fold are as many as two and one, and 0.3 + 0 is less in floats."""
    hits = {1: (3, 0, 0), 2: (1, 2, 0)}
    assert sum(h / 10 for h in hits[1]) < sum(h / 10 for h in hits[2])
    folds = np.repeat([0, 1, 2], 10)
    right = np.array([[np.tile(np.arange(10), 3) < np.repeat(h, 10)] for h in hits.values()])
    labels = xr.DataArray(np.where(right[:, 0], 0, 1).T, dims=("image", "k"))
    monkeypatch.setattr(rows, "predicted_labels", lambda *_, **__: labels)
    scores = run.scores.isel(image=slice(30))
    scores = scores.assign(label=("image", np.zeros(30, np.int8)), fold=("image", folds))
    k, accuracy = predict(LAST, Run("ties", scores), ks=(1, 2)).picked
    assert (k, accuracy) == (1, pytest.approx(0.1))


def of_run(scores, source=None):
    """A run of a network that learned from this."""
    facts = {"experiment": {"backbones": ["x"], "finetune_on": [source]}} if source else {}
    return Run("random", scores, None, facts)


@pytest.fixture(scope="module")
def nested(make_scores):
    """Random scores with those of inner heads; of two images without a label one is in no fold."""
    scores = make_scores(N, REGIONS, seed=48, inner=True)
    scores.label[[7, 20]] = -1
    outside = np.arange(N) == 7
    scores["fold"] = scores.fold.where(~outside, np.int8(-1)).astype(np.int8)
    for name in ("inner_global_probability", "inner_region_probability"):
        scores[name] = scores[name].where(xr.DataArray(~outside, dims="image"))
    return of_run(scores, "none")


def seen_without(nested, fold):
    """Scores in which inner heads predict the images of the other folds."""
    without = nested.scores.copy(deep=True)
    for i, own in enumerate(nested.folds.tolist()):
        if own not in (fold, -1):
            without.global_probability[i] = nested.scores.inner_global_probability[i, fold]
            without.region_probability[i] = nested.scores.inner_region_probability[i, fold]
    return without


def test_what_a_fold_is_compared_by_uses_none_of_its_labels(nested):
    """By the K of that fold, which was chosen without them, too."""
    last, first = predict(LAST, nested), predict("VGGNet + ft + obj + senti + lf (K = 1)", nested)
    ks = list(map(int, re.findall(r"\d+", last.note.partition(" in ")[0])))
    for fold in (0, 3):
        without = seen_without(nested, fold)
        for prediction, k in ((last, ks[fold]), (first, 1)):
            response = prediction.without(fold)
            response /= response.sum(-1, keepdims=True)
            for i in (0, 1, 4, 9):
                np.testing.assert_allclose(response[i], algorithm_1(without, i, k), atol=1e-6)
    bare = nested.scores.drop_vars(["inner_global_probability"])
    assert predict(LAST, of_run(bare.drop_vars("left_out"), "none")).without is None


def test_inner_heads_choose_each_folds_k(nested):
    """By hand, and otherwise than the heads that saw its labels would."""
    scores, chosen = nested.scores, []
    for fold in range(5):
        shares = right_by_hand(Run("", seen_without(nested, fold)), KS)
        chosen.append(best_k(shares, set(range(5)) - {fold}))
    prediction = predict(LAST, nested)
    assert prediction.note.startswith(f"K = {', '.join(map(str, chosen))} in folds 0 to 4, by")
    for i in np.flatnonzero(nested.labels >= 0).tolist():
        expected = algorithm_1(scores, i, chosen[nested.folds[i]])  # by its own fold's head
        np.testing.assert_allclose(prediction.response[i], expected, atol=1e-6)
    names = ["inner_global_probability", "inner_region_probability", "left_out"]
    plain = predict(LAST, of_run(scores.drop_vars(names), "none"))
    assert plain.note.partition(" in ")[0] != prediction.note.partition(" in ")[0]


def test_whose_labels_chose_k_is_noted(nested):
    names = ["inner_global_probability", "inner_region_probability", "left_out"]
    scores, bare = nested.scores, nested.scores.drop_vars(names)
    seen = "by classifiers of the other folds that saw the tested fold's labels"
    for run, expected in (
        (of_run(scores, "none"), "by heads that saw no label of the tested fold"),
        (of_run(bare, "none"), seen),
        (of_run(bare, "folds"), seen),
        (of_run(bare, "oasis"), "in folds 0 to 4"),
        (of_run(bare), "in folds 0 to 4"),
    ):
        assert predict(LAST, run).note.endswith(expected)
        assert run.leaks == (expected == seen)


def test_pooled_runs_keep_their_inner_heads_apart(nested, make_scores):
    other = of_run(make_scores(25, REGIONS, seed=3, inner=True), "none")
    pooled = Run.pool([nested, other])
    assert pooled.nested
    names = ["global_probability", "region_probability"]
    for fold in range(10):
        expected = [run.scores[names] for run in (nested, other)]
        expected[fold // 5] = (nested, other)[fold // 5].leaving_out(fold % 5).scores[names]
        together = pooled.leaving_out(fold).scores
        for name in names:
            values = np.concatenate([each[name].values for each in expected])
            np.testing.assert_array_equal(together[name], values)


def test_runs_of_which_one_has_inner_heads_are_not_alike(nested):
    bare = Run("", nested.scores.drop_vars(["inner_global_probability"]), None, {"results": {}})
    other = Run("", nested.scores, None, {"results": {}})
    assert other.differences(bare)["inner_global_probability"] == np.inf
    assert other.differences(other)["inner_region_probability"] == 0


def test_a_choice_of_k_needs_two_folds(run):
    """A set without folds is one fold."""
    scores = run.scores.assign(fold=("image", np.full(N, -1, np.int8)))
    unfolded = Run("unfolded", scores)
    assert (unfolded.folds == 0).all()
    with pytest.raises(Unavailable, match=r"^a choice needs two folds, .*: not 1$"):
        predict(LAST, unfolded)
    np.testing.assert_array_equal(
        predict(REFERENCE, unfolded).response, predict(REFERENCE, run).response
    )


def test_some_images_keep_what_belongs_to_them(run):
    few = run.select(run.folds == 2, "fold two")
    assert few.name == "fold two"
    assert few.facts == run.facts
    assert few.scores.image.values.tolist() == run.scores.image.values[2::5].tolist()
    for name in ("VGGNet", "VGGNet + ft + obj + lf (K = 1)"):
        expected = predict(name, run).response[2::5]
        np.testing.assert_array_equal(predict(name, few).response, expected)
    assert Run("bare", run.scores).select(run.folds == 2, "x").baselines is None


def test_a_frozen_network_alone_is_what_its_run_holds(run):
    facts = {"experiment": {"backbones": ["x"], "finetune_on": ["none"]}}
    frozen = Run("frozen", run.scores, None, facts)
    assert frozen.frozen
    response = predict("VGGNet", frozen).response
    np.testing.assert_array_equal(response, run.scores.global_probability.values)
    tuned = {"experiment": {"backbones": ["x"], "finetune_on": ["folds"]}}
    other = Run("tuned", run.scores, None, tuned)
    assert not other.frozen
    with pytest.raises(Unavailable, match="it holds scores alone"):
        predict("VGGNet", other)


def right_at(run, threshold, fold):
    """The share of a fold's labelled images that are right from a threshold on, as a fraction."""
    hits = []
    for share, label, own in zip(
        run.scores.global_probability.values[:, 0].tolist(),
        run.labels.tolist(),
        run.folds.tolist(),
        strict=True,
    ):
        if own == fold and label >= 0:
            hits.append((0 if share >= threshold else 1) == label)
    return Fraction(sum(hits), len(hits))


def test_the_controls_threshold_is_best_on_the_other_folds(run):
    """The first of the best ones, from 0.5 outwards; its labels are those from there on."""
    assert sorted(THRESHOLDS) == [i / 100 for i in range(1, 100)]
    assert THRESHOLDS[0] == 0.5
    shares = {t: {fold: right_at(run, t, fold) for fold in range(5)} for t in THRESHOLDS}
    chosen = {}
    for fold in range(5):
        others = set(range(5)) - {fold}
        mean = {t: sum(shares[t][other] for other in others) for t in THRESHOLDS}
        best = [t for t in THRESHOLDS if mean[t] == max(mean.values())]
        chosen[fold] = min(best, key=lambda t: abs(t - 0.5))
    prediction = predict(CONTROL, run)
    assert prediction.note == f"threshold = {', '.join(map(str, chosen.values()))} in folds 0 to 4"
    assert len(set(chosen.values())) > 1
    for i in np.flatnonzero(run.labels >= 0).tolist():
        share = float(run.scores.global_probability.values[i, 0])
        expected = 0 if share >= chosen[int(run.folds[i])] else 1
        assert prediction.response[i].argmax() == expected
    np.testing.assert_allclose(prediction.response.sum(-1), 1)


def test_in_a_fold_the_control_ranks_images_as_the_full_image_does(run):
    response = predict(CONTROL, run).response[:, 0]
    shares = run.scores.global_probability.values[:, 0]
    for fold in range(5):
        own = (run.folds == fold) & (run.labels >= 0)
        assert response[own].argsort().tolist() == shares[own].argsort().tolist()


def test_a_threshold_is_of_two_emotions_and_two_folds(make_scores, run):
    with pytest.raises(Unavailable, match=r"^a threshold is of two emotions$"):
        predict(CONTROL, Run("six", make_scores(N, REGIONS, n_emotions=6)))
    one_fold = run.scores.assign(fold=run.scores.fold * 0)
    with pytest.raises(Unavailable, match=r"^a choice needs two folds"):
        predict(CONTROL, Run("one fold", one_fold))
