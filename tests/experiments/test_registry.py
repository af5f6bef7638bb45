"""Runs by name: those at hand are opened, those of the synthetic scenes are made once."""

import json
import re
import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tests.experiments.helpers import write_layouts

from arlib._support.stores import StoreError
from arlib.datasets import DatasetError, load
from arlib.evaluation import LabelsNeeded, Run, table1
from arlib.experiments import Experiment
from arlib.experiments.names import words_of
from arlib.experiments.protocol import Finetuning, scenes_protocol
from arlib.experiments.registry import (
    SYNTHETIC_RUNS,
    add_run,
    find_record,
    find_run,
    images_of,
    list_runs,
    parse_experiment,
    shown_images,
)
from arlib.experiments.runs import open_run, write_baselines
from arlib.experiments.stages import Stages
from arlib.networks import LinearHead
from arlib.scoring import open_scores, save_scores

RECORDED = Path(__file__).parents[2] / "book" / "results"
QUICK = {"iterations": 4, "round": 2, "batch_size": 16, "lr": 0.01}
TINY = partial(
    scenes_protocol,
    scale=0.01,
    pretrain=Finetuning("scenes-objects", training=QUICK),
    finetune=Finetuning("scenes-tagged", training=QUICK),
    proposals="grid",
    max_regions=6,
)


@pytest.fixture(autouse=True)
def small(tmp_path_factory, monkeypatch):
    """Tiny synthetic sets, and one cache for all tests of this file."""
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path_factory.getbasetemp() / "registry"))
    monkeypatch.setattr("arlib.experiments.protocol.scenes_protocol", TINY)


def stages(**changes):
    return TINY(**changes).stages(progress=False)


def refuse(*_, **__):
    raise AssertionError("made again")


@pytest.mark.parametrize("name", ["annotated", pytest.param("folded", marks=pytest.mark.slow)])
def test_a_run_that_is_not_there_is_made_with_the_default_settings(
    tmp_path, name, monkeypatch, capsys
):
    monkeypatch.setattr("arlib.experiments.trainings.has_reader", lambda: True)
    run = find_run(f"scenes-{name}", tmp_path)
    *_, line = capsys.readouterr().out.splitlines()  # networks that are kept have none
    assert line.startswith(f"The network predicts the regions of scenes-{name}. This happens once")
    assert run.facts["experiment"]["max_regions"] == 6
    assert run.scores.image.values.tolist() == stages().column(run.name).keys.tolist()
    assert not list(tmp_path.iterdir()), "it is kept in the cache, not beside the chapter"
    monkeypatch.setattr("arlib.scoring.shards.score", refuse)
    monkeypatch.setattr("arlib.experiments.stages.write_run", refuse)
    again = find_run(f"scenes-{name}", tmp_path)
    assert again.scores.identical(run.scores)
    assert capsys.readouterr().out == ""


def test_a_run_that_is_there_is_opened_as_it_is(tmp_path, monkeypatch):
    folder = stages(seed=1).measure("scenes-annotated", baselines=False)
    for name in ("scenes-annotated", "mine"):
        shutil.copytree(folder, tmp_path / "results" / name)
    monkeypatch.setattr(Stages, "measure", refuse)
    monkeypatch.chdir(tmp_path)
    for name in ("scenes-annotated", "mine"):
        run = find_run(name)
        assert (run.name, run.facts["experiment"]["protocol"]["seed"]) == (name, 1)


def test_records_are_found_from_any_folder(tmp_path, monkeypatch):
    """From the root, from `book/`, below, and elsewhere, by the clone that is installed."""
    recorded = Path(__file__).parents[2] / "book" / "results"
    monkeypatch.setattr("arlib.experiments.registry._CLONE", tmp_path / "clone")
    ours = tmp_path / "clone" / "book" / "results" / "mine"
    elsewhere = tmp_path / "elsewhere"
    for folder in (ours, elsewhere):
        folder.mkdir(parents=True)
    for folder in (recorded.parents[1], recorded.parent, recorded / "oasis-squeezenet1_1"):
        monkeypatch.chdir(folder)
        assert find_record("local_share.json") == recorded / "local_share.json"
        assert find_run("oasis-squeezenet1_1").scores.sizes["region"] == 100
    monkeypatch.chdir(elsewhere)
    assert find_record("mine") == ours
    theirs = elsewhere / "results" / "mine"
    theirs.mkdir(parents=True)
    assert find_record("mine") == theirs, "the nearest is not taken"
    looked = f"in results or book/results of {elsewhere}, of the folders above it, or of "
    with pytest.raises(ValueError, match=rf"^no other.json {looked}{tmp_path}/clone$"):
        find_record("other.json")
    with pytest.raises(ValueError, match=rf"^no run 'other' {looked}{tmp_path}/clone; there are "):
        find_run("other")


def measured(value):
    return xr.Dataset({"agreement": ("image", np.array([value]))}, attrs={"missing": {}})


def test_what_a_recorded_run_measured_is_opened_as_it_is(tmp_path, monkeypatch):
    made = stages(seed=1).measure("scenes-annotated", baselines=False)
    folder = shutil.copytree(made, tmp_path / "mine")
    write_baselines(folder, measured(4))
    monkeypatch.setattr(Stages, "baselines", refuse)
    for baselines in (False, True):
        run = find_run("mine", tmp_path, baselines=baselines)
        xr.testing.assert_identical(run.baselines.load(), measured(4))


def test_a_recorded_run_that_measured_nothing_is_not_measured_live(tmp_path, monkeypatch):
    made = stages(seed=1).measure("scenes-annotated", baselines=False)
    shutil.copytree(made, tmp_path / made.name)
    monkeypatch.setattr(Stages, "baselines", refuse)
    run = find_run("scenes-annotated", tmp_path, baselines=True)
    assert (run.name, run.baselines) == ("scenes-annotated", None)


def test_a_run_that_is_not_there_is_measured_once_if_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(Stages, "baselines", refuse)
    assert find_run("scenes-tagged", tmp_path, progress=False).baselines is None
    monkeypatch.setattr(Stages, "baselines", lambda *_: measured(5))
    first = find_run("scenes-tagged", tmp_path, baselines=True, progress=False)
    assert first.facts["experiment"]["dataset"] == "scenes-tagged-held-out"
    xr.testing.assert_identical(first.baselines.load(), measured(5))
    monkeypatch.setattr(Stages, "baselines", refuse)
    again = find_run("scenes-tagged", tmp_path, baselines=True, progress=False)
    xr.testing.assert_identical(again.baselines.load(), measured(5))
    assert not list(tmp_path.iterdir()), "it is kept in the cache, not beside the chapter"


def test_what_is_made_live_are_the_runs_of_the_protocol():
    assert tuple(scenes_protocol().runs()) == SYNTHETIC_RUNS


@pytest.mark.parametrize("name", ["flickr", "unfinished", "scenes-objects"])
@pytest.mark.parametrize("baselines", [False, True])
def test_an_unknown_run_is_refused_with_those_that_there_are(tmp_path, name, baselines):
    for folder in ("mine", "unfinished"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mine" / "run.json").write_text("{}")
    with pytest.raises(ValueError, match=r".") as caught:
        find_run(name, tmp_path, baselines=baselines)
    known = "mine, scenes-annotated, scenes-folded, scenes-tagged"
    assert str(caught.value) == f"no run {name!r} in {tmp_path}; there are {known}"


def run_of(experiment):
    """A run whose facts were written and read, without its scores."""
    return Run("any", scores=None, facts=json.loads(json.dumps({"experiment": experiment})))


@pytest.mark.parametrize("name", ["annotated", "folded"])
def test_the_images_of_a_run_are_drawn_again(name):
    settings = TINY(local_share=1.0, seed=2)
    run = run_of({"dataset": f"scenes-{name}", "protocol": asdict(settings)})
    again, dataset = images_of(run), settings.stages().column(f"scenes-{name}")
    assert (again.keys == dataset.keys).all()
    assert (again.labels == dataset.labels).all()
    assert (again.read(7) == dataset.read(7)).all()
    np.testing.assert_array_equal(again.regions, dataset.regions)


def test_photographs_are_where_the_data_is(tmp_path, monkeypatch):
    run = run_of({"dataset": "twitter2", "backbones": ["vgg16"]})
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    with pytest.raises(DatasetError, match="twitter2 is not here: get it"):
        images_of(run)
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match="twitter2 is not at"):
        images_of(run)


@pytest.mark.parametrize(
    ("name", "dataset", "source", "images", "how"),
    [
        ("twitter2-vgg16", "twitter2", "none", "Twitter II", ", frozen"),
        ("twitter2-vgg16-ft", "twitter2", "folds", "Twitter II", " fine-tuned on the other folds"),
        ("oasis-vgg16-ft-vso", "oasis", "vso", "OASIS", " fine-tuned on Flickr"),
        ("oasis-vgg16-ft-own-a", "oasis", "../a.csv", "OASIS", " fine-tuned on a"),
        (
            *("own-my_set-vgg16-shipped", "x/my_set", "shipped"),
            *("My set", ", frozen, with a head fitted on OASIS"),
        ),
        (
            *("vso-held-out-vgg16-ft-vso", "vso-held-out", "vso"),
            *("Flickr, held out", " fine-tuned on Flickr"),
        ),
        (
            *("scenes-tagged", "scenes-tagged-held-out", "scenes-tagged"),
            *("Tagged scenes, held out", " fine-tuned on tagged scenes"),
        ),
        ("mine", "twitter2", "none", "Twitter II (mine)", ", frozen"),
    ],
)
def test_the_title_of_a_run_is_made_from_its_facts(name, dataset, source, images, how):
    facts = {"dataset": dataset, "backbones": ["vgg16"], "finetune_on": [source]}
    assert words_of(name, facts) == {"dataset": images, "network": f"VGG-16{how}"}


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*/run.json")), ids=lambda p: p.parent.name)
def test_no_title_of_a_recorded_run_holds_a_folders_name(path):
    run = open_run(path.parent)
    assert run.title.count(" · ") == 1
    assert not re.search(r"[_/]|-ft|\(", run.title), run.title


class TestImagesThatAPageMayShow:
    @pytest.fixture
    def data(self, tmp_path, make_photographs):
        return make_photographs(tmp_path, 2, (20, 30))

    @staticmethod
    def run(dataset):
        run = run_of({"dataset": str(dataset), "backbones": ["vgg16"]})
        return replace(run, scores=xr.Dataset(coords={"image": images_of(run).keys.tolist()}))

    def test_ones_own_are_shown_unless_that_is_not_wanted(self, data):
        run = self.run(data / "folder")
        for photographs in ("own", "all"):
            shown = shown_images(run, photographs)
            assert shown.keys.tolist() == run.scores.image.values.tolist()
        assert shown_images(run, "none") is None

    def test_those_of_a_known_dataset_are_shown_only_on_request(self, data, monkeypatch):
        monkeypatch.setenv("ARLIB_DATA", str(data))
        run = self.run("twitter2")
        assert shown_images(run) is None
        assert shown_images(run, "none") is None
        assert len(shown_images(run, "all")) == run.scores.sizes["image"]
        monkeypatch.delenv("ARLIB_DATA")
        assert shown_images(run, "all") is None, "they are not here any more"

    def test_where_an_image_is_gone_none_is_shown(self, data):
        run = self.run(data / "folder")
        others = xr.Dataset(coords={"image": [*run.scores.image.values[1:], "gone.png"]})
        assert shown_images(replace(run, scores=others)) is None

    def test_synthetic_scenes_are_always_shown(self):
        settings = TINY()
        run = run_of({"dataset": "scenes-folded", "protocol": asdict(settings)})
        run = replace(run, scores=xr.Dataset(coords={"image": images_of(run).keys.tolist()}))
        assert shown_images(run, "none").draw is not None

    def test_another_choice_is_refused(self):
        with pytest.raises(ValueError, match="photographs must be own, all, none, not 'mine'"):
            shown_images(run_of({"dataset": "twitter2"}), "mine")


def test_the_real_run_finds_its_photographs(data_root):
    run = run_of({"dataset": "twitter2", "backbones": ["mobilenet_v2"]})
    assert images_of(run).root == data_root / "twitter2"


def test_labels_are_asked_for_where_there_is_none(make_scores):
    scores = make_scores(6, 2)
    Run("some", scores).require_labels("A table")  # the last has none, others do
    scores["label"] = scores.label * 0 - 1
    message = r"A table: this needs labels, and of the run's 6 images none has one\. A table with"
    with pytest.raises(LabelsNeeded, match=message):
        Run("none", scores).require_labels("A table")


class TestScoresThatBecomeARun:
    """`arlib score` writes scores; `add_run` makes a run of them."""

    @pytest.fixture
    def scores(self, make_scores):
        scores = make_scores(12, 4, seed=3)
        return scores.drop_attrs().assign_attrs(
            dataset="labels", backbone="vgg16", weights_sha256="5ha", unreadable={}
        )

    @pytest.fixture
    def table(self, scores, tmp_path):
        """The images that were scored, with their labels: files, which nobody decodes."""
        lines = ["path,label,fold"]
        for image in range(12):
            key, label = scores.image.values[image], scores.label.values[image]
            (tmp_path / key).write_bytes(key.encode())
            lines.append(f"{key},{['positive', 'negative', ''][label]},{image % 5 + 1}")
        (tmp_path / "labels.csv").write_text("\n".join(lines))
        return tmp_path / "labels.csv"

    @pytest.fixture
    def add(self, scores, table, tmp_path, monkeypatch):
        """Save scores, changed or not, and make a run of them."""
        monkeypatch.chdir(tmp_path)

        def add(name="", dataset="labels.csv", *, of=scores, **attrs):
            shutil.rmtree("scores.zarr", ignore_errors=True)
            save_scores(of.assign_attrs(attrs), "scores.zarr")
            return add_run("scores.zarr", "results", dataset=dataset, name=name)

        return add

    def test_is_found_listed_and_evaluated_like_any_other(self, add, scores, table):
        folder = add("mine")
        run = find_run("mine").load()
        assert run.scores.drop_attrs().equals(scores.drop_attrs())
        assert run.title == "Labels (mine) · VGG-16 fine-tuned on an unnamed set"
        assert run.facts["dataset"]["sha256"] == load(table).sha256()
        assert run.facts["dataset"]["images"] == 12
        assert run.facts["experiment"]["dataset"] == str(table)
        assert run.facts["seconds"] == {}
        assert images_of(run).keys.tolist() == scores.image.values.tolist()
        assert isinstance(parse_experiment(run.facts["experiment"]), Experiment)
        (column,) = table1([run]).values()
        assert column.images["VGGNet + ft"] == 11
        assert column.note["SentiBank"] == "not measured in this run: it holds scores alone"
        (row,) = list_runs("results")
        finished = run.facts["finished"]
        assert row == {
            "name": "mine",
            "title": run.title,
            "dataset": str(table),
            "network": run.network,
            "images": 12,
            "finished": finished,
        }
        (folder / "run.json").write_text("{}")
        with pytest.raises(ValueError, match=r"mine/run\.json does not hold the facts of a run"):
            list_runs("results")

    @pytest.mark.parametrize(
        ("attrs", "name", "network"),
        [
            ({"model": {"dataset": "b"}}, "own-labels-vgg16-ft-b", "VGG-16 fine-tuned on b"),
            ({"head": {"dataset": "a"}}, "own-labels-vgg16", "VGG-16, frozen"),
            (
                {"head": json.loads(json.dumps(LinearHead.default().provenance))},
                "own-labels-vgg16-shipped",
                "VGG-16, frozen, with a head fitted on OASIS",
            ),
        ],
    )
    def test_is_called_after_images_network_and_what_that_learned_from(
        self, add, attrs, name, network
    ):
        assert add(**attrs).name == name
        assert find_run(name).network == network

    def test_may_be_of_images_that_are_not_at_hand(self, add, monkeypatch, tmp_path, caplog):
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
        with pytest.raises(ValueError, match="holds scores of labels, not of twitter2"):
            add(dataset="twitter2")
        run = open_run(self.add_twitter2())
        assert run.name == "twitter2-vgg16-ft-an_unnamed_set"
        assert run.facts["dataset"]["sha256"] is None
        assert "run.json will have no hash of the images: " in caplog.text

    def add_twitter2(self):
        scores = open_scores("scores.zarr").load().assign_attrs(dataset="twitter2")
        save_scores(scores, "scores.zarr", overwrite=True)
        return add_run("scores.zarr", "results", dataset="twitter2")

    def test_without_labels_has_no_results(self, add, scores, tmp_path):
        bare = scores.assign(label=scores.label * 0 - 1, fold=scores.fold * 0 - 1)
        (tmp_path / "photos").mkdir()
        for key in bare.image.values:
            (tmp_path / "photos" / key).touch()
        add("bare", "photos", of=bare)
        run = find_run("bare")
        assert run.facts["results"] == {}
        assert run.facts["dataset"]["majority"] is None
        with pytest.raises(LabelsNeeded):
            run.require_labels("Table 1")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("a/b", "a run's name has letters, digits, '.', '-' and '_' alone: 'a/b'"),
            ("../mine", "a run's name has"),
            (".mine", "a run's name has"),
            (
                "scenes-folded",
                "scenes-folded is the name of a run that is computed live: give another name",
            ),
        ],
    )
    def test_a_name_that_no_run_can_have_is_refused(self, add, name, message):
        with pytest.raises(ValueError, match=f"^{message}"):
            add(name)
        assert not Path("results").exists()

    def test_a_name_that_is_taken_is_refused(self, add):
        Path("results", "mine").mkdir(parents=True)
        with pytest.raises(FileExistsError, match=r"^results/mine exists already: give another"):
            add("mine")
        assert not list(Path("results", "mine").iterdir())

    def test_scores_of_other_images_or_labels_are_refused(self, add, scores, table):
        with pytest.raises(DatasetError, match="no dataset 'twiter2'"):
            add(dataset="twiter2")
        with pytest.raises(ValueError, match=r"'image0003\.jpg' has another label than in /"):
            add(of=scores.assign(label=scores.label * 0))
        other = scores.assign_coords(image=[f"x{key}" for key in scores.image.values])
        with pytest.raises(ValueError, match=r"holds scores of 'ximage0000\.jpg', which is not in"):
            add(of=other)
        assert not Path("results").exists()

    def test_what_is_no_finished_store_is_refused(self, add, scores):
        with pytest.raises(StoreError, match=r"^no scores at labels\.csv"):
            add_run("labels.csv", "results", dataset="labels.csv")
        with pytest.raises(ValueError, match=r"lacks its backbone, which arlib score writes"):
            add(of=scores.drop_attrs().assign_attrs(dataset="a", unreadable={}, weights_sha256=""))
        # half of it is written, or a chunk of it is lost while it is copied
        chunk = Path("scores.zarr", "box", "c", "0", "0", "0")
        add("whole")
        chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
        with pytest.raises(StoreError, match="has changed since it was written"):
            add_run("scores.zarr", "results", dataset="labels.csv", name="damaged")
        chunk.unlink()
        with pytest.raises(StoreError, match="is missing"):
            add_run("scores.zarr", "results", dataset="labels.csv", name="damaged")
        shutil.rmtree("scores.zarr/label")
        Path("scores.zarr", "zarr.json").unlink()
        with pytest.raises(StoreError, match=r"^no scores at scores\.zarr"):
            add_run("scores.zarr", "results", dataset="labels.csv", name="damaged")
        assert [path.name for path in Path("results").iterdir()] == ["whole"]


def test_the_images_of_a_run_are_those_that_are_tested(tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(write_layouts(tmp_path, pairs=4, each=10)))
    vso = load("vso")
    assert set(vso.folds.tolist()) == {-1, 1}
    images = images_of(Run("vso", xr.Dataset(), facts={"experiment": {"dataset": "vso"}}))
    assert images.keys.tolist() == vso.keys[vso.folds == 1].tolist()
