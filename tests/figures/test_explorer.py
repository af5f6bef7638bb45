"""The explorer as HTML: its content, what it refuses, and that markup in it is inert."""

import base64
import errno
import io
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from arlib.figures.explorer import LONGEST, explore
from arlib.scoring import prediction_from_scores

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


class Element(HTMLParser):
    """Its tags, its scripts' texts, and its image's attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.image = [], [], {}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.image = dict(attrs)

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)

    @property
    def facts(self):
        return json.loads(self.scripts[0])

    @property
    def pixels(self):
        kind, data = re.fullmatch(r"data:image/(\w+);base64,(.*)", self.image["src"]).groups()
        return kind, Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def scores(make_scores):
    return make_scores(3, 6, seed=1).isel(image=[1])


def test_it_holds_every_region_that_exists_in_full_precision(scores):
    facts = Element(explore(IMAGE, scores).html).facts
    valid = scores.objectness.notnull().values[0]
    assert 0 < valid.sum() < 6
    np.testing.assert_array_equal(facts["objectness"], scores.objectness.values[0][valid])
    np.testing.assert_array_equal(facts["probability"], scores.region_probability.values[0][valid])
    np.testing.assert_array_equal(facts["global"], scores.global_probability.values[0])
    np.testing.assert_allclose(facts["boxes"], scores.box.values[0][valid], atol=0.051)
    assert facts["size"] == [90, 60]
    assert facts["emotions"] == ["positive", "negative"]


def test_without_a_script_it_still_shows_the_label(scores):
    prediction = prediction_from_scores(scores, k=2, alpha=0.5, beta=2.0)
    probability = prediction.probability[prediction.label]
    html = explore(IMAGE, scores, k=2, alpha=0.5, beta=2.0, title="A fox").html
    assert f"A fox: {prediction.label}, {100 * probability:.1f} %." in html


@pytest.mark.parametrize(("size", "embedded"), [((2000, 1000), (800, 400)), ((20, 30), (20, 30))])
def test_the_image_is_embedded_at_a_bounded_size(scores, size, embedded):
    pixels = np.full((size[1], size[0], 3), 200, np.uint8)
    pixels[: size[1] // 2] = (200, 30, 30)
    kind, image = Element(explore(pixels, scores).html).pixels
    assert image.size == embedded
    top, bottom = (image.convert("RGB").getpixel((5, y)) for y in (2, embedded[1] - 2))
    np.testing.assert_allclose([top, bottom], [(200, 30, 30), (200, 200, 200)], atol=6)
    assert kind == "png"


def test_noise_is_bounded_too(scores):
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), dtype=np.uint8)
    html = explore(noise, scores).html
    kind, image = Element(html).pixels
    assert (kind, image.size) == ("jpeg", (LONGEST, LONGEST))
    assert len(html) < 400_000


def test_without_the_image_it_is_small(make_scores):
    scores = make_scores(1, 100, missing=False)
    element = Element(html := explore(IMAGE, scores).html)
    assert len(element.facts["objectness"]) == 100
    assert len(html) - len(element.image["src"]) < 40_000


HOSTILE = "</script><script>window.harm = 1</script><img src=x onerror='window.harm = 1'>\"&"


def test_markup_in_its_texts_is_inert(scores):
    names = [f"good {HOSTILE}", "bad"]
    explorer = explore(
        IMAGE, scores.assign_coords(emotion=names), title=f"t{HOSTILE}", alt=f"a{HOSTILE}"
    )
    hostile, plain = Element(explorer.html), Element(explore(IMAGE, scores).html)
    assert hostile.tags == plain.tags
    assert hostile.facts["title"] == f"t{HOSTILE}"
    assert hostile.facts["emotions"] == names
    assert hostile.image["alt"] == f"a{HOSTILE}"


def test_a_saved_page_is_complete_and_forbids_every_host(scores, tmp_path):
    explorer = explore(IMAGE, scores, title="TITLE <EXPLORER>")
    path = explorer.save(tmp_path / "new" / "x.html")
    assert path == tmp_path / "new" / "x.html"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("<title>TITLE &lt;EXPLORER&gt;</title>") == 1
    assert text.count(explorer.html) == 1
    assert "default-src 'none'" in text


def test_a_page_that_cannot_be_written_leaves_the_one_before(scores, tmp_path, monkeypatch):
    explorer = explore(IMAGE, scores, title="before")
    path = explorer.save(tmp_path / "x.html")
    before = path.read_bytes()

    def fails(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        explore(IMAGE, scores, title="after").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_notebook_shows_it_and_its_text_is_short(scores):
    explorer = explore(IMAGE, scores, title="A fox")
    assert explorer._repr_html_() == explorer.html
    assert repr(explorer) == "Explorer(title='A fox')"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": 2}, 'has the bases "e" and "classes", not 2'),
        ({"k": 0}, "k must be a whole number of at least 1, not 0"),
        ({"alpha": -1.0}, "alpha must be between 0 and 1000"),
        ({"beta": -1.0}, "beta must be between 0 and 1000"),
        ({"rank_by": "size"}, 'rank_by must be "both", "objectness" or "sentiment"'),
        ({"image": IMAGE[..., 0]}, r"image must be \(H, W, 3\) uint8, not \(60, 90\) uint8"),
        ({"image": IMAGE / 255}, r"uint8, not \(60, 90, 3\) float64"),
    ],
)
def test_what_it_refuses(scores, settings, message):
    with pytest.raises(ValueError, match=message):
        explore(**{"image": IMAGE, "scores": scores, **settings})


def test_it_refuses_several_images_and_a_base_that_eq_2_would_square(make_scores):
    with pytest.raises(ValueError, match="scores must be of one image, not of 2"):
        explore(IMAGE, make_scores(2, 3))
    with pytest.raises(ValueError, match='use base="classes"'):
        explore(IMAGE, make_scores(1, 3, n_emotions=3, missing=False))
