"""Every figure of the book draws its data."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from arlib import figures
from arlib.figures.style import NEGATIVE, POSITIVE, draw_intervals, new_figure

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
BOXES = np.array([[1, 2, 11, 12], [3, 3, 9, 9], [0, 0, 30, 20], [5, 1, 8, 4]])


def line(axes, label):
    (drawn,) = [each for each in axes.get_lines() if each.get_label() == label]
    return drawn.get_xdata(), drawn.get_ydata()


def test_edges_below_their_images():
    edges = {"a": RNG.random((20, 30)), "b": np.zeros((20, 30))}
    panels = figures.show_edges({"a": IMAGE, "b": IMAGE}, edges).axes
    assert [panel.get_title() for panel in panels] == ["a", "b", "", ""]
    pixels = panels[2].images[0].get_array()
    assert pixels.argmin() == edges["a"].argmax()
    assert (panels[3].images[0].get_array() == 1).all()


@pytest.mark.parametrize("methods", [1, 2, 3, 4])
def test_proposals_a_panel_a_method(methods):
    boxes = {f"m{i}": BOXES[: i + 1] for i in range(methods)}
    panels = [p for p in figures.show_proposals(IMAGE, boxes).axes if p.get_title()]
    assert [panel.get_title() for panel in panels] == list(boxes)
    assert [len(panel.patches) for panel in panels] == [2 * (i + 1) for i in range(methods)]


def test_objectness_against_rank():
    (axes,) = figures.plot_objectness({"cup": np.array([0.9, 0.5]), "cat": np.array([0.4])}).axes
    x, y = line(axes, "cup")
    assert (x.tolist(), y.tolist()) == ([1, 2], [0.9, 0.5])


def test_recall_curves():
    curves = pd.DataFrame({"A": [0.1, 0.5], "B": [0.0, 0.3]}, index=[1, 100])
    (axes,) = figures.plot_recall(curves, iou=0.7).axes
    assert line(axes, "B")[1].tolist() == [0.0, 0.3]
    assert axes.get_ylabel() == "recall at IoU 0.7"
    assert axes.get_xscale() == "log"


def test_sentiment_curves():
    p = np.linspace(0, 1, 5)
    (axes,) = figures.plot_sentiment_score({"base e": p**2, "base 2": p}, p).axes
    assert line(axes, "base e")[1].tolist() == (p**2).tolist()


def test_sentiment_scores_as_densities():
    (axes,) = figures.plot_confidence(RNG.random(100), RNG.random(900), (0, 1)).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "regions",
        "full images",
    ]
    area = sum(bar.get_height() * bar.get_width() for bar in axes.containers[0])
    assert area == pytest.approx(1)


def test_accuracy_by_score():
    table = pd.DataFrame(
        {"score": [0.3, 0.6], "accuracy": [0.5, 0.9], "low": [0.4, 0.8], "high": [0.6, 1.0]}
    )
    (axes,) = figures.plot_accuracy_by_score(table, 0.7).axes
    points = axes.containers[0].lines[0]
    assert points.get_ydata().tolist() == [0.5, 0.9]
    assert line(axes, "always the commonest label")[1] == [0.7, 0.7]


def test_plane_marks_the_chosen():
    obj, senti = RNG.random(200), RNG.random(200)
    chosen = np.arange(200) < 5
    axes = figures.plot_plane(obj, senti, chosen, alpha=1.0).axes[0]
    x, y = line(axes, "chosen")
    assert x.tolist() == obj[:5].tolist()
    assert y.tolist() == senti[:5].tolist()


def test_plane_where_every_region_is_chosen():
    obj, senti = RNG.random(20), RNG.random(20)
    (axes,) = figures.plot_plane(obj, senti, np.full(20, True), alpha=1000.0).axes
    assert line(axes, "chosen")[0].tolist() == obj.tolist()


def test_an_interval_need_not_lie_around_its_estimate():
    _, axes = new_figure(height=2)
    table = pd.DataFrame({"gain": [0.5], "low": [0.1], "high": [0.3]})
    draw_intervals(axes, table, "gain", label="gain")
    (bar,) = axes.collections
    np.testing.assert_allclose(bar.get_segments()[0][:, 0], [0.1, 0.3])
    assert line(axes, "gain")[0].tolist() == [0.5]


def test_overlap_lines():
    shares = pd.DataFrame({"objectness": [1, 0.2], "sentiment": [0.1, 0.8]}, index=[0, 1])
    (axes,) = figures.plot_overlap(shares).axes
    assert line(axes, "also chosen by sentiment")[1].tolist() == [0.1, 0.8]


def test_selected_regions_a_panel_a_rule():
    panels = figures.show_selection({"a": BOXES[:1], "b": BOXES[:2]}, BOXES).axes
    assert [panel.get_title() for panel in panels] == ["a", "b"]
    assert [[t.get_text() for t in panel.texts] for panel in panels] == [["1"], ["1", "2"]]
    assert panels[0].get_xlim() == (0, 30)
    assert panels[0].get_ylim() == (20, 0), "y runs downwards, as in an image"


def test_label_changes():
    table = pd.DataFrame({"could": [0.0, 0.4], "did": [0.0, 0.1]}, index=[0.0, 0.5])
    (axes,) = figures.plot_label_changes(table).axes
    assert line(axes, "changed")[1].tolist() == [0.0, 0.1]
    assert line(axes, "could change at most")[0].tolist() == [0.0, 0.5]


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_decision_line_is_where_eq_3_is_even(beta):
    from arlib.method import late_fusion

    full, regions, label = np.array([0.2, 0.9]), np.array([0.4, 0.8]), np.array([1, 0])
    (axes,) = figures.plot_decision(full, regions, label, beta).axes
    assert line(axes, "labelled positive")[0].tolist() == [0.9]
    assert line(axes, "labelled negative")[1].tolist() == [0.4]
    x, y = line(axes, f"Eq. 3 decides, beta = {beta:g}")
    both = np.stack([x, 1 - x], -1), np.stack([y, 1 - y], -1)[:, None]
    np.testing.assert_allclose(late_fusion(*both, beta) @ [1, -1], 0, atol=1e-12)
    colours = {one.get_label(): one.get_color() for one in axes.get_lines()}
    assert colours["labelled positive"] == POSITIVE
    assert colours["labelled negative"] == NEGATIVE


def test_decision_without_regions_has_one_line():
    half = np.array([0.5])
    (axes,) = figures.plot_decision(half, half, np.array([0]), 0.0).axes
    assert not [one for one in axes.get_lines() if one.get_label().startswith("Eq. 3")]


RULES = ["obj + senti (Eq. 2)", "obj", "senti", "grid", "ten-crop", "random regions", "all regions"]


def curves(rules):
    """Accuracies over K = 1, 2, 5, with intervals."""
    accuracy = RNG.uniform(0.4, 0.6, (len(rules), 3))
    return xr.Dataset(
        {
            name: (("rule", "k"), accuracy + shift)
            for name, shift in {"accuracy": 0, "low": -0.1, "high": 0.2}.items()
        },
        coords={"rule": rules, "k": [1, 2, 5]},
    )


def test_curves_a_panel_a_column():
    columns = {name: curves(RULES) for name in ("one", "two", "three")}
    majority = {"one": 0.5, "two": 0.75, "three": 0.25}
    figure = figures.plot_curves(columns, majority)
    figure.draw_without_rendering()
    *panels, empty = figure.axes
    assert [panel.get_title(loc="left") for panel in panels] == list(columns)
    assert not empty.axison
    for panel, found, rate in zip(panels, columns.values(), majority.values(), strict=True):
        for rule in RULES:
            k, accuracy = line(panel, rule)
            assert list(k) == [1, 2, 5]
            np.testing.assert_allclose(accuracy, 100 * found.accuracy.sel(rule=rule))
        assert line(panel, "majority")[1] == [100 * rate] * 2
        (band,) = panel.collections
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices.round(9).tolist()}
        for bound in ("low", "high"):
            heights = (100 * found[bound].isel(rule=0)).values.round(9).tolist()
            assert set(zip([1, 2, 5], heights, strict=True)) <= corners


def test_one_column_of_curves_is_one_panel():
    (axes,) = figures.plot_curves({"one": curves(RULES)}, {"one": 0.5}).axes
    assert axes.get_title(loc="left") == "one"


def test_a_selection_rule_looks_the_same_in_every_column():
    """Columns that were measured without controls, and with other ones."""
    few, some = [RULES[0], *RULES[-2:]], [*RULES[:3], *RULES[4:]]
    columns = {"few": curves(few), "some": curves(some), "all": curves(RULES)}
    figure = figures.plot_curves(columns, dict.fromkeys(columns, 0.5))
    looks = {}
    for panel in figure.axes[:3]:
        for one in panel.get_lines():
            look = (one.get_color(), one.get_marker(), one.get_linestyle(), one.get_linewidth())
            looks.setdefault(one.get_label(), set()).add(look)
    assert set(looks) == {*RULES, "majority"}
    assert all(len(kinds) == 1 for kinds in looks.values())
    assert len(set.union(*looks.values())) == len(looks), "two rules look alike"
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == set(looks)
    assert len(legend.get_texts()) == len(looks)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_sweep_maps_have_alpha_upwards_and_one_scale(n):
    values = RNG.uniform(-0.2, 0.1, (n, 2, 3))
    maps = {
        f"column {number}": xr.DataArray(
            table, dims=("alpha", "beta"), coords={"alpha": [0, 1], "beta": [0, 0.5, 1]}
        ).transpose("beta", "alpha")
        for number, table in enumerate(values)
    }
    figure = figures.plot_sweeps(maps)
    figure.draw_without_rendering()
    panels = [panel for panel in figure.axes if panel.get_title(loc="left")]
    assert [panel.get_title(loc="left") for panel in panels] == list(maps)
    most = 100 * np.abs(values).max()
    for panel, table in zip(panels, values, strict=True):
        (mesh,) = panel.collections
        np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(2, 3), 100 * table)
        np.testing.assert_allclose(mesh.get_clim(), (-most, most))
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("beta", "alpha")
        low, high = panel.get_ylim()
        assert low < high


def test_rows_of_images_are_side_by_side():
    images = RNG.integers(0, 256, (3, 10, 12, 3), dtype=np.uint8)
    panels = figures.show_rows({"a": images, "b": images[::-1]}).axes
    assert [panel.get_title(loc="left") for panel in panels] == ["a", "b"]
    row = panels[1].images[0].get_array()
    assert row.shape == (10, 36, 3)
    assert (row[:, :12] == images[2]).all()


def test_learning_curves_and_chance():
    curve = pd.DataFrame({"step": [9, 19], "val_accuracy": [0.5, 0.75]})
    (axes,) = figures.plot_learning({"a": curve}, chance=0.25).axes
    steps, accuracy = line(axes, "a")
    assert list(steps) == [10, 20]
    assert list(accuracy) == [0.5, 0.75]
    assert set(line(axes, "chance")[1]) == {0.25}


def test_differences_and_their_intervals():
    rows = {"a": [0.1, -0.1, 0.4], "b": [-0.2, -0.3, -0.1]}
    table = pd.DataFrame(rows, index=["difference", "low", "high"]).T
    (axes,) = figures.plot_differences(table, "AUC").axes
    assert list(axes.lines[-2].get_xdata()) == [0.1, -0.2]
    (bars,) = axes.containers
    ends = [segment[:, 0].tolist() for segment in bars[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[-0.1, 0.4], [-0.3, -0.1]])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    assert axes.yaxis_inverted(), "the first row is on top"


def test_reliability_beside_the_diagonal():
    table = pd.DataFrame({"confidence": [0.6, 0.9], "accuracy": [0.5, 1.0]})
    (axes,) = figures.plot_reliability({"a": table}).axes
    confidence, accuracy = line(axes, "a")
    assert list(zip(confidence, accuracy, strict=True)) == [(0.6, 0.5), (0.9, 1.0)]


def test_gains_and_their_means():
    gains = pd.DataFrame({"share": [0, 0, 1], "gain": [0.1, 0.3, 0.5]})
    summary = pd.DataFrame(
        {"mean": [0.2, 0.5], "low": [0.1, 0.4], "high": [0.3, 0.6]}, index=[0, 1]
    )
    (axes,) = figures.plot_gain(gains, summary).axes
    assert list(line(axes, "a seed")[1]) == [0.1, 0.3, 0.5]
    (bars,) = axes.containers
    assert list(bars[0].get_ydata()) == [0.2, 0.5]
