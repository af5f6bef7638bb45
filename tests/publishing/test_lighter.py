"""Pictures of a built site as WebP: which lose nothing, and that pages name them."""

import io

import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from skimage import data

from arlib.figures import plot_objectness
from arlib.publishing.site import as_webp, convert_images


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def pixels_of(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_pixels_change_only_where_that_halves_the_file(pixels):
    made, exact = as_webp(png(pixels)), io.BytesIO()
    Image.fromarray(pixels).save(exact, format="WEBP", lossless=True, method=4)
    assert pixels_of(made).shape == pixels.shape
    same = np.array_equal(pixels_of(made), pixels)
    assert same or len(made) <= len(exact.getvalue()) / 2


def test_a_drawing_keeps_every_pixel():
    figure = plot_objectness({"a walk": np.random.default_rng(0).normal(size=200).cumsum()})
    file = io.BytesIO()
    figure.savefig(file, format="png")
    made = as_webp(file.getvalue())
    with Image.open(io.BytesIO(file.getvalue())) as image:
        drawn = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(pixels_of(made), drawn)
    assert len(made) < len(file.getvalue())


def test_a_photograph_loses_what_is_not_seen():
    photograph = data.coffee()
    made = as_webp(png(photograph))
    error = pixels_of(made).astype(float) - photograph
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 35  # dB, a usual bound for "looks the same"
    assert len(made) < len(png(photograph)) / 3


def test_what_is_seen_through_stays_so():
    pixels = np.full((20, 30, 4), 255, np.uint8)
    pixels[5:9, 5:9, 3] = 0
    np.testing.assert_array_equal(pixels_of(as_webp(png(pixels)))[..., 3], pixels[..., 3])


def test_pages_name_what_is_there_now_and_leave_the_rest(tmp_path):
    (tmp_path / "_images").mkdir()
    (tmp_path / "book").mkdir()
    for name in ("a.png", "a-dark.png"):
        (tmp_path / "_images" / name).write_bytes(png(np.zeros((9, 9, 3), np.uint8)))
    (tmp_path / "_images" / "drawing.svg").write_text("<svg/>")
    page = tmp_path / "book" / "one.html"
    page.write_text(
        '<a href="../_images/a.png"><img src="../_images/a.png"/></a>'
        '<img src="../_images/a-dark.png"/><img src="../_images/drawing.svg"/>'
        '<img src="../_static/a.png"/> the file _images/other.png'
    )
    convert_images(tmp_path)
    assert page.read_text() == (
        '<a href="../_images/a.webp"><img src="../_images/a.webp"/></a>'
        '<img src="../_images/a-dark.webp"/><img src="../_images/drawing.svg"/>'
        '<img src="../_static/a.png"/> the file _images/other.png'
    )
    there = {path.name for path in (tmp_path / "_images").iterdir()}
    assert there == {"a.webp", "a-dark.webp", "drawing.svg"}
    before = page.read_text()
    convert_images(tmp_path)  # a second time there is nothing to do
    assert page.read_text() == before
