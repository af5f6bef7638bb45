"""The chapters as committed, and the values that each of them glued in the smoke edition."""

import ast
import json
import os
import re
from itertools import product
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy.special import xlogy
from scipy.stats import t

from arlib.evaluation import box_iou, compare, evaluate
from arlib.experiments import images_of, open_run
from arlib.method import affective_regions, predict_labels
from arlib.networks import weights_at_hand
from arlib.publishing.editions import chapter_parameters, chapter_paths

ROOT = Path(__file__).parents[2]
CHAPTERS = chapter_paths(ROOT)
RESULTS = ROOT / "book" / "results"


def cells(path, kind):
    return [c for c in nbformat.read(ROOT / path, as_version=4).cells if c.cell_type == kind]


@pytest.fixture
def live(book):
    """A run that the smoke edition trained and scored, by name."""
    return lambda name: open_run(book / "source" / "book" / "results" / name)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
class TestEveryChapter:
    def test_it_is_committed_without_outputs(self, path):
        notebook = nbformat.read(ROOT / path, as_version=4)
        nbformat.validate(notebook)
        assert set(notebook.metadata) == {"kernelspec"}
        assert notebook.metadata.kernelspec.language == "python"  # or ruff passes over it
        for cell in cells(path, "code"):
            assert cell.outputs == []
            assert cell.execution_count is None

    def test_its_cells_are_small(self, path):
        lengths = [len(cell.source.splitlines()) for cell in cells(path, "code")]
        assert np.median(lengths) <= 8
        assert max(lengths) <= 20

    def test_its_parameters_are_annotated_flat_literals(self, path):
        (tagged,) = [c for c in cells(path, "code") if "parameters" in c.metadata.get("tags", [])]
        for line in ast.parse(tagged.source).body:
            assert isinstance(line, ast.AnnAssign), ast.unparse(line)
            assert line.annotation.id in {"int", "float", "str", "list"}
        assert chapter_parameters(ROOT / path)

    def test_its_figures_have_captions_names_and_alt_text(self, path):
        figures = [
            c for c in cells(path, "code") if c.source.splitlines()[-1].startswith("figures.")
        ]
        assert figures
        for cell in figures:
            meta = cell.metadata["mystnb"]
            assert meta["figure"]["name"].startswith("fig-")
            assert len(meta["figure"]["caption"]) > 30
            assert len(meta["image"]["alt"]) > 30

    def test_it_follows_the_skeleton(self, path):
        text = "\n".join(cell.source for cell in cells(path, "markdown"))
        assert text.startswith("(ch-")
        for part in ("**You will learn**", "**You need**", "**Time**", "**Hardware**"):
            assert part in text
        headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
        assert headings[-4:] == ["What could go wrong", "Summary", "What is next", "Exercises"]
        assert text.count(":class: dropdown") >= 3

    def test_what_it_glues_is_used_and_what_it_uses_is_glued(self, path):
        code = "\n".join(cell.source for cell in cells(path, "code"))
        text = "\n".join(cell.source for cell in cells(path, "markdown"))
        glued = set(re.findall(r'glue\(\s*"([^"]+)"', code))
        used = {name.split(":")[0] for name in re.findall(r"\{glue:text\}`([^`]+)`", text)}
        assert used <= glued
        elsewhere = "".join(page.read_text() for page in (ROOT / "book").rglob("*.md"))
        assert all(f"{{glue:}} {name}" in elsewhere for name in glued - used), glued - used

    def test_it_ran_with_nothing_on_stderr(self, path, book):
        notebook = nbformat.read(book / "source" / path, as_version=4)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                assert output.get("name") != "stderr", output.get("text")


def test_01_finds_the_drawn_disc_and_measures_recall_on_scenes(glued):
    found = glued("01_proposals")
    assert found["ch01-disc"] > 0.8
    assert found["ch01-windows"] == pytest.approx(600 * 601 / 2 * 400 * 401 / 2 / 1e9)
    assert found["ch01-source"] == "measured in this run"
    assert found["ch01-images"] == 4
    assert 4 * 2 <= found["ch01-objects"] <= 4 * 7
    assert found["ch01-eb1000"] >= found["ch01-eb100"] > 0.3
    assert found["ch01-reused"] > 0


def test_03_measures_how_confident_the_network_is_on_regions(glued, live):
    found = glued("03_sentiment_score")
    assert found["ch03-least"] == pytest.approx(1 - np.log(2))
    assert found["ch03-least2"] == pytest.approx(0)
    scores = live("scenes-annotated").scores
    s = scores.region_probability.values[scores.objectness.notnull().values].astype(float)
    assert found["ch03-median-region"] == pytest.approx(
        np.median(1 + xlogy(s, s).sum(-1)), abs=1e-5
    )
    more = found["ch03-median-region"] > found["ch03-median-whole"]
    assert found["ch03-more"] == ("more" if more else "less")
    assert found["ch03-regions"] == f"{int(scores.objectness.notnull().sum()):,}"
    assert found["ch03-truly"] == pytest.approx(float((scores.label == 0).mean()))


def test_04_scores_regions_against_the_known_ones(glued, live):
    found = glued("04_affective_regions")
    run = live("scenes-annotated")
    scores, dataset = run.scores, images_of(run)
    assert dataset.keys.tolist() == scores.image.values.tolist()
    hits = []
    for i in range(len(dataset)):
        boxes = affective_regions(scores.isel(image=[i]), 1).box.values[0]
        known = dataset.regions[i][~np.isnan(dataset.regions[i]).any(axis=1)]
        hits.append(not np.isnan(boxes).any() and box_iou(boxes, known).max() >= 0.5)
    assert f"by Eq. 2 hits a known one in {np.mean(hits):.0%} of the images" in found["ch04-where"]
    assert "nobody knows" not in found["ch04-where"]
    winner = "the sentiment score" if found["ch04-share"] > 0.5 else "objectness"
    assert found["ch04-winner"] == winner


def test_05_counts_what_fusion_changed(glued, live):
    found = glued("05_fusion")
    scores = live("scenes-annotated").scores
    assert found["ch05-did"] <= found["ch05-could"]
    assert found["ch05-changed"] == found["ch05-corrected"] + found["ch05-degraded"]
    assert found["ch05-did"] == pytest.approx(found["ch05-changed"] / scores.sizes["image"])


def test_06_reports_the_results_of_the_live_runs(glued, live):
    found = glued("06_experiments")
    run = live(found["ch06-run"])
    scores = run.scores
    assert found["ch06-run"] == "scenes-annotated"
    fused = predict_labels(scores, 8).probability
    table = evaluate(fused, scores.label, folds=scores.fold)
    assert found["ch06-fused"] == pytest.approx(table.estimate["accuracy"])
    assert found["ch06-auc-fused"] == pytest.approx(table.estimate["auc"])
    apart = compare(scores.global_probability, fused, scores.label, folds=scores.fold)
    low, high = apart.loc["auc", ["low", "high"]]
    assert found["ch06-auc-gain"].endswith(f" [{low:+z.3f}, {high:+z.3f}]")
    assert re.match(r"[+-]\d+\.\d \[.*\] points of accuracy, ", found["ch06-random-crops"])
    assert found["ch06-images"] == scores.sizes["image"]
    assert found["ch06-runs"] == 9
    assert found["ch06-columns"] == 11  # the annotated images by agreement
    assert found["ch06-changed"] <= found["ch06-could"]
    assert found["ch06-corrected"] + found["ch06-degraded"] == found["ch06-changed"]
    assert found["ch06-cost"] >= 0
    compared = found["ch06-control-won"] + found["ch06-control-lost"]
    assert compared <= found["ch06-controls"] == 5 * 11
    assert found["ch06-all-won"] + found["ch06-all-lost"] <= found["ch06-all"] == 11
    assert found["ch06-tested"] <= 11
    assert found["ch06-detectable-least"] <= found["ch06-detectable-most"]
    assert found["ch06-paper-below"] == 7


def test_07_varies_the_parameters_on_single_images(glued, book):
    found = glued("07_explorer")
    assert found["ch07-scenes"] == "vgg_tiny, fine-tuned on tagged scenes"
    if not weights_at_hand("squeezenet1_1"):
        assert found["ch07-network"] == found["ch07-scenes"]
    assert found["ch07-images"] == 4
    assert found["ch07-plain"] == 0
    assert found["ch07-settings"] == 4 * 4 * 4
    assert 0 < found["ch07-mirror"] < 1
    assert found["ch07-known"] >= 1
    explorers = {}
    notebook = nbformat.read(book / "source" / "book" / "07_explorer.ipynb", as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            html = output.get("data", {}).get("text/html", "")
            facts = re.search(r'"application/json">(.*?)</script>', html)
            if facts:
                explorer = json.loads(facts.group(1))
                explorers[explorer["title"].split(" (")[0]] = explorer
            assert "widget-view" not in str(output.get("data", {}).keys())
    names = ["A cup of coffee", "Chelsea the cat", "A synthetic scene", "Plain blue"]
    assert list(explorers) == names
    assert "widgets" not in notebook.metadata
    least = {}
    for name, short in zip(names[:3], ("cup", "cat", "scene"), strict=True):
        facts = explorers[name]
        d, r = margins(facts, facts["settings"]["k"], 1.0)
        assert (short in found["ch07-ever"]) == (d * r < 0)
        grid = product((1, 4, 16, 64), (0.0, 0.1, 1.0, 10.0))
        parts = [margins(facts, k, alpha) for k, alpha in grid]
        positive = np.mean([d + beta * r >= 0 for d, r in parts for beta in (0.25, 0.5, 1, 2)])
        least[short] = max(positive, 1 - positive)
    if found["ch07-least-name"] in least:  # the rocket has no explorer
        assert found["ch07-least"] == least[found["ch07-least-name"]] == min(least.values())
    else:
        assert 0.5 <= found["ch07-least"] <= min(least.values())


def margins(facts, k, alpha):
    """Margins of the full image and of the K chosen regions, by Eq. 1 and 2 in a loop."""
    ranked = []
    for i, (obj, s) in enumerate(zip(facts["objectness"], facts["probability"], strict=True)):
        senti = 1 + sum(p * np.log(p) for p in s if p > 0)
        ranked.append((-np.hypot(obj, np.sqrt(alpha) * senti), i))
    best = [facts["probability"][i] for _, i in sorted(ranked)[:k]]
    return facts["global"][0] - facts["global"][1], np.mean([s[0] - s[1] for s in best])


def test_02_trains_and_reports_its_results(glued):
    found = glued("02_finetuning")
    assert found["ch02-chance"] == pytest.approx(1 / 36)
    assert 0.1 < found["ch02-wrong"] < 0.4
    better = found["ch02-auc"] > found["ch02-auc-scratch"]
    assert found["ch02-transfer"] == ("more" if better else "no more")
    costs = found["ch02-auc-clean"] > found["ch02-auc"]
    assert found["ch02-noise"] == ("costs" if costs else "does not cost")
    sure = found["ch02-temperature"] > 1
    assert found["ch02-confidence"] == ("too sure of itself" if sure else "not sure enough")
    assert found["ch02-whole"] == pytest.approx(found["ch02-auc"], abs=1e-3)
    assert 0 < found["ch02-dropped"] < 1
    assert found["ch02-uniform"] == pytest.approx(2 * np.log(2) - 1)
    higher = found["ch02-auc-pcnn"] > found["ch02-auc"]
    assert found["ch02-helps"] == ("higher" if higher else "not higher")
    assert found["ch02-run"] == "scenes-annotated"
    assert found["ch02-network"] == "vgg_tiny, fine-tuned on tagged scenes"
    assert found["ch02-moved"] > 0


def test_the_recorded_gains_are_those_of_02(glued):
    facts = json.loads((RESULTS / "local_share.json").read_text())
    rows = pd.DataFrame(facts["rows"])
    assert rows.groupby("share").size().tolist() == [5, 5, 5]
    found = glued("02_finetuning")
    for share, name in {0.0: "none", 1.0: "all"}.items():
        of_share = rows[rows.share == share]
        gain = of_share.auc_fused - of_share.auc_whole
        half = t.ppf(0.975, 4) * gain.std() / np.sqrt(5)
        assert found[f"ch02-gain-{name}"] == pytest.approx(gain.mean())
        effect = (
            "gains"
            if gain.mean() > half
            else "loses"
            if gain.mean() < -half
            else "neither gains nor loses"
        )
        assert found[f"ch02-says-{name}"] == effect


def test_one_worker_has_all_tests_of_the_built_book(request):
    """Otherwise it is built twice; pytest-xdist marks the names of grouped tests."""
    assert request.node.nodeid.endswith("@book") == ("PYTEST_XDIST_WORKER" in os.environ)
