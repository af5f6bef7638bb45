"""Early fusion ("ff"; the paper: former fusion): features side by side, one classifier."""

from functools import partial

import numpy as np

from arlib.datasets import Dataset
from arlib.experiments.baselines.cross_fit import cross_fit, fit_svm
from arlib.networks import Backbone
from arlib.scoring import Classifiers, box_outputs


def former_fusion(
    dataset: Dataset, classifiers: Classifiers, boxes: np.ndarray, *, progress: bool = True
) -> np.ndarray:
    """Predict every image by a linear SVM on features of the full image and its regions: (n, M).

    Sun et al. 2016, Sec. 4.3: "local features" are concatenated to "global features". `boxes` are
    (n, K, 4) xyxy in pixels, best first; NaN, where an image has fewer, is the full image. Each
    fold is predicted by a machine fitted on the other folds, on features of the fold's own network.
    """
    probability = np.full((len(dataset), len(dataset.emotions)), np.nan, np.float32)
    for network, tested in classifiers.groups(dataset):
        joint = joint_features(dataset, network, boxes, progress=progress)
        probability[tested] = cross_fit(dataset, joint, fit_svm, tested)[tested]
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
