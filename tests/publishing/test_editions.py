"""Editions are read with their overrides; what no chapter or experiment declares is refused."""

from dataclasses import fields
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from tests.publishing.conftest import chapter

from arlib._support.settings import PROTOCOL, SETTINGS
from arlib.experiments import Experiment, Finetuning, scenes_protocol
from arlib.networks import Model, Training, load_backbone
from arlib.publishing import editions
from arlib.publishing.editions import Edition, EditionError


def test_the_book_is_found_from_below(book):
    assert editions.find_book(book / "book") == book
    with pytest.raises(
        EditionError, match="run this inside a clone of its repository, cd CLONE first"
    ):
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
    for name in ("photos #1", "2024", "no", "null", "~", "010", "1:30", "2024-05-01", "a: b.csv"):
        (tmp_path / "my photos" / name).mkdir()
        edition = editions.load_edition(book, "fresh", {"dataset": name})
        assert edition.experiment.dataset == str(tmp_path / "my photos" / name), "as it was typed"
    with pytest.raises(EditionError, match=r"no file of boxes .*absent.csv: No such file"):
        editions.load_edition(book, "fresh", {"proposals": "absent.csv"})
    Path("boxes.csv").write_text("image,x0,y0,x1,y1,score\n")
    edition = editions.load_edition(book, "fresh", {"proposals": "boxes.csv"})
    assert edition.experiment.proposals == str(Path("boxes.csv").resolve())
    with pytest.raises(EditionError, match=r"no dataset 'absent.csv', and no such file; there are"):
        editions.load_edition(book, "fresh", {"dataset": "absent.csv"})


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("absent", {}, r"no edition 'absent'; there are fresh, plain"),
        ("plain", {"K": 3}, r"no parameter 'K' in edition plain \(did you mean k\?\); `arlib edi"),
        ("plain", {"max_regions": 3}, "no parameter 'max_regions'"),
        ("plain", {"k": 2.5}, "parameter k: must be a whole number from 1 to 10000, not 2.5"),
        ("plain", {"k": True}, "parameter k: must be a whole number"),
        ("plain", {"runs": "a"}, "parameter runs: must be a list such as "),
        ("plain", {"runs": [["a"]]}, r"parameter runs: must be a list .* \(\['a'\] is no text\)"),
        ("plain", {"runs": [{"a": 1}]}, "parameter runs: must be a list such as"),
        (
            "plain",
            {"alpha": float("inf")},
            "parameter alpha: must be a number from 0 to 1000, not inf",
        ),
        ("plain", {"name": None}, "parameter name: must be a text, not None"),
        ("plain", {"k = 1; import os; k": 3}, r"no parameter 'k = 1; import os; k' in edition"),
        ("plain", {"k\nimport os\nk": 3}, "no parameter"),
        ("plain", {"": 3}, "no parameter ''"),
        ("plain", {"k ": 3}, "no parameter 'k '"),
        ("plain", {"__import__('os').abort": 3}, "no parameter"),
        ("fresh", {"backbone": "x"}, r"no parameter 'backbone' .*\(did you mean backbones\?\)"),
    ],
)
def test_what_no_chapter_declares_is_refused(book, name, overrides, message):
    with pytest.raises(EditionError, match=message):
        editions.load_edition(book, name, overrides)


def test_unknown_and_missing_keys_of_the_file_are_refused(book):
    path = book / "editions" / "fresh.yaml"
    raw = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(raw | {"titel": "x"}))
    with pytest.raises(
        EditionError,
        match=r"fresh.yaml: no key 'titel' \(did you mean title\?\); there are title, ",
    ):
        editions.load_edition(book, "fresh")
    raw["experiment"]["regions"] = 3
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(
        EditionError, match=r"fresh.yaml: no parameter 'regions' .*mean max_regions"
    ):
        editions.load_edition(book, "fresh")
    path.write_text("parameters: {k: 3}")
    with pytest.raises(EditionError, match=r"editions/fresh.yaml has no title"):
        editions.load_edition(book, "fresh")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- title", "must hold title, parameters, experiment, protocol: it is a list"),
        ("", "must hold title, parameters, experiment, protocol: it is empty"),
        ("own", "must hold title, parameters, experiment, protocol: it is 'own'"),
        ("title: [a]", "title must be a text, not a list"),
        ("title: x\nparameters: [k]", "parameters must be a mapping, not a list"),
        ("title: x\nexperiment: twitter2", "experiment must be a mapping, not 'twitter2'"),
        ("title: x\ntitle: y", "line 2, column 1: key 'title' comes twice"),
        ("title: x\nparameters: {k: 1, k: 2}", "line 2, column 20: key 'k' comes twice"),
        ("title: x\n\tparameters:", "line 2, column 1: found character '\\\\t'"),
        ("title: x\nparameters: {runs: [a", "line 2, column 22: expected ',' or '\\]'"),
        ("title: &a x\nparameters: {name: *a}", "line 1, column 8: anchors are not read"),
        ("title: !!python/name:os.system x", "line 1, column 8: tags are not read"),
        ("title: x\n---\ntitle: y", "line 2, column 1: but found another document"),
        ("title: x\nparameters: {? [a] : b}", "line 2, column 16: a key is no text"),
        pytest.param("title: " + "[" * 3000, "line 1, column 27: too many lists", id="deep"),
        ("title: x\0", "unacceptable character #x0000"),
        (b"title: \xff", "unacceptable character #x00ff: invalid start byte"),
        ("title: x\nparameters: {k: three}", "parameter k: must be a whole number from 1 to"),
        ("title: x\nparameters: {k: 1e3}", "parameter k: must be a whole number from 1 to"),
        ("title: x\nparameters: {runs: a}", "parameter runs: must be a list"),
        ("title: x\nparameters: {alpha: .nan}", "parameter alpha: must be a number from 0 to 1000"),
        ("title: x\nparameters: {nam: y}", "no parameter 'nam' .*did you mean name"),
    ],
)
def test_a_file_that_is_no_edition_is_one_line_that_names_it(book, text, message):
    path = book / "editions" / "plain.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EditionError, match=rf"editions/plain\.yaml:? {message}") as caught:
        editions.load_edition(book, "plain")
    assert len(str(caught.value).splitlines()) == 1


def test_what_looks_like_another_type_in_a_file_stays_what_its_parameter_is(book):
    text = "title: 2024\nparameters: {name: 010, k: 010, alpha: 2, runs: [no, 1:30, ~]}"
    (book / "editions" / "plain.yaml").write_text(text)
    edition = editions.load_edition(book, "plain")
    assert edition.title == "2024"
    assert edition.parameters == {"name": "010", "k": 10, "alpha": 2, "runs": ["no", "1:30", "~"]}


@pytest.mark.parametrize("name", ["010", "no", 'a"b', "a\nb", "{k}", "\\N{DASH}", "é\u2028", ""])
def test_parameters_reach_the_chapter_with_their_types(book, name):
    texts = {"name": name, "k": "010", "alpha": "2", "runs": "[010, no]"}
    values = editions.load_edition(book, "plain", texts).parameters
    source = load_notebook_node(str(book / "book" / "one.ipynb"))
    cells = parameterize_notebook(source, values, kernel_name="python3", language="python").cells
    found: dict = {}
    exec(cells[2].source, found)
    assert {key: found[key] for key in texts} == values
    assert values == {"name": name, "k": 10, "alpha": 2.0, "runs": ["010", "no"]}
    assert [type(found[key]) for key in texts] == [str, int, float, list]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("_toc.yml", "parts: [", "_toc.yml: line 1"),
        ("_toc.yml", "- a", "_toc.yml is no table of contents"),
        ("_toc.yml", "root: a\nparts: [{chapters: [b]}]", "_toc.yml is no table of contents"),
        ("book/one.ipynb", "{", "one.ipynb is no notebook: Expecting property name"),
        ("book/one.ipynb", "[]", "one.ipynb is no notebook"),
        ("book/one.ipynb", '{"nbformat": 4, "nbformat_minor": 5}', "one.ipynb is no notebook"),
    ],
)
def test_a_broken_book_is_one_line_that_names_the_file(book, name, content, message):
    (book / name).write_text(content)
    with pytest.raises(EditionError, match=message) as caught:
        editions.load_edition(book, "plain")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("k = ", "one.ipynb, parameters: invalid syntax"),
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


def test_an_experiment_on_scenes_is_the_protocol_on_them(scenes_book):
    edition = editions.load_edition(scenes_book, "scenes")
    assert edition.experiment == scenes_protocol(scale=0.1, max_regions=5)
    changed = editions.load_edition(
        scenes_book, "scenes", {"local_share": 1, "backbone": "alexnet_tiny"}
    )
    assert changed.experiment == scenes_protocol(
        local_share=1.0, scale=0.1, max_regions=5, backbone="alexnet_tiny"
    )


def test_the_edition_of_the_scenes_is_the_default_protocol():
    """Chapters make its runs where they are missing: by the same settings."""
    root = editions.find_book()
    assert editions.load_edition(root, "scenes").experiment == scenes_protocol()
    quick = editions.load_edition(root, "scenes", {"scale": "0.02", "local_share": "1"})
    assert quick.experiment == scenes_protocol(scale=0.02, local_share=1.0)
    assert quick.parameters["scale"] == 0.02


def test_its_settings_reach_the_chapters_that_declare_them(scenes_book):
    assert editions.load_edition(scenes_book, "scenes").parameters == {"max_regions": 5, "k": 3}
    overrides = {"max_regions": 7, "local_share": 1.0, "seed": 2, "k": 4}
    changed = editions.load_edition(scenes_book, "scenes", overrides)
    assert changed.parameters == {"max_regions": 7, "local_share": 1.0, "k": 4}
    assert changed.experiment == scenes_protocol(local_share=1.0, seed=2, scale=0.1, max_regions=7)
    fresh = editions.load_edition(scenes_book, "fresh")
    own = "twitter2-squeezenet1_1"
    assert fresh.parameters == {"max_regions": 5, "run": own, "runs": [own]}


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (
            {"scales": 1.0},
            r"scenes.yaml: no parameter 'scales' in edition scenes \(did you mean scale\?\)",
        ),
        ({"backbones": ["vgg16"]}, r"no parameter 'backbones' .*mean backbone\?"),
        ({"seed": 0.5}, "scenes.yaml: parameter seed: must be a whole number from 0 to .* '0.5'"),
        ({"scale": "small"}, "parameter scale: must be a number above 0, at most 10, not 'sm"),
        ({"backbone": ["vgg_tiny"]}, r"backbone: must be a text, not \['vgg_tiny'\]"),
        ({"local_share": 2.0}, "local_share: must be a number from 0 to 1, not '2.0'"),
        ({"dataset": "twitter2", "scale": 1.0}, "no parameter 'scale' in edition scenes"),
        ({"dataset": "twitter2"}, "an experiment on photographs needs backbones"),
        ({"dataset": None}, "parameter dataset: no dataset 'null', and no such file"),
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
        ("scenes", {"scale": "small"}, "parameter scale: must be a number above 0, .* 'small'"),
        ("scenes", {"scales": 1.0}, r"no parameter 'scales' .*mean scale\?"),
        ("scenes", {"dataset": "twitter2"}, "an experiment on photographs needs backbones"),
        ("fresh", {"dataset": "scenes"}, "no setting 'backbones' of the synthetic scenes"),
    ],
)
def test_overrides_of_an_experiment_are_checked_too(scenes_book, name, overrides, message):
    with pytest.raises(EditionError, match=message):
        editions.load_edition(scenes_book, name, overrides)


class TestChapterSevensNetwork:
    """The parameter `network` is a name, or the path of what was trained."""

    @pytest.fixture
    def book(self, book, tmp_path, monkeypatch):
        nbformat.write(chapter(parameters='network: str = "auto"'), book / "book" / "one.ipynb")
        (book / "editions" / "plain.yaml").write_text("title: As it is")
        monkeypatch.chdir(tmp_path)
        return book

    def save(self, *emotions):
        network = load_backbone("vgg_tiny", classes=len(emotions), weights="random")
        Path("tuned").mkdir()
        Model(network, emotions, facts={"dataset": "photos"}).save("tuned/network.safetensors")

    def test_is_a_name_or_an_absolute_path(self, book, tmp_path):
        self.save("positive", "negative")
        for given, value in {"scenes": "scenes", "tuned": str(tmp_path / "tuned")}.items():
            edition = editions.load_edition(book, "plain", {"network": given})
            assert edition.parameters["network"] == value

    def test_that_is_no_model_is_refused_before_anything_runs(self, book):
        message = "network: must be auto, efficientnet_lite0, scenes or a path, not 'vgg16'"
        with pytest.raises(EditionError, match=message):
            editions.load_edition(book, "plain", {"network": "vgg16"})
        Path("empty").mkdir()
        with pytest.raises(EditionError, match=r"network: .*empty is no model, without network"):
            editions.load_edition(book, "plain", {"network": "empty"})

    def test_of_other_emotions_is_refused(self, book):
        self.save("joy", "fear", "awe")
        with pytest.raises(EditionError, match="tuned predicts joy, fear, awe, and chapter 7"):
            editions.load_edition(book, "plain", {"network": "tuned"})


def test_everything_that_can_be_set_is_declared_with_the_type_of_its_default():
    root = Path(__file__).parents[2]
    training = {field.name: field.default for field in fields(Training)}
    declared = SETTINGS["training"].of
    assert declared.keys() == training.keys()
    for name, default in training.items():
        assert type(declared[name].read(name, default)) is type(default), name
    photographs = editions.experiments.experiment_settings("")
    for where in (photographs, editions.experiments.experiment_settings("scenes")):
        for name, default in where.items():
            assert SETTINGS[name].kind is type(default), name
    for name, default in editions.declared_parameters(root).items():
        assert type(SETTINGS[name].read(name, default)) is type(default), name


def test_every_edition_of_the_book_is_well_formed():
    root = Path(__file__).parents[2]
    assert {"recorded", "smoke", "twitter2", "oasis", "paper"} <= set(editions.edition_names(root))
    for name in editions.edition_names(root):
        edition = editions.load_edition(root, name)
        assert edition.title
    paper = editions.load_edition(root, "paper").experiment
    assert (paper.backbone, paper.finetune.dataset, paper.finetune.hold_out) == (
        "vgg16",
        "vso",
        0.1,
    )
    assert paper.finetune.training["iterations"] == 100_000
    assert len(paper.columns) == len(paper.rows) == 5


class TestProtocol:
    """An edition of the paper's protocol."""

    def test_names_its_runs_by_itself(self, protocol_book):
        edition = editions.load_edition(protocol_book, "tiny")
        names = ["twitter2-vgg_tiny-ft-vso", "vso-held-out-vgg_tiny-ft-vso"]
        assert edition.parameters == {"runs": names}
        assert edition.experiment.columns == ("twitter2", "vso-held-out")

    def test_an_override_of_finetune_changes_what_it_names(self, protocol_book):
        changes = {"finetune": "{training: {iterations: 9}}", "max_regions": "5", "k": 2}
        edition = editions.load_edition(protocol_book, "tiny", changes)
        assert edition.experiment.finetune == Finetuning("vso", 0.2, {"iterations": 9, "lr": 0.01})
        assert edition.experiment.max_regions == 5
        assert edition.parameters["k"] == 2

    def test_images_of_ones_own_are_found_wherever_chapters_run(
        self, protocol_book, tmp_path, monkeypatch
    ):
        (tmp_path / "mine.csv").write_text("path,label\n")
        monkeypatch.chdir(tmp_path)
        changes = {"finetune": "{dataset: mine.csv}", "columns": "[mine.csv-held-out, oasis]"}
        protocol = editions.load_edition(protocol_book, "tiny", changes).experiment
        path = str(tmp_path / "mine.csv")
        assert protocol.finetune.dataset == path
        assert protocol.columns == (f"{path}-held-out", "oasis")
        assert [*protocol.runs()] == [
            "own-mine-held-out-vgg_tiny-ft-own-mine",
            "oasis-vgg_tiny-ft-own-mine",
        ]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"columns": "[twitter3]"}, r"no dataset 'twitter3' \(did you mean twitter"),
            ({"columns": "[vso]"}, "edition tiny: .* the column vso-held-out"),
            ({"finetune": "{holdout: 0.1}"}, r"no setting 'holdout' of finetune \(did you mean"),
            ({"finetune": "{hold_out: 0.9}"}, "finetune.hold_out: must be a number from 0 to 0.5"),
            ({"rows": "all"}, "parameter rows: must be a list"),
            ({"backbones": "[vgg16]"}, r"no parameter 'backbones' .*mean backbone"),
        ],
    )
    def test_what_cannot_be_is_one_line(self, protocol_book, changes, message):
        with pytest.raises(EditionError, match=message) as caught:
            editions.load_edition(protocol_book, "tiny", changes)
        assert len(str(caught.value).splitlines()) == 1

    def test_an_edition_has_one_experiment(self, protocol_book):
        path = protocol_book / "editions" / "tiny.yaml"
        raw = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(raw | {"experiment": {"dataset": "scenes"}}))
        with pytest.raises(EditionError, match="has an experiment and a protocol"):
            editions.load_edition(protocol_book, "tiny")

    def test_everything_that_it_may_set_has_the_type_of_its_default(self):
        defaults = editions.experiments.experiment_settings("", protocol=True)
        assert defaults.keys() == PROTOCOL.keys()
        for name, default in defaults.items():
            assert PROTOCOL[name].kind is type(default) or PROTOCOL[name].nothing, name
