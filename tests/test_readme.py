"""The README's tables are those of the recorded runs, and what it names exists."""

import re
from pathlib import Path

from scipy.stats import binomtest

from arlib.evaluation import column, label_changes
from arlib.experiments import open_run, open_run_results
from arlib.method import predict_labels

ROOT = Path(__file__).parents[1]
TITLES = {"twitter2": "Twitter II", "oasis": "OASIS"}
NETWORKS = {"mobilenet_v2": "MobileNetV2", "squeezenet1_1": "SqueezeNet 1.1"}
METHODS = ("full image", "+ obj + senti (K = 8)")


def fusion_changes(scores):
    """Labels that fusing 8 regions changes, and McNemar's exact p."""
    before = predict_labels(scores, 1, beta=0.0).label.values
    change = label_changes(before, predict_labels(scores, 8).label.values, scores.label.values)
    changes = change.fixed + change.broken
    return change, binomtest(change.fixed, changes).pvalue if changes else 1.0


def rows():
    """The rows of the README's table, from run.json of every recorded run."""
    lines = []
    for dataset, title in TITLES.items():
        for backbone, network in NETWORKS.items():
            scores, facts = open_run(ROOT / "book" / "results" / f"{dataset}-{backbone}")
            cells = [title, network, f"{facts['dataset']['majority']:.1%}"]
            results = [facts["results"][method] for method in METHODS]
            for row in results:
                a = {name: 100 * row["accuracy"][name] for name in ("estimate", "low", "high")}
                cells.append(f"{a['estimate']:.1f} [{a['low']:.1f}, {a['high']:.1f}]")
            cells += [f"{row['auc']['estimate']:.3f}" for row in results]
            change, p = fusion_changes(scores)
            cells.append(f"{change.fixed} : {change.broken} ({p:.3f})")
            lines.append(f"| {' | '.join(cells)} |")
    return lines


ROWS = {
    "SentiBank": "SentiBank",
    "PCNN + VGGNet": "PCNN",
    "VGGNet": "network alone",
    "VGGNet + ft": "+ ft",
    "VGGNet + ft + obj + senti + ff (K = 1)": "+ ff (K = 1)",
    "VGGNet + ft + obj + senti + lf (K)": "+ lf (K)",
}


def table1():
    """The README's Table 1 of photographs, from every fine-tuned recorded run."""
    lines = [f"| run | majority | {' | '.join(ROWS.values())} |", "|---" * (len(ROWS) + 2) + "|"]
    for folder in sorted((ROOT / "book" / "results").glob("*-ft*")):
        results = column(open_run_results(folder))
        cells = [folder.name, f"{100 * results.majority.max():.1f}"]
        for name in ROWS:
            row = results.loc[name]
            star = "*" if row.p_holm < 0.05 else ""
            numbers = (100 * row[["accuracy", "low", "high"]].astype(float)).round(1)
            cells.append("{:.1f} [{:.1f}, {:.1f}]".format(*numbers) + star)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_table_1_is_that_of_the_fine_tuned_runs():
    text = (ROOT / "README.md").read_text()
    table = text.partition("<!-- table1 -->")[2].partition("<!-- /table1 -->")[0].strip()
    assert table == table1()


def test_the_table_is_that_of_the_recorded_runs():
    text = (ROOT / "README.md").read_text()
    table = text.partition("<!-- results -->")[2].partition("<!-- /results -->")[0].strip()
    assert table.splitlines()[2:] == rows()  # below its heads


def test_its_statements_about_the_runs_hold():
    for backbone in NETWORKS:
        _, facts = open_run(ROOT / "book" / "results" / f"twitter2-{backbone}")
        for row in facts["results"].values():
            accuracy = row["accuracy"]
            assert accuracy["low"] < accuracy["majority"] < accuracy["high"]
        _, facts = open_run(ROOT / "book" / "results" / f"oasis-{backbone}")
        accuracy = facts["results"]["full image"]["accuracy"]
        assert accuracy["low"] > accuracy["majority"]
    helped, p = fusion_changes(open_run(ROOT / "book" / "results" / "oasis-mobilenet_v2")[0])
    assert helped.fixed > helped.broken
    assert p < 0.05 / 4
    hurt, p = fusion_changes(open_run(ROOT / "book" / "results" / "oasis-squeezenet1_1")[0])
    assert hurt.fixed < hurt.broken
    assert p > 0.05 / 4


def test_every_path_and_target_that_it_names_exists():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"(?:book|src|tests)/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path
    targets = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines()}
    named = set(re.findall(r"(?:`|^)make (\w+)", text, re.MULTILINE))
    assert {"book", "test"} <= named <= targets
