"""Editions: parameters are checked, every cell runs, the site is built whole or not at all."""

import json
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from arlib._support.storage import BusyError, exclusive_lock
from arlib.datasets.scenes import SceneGenerator
from arlib.experiments import Experiment, SyntheticProtocol
from arlib.networks import Training
from arlib.publishing import build as publishing, editions, site as website
from arlib.publishing.editions import Edition, EditionError
from arlib.scoring import save_scores

PARAMETERS = "k: int = 8  # K, how many\nalpha: float = 1.0\nruns: list = ['a', 'b']\nname = 'x'"


def chapter(*cells, parameters=PARAMETERS):
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    title = new_markdown_cell("# A chapter\n\nIts text.")
    return new_notebook(
        cells=[title, tagged, *map(new_code_cell, cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )


@pytest.fixture
def book(tmp_path):
    """A book of one page and one chapter, with two editions."""
    (tmp_path / "book").mkdir()
    (tmp_path / "src" / "arlib").mkdir(parents=True)
    (tmp_path / "editions").mkdir()
    (tmp_path / "book" / "index.md").write_text("# A book\n\nIts text.\n")
    nbformat.write(chapter("print('K is', k)"), tmp_path / "book" / "one.ipynb")
    toc = {
        "format": "jb-book",
        "root": "book/index",
        "parts": [{"caption": "All", "chapters": [{"file": "book/one"}]}],
    }
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    config = {"title": "A book", "execute": {"execute_notebooks": "off"}}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config))
    plain = {"title": "As it is", "parameters": {"k": 3}}
    (tmp_path / "editions" / "plain.yaml").write_text(yaml.safe_dump(plain))
    fresh = {
        "title": "Anew",
        "experiment": {"dataset": "twitter2", "backbones": ["squeezenet1_1"], "max_regions": 5},
    }
    (tmp_path / "editions" / "fresh.yaml").write_text(yaml.safe_dump(fresh))
    return tmp_path


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
    for given, path, name in (
        ("labels.csv", tmp_path / "my photos" / "labels.csv", "own-labels-squeezenet1_1"),
        ("../my photos", tmp_path / "my photos", "own-my_photos-squeezenet1_1"),
    ):
        edition = editions.load_edition(book, "fresh", {"dataset": given})
        assert edition.experiment.dataset == str(path)  # wherever chapters run
        assert edition.parameters["runs"] == [name]
    with pytest.raises(EditionError, match=r"no dataset 'absent.csv', and no such file; there are"):
        editions.load_edition(book, "fresh", {"dataset": "absent.csv"})


@pytest.mark.parametrize(
    ("m", "given", "chosen"),
    [(2, {}, {}), (3, {}, {"base": "classes"}), (3, {"base": "e"}, {})],
)
def test_eq_1_takes_another_logarithm_where_base_e_is_refused(
    tmp_path, make_scores, m, given, chosen
):
    save_scores(make_scores(5, 2, n_emotions=m), tmp_path / "run" / "scores.zarr")
    (tmp_path / "run" / "run.json").write_text("{}")
    said = []
    edition = Edition("own", "Own", given)
    assert publishing._base_for(edition, [tmp_path / "run"], said.append) == chosen
    assert said == (
        ["3 emotions: Eq. 1 with base 'classes', since with base e it could be negative"]
        if chosen
        else []
    )
    assert publishing._base_for(edition, [], said.append) == {}


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


def test_unknown_keys_of_the_file_are_refused(book):
    path = book / "editions" / "fresh.yaml"
    raw = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(raw | {"titel": "x"}))
    with pytest.raises(EditionError, match=r"editions/fresh.yaml: unknown key\(s\) \['titel'\]"):
        editions.load_edition(book, "fresh")
    raw["experiment"]["regions"] = 3
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(EditionError, match=r"unknown key\(s\) \['regions'\]; there are \['anps'"):
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


def execute(tmp_path, *cells, parameters=None):
    source, target = tmp_path / "one.ipynb", tmp_path / "out" / "one.ipynb"
    target.parent.mkdir()
    nbformat.write(chapter(*cells), source)
    publishing.execute_chapter(source, target, parameters or {})
    return nbformat.read(target, as_version=4)


def test_parameters_reach_the_chapter_that_declares_them(tmp_path):
    done = execute(tmp_path, "print(k, alpha, name)", parameters={"k": 5, "other": 1})
    assert done.cells[-1].outputs[0].text == "5 1.0 x\n"
    injected = [c for c in done.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert len(injected) == 1
    assert "other" not in injected[0].source


def test_a_failing_cell_is_named(tmp_path):
    with pytest.raises(EditionError, match=r"one.ipynb, cell 3: ZeroDivisionError: division"):
        execute(tmp_path, "x = 1", "1 / 0")


def test_a_chapter_runs_where_it_is_staged(tmp_path, monkeypatch):
    """Without moving this process there: two chapters are executed at once, by threads."""
    moved, here = set(), str(Path.cwd())
    monkeypatch.setattr("os.chdir", lambda path: moved.add(str(path)))
    done = execute(tmp_path, "import os; print(os.getcwd())")
    assert moved <= {here}
    assert done.cells[-1].outputs[0].text.strip() == str(tmp_path / "out")


TEXTS = ['"); import os; os.abort(); ("', '\\"\n1/0 #', "\u2028\r\n\t'", "{k}", "%s $x `id`"]


def test_a_parameter_s_text_is_text(tmp_path):
    done = execute(tmp_path, "print(ascii(runs))", parameters={"runs": TEXTS})
    assert done.cells[-1].outputs[0].text == ascii(TEXTS) + "\n"


def test_an_edition_becomes_a_site(book):
    said = []
    edition = editions.load_edition(book, "plain")
    page = publishing.run_edition(book, edition, say=said.append)
    assert page == book / "_build" / "plain" / "html" / "index.html"
    site = page.parent
    assert (site / "book" / "one.html").read_text().count("K is 3") >= 1
    assert re.fullmatch(r"\[1/1\] book/one.ipynb, \d+ s", said[0])
    assert said[1:] == ["building the site"]
    facts = json.loads((book / "_build" / "plain" / "edition.json").read_text())
    assert facts["title"] == "As it is"
    assert list(facts["seconds"]) == ["book/one.ipynb"]
    assert facts["parameters"] == {"k": 3, "alpha": 1.0, "runs": ["a", "b"], "name": "x"}
    plain = nbformat.read(site / "notebooks" / "one.ipynb", as_version=4)
    before = nbformat.read(book / "book" / "one.ipynb", as_version=4)
    assert [c.source for c in plain.cells] == [c.source for c in before.cells]
    assert all(not cell.get("outputs") for cell in plain.cells)
    for address in re.findall(r'href="([^"]+)" download', (site / "book" / "one.html").read_text()):
        assert (site / "book" / address).is_file(), address
    source = nbformat.read(book / "book" / "one.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in source.cells), "the source was written to"

    # A warning of the builder is an error, and the site that was there stays.
    (book / "book" / "index.md").write_text("# A book\n\n{doc}`absent`\n")
    with pytest.raises(EditionError, match=r"(?s)the site did not build.*absent"):
        publishing.run_edition(book, edition, say=said.append)
    assert "K is 3" in (site / "book" / "one.html").read_text()

    # A page that is cut off is no site, though the builder was content.
    (book / "book" / "index.md").write_text("# A book\n\nIts text.\n")
    honest = website.subprocess.run

    def cut(command, **settings):
        done = honest(command, **settings)
        for page in (book / "_build" / "plain" / "site").rglob("one.html"):
            page.write_text(page.read_text()[:-100])
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(website.subprocess, "run", cut)
        with pytest.raises(EditionError, match=r"its page book/one is missing or incomplete"):
            publishing.run_edition(book, edition, say=said.append)
    assert "K is 3" in (site / "book" / "one.html").read_text()

    # A chapter that fails leaves the site too, and so does a second run at the same time.
    nbformat.write(chapter("import sys; sys.exit(0)"), book / "book" / "one.ipynb")
    with pytest.raises(EditionError, match=r"one.ipynb, cell 3 ended with SystemExit: 0"):
        publishing.run_edition(book, edition, say=said.append)
    with (
        exclusive_lock(book / "_build" / "plain" / "lock"),
        pytest.raises(BusyError, match="is held by"),
    ):
        publishing.run_edition(book, edition, say=said.append)
    assert "K is 3" in (site / "book" / "one.html").read_text()


def test_an_edition_with_an_experiment_says_what_is_missing(book, monkeypatch):
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    edition = editions.load_edition(book, "fresh")
    with pytest.raises(ValueError, match=r"twitter2 is not here: get .* set ARLIB_DATA"):
        publishing.run_edition(book, edition, say=str)
    assert not (book / "_build" / "fresh" / "html").exists()


@pytest.fixture
def drawn(book):
    """The same book with an edition of drawn pictures, and a chapter that names two settings."""
    own = PARAMETERS + "\nmax_regions: int = 60\nlocal_share: float = 0.5\nrun = 'x'"
    told = "from pathlib import Path\nprint(sorted(p.name for p in Path('results').iterdir()))"
    nbformat.write(chapter(told, parameters=own), book / "book" / "one.ipynb")
    raw = {
        "title": "Drawn",
        "experiment": {"dataset": "scenes", "scale": 0.1, "max_regions": 5},
        "parameters": {"k": 3},
    }
    (book / "editions" / "drawn.yaml").write_text(yaml.safe_dump(raw))
    return book


def test_an_experiment_on_scenes_is_the_chain_in_miniature(drawn):
    edition = editions.load_edition(drawn, "drawn")
    assert edition.experiment == SyntheticProtocol(scale=0.1, max_regions=5)
    changed = editions.load_edition(drawn, "drawn", {"local_share": 1, "backbone": "alexnet_tiny"})
    assert changed.experiment == SyntheticProtocol(
        generator=SceneGenerator(local_share=1.0), scale=0.1, max_regions=5, backbone="alexnet_tiny"
    )


def test_its_settings_reach_the_chapters_that_declare_them(drawn):
    assert editions.load_edition(drawn, "drawn").parameters == {"max_regions": 5, "k": 3}
    overrides = {"max_regions": 7, "local_share": 1.0, "seed": 2, "k": 4}
    changed = editions.load_edition(drawn, "drawn", overrides)
    assert changed.parameters == {"max_regions": 7, "local_share": 1.0, "k": 4}
    assert changed.experiment == SyntheticProtocol(
        generator=SceneGenerator(local_share=1.0), seed=2, scale=0.1, max_regions=7
    )
    fresh = editions.load_edition(drawn, "fresh")
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
def test_an_experiment_that_cannot_be_is_refused(drawn, experiment, message):
    raw = {"title": "Drawn", "experiment": {"dataset": "scenes", **experiment}}
    (drawn / "editions" / "drawn.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(EditionError, match=message):
        editions.load_edition(drawn, "drawn")


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("drawn", {"scale": "small"}, "scale must be float, not 'small'"),
        ("drawn", {"scales": 1.0}, r"no parameter 'scales' in edition drawn; .*'scale'"),
        ("drawn", {"dataset": "twitter2"}, "an experiment on photographs needs backbones"),
        ("fresh", {"dataset": "scenes"}, "no setting 'backbones' of the synthetic scenes"),
    ],
)
def test_overrides_of_an_experiment_are_checked_too(drawn, name, overrides, message):
    with pytest.raises(EditionError, match=message):
        editions.load_edition(drawn, name, overrides)


@pytest.mark.parametrize("name", ["plain", "drawn"])
def test_only_photographs_are_recorded(drawn, name):
    edition = editions.load_edition(drawn, name)
    with pytest.raises(EditionError, match=f"edition {name} scores no photographs: nothing to rec"):
        publishing.run_edition(drawn, edition, record=True, say=str)
    assert not (drawn / "_build").exists()


@pytest.mark.slow
def test_drawn_runs_lie_beside_the_chapters(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(publishing, "build_site", lambda stage, build, public: stage)
    quick = Training(iterations=2, round=2, batch_size=16, lr=0.01)
    tiny = SyntheticProtocol(scale=0.0, pretraining=quick, finetuning=quick, proposals="grid")
    said = []
    edition = Edition("drawn", "Drawn", {"k": 3}, tiny)
    stage = publishing.run_edition(drawn, edition, say=said.append)
    done = nbformat.read(stage / "book" / "one.ipynb", as_version=4)
    assert (
        done.cells[-1].outputs[0].text == "['scenes-folded', 'scenes-annotated', 'scenes-tagged']\n"
    )
    names = ("annotated", "folded", "tagged")
    assert said[:3] == [f"scoring: scenes-{name}" for name in names]
    assert not (drawn / "book" / "results").exists()


def test_a_drawn_run_that_chapters_name_is_made_once_before_they_run(book, monkeypatch):
    made = []

    def drawn(_):
        return {name: lambda _, n=name: made.append(n) for name in ("scenes-a", "scenes-b")}

    monkeypatch.setattr(publishing, "runs_of", drawn)
    edition = editions.load_edition(book, "plain", {"runs": ["scenes-b", "other"]})
    said = []
    publishing._live_runs(book, edition, set(), said.append)
    assert made == ["scenes-b"]
    assert said == ["scoring: scenes-b"]
    publishing._live_runs(book, edition, {"scenes-b"}, said.append)
    assert made == ["scenes-b"]


def test_every_edition_of_the_book_is_well_formed():
    root = Path(__file__).parents[2]
    assert {"recorded", "smoke", "twitter2", "oasis", "paper"} <= set(editions.available(root))
    for name in editions.available(root):
        edition = editions.load_edition(root, name)
        assert edition.title
    assert editions.load_edition(root, "paper").experiment.backbones == ("vgg16",)
