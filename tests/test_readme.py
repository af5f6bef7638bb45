"""The README's tables are those of the recorded runs, and what it names exists."""

import re
from pathlib import Path

import numpy as np
import pytest

from arlib.evaluation import evaluate, methods, paper_table, table1
from arlib.experiments import open_run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "book" / "results"
TITLES = {"twitter2": "Twitter II", "oasis": "OASIS"}
NETWORKS = {
    "efficientnet_lite0": "EfficientNet-Lite0",
    "efficientnet_lite2": "EfficientNet-Lite2",
    "mobilenet_v2": "MobileNetV2",
    "squeezenet1_1": "SqueezeNet 1.1",
}
FULL, FUSED = "VGGNet + ft", "VGGNet + ft + obj + senti + lf (K)"


@pytest.fixture(scope="module")
def frozen():
    """(dataset, network) -> Table 1 of a frozen run, K = 8 in its last row."""
    names = [(dataset, backbone) for dataset in TITLES for backbone in NETWORKS]
    runs = {name: open_run(RESULTS / "-".join(name)).load() for name in names}
    return {name: next(iter(table1([run], methods(ks=[8])).values())) for name, run in runs.items()}


@pytest.fixture(scope="module")
def chosen():
    """Folder -> Table 1 of a frozen run, K chosen on the other folds in its last row."""
    folders = ["-".join((dataset, backbone)) for dataset in TITLES for backbone in NETWORKS]
    return table1([open_run(RESULTS / folder).load() for folder in folders])


@pytest.fixture(scope="module")
def tuned():
    """Folder -> Table 1 of a fine-tuned run."""
    folders = sorted(RESULTS.glob("*-ft*"))
    return table1([open_run(folder).load() for folder in folders])


def interval(row, name, scale=100, form=".1f"):
    """An estimate with its limits, where it has any."""
    low = {"accuracy": "low", "balanced_accuracy": "balanced_low"}.get(name, f"{name}_low")
    number, *limits = (scale * row[each] for each in (name, low, low.replace("low", "high")))
    if np.isnan(limits[0]):
        return f"{number:{form}}"
    return f"{number:{form}} [{limits[0]:{form}}, {limits[1]:{form}}]"


def split(row, of=""):
    p = f"{row[f'{of}p']:.3f}".replace("nan", "–")
    return f"{row[f'{of}corrected']:.0f} : {row[f'{of}degraded']:.0f} ({p})"


def frozen_table(frozen):
    """Write the README's table of frozen networks."""
    heads = [
        *("dataset", "network", "majority", "accuracy, full image", "fused", "gain"),
        *("balanced accuracy, full image", "gain", "AUC, full image", "gain"),
        *("corrected : degraded (p)", "at matched thresholds", "found with 80 % power"),
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (dataset, backbone), table in frozen.items():
        full, row = table.loc[FULL], table.loc[FUSED]
        cells = [
            *(TITLES[dataset], NETWORKS[backbone], f"{row.majority:.1%}"),
            *(interval(each, "accuracy") for each in (full, row)),
            interval(row, "gain", form="+z.1f"),
            interval(full, "balanced_accuracy"),
            interval(row, "balanced_gain", form="+z.1f"),
            interval(full, "auc", 1, ".3f"),
            interval(row, "auc_gain", 1, "+z.3f"),
            *(split(row), split(row, "matched_"), f"{100 * row.detectable:.1f}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


ROWS = {
    "SentiBank": "SentiBank",
    "PCNN + VGGNet": "PCNN",
    "VGGNet": "network alone",
    "VGGNet + ft": "+ ft",
    "VGGNet + ft, threshold chosen": "+ ft, threshold chosen",
    "VGGNet + ft + obj + senti + ff (K = 1)": "+ ff (K = 1)",
    "VGGNet + ft + obj + senti + lf (K)": "+ lf (K)",
}


def tuned_table(tuned):
    """Write the README's Table 1 of photographs from every fine-tuned recorded run."""
    heads = ["run", "majority", *ROWS.values(), "+ lf minus + ft"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, column in tuned.items():
        cells = [name, f"{100 * column.majority.max():.1f}"]
        for method in ROWS:
            row = column.loc[method]
            if np.isnan(row.accuracy):
                cells.append("–")
                continue
            marks = ("*" if row.p_holm < 0.05 else "") + row["mark"][:1]
            others = f"{100 * row.balanced_accuracy:.1f}, {row.auc:.3f}"
            cells.append(f"{interval(row, 'accuracy')}{marks}; {others}")
        row = column.loc[FUSED]
        gains = (
            interval(row, "gain", form="+z.1f"),
            interval(row, "balanced_gain", form="+z.1f"),
            interval(row, "auc_gain", 1, "+z.3f"),
        )
        lines.append(f"| {' | '.join([*cells, '; '.join(gains)])} |")
    return "\n".join(lines)


def between(mark):
    text = (ROOT / "README.md").read_text()
    return text.partition(f"<!-- {mark} -->")[2].partition(f"<!-- /{mark} -->")[0].strip()


def test_the_table_is_that_of_the_frozen_runs(frozen):
    assert between("results") == frozen_table(frozen)


def test_table_1_is_that_of_the_fine_tuned_runs(tuned):
    assert between("table1") == tuned_table(tuned)


def test_its_statements_about_the_frozen_runs_hold(frozen):
    """The words below the first table; seven of its comparisons can be tested."""
    text = " ".join((ROOT / "README.md").read_text().split())
    gain = frozen["oasis", "mobilenet_v2"].loc[FUSED]
    assert (gain.corrected, gain.degraded) == (33, 13)
    assert sum(not np.isnan(table.p[FUSED]) for table in frozen.values()) == 7
    assert gain.p < 0.05 / 7
    assert gain.auc_gain_low < 0 < gain.auc_gain_high
    assert (gain.matched_corrected, gain.matched_degraded) == (29, 29)
    assert f"{split(gain)}, is one of the threshold 0.5" in text
    assert f"matched on the other folds it is {split(gain, 'matched_')}" in text
    assert all(
        not table.p[FUSED] < 0.05 / 7
        for name, table in frozen.items()
        if name != ("oasis", "mobilenet_v2")
    )
    assert all(table.auc_p[FUSED] > 0.05 for table in frozen.values())
    harm = frozen["oasis", "squeezenet1_1"].loc["VGGNet + ft + senti + lf (K = 1)"]
    assert harm.p_holm < 0.05
    assert harm.tests == 6
    counts = f"{harm.corrected:.0f} : {harm.degraded:.0f}"
    assert f"{counts}, Holm's p over the 6 rows that are tested {harm.p_holm:.3f}." in text
    control = 100 * frozen["oasis", "mobilenet_v2"].accuracy["VGGNet + ft, threshold chosen"]
    assert f"its threshold chosen on the other folds, reaches {control:.1f} %" in text
    assert control <= 100 * frozen["oasis", "mobilenet_v2"].accuracy[FULL]
    early = [table.loc["VGGNet + ft + obj + senti + ff (K = 1)"] for table in frozen.values()]
    assert all(row.gain < 0 for row in early)
    assert sum(row.p_holm < 0.05 for row in early) == len(early) - 1 == 7


def test_the_first_page_s_statements_about_frozen_networks_hold(frozen, chosen):
    text = " ".join((ROOT / "book" / "index.md").read_text().split())
    better = {name: t.loc[FUSED] for name, t in frozen.items() if t.p[FUSED] < 0.05}
    assert list(better) == [("oasis", "mobilenet_v2")]
    (row,) = better.values()
    counts = f"{row.corrected:.0f} against {row.degraded:.0f} (p = {row.p:.3f})"
    assert f"in one of the eight: MobileNetV2 on OASIS, {counts}" in text
    corrected, degraded = row.matched_corrected, row.matched_degraded
    assert f"{corrected:.0f} labels are corrected and {degraded:.0f} degraded" in text
    assert len(chosen) == 8
    assert not any(table.p[FUSED] < 0.05 for table in chosen.values())


def test_its_statements_about_twitter_2_hold(frozen, tuned):
    """The AUC lies above chance, the accuracy on the line."""
    tables = [table for (dataset, _), table in frozen.items() if dataset == "twitter2"]
    tables += [table for name, table in tuned.items() if name.startswith("twitter2")]
    for table in tables:
        assert table.auc_low[FULL] > 0.5
        assert not (table.low > table.majority).any()
    assert len(tables) == 9


def test_its_statements_about_the_last_row_hold(chosen, tuned):
    everything = chosen | tuned
    last = [table.loc[FUSED] for table in everything.values()]
    assert len(last) == 16
    assert all(not row.p_holm < 0.05 and not row.auc_p_holm < 0.05 for row in last)
    text = " ".join((ROOT / "README.md").read_text().split())
    most = 100 * max(row.gain_high for row in last)
    assert f"no interval of such a gain of accuracy reaches beyond {most:+.1f} points" in text
    powers = [100 * row.detectable for row in last]
    assert f"gains of {min(powers):.1f} to {max(powers):.1f} points" in text
    paper = paper_table()
    claimed = 100 * (paper.loc[FUSED] - paper.loc[FULL])
    assert f"last row gains {claimed.min():.1f} to {claimed.max():.1f}" in text


def test_the_page_on_intervals_names_twitter_2s_auc_put_together_and_within_folds(frozen):
    run = open_run(RESULTS / "twitter2-mobilenet_v2")
    pooled = evaluate(run.scores.global_probability, run.scores.label).estimate["auc"]
    within = frozen["twitter2", "mobilenet_v2"].auc[FULL]
    page = (ROOT / "book" / "guide" / "intervals.md").read_text()
    assert f"is {pooled:.3f}, within folds {within:.3f}" in page


def test_every_path_and_target_that_it_names_exists():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"(?:book|src|tests)/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path
    targets = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines()}
    named = set(re.findall(r"(?:`|^)make (\w+)", text, re.MULTILINE))
    assert {"book", "test"} <= named <= targets
