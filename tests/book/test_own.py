"""The chapters on images of one's own: many emotions, few images, no labels."""

import json
import shutil
from functools import partial
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.book.conftest import ROOT, run_cells, shown_values

from arlib import figures
from arlib._support.stores import write_store
from arlib.evaluation import LabelsNeeded
from arlib.publishing.chapters import execute_chapter
from arlib.scoring import save_scores

EMOTIONS = {
    6: ["anger", "disgust", "fear", "joy", "sadness", "surprise"],
    8: ["amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness"],
}


@pytest.fixture
def run(tmp_path, make_scores):
    """Return a function: it writes a run of random scores, and executes chapters on it."""

    def execute(m, chapters, labelled=True):
        scores = make_scores(40, 12, n_emotions=m)
        if m > 2:
            scores = scores.assign_coords(emotion=np.array(EMOTIONS[m], object))
        if not labelled:
            scores["label"] = scores.label * 0 - 1
        stage = tmp_path / "stage"
        shutil.copytree(ROOT / "src", stage / "src")
        save_scores(scores, stage / "results" / "own" / "scores.zarr")
        counts = {"images": 40, "regions": int(scores.objectness.notnull().sum())}
        labels = scores.label.values[scores.label.values >= 0]
        counts["majority"] = np.bincount(labels).max() / labels.size if labelled else None
        experiment = {"dataset": str(tmp_path), "backbones": ["efficientnet_lite0"]}
        facts = {"experiment": experiment, "dataset": counts}
        (stage / "results" / "own" / "run.json").write_text(json.dumps(facts))
        parameters = {"run": "own", "runs": ["own"]}
        parameters["base"] = "e" if m == 2 else "classes"
        for name in chapters:
            execute_chapter(ROOT / "book" / f"{name}.ipynb", stage / f"{name}.ipynb", parameters)
        return SimpleNamespace(
            scores=scores,
            read=lambda name: nbformat.read(stage / f"{name}.ipynb", as_version=4),
            shown=lambda name: shown_values(stage / f"{name}.ipynb"),
        )

    return execute


@pytest.mark.slow
def test_eight_emotions_go_through_every_chapter_that_takes_scores(run):
    done = run(8, CHAPTERS)
    positive = np.isin(EMOTIONS[8], ["amusement", "awe", "contentment", "excitement"])
    label = done.scores.label.values
    found = done.shown("03_sentiment_score")
    assert found["side"] == "positive"
    assert found["truly:.0%"] == f"{positive[label[label >= 0]].mean():.0%}"
    region = done.scores.region_probability.values[..., positive].sum(-1)
    assert found["leaning:.0%"] == f"{(region[~np.isnan(region)] > 0.5).mean():.0%}"
    global_ = done.scores.global_probability.values[:, positive].sum(-1)
    assert done.shown("05_fusion")["full_mean:.3f"] == f"{global_.mean():.3f}"
    found = done.shown("06_experiments")
    assert found["numbers.gain.count()"] == "2"  # polarity, and the eight emotions
    found = done.shown("06a_regions")
    assert found["(labels >= 0).sum().item()"] == str((label >= 0).sum())
    assert done.shown("06c_claims")["len(columns)"] == "2"


@pytest.mark.slow
def test_six_emotions_likewise(run):
    done = run(6, ["03_sentiment_score", "05_fusion"])
    joyful = done.scores.global_probability.values[:, [3, 5]].sum(-1)
    assert done.shown("05_fusion")["full_mean:.3f"] == f"{joyful.mean():.3f}"


UNLABELLED = ("03_sentiment_score", "04_affective_regions", "05_fusion")
UNLABELLED += ("06_experiments", "06a_regions", "06b_open")


@pytest.mark.parametrize(
    "chapters",
    [("03_sentiment_score", "06_experiments"), pytest.param(UNLABELLED, marks=pytest.mark.slow)],
    ids=["two", "all"],
)
def test_without_labels_a_chapter_ends_where_it_needs_them(run, chapters):
    done = run(2, chapters, labelled=False)
    for name in [each for each in chapters if each != "04_affective_regions"]:
        last = [cell for cell in done.read(name).cells if cell.cell_type == "markdown"][-1]
        assert "This chapter ends here" in last.source, name
        assert "of the run's 40 images none has one" in last.source
        source = ROOT / "book" / f"{name}.ipynb"
        assert len(done.read(name).cells) < len(nbformat.read(source, as_version=4).cells)
        for cell in done.read(name).cells:
            assert not any(o.output_type == "error" for o in cell.get("outputs", []))
    assert "leaning:.0%" in done.shown("03_sentiment_score")  # what needs no labels is there
    glued = {
        "06_experiments": "ch06-answer",  # which the first page shows
        "06a_regions": "ch06a-answer",
        "06b_open": "ch06-sensitivity",  # which the page of departures shows
    }
    for name in glued.keys() & {*chapters}:
        assert glued[name] in done.shown(name)  # or the site does not build
    if "04_affective_regions" in chapters:
        complete = done.read("04_affective_regions")
        assert all("ends here" not in cell.source for cell in complete.cells)
        assert "changed:.1%" in done.shown("05_fusion")


def test_without_labels_every_chapter_but_the_fourth_needs_them(run, tmp_path, monkeypatch):
    """Those that the test above has no time for, without a kernel."""
    run(2, [], labelled=False)
    monkeypatch.chdir(tmp_path / "stage")
    parameters = {"run": "own", "runs": ["own"]}
    said, *_ = run_cells("04_affective_regions", parameters)
    assert 0 <= float(said['f"{share:.0%}"'].rstrip("%")) <= 100
    for name in {*UNLABELLED} - {"03_sentiment_score", "04_affective_regions", "06_experiments"}:
        with pytest.raises(LabelsNeeded, match="of the run's 40 images none has one"):
            run_cells(name, parameters)


CHAPTERS = ("03_sentiment_score", "04_affective_regions", "05_fusion", "06c_claims")
CHAPTERS += ("06a_regions", "06b_open", "06_experiments")
FEW = {
    "three images a class": ([0, 1] * 3, [1, 1, 2, 2, 3, 3]),
    "one image of a class": ([0, *[1] * 11], [-1] * 12),
    "one class": ([1] * 12, [1, 2, 3, 4] * 3),
    "one image a fold": ([0, 1] * 3, range(1, 7)),
    "two labels": ([0, 1, -1, -1], [-1] * 4),
    "one label": ([0, -1, -1], [-1] * 3),
}


@pytest.mark.parametrize(
    "few",  # two labels have neither as many images of a class nor as many folds
    [pytest.param(few, marks=[pytest.mark.slow] * (few == "one image of a class")) for few in FEW],
)
def test_few_images_go_through_every_chapter_that_takes_scores(
    few, make_scores, tmp_path, monkeypatch
):
    """No chapter fails or warns, no table or text shows a NaN, and what was left out is named.

    One of them has fewer regions than K = 8, in one image none.
    """
    labels, folds = FEW[few]
    regions = 5 if few == "three images a class" else 12
    scores = make_scores(len(labels), regions, missing=False)
    if regions < 8:
        for name in ("objectness", "box", "region_probability"):
            scores[name][0] = np.nan
    scores["label"] = "image", np.array(labels, np.int8)
    scores["fold"] = "image", np.array(folds, np.int8)
    folder = tmp_path / "results" / "own"
    save_scores(scores, folder / "scores.zarr")
    asked = {"SentiBank": "not asked for: -p rows all", "controls": "not asked for: -p rows c"}
    coords = {"method": [], "image": scores.image.values.astype(object)}
    beside = xr.Dataset(coords=coords, attrs={"missing": asked})
    write_store(beside, folder / "baselines.zarr")
    counts = {"images": len(labels), "regions": 12 * len(labels), "majority": 0.5}
    experiment = {"dataset": str(tmp_path), "backbones": ["efficientnet_lite0"]}
    facts = {"experiment": experiment, "dataset": counts}
    (folder / "run.json").write_text(json.dumps(facts))
    monkeypatch.chdir(tmp_path)
    parameters = {"run": "own", "runs": ["own"], "k": 8}
    for name in CHAPTERS:
        if few == "one label" and name.startswith("06"):
            with pytest.raises(
                LabelsNeeded, match=r"needs 2 labelled images, and .* 3 images 1 has"
            ):
                run_cells(name, parameters)
            continue
        said, glued, shown = run_cells(name, parameters)
        tables = [each for each in shown if isinstance(each, pd.DataFrame | pd.Series)]
        for table in tables:
            assert "nan" not in table.to_string(), name
        assert not [each for each, value in (said | glued).items() if "nan" in str(value)], name
        if name == "04_affective_regions":
            assert 0 <= float(said['f"{share:.0%}"'].rstrip("%")) <= 100
    if few == "one label":
        return
    (lacks,) = [table.iloc[:, 0] for table in tables if "rows missing" in table.columns[0]]
    assert "SentiBank" in lacks["not asked for: -p rows all"]
    assert lacks["not asked for: -p rows c"] == "grid, centre crops, ten-crop, random crops"
    nested = [why for why in lacks.index if "a choice needs two folds" in why]
    assert bool(nested) == (few in ("one image of a class", "two labels"))


@pytest.mark.parametrize("photographs", ["own", "none"])
def test_ones_own_photographs_are_shown_in_ones_own_book(
    photographs, make_scores, make_photographs, tmp_path, monkeypatch
):
    """Beneath the regions of chapter 4, and where predictions fail."""
    make_photographs(tmp_path, 6, (400, 400))
    own = tmp_path / "folder"
    scores = make_scores(12, 12, missing=False)
    keys = sorted(path.relative_to(own).as_posix() for path in own.glob("*/*.png"))
    scores = scores.assign_coords(image=np.array(keys, object))
    save_scores(scores, tmp_path / "results" / "own" / "scores.zarr")
    experiment = {"dataset": str(own), "backbones": ["efficientnet_lite0"]}
    counts = {"images": 12, "regions": 144, "majority": 0.5}
    facts = {"experiment": experiment, "dataset": counts}
    (tmp_path / "results" / "own" / "run.json").write_text(json.dumps(facts))
    monkeypatch.chdir(tmp_path)
    drawn = {}

    def keep(name, draw, *given, **settings):
        drawn[name] = draw(*given, **settings)
        return drawn[name]

    for name in ("show_selection", "show_failures"):
        monkeypatch.setattr(figures, name, partial(keep, name, getattr(figures, name)))
    parameters = {"run": "own", "runs": ["own"], "photographs": photographs}
    for name in ("04_affective_regions", "06a_regions"):
        run_cells(name, parameters)
    images = {name: sum(len(panel.images) for panel in f.axes) for name, f in drawn.items()}
    assert images["show_selection"] == (3 if photographs == "own" else 0)
    assert (images["show_failures"] > 0) == (photographs == "own")
