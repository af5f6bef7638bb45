"""The catalogue: read strictly, the same as the book's page, in agreement with its readers."""

import inspect
import re
from pathlib import Path

import pytest
import yaml

from arlib import datasets
from arlib._support.settings import SETTINGS
from arlib.datasets import artphoto, emoset, emotionroi, fi
from arlib.datasets.catalog import (
    data_root,
    describe,
    entry,
    folders_of,
    known,
    parse,
    plain,
)
from arlib.datasets.files import DatasetError
from arlib.datasets.folder import unlabelled_images
from arlib.datasets.rated import RATED
from arlib.datasets.registry import _READERS, load
from arlib.datasets.scenes.benchmark import SETS
from arlib.datasets.shards import wrap_split
from arlib.datasets.table import table
from arlib.method import polarities

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book/guide/datasets.md").read_text(encoding="utf-8")
FACTS = {"title": "X", "labelled": "you", "licence": "CC0", "traps": [], "steps": []}
FILE = {"url": "http://x/a.zip", "bytes": 1, "sha256": "0" * 64, "take": {"a": "b"}}


def test_the_page_is_that_of_the_catalogue():
    generated = PAGE.partition("<!-- datasets -->")[2].partition("<!-- /datasets -->")[0].strip()
    assert generated == describe(form="markdown")


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form must be 'text', 'markdown' or 'json', not 'html'"):
        describe(form="html")
    with pytest.raises(ValueError, match="one dataset is described in text, not in json"):
        describe("scenes", "json")


def test_every_citation_is_in_the_books_references():
    keys = set(re.findall(r"^@\w+{(\w+),", (ROOT / "book/references.bib").read_text(), re.M))
    cited = {key for name in known() for key in entry(name).cite}
    assert {"borth2013", "you2015", "you2016", "peng2016"} <= cited <= keys


def test_every_dataset_that_is_loaded_by_name_is_in_the_catalogue():
    sources = map(datasets.source_of, datasets.names())
    families = {re.sub("^scenes-.*", "scenes", name) for name in sources}
    assert families | {"coco", "table"} == set(known())


READ = {
    **{
        each.__name__.rpartition(".")[2]: each.EMOTIONS
        for each in (artphoto, emoset, emotionroi, fi)
    },
    **{name: of.emotions for name, of in RATED.items()},
}


@pytest.mark.parametrize("name", READ)
def test_emotions_are_those_of_the_reader(name):
    assert tuple(entry(name).emotions) == READ[name]
    assert len(polarities(READ[name])) == len(READ[name])  # each has one


def test_known_regions_are_described():
    known_regions = {name for name in known() if entry(name).regions}
    assert known_regions == {"emotionroi", "scenes"}
    for name in known_regions:
        assert " ".join(plain(entry(name).regions).split()) in " ".join(describe(name).split())
    assert "Known regions: an emotion stimuli map for each image" in PAGE


@pytest.mark.parametrize("name", known())
def test_published_numbers_add_up(name):
    of = entry(name)
    classes = [of.published[each] for each in of.emotions if each in of.published]
    assert not classes or sum(classes) == of.published["images"]
    if of.subsets:
        sums = {part: sum(counts.values()) for part, counts in of.subsets.items()}
        assert sums == {"three": 1269, "four": 1116, "five": 882}


def test_the_papers_counts_of_its_datasets():
    assert entry("twitter1").published["images"] == 1269
    two = entry("twitter2")
    assert (two.published["images"], two.published["positive"]) == (603, 470)
    assert two.counts == "603 images: 470 positive, 133 negative"
    assert entry("vso").published["images"] == 484_258


@pytest.mark.parametrize("name", [name for name in known() if entry(name).folder])
def test_the_layout_is_the_folder_that_is_looked_for(name):
    assert Path(entry(name).layout.splitlines()[0]).match(entry(name).folder)


@pytest.mark.parametrize("name", known())
def test_a_description_is_complete(name):
    text = " ".join(describe(name).split())
    of = entry(name)
    for each in (*of.steps, *of.traps, of.licence, of.labelled, of.counts, *of.cite):
        assert " ".join(plain(each).split()) in text
    for line in of.layout.splitlines():
        assert line in describe(name)
    assert ("arlib data fetch" in text) == (name == "coco")
    assert of.no_fetch in text
    title = describe(name).splitlines()[0]
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
    ("changes", "message"),
    [
        (
            {"titel": "X"},
            r"no setting .titel. of the catalogue.s x \(did you mean title\?\); there",
        ),
        ({"title": None}, "title must be str, not None"),
        ({"traps": "one"}, "traps must be list, not 'one'"),
        ({"year": "2013"}, "year must be int, not '2013'"),
        ({"published": [603]}, r"published must be dict, not \[603\]"),
        ({"subsets": {"five": {"happy": 1}}}, r"x has subsets of \['happy'\], which is no emotion"),
        ({"name": "y"}, "no setting 'name'"),
        ({"no_fetch": ""}, "x must have downloads with fetch_into, or no_fetch"),
        ({"downloads": [FILE]}, "x must have downloads with fetch_into, or no_fetch"),
        ({"no_fetch": "", "downloads": [FILE]}, "x must have downloads with fetch_into, or no_fe"),
        ({"downloads": [{**FILE, "md5": "0"}]}, "no setting 'md5'"),
        ({"downloads": [{"url": "http://x"}]}, "x lacks bytes, sha256, take"),
    ],
)
def test_the_catalogue_is_read_strictly(changes, message):
    with pytest.raises(ValueError, match=message):
        parse(yaml.safe_dump({"x": {**FACTS, "no_fetch": "yours", **changes}}))


def test_a_missing_key_is_refused():
    with pytest.raises(ValueError, match="the catalogue's x lacks licence"):
        parse(yaml.safe_dump({"x": {k: v for k, v in FACTS.items() if k != "licence"}}))
    assert parse(yaml.safe_dump({"x": {**FACTS, "no_fetch": "yours"}}))["x"].title == "X"


def test_folders_are_looked_for_under_arlib_data(tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    for name in ("twitter2", "coco_val64", "coco_val2017"):
        (tmp_path / name).mkdir()
    (tmp_path / "oasis").write_text("a file")
    assert folders_of("twitter2") == [tmp_path / "twitter2"]
    assert folders_of("coco") == [tmp_path / "coco_val2017", tmp_path / "coco_val64"]
    assert folders_of("oasis") == folders_of("scenes") == folders_of("fi") == []
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path / "absent"))
    with pytest.raises(DatasetError, match=r"ARLIB_DATA names .*absent, which is no folder"):
        folders_of("twitter2")
    monkeypatch.delenv("ARLIB_DATA")
    assert folders_of("twitter2") == []
    with pytest.raises(DatasetError, match="set ARLIB_DATA to the folder"):
        data_root()


def test_every_setting_of_a_reader_is_declared_with_the_type_of_its_default():
    readers = [load, *_READERS.values(), table, unlabelled_images, wrap_split, *SETS.values()]
    declared = SETTINGS["reader"].of
    for reader in readers:
        _, *parameters = inspect.signature(reader).parameters.values()
        for each in parameters:
            if each.name in ("name", "generator", "settings"):
                continue
            setting = declared[each.name]
            assert each.default is None or setting.kind is type(each.default), each.name
