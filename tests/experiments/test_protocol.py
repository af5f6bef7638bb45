"""The paper's protocol: one network fine-tuned on 90 % of a set, and Table 1 of its columns."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from tests.experiments.helpers import write_layouts

from arlib.evaluation import table1
from arlib.experiments import (
    Finetuning,
    Protocol,
    experiment_settings,
    images_of,
    open_run,
    parse_experiment,
    planning,
    stages as module,
    trainings,
)
from arlib.experiments.planning import Plan
from arlib.experiments.rates import Rates

pytestmark = pytest.mark.xdist_group("protocol")  # one worker makes what they share

CAM, WSCNET = "VGGNet + ft + CAM + lf", "WSCNet + VGGNet"
COLUMNS = ("twitter1-five", "twitter2", "vso-held-out")
SMALL = Protocol(
    "vgg_tiny",
    Finetuning("vso", training={"iterations": 4, "batch_size": 8, "lr": 0.01}),
    COLUMNS,
    weights="random",
    caffenet="alexnet_tiny",
    proposals="grid",
    max_regions=3,
)


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """Small sets in the original layouts, and a cache."""
    root = write_layouts(tmp_path_factory.mktemp("data"), pairs=10, each=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARLIB_DATA", str(root))
        patch.setenv("ARLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield root


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def runs(data, said, tmp_path_factory):
    """Column -> run."""
    folder = tmp_path_factory.mktemp("results")
    makers = SMALL.runs(progress=False, say=said.append)
    assert list(makers) == [f"{column}-vgg_tiny-ft-vso" for column in COLUMNS]
    folders = [make(folder) for make in makers.values()]
    assert [path.name for path in folders] == list(makers)
    return dict(zip(COLUMNS, map(open_run, folders), strict=True))


@pytest.fixture
def stages():
    return SMALL.stages(progress=False)


def test_all_ten_rows_of_every_column_have_a_number(runs):
    table = table1([run.load() for run in runs.values()])
    assert list(table) == [run.name for run in runs.values()]
    for rows in table.values():
        paper = rows.drop(["DeepSentiBank", "VGGNet + ft, threshold chosen"])
        assert len(paper) == 10
        assert np.isfinite(paper.accuracy).all(), rows


def test_nothing_learns_from_the_held_out_tenth(stages, runs):
    tested = set(runs["vso-held-out"].scores.image.values.tolist())
    assert len(stages.source) == 40
    assert len(tested) == 4
    assert not tested & set(stages.learned.keys.tolist())
    assert not tested & set(stages.sample.keys.tolist())
    assert not tested & set(stages.tagged.keys.tolist())
    for folder in (stages.tuned_folder("vgg_tiny"), stages.tuned_folder("alexnet_tiny")):
        assert json.loads((folder / "plan.json").read_text())["images"] == 36


def test_the_held_out_part_has_folds_for_choosing_k(runs):
    assert sorted(set(runs["vso-held-out"].folds.tolist())) == [1, 2]  # of two images a class


def test_a_subset_of_twitter_1_is_one_column(stages, runs):
    assert [len(run.columns()) for run in runs.values()] == [1, 1, 1]
    assert runs["twitter1-five"].scores.sizes["image"] == 10
    assert [len(stages.column(f"twitter1-{agree}")) for agree in ("four", "three")] == [15, 20]


def test_a_run_knows_its_images_and_its_settings(runs):
    for column, run in runs.items():
        assert images_of(run).keys.tolist() == run.scores.image.values.tolist()
        assert parse_experiment(run.facts["experiment"]) == SMALL
        assert run.network == "small VGG fine-tuned on Flickr"
        assert run.facts["experiment"]["dataset"] == column
        assert run.facts["learning_curve"][-1]["step"] == 3
        assert 0 <= run.facts["learning_curve"][-1]["val_accuracy"] <= 1


def test_the_share_that_pcnn_dropped_is_said_and_kept(runs, said):
    for run in runs.values():
        dropped = run.baselines.attrs["dropped"]
        assert dropped.keys() == {"PCNN + CaffeNet", "PCNN + VGGNet"}
        assert all(0 <= each["dropped"] <= 1 for each in dropped.values())
    lines = [line for line in said if "dropped" in line]
    assert len(lines) == 2
    assert all("% expected" in line for line in lines)


def test_a_row_that_was_not_named_says_so(runs):
    missing = runs["twitter2"].baselines.attrs["missing"]
    reason = "not asked for: the protocol's rows do not name it"
    assert missing == dict.fromkeys(["DeepSentiBank", CAM, WSCNET, "controls"], reason)


def test_what_is_kept_is_not_made_again(runs, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("made again")

    monkeypatch.setattr(module, "joint_features", refuse)
    monkeypatch.setattr(trainings, "train_bank", refuse)
    monkeypatch.setattr("arlib.networks.finetuner.Finetuner.training_step", refuse)
    monkeypatch.setattr("arlib.scoring.shards.score", refuse)
    make = SMALL.runs(progress=False)["twitter2-vgg_tiny-ft-vso"]
    again = open_run(make(tmp_path))
    assert again.differences(runs["twitter2"]) == dict.fromkeys(
        runs["twitter2"].differences(runs["twitter2"]), 0.0
    )
    assert (again.baselines.probability == runs["twitter2"].baselines.probability).all()


def test_other_settings_are_other_folders(stages):
    tuned, scored = stages.tuned_folder("vgg_tiny"), stages.scores_folder("vso-held-out")
    other = Finetuning("vso", training={"iterations": 5})
    for changed in ({"finetune": other}, {"seed": 1}):
        theirs = replace(SMALL, **changed).stages(progress=False)
        assert theirs.tuned_folder("vgg_tiny") != tuned
        assert theirs.scores_folder("vso-held-out") != scored
    theirs = replace(SMALL, max_regions=4).stages(progress=False)
    assert theirs.tuned_folder("vgg_tiny") == tuned  # only scores depend on it
    assert theirs.scores_folder("vso-held-out") != scored


def test_boxes_of_a_file_are_known_by_what_it_holds(tmp_path):
    def folder(name, *rows):
        text = "\n".join(["image,x0,y0,x1,y1,score", *rows])
        (tmp_path / name).write_text(text)
        changed = replace(SMALL, proposals=str(tmp_path / name))
        return changed.stages(progress=False).scores_folder("vso-held-out")

    first = folder("a.csv", "x.jpg,0,0,5,5,1")
    assert folder("b.csv", "x.jpg,0,0,5,5,1") == first
    assert folder("a.csv", "x.jpg,0,0,5,6,1") != first


def test_a_row_that_cannot_be_measured_is_a_cell_with_its_reason(runs, data, tmp_path):
    rows = ("sentibank", "vggnet", "deepsentibank")
    lacking = replace(SMALL, rows=rows, anps=str(data / "nowhere"), columns=("twitter2",))
    (make,) = lacking.runs(progress=False).values()
    run = open_run(make(tmp_path))
    assert run.baselines.method.values.tolist() == ["VGGNet"]
    for row in ("SentiBank", "DeepSentiBank"):
        reason = run.baselines.attrs["missing"][row]
        assert "nowhere" in reason
        assert str(data) not in reason  # a page shows it


def test_a_column_of_other_classes_is_refused(stages):
    with pytest.raises(ValueError, match=r"has the classes .*, the network those of vso"):
        stages.column("scenes-objects")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ("sentibanks",)}, "no row 'sentibanks'; there are sentibank, pcnn-caffenet"),
        ({"columns": ("vso",)}, "has seen its images; the column vso-held-out"),
        (
            {"columns": ("twitter1-five",), "finetune": Finetuning("twitter1")},
            "twitter1-five: a network fine-tuned on twitter1 has seen its images",
        ),
        ({"columns": ("a/x.csv", "b/x.csv")}, "two columns would be one run, own-x-vgg_tiny-ft"),
        (
            {"finetune": Finetuning("vso", hold_out=0.6)},
            r"hold_out must lie in \[0, 0.5\], not 0.6",
        ),
        (
            {"finetune": Finetuning("vso", hold_out=0.0)},
            "nothing is held out of vso for the column",
        ),
        ({"finetune": Finetuning("vso", training={"iteration": 3})}, "did you mean iterations"),
        ({"proposals": "boxes"}, "no proposal method 'boxes'"),
    ],
)
def test_what_no_run_could_be_made_of_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize("missing", ["backbone", "finetune", "columns"])
def test_a_protocol_needs_a_network_its_images_and_columns(missing):
    settings = json.loads(json.dumps(asdict(SMALL)))
    assert settings.keys() == experiment_settings("", protocol=True).keys()
    assert parse_experiment({"protocol": settings}) == SMALL
    del settings[missing]
    with pytest.raises(ValueError, match=f"a protocol needs {missing}"):
        parse_experiment({"protocol": settings})


class TestNamedPairs:
    """A file names SentiBank's pairs, in place of the 1,200 whose detectors work best."""

    @pytest.fixture
    def named(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "pairs.txt").write_text("sunny_sky\nsad_dog\n")
        return replace(SMALL, rows=("sentibank",), pairs="pairs.txt").with_paths(str)

    def test_learn_from_their_images_alone_and_are_kept_under_their_names(
        self, named, stages, tmp_path
    ):
        assert named.pairs == str(tmp_path / "pairs.txt")  # chapters run elsewhere
        ours = named.stages(progress=False)
        path = ours.row_path("twitter2", "sentibank")
        assert path != stages.row_path("twitter2", "sentibank")
        assert ours.row_path("twitter2", "vggnet") == stages.row_path("twitter2", "vggnet")
        assert any("2 noun pairs, named by" in line for line in ours.plan().lines)
        assert ours.bank.anps == ("sad_dog", "sunny_sky")
        assert len(stages.bank.anps) == 4
        (tmp_path / "pairs.txt").write_text("sunny_sky\nhappy_dog\n")
        assert named.stages(progress=False).row_path("twitter2", "sentibank") != path

    @pytest.mark.parametrize(
        ("text", "message"),
        [("sunny_sky\nsunny_dog\n", ", line 2: no image has the pair"), ("", "names no pair")],
    )
    def test_an_unknown_pair_or_an_empty_list_is_said_before_anything_starts(
        self, named, tmp_path, text, message
    ):
        (tmp_path / "pairs.txt").write_text(text)
        obstacle = named.stages(progress=False).plan().obstacle()
        assert obstacle.startswith(f"nothing was started: {tmp_path / 'pairs.txt'}")
        assert message in obstacle

    def test_a_list_that_is_not_there_is_named(self):
        with pytest.raises(ValueError, match=r"parameter pairs: no file 'nowhere\.txt'"):
            replace(SMALL, pairs="nowhere.txt").with_paths(str)


class TestPlan:
    def test_says_what_is_kept_and_what_is_left(self, runs, stages, data):
        plan = stages.plan()
        assert plan.columns == COLUMNS
        assert plan.obstacle() is None
        text = "\n".join(plan.lines)
        assert "vso                40 images, 4 of them held out (published: 484,258)" in text
        steps = [
            line for line in plan.lines if line.startswith(("  finetune", "  score", "  rows"))
        ]
        assert len(steps) == 1 + len(COLUMNS) + 1 + len(SMALL.rows)
        assert all(line.endswith("kept") for line in steps)
        longer = Finetuning("vso", training={"iterations": 4, "batch_size": 8, "lr": 0.02})
        lines = replace(SMALL, finetune=longer).stages(progress=False).plan().lines
        assert not any(line.endswith("kept") for line in lines)

    def test_without_any_data_it_says_what_to_get(self, stages, monkeypatch, tmp_path):
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
        plan = stages.plan()
        text = "\n".join(plan.lines)
        for name in ("vso", "twitter1", "twitter2"):
            assert f"`arlib data where {name}` says how to get it" in text
        assert "882 images" in text
        assert f"{48_426:,} images" in text
        assert plan.obstacle(yes=True) == (
            "nothing was started: vso, which the network learns from, is not here"
        )

    def test_a_column_that_is_not_here_is_named_and_the_others_stay(self, data):
        lacking = replace(SMALL, columns=("oasis", "twitter2")).stages(progress=False)
        plan = lacking.plan()
        assert plan.columns == ("twitter2",)
        assert plan.obstacle() is None
        assert any(line.startswith("  oasis              missing: ") for line in plan.lines)

    def test_weights_that_are_not_here_are_lacking_before_anything_starts(self):
        unpublished = replace(SMALL, weights="auto").stages(progress=False).plan()
        assert "no weights of vgg_tiny" in unpublished.obstacle()
        elsewhere = replace(SMALL, weights="/nowhere.safetensors").stages(progress=False).plan()
        assert "no weights file /nowhere.safetensors" in elsewhere.obstacle()

    @pytest.mark.parametrize(
        ("changes", "yes", "message"),
        [
            ({}, False, None),
            ({"seconds": 9 * planning.DAY}, False, "without a GPU this takes 9.0 days"),
            ({"seconds": 9 * planning.DAY}, True, None),
            ({"seconds": 9 * planning.DAY, "gpu": True}, False, None),
            ({"short": 2e9}, True, "the disk lacks 2.0 GB"),
            ({"columns": ()}, True, "no column has images here"),
        ],
    )
    def test_what_cannot_end_does_not_start(self, changes, yes, message):
        plan = Plan((), ("a",), (), 10.0, "2 CPU cores", gpu=False, short=-1.0)
        obstacle = replace(plan, **changes).obstacle(yes=yes)
        assert obstacle is None if message is None else message in obstacle

    def test_beside_a_gpu_images_are_prepared_while_it_works(self, monkeypatch):
        monkeypatch.setattr("os.cpu_count", lambda: 2)
        cpu = Rates(1.0, 0.5, 0.1, propose=3.0, describe=1.0, fit=1.0, decode=1.0, gpu=False)
        gpu = replace(cpu, gpu=True)
        assert cpu.training(10, 4) == 10 * (1 + 4 * 0.5) + 10 * 4 * 1.0 / 2
        assert gpu.training(10, 4) == max(10 * (1 + 4 * 0.5), 10 * 4 * 1.0 / 2)
        assert cpu.scoring(5, 9) == pytest.approx(5 * 10 * 0.1 + 5 * 4.0 / 2)
        assert gpu.scoring(5, 9) == 5 * 4.0 / 2
