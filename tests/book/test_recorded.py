"""The recorded runs, and the chapters that are executed on them instead of the synthetic scenes."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import xlogy

from arlib.evaluation import evaluate, reliability, sweep, table1
from arlib.experiments import open_run, parse_experiment
from arlib.method import predict_labels
from arlib.publishing import load_edition

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "book" / "results"
METHODS = {
    "full image": {"k": 1, "beta": 0.0},
    "+ obj (K = 1)": {"k": 1, "rank_by": "objectness"},
    "+ senti (K = 1)": {"k": 1, "rank_by": "sentiment"},
    "+ obj + senti (K = 1)": {"k": 1},
    "+ obj + senti (K = 8)": {"k": 8},
}

NO_RANDOM_CROPS = {  # fine-tuned before these were measured; their networks were not kept
    f"{dataset}-{network}-ft{on}"
    for network in ("mobilenet_v2", "squeezenet1_1")
    for dataset, on in (("twitter2", ""), ("oasis", ""), ("twitter2", "-oasis"))
}
NO_CONTROLS = {"twitter2-efficientnet_lite2", "oasis-efficientnet_lite2"}  # `-p rows main`


def test_01_reports_the_recorded_recall(recorded):
    found = recorded("01_proposals")
    facts = json.loads((RESULTS / "coco_val64.json").read_text())
    curve = dict(zip(facts["boxes"], facts["recall"]["EdgeBoxes"], strict=True))
    assert found["source"] == "recorded"
    assert found["most['EdgeBoxes']:.2f"] == f"{curve[1000]:.2f}"
    assert found["kept['EdgeBoxes']:.2f"] == f"{curve[100]:.2f}"
    most, least = (float(found[f"{n}[['Grid', 'Random']].max():.2f"]) for n in ("most", "kept"))
    assert curve[1000] > most > least
    assert curve[1000] >= 0.55


@pytest.mark.slow  # the smoke edition trains its networks in `make test`
def test_02_examines_the_errors_of_the_recorded_run(recorded):
    found = recorded("02_finetuning")
    assert found["run"] == "twitter2-mobilenet_v2"
    assert found["results.network"] == "MobileNetV2, frozen"
    scores = open_run(RESULTS / "twitter2-mobilenet_v2").scores
    tested = (scores.label >= 0).values.nonzero()[0][1::2]  # the other half fits the temperature
    shares, labels = scores.global_probability.values[tested], scores.label.values[tested]
    ece = reliability(shares, labels, bins=5).attrs["ece"]
    assert found["ece[0]:.3f"] == f"{ece:.3f}"


def test_03_counts_the_recorded_regions(recorded):
    found = recorded("03_sentiment_score")
    scores = open_run(RESULTS / "twitter2-mobilenet_v2").scores
    assert found["len(scored):,"] == f"{int(scores.objectness.notnull().sum()):,}"
    assert found["truly:.0%"] == f"{470 / 603:.0%}"


def test_04_names_the_score_that_matters_more_and_that_no_region_is_known(recorded):
    found = recorded("04_affective_regions")
    scores = open_run(RESULTS / "twitter2-mobilenet_v2").scores
    obj, s = (scores[name].values.astype(float) for name in ("objectness", "region_probability"))
    senti = 1 + xlogy(s, s).sum(-1)
    parts = [np.nanvar(values**2, axis=1).sum() for values in (obj, senti)]
    share = parts[1] / sum(parts)
    assert found["share:.0%"] == f"{share:.0%}"
    correlation = np.corrcoef(obj[~np.isnan(obj)], senti[~np.isnan(obj)])[0, 1]
    assert found["np.corrcoef(obj[valid], senti[valid])[0, 1]:.2f"] == f"{correlation:.2f}"
    assert found["winner"] == ("the sentiment score" if share > 0.5 else "objectness")
    low, high = (reduce(obj, axis=1, keepdims=True) for reduce in (np.nanmin, np.nanmax))
    best = eight(np.hypot(obj, senti))
    for name, other in {
        "kept": np.hypot((obj - low) / (high - low), senti),
        "shares.loc[1, 'objectness']": obj,
        "shares.loc[1, 'sentiment']": senti,
    }.items():
        both = sum(len(a & b) for a, b in zip(best, eight(other), strict=True))
        assert found[f"{name}:.0%"] == f"{both / sum(map(len, best)):.0%}", name
    assert "not known in this run" in found["where"]


def eight(score):
    """The eight best regions of each image, or all of fewer."""
    ranked = np.argsort(-score, kind="stable")[:, :8]
    return [
        {j for j in js.tolist() if row[j] == row[j]} for row, js in zip(score, ranked, strict=True)
    ]


def test_05_counts_what_fusion_changed(recorded):
    found = recorded("05_fusion")
    assert found["changed:.1%"] == f"{int(found['change.changed']) / 603:.1%}"
    net = int(found["change.corrected"]) - int(found["change.degraded"])
    sign = "gain" if net > 0 else "loss"
    assert found["verdict"] == (f"a {sign} of {abs(net)}" if net else "no net change")


def test_06b_reports_the_settings_of_the_recorded_runs(recorded):
    found = recorded("06b_open")
    scores = open_run(RESULTS / found["run"]).scores
    table, full = (
        evaluate(probability, scores.label, folds=scores.fold).estimate
        for probability in (predict_labels(scores, 8).probability, scores.global_probability)
    )
    assert found["accuracy.estimate:.3f"] == f"{table['accuracy']:.3f}"
    assert found["auc"] == f"{table['auc']:.3f}"
    assert found["full.estimate['accuracy']:.3f"] == f"{full['accuracy']:.3f}"
    assert found["auc_full"] == f"{full['auc']:.3f}"
    assert found["swept.max():.3f"] == f"{float(sweep(scores).accuracy.max()):.3f}"
    assert found["swept.size"] == str(20 * 11 * 11)
    assert float(found["most"]) >= float(found["added"]) >= 0


def test_06a_compares_the_regions_of_the_recorded_runs(recorded):
    found = recorded("06a_regions")
    runs = load_edition(ROOT, "recorded").parameters["runs"]
    beside = [open_run(RESULTS / name).baselines for name in runs]
    controls = [b.control.values.tolist() for b in beside if "control" in b.coords]
    assert found["len(of_random)"] == str(sum("random crops" in names for names in controls))
    assert found["len(ahead)"] == str(2 * len(runs) + sum(map(len, controls)))
    scores = open_run(RESULTS / found["run"]).scores
    positive = (scores.label == 0).groupby(scores.fold).mean()
    assert found["majority:.1%"] == f"{float(positive.mean()):.1%}"
    full, fused = scores.global_probability, predict_labels(scores, 8).label
    assert found["of_run.changed"] == str(int((full.values.argmax(-1) != fused.values).sum()))
    assert found["of_run['could change']"] == str(int((full.max("emotion") < 0.75).sum()))


@pytest.fixture(scope="module")
def tables():
    """Run -> its Table 1, of every recorded run."""
    return table1([open_run(path.parent).load() for path in sorted(RESULTS.glob("*/run.json"))])


def test_06_says_what_the_tests_of_the_recorded_runs_say(recorded, tables):
    """Over the columns in which the last row is tested; a bound, not a null."""
    found = recorded("06_experiments")
    names = load_edition(ROOT, "recorded").parameters["runs"]
    assert found["len(opened)"] == str(len(names))
    assert found["(above <= -2).sum()"] == "7"
    assert sorted(tables) == sorted(names)
    row = "VGGNet + ft + obj + senti + lf (K)"
    last = {table.attrs["title"]: table.loc[row] for table in tables.values()}
    for of in ("", "auc_"):
        gained = [n for n, row in last.items() if row[f"{of}gain"] > 0]
        found_in = [n for n, row in last.items() if row[f"{of}p_columns"] < 0.05]
        helped = [n for n in found_in if n in gained]
        harmed = [n for n in found_in if n not in gained]
        what = "AUC" if of else "accuracy"
        changes = f"changes the {what} beyond chance in no column"
        if found_in:
            raised, lowered = ("; ".join(names) or "none" for names in (helped, harmed))
            changes = f"raises the {what} beyond chance in: {raised}; lowers it in: {lowered}"
        assert found[f'changes("{what}", {of}sure, {of}up)'] == changes
        tested = sum(not np.isnan(row[f"{of}p"]) for row in last.values())
        assert found[f"numbers.{of}p.count()"] == str(tested)
    assert found["numbers.p.count()"] == "14", "a network that gives every image one label is not"
    for p in ("p", "matched_p"):
        below = "; ".join(n for n, row in last.items() if row[p] < 0.05)
        assert found[f"names_of(numbers.{p} < 0.05)"] == below
    full = [table.loc["VGGNet + ft"] for table in tables.values()]
    signal, over = (sum(row.auc_low > 0.5 for row in full), sum(r.low > r.majority for r in full))
    assert (found["signal.sum()"], found["over_line.sum()"]) == (str(signal), str(over))
    assert (signal, over) == (16, 7)
    most = max(row.gain_high for row in last.values())
    assert found['format_number(100 * numbers.gain_high.max(), "+.1f")'] == f"{100 * most:+.1f}"
    key = "format_number(100 * numbers.detectable.{}())"
    least, most = (found[key.format(name)] for name in ("min", "max"))
    assert float(most) > float(least) > 0


def test_recorded_runs_hold_every_row_or_its_reason(tables):
    assert len(tables) == 16
    for folder, table in tables.items():
        run = open_run(RESULTS / folder).load()
        for name, row in table.iterrows():
            assert not np.isnan(row.accuracy) or row.note, (folder, name)
        assert (table.images.dropna() == run.scores.sizes["image"]).all()
        facts = run.facts
        assert len(facts["commit"]) == 40
        assert facts["command"].startswith("arlib run ")
        assert len(facts["dataset"]["sha256"]) == 64
        assert sum(facts["seconds"].values()) > 0
        if folder in NO_CONTROLS:
            assert "control_probability" not in run.baselines
            continue
        controls = run.baselines.control_probability
        wanted = ["grid", "centre crops", "random crops", "ten-crop"]
        if folder in NO_RANDOM_CROPS:
            wanted.remove("random crops")
        assert controls.control.values.tolist() == wanted
        assert not np.isnan(controls.isel(rank=slice(10))).any()


@pytest.mark.parametrize("name", sorted(p.parent.name for p in RESULTS.glob("*/run.json")))
def test_recorded_runs_are_what_their_scores_give(name):
    run = open_run(RESULTS / name)
    scores, facts = run.scores, run.facts
    assert list(parse_experiment(facts["experiment"]).runs()) == [name]
    assert facts["results"].keys() == METHODS.keys()
    assert scores.sizes["image"] == facts["dataset"]["images"]
    assert scores.sizes["region"] == facts["experiment"]["max_regions"] == 100
    assert facts["dataset"]["unreadable"] == scores.attrs["unreadable"] == {}
    assert scores.attrs["backbone"] == facts["experiment"]["backbones"][0]
    for method, settings in METHODS.items():
        predicted = predict_labels(scores, **settings).probability
        table = evaluate(predicted, scores.label, folds=scores.fold)
        for metric in table.index:
            assert facts["results"][method][metric]["estimate"] == pytest.approx(
                table.loc[metric].estimate
            )


def test_the_runs_that_the_book_uses_exist():
    networks = ("efficientnet_lite0", "efficientnet_lite2", "mobilenet_v2", "squeezenet1_1")
    wanted = {f"{dataset}-{name}" for dataset in ("twitter2", "oasis") for name in networks}
    assert wanted <= {path.name for path in RESULTS.iterdir()}
    bytes_in_all = sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file())
    assert bytes_in_all < 40_000_000  # inner heads' predictions are most of it
