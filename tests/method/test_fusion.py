import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st

from arlib.method.fusion import late_fusion


def eq3(global_, regions, beta, form="sum"):
    """Eq. 3 for one image, over the regions that exist."""
    regions = [row for row in regions if not np.isnan(row).any()]
    if not regions:
        return list(global_)
    fused = []
    for i, y in enumerate(global_):
        mean = sum(row[i] for row in regions) / len(regions)
        fused.append(((1 - beta) if form == "convex" else 1) * y + beta * mean)
    return fused


def predictions(n, k, m, seed=0, dtype=np.float64, share_missing=0.4):
    rng = np.random.default_rng(seed)
    global_, regions = rng.dirichlet(np.ones(m), n), rng.dirichlet(np.ones(m), (n, k))
    regions[rng.uniform(size=(n, k)) < share_missing] = np.nan
    return global_.astype(dtype), regions.astype(dtype)


@given(
    st.tuples(st.integers(1, 6), st.integers(0, 6), st.integers(1, 5), st.integers(0, 999)),
    st.floats(0, 1),
    st.sampled_from(["sum", "convex"]),
)
def test_it_is_eq_3_image_by_image(shape, beta, form):
    global_, regions = predictions(*shape)
    fused = late_fusion(global_, regions, beta, form)
    expected = [eq3(y, r, beta, form) for y, r in zip(global_, regions, strict=True)]
    np.testing.assert_allclose(fused, expected, atol=1e-14)
    some = ~np.isnan(regions).any(-1).all(-1)
    total = np.where(some & (form == "sum"), 1 + beta, 1)
    np.testing.assert_allclose(fused.sum(-1), total)


@given(st.permutations(range(5)))
def test_the_order_of_regions_does_not_matter(order):
    global_, regions = predictions(4, 5, 2)
    np.testing.assert_allclose(
        late_fusion(global_, regions[:, order]), late_fusion(global_, regions)
    )


@pytest.mark.parametrize("form", ["sum", "convex"])
def test_without_regions_the_global_prediction_stays(form):
    global_ = np.float32([[0.3, 0.7]])
    for regions in (np.full((1, 3, 2), np.nan, np.float32), np.empty((1, 0, 2), np.float32)):
        np.testing.assert_array_equal(late_fusion(global_, regions, 0.5, form), global_)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_it_keeps_the_precision_and_loses_little(dtype):
    global_, regions = predictions(20, 1000, 3, dtype=dtype)
    fused = late_fusion(global_, regions, np.float64(0.5))
    assert fused.dtype == dtype
    exact = late_fusion(global_.astype(float), regions.astype(float), 0.5)
    np.testing.assert_allclose(fused.astype(float), exact, rtol=3 * np.finfo(dtype).eps)


def test_beta_broadcasts_over_the_leading_axes():
    global_, regions = predictions(4, 3, 2)
    beta = np.array([[0.1], [0.9]])
    fused = late_fusion(global_, regions, beta)
    assert fused.shape == (2, 4, 2)
    np.testing.assert_array_equal(fused[1], late_fusion(global_, regions, 0.9))


@pytest.mark.parametrize("name", ["rank", "region"])
def test_dataarrays_are_fused_by_name(make_scores, name):
    scores = make_scores(5, 4)
    regions = scores.region_probability.rename(region=name)
    fused = late_fusion(scores.global_probability.T, regions.transpose("emotion", ...))
    assert fused.dims == ("image", "emotion")
    assert fused.name == "response"
    expected = late_fusion(scores.global_probability.values, regions.values)
    np.testing.assert_allclose(fused, expected, rtol=1e-6)
    beta = xr.DataArray([0.25, 0.5], dims="beta")
    many = late_fusion(scores.global_probability, regions, beta)
    assert set(many.dims) == {"image", "beta", "emotion"}
    np.testing.assert_allclose(many.isel(beta=1).transpose("image", "emotion"), expected, 1e-6)


def test_other_images_are_refused(make_scores):
    scores = make_scores(5, 4)
    with pytest.raises(xr.AlignmentError):
        late_fusion(scores.global_probability[:3], scores.region_probability)


@pytest.mark.parametrize(
    ("beta", "form", "message"),
    [
        (-0.5, "sum", "beta must be between 0 and 1000 for form 'sum', not -0.5"),
        (1e308, "sum", "beta must be between 0 and 1000 for form 'sum', not 1e+308"),
        ([0.5, np.nan], "sum", "beta must be between 0 and 1000 for form 'sum', not nan"),
        (1.5, "convex", "beta must be between 0 and 1 for form 'convex', not 1.5"),
        (0.5, "product", 'form must be "sum" or "convex", not \'product\''),
    ],
)
def test_wrong_settings_are_refused(beta, form, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        late_fusion([0.5, 0.5], [[0.5, 0.5]], beta, form)


def test_a_dataarray_without_regions_is_refused(make_scores):
    global_ = make_scores(2, 2).global_probability
    message = "^region_probability must have 'rank' or 'region', and 'emotion': "
    with pytest.raises(ValueError, match=message):
        late_fusion(global_, global_)
