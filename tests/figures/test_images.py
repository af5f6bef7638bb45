"""Images with regions drawn on them: the drawn regions are the predicted ones."""

import io
from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from arlib.figures.images import draw_boxes, show_pipeline, show_prediction
from arlib.figures.style import NEGATIVE, NEUTRAL, POSITIVE, new_figure
from arlib.scoring import Prediction


def region(box, positive):
    probability = {"positive": positive, "negative": 1 - positive}
    return SimpleNamespace(
        box=box,
        objectness=0.4,
        sentiment_score=0.5,
        affective_score=0.64,
        probability=probability,
    )


PREDICTION = Prediction(
    label="positive",
    response={"positive": 0.9, "negative": 0.6},
    probability={"positive": 0.6, "negative": 0.4},
    global_probability={"positive": 0.55, "negative": 0.45},
    regions=(region((2.0, 3.0, 12.0, 9.0), 0.8), region((0.0, 0.0, 5.0, 5.0), 0.3)),
)


def outlines(axes):
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_boxes_are_drawn_around_complete_pixels():
    _, axes = new_figure()
    draw_boxes(axes, np.array([[2, 3, 12, 9]]), labels=["1"])
    for box in outlines(axes):  # a white rim and the line itself
        assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (1.5, 2.5, 10, 6)
    assert [text.get_text() for text in axes.texts] == ["1"]


def test_one_colour_a_box_or_one_for_all():
    _, axes = new_figure()
    draw_boxes(axes, np.zeros((2, 4)), colours=[POSITIVE, NEGATIVE])
    colours = [matplotlib.colors.to_hex(b.get_edgecolor()).upper() for b in outlines(axes)[1::2]]
    assert colours == [POSITIVE, NEGATIVE]
    with pytest.raises(ValueError, match="zip"):
        draw_boxes(axes, np.zeros((3, 4)), colours=[POSITIVE, NEGATIVE])


def test_a_prediction_shows_its_regions_and_its_probabilities():
    figure = show_prediction(np.zeros((10, 20, 3), np.uint8), PREDICTION)
    left, right = figure.axes
    assert left.get_title() == "positive"
    assert len(outlines(left)) == 4
    assert [bar.get_width() for bar in outlines(right)] == [0.6, 0.55, 0.8, 0.3]
    names = [label.get_text() for label in right.get_yticklabels()]
    assert names == ["fused", "full image", "region 1", "region 2"]
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in outlines(right)]
    assert colours == [NEUTRAL, NEUTRAL, POSITIVE, NEGATIVE]


def test_a_prediction_without_regions():
    bare = Prediction("negative", *({"positive": 0.4, "negative": 0.6},) * 3, regions=())
    left, right = show_prediction(np.zeros((10, 20, 3), np.uint8), bare).axes
    assert outlines(left) == []
    assert len(outlines(right)) == 2


def test_a_large_image_is_reduced_but_keeps_its_pixels_coordinates():
    image = np.zeros((2000, 5000, 3), np.uint8)
    image[1000:, 2500:] = 200
    left = show_prediction(image, PREDICTION).axes[0]
    drawn = left.images[0].get_array()
    assert max(drawn.shape) == 1250
    assert (drawn[250:, 625:] == 200).all()
    assert not drawn[:250].any()
    assert left.images[0].get_extent() == [-0.5, 4999.5, 1999.5, -0.5]
    assert left.get_xlim() == (-0.5, 4999.5)
    small = show_prediction(image[:1600, :1600], PREDICTION).axes[0].images[0]
    assert small.get_array().shape == (1600, 1600, 3)


@pytest.mark.parametrize("shape", [(1, 9000), (9000, 1), (1, 1)])
def test_a_thin_image_is_drawn(shape):
    figure = show_prediction(np.zeros((*shape, 3), np.uint8), PREDICTION)
    figure.savefig(io.BytesIO(), dpi=20, bbox_inches="tight")


def test_the_pipeline_shows_every_proposal_and_the_chosen_ones():
    boxes = np.float32([[0, 0, 5, 5], [2, 2, 9, 8], [1, 1, 4, 4]])
    scores = np.float32([0.9, 0.5, 0.1]), np.float32([0.4, 0.9, 0.2])
    figure = show_pipeline(np.zeros((10, 20, 3), np.uint8), boxes, *scores, PREDICTION)
    start, proposed, plane, fused = figure.axes
    assert outlines(start) == []
    assert len(outlines(proposed)) == 2 * 3  # each with its rim
    assert "3 proposals" in proposed.get_title()
    everything, chosen = plane.collections
    np.testing.assert_allclose(everything.get_offsets(), np.stack(scores, 1))
    kept = [(r.objectness, r.sentiment_score) for r in PREDICTION.regions]
    np.testing.assert_allclose(chosen.get_offsets(), kept)
    assert len(outlines(fused)) == 2 * 2
    assert fused.get_title() == "4. positive: 0.55 alone, 0.60 fused"
    bare = Prediction("negative", *({"positive": 0.4, "negative": 0.6},) * 3, regions=())
    none = np.zeros(0)
    assert len(show_pipeline(np.zeros((9, 9, 3), np.uint8), boxes[:0], none, none, bare).axes) == 4
