"""An edition becomes runs, executed chapters and a site, complete or not at all."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest
import yaml
from tests.experiments.helpers import write_layouts
from tests.publishing.conftest import chapter

from arlib._support.storage import BusyError, exclusive_lock
from arlib.cli import main
from arlib.experiments import Finetuning, scenes_protocol
from arlib.publishing import build, load_edition, run_edition
from arlib.publishing.build import (
    _stage_sources,
    choose_base,
    make_live_runs,
    measure_runs,
)
from arlib.publishing.editions import Edition, EditionError
from arlib.scoring import save_scores


def test_an_edition_becomes_a_site(book, capfd, monkeypatch):
    monkeypatch.setattr(build, "EVERY", 0.5)
    lines = []
    edition = load_edition(book, "plain")
    page = run_edition(book, edition, say=lines.append)
    assert page == book / "_build" / "plain" / "html" / "index.html"
    site = page.parent
    assert (site / "book" / "one.html").read_text().count("K is 3") >= 1
    assert "And one more is &lt;4&gt;." in (site / "book" / "one.html").read_text()
    full = nbformat.read(site / "_sources" / "book" / "one.ipynb", as_version=4)
    assert full.cells[-1].source == "And one more is {eval}`f'<{k + 1}>'`."
    assert full.cells[-1].metadata.user_expressions[0].result.data["text/plain"] == "'<4>'"
    still = [line for line in lines if line.endswith(" s so far")]
    assert re.fullmatch(r"book/one.ipynb, cell \d, \d+ s so far", still[0])
    assert re.fullmatch(r"building the site, \d+ s so far", still[-1])
    stages = "\n".join(line for line in lines if line not in still)
    assert re.fullmatch(
        r"executing the chapters\n\[1/1\] book/one.ipynb, \d+ s\n"
        r"building the site\nsite built, \d+ s",
        stages,
    )
    assert capfd.readouterr() == ("", ""), "a kernel or Jupyter Book wrote to the terminal"
    facts = json.loads((book / "_build" / "plain" / "edition.json").read_text())
    assert facts["title"] == "As it is"
    assert list(facts["seconds"]) == ["book/one.ipynb"]
    assert facts["parameters"] == {"k": 3, "alpha": 1.0, "runs": ["a", "b"], "name": "x"}
    plain = nbformat.read(site / "notebooks" / "one.ipynb", as_version=4)
    before = nbformat.read(book / "book" / "one.ipynb", as_version=4)
    assert [c.source for c in plain.cells] == [c.source for c in before.cells]
    assert not any("user_expressions" in cell.metadata for cell in plain.cells)
    assert all(not cell.get("outputs") for cell in plain.cells)
    for address in re.findall(r'href="([^"]+)" download', (site / "book" / "one.html").read_text()):
        assert (site / "book" / address).is_file(), address
    source = nbformat.read(book / "book" / "one.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in source.cells), "the source was written to"

    # A warning of the builder is an error, and the site that was published stays.
    (book / "book" / "index.md").write_text("# A book\n\n{doc}`absent`\n")
    with pytest.raises(EditionError, match=r"(?s)the site did not build.*absent"):
        run_edition(book, edition, say=lines.append)
    assert "K is 3" in (site / "book" / "one.html").read_text()

    (book / "book" / "index.md").write_text("# A book\n\nIts text.\n")
    # A chapter that fails leaves the site too, and so does a second run at the same time.
    nbformat.write(chapter("import sys; sys.exit(0)"), book / "book" / "one.ipynb")
    with pytest.raises(EditionError, match=r"one.ipynb, cell 3 ended with SystemExit: 0"):
        run_edition(book, edition, say=lines.append)
    with (
        exclusive_lock(book / "_build" / "plain" / "lock"),
        pytest.raises(BusyError, match="is held by"),
    ):
        run_edition(book, edition, say=lines.append)
    assert "K is 3" in (site / "book" / "one.html").read_text()


def test_an_edition_with_an_experiment_says_what_is_missing(book, monkeypatch):
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    edition = load_edition(book, "fresh")
    with pytest.raises(ValueError, match=r"twitter2 is not here: get .* set ARLIB_DATA"):
        run_edition(book, edition, say=str)
    assert not (book / "_build" / "fresh" / "html").exists()


@pytest.mark.parametrize("parameters", [{"run": "absent"}, {"runs": ["fresh", "absent"]}])
def test_a_run_that_no_chapter_will_find_is_refused_before_anything_is_measured(
    scenes_book, parameters
):
    (scenes_book / "book" / "results" / "fresh").mkdir(parents=True)
    (scenes_book / "book" / "results" / "fresh" / "run.json").write_text("{}")
    edition = load_edition(scenes_book, "scenes", parameters)
    with pytest.raises(EditionError, match=r"no run 'absent'; there are fresh, scenes-annotated"):
        run_edition(scenes_book, edition, say=pytest.fail)


class TestProtocol:
    """An edition of the paper's protocol, on small sets in the original layouts."""

    @pytest.fixture(autouse=True)
    def here(self, tmp_path_factory, monkeypatch):
        data = tmp_path_factory.mktemp("data")
        monkeypatch.setenv("ARLIB_DATA", str(write_layouts(data, pairs=10, each=10)))
        monkeypatch.setenv("ARLIB_CACHE", str(data / "cache"))

    def test_its_stages_are_done_one_by_one_and_then_its_table_is_printed(self, protocol_book):
        edition, lines = load_edition(protocol_book, "tiny"), []
        runs = run_edition(protocol_book, edition, stage="score", say=lines.append)
        assert [line for line in lines if re.fullmatch(r"stage \w+", line)] == [
            "stage pretrain",
            "stage finetune",
            "stage score",
        ]
        assert not runs.exists()
        (network,) = [line for line in lines if "arlib predict --model" in line]
        assert Path(network.split()[-2], "network.json").is_file()
        lines.clear()
        run_edition(protocol_book, edition, only_measure=True, say=lines.append)
        assert sorted(path.name for path in runs.iterdir()) == sorted(edition.parameters["runs"])
        assert "VGGNet + ft + obj + senti + lf (K)" in lines[-1]
        kept = [line for line in lines if line.endswith("kept")]
        assert len(kept) == 3  # fine-tuning, and the scores of two columns

    def test_a_column_without_images_leaves_the_others(self, protocol_book, monkeypatch):
        edition = load_edition(protocol_book, "tiny", {"columns": "[oasis, twitter2]"})
        lines, begun = [], []
        monkeypatch.setattr("arlib.experiments.stages.second_process", begun.append)
        run_edition(protocol_book, edition, stage="pretrain", say=lines.append)
        assert not begun, "what comes after the stage is not asked for"
        assert any("oasis" in line and "missing" in line for line in lines)
        shown = build._without(edition, {"oasis-vgg_tiny-ft-vso"}).parameters
        assert shown["runs"] == ["twitter2-vgg_tiny-ft-vso"]

    def test_nothing_starts_without_the_images_to_learn_from(self, protocol_book, monkeypatch):
        monkeypatch.delenv("ARLIB_DATA")
        edition, lines = load_edition(protocol_book, "tiny"), []
        with pytest.raises(EditionError, match=r"nothing was started: vso, .* is not here"):
            run_edition(protocol_book, edition, say=lines.append)
        assert not any(line.startswith("stage ") for line in lines)
        build.plan_edition(edition, say=lines.append)
        assert lines[-1].startswith("nothing would start: vso")

    def test_a_run_that_no_chapter_will_find_is_refused_before_any_stage(self, protocol_book):
        edition, lines = load_edition(protocol_book, "tiny", {"runs": ["absent"]}), []
        with pytest.raises(EditionError, match="no run 'absent'"):
            run_edition(protocol_book, edition, say=lines.append)
        assert not any(line.startswith("stage ") for line in lines)

    def test_the_command_line_has_a_plan(self, protocol_book, monkeypatch, capsys):
        monkeypatch.chdir(protocol_book)
        with pytest.raises(SystemExit) as ended:
            main(["run", "tiny", "--plan"])
        assert not ended.value.code
        assert capsys.readouterr().out.splitlines()[-1].startswith("left to do")
        assert not (protocol_book / "_build").exists()


def test_stages_and_plans_are_of_what_an_edition_measures(scenes_book):
    edition = load_edition(scenes_book, "plain")
    with pytest.raises(EditionError, match="edition plain has no protocol: --stage is of one"):
        run_edition(scenes_book, edition, stage="score", say=str)
    with pytest.raises(EditionError, match="edition plain scores no photographs"):
        build.plan_edition(edition, say=str)


@pytest.mark.parametrize("name", ["plain", "scenes"])
def test_only_photographs_are_recorded(scenes_book, name):
    edition = load_edition(scenes_book, name)
    with pytest.raises(EditionError, match=f"edition {name} scores no photographs: nothing to rec"):
        run_edition(scenes_book, edition, record=True, say=str)
    assert not (scenes_book / "_build").exists()


@pytest.mark.parametrize(
    ("m", "parameters", "chosen"),
    [(2, {}, {}), (3, {}, {"base": "classes"}), (3, {"base": "e"}, {})],
)
def test_eq_1_takes_another_logarithm_where_base_e_is_refused(
    tmp_path, make_scores, m, parameters, chosen
):
    save_scores(make_scores(5, 2, n_emotions=m), tmp_path / "run" / "scores.zarr")
    (tmp_path / "run" / "run.json").write_text("{}")
    lines = []
    edition = Edition("own", "Own", parameters)
    assert choose_base(edition, [tmp_path / "run"], lines.append) == chosen
    assert lines == (
        ["3 emotions: Eq. 1 with base 'classes', since with base e it could be negative"]
        if chosen
        else []
    )
    assert choose_base(edition, [], lines.append) == {}


@pytest.mark.slow
def test_runs_of_the_scenes_are_staged_beside_the_chapters(scenes_book, tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path / "cache"))
    quick = {"iterations": 2, "round": 2, "batch_size": 16, "lr": 0.01}
    tiny = scenes_protocol(
        scale=0.01,
        pretrain=Finetuning("scenes-objects", training=quick),
        finetune=Finetuning("scenes-tagged", training=quick),
        proposals="grid",
    )
    lines = []
    edition = Edition("scenes", "Scenes", {"k": 3}, tiny)
    run_edition(scenes_book, edition, say=lines.append)
    stage = scenes_book / "_build" / "scenes" / "source"
    done = nbformat.read(stage / "book" / "one.ipynb", as_version=4)
    names = ["scenes-annotated", "scenes-folded", "scenes-tagged"]
    assert done.cells[-1].outputs[0].text == f"{names}\n"
    scored = [f"scoring: {name}" for name in names]
    assert [line for line in lines if line in scored] == scored
    assert not (scenes_book / "book" / "results").exists()


def test_nothing_of_a_recorded_run_stays_beside_a_fresh_one_of_its_name(tmp_path):
    root, fresh = tmp_path / "root", tmp_path / "fresh" / "a-run"
    for folder in ("book/results/a-run/baselines.zarr", "book/results/other", "src"):
        (root / folder).mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        (root / name).touch()
    fresh.mkdir(parents=True)
    (fresh / "run.json").touch()
    results = _stage_sources(root, tmp_path / "stage", [fresh]) / "book" / "results"
    assert sorted(path.name for path in results.iterdir()) == ["a-run", "other"]
    assert [path.name for path in (results / "a-run").iterdir()] == ["run.json"]


def test_a_run_that_chapters_name_is_made_once_before_they_run(tmp_path):
    calls = []
    makers = {name: lambda _, n=name: calls.append(n) for name in ("scenes-a", "scenes-b")}
    lines = []
    make_live_runs(tmp_path, {"run": "x", "runs": ["scenes-b", "other"]}, makers, lines.append)
    assert calls == ["scenes-b"]
    assert lines == ["scoring: scenes-b", "scored: scenes-b, 0 s"]


def test_fresh_runs_are_recorded_and_compared_with_recorded_ones(tmp_path, make_scores):
    def make(folder, max_regions=2):
        run = folder / "a-run"
        save_scores(make_scores(5, 2), run / "scores.zarr", overwrite=True)
        protocol = asdict(scenes_protocol(max_regions=max_regions))
        facts = {"experiment": {"protocol": protocol}, "results": {}}
        (run / "run.json").write_text(json.dumps(facts))
        return run

    results, lines = tmp_path / "results", []
    (tmp_path / "book" / "results").mkdir(parents=True)
    runs = measure_runs(tmp_path, results, {"a-run": make}, record=True, say=lines.append)
    assert runs == [results / "a-run"]
    assert lines == ["scoring: a-run", "scored: a-run, 0 s", "recorded: book/results/a-run"]
    assert (tmp_path / "book/results/a-run/run.json").is_file()
    measure_runs(tmp_path, results, {"a-run": make}, record=False, say=lines.append)
    assert re.fullmatch(r"largest differences from the recorded a-run: (\w+ 0, )*\w+ 0", lines[-1])
    more = {"a-run": lambda folder: make(folder, max_regions=3)}
    measure_runs(tmp_path, results, more, record=False, say=lines.append)
    assert lines[-1] == "the recorded a-run has other settings: not compared"


SLEEPY = "import os, signal, time\nos.kill(os.getppid(), signal.{})\ntime.sleep(600)"


INTERRUPTED = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from arlib.cli import main
main(["run", "plain"])
"""


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("SIGINT", 130),
        pytest.param("SIGTERM", 143, marks=pytest.mark.slow),
        pytest.param("SIGHUP", 129, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_ended_by_a_signal_ends_its_kernels(book, tmp_path, name, status):
    """The chapter itself sends it, and would then run for minutes."""
    nbformat.write(chapter(SLEEPY.format(name)), book / "book" / "one.ipynb")
    files = tmp_path / "files"
    files.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=book,
        env={**os.environ, "TMPDIR": str(files), "JUPYTER_RUNTIME_DIR": str(files)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == status, ended.stderr
    assert ended.stdout == "executing the chapters\n"
    assert ended.stderr.endswith(f"\narlib: ended by {name}\n")
    assert sorted(path.name for path in (book / "_build" / "plain").iterdir()) == ["source"]
    left = [path.name for path in (book / "_build" / "plain" / "source" / "book").iterdir()]
    assert sorted(left) == ["index.md"]
    assert not list(files.glob("*.json")), "a kernel's file is left"


def test_the_first_chapter_that_fails_ends_the_others(book):
    toc = yaml.safe_load((book / "_toc.yml").read_text())
    toc["parts"][0]["chapters"].append({"file": "book/two"})
    (book / "_toc.yml").write_text(yaml.safe_dump(toc))
    nbformat.write(chapter("import time; time.sleep(600)"), book / "book" / "one.ipynb")
    nbformat.write(chapter("1 / 0"), book / "book" / "two.ipynb")
    with pytest.raises(EditionError, match=r"two\.ipynb, cell \d: ZeroDivisionError"):
        run_edition(book, load_edition(book, "plain"), say=str)
