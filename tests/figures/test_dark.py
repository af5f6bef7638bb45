"""Figures for dark pages: legible, and otherwise the same."""

import base64
import io

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from PIL import Image

from arlib import figures
from arlib.figures.dark import DARK, GROUND, INK, BookFigure, darkened, inverted

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 255, (60, 80, 3), np.uint8)
BOXES = np.array([[5.0, 5, 40, 40], [10, 20, 70, 50]])


def luminance(colour):
    """WCAG 2.1's relative luminance."""
    channel = np.array(to_rgba(colour)[:3])
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def pixels(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


def plane():
    return figures.plot_plane(RNG.random(300), RNG.random(300), RNG.random(300) > 0.7, 1.0)


def selection():
    return figures.show_selection({"one": BOXES, "other": BOXES}, BOXES, IMAGE, BOXES)


@pytest.mark.parametrize("colour", ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#555"])
def test_the_books_colours_stand_out_on_the_dark_ground(colour):
    """WCAG asks 3 of what is drawn."""
    assert contrast(inverted(colour)[0], GROUND) >= 3


def test_greys_are_inverted_in_order():
    lightness = inverted([str(grey) for grey in np.linspace(0, 1, 9)])[:, :3].mean(axis=1)
    assert (np.diff(lightness) < 0).all()
    assert [to_hex(c) for c in inverted(["black", "white"])] == [INK, GROUND]


def test_no_colour_stays_none_and_opacity_stays():
    assert len(inverted("none")) == 0
    assert inverted((0, 0, 0, 0.25))[0, 3] == 0.25


@pytest.mark.parametrize("make", [plane, selection])
def test_all_text_on_the_ground_can_be_read(make):
    """WCAG asks 4.5 of text; numbers on images have a ground of their own."""
    dark = darkened(make())
    dark.savefig(io.BytesIO())
    on_images = {id(text) for axes in dark.axes if axes.images for text in axes.texts}
    texts = [text for text in dark.findobj(lambda a: hasattr(a, "get_fontsize")) if text.get_text()]
    assert len(texts) > 2
    for text in texts:
        if id(text) not in on_images:
            assert contrast(text.get_color(), GROUND) >= 4.5


def test_an_image_and_what_is_drawn_over_it_stay():
    figure = figures.show_proposals(IMAGE, {"some": BOXES})
    light, dark = figure.axes[0], darkened(figure).axes[0]
    np.testing.assert_array_equal(dark.images[0].get_array(), light.images[0].get_array())
    assert [p.get_edgecolor() for p in dark.patches] == [p.get_edgecolor() for p in light.patches]
    assert to_hex(dark.title.get_color()) != to_hex(light.title.get_color())


def test_a_map_and_the_numbers_in_it_stay():
    light = Figure()
    axes = light.subplots()
    axes.pcolormesh([[1.0, -1.0]], cmap="PuOr")
    axes.text(0.5, 0.5, "7", color="white")
    axes.set(title="a map", facecolor="#e4e4e4")
    (dark,) = darkened(light).axes
    assert dark.collections[0].get_cmap().name == "PuOr"
    assert to_hex(dark.texts[0].get_color()) == "#ffffff"
    assert to_hex(dark.patch.get_facecolor()) == "#e4e4e4"
    assert contrast(dark.title.get_color(), GROUND) > 4.5, "what lies around it is turned"


def test_tiles_that_count_fade_into_the_dark_ground():
    few, many = darkened(plane()).axes[0].collections[0].get_cmap()([0.0, 1.0])
    assert contrast(few, GROUND) < 1.1
    assert contrast(many, GROUND) > 8


def test_the_figure_itself_stays_unchanged():
    figure = plane()
    patches = figure.findobj(lambda artist: hasattr(artist, "get_facecolor"))
    before = [np.array(patch.get_facecolor()) for patch in patches]
    darkened(figure)
    for patch, colour in zip(patches, before, strict=True):
        np.testing.assert_array_equal(patch.get_facecolor(), colour)


@pytest.mark.parametrize("make", [plane, selection])
def test_both_forms_are_shown_in_one_size(make):
    both = make()._repr_mimebundle_()
    light, dark = pixels(both["image/png"]), pixels(both[DARK])
    assert light.shape == dark.shape
    assert tuple(light[0, 0]) == (255, 255, 255)
    assert "#{:02x}{:02x}{:02x}".format(*dark[0, 0]) == GROUND


def test_every_figure_of_the_book_has_a_dark_form():
    figure = plane()
    assert isinstance(figure, BookFigure)
    assert not hasattr(Figure, "_repr_mimebundle_")
