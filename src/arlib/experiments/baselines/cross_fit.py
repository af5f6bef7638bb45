"""Classifiers on fixed features, each fitted on the folds that it does not predict."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import softmax

from arlib.datasets import Dataset

Predictor = Callable[[np.ndarray], np.ndarray]
"""Features (n, D) -> class probabilities (n, M)."""

Fit = Callable[[np.ndarray, np.ndarray, Sequence[str]], Predictor]
"""Features (n, D), labels (n,) and the M classes -> predictor."""


Measure = Callable[[Dataset], np.ndarray]
"""A dataset -> features (n, D) of its images; NaN for unreadable ones."""

BLOCK = 4096
"""Images whose features are held at once, where another set's images were learned from."""

Classify = Callable[[str, Dataset, Measure, Fit], np.ndarray]
"""Name of a classifier, images, their features, how it is fitted -> probabilities (n, M)."""


class Missing(Exception):
    """A row that cannot be measured here; the text gives the reason."""


class FitOnce:
    """Classifiers fitted on images of another set, each once, for all images that are predicted."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self._fitted: dict[str, Predictor] = {}

    def __call__(self, name: str, dataset: Dataset, measure: Measure, fit: Fit) -> np.ndarray:
        """Predict every image, by a classifier that learned from the other set alone: (n, M)."""
        if name not in self._fitted:
            features, labels = measure(self.dataset), self.dataset.labels
            learn = np.isfinite(features).all(axis=1) & (labels >= 0)
            self._fitted[name] = fit(features[learn], labels[learn], self.dataset.emotions)
        probability = np.full((len(dataset), len(dataset.emotions)), np.nan, np.float32)
        for start in range(0, len(dataset), BLOCK):  # of fifty thousand they would take gigabytes
            rows = np.arange(start, min(start + BLOCK, len(dataset)))
            features = measure(dataset.subset(rows) if len(dataset) > BLOCK else dataset)
            usable = np.isfinite(features).all(axis=1)
            if usable.any():
                probability[rows[usable]] = self._fitted[name](features[usable])
        return probability


def too_few(dataset: Dataset) -> str | None:
    """State why no classifier can be fitted on the folds that it does not predict; None if one can.

    Every class needs an image outside every fold.
    """
    known = dataset.labels[dataset.labels >= 0]
    if not known.size:
        return "no image has a label"
    counts = np.bincount(known, minlength=len(dataset.emotions))
    if counts.min() < 2:
        rarest = dataset.emotions[int(counts.argmin())]
        n = f"{counts.min()} image" if counts.min() else "no image"
        return f"{rarest} has {n}, and two are needed: one to learn from, one to predict"
    for fold in np.unique(dataset.folds).tolist():
        learnable = dataset.labels[(dataset.labels >= 0) & (dataset.folds != fold)]
        counts = np.bincount(learnable, minlength=len(dataset.emotions))
        if not counts.min():
            rarest = dataset.emotions[int(counts.argmin())]
            place = "no fold" if fold < 0 else f"fold {fold}"
            return f"all images of {rarest} are in {place}, and none is left to learn from"
    return None


def cross_fit(
    dataset: Dataset, features: np.ndarray, fit: Fit, tested: np.ndarray | None = None
) -> np.ndarray:
    """Predict every image, or those tested, by a classifier fitted on the other folds: (n, M).

    Images without label, or with features that are not finite, are not learned from; the latter are
    not predicted either: NaN. Images that no fold tests, such as those of a split's training part,
    are learned from for every fold.
    """
    labels, folds = np.asarray(dataset.labels), np.asarray(dataset.folds)
    usable = np.isfinite(features).all(axis=1)
    learnable = usable & (labels >= 0)
    wanted = usable if tested is None else usable & tested
    probability = np.full((len(labels), len(dataset.emotions)), np.nan, np.float32)
    for fold in np.unique(folds[wanted]).tolist():
        learn, own = learnable & (folds != fold), wanted & (folds == fold)
        if not learn.any():
            raise ValueError("predicting images by the other folds needs at least two folds")
        predict = fit(features[learn], labels[learn], dataset.emotions)
        probability[own] = predict(features[own])
    return probability


def fit_svm(features: np.ndarray, labels: np.ndarray, emotions: Sequence[str]) -> Predictor:
    """Fit a linear support vector machine (C = 1) on standardised features.

    The probability is the softmax of the margins, with two classes the logistic function of the
    one margin: it ranks the classes as the machine does, but is not calibrated.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    absent = sorted(set(range(len(emotions))) - set(labels.tolist()))
    if absent:
        raise ValueError(f"no image of {emotions[absent[0]]!r} to learn from")
    machine = make_pipeline(StandardScaler(), LinearSVC(random_state=0, max_iter=20_000))
    machine.fit(features.astype(np.float64), labels)

    def predict(features: np.ndarray) -> np.ndarray:
        margin = machine.decision_function(features.astype(np.float64))
        if margin.ndim == 1:  # of class 1 alone
            margin = np.stack([-margin, margin], axis=1) / 2
        return softmax(margin, axis=1).astype(np.float32)

    return predict
