"""The rows of Table 1, each beside a loop straight from Algorithm 1 and Eq. 1 to 3."""

import math
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr

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


def test_the_rows_are_the_papers_in_its_order_and_one_more():
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
