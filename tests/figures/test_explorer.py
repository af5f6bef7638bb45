"""The explorer as HTML: what it holds, what it refuses, and that markup in it is inert."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from arlib.figures.explorer import LONGEST, explore
from arlib.scoring import Prediction, prediction_from_scores

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


class Element(HTMLParser):
    """Its tags, its scripts' texts, and what its picture says."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.picture = [], [], {}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.picture = dict(attrs)

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)

    @property
    def facts(self):
        return json.loads(self.scripts[0])

    @property
    def pixels(self):
        kind, data = re.fullmatch(r"data:image/(\w+);base64,(.*)", self.picture["src"]).groups()
        return kind, Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def scores(make_scores):
    return make_scores(3, 6, seed=1).isel(image=[1])


def test_it_holds_every_region_that_exists_in_full_precision(scores):
    facts = Element(explore(PICTURE, scores).html).facts
    there = scores.objectness.notnull().values[0]
    assert 0 < there.sum() < 6
    np.testing.assert_array_equal(facts["objectness"], scores.objectness.values[0][there])
    np.testing.assert_array_equal(facts["probability"], scores.region_probability.values[0][there])
    np.testing.assert_array_equal(facts["whole"], scores.global_probability.values[0])
    np.testing.assert_allclose(facts["boxes"], scores.box.values[0][there], atol=0.051)
    assert facts["size"] == [90, 60]
    assert facts["emotions"] == ["positive", "negative"]


def test_a_prediction_with_all_regions_says_the_same(scores):
    found = prediction_from_scores(scores, k=6, alpha=1.0, beta=0.5)
    one, other = (Element(explore(PICTURE, of).html).facts for of in (found, scores))
    order = np.argsort(one["objectness"])
    again = np.argsort(other["objectness"])
    for name in ("objectness", "probability", "boxes"):
        np.testing.assert_array_equal(np.array(one[name])[order], np.array(other[name])[again])
    assert one["whole"] == other["whole"]


def test_a_prediction_without_regions(scores):
    even = {"positive": 0.5, "negative": 0.5}
    facts = Element(explore(PICTURE, Prediction("positive", even, even, even, ())).html).facts
    assert facts["boxes"] == facts["objectness"] == facts["probability"] == []


def test_without_a_script_it_still_says_the_label(scores):
    found = prediction_from_scores(scores, k=2, alpha=0.5, beta=2.0)
    html = explore(PICTURE, scores, k=2, alpha=0.5, beta=2.0, title="A fox").html
    assert f"A fox: {found.label}, {100 * found.probability[found.label]:.1f} %." in html


@pytest.mark.parametrize(("size", "shown"), [((2000, 1000), (800, 400)), ((20, 30), (20, 30))])
def test_the_picture_is_embedded_at_a_bounded_size(scores, size, shown):
    pixels = np.full((size[1], size[0], 3), 200, np.uint8)
    pixels[: size[1] // 2] = (200, 30, 30)
    kind, picture = Element(explore(pixels, scores).html).pixels
    assert picture.size == shown
    top, bottom = (picture.convert("RGB").getpixel((5, y)) for y in (2, shown[1] - 2))
    np.testing.assert_allclose([top, bottom], [(200, 30, 30), (200, 200, 200)], atol=6)
    assert kind == "png"


def test_noise_is_bounded_too(scores):
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), dtype=np.uint8)
    html = explore(noise, scores).html
    kind, picture = Element(html).pixels
    assert (kind, picture.size) == ("jpeg", (LONGEST, LONGEST))
    assert len(html) < 400_000


def test_without_the_picture_it_is_small(make_scores):
    scores = make_scores(1, 100, missing=False)
    made = Element(html := explore(PICTURE, scores).html)
    assert len(made.facts["objectness"]) == 100
    assert len(html) - len(made.picture["src"]) < 40_000


HOSTILE = "</script><script>window.harm = 1</script><img src=x onerror='window.harm = 1'>\"&"


def test_markup_in_its_texts_is_inert(scores):
    names = [f"good {HOSTILE}", "bad"]
    made = explore(
        PICTURE, scores.assign_coords(emotion=names), title=f"t{HOSTILE}", alt=f"a{HOSTILE}"
    )
    found, plain = Element(made.html), Element(explore(PICTURE, scores).html)
    assert found.tags == plain.tags
    assert found.facts["title"] == f"t{HOSTILE}"
    assert found.facts["emotions"] == names
    assert found.picture["alt"] == f"a{HOSTILE}"


def test_a_saved_page_is_whole_and_forbids_every_host(scores, tmp_path):
    made = explore(PICTURE, scores, title="TITLE <EXPLORER>")
    path = made.save(tmp_path / "new" / "x.html")
    assert path == tmp_path / "new" / "x.html"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("<title>TITLE &lt;EXPLORER&gt;</title>") == 1
    assert text.count(made.html) == 1
    assert "default-src 'none'" in text


def test_a_notebook_shows_it_and_its_text_is_short(scores):
    made = explore(PICTURE, scores, title="A fox")
    assert made._repr_html_() == made.html
    assert repr(made) == "Explorer(title='A fox')"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": 2}, 'knows the bases "e" and "classes", not 2'),
        ({"k": 0}, "k must be a whole number of at least 1, not 0"),
        ({"alpha": -1.0}, "alpha must be a number of at least 0"),
        ({"beta": -1.0}, "beta must be a number of at least 0"),
        ({"rank_by": "size"}, 'rank_by must be "both", "objectness" or "sentiment"'),
        ({"image": PICTURE[..., 0]}, r"image must be \(H, W, 3\) uint8, not \(60, 90\) uint8"),
        ({"image": PICTURE / 255}, r"uint8, not \(60, 90, 3\) float64"),
    ],
)
def test_what_it_refuses(scores, settings, message):
    with pytest.raises(ValueError, match=message):
        explore(**{"image": PICTURE, "scores": scores, **settings})


def test_it_refuses_several_images_and_a_base_that_eq_2_would_square(make_scores):
    with pytest.raises(ValueError, match="scores must be of one image, not of 2"):
        explore(PICTURE, make_scores(2, 3))
    with pytest.raises(ValueError, match='use base="classes"'):
        explore(PICTURE, make_scores(1, 3, n_emotions=3, missing=False))
