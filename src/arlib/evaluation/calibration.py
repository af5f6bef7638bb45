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
        A row a bin that holds images: `confidence` and `accuracy`, means in [0, 1], and `images`;
        in ``attrs["ece"]`` the expected calibration error (Guo et al. 2017, Eq. 3), the gap between
        the two averaged over images: 0 for a network that is right as often as its confidence.

    Example:
        >>> table = reliability([[0.9, 0.1], [0.2, 0.8]], [0, 0], bins=1)
        >>> table.iloc[0].round(2).tolist(), round(table.attrs["ece"], 2)
        ([0.85, 0.5, 2.0], 0.35)
    """
    probability, labels = np.asarray(probability, dtype=float), np.asarray(labels)
    probability, labels = probability[labels >= 0], labels[labels >= 0]
    confidence = probability.max(axis=1)
    right = probability.argmax(axis=1) == labels
    edges = np.linspace(1 / probability.shape[1], 1, bins + 1)
    group = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    table = pd.DataFrame({"confidence": confidence, "accuracy": right, "bin": group})
    means = table.groupby("bin").mean().astype({"accuracy": float})
    means = means.assign(images=table.groupby("bin").size())
    gaps = (means.confidence - means.accuracy).abs()
    means.attrs["ece"] = float(np.average(gaps, weights=means.images))
    return means


def calibrate(
    probability: npt.ArrayLike, labels: npt.ArrayLike, fit_on: npt.ArrayLike
) -> tuple[np.ndarray, float]:
    """Divide the logits by the temperature of the least log loss (Guo et al. 2017, Sec. 4.2).

    Above 1 it softens, below 1 it sharpens; predicted labels stay.

    Args:
        probability: (n, M), above 0, of images that the network was not trained on.
        labels: (n,) int, the true emotion, known where `fit_on` is true.
        fit_on: (n,) bool, the images that the temperature is fitted on.

    Returns:
        (n, M), rows sum to 1, of all images; and the temperature, in [0.05, 20].

    Example:
        >>> sure, labels = [[0.99, 0.01]] * 5, [0, 0, 0, 1, 0]
        >>> scaled, temperature = calibrate(sure, labels, [True] * 4 + [False])
        >>> scaled[4].round(2), temperature > 1
        (array([0.75, 0.25]), True)
    """
    fit_on = np.asarray(fit_on, bool)
    held_out, truth = np.asarray(probability)[fit_on], np.asarray(labels)[fit_on]
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        softened = soften(held_out, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(softened[rows, truth], 1e-12)).mean())

    least = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    temperature = float(np.exp(least.x))
    return soften(probability, temperature), temperature


def soften(probability: npt.ArrayLike, temperature: float) -> np.ndarray:
    """Divide the logits of probabilities (n, M) by a temperature above 0."""
    logits = np.log(np.maximum(np.asarray(probability, dtype=float), 1e-12))
    return softmax(logits / temperature, axis=-1)
