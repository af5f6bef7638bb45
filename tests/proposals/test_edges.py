"""Edge maps: edges of drawn images; thinning against a loop over pixels."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st
from skimage.draw import disk

from arlib.proposals.edges import edge_map, structured_edges, thin


def drawn_disc(background=(255, 255, 255), colour=(30, 60, 200), size=(120, 160)):
    image = np.full((*size, 3), background, np.uint8)
    image[disk((60, 90), 35)] = colour
    return image


def test_the_outline_of_a_disc_and_nothing_else():
    magnitude, orientation = edge_map(drawn_disc())
    y, x = np.nonzero(magnitude > 0.3)
    radius = np.hypot(y - 60, x - 90)
    assert np.abs(radius - 35).max() < 2
    angle = np.arctan2(y - 60, x - 90) % np.pi
    apart = np.abs(orientation[y, x] - angle)
    assert np.minimum(apart, np.pi - apart).max() < 0.2
    around = np.unique(np.round(np.arctan2(y - 60, x - 90), 1))
    assert len(around) > 60, "the outline has gaps"


def test_colours_of_one_lightness_have_an_edge():
    red, green = (200, 40, 40), (0, 118, 0)  # L* of both is 43
    magnitude, _ = edge_map(drawn_disc(red, green))
    assert (magnitude > 0.5).sum() > 150


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_ranges_and_dtypes(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    magnitude, orientation = edge_map(image)
    assert magnitude.shape == orientation.shape == (height, width)
    assert magnitude.dtype == orientation.dtype == np.float32
    assert magnitude.min() >= 0
    assert magnitude.max() <= 1
    assert orientation.min() >= 0
    assert orientation.max() < np.pi


@pytest.mark.parametrize("level", [0, 99, 255])
def test_a_flat_image_has_no_edge(level):
    assert edge_map(np.full((50, 60, 3), level, np.uint8))[0].max() == 0


def test_contrast_does_not_matter_to_the_scale():
    strong, weak = (edge_map(drawn_disc((255,) * 3, (level,) * 3))[0] for level in (0, 200))
    assert strong.max() == weak.max() == 1


def bilinear(values, y, x):
    height, width = values.shape
    y0, x0 = math.floor(y), math.floor(x)
    total = 0.0
    for row, column in ((y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1)):
        weight = (1 - abs(y - row)) * (1 - abs(x - column))
        total += weight * values[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    return total


def test_thinning_keeps_what_no_neighbour_across_the_edge_exceeds():
    rng = np.random.default_rng(0)
    strength = rng.random((12, 17)).astype(np.float32)
    orientation = (rng.random((12, 17)) * np.pi).astype(np.float32)
    kept = thin(strength, orientation)
    unclear = 0
    for y in range(12):
        for x in range(17):
            dy, dx = math.sin(orientation[y, x]), math.cos(orientation[y, x])
            around = max(bilinear(strength, y + dy, x + dx), bilinear(strength, y - dy, x - dx))
            if abs(strength[y, x] - around) < 0.04:  # OpenCV interpolates in steps of 1/32 pixel
                unclear += 1
            else:
                assert kept[y, x] == (strength[y, x] if strength[y, x] > around else 0)
    assert unclear < 40


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_what_is_no_image(image):
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8 RGB, not"):
        edge_map(image)


@pytest.mark.parametrize("sigma", [0, -1, float("nan"), float("inf")])
def test_sigma_out_of_range(sigma):
    with pytest.raises(ValueError, match="sigma must be a positive number of pixels"):
        edge_map(drawn_disc(), sigma)


def test_a_model_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"no structured-forest model at .*absent\.yml"):
        structured_edges(drawn_disc(), tmp_path / "absent.yml")
    (tmp_path / "other.yml").write_text("%YAML:1.0\n---\nx: 1\n")
    with pytest.raises(
        ValueError, match=r"other\.yml is no structured-forest model: it has no opt"
    ):
        structured_edges(drawn_disc(), tmp_path / "other.yml")
    (tmp_path / "text.yml").write_text("not a model at all")
    with pytest.raises(ValueError, match=r"text\.yml is no structured-forest model"):
        structured_edges(drawn_disc(), tmp_path / "text.yml")


class Forest:
    """Stands in for OpenCV's detector, whose trained model is 5 MB that we cannot ship."""

    def detectEdges(self, image):
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 1
        return 3 * np.abs(np.diff(image[..., 0], axis=1, prepend=image[:, :1, 0]))

    def computeOrientation(self, edges):
        return np.zeros_like(edges)

    def edgesNms(self, edges, orientation):
        assert edges.shape == orientation.shape
        return edges * (edges > 1)


def test_a_models_edges_are_thinned_and_normalised(tmp_path, monkeypatch):
    import cv2

    names = ["options", "childs", "featureIds", "thresholds", "edgeBoundaries", "edgeBins"]
    path = tmp_path / "forest.yml"
    path.write_text("%YAML:1.0\n---\n" + "".join(f"{name}: [ 1 ]\n" for name in names))
    asked = []
    monkeypatch.setattr(
        cv2.ximgproc,
        "createStructuredEdgeDetection",
        lambda name: (asked.append(name), Forest())[1],
    )
    magnitude, orientation = structured_edges(drawn_disc(), path)
    assert asked == [str(path)]
    assert magnitude.dtype == np.float32
    assert magnitude.max() == 1
    assert set(np.unique(magnitude)) == {0, 1}
    assert orientation.shape == magnitude.shape
    from arlib.proposals import EdgeBoxes

    proposals = EdgeBoxes(max_regions=5, model=str(path))(drawn_disc())
    assert asked == [str(path)], "the model is loaded once"
    assert len(proposals) <= 5


def test_the_map_is_that_of_the_formula_as_it_is_written():
    """Sums over channels and the angle's modulus, bit by bit: recorded proposals rest on them."""
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100
    smooth = cv2.GaussianBlur(lab, (0, 0), 2.0)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    xx, yy, xy = (dx * dx).sum(-1), (dy * dy).sum(-1), (dx * dy).sum(-1)
    strength = np.sqrt((xx + yy) / 2 + np.hypot((xx - yy) / 2, xy))
    angle = (0.5 * np.arctan2(2 * xy, xx - yy) % np.pi).astype(np.float32)
    angle[angle >= np.pi] = 0
    magnitude, orientation = edge_map(image)
    np.testing.assert_array_equal(orientation, angle)
    kept = thin(strength, angle)
    scale = np.percentile(kept[kept > 1e-4], 99.5)
    np.testing.assert_array_equal(magnitude, np.clip(kept / scale, 0, 1).astype(np.float32))
