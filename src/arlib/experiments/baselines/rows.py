"""Regions that nobody chose: what affective regions must beat at equal cost."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import xarray as xr

from arlib.datasets import Dataset
from arlib.experiments.baselines.former_fusion import former_fusion
from arlib.experiments.baselines.sentibank import SentiBank
from arlib.method import affective_regions, usable_base
from arlib.networks import Backbone, LinearHead, cross_fit, fit_head
from arlib.proposals import Grid, Proposals, make_proposals
from arlib.scoring import Classifiers, classify_boxes, global_probabilities, image_features

MOST = 20
"""The most regions of a control: as many as the largest K that is looked at."""


WINDOWS: dict[str, Callable[[np.ndarray], Proposals]] = {
    "grid": Grid(MOST),
    "centre crops": make_proposals("center_crops", max_regions=MOST),
}
"""Windows that do not look at the picture, in their own order; ten-crop comes beside them."""


def control_probabilities(
    dataset: Dataset, classifiers: Classifiers, *, progress: bool = True
) -> xr.DataArray:
    """Judge the windows of each control in every image.

    Args:
        dataset: the images.
        classifiers: who judges which fold.
        progress: show bars.

    Returns:
        (control, image, rank, emotion) float32, in each control's own order; NaN beyond its
        windows and where the image is unreadable; where a picture is too small for different
        windows, the last is repeated. "ten-crop" holds the middle, its mirror image, a
        corner, its mirror image, and so on (Krizhevsky et al. 2012).
    """
    said = {name: _judged(classifiers, dataset, make, progress) for name, make in WINDOWS.items()}
    five = [
        _judged(classifiers, dataset, make_proposals("five_crops"), progress, mirror)
        for mirror in (False, True)
    ]
    ten = np.stack(five, axis=2)  # (image, crop, mirrored, emotion)
    said["ten-crop"] = ten.reshape(len(ten), -1, ten.shape[-1])
    rows = np.full((len(said), len(dataset), MOST, len(dataset.emotions)), np.nan, np.float32)
    for row, one in zip(rows, said.values(), strict=True):
        row[:, : one.shape[1]] = one
    return xr.DataArray(
        rows,
        dims=("control", "image", "rank", "emotion"),
        coords={
            "control": np.array(list(said), object),
            "image": dataset.keys.astype(object),
            "rank": np.arange(1, MOST + 1),
            "emotion": np.array(dataset.emotions, object),
        },
        name="control_probability",
    )


def _judged(
    classifiers: Classifiers,
    dataset: Dataset,
    propose: Callable[[np.ndarray], Proposals],
    progress: bool,
    mirror: bool = False,
) -> np.ndarray:
    """(n, R, M): R windows in every image."""
    most = int(propose.max_regions)  # type: ignore[attr-defined]

    def boxes(_: int, image: np.ndarray) -> np.ndarray:
        found = propose(image).boxes
        return found[np.minimum(np.arange(most), len(found) - 1)]

    return classify_boxes(classifiers, dataset, boxes, mirror=mirror, progress=progress)


class Missing(Exception):
    """A row that cannot be measured where the reader is; the text says what is missing."""


Row = Callable[[], np.ndarray]
"""Measures one row: (n, M) probabilities; raises `Missing`."""


def rows_for(
    dataset: Dataset,
    scores: xr.Dataset,
    classifiers: Classifiers,
    *,
    plain: Backbone,
    bank: Callable[[], SentiBank],
    deep: Callable[[], Backbone],
    pcnn: Mapping[str, Callable[[], Classifiers]],
    progress: bool = True,
) -> dict[str, Row]:
    """Tell how each row is measured; nothing is measured yet.

    Args:
        dataset: the images, in the order of the scores, without unreadable ones.
        scores: of the images by the judges; their best region goes into former fusion.
        classifiers: who judges which fold.
        plain: the backbone as it was before fine-tuning.
        bank: gives the SentiBank.
        deep: gives the network that tells adjective-noun pairs apart.
        pcnn: row -> gives its judges.
        progress: show bars.
    """
    base = usable_base(len(dataset.emotions))

    def mid_level(responses: np.ndarray, name: str) -> np.ndarray:
        fit = partial(_fit, dataset.emotions, name)
        return cross_fit(responses, dataset.labels, dataset.folds, fit)

    return {
        "SentiBank": lambda: mid_level(bank().responses(dataset, progress=progress), "sentibank"),
        **{row: partial(_judge, dataset, give, progress) for row, give in pcnn.items()},
        "VGGNet": lambda: mid_level(
            image_features(dataset, plain, progress=progress)[0], plain.name
        ),
        "VGGNet + ft + obj + senti + ff (K = 1)": lambda: former_fusion(
            dataset,
            classifiers,
            affective_regions(scores, 1, base=base).box.values,
            progress=progress,
        ),
        "DeepSentiBank": lambda: mid_level(
            global_probabilities(dataset, deep(), progress=progress), "deepsentibank"
        ),
    }


def measure_rows(
    dataset: Dataset,
    classifiers: Classifiers,
    rows: Mapping[str, Row],
    *,
    progress: bool = True,
) -> xr.Dataset:
    """Measure rows and controls; what is missing is written down with its reason.

    Args:
        dataset: the images.
        classifiers: who judges the controls' windows.
        rows: from `rows_for`.
        progress: show bars.

    Returns:
        ``probability`` (method, image, emotion) float32 of the rows that could be measured,
        ``control_probability`` as `control_probabilities` gives it and, where it is
        known, ``agreement`` (image,); the attribute ``missing`` maps each other row to its reason.
    """
    found: dict[str, np.ndarray] = {}
    missing: dict[str, str] = {}
    for name, measure in rows.items():
        try:
            found[name] = measure()
        except Missing as reason:
            missing[name] = str(reason)
    extra = {} if dataset.agreement is None else {"agreement": ("image", dataset.agreement)}
    shape = (len(found), len(dataset), len(dataset.emotions))
    probability = np.array(list(found.values()), np.float32).reshape(shape)
    return xr.Dataset(
        {
            "probability": (("method", "image", "emotion"), probability),
            "control_probability": control_probabilities(dataset, classifiers, progress=progress),
            **extra,
        },
        coords={"method": np.array(list(found), object)},
        attrs={"missing": missing},
    )


def _judge(dataset: Dataset, give: Callable[[], Classifiers], progress: bool) -> np.ndarray:
    return classify_boxes(give(), dataset, _whole, progress=progress)[:, 0]


def _whole(_: int, image: np.ndarray) -> np.ndarray:
    return np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)


def _fit(
    emotions: tuple[str, ...], name: str, features: np.ndarray, labels: np.ndarray
) -> LinearHead:
    return fit_head(features, labels, emotions, backbone=name)
