"""The rows of Table 1 that scores cannot fill, and the controls: crops of fixed places."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from arlib.datasets import Dataset
from arlib.evaluation import Run
from arlib.experiments.baselines.cross_fit import (
    Classify,
    Measure,
    Missing,
    Predictor,
    cross_fit,
    too_few,
)
from arlib.experiments.baselines.former_fusion import former_fusion
from arlib.experiments.baselines.sentibank import SentiBank
from arlib.method import affective_regions, usable_base
from arlib.networks import Backbone, LinearHead, TooFewError
from arlib.proposals import Propose, make_proposals
from arlib.scoring import Classifiers, classify_boxes, global_outputs, score_cam

CAM = "VGGNet + ft + CAM + lf"
WSCNET = "WSCNet + VGGNet"
_LOCATED = {CAM: "cam", WSCNET: "wscnet"}
"""Rows of maps, which also find a box and a peak -> what these are called."""

MOST = 20
"""The crops of a grid and of centre crops: as many as the largest K that is evaluated."""


def control_crops(max_regions: int) -> dict[str, Propose]:
    """Make the controls whose crops do not depend on the image; ten-crop is added to them.

    "random crops" are as many as Eq. 2 ranks, N, since they are compared at the cost of ranking.
    """
    return {
        "grid": make_proposals("grid", max_regions=MOST),
        "centre crops": make_proposals("center_crops", max_regions=MOST),
        "random crops": make_proposals("random_boxes", max_regions=max_regions),
    }


def control_probabilities(
    dataset: Dataset,
    classifiers: Classifiers,
    crops: Mapping[str, Propose],
    *,
    progress: bool = True,
) -> xr.DataArray:
    """Classify the crops of each control in every image: (control, image, rank, emotion) float32.

    Ranks are in each control's own order; NaN beyond its crops and where the image is unreadable.
    Where an image is too small for different crops, the last is repeated. "ten-crop" (Krizhevsky et
    al. 2012) holds the middle, its mirror image, a corner, its mirror image, and so on.
    """
    classify = partial(_classified, classifiers, dataset, progress)
    controls = {name: classify(propose) for name, propose in crops.items()}
    five = [classify(make_proposals("five_crops"), mirror) for mirror in (False, True)]
    ten = np.stack(five, axis=2)  # (image, crop, mirrored, emotion)
    controls["ten-crop"] = ten.reshape(len(ten), -1, ten.shape[-1])
    most = max(probability.shape[1] for probability in controls.values())
    shape = (len(controls), len(dataset), most, len(dataset.emotions))
    values = np.full(shape, np.nan, np.float32)
    for row, probability in zip(values, controls.values(), strict=True):
        row[:, : probability.shape[1]] = probability
    return _of_controls(values, dataset, crops)


def _of_controls(values: np.ndarray, dataset: Dataset, crops: Iterable[str]) -> xr.DataArray:
    return xr.DataArray(
        values,
        dims=("control", "image", "rank", "emotion"),
        coords={
            "control": np.array([*crops, "ten-crop"], object),
            "image": dataset.keys.astype(object),
            "rank": np.arange(1, values.shape[2] + 1),
            "emotion": np.array(dataset.emotions, object),
        },
        name="control_probability",
    )


def _classified(
    classifiers: Classifiers,
    dataset: Dataset,
    progress: bool,
    propose: Propose,
    mirror: bool = False,
) -> np.ndarray:
    """Probabilities of R crops in every image: (n, R, M)."""
    most = int(propose.max_regions)  # type: ignore[attr-defined]

    def boxes(_: int, image: np.ndarray) -> np.ndarray:
        proposed = propose(image).boxes
        return proposed[np.minimum(np.arange(most), len(proposed) - 1)]

    return classify_boxes(classifiers, dataset, boxes, mirror=mirror, progress=progress)


Row = Callable[[], np.ndarray]
"""Measure one row: (n, M) probabilities; raises `Missing`."""


def rows_for(
    dataset: Dataset,
    scores: xr.Dataset,
    classifiers: Callable[[], Classifiers],
    *,
    plain: Backbone,
    bank: Callable[[], SentiBank],
    deep: Callable[[], Backbone],
    pcnn: Mapping[str, Callable[[], Classifiers]],
    coupled: Callable[[], Classifiers],
    classify: Classify | None = None,
    progress: bool = True,
) -> dict[str, Row]:
    """List how each row is measured; nothing is measured yet.

    The images are those of the scores, in their order; `classifiers` made these. `plain` is the
    backbone before fine-tuning, `deep` the one fine-tuned on adjective-noun pairs; `pcnn` trains a
    row's classifiers, and `coupled` those with a coupled head.
    `classify` predicts from fixed features; None fits on the other folds, and such a row is
    missing where that cannot be.
    """
    base = usable_base(len(dataset.emotions))

    def fitted(measure: Row) -> Row:
        def row() -> np.ndarray:
            if reason := too_few(dataset):
                raise Missing(f"no classifier of its own: {reason}")
            return measure()

        return row

    def on_features(name: str, measure: Measure) -> Row:
        fit = partial(_fit, name)
        if classify:
            return lambda: classify(name, dataset, measure, fit)
        return fitted(lambda: cross_fit(dataset, measure(dataset), fit))

    return {
        "SentiBank": on_features(
            "sentibank", lambda images: bank().responses(images, progress=progress)
        ),
        **{row: partial(_pcnn, dataset, give, progress) for row, give in pcnn.items()},
        "VGGNet": on_features(
            plain.name,
            lambda images: global_outputs(images, plain, features=True, progress=progress),
        ),
        "VGGNet + ft + obj + senti + ff (K = 1)": fitted(
            lambda: former_fusion(
                dataset,
                classifiers(),
                first_regions(scores, base),
                progress=progress,
            )
        ),
        "DeepSentiBank": on_features(
            "deepsentibank", lambda images: global_outputs(images, deep(), progress=progress)
        ),
        CAM: lambda: _cam(dataset, scores, classifiers(), progress),
        WSCNET: lambda: _wscnet(dataset, scores, coupled(), progress),
    }


def _cam(
    dataset: Dataset, scores: xr.Dataset, classifiers: Classifiers, progress: bool
) -> np.ndarray:
    """Measure (n, M + 4 + 2): what Eq. 3 adds, the first CAM region's box, and the map's peak.

    What it adds is the mean probability of the regions; without any it is the full image's, so that
    the fused prediction is that too.
    """
    regions = score_cam(dataset, scores, classifiers, progress=progress)
    mean = regions.region_probability.mean("region")  # NaN where there is none
    mean = mean.fillna(regions.global_probability).transpose("image", "emotion")
    values = np.full((len(dataset), mean.shape[1]), np.nan, np.float32)
    values[np.isin(dataset.keys, regions.image.values.tolist())] = mean
    return _with_place(values, dataset, regions)


def _wscnet(
    dataset: Dataset, scores: xr.Dataset, classifiers: Classifiers, progress: bool
) -> np.ndarray:
    """Measure (n, M + 4 + 2): what a coupled network predicts, its map's first box and its peak."""
    regions = score_cam(dataset, scores, classifiers, progress=progress)
    probability = classify_boxes(classifiers, dataset, _image_box, progress=progress)[:, 0]
    return _with_place(probability, dataset, regions)


def _with_place(probability: np.ndarray, dataset: Dataset, regions: xr.Dataset) -> np.ndarray:
    """Put a map's first box and its peak beside the probabilities of every image."""
    place = np.full((len(dataset), 6), np.nan, np.float32)
    found = np.isin(dataset.keys, regions.image.values.tolist())
    place[found] = np.concatenate([regions.box[:, 0], regions.peak], axis=1)
    return np.concatenate([probability, place], axis=1)


def first_regions(scores: xr.Dataset, base: float | str) -> np.ndarray | dict[int, np.ndarray]:
    """Choose each image's first region, for each tested fold without its labels where possible."""
    run = Run("", scores)
    if not run.nested:
        return affective_regions(scores, 1, base=base).box.values
    return {
        fold: affective_regions(run.leaving_out(fold).scores, 1, base=base).box.values
        for fold in np.unique(scores.fold.values).tolist()
    }


def measure_rows(
    dataset: Dataset, rows: Mapping[str, Row], *, crops: Iterable[str] = ()
) -> xr.Dataset:
    """Measure rows; one that is missing is noted with its reason.

    ``probability`` (method, image, emotion) float32 holds the measured rows; the row "controls",
    if there is one, gives the values of `control_probabilities` of `crops`, which is
    ``control_probability``; CAM's also gives ``cam_box`` (image, corner), the first region's, and
    ``cam_peak`` (image, axis), x and y, both in pixels, and WSCNet's ``wscnet_box`` and
    ``wscnet_peak``; ``agreement`` (image,) is there where it is known; the attribute ``missing``
    maps each other row to its reason.
    """
    measured: dict[str, np.ndarray] = {}
    missing: dict[str, str] = {}
    for name, measure in rows.items():
        try:
            measured[name] = measure()
        except Missing as reason:
            missing[name] = str(reason)
    controls, emotions = measured.pop("controls", None), len(dataset.emotions)
    extra: dict[str, Any] = (
        {} if dataset.agreement is None else {"agreement": ("image", dataset.agreement)}
    )
    for row in _LOCATED.keys() & measured.keys():
        measured[row], box, peak = np.split(measured[row], [emotions, emotions + 4], axis=1)
        extra[f"{_LOCATED[row]}_box"] = ("image", "corner"), box
        extra[f"{_LOCATED[row]}_peak"] = ("image", "axis"), peak
    shape = (len(measured), len(dataset), emotions)
    probability = np.array(list(measured.values()), np.float32).reshape(shape)
    coords = {
        "method": np.array(list(measured), object),
        "image": dataset.keys.astype(object),
        "emotion": np.array(dataset.emotions, object),
    }
    variables: dict[str, Any] = {
        "probability": (("method", "image", "emotion"), probability),
        **extra,
    }
    if controls is not None:
        variables["control_probability"] = _of_controls(controls, dataset, crops)
    return xr.Dataset(variables, coords, {"missing": missing})


def _pcnn(dataset: Dataset, train: Callable[[], Classifiers], progress: bool) -> np.ndarray:
    try:
        classifiers = train()
    except TooFewError as error:
        raise Missing(f"PCNN dropped too much to train on: {error}") from error
    return classify_boxes(classifiers, dataset, _image_box, progress=progress)[:, 0]


def _image_box(_: int, image: np.ndarray) -> np.ndarray:
    return np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)


def _fit(name: str, features: np.ndarray, labels: np.ndarray, emotions: Sequence[str]) -> Predictor:
    return LinearHead.fit(features, labels, emotions, backbone=name).probability
