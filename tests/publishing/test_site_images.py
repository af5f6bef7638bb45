"""Images of a site: dark forms beside light figures, thumbnails, and WebP in place of PNG."""

import base64
import io
import re

import nbformat
import numpy as np
import pytest
import yaml
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from skimage import data

from arlib.figures import DARK
from arlib.publishing.site_images import (
    add_dark_images,
    as_webp,
    convert_images,
    copy_dark_images,
    describe_images,
    extract_dark_figures,
    figure_alts,
    figures_in,
    gallery_page,
    name_webp,
)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def plain_png(grey):
    return png(np.full((450, 900), grey, np.uint8))


def text(png):
    return base64.b64encode(png).decode()


LIGHT = [plain_png(250), plain_png(240)]
NIGHT = [plain_png(10), plain_png(20)]


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
    cells = [new_markdown_cell("# The second"), new_code_cell("1")]
    nbformat.write(new_notebook(cells=cells), stage / "book" / "02_two.ipynb")
    (stage / "book" / "index.md").write_text("# A book")
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
    for (figure, _), night in zip(figures_in(before), NIGHT, strict=True):
        assert (stage / "dark" / figure.name).read_bytes() == night
    extract_dark_figures(stage)  # a second time there is nothing to do
    assert len(list((stage / "dark").iterdir())) == 2


def test_the_chosen_figure_stands_for_its_chapter_in_both_forms(stage):
    extract_dark_figures(stage)
    page = gallery_page(stage)
    assert re.findall(r"grid-item-card\} (.*)", page) == ["The one", "The second"]
    assert re.findall(r":link: (.*)", page) == ["01_one", "02_two"]
    assert re.findall(r":img-top: (.*)", page) == ["thumbnails/01_one.png"]
    assert ":img-alt: Figure 1" in page
    for path, grey in (("book/thumbnails/01_one.png", 240), ("dark/01_one.png", 20)):
        small = Image.open(stage / path)
        assert small.size == (640, 320)
        assert small.getpixel((9, 9)) == (grey, grey, grey)


def test_of_a_tall_figure_a_card_shows_the_top(stage):
    pixels = np.full((900, 450), 200, np.uint8)
    pixels[225:] = 90  # what a card twice as wide as high has no room for
    cells = [new_markdown_cell("# The one"), figure_cell(1, chosen=True, dark=False)]
    cells[1].outputs[0].data["image/png"] = text(png(pixels))
    nbformat.write(new_notebook(cells=cells), stage / "book" / "01_one.ipynb")
    gallery_page(stage)
    small = Image.open(stage / "book" / "thumbnails" / "01_one.png")
    assert small.size == (450, 225)
    assert small.getcolors() == [(450 * 225, (200, 200, 200))]


def test_without_a_choice_the_first_stands_and_may_lack_a_dark_form(stage):
    cells = [new_markdown_cell("# The one"), figure_cell(0, dark=False), figure_cell(1)]
    nbformat.write(new_notebook(cells=cells), stage / "book" / "01_one.ipynb")
    extract_dark_figures(stage)
    assert ":img-alt: Figure 0" in gallery_page(stage)
    assert not (stage / "dark" / "01_one.png").exists()


def test_pages_show_the_dark_form_of_the_figures_that_have_one(stage, tmp_path):
    extract_dark_figures(stage)
    gallery_page(stage)
    first = next(figures_in(chapter(stage)))[0].name
    site = tmp_path / "site"
    (site / "_images").mkdir(parents=True)
    for name in (first, "photo.png"):  # the second figure is on no page
        (site / "_images" / name).write_bytes(LIGHT[0])
    images = "".join(
        f'<img alt="a" src="../_images/{name}" style="width: 100%;" />'
        for name in (first, "photo.png")
    )
    sizes = copy_dark_images(stage, site)
    dark = f"{first.removesuffix('.png')}-dark.png"
    assert {path.name for path in (site / "_images").iterdir()} == {first, dark, "photo.png"}
    page = add_dark_images(images, sizes)
    assert re.findall(r'class="([\w-]+)"[^>]*src="([^"]*)"', page) == [
        ("only-light", f"../_images/{first}"),
        ("only-dark", f"../_images/{dark}"),
    ]
    assert ' width="900" height="450" loading="lazy" />' in page
    assert page.count('alt="a"') == 3
    assert page.endswith('<img alt="a" src="../_images/photo.png" style="width: 100%;" />')


def test_a_figure_that_another_page_glues_keeps_its_text(stage):
    """Sphinx writes such an image's address for its text, or nothing."""
    name = next(figures_in(chapter(stage)))[0].name
    alts = figure_alts(stage)
    assert [*alts.values()] == ["Figure 0", "Figure 1"]
    address = f"../_images/{name}"
    for glued in (f'<img src="{address}" />', f'<img alt="{address}" src="{address}" />'):
        assert describe_images(glued, alts) == f'<img alt="Figure 0" src="{address}" />'
    own = f'<img alt="own" src="{address}" /><img src="../_images/photo.png" />'
    assert describe_images(own, alts) == own
    quoted = describe_images(f'<img src="{address}" />', {name: '<"b">'})
    assert 'alt="&lt;&quot;b&quot;&gt;"' in quoted


def test_a_class_that_an_image_has_is_kept():
    page = add_dark_images('<img class="sd-card" src="_images/a.png"/>', {"a.png": (2, 1)})
    assert 'class="only-light sd-card" src="_images/a.png"' in page
    assert 'class="only-dark sd-card" src="_images/a-dark.png"' in page
    assert page.count("<img") == page.count("/>") == 2


def pixels_of(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_pixels_change_only_where_that_halves_the_file(pixels):
    webp, exact = as_webp(png(pixels)), io.BytesIO()
    Image.fromarray(pixels).save(exact, format="WEBP", lossless=True, method=4)
    assert pixels_of(webp).shape == pixels.shape
    same = np.array_equal(pixels_of(webp), pixels)
    assert same or len(webp) <= len(exact.getvalue()) / 2


def test_a_drawing_keeps_every_pixel():
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.plot(np.random.default_rng(0).normal(size=200).cumsum(), label="a walk")
    axes.legend()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    webp = as_webp(file.getvalue())
    with Image.open(io.BytesIO(file.getvalue())) as image:
        drawn = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(pixels_of(webp), drawn)
    assert len(webp) < len(file.getvalue())


def test_a_photograph_loses_what_is_not_visible():
    photograph = data.coffee()
    webp = as_webp(png(photograph))
    error = pixels_of(webp).astype(float) - photograph
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 35  # dB, a usual bound for "looks the same"
    assert len(webp) < len(png(photograph)) / 3


def test_transparent_pixels_stay_transparent():
    pixels = np.full((20, 30, 4), 255, np.uint8)
    pixels[5:9, 5:9, 3] = 0
    np.testing.assert_array_equal(pixels_of(as_webp(png(pixels)))[..., 3], pixels[..., 3])


def test_pages_name_the_webp_images_and_leave_the_rest(tmp_path):
    (tmp_path / "_images").mkdir()
    for name in ("a.png", "a-dark.png"):
        (tmp_path / "_images" / name).write_bytes(png(np.zeros((9, 9, 3), np.uint8)))
    (tmp_path / "_images" / "drawing.svg").write_text("<svg/>")
    page = (
        '<a href="../_images/a.png"><img src="../_images/a.png"/></a>'
        '<img src="../_images/a-dark.png"/><img src="../_images/drawing.svg"/>'
        '<img src="../_static/a.png"/> the file _images/other.png'
    )
    names = convert_images(tmp_path)
    assert name_webp(page, names) == (
        '<a href="../_images/a.webp"><img src="../_images/a.webp"/></a>'
        '<img src="../_images/a-dark.webp"/><img src="../_images/drawing.svg"/>'
        '<img src="../_static/a.png"/> the file _images/other.png'
    )
    files = {path.name for path in (tmp_path / "_images").iterdir()}
    assert files == {"a.webp", "a-dark.webp", "drawing.svg"}
