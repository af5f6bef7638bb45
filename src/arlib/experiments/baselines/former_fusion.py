"""Former fusion ("ff"): features of the full image and of regions side by side, one classifier."""

from collections.abc import Callable
from functools import partial

import numpy as np

from arlib.datasets import Dataset
from arlib.networks import Backbone, LinearHead, cross_fit, fit_svm
from arlib.scoring import Classifiers, box_outputs


def former_fusion(
    dataset: Dataset, classifiers: Classifiers, boxes: np.ndarray, *, progress: bool = True
) -> np.ndarray:
    """Judge every image by a linear SVM (C = 1) on the features of the whole and of its regions.

    Sun et al. 2016, Sec. 4.3: "local features" are concatenated to "global features". Each fold is
    judged by a machine that learned from the other folds, on features of the fold's own network.

    Args:
        dataset: the images, with labels and folds.
        classifiers: who judges which fold; heads are not used.
        boxes: (n, K, 4) xyxy in pixels, each image's regions, best first; where it has none, the
            full image stands in.
        progress: show bars.

    Returns:
        (n, M) float32; rows sum to 1; NaN for unreadable images.

    Raises:
        ValueError: fewer than two folds, or an emotion that does not occur.
    """
    judged = np.full((len(dataset), len(dataset.emotions)), np.nan, np.float32)
    for network, mine in classifiers.groups(dataset):
        features = box_outputs(
            dataset, network, partial(_places, boxes), features=True, progress=progress
        )
        joint = features.reshape(len(features), -1)  # (image, (1 + K) D)
        fit = partial(_fit, dataset.emotions, network)
        judged[mine] = _of(fit, joint, dataset, mine)
    return judged


def _of(
    fit: Callable[[np.ndarray, np.ndarray], LinearHead],
    features: np.ndarray,
    dataset: Dataset,
    mine: np.ndarray,
) -> np.ndarray:
    """What machines fitted on the other folds say of those images: (m, M)."""
    only = np.unique(dataset.folds[mine])
    if only.size > 1:
        return cross_fit(features, dataset.labels, dataset.folds, fit)[mine]
    learn = ~mine & (dataset.labels >= 0) & (dataset.folds >= 0)
    learn &= np.isfinite(features).all(axis=1)
    return fit(features[learn], dataset.labels[learn]).probability(features[mine])


def _fit(
    emotions: tuple[str, ...], network: Backbone, features: np.ndarray, labels: np.ndarray
) -> LinearHead:
    return fit_svm(features, labels, emotions, backbone=network.name)


def _places(boxes: np.ndarray, index: int, image: np.ndarray) -> np.ndarray:
    """Give the boxes (1 + K, 4) of the full image and of its regions."""
    full = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
    return np.concatenate([full, np.where(np.isnan(boxes[index]), full, boxes[index])])
