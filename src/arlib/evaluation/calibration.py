"""Calibration of probabilities: reliability, its error, and temperature scaling."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax


def reliability(
    probability: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int = 10
) -> pd.DataFrame:
    """Group predictions by confidence, the largest probability, and count how many are right.

    Args:
        probability: (n, M), rows sum to 1.
        labels: (n,) int, the true emotion; -1 is unknown and left out.
        bins: of equal width, from 1 / M to 1.

    Returns:
        A row a bin that holds images: `confidence` and `accuracy`, means in [0, 1], and `images`.

    Example:
        >>> reliability([[0.9, 0.1], [0.2, 0.8]], [0, 0], bins=1).iloc[0].round(2).tolist()
        [0.85, 0.5, 2.0]
    """
    probability, labels = np.asarray(probability, dtype=float), np.asarray(labels)
    probability, labels = probability[labels >= 0], labels[labels >= 0]
    confidence = probability.max(axis=1)
    right = probability.argmax(axis=1) == labels
    edges = np.linspace(1 / probability.shape[1], 1, bins + 1)
    group = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    table = pd.DataFrame({"confidence": confidence, "accuracy": right, "bin": group})
    means = table.groupby("bin").mean()
    return means.assign(images=table.groupby("bin").size()).astype({"accuracy": float})


def expected_calibration_error(
    probability: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int = 10
) -> float:
    """Average the gap between confidence and accuracy over images: ECE (Guo et al. 2017, Eq. 3).

    Args:
        probability: (n, M), rows sum to 1.
        labels: (n,) int; -1 is left out.
        bins: as in `reliability`.

    Returns:
        In [0, 1]; 0 for a network that is right as often as its confidence.

    Example:
        >>> round(expected_calibration_error([[0.9, 0.1], [0.2, 0.8]], [0, 0], bins=1), 2)
        0.35
    """
    table = reliability(probability, labels, bins=bins)
    gaps = (table.confidence - table.accuracy).abs()
    return float(np.average(gaps, weights=table.images))


def apply_temperature(probability: npt.ArrayLike, temperature: float) -> np.ndarray:
    """Divide the logits by a temperature: above 1 softens, below 1 sharpens; labels stay.

    Args:
        probability: (n, M), above 0.
        temperature: above 0.

    Returns:
        (n, M), rows sum to 1.

    Example:
        >>> apply_temperature([[0.8, 0.2]], 2.0).round(3)
        array([[0.667, 0.333]])
    """
    logits = np.log(np.maximum(np.asarray(probability, dtype=float), 1e-12))
    return softmax(logits / temperature, axis=-1)


def fit_temperature(probability: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Find the temperature of the least log loss (Guo et al. 2017, Sec. 4.2).

    Args:
        probability: (n, M), of images that the network was not trained on.
        labels: (n,) int, all known.

    Returns:
        In [0.05, 20].

    Example:
        >>> sure = [[0.99, 0.01]] * 4
        >>> fit_temperature(sure, [0, 0, 0, 1]) > 1
        True
    """
    labels = np.asarray(labels)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        softened = apply_temperature(probability, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(softened[rows, labels], 1e-12)).mean())

    least = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(least.x))
