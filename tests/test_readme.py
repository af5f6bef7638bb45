"""The README's tables are those of the recorded runs, and what it names exists."""

import re
from pathlib import Path

from scipy.stats import binomtest

from arlib.evaluation import label_changes, table1
from arlib.experiments import open_run
from arlib.method import predict_labels

ROOT = Path(__file__).parents[1]
TITLES = {"twitter2": "Twitter II", "oasis": "OASIS"}
NETWORKS = {"mobilenet_v2": "MobileNetV2", "squeezenet1_1": "SqueezeNet 1.1"}
SETTINGS = ("full image", "+ obj + senti (K = 8)")


def changed(scores):
    """Count what fusing 8 regions changes, with McNemar's exact p."""
    before = predict_labels(scores, 1, beta=0.0).label.values
    change = label_changes(before, predict_labels(scores, 8).label.values, scores.label.values)
    n = change.corrected + change.degraded
    return change, binomtest(change.corrected, n).pvalue if n else 1.0


def table():
    """Write the README's table from run.json of every recorded run."""
    lines = [
        "| dataset | network | majority | accuracy, full image | fused | AUC, full image | fused "
        "| labels corrected : degraded (p) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for dataset, title in TITLES.items():
        for backbone, network in NETWORKS.items():
            run = open_run(ROOT / "book" / "results" / f"{dataset}-{backbone}")
            cells = [title, network, f"{run.facts['dataset']['majority']:.1%}"]
            rows = [run.facts["results"][setting] for setting in SETTINGS]
            for row in rows:
                a = {name: 100 * row["accuracy"][name] for name in ("estimate", "low", "high")}
                cells.append(f"{a['estimate']:.1f} [{a['low']:.1f}, {a['high']:.1f}]")
            cells += [f"{row['auc']['estimate']:.3f}" for row in rows]
            change, p = changed(run.scores)
            cells.append(f"{change.corrected} : {change.degraded} ({p:.3f})")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


ROWS = {
    "SentiBank": "SentiBank",
    "PCNN + VGGNet": "PCNN",
    "VGGNet": "network alone",
    "VGGNet + ft": "+ ft",
    "VGGNet + ft + obj + senti + ff (K = 1)": "+ ff (K = 1)",
    "VGGNet + ft + obj + senti + lf (K)": "+ lf (K)",
}


def photograph_table():
    """Write the README's Table 1 of photographs from every fine-tuned recorded run."""
    lines = [f"| run | majority | {' | '.join(ROWS.values())} |", "|---" * (len(ROWS) + 2) + "|"]
    for folder in sorted((ROOT / "book" / "results").glob("*-ft*")):
        (column,) = table1([open_run(folder).load()]).values()
        cells = [folder.name, f"{100 * column.majority.max():.1f}"]
        for name in ROWS:
            row = column.loc[name]
            star = "*" if row.p_holm < 0.05 else ""
            numbers = (100 * row[["accuracy", "low", "high"]].astype(float)).round(1)
            cells.append("{:.1f} [{:.1f}, {:.1f}]".format(*numbers) + star)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_table_1_is_that_of_the_fine_tuned_runs():
    text = (ROOT / "README.md").read_text()
    shown = text.partition("<!-- table1 -->")[2].partition("<!-- /table1 -->")[0].strip()
    assert shown == photograph_table()


def test_the_table_is_that_of_the_recorded_runs():
    text = (ROOT / "README.md").read_text()
    printed = text.partition("<!-- results -->")[2].partition("<!-- /results -->")[0].strip()
    assert printed == table()


def test_its_statements_about_the_runs_hold():
    for backbone in NETWORKS:
        facts = open_run(ROOT / "book" / "results" / f"twitter2-{backbone}").facts
        for row in facts["results"].values():
            accuracy = row["accuracy"]
            assert accuracy["low"] < accuracy["majority"] < accuracy["high"]
        facts = open_run(ROOT / "book" / "results" / f"oasis-{backbone}").facts
        accuracy = facts["results"]["full image"]["accuracy"]
        assert accuracy["low"] > accuracy["majority"]
    helped, p = changed(open_run(ROOT / "book" / "results" / "oasis-mobilenet_v2").scores)
    assert helped.corrected > helped.degraded
    assert p < 0.05 / 4
    hurt, p = changed(open_run(ROOT / "book" / "results" / "oasis-squeezenet1_1").scores)
    assert hurt.corrected < hurt.degraded
    assert p > 0.05 / 4


def test_every_path_and_target_that_it_names_exists():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"(?:book|src|tests)/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path
    targets = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines()}
    named = set(re.findall(r"(?:`|^)make (\w+)", text, re.MULTILINE))
    assert {"book", "test"} <= named <= targets
