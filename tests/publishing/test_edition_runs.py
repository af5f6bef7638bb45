"""The runs that `arlib table` opens: those of folders, and those of an edition."""

import json
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from arlib._support.stores import write_store
from arlib.evaluation import Run, table1
from arlib.experiments import Experiment, Protocol, open_run, scenes_protocol
from arlib.publishing.editions import Edition, EditionError, edition_runs
from arlib.scoring import save_scores

pytestmark = pytest.mark.xdist_group("tabulate")  # one worker makes what they stand on

N = 50


@pytest.fixture(scope="module")
def make_run(make_scores):
    def make(seed, name, *, measured=False):
        """Random scores; if `measured`, with a row and with annotators."""
        scores = make_scores(N, 4, seed=seed)
        if not measured:
            return Run(name, scores)
        rng = np.random.default_rng(seed)
        baselines = xr.Dataset(
            {
                "probability": (
                    ("method", "image", "emotion"),
                    rng.dirichlet([1, 1], (1, N)).astype(np.float32),
                ),
                "agreement": ("image", rng.integers(3, 6, N).astype(np.int8)),
            },
            coords={
                "method": np.array(["VGGNet"], object),
                "image": scores.image.values.astype(object),
            },
            attrs={"missing": {"SentiBank": "no noun pairs, and\nno bank"}},
        )
        return Run(name, scores, baselines)

    return make


@pytest.fixture(scope="module")
def runs(make_run):
    return [make_run(1, "annotated", measured=True), make_run(2, "bare")]


def write(folder, run, **facts):
    """Write a run's folder by hand."""
    save_scores(run.scores, folder / "scores.zarr")
    (folder / "run.json").write_text(json.dumps(facts))
    if run.baselines is not None:
        write_store(run.baselines, folder / "baselines.zarr")
    return folder


def test_a_runs_folder_is_opened_with_what_was_measured(tmp_path, runs):
    for run in runs:
        opened = open_run(write(tmp_path / run.name, run, commit="abc")).load()
        assert (opened.name, opened.facts) == (run.name, {"commit": "abc"})
        xr.testing.assert_equal(opened.scores, run.scores)
        assert (opened.baselines is None) == (run.baselines is None)
        tables = [table1([each]) for each in (opened, run)]
        assert list(tables[0]) == list(tables[1])
        assert all(tables[0][name].equals(tables[1][name]) for name in tables[1])


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=f"^no run at {re.escape(str(tmp_path))}: .* run.json$"
    ):
        open_run(tmp_path)


class TestAnEdition:
    def fill(self, root, runs, edition, *, fresh=()):
        """Two recorded runs, and those named by `fresh` anew."""
        for run, name in zip(runs, ("twitter2-a", "twitter2-b"), strict=True):
            write(root / "book/results" / name, run, source="recorded")
            if name in fresh:
                write(root / "_build" / edition / "results" / name, run, source="fresh")

    @pytest.mark.parametrize(
        "edition",
        [
            Edition("some", "Recorded", {"runs": ["twitter2-a", "twitter2-b"]}),
            Edition("some", "Anew", {}, Experiment("twitter2", ("a", "b"))),
        ],
    )
    def test_fresh_runs_come_before_recorded_ones(self, tmp_path, runs, edition):
        self.fill(tmp_path, runs, "some", fresh=["twitter2-b"])
        opened = edition_runs(tmp_path, edition)
        assert [run.name for run in opened] == ["twitter2-a", "twitter2-b"]
        assert [run.facts["source"] for run in opened] == ["recorded", "fresh"]

    def test_fresh_runs_of_another_edition_are_not_its_own(self, tmp_path, runs):
        self.fill(tmp_path, runs, "other", fresh=["twitter2-b"])
        opened = edition_runs(tmp_path, Edition("some", "x", {"runs": ["twitter2-b"]}))
        assert opened[0].facts["source"] == "recorded"

    def test_a_run_that_is_nowhere_names_the_command_that_makes_it(self, tmp_path):
        edition = Edition("some", "Anew", {}, Experiment("twitter2", ("a",)))
        message = "^no run twitter2-a, fresh or recorded: `arlib run some` makes it$"
        with pytest.raises(EditionError, match=message):
            edition_runs(tmp_path, edition)

    def test_a_column_that_is_missing_is_a_warning_and_the_others_are_opened(
        self, tmp_path, runs, caplog
    ):
        self.fill(tmp_path, runs, "some")
        edition = Edition("some", "x", {"runs": ["twitter2-a", "absent", "lost"]})
        assert [run.name for run in edition_runs(tmp_path, edition)] == ["twitter2-a"]
        message = "no run absent, lost, fresh or recorded: `arlib run some` makes it"
        assert caplog.messages == [f"a column is missing: {message}"]

    @pytest.mark.parametrize("parameters", [{}, {"runs": []}])
    def test_one_that_names_no_runs_has_no_table(self, tmp_path, parameters):
        with pytest.raises(EditionError, match=r"^edition some names no runs: give some with -p"):
            edition_runs(tmp_path, Edition("some", "x", parameters))

    def test_seeds_are_for_synthetic_scenes(self, tmp_path):
        edition = Edition("some", "x", {"runs": ["twitter2-a"]})
        with pytest.raises(
            EditionError, match=r"^--seeds is for the synthetic scenes; some has pho"
        ):
            edition_runs(tmp_path, edition, seeds=range(2))

    def test_synthetic_scenes_are_computed_and_their_seeds_pooled(
        self, tmp_path, make_run, monkeypatch
    ):
        computed = []

        def measure(name, seed):
            computed.append((name, seed))
            run = make_run(seed, name, measured=name == "scenes-a")
            return write(tmp_path / str(seed) / name, run, seed=seed)

        def stages(protocol):
            return SimpleNamespace(measure=partial(measure, seed=protocol.seed))

        monkeypatch.setattr(Protocol, "stages", stages)
        protocol = scenes_protocol(seed=3, columns=("scenes-a", "scenes-b"))
        edition = Edition("synthetic", "Synthetic", {}, protocol)
        opened = edition_runs(tmp_path, edition, seeds=range(2))
        assert sorted(computed) == [(f"scenes-{run}", seed) for run in "ab" for seed in (3, 4)]
        assert [run.name for run in opened] == ["scenes-a", "scenes-b"]
        assert [len(run.labels) for run in opened] == [2 * N, 2 * N]
        assert [run.baselines is None for run in opened] == [False, True]
