"""Early fusion ("ff"; the paper: former fusion): features side by side, one classifier."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from arlib.datasets import Dataset
from arlib.experiments.baselines.cross_fit import cross_fit, fit_svm
from arlib.networks import Backbone
from arlib.scoring import Classifiers, box_outputs


def former_fusion(
    dataset: Dataset,
    classifiers: Classifiers,
    boxes: np.ndarray | Mapping[int, np.ndarray],
    *,
    progress: bool = True,
) -> np.ndarray:
    """Predict every image by a linear SVM on features of the full image and its regions: (n, M).

    Sun et al. 2016, Sec. 4.3: "local features" are concatenated to "global features". `boxes` are
    (n, K, 4) xyxy in pixels, best first; NaN, where an image has fewer, is the full image. Each
    fold is predicted by a machine fitted on the other folds, on features of the fold's own network;
    by fold, `boxes` are what this machine learns from and predicts by.
    """
    probability = np.full((len(dataset), len(dataset.emotions)), np.nan, np.float32)
    for network, tested in classifiers.groups(dataset):
        parts: dict[int | None, np.ndarray]
        if isinstance(boxes, Mapping):
            parts = {fold: boxes[fold] for fold in np.unique(dataset.folds[tested]).tolist()}
        else:  # all folds at once
            parts = {None: boxes}
        together = np.concatenate([*parts.values()], axis=1)
        features = joint_features(dataset, network, together, progress=progress)
        width = features.shape[1] // (1 + together.shape[1])
        ends = width * (1 + np.cumsum([0, *(each.shape[1] for each in parts.values())]))
        for place, fold in enumerate(parts):
            region = features[:, ends[place] : ends[place + 1]]
            joint = np.concatenate([features[:, :width], region], axis=1)
            own = tested if fold is None else tested & (dataset.folds == fold)
            probability[own] = cross_fit(dataset, joint, fit_svm, own)[own]
    return probability


def joint_features(
    dataset: Dataset, network: Backbone, boxes: np.ndarray, *, progress: bool = True
) -> np.ndarray:
    """Compute features of the full image and its regions, side by side: (n, (1 + K) D)."""
    features = box_outputs(
        dataset, network, partial(_regions, boxes), features=True, progress=progress
    )
    return features.reshape(len(features), -1)


def _regions(boxes: np.ndarray, index: int, image: np.ndarray) -> np.ndarray:
    """Give the boxes (1 + K, 4) of the full image and of its regions."""
    full = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
    return np.concatenate([full, np.where(np.isnan(boxes[index]), full, boxes[index])])
