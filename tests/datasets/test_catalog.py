"""The catalogue is read strictly, is the book's page, and says nothing that its readers deny."""

import re
from pathlib import Path

import pytest
import yaml

from arlib import datasets
from arlib.datasets import catalog, catalog as guide
from arlib.datasets.catalog import entry, here, known, parse
from arlib.datasets.dataset import DatasetError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book/guide/datasets.md").read_text(encoding="utf-8")
FACTS = {"title": "X", "labelled": "you", "licence": "CC0", "traps": [], "steps": []}
FILE = {"url": "http://x/a.zip", "bytes": 1, "sha256": "0" * 64, "take": {"a": "b"}}


def test_the_page_is_that_of_the_catalogue():
    shown = PAGE.partition("<!-- datasets -->")[2].partition("<!-- /datasets -->")[0].strip()
    assert shown == guide.as_markdown()


def test_every_citation_is_in_the_books_references():
    keys = set(re.findall(r"^@\w+{(\w+),", (ROOT / "book/references.bib").read_text(), re.M))
    cited = {key for name in known() for key in entry(name).cite}
    assert {"borth2013", "you2015", "you2016", "peng2016"} <= cited <= keys


def test_every_dataset_that_is_loaded_by_name_is_in_the_catalogue():
    families = {re.sub("^scenes-.*", "scenes", name) for name in datasets.names()}
    assert families | {"coco", "table"} == set(known())


@pytest.mark.parametrize("name", ["fi", "emotionroi"])
def test_emotions_are_those_of_the_reader(name):
    from arlib.datasets import emotionroi, fi  # noqa: F401 - modules behind functions' names
    from arlib.method import polarities

    reader = {"fi": "arlib.datasets.fi", "emotionroi": "arlib.datasets.emotionroi"}[name]
    emotions = __import__("sys").modules[reader].EMOTIONS
    assert entry(name).emotions == emotions
    assert len(polarities(emotions)) == len(emotions)  # each has one


@pytest.mark.parametrize("name", known())
def test_published_numbers_add_up(name):
    of = entry(name)
    classes = [of.published[each] for each in of.emotions if each in of.published]
    assert not classes or sum(classes) == of.published["images"]
    if of.subsets:
        sums = {part: sum(counts.values()) for part, counts in of.subsets.items()}
        assert sums == {"three": 1269, "four": 1116, "five": 882}


def test_what_the_paper_says_of_its_datasets():
    assert entry("twitter1").published["images"] == 1269
    two = entry("twitter2").published
    assert (two["images"], two["positive"], two["negative"]) == (603, 470, 133)
    assert entry("vso").published["images"] == 484_258


@pytest.mark.parametrize("name", [name for name in known() if entry(name).folder])
def test_the_layout_is_the_folder_that_is_looked_for(name):
    assert Path(entry(name).layout.splitlines()[0]).match(entry(name).folder)


@pytest.mark.parametrize("name", known())
def test_where_says_everything(name):
    text = " ".join(guide.where(name).split())
    of = entry(name)
    for each in (*of.steps, *of.traps, of.licence, of.labelled, guide.counts(of), *of.cite):
        assert " ".join(guide._plain(each).split()) in text
    for line in of.layout.splitlines():
        assert line in guide.where(name)
    assert ("arlib data fetch" in text) == (name == "coco")
    assert of.no_fetch in text
    title = guide.where(name).splitlines()[0]
    assert title == (f"{of.title} ({of.year})" if of.year else of.title)


def test_downloads_have_what_it_takes_to_verify_them():
    files = [each for name in known() for each in entry(name).downloads]
    assert files
    for each in files:
        assert re.fullmatch(r"[0-9a-f]{64}", each.sha256)
        assert each.bytes > 1000
        assert each.url.startswith(("http://", "https://"))


def test_majority_is_the_largest_share():
    assert entry("twitter2").majority == 470 / 603
    assert entry("emotionroi").majority == 1 / 6
    assert entry("fi").majority is None


def test_an_unknown_name_lists_the_known():
    with pytest.raises(DatasetError, match="no dataset 'flickr' in the catalogue; there are twit"):
        entry("flickr")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"titel": "X"}, "x: unknown keys ['titel']"),
        ({"title": None}, "x: title must be str, not None"),
        ({"traps": "one"}, "x: traps must be list, not 'one'"),
        ({"year": "2013"}, "x: year must be int, not '2013'"),
        ({"published": [603]}, "x: published must be dict, not [603]"),
        ({"subsets": {"five": {"happy": 1}}}, "x: subsets count ['happy'], which is no emotion"),
        ({"name": "y"}, "x: unknown keys ['name']"),
        ({"no_fetch": ""}, "x: give downloads with fetch_into, or no_fetch"),
        ({"downloads": [FILE]}, "x: give downloads with fetch_into, or no_fetch"),
        ({"no_fetch": "", "downloads": [FILE]}, "x: give downloads with fetch_into, or no_fetch"),
        ({"downloads": [{**FILE, "md5": "0"}]}, "x, downloads: unknown keys ['md5']"),
        ({"downloads": [{"url": "http://x"}]}, "x, downloads: no bytes"),
        ({"downloads": ["http://x"]}, "x, downloads: not a mapping: 'http://x'"),
    ],
)
def test_the_catalogue_is_read_strictly(changes, told):
    with pytest.raises(DatasetError) as caught:
        parse(yaml.safe_dump({"x": {**FACTS, "no_fetch": "yours", **changes}}))
    assert str(caught.value) == f"catalogue, {told}"


def test_a_missing_key_and_no_mapping_are_told():
    with pytest.raises(DatasetError, match="catalogue, x: no licence"):
        parse(yaml.safe_dump({"x": {k: v for k, v in FACTS.items() if k != "licence"}}))
    with pytest.raises(DatasetError, match="catalogue: not a mapping of names to entries"):
        parse("- x")
    assert parse(yaml.safe_dump({"x": {**FACTS, "no_fetch": "yours"}}))["x"].title == "X"


def test_what_is_here_are_folders_under_arlib_data(tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    for name in ("twitter2", "coco_val64", "coco_val2017"):
        (tmp_path / name).mkdir()
    (tmp_path / "oasis").write_text("a file")
    assert here("twitter2") == (tmp_path / "twitter2",)
    assert here("coco") == (tmp_path / "coco_val2017", tmp_path / "coco_val64")
    assert here("oasis") == here("scenes") == here("fi") == ()
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "absent"))
    with pytest.raises(DatasetError, match=r"ARLIB_DATA names .*absent, which is no folder"):
        here("twitter2")
    monkeypatch.delenv("ARLIB_DATA")
    assert here("twitter2") == ()
    with pytest.raises(DatasetError, match="set ARLIB_DATA to the folder"):
        catalog.data_root()
