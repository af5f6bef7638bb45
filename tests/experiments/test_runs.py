"""A run: scores, baselines and facts written together or not at all, opened, compared."""

import json
import shutil
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from arlib._support.stores import StoreError, check_store, is_finished_store
from arlib.datasets import load
from arlib.evaluation import (
    Run,
    compare_runs,
    curves,
    evaluate,
    majority_rate,
    sensitivity,
    table1,
)
from arlib.experiments import runs
from arlib.experiments.runs import open_run, write_baselines, write_run
from arlib.method import predict_labels
from arlib.scoring import open_scores, save_scores

N = 30
RESULTS = Path(__file__).parents[2] / "book" / "results"


@pytest.fixture(scope="module")
def dataset():
    return load("scenes-annotated", n=40, seed=1)


@pytest.fixture
def write(make_scores, dataset, tmp_path):
    """Write a run of random scores under a name; arrays that are given replace theirs."""

    def write(name, *, n=N, regions=4, seed=0, baselines=None, **arrays):
        scores = make_scores(n, regions, seed=seed, missing=False)
        scores = scores.assign(arrays).assign_attrs(
            unreadable={"broken.jpg": "no image"}, weights_sha256="5ha"
        )

        def produce(out):
            save_scores(scores, out)
            return scores

        return write_run(
            tmp_path / name,
            produce,
            experiment={"seed": seed},
            dataset=dataset,
            seconds={"training": 1.25},
            baselines=baselines,
        )

    return write


def random_baselines(scores):
    shape = (1, scores.sizes["image"], 2)
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    return xr.Dataset(
        {"probability": (("method", "image", "emotion"), values)},
        coords={"method": np.array(["SentiBank"], object)},
        attrs={"missing": {"DeepSentiBank": "no photographs"}},
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_holds_scores_and_facts(write, dataset, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/arlib", "run", "smoke"])
    run = write("run")
    assert names(run) == ["run.json", "scores.zarr"]
    opened = open_run(run)
    scores, facts = opened.scores, opened.facts
    assert opened.name == "run"
    assert dict(scores.sizes) == {"image": N, "region": 4, "corner": 4, "emotion": 2}
    assert facts["command"] == "arlib run smoke"
    assert facts["experiment"] == {"seed": 0}
    assert facts["weights_sha256"] == "5ha"
    assert facts["dataset"]["images"] == N
    assert facts["dataset"]["regions"] == 4 * N
    assert facts["dataset"]["positive"] == (scores.label.values == 0).sum()
    assert facts["dataset"]["unreadable"] == {"broken.jpg": "no image"}
    assert facts["dataset"]["counts"] == dataset.counts
    assert facts["dataset"]["sha256"] == dataset.sha256()
    assert facts["seconds"].keys() == {"training", "scoring"}
    assert facts["seconds"]["training"] == 1.2
    assert opened.baselines is None


def test_the_facts_are_those_of_the_scores(write):
    run = open_run(write("run"))
    scores, facts = run.scores, run.facts
    assert set(facts["results"]) == set(runs.METHODS)
    for method, settings in runs.METHODS.items():
        predicted = predict_labels(scores, **settings).probability
        table = evaluate(predicted, scores.label, folds=scores.fold)
        for metric, row in table.iterrows():
            assert facts["results"][method][metric]["estimate"] == row.estimate
            assert facts["results"][method][metric]["low"] == row.low


class TestFixedSplit:
    """Fold 1 is tested, the images in fold -1 are those that everything learned from."""

    @pytest.fixture
    def split(self, write, make_scores):
        fold = np.where(np.arange(N) % 3 == 0, 1, -1).astype(np.int8)
        label = make_scores(N, 4, missing=False).label.values.copy()
        label[1] = -1  # without label, hence in no fold, and of no training part
        return write(
            "split", fold=("image", fold), label=("image", label), baselines=random_baselines
        )

    def test_only_the_tested_images_are_counted_and_measured(self, split, make_scores):
        run = open_run(split)
        assert run.scores.fold.values.tolist() == [1, -1, *[1] * (N // 3 - 1)]
        assert run.baselines.probability.shape[1] == N // 3 + 1
        known = run.scores.isel(image=run.labels >= 0)
        counts = run.facts["dataset"]
        assert (counts["images"], counts["scored"]) == (N // 3 + 1, N)
        assert counts["positive"] + counts["negative"] == N // 3
        assert counts["regions"] == 4 * (N // 3 + 1)
        assert counts["majority"] == majority_rate(known.label.values)
        for method, settings in runs.METHODS.items():
            predicted = predict_labels(known, **settings).probability.values
            expected = evaluate(predicted, known.label.values).loc["accuracy"]
            assert run.facts["results"][method]["accuracy"]["estimate"] == expected.estimate
            assert run.facts["results"][method]["accuracy"]["images"] == N // 3

    def test_every_evaluation_is_of_the_tested_images(self, split):
        tested = open_run(split).load()
        whole = Run("split", open_scores(split / "scores.zarr").load())
        assert whole.scores.sizes["image"] == N
        tested = replace(tested, baselines=None)
        for measure in (
            lambda run: table1([run])["split"],
            lambda run: compare_runs(run, run),
            lambda run: curves(run, ks=[1, 2]).to_dataframe(),
            lambda run: sensitivity(run, k=2),
        ):
            pd.testing.assert_frame_equal(measure(tested), measure(whole))

    def test_without_folds_all_images_are_tested(self, write):
        run = open_run(write("run", fold=("image", np.full(N, -1, np.int8))))
        assert run.scores.sizes["image"] == run.facts["dataset"]["images"] == N


def test_recorded_runs_have_no_training_part():
    for folder in sorted(RESULTS.glob("*/run.json")):
        run, scores = open_run(folder.parent), open_scores(folder.parent / "scores.zarr")
        assert run.scores.sizes == scores.sizes
        assert run.facts["dataset"]["images"] == scores.sizes["image"]


def test_baselines_are_made_of_the_scores_and_written_beside_them(write):
    run = write("run", baselines=random_baselines)
    assert names(run) == ["baselines.zarr", "run.json", "scores.zarr"]
    opened = open_run(run).load()
    expected = random_baselines(opened.scores)
    xr.testing.assert_equal(opened.baselines, expected)
    assert opened.baselines.attrs == expected.attrs
    assert opened.facts["seconds"].keys() == {"training", "scoring", "baselines"}


def test_baselines_may_come_later(write):
    run = write("run")
    write_baselines(run, random_baselines(open_run(run).scores))
    assert names(run) == ["baselines.zarr", "run.json", "scores.zarr"]
    assert open_run(run).baselines.attrs["missing"] == {"DeepSentiBank": "no photographs"}


def test_a_run_that_is_there_is_replaced(write, tmp_path):
    write("run", baselines=random_baselines)
    again = write("run", seed=1)
    assert names(again) == ["run.json", "scores.zarr"]
    assert open_run(again).facts["experiment"] == {"seed": 1}
    assert names(tmp_path) == ["run"]


def test_scores_are_read_when_used_or_at_once(write):
    folder = write("run", baselines=random_baselines)
    unread, loaded = open_run(folder), open_run(folder).load()
    shutil.rmtree(folder)
    for name in ("scores.box", "baselines.probability"):
        assert np.unique(attrgetter(name)(loaded)).size > 1
        with pytest.raises(StoreError, match=r"c/0/0/0 is missing"):
            attrgetter(name)(unread).load()


def test_recorded_runs_are_as_they_were_written():
    stores = sorted(RESULTS.glob("*/*.zarr"))
    assert len(stores) >= 10
    for store in stores:
        check_store(store)
        assert is_finished_store(store)


def test_other_rows_of_the_table_that_are_damaged_are_named(write):
    folder = write("run", baselines=random_baselines)
    chunk = folder / "baselines.zarr/probability/c/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(StoreError, match=f"^{chunk} has changed since"):
        open_run(folder).load()
    chunk.unlink()
    with pytest.raises(StoreError, match=f"^{chunk} is missing"):
        open_run(folder)


@pytest.mark.parametrize("kind", ["folder of photographs", "run with a file of one's own", "file"])
def test_what_is_no_run_is_not_replaced(write, tmp_path, kind):
    if kind == "file":
        (tmp_path / "run").write_text("mine")
    else:
        (write("run") if kind.startswith("run") else tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "mine.jpg").write_text("mine")
    with pytest.raises(FileExistsError, match=r"run exists already and is not a run: name another"):
        write("run", seed=1)
    mine = tmp_path / "run" if kind == "file" else tmp_path / "run" / "mine.jpg"
    assert mine.read_text() == "mine"
    assert names(tmp_path) == ["run"]


def test_where_there_is_no_run_the_error_names_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^no run at .*absent: it has no run.json$"):
        open_run(tmp_path / "absent")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["baselines", "scores", "facts"])
def test_a_failure_leaves_what_was_there_and_nothing_else(
    write, tmp_path, monkeypatch, where, error
):
    def fail(*_):
        raise error

    write("run")
    before = (tmp_path / "run" / "run.json").read_text()
    if where == "scores":
        monkeypatch.setitem(globals(), "save_scores", fail)
    if where == "facts":
        monkeypatch.setattr(runs, "machine", fail)
    for name in ("run", "other"):
        with pytest.raises(error):
            write(name, seed=1, baselines=fail if where == "baselines" else None)
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "run.json").read_text() == before


def compare(one, other):
    return open_run(one).differences(open_run(other))


class TestCompared:
    def test_a_run_with_itself_is_not_apart(self, write):
        apart = compare(write("one"), write("other"))
        assert set(apart) == {
            "objectness",
            "box",
            "region_probability",
            "global_probability",
            "label",
            "fold",
            "results",
        }
        assert set(apart.values()) == {0.0}

    def test_the_largest_difference_of_an_array_is_given(self, write, make_scores):
        box = make_scores(N, 4, missing=False).box.copy()
        box[3, 2, 1] += 0.5
        box[5, 0, 3] += 0.25
        apart = compare(write("one"), write("other", box=box))
        assert apart.pop("box") == pytest.approx(0.5, abs=1e-4)
        assert set(apart.values()) == {0.0}

    def test_other_labels_have_other_results(self, write, make_scores):
        label = 1 - make_scores(N, 4, missing=False).label
        apart = compare(write("one"), write("other", label=label.astype(np.int8)))
        assert apart["label"] == 1
        assert apart["results"] > 0

    def test_the_largest_difference_of_a_result_is_given(self, write):
        one, other = write("one"), write("other")
        facts = json.loads((other / "run.json").read_text())
        facts["results"]["full image"]["auc"]["estimate"] += 0.25
        (other / "run.json").write_text(json.dumps(facts))
        assert compare(one, other)["results"] == pytest.approx(0.25)

    @pytest.mark.parametrize("change", [{"n": N - 1}, {"regions": 3}])
    def test_other_images_or_regions_are_infinitely_apart(self, write, change):
        assert compare(write("one"), write("other", **change)) == {"images": np.inf}

    def test_a_region_that_one_run_lacks_is_infinitely_far(self, write, make_scores):
        scores = make_scores(N, 4, missing=False)
        gaps = {name: scores[name].copy() for name in ("objectness", "box", "region_probability")}
        for array in gaps.values():
            array[0, 3] = np.nan
        apart = compare(write("one"), write("other", **gaps))
        assert {name for name, value in apart.items() if value == np.inf} == set(gaps)

    def test_other_methods_are_infinitely_apart(self, write):
        one, other = write("one"), write("other")
        facts = json.loads((other / "run.json").read_text())
        del facts["results"]["full image"]
        (other / "run.json").write_text(json.dumps(facts))
        assert compare(one, other)["results"] == np.inf


def test_without_labels_nothing_is_evaluated(write):
    unknown = ("image", np.full(N, -1, np.int8))
    run = write("unknown", label=unknown)
    facts = open_run(run).facts
    assert facts["results"] == {}
    assert facts["dataset"]["majority"] is None
    assert facts["dataset"]["positive"] == 0
    assert compare(run, write("again", label=unknown))["results"] == 0.0
