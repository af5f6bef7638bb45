"""Why fused predictions are wrong: each cause on a small image, a loop over images, the figure."""

from pathlib import Path

import matplotlib.colors
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from arlib.datasets import Dataset
from arlib.evaluation.failures import CAUSES, causes
from arlib.figures import show_failures
from arlib.method import affective_regions, predict_labels

NEGATIVE, POSITIVE = "#E69F00", "#0072B2"  # the colours of the book's figures
TRUE, ELSEWHERE = (0, 0, 10, 10), (20, 20, 30, 30)
REGIONS = 3


def image(global_, *regions, label=0, known=True):
    """Shares of the first emotion, of the full image and of regions: (objectness, share, box)."""
    missing = [(np.nan, np.nan, (np.nan,) * 4)] * (REGIONS - len(regions))
    objectness, share, box = zip(*regions, *missing, strict=True)
    return {
        "objectness": objectness,
        "box": box,
        "region_probability": [(p, 1 - p) for p in share],
        "global_probability": (global_, 1 - global_),
        "label": label,
        "known": [TRUE if known else (np.nan,) * 4, (np.nan,) * 4],
    }


def together(images):
    """The scores of some images, by their names, and their known regions."""
    region, emotion = ("image", "region"), ("image", "emotion")
    dims = {
        "objectness": region,
        "box": (*region, "corner"),
        "region_probability": (*region, "emotion"),
        "global_probability": emotion,
        "label": ("image",),
    }
    arrays = {name: np.array([each[name] for each in images.values()]) for name in [*dims, "known"]}
    scores = xr.Dataset({name: (dims[name], arrays[name]) for name in dims})
    return scores.assign_coords(image=list(images)), arrays["known"]


WRONG = {
    "no region": image(0.4),
    "degraded by fusion": image(0.6, (0.5, 0.1, ELSEWHERE)),
    "outvoted": image(0.1, (0.5, 0.6, ELSEWHERE)),
    "not proposed": image(0.4, (0.5, 0.3, ELSEWHERE)),
    "not chosen": image(0.3, (0.9, 0.1, ELSEWHERE), (0.1, 0.4, TRUE)),
    "misread": image(0.2, (0.9, 0.1, TRUE), (0.1, 0.4, ELSEWHERE)),
    "both wrong": image(0.35, (0.9, 0.1, TRUE), known=False),
}
"""An image a cause, by its cause."""

OTHERS = {
    "right": image(0.8, (0.9, 0.7, TRUE)),
    "right without regions": image(0.7),
    "corrected by fusion": image(0.45, (0.9, 0.9, TRUE)),
    "no label": image(0.4, (0.5, 0.3, TRUE), label=-1),
}


def test_there_is_an_image_for_every_cause_in_the_order_in_which_they_are_tried():
    assert list(WRONG) == list(CAUSES)


@pytest.mark.parametrize("cause", CAUSES)
def test_a_small_image_fails_for_its_cause(cause):
    scores, known = together({"one": WRONG[cause]})
    assert causes(scores, 1, known=known).cause.to_dict() == {"one": cause}


def test_each_image_of_several_has_its_own_cause():
    scores, known = together({**OTHERS, **WRONG})
    failed = causes(scores, 1, known=known)
    assert failed.cause.to_dict() == {cause: cause for cause in CAUSES}
    assert failed.attrs["meanings"] == CAUSES


def test_what_is_right_or_has_no_label_is_no_failure():
    scores, known = together(OTHERS)
    assert causes(scores, 1, known=known).empty


def test_the_second_emotion_can_be_the_true_one():
    for cause, wrong in WRONG.items():
        turned = {name: np.array(wrong[name])[..., ::-1] for name in wrong if "probability" in name}
        scores, known = together({"one": {**wrong, **turned, "label": 1}})
        assert causes(scores, 1, known=known).cause.to_dict() == {"one": cause}


@pytest.mark.parametrize("n", [1, 2])
def test_a_missing_region_holds_nothing(n):
    """Images have fewer regions than others, and fewer than K."""
    scores, known = together({"one": image(0.4, *[(0.5, 0.3, ELSEWHERE)] * n)})
    assert causes(scores, 3, known=known).cause.tolist() == ["not proposed"]


def test_without_knowledge_no_cause_needs_it():
    scores, _ = together(WRONG)
    failed = causes(scores, 1)
    kept = ["no region", "degraded by fusion", "outvoted"]
    assert failed.cause.to_dict() == {c: c if c in kept else "both wrong" for c in CAUSES}


def test_more_of_the_k_are_looked_at():
    """With K = 2 the region that was not chosen is."""
    scores, known = together({"one": WRONG["not chosen"]})
    assert causes(scores, 2, known=known).cause.tolist() == ["misread"]


@pytest.mark.parametrize(("iou", "cause"), [(0.5, "misread"), (0.51, "not proposed")])
def test_an_overlap_of_just_the_threshold_holds(iou, cause):
    scores, known = together({"one": image(0.2, (0.9, 0.1, (0, 0, 10, 5)))})
    assert causes(scores, 1, known=known, iou=iou).cause.tolist() == [cause]


def test_the_most_certain_failure_comes_first():
    scores, known = together({**WRONG, **OTHERS})
    fused = predict_labels(scores, 1).probability.values[:, 0]
    failed = causes(scores, 1, known=known)
    shares = dict(zip(scores.image.values.tolist(), fused.tolist(), strict=True))
    assert failed.index.tolist() == sorted(WRONG, key=shares.get)
    assert failed.index.tolist() != list(WRONG)


def test_the_shares_are_those_of_the_true_emotion():
    scores, _ = together({"one": image(0.25, (0.5, 0.125, TRUE), (0.4, 0.375, TRUE), label=0)})
    (row,) = causes(scores, 2).itertuples()
    assert (row.full_image, row.regions, row.fused) == (0.25, 0.25, 0.25)
    (row,) = causes(scores, 1, beta=1.0).itertuples()
    assert (row.full_image, row.regions, row.fused) == (0.25, 0.125, 0.1875)
    (row,) = causes(together({"one": image(0.75, label=1)})[0], 1).itertuples()
    assert (row.full_image, row.fused) == (0.25, 0.25)
    assert np.isnan(row.regions)


def iou_by_hand(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (areas - shared)


def cause_by_hand(image, chosen, known):
    """One image's cause: the conditions one after another."""
    label = int(image.label)

    def regions(boxes):
        return [box for box in boxes.values.tolist() if box[0] == box[0]]

    def holds(boxes):
        return any(iou_by_hand(box, region) >= 0.5 for box in boxes for region in known_regions)

    if not regions(image.box):
        return "no region"
    if image.global_probability.values.argmax() == label:
        return "degraded by fusion"
    shares = [s for s in chosen.probability.values.tolist() if s[0] == s[0]]
    if np.mean(shares, axis=0).argmax() == label:
        return "outvoted"
    known_regions = [] if known is None else [box for box in known.tolist() if box[0] == box[0]]
    if not known_regions:
        return "both wrong"
    if not holds(regions(image.box)):
        return "not proposed"
    return "misread" if holds(regions(chosen.box)) else "not chosen"


@settings(max_examples=25)
@given(
    st.integers(0, 999),
    st.integers(1, 4),
    st.sampled_from([{}, {"alpha": 0.2, "beta": 2.0, "base": 2}]),
    st.booleans(),
    st.sampled_from([2, 3]),
)
def test_every_wrong_image_has_the_first_cause_that_applies(
    make_scores, seed, k, changed, knows, emotions
):
    scores = make_scores(24, 5, n_emotions=emotions, seed=seed)
    rng = np.random.default_rng(seed)
    known = rng.permutation(scores.box.values[:, :2])  # of other images
    near = rng.random(24) < 0.7
    known[near, 0] = scores.box.values[near, rng.integers(5)]
    known[rng.random((24, 2)) < 0.3] = np.nan
    equations = {"alpha": 1.0, "beta": 0.5, "base": "classes"} | changed
    equations["base"] = "classes" if emotions == 3 else equations["base"]
    failed = causes(scores, k, known=known if knows else None, **equations)
    fused = predict_labels(scores, k, **equations).label.values
    chosen = affective_regions(scores, k, alpha=equations["alpha"], base=equations["base"])
    expected = {}
    for i, key in enumerate(scores.image.values.tolist()):
        if scores.label[i] >= 0 and fused[i] != scores.label[i]:
            pair = scores.isel(image=i), chosen.isel(image=i)
            expected[key] = cause_by_hand(*pair, known[i] if knows else None)
    assert failed.index.is_unique
    assert failed.cause.to_dict() == expected
    assert set(failed.cause) <= set(CAUSES)
    assert failed.fused.is_monotonic_increasing


KEYS = np.array(list({**WRONG, **OTHERS}))[::-1]  # not in the order of the scores


def draw_image(number):
    return np.full((40, 50, 3), 10 * number, np.uint8)


def images_of(draw):
    n = len(KEYS)
    labels = np.zeros(n, np.int8)
    return Dataset("p", Path("nowhere"), KEYS, np.arange(n), labels, labels, draw=draw)


def outlines(panel):
    """Corner, width, height and colour of the coloured lines; each has a white rim below it."""
    return [
        (
            (box.get_x() + 0.5, box.get_y() + 0.5, box.get_width(), box.get_height()),
            matplotlib.colors.to_hex(box.get_edgecolor()).upper(),
        )
        for box in panel.patches[1::2]
    ]


def test_the_figure_has_a_panel_a_cause_with_its_image():
    scores, known = together({**WRONG, **OTHERS})
    failed = causes(scores, 1, known=known)
    figure = show_failures(failed, images_of(draw_image), scores, k=1)
    figure.draw_without_rendering()
    for panel, (key, row) in zip(figure.axes, failed.iterrows(), strict=True):
        expected = f"{row.cause}\nlabelled positive\nfused: {100 * row.fused:.0f}% positive"
        assert panel.get_title() == expected
        pixels = panel.images[0].get_array()
        assert (pixels == draw_image(KEYS.tolist().index(key))).all()


def test_the_figure_shows_the_most_certain_failure_of_a_cause():
    same = {f"{i}": image(share, (0.5, 0.3, TRUE)) for i, share in enumerate((0.3, 0.1, 0.2))}
    scores, _ = together(same)
    failed = causes(scores, 1)
    keys, none = np.array(list(same)), np.zeros(3, np.int8)
    some = Dataset("p", Path(), keys, np.arange(3), none, none, draw=draw_image)
    (panel,) = show_failures(failed, some, scores, k=1).axes
    assert failed.index[0] == "1"
    assert (panel.images[0].get_array() == draw_image(1)).all()


def test_the_figure_frames_the_regions_that_were_fused():
    boxes = [(0, 0, 5, 5), (3, 4, 20, 30), (1, 1, 9, 9)]
    regions = [(0.9 - j / 10, share, boxes[j]) for j, share in enumerate((0.1, 0.6, 0.05))]
    scores, _ = together({"right": image(0.1, *regions)})
    failed = causes(scores, 2)
    (panel,) = show_failures(failed, images_of(draw_image), scores, k=2).axes
    chosen = affective_regions(scores, 2)
    assert chosen.region.values.tolist() == [[0, 2]]
    assert outlines(panel) == [((0, 0, 5, 5), NEGATIVE), ((1, 1, 8, 8), NEGATIVE)]
    (panel,) = show_failures(failed, images_of(draw_image), scores, k=3).axes
    assert outlines(panel)[2] == ((3, 4, 17, 26), POSITIVE)


def test_an_image_without_regions_has_no_frame():
    scores, _ = together({"no region": WRONG["no region"]})
    (panel,) = show_failures(causes(scores, 1), images_of(draw_image), scores, k=1).axes
    assert outlines(panel) == []
    assert len(panel.images) == 1


def test_without_images_that_may_be_shown_there_is_a_note():
    scores, _ = together(WRONG)
    (panel,) = show_failures(causes(scores, 1), None, scores, k=1).axes
    assert [text.get_text() for text in panel.texts] == [
        "photographs of a published dataset: not shown"
    ]
    assert not panel.images


def test_where_nothing_failed_the_figure_notes_it():
    scores, _ = together(OTHERS)
    (panel,) = show_failures(causes(scores, 1), images_of(draw_image), scores, k=1).axes
    assert [text.get_text() for text in panel.texts] == ["nothing failed"]
