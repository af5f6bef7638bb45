"""Figures of executed chapters on the pages: dark forms, and a thumbnail for each chapter."""

import base64
import io
import re

import nbformat
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from arlib.figures import DARK
from arlib.publishing.site_figures import (
    add_dark_figures,
    extract_dark_figures,
    figures_in,
    gallery,
    with_dark,
)


def picture(grey, width=900, height=450):
    file = io.BytesIO()
    Image.fromarray(np.full((height, width), grey, np.uint8)).save(file, format="PNG")
    return file.getvalue()


def text(png):
    return base64.b64encode(png).decode()


LIGHT = [picture(250), picture(240)]
NIGHT = [picture(10), picture(20)]


def figure_cell(number, *, chosen=False, dark=True):
    forms = {"image/png": text(LIGHT[number])} | ({DARK: text(NIGHT[number])} if dark else {})
    return new_code_cell(
        "figure",
        outputs=[new_output("execute_result", forms)],
        metadata={
            "mystnb": {"image": {"alt": f"Figure {number}"}},
            "tags": ["thumbnail"] if chosen else [],
        },
    )


@pytest.fixture
def stage(tmp_path):
    """Two chapters: one with two figures, the second of them chosen; one without any."""
    stage = tmp_path / "source"
    (stage / "book").mkdir(parents=True)
    listed = {"caption": "All", "chapters": [{"file": "book/01_one"}, {"file": "book/02_two"}]}
    toc = {"format": "jb-book", "root": "book/index", "parts": [listed]}
    (stage / "_toc.yml").write_text(yaml.safe_dump(toc))
    cells = [new_markdown_cell("(ch-one)=\n# The one"), figure_cell(0), figure_cell(1, chosen=True)]
    nbformat.write(new_notebook(cells=cells), stage / "book" / "01_one.ipynb")
    cells = [new_markdown_cell("# The other"), new_code_cell("1")]
    nbformat.write(new_notebook(cells=cells), stage / "book" / "02_two.ipynb")
    return stage


def chapter(stage):
    return nbformat.read(stage / "book" / "01_one.ipynb", as_version=4)


def test_dark_forms_leave_the_chapter_and_nothing_else_does(stage):
    before = chapter(stage)
    extract_dark_figures(stage)
    for cell in before.cells:
        for output in cell.get("outputs", []):
            output.data.pop(DARK)
    assert chapter(stage) == before
    for shown, night in zip(figures_in(before), NIGHT, strict=True):
        assert (stage / "dark" / shown.name).read_bytes() == night
    extract_dark_figures(stage)  # a second time there is nothing to do
    assert len(list((stage / "dark").iterdir())) == 2


def test_the_chosen_figure_stands_for_its_chapter_in_both_forms(stage):
    extract_dark_figures(stage)
    page = gallery(stage)
    assert re.findall(r"grid-item-card\} (.*)", page) == ["The one", "The other"]
    assert re.findall(r":link: (.*)", page) == ["01_one", "02_two"]
    assert re.findall(r":img-top: (.*)", page) == ["thumbnails/01_one.png"]
    assert ":img-alt: Figure 1" in page
    for path, grey in (("book/thumbnails/01_one.png", 240), ("dark/01_one.png", 20)):
        small = Image.open(stage / path)
        assert small.size == (640, 320)
        assert small.getpixel((9, 9)) == (grey, grey, grey)


def test_without_a_choice_the_first_stands_and_may_lack_a_dark_form(stage):
    cells = [new_markdown_cell("# The one"), figure_cell(0, dark=False), figure_cell(1)]
    nbformat.write(new_notebook(cells=cells), stage / "book" / "01_one.ipynb")
    extract_dark_figures(stage)
    assert ":img-alt: Figure 0" in gallery(stage)
    assert not (stage / "dark" / "01_one.png").exists()


def test_pages_get_the_dark_forms_that_there_are(stage, tmp_path):
    extract_dark_figures(stage)
    gallery(stage)
    first = figures_in(chapter(stage))[0].name
    site = tmp_path / "site"
    (site / "_images").mkdir(parents=True)
    (site / "book").mkdir()
    for name in (first, "photo.png"):  # the second figure is on no page
        (site / "_images" / name).write_bytes(LIGHT[0])
    images = "".join(
        f'<img alt="a" src="../_images/{name}" style="width: 100%;" />'
        for name in (first, "photo.png")
    )
    page = site / "book" / "01_one.html"
    page.write_text(images)
    add_dark_figures(stage, site)
    found = page.read_text()
    assert re.findall(r'class="([\w-]+)"[^>]*src="([^"]*)"', found) == [
        ("only-light", f"../_images/{first}"),
        ("only-dark", f"../_images/{first.removesuffix('.png')}-dark.png"),
    ]
    assert found.count('alt="a"') == 3
    assert found.endswith('<img alt="a" src="../_images/photo.png" style="width: 100%;" />')
    there = {path.name for path in (site / "_images").iterdir()}
    assert there == {first, f"{first.removesuffix('.png')}-dark.png", "photo.png"}
    add_dark_figures(stage, site)
    assert page.read_text() == found


def test_a_class_that_an_image_has_is_kept():
    page = with_dark('<img class="sd-card" src="_images/a.png"/>', {"a.png": (2, 1)})
    assert 'class="only-light sd-card" src="_images/a.png"' in page
    assert 'class="only-dark sd-card" src="_images/a-dark.png"' in page
    assert page.count("<img") == page.count("/>") == 2
