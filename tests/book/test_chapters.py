"""The chapters as they are committed, and what each of them found in the smoke edition."""

import ast
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from arlib import editions
from arlib.algorithm import respond
from arlib.evaluation import evaluate
from arlib.runs import METHODS, open_run

ROOT = Path(__file__).parents[2]
CHAPTERS = editions.chapters(ROOT)
RESULTS = ROOT / "book" / "results"


def cells(path, kind):
    return [c for c in nbformat.read(ROOT / path, as_version=4).cells if c.cell_type == kind]


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
        assert editions.chapter_parameters(ROOT / path)

    def test_its_figures_have_captions_names_and_alt_text(self, path):
        figures = [c for c in cells(path, "code") if "figures." in c.source.splitlines()[-1]]
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
        made = set(re.findall(r'glue\(\s*"([^"]+)"', code))
        used = {name.split(":")[0] for name in re.findall(r"\{glue:text\}`([^`]+)`", text)}
        assert used <= made
        elsewhere = "".join(page.read_text() for page in (ROOT / "book").rglob("*.md"))
        assert all(f"{{glue:}} {name}" in elsewhere for name in made - used), made - used

    def test_it_ran_without_a_word_on_stderr(self, path, book):
        notebook = nbformat.read(book / "source" / path, as_version=4)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                assert output.get("name") != "stderr", output.get("text")


def test_the_chapters_on_scores_need_no_network_and_no_opencv():
    for path in CHAPTERS[2:]:
        for module in ("torch", "cv2"):
            assert f"import {module}" not in (ROOT / path).read_text()


def test_01_finds_the_drawn_disc_and_tells_recall(glued):
    found = glued("01_proposals")
    assert found["ch01-disc"] > 0.8
    assert found["ch01-windows"] == pytest.approx(600 * 601 / 2 * 400 * 401 / 2 / 1e9)
    recorded = json.loads((RESULTS / "coco_val64.json").read_text())
    curve = dict(zip(recorded["boxes"], recorded["recall"]["EdgeBoxes"], strict=True))
    assert found["ch01-source"] == "recorded"
    assert found["ch01-eb1000"] == curve[1000] >= 0.55
    assert found["ch01-eb100"] == curve[100]
    assert found["ch01-eb1000"] > found["ch01-control1000"] > found["ch01-control100"]
    assert found["ch01-reused"] > 0


def test_03_says_how_decided_regions_are(glued):
    found = glued("03_sentiment_score")
    assert found["ch03-least"] == pytest.approx(1 - np.log(2))
    assert found["ch03-least2"] == pytest.approx(0)
    assert 1 - np.log(2) <= found["ch03-median-region"] <= 1
    more = found["ch03-median-region"] > found["ch03-median-whole"]
    assert found["ch03-more"] == ("more" if more else "less")
    scores, _ = open_run(RESULTS / "twitter2-mobilenet_v2")
    assert found["ch03-regions"] == f"{int(scores.objectness.notnull().sum()):,}"
    assert found["ch03-truly"] == pytest.approx(470 / 603)


def test_04_says_which_score_decides(glued):
    found = glued("04_affective_regions")
    assert 0 < found["ch04-share"] < 1
    decides = "the sentiment score" if found["ch04-share"] > 0.5 else "objectness"
    assert found["ch04-winner"] == decides
    assert 0 < found["ch04-kept"] <= 1
    assert abs(found["ch04-correlation"]) < 1
    assert found["ch04-with-obj"] + found["ch04-with-senti"] > 0.5


def test_05_counts_what_fusion_changed(glued):
    found = glued("05_fusion")
    assert found["ch05-did"] <= found["ch05-could"]
    assert found["ch05-changed"] == found["ch05-mended"] + found["ch05-broken"]
    assert found["ch05-did"] == pytest.approx(found["ch05-changed"] / 603)
    net = found["ch05-mended"] - found["ch05-broken"]
    assert found["ch05-net"].endswith(str(abs(net)) if net else "no net change")


def test_06_tells_the_results_of_the_recorded_run(glued):
    found = glued("06_experiments")
    scores, facts = open_run(RESULTS / found["ch06-run"])
    table = evaluate(respond(scores, 8).probability, scores.label, n_bootstrap=200)
    assert found["ch06-majority"] == pytest.approx(470 / 603)
    assert found["ch06-fused"] == pytest.approx(table.loc["accuracy"].estimate)
    recorded = facts["results"]["+ obj + senti (K = 8)"]
    assert found["ch06-fused"] == pytest.approx(recorded["accuracy"]["estimate"])
    assert found["ch06-auc-fused"] == pytest.approx(recorded["auc"]["estimate"])
    assert found["ch06-whole"] == pytest.approx(
        facts["results"]["whole image"]["accuracy"]["estimate"]
    )
    assert found["ch06-best-of-all"] >= found["ch06-fused"]
    assert found["ch06-helped"] == "oasis-mobilenet_v2"
    assert found["ch06-harmed"] == "none"
    assert found["ch06-settings"] == 20 * 11 * 11
    assert found["ch06-runs"] == 4


@pytest.mark.parametrize("run", sorted(p.parent.name for p in RESULTS.glob("*/run.json")))
def test_recorded_runs_are_what_their_scores_say(run):
    scores, facts = open_run(RESULTS / run)
    assert f"{facts['experiment']['dataset']}-{facts['experiment']['backbones'][0]}" == run
    assert scores.sizes["image"] == facts["dataset"]["images"]
    assert scores.sizes["region"] == facts["experiment"]["max_regions"] == 100
    assert facts["dataset"]["unreadable"] == scores.attrs["unreadable"] == {}
    assert scores.attrs["backbone"] == facts["experiment"]["backbones"][0]
    for method, settings in METHODS.items():
        table = evaluate(respond(scores, **settings).probability, scores.label, n_bootstrap=1)
        for metric in table.index:
            assert facts["results"][method][metric]["estimate"] == pytest.approx(
                table.loc[metric].estimate
            )


def test_the_runs_that_the_book_stands_on_are_there():
    wanted = {f"{d}-{b}" for d in ("twitter2", "oasis") for b in ("mobilenet_v2", "squeezenet1_1")}
    assert wanted <= {path.name for path in RESULTS.iterdir()}
    bytes_in_all = sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file())
    assert bytes_in_all < 8_000_000


def test_oasis_carries_signal():
    for backbone in ("mobilenet_v2", "squeezenet1_1"):
        _, facts = open_run(RESULTS / f"oasis-{backbone}")
        whole = facts["results"]["whole image"]["accuracy"]
        assert whole["low"] > whole["majority"]


def test_02_trains_and_says_what_it_found(glued):
    found = glued("02_finetuning")
    assert 0 <= found["ch02-objects"] <= 1
    assert found["ch02-chance"] == pytest.approx(1 / 36)
    assert 0.1 < found["ch02-wrong"] < 0.4
    better = found["ch02-auc"] > found["ch02-auc-scratch"]
    assert found["ch02-transfer"] == ("more" if better else "no more")
    costs = found["ch02-auc-clean"] > found["ch02-auc"]
    assert found["ch02-noise"] == ("costs" if costs else "does not cost")
    sure = found["ch02-temperature"] > 1
    assert found["ch02-confidence"] == ("too sure of itself" if sure else "not sure enough")
    assert found["ch02-whole"] == pytest.approx(found["ch02-auc"], abs=1e-3)  # two ways to score
    assert found["ch02-moved"] > 0


def test_the_recorded_gains_are_what_02_says(glued):
    facts = json.loads((RESULTS / "local_share.json").read_text())
    rows = pd.DataFrame(facts["rows"])
    assert rows.groupby("share").size().tolist() == [5, 5, 5]
    found = glued("02_finetuning")
    for share, name in {0.0: "none", 1.0: "all"}.items():
        some = rows[rows.share == share]
        gain = some.auc_fused - some.auc_whole
        half = t.ppf(0.975, 4) * gain.std() / np.sqrt(5)
        assert found[f"ch02-gain-{name}"] == pytest.approx(gain.mean())
        told = (
            "gains"
            if gain.mean() > half
            else "loses"
            if gain.mean() < -half
            else "neither gains nor loses"
        )
        assert found[f"ch02-says-{name}"] == told
