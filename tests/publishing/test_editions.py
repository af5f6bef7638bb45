"""Editions are read with their overrides; what no chapter or experiment declares is refused."""

from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook
from tests.publishing.conftest import chapter

from arlib.datasets.scenes import SceneGenerator
from arlib.experiments import Experiment, SyntheticProtocol
from arlib.publishing import editions
from arlib.publishing.editions import Edition, EditionError


def test_the_book_is_found_from_below(book):
    assert editions.find_book(book / "book") == book
    with pytest.raises(EditionError, match="run this inside a clone"):
        editions.find_book("/")


def test_an_edition_is_read_and_overridden(book):
    assert editions.load_edition(book, "plain") == Edition("plain", "As it is", {"k": 3})
    changed = editions.load_edition(book, "plain", {"k": 11, "alpha": 2, "runs": ["c"]})
    assert changed.parameters == {"k": 11, "alpha": 2, "runs": ["c"]}
    fresh = editions.load_edition(book, "fresh", {"max_regions": 7, "k": 2})
    assert fresh.experiment == Experiment("twitter2", ("squeezenet1_1",), max_regions=7)
    assert fresh.parameters == {"k": 2, "runs": ["twitter2-squeezenet1_1"]}


def test_an_edition_that_names_no_run_shows_its_own(book):
    several = {"backbones": ["vgg16", "alexnet"], "finetune_on": ["none", "folds"]}
    named = editions.load_edition(book, "fresh", several).parameters["runs"]
    assert named == [
        "twitter2-vgg16",
        "twitter2-alexnet",
        "twitter2-vgg16-ft",
        "twitter2-alexnet-ft",
    ]
    assert editions.load_edition(book, "fresh", {"runs": ["a"]}).parameters["runs"] == ["a"]


def test_a_dataset_may_be_a_path_of_ones_own(book, tmp_path, monkeypatch):
    (tmp_path / "my photos").mkdir()
    (tmp_path / "my photos" / "labels.csv").write_text("path,label\n")
    monkeypatch.chdir(tmp_path / "my photos")
    for dataset, path, name in (
        ("labels.csv", tmp_path / "my photos" / "labels.csv", "own-labels-squeezenet1_1"),
        ("../my photos", tmp_path / "my photos", "own-my_photos-squeezenet1_1"),
    ):
        edition = editions.load_edition(book, "fresh", {"dataset": dataset})
        assert edition.experiment.dataset == str(path)  # wherever chapters run
        assert edition.parameters["runs"] == [name]
    with pytest.raises(EditionError, match=r"no dataset 'absent.csv', and no such file; there are"):
        editions.load_edition(book, "fresh", {"dataset": "absent.csv"})


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("absent", {}, r"no edition 'absent'; there are fresh, plain"),
        ("plain", {"K": 3}, r"no parameter 'K' in edition plain; there are \['alpha', 'k', 'name'"),
        ("plain", {"max_regions": 3}, "no parameter 'max_regions'"),
        ("plain", {"k": 2.5}, "parameter k must be int like 8, not 2.5"),
        ("plain", {"k": True}, "parameter k must be int"),
        ("plain", {"runs": "a"}, "parameter runs must be list"),
        ("plain", {"runs": [["a"]]}, r"parameter runs may hold texts and numbers, not \['a'\]"),
        ("plain", {"runs": [{"a": 1}]}, "parameter runs may hold texts and numbers"),
        ("plain", {"alpha": float("inf")}, "parameter alpha may hold texts and numbers, not inf"),
        ("plain", {"name": None}, "parameter name must be str like 'x', not None"),
        ("plain", {"k = 1; import os; k": 3}, r"no parameter 'k = 1; import os; k' in .*\['alpha'"),
        ("plain", {"k\nimport os\nk": 3}, "no parameter"),
        ("plain", {"": 3}, "no parameter ''"),
        ("plain", {"k ": 3}, "no parameter 'k '"),
        ("plain", {"__import__('os').abort": 3}, "no parameter"),
        ("fresh", {"backbone": "x"}, r"no parameter 'backbone' .*'backbones', 'caffenet'"),
    ],
)
def test_what_no_chapter_declares_is_refused(book, name, overrides, message):
    with pytest.raises(EditionError, match=message):
        editions.load_edition(book, name, overrides)


def test_unknown_and_missing_keys_of_the_file_are_refused(book):
    path = book / "editions" / "fresh.yaml"
    raw = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(raw | {"titel": "x"}))
    with pytest.raises(EditionError, match=r"editions/fresh.yaml: unknown key\(s\) \['titel'\]"):
        editions.load_edition(book, "fresh")
    raw["experiment"]["regions"] = 3
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(EditionError, match=r"unknown key\(s\) \['regions'\]; there are \['anps'"):
        editions.load_edition(book, "fresh")
    path.write_text("")
    with pytest.raises(EditionError, match=r"editions/fresh.yaml has no title"):
        editions.load_edition(book, "fresh")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("k = 1 + k", r"one.ipynb: 'k = 1 \+ k' is no literal"),
        ("print(3)", r"'print\(3\)' sets no name"),
        ("a, b = 1, 2", r"'a, b = \(1, 2\)' sets no name|'\(a, b\) = \(1, 2\)' sets no name"),
    ],
)
def test_a_parameters_cell_holds_flat_literals(tmp_path, parameters, message):
    path = tmp_path / "one.ipynb"
    nbformat.write(chapter(parameters=parameters), path)
    with pytest.raises(EditionError, match=message):
        editions.chapter_parameters(path)


def test_a_chapter_needs_one_parameters_cell(tmp_path):
    path = tmp_path / "one.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("k = 1")]), path)
    with pytest.raises(EditionError, match="has 0 cells tagged 'parameters', not one"):
        editions.chapter_parameters(path)


def test_an_experiment_on_scenes_is_the_synthetic_protocol(scenes_book):
    edition = editions.load_edition(scenes_book, "scenes")
    assert edition.experiment == SyntheticProtocol(scale=0.1, max_regions=5)
    changed = editions.load_edition(
        scenes_book, "scenes", {"local_share": 1, "backbone": "alexnet_tiny"}
    )
    assert changed.experiment == SyntheticProtocol(
        generator=SceneGenerator(local_share=1.0), scale=0.1, max_regions=5, backbone="alexnet_tiny"
    )


def test_its_settings_reach_the_chapters_that_declare_them(scenes_book):
    assert editions.load_edition(scenes_book, "scenes").parameters == {"max_regions": 5, "k": 3}
    overrides = {"max_regions": 7, "local_share": 1.0, "seed": 2, "k": 4}
    changed = editions.load_edition(scenes_book, "scenes", overrides)
    assert changed.parameters == {"max_regions": 7, "local_share": 1.0, "k": 4}
    assert changed.experiment == SyntheticProtocol(
        generator=SceneGenerator(local_share=1.0), seed=2, scale=0.1, max_regions=7
    )
    fresh = editions.load_edition(scenes_book, "fresh")
    own = "twitter2-squeezenet1_1"
    assert fresh.parameters == {"max_regions": 5, "run": own, "runs": [own]}


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (
            {"scales": 1.0},
            r"unknown key\(s\) \['scales'\]; there are \['backbone', 'crop', 'dataset', 'loc",
        ),
        ({"backbones": ["vgg16"]}, r"unknown key\(s\) \['backbones'\]; there are \['backbone'"),
        ({"seed": 0.5}, "seed must be int, not 0.5"),
        ({"scale": "small"}, "scale must be float, not 'small'"),
        ({"backbone": ["vgg_tiny"]}, r"backbone must be str, not \['vgg_tiny'\]"),
        ({"local_share": 2.0}, r"local_share must lie in \[0, 1\], not 2.0"),
        ({"dataset": "twitter2", "scale": 1.0}, r"unknown key\(s\) \['scale'\]; .*'backbones'"),
        ({"dataset": "twitter2"}, "an experiment on photographs needs backbones"),
        ({"dataset": None}, "an experiment on photographs needs backbones"),
    ],
)
def test_an_invalid_experiment_is_refused(scenes_book, experiment, message):
    raw = {"title": "Scenes", "experiment": {"dataset": "scenes", **experiment}}
    (scenes_book / "editions" / "scenes.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(EditionError, match=message):
        editions.load_edition(scenes_book, "scenes")


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("scenes", {"scale": "small"}, "scale must be float, not 'small'"),
        ("scenes", {"scales": 1.0}, r"no parameter 'scales' in edition scenes; .*'scale'"),
        ("scenes", {"dataset": "twitter2"}, "an experiment on photographs needs backbones"),
        ("fresh", {"dataset": "scenes"}, "no setting 'backbones' of the synthetic scenes"),
    ],
)
def test_overrides_of_an_experiment_are_checked_too(scenes_book, name, overrides, message):
    with pytest.raises(EditionError, match=message):
        editions.load_edition(scenes_book, name, overrides)


def test_every_edition_of_the_book_is_well_formed():
    root = Path(__file__).parents[2]
    assert {"recorded", "smoke", "twitter2", "oasis", "paper"} <= set(editions.edition_names(root))
    for name in editions.edition_names(root):
        edition = editions.load_edition(root, name)
        assert edition.title
    assert editions.load_edition(root, "paper").experiment.backbones == ("vgg16",)
