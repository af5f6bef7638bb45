"""Table 1 on a page and as a figure: what is shown is what was computed."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from arlib.evaluation import Run, compare_rows, curves, methods, paper_table, table1
from arlib.figures import (
    plot_curves,
    plot_fusion_gains,
    plot_pairs,
    plot_sensitivity,
    plot_table,
    table_html,
)
from arlib.figures.style import MARKERS
from arlib.figures.table1 import _grouped

NAMES = [method.name for method in methods()]
REFERENCE, LAST = "VGGNet + ft", "VGGNet + ft + obj + senti + lf (K)"
CONTROL = "VGGNet + ft, threshold chosen"
MEASURED, MISSING = ("SentiBank", "VGGNet"), "DeepSentiBank"
DRAWN, BARE = "scenes-folded", "<b>bold & brave</b>"
REASON = 'its features are <here> & "there", it\'s said'
FACTS = {
    "command": "arlib run <mine> -p 'k=8' && true",
    "commit": "abc123",
    "finished": "2018-05-06T07:08:09",
    "dataset": {"sha256": "d" * 64},
    "weights_sha256": "e" * 64,
}


@pytest.fixture(scope="module")
def runs(make_scores):
    """A run with measured rows and facts, and one of scores alone."""
    scores = make_scores(60, 6, seed=11)
    shares = np.random.default_rng(1).dirichlet([1, 1], (2, 60)).astype(np.float32)
    measured = xr.Dataset(
        {"probability": (("method", "image", "emotion"), shares)},
        coords={"method": np.array(MEASURED, object), "image": scores.image.values},
        attrs={"missing": {MISSING: REASON}},
    )
    bare = make_scores(45, 4, seed=12)
    return {DRAWN: Run(DRAWN, scores, measured, FACTS), BARE: Run(BARE, bare)}


@pytest.fixture(scope="module")
def tables(runs):
    return table1(runs.values())


@pytest.fixture(scope="module")
def html(tables, runs):
    return table_html(tables, runs)


def rows_of(html):
    """The page's table as an XML parser reads it, which refuses what is not closed or escaped."""
    return ET.fromstring(f"<page>{html}</page>").findall(".//tr")


@pytest.fixture(scope="module")
def cells(html, tables):
    """(method, column) -> the summary, and the details behind it."""
    cells = {}
    _, *rows, _ = rows_of(html)
    for method, row in zip(NAMES, rows, strict=True):
        for name, cell in zip(tables, row.findall("td"), strict=True):
            (details,) = cell
            summary, terms = details
            assert (details.tag, summary.tag, terms.tag) == ("details", "summary", "dl")
            pairs = zip(terms.findall("dt"), terms.findall("dd"), strict=True)
            lines = "; ".join(summary.itertext())
            cells[method, name] = lines, {term.text: text.text for term, text in pairs}
    return cells


def measured_cells(tables):
    return [
        (method, name)
        for name, table in tables.items()
        for method in NAMES
        if not np.isnan(table.accuracy[method])
    ]


def numbers(text):
    return [float(number) for number in re.findall(r"\d+\.?\d*(?:e-?\d+)?", text)]


def test_a_row_a_method_a_column_a_run_and_the_majority_below(html, tables):
    head, *rows, last = rows_of(html)
    assert [th.text for th in head] == ["accuracy, %", DRAWN, BARE]
    assert [row.find("th").text for row in rows] == NAMES
    assert [th.text for th in last.findall("th")] == ["always the commonest label"]
    expected = [f"{100 * table.majority[REFERENCE]:.1f}" for table in tables.values()]
    assert [td.text for td in last.findall("td")] == expected


def test_every_cell_opens(cells, html):
    assert len(cells) == len(NAMES) * 2
    assert html.count("<details>") == len(cells)
    assert "<script" not in html


def test_text_is_escaped(html, cells):
    """The parser gives it back as it was."""
    assert "<b>" not in html
    assert "<mine>" not in html
    assert {details["run"] for (_, name), (_, details) in cells.items() if name == BARE} == {BARE}
    assert cells[REFERENCE, DRAWN][1]["command"] == FACTS["command"]


def test_what_is_missing_is_a_dash_with_its_reason(cells, tables):
    measured = [method for method in NAMES if not method.startswith(REFERENCE) or "ff" in method]
    missing = set(cells) - set(measured_cells(tables))
    assert missing == {(method, BARE) for method in measured} | {
        (method, DRAWN) for method in measured if method not in MEASURED
    }
    for method, name in missing:
        summary, details = cells[method, name]
        assert summary == "–"
        assert details["why not"] == tables[name].note[method]
        assert "images" not in details
    assert cells[MISSING, DRAWN][1]["why not"] == REASON
    assert cells[MISSING, BARE][1]["why not"] == "not measured in this run: it holds scores alone"


def test_missing_numbers_are_not_written(html, tables):
    assert any(table.isna().any(axis=None) for table in tables.values())
    assert "nan" not in html.lower()


def test_where_one_emotion_alone_is_true_there_is_no_auc(runs):
    scores = runs[BARE].scores
    one = Run("one", scores.assign(label=scores.label.clip(max=0)))
    tables = table1([one])
    assert tables["one"].auc.isna().all()
    html = table_html(tables, {"one": one})
    assert "nan" not in html.lower()
    assert "balanced –, AUC –" in html


def test_where_no_row_is_measured_there_is_no_majority(tables, runs):
    empty = tables[BARE].assign(**dict.fromkeys(tables[BARE].columns.drop("note"), np.nan))
    html = table_html({BARE: empty}, runs)
    assert "nan" not in html.lower()
    assert rows_of(html)[-1].find("td").text == "–"


def test_the_numbers_are_the_tables(cells, tables):
    for method, name in measured_cells(tables):
        row, (summary, details) = tables[name].loc[method], cells[method, name]
        accuracy = 100 * row[["accuracy", "low", "high"]].to_numpy(float)
        expected = [*accuracy, 100 * row.balanced_accuracy, row.auc]
        np.testing.assert_allclose(numbers(summary), expected, atol=0.05001)
        assert numbers(details["images"]) == [row.images]
        balanced = 100 * row[["balanced_accuracy", "balanced_low", "balanced_high"]].to_numpy(float)
        np.testing.assert_allclose(numbers(details["balanced accuracy"]), balanced, atol=0.05001)
        area = row[["auc", "auc_low", "auc_high"]].dropna().to_numpy(float)
        np.testing.assert_allclose(numbers(details["AUC"]), area, atol=0.0005001)


def signed(text):
    return [float(number) for number in re.findall(r"[+-]\d+\.\d+", text)]


def test_changes_are_in_the_rows_that_are_compared(cells, tables):
    for method, name in measured_cells(tables):
        row, details = tables[name].loc[method], cells[method, name][1]
        assert ("labels" in details) == (method != REFERENCE)
        if method != REFERENCE:
            counts = [row.changed, row.corrected, row.degraded]
            assert numbers(details["labels"]) == counts
            gains = [100 * row[f"{of}gain{at}"] for of in ("", "balanced_") for at in LIMITS]
            gains += [row[f"auc_gain{at}"] for at in LIMITS]
            expected = [gain for gain in gains if not np.isnan(gain)]
            np.testing.assert_allclose(signed(details["gain"]), expected, atol=0.0501)
        assert ("Eq. 3 could change" in details) == ("lf" in method)
        if "lf" in method:
            assert numbers(details["Eq. 3 could change"]) == [row.could]


LIMITS = ("", "_low", "_high")
TESTS = {"McNemar": ("p", "tests"), "DeLong (AUC)": ("auc_p", "auc_tests")}


def test_what_was_tested_is_in_the_rows_that_are_tested(cells, tables):
    tested = 0
    for method, name in measured_cells(tables):
        row, details = tables[name].loc[method], cells[method, name][1]
        for term, (p, n) in TESTS.items():
            assert (term in details) == (not np.isnan(row[p]))
            if term in details:
                tested += 1
                expected = [row[p], row[n], row[f"{p}_holm"], row[f"{p}_columns"]]
                np.testing.assert_allclose(numbers(details[term]), expected, rtol=0.005)
        matched = details.get("at matched thresholds")
        assert (matched is None) == np.isnan(row.matched_p)
        if matched:
            expected = [row.matched_corrected, row.matched_degraded, row.matched_p]
            np.testing.assert_allclose(numbers(matched), expected, rtol=0.005)
        marked = row["mark"] != ""
        assert ("mark" in details) == marked
        assert cells[method, name][0].endswith(row["mark"])
        if not np.isnan(row.detectable):
            (points,) = numbers(details["found with 80 % power"])
            assert points == pytest.approx(100 * row.detectable, abs=0.0501)
    assert tested > 5


def test_k_picked_on_the_tested_images_is_in_the_last_row_alone(cells, tables):
    term = "K picked on the tested images"
    assert {key for key, (_, details) in cells.items() if term in details} == {
        (LAST, name) for name in tables
    }
    for name, table in tables.items():
        row, (k, accuracy) = table.loc[LAST], numbers(cells[LAST, name][1][term])
        assert k == row.picked_k
        assert accuracy == pytest.approx(100 * row.picked, abs=0.05001)
        assert cells[LAST, name][1]["note"] == row.note


def test_a_rows_method_is_named(cells, tables):
    refers = {method.name: method.refers for method in methods()}
    for method, name in measured_cells(tables):
        assert cells[method, name][1]["method"] == refers[method]


def test_every_cell_has_its_provenance(cells):
    for (_, name), (_, details) in cells.items():
        facts = FACTS if name == DRAWN else {}
        for fact in ("command", "commit", "finished"):
            assert details[fact] == facts.get(fact, "not recorded")
        assert details["data, SHA-256"] == ("d" * 64 if facts else "not recorded")
        assert details["weights, SHA-256"] == ("e" * 64 if facts else "not recorded")


def test_weights_recorded_in_the_scores_are_named(tables, runs):
    scores = runs[BARE].scores.assign_attrs(weights_sha256="f" * 64)
    html = table_html({BARE: tables[BARE]}, {BARE: replace(runs[BARE], scores=scores)})
    assert html.count("f" * 64) == len(NAMES)


def test_of_a_network_a_fold_the_weights_are_abbreviated(tables, runs):
    facts = {**FACTS, "weights_sha256": {"1": "a" * 64, "2": "b" * 64}}
    html = table_html({DRAWN: tables[DRAWN]}, {DRAWN: replace(runs[DRAWN], facts=facts)})
    both = f"fold 1: {'a' * 12}…, fold 2: {'b' * 12}…"
    assert html.count(f"<dd>{both}</dd>") == len(NAMES)


def line(axes, label):
    return [drawn for drawn in axes.get_lines() if drawn.get_label() == label]


def bars(container):
    """The horizontal intervals of an error bar: (row, end), NaN where there is none."""
    (segments,) = (part.get_segments() for part in container.lines[2])
    return np.array([segment[:, 0] if len(segment) else (np.nan, np.nan) for segment in segments])


def marks(panel):
    """The marks at the estimates."""
    (drawn,) = (each for each in panel.get_lines() if each.get_marker() == MARKERS[0])
    return drawn


@pytest.fixture(scope="module")
def drawn_table(tables):
    """Of the map: its columns, its rows, the number that each cell shows, and its colour's."""
    figure = plot_table(tables)
    figure.draw_without_rendering()
    return read_map(figure)


def read_map(figure):
    axes, bar = figure.axes
    assert bar.get_xlabel() == "points above the last column"
    columns = [label.get_text() for label in axes.get_xticklabels()]
    rows = [label.get_text().replace("\n", " · ") for label in axes.get_yticklabels()]
    shown = pd.DataFrame(np.nan, rows, columns)
    for text in axes.texts:
        x, y = text.get_position()
        shown.iloc[int(y), int(x)] = float(text.get_text())
    (tiles,) = axes.collections
    values = np.ma.filled(tiles.get_array(), np.nan).reshape(shown.shape)
    low, high = tiles.get_clim()
    assert low == -high, "white is no difference"
    return shown.T, pd.DataFrame(values, rows, columns).T


def test_the_map_holds_every_accuracy_and_the_papers_beside(drawn_table, tables):
    shown, _ = drawn_table
    paper = paper_table()
    assert shown.index.tolist() == [*NAMES, "always the commonest label"]
    assert shown.columns.tolist() == [*tables, *(f"the paper · {name}" for name in paper)]
    for name, table in tables.items():
        np.testing.assert_allclose(shown[name].iloc[:-1], 100 * table.accuracy, atol=0.5)
        assert shown[name].iloc[-1] == pytest.approx(100 * table.majority.max(), abs=0.5)
    theirs = 100 * paper.reindex(NAMES)
    np.testing.assert_allclose(shown.iloc[:-1, len(tables) :], theirs, atol=0.5)


def test_its_colours_are_what_accuracies_are_above_the_majority(drawn_table, tables):
    shown, worth = drawn_table
    for name, table in tables.items():
        expected = 100 * (table.accuracy - table.majority[REFERENCE])
        np.testing.assert_allclose(worth[name].iloc[:-1], expected)
    expected = 100 * (paper_table()["Twitter II"] - 470 / 603).reindex(NAMES)
    np.testing.assert_allclose(worth["the paper · Twitter II"].iloc[:-1], expected)
    assert worth["the paper · Flickr"].isna().all(), "its majority is not known"
    assert shown["the paper · Flickr"].notna().sum() == len(paper_table())


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("scenes-annotated, five agree", "Twitter I, five agree"),
        ("scenes-tagged", "Flickr"),
        ("twitter2-mobilenet_v2-ft", "Twitter II"),
        ("twitter1-four-vgg16-ft-vso", "Twitter I, four agree"),
        ("vso-held-out-vgg16-ft-vso", "Flickr"),
        (BARE, None),
    ],
)
def test_a_column_stands_for_one_of_the_papers_by_its_dataset(runs, name, column):
    (table,) = table1([replace(runs[BARE], name=name)]).values()
    assert table.attrs["paper"] == column


def test_a_column_is_called_by_its_title_on_the_page_and_in_the_figure(runs):
    words = {"dataset": "Twitter II", "network": "MobileNetV2 fine-tuned on the other folds"}
    named = {DRAWN: replace(runs[DRAWN], **words)}
    tables = table1(named.values())
    title = "Twitter II · MobileNetV2 fine-tuned on the other folds"
    assert rows_of(table_html(tables, named))[0].findall("th")[1].text == title
    shown, _ = read_map(plot_table(tables))
    assert shown.columns[0] == title
    part = named[DRAWN].labelled()
    (curve,) = plot_curves({DRAWN: curves(part)}, {DRAWN: 0.5}).axes
    assert curve.get_title(loc="left").splitlines()[0] == "Twitter II"


def test_gains_are_beside_their_settings():
    table = pd.DataFrame(
        {"gain": [0.01, -0.02, 0.0], "low": [-0.01, -0.05, 0.0], "high": [0.02, 0.01, 0.0]},
        index=["as set", "alpha = 0", "beta = 2"],
    )
    figure = plot_sensitivity(table)
    figure.draw_without_rendering()
    (panel,) = figure.axes
    (container,) = panel.containers
    np.testing.assert_allclose(marks(panel).get_xdata(), [1, -2, 0])
    np.testing.assert_allclose(bars(container), [[-1, 2], [-5, 1], [0, 0]])
    assert [label.get_text() for label in panel.get_yticklabels()] == table.index.tolist()
    assert marks(panel).get_ydata().tolist() == [0, 1, 2]
    low, high = panel.get_ylim()
    assert low > high, "the default is on top"
    assert [0, 0] in [list(drawn.get_xdata()) for drawn in panel.get_lines()]


def test_fusions_gains_are_above_the_papers(tables):
    figure = plot_fusion_gains(tables)
    figure.draw_without_rendering()
    (panel,) = figure.axes
    last = [table.loc["VGGNet + ft + obj + senti + lf (K)"] for table in tables.values()]
    labels = [(name.get_text(), name.get_fontweight()) for name in panel.get_yticklabels()]
    ours, theirs = labels[:-6], labels[-6:]
    assert theirs == [("the paper", "bold"), *((name, "normal") for name in paper_table())]
    lines = [number for number, (_, weight) in enumerate(ours) if weight == "normal"]
    heads = [next(name for name, bold in ours[number::-1] if bold == "bold") for number in lines]
    titles = [{head, ours[number][0]} - {""} for head, number in zip(heads, lines, strict=True)]
    assert titles == [set(table.attrs["title"].split(" · ")) for table in tables.values()]
    np.testing.assert_array_equal(marks(panel).get_ydata()[lines], lines)
    drawn = np.full(len(ours), np.nan)
    drawn[lines] = [100 * row.gain for row in last]
    np.testing.assert_allclose(marks(panel).get_xdata(), drawn)
    limits = [[100 * row.gain_low, 100 * row.gain_high] for row in last]
    np.testing.assert_allclose(bars(panel.containers[0])[lines], limits)
    (papers,) = (line for line in panel.get_lines() if line.get_marker() == "D")
    np.testing.assert_allclose(papers.get_xdata(), [2.38, 4.48, 3.40, 6.67, 0.76], atol=0.005)
    assert papers.get_ydata().tolist() == [*range(len(ours) + 1, len(labels))]
    low, high = panel.get_ylim()
    assert low > len(labels) - 1 > 0 > high


def test_a_column_without_a_gain_is_no_head(tables):
    without = {name: table.copy() for name, table in tables.items()}
    without[DRAWN].loc[LAST, ["gain", "gain_low", "gain_high"]] = np.nan
    weights = [
        [label.get_fontweight() for label in plot_fusion_gains(each).axes[0].get_yticklabels()]
        for each in (tables, without)
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("heads", "groups"),
    [
        ([], {}),
        ([("OASIS", "")], {"OASIS": [(0, "")]}),
        ([("A", "x"), ("B", "x"), ("B", "y")], {"x": [(0, "A"), (1, "B")], "B": [(2, "y")]}),
        ([("A", ""), ("B", "")], {"A": [(0, "")], "B": [(1, "")]}),
        ([("A", "x"), ("A", "y"), ("B", "y")], {"A": [(0, "x"), (1, "y")], "B": [(2, "y")]}),
        ([("A", "x"), ("B", "y"), ("A", "z")], {"A": [(0, "x"), (2, "z")], "B": [(1, "y")]}),
    ],
)
def test_columns_of_one_network_or_dataset_are_a_group(heads, groups):
    assert _grouped(heads) == groups


def test_pairs_of_rows_are_bands_on_one_axis(runs):
    pairs = {"a": (REFERENCE, LAST), "b": ("VGGNet", REFERENCE)}
    table = compare_rows(runs.values(), pairs)
    table.loc[("a", BARE), "p_holm"] = 0.01
    groups = {DRAWN: "scenes", BARE: "photographs"}
    figure = plot_pairs(table, {"a": [0.02, 0.05]}, groups)
    figure.draw_without_rendering()
    (panel,) = figure.axes
    paper, *_ = [each for each in panel.get_lines() if each.get_marker() == MARKERS[3]]
    assert paper.get_xdata().tolist() == [2, 5]
    marks = [each for each in panel.get_lines() if each.get_marker() in MARKERS[:2]]
    values = {float(each.get_xdata()[0]): each for each in marks}
    for (pair, column), row in table.iterrows():
        if np.isnan(row.gain):
            continue
        mark = values[100 * row.gain]
        assert mark.get_marker() == MARKERS[sorted(groups.values()).index(groups[column])]
        assert (mark.get_markerfacecolor() == "white") == ((pair, column) != ("a", BARE))
    lines = [each.get_ydata()[0] for each in marks]
    assert lines == sorted(lines), "columns in order, pair below pair"
    texts = [text.get_text() for text in panel.texts]
    assert texts == ["a", "b", "the paper", "photographs", "scenes"]
    low, high = panel.get_ylim()
    assert low > max(lines) > 0 > high, "the first pair is on top"


def test_without_the_papers_gains_or_tests_a_mark_is_filled_by_its_interval():
    index = pd.MultiIndex.from_product([["grid", "all regions"], [DRAWN, BARE]])
    gains = pd.DataFrame({"gain": [0.01, -0.02, 0.0, 0.03]}, index=index)
    table = gains.assign(gain_low=gains.gain - 0.015, gain_high=gains.gain + 0.015)
    (panel,) = plot_pairs(table, {}, dict.fromkeys((DRAWN, BARE), "photographs")).axes
    marks = [line for line in panel.get_lines() if line.get_marker() in MARKERS[:2]]
    assert [line.get_markerfacecolor() != "white" for line in marks] == [False, True, False, True]
    assert [text.get_text() for text in panel.texts] == ["grid", "all regions", "photographs"]
    above, *others = np.diff([0, *(line.get_ydata()[0] for line in marks)])
    assert others == pytest.approx([1, 2 + above, 1]), "a band is its name, its lines and a gap"
