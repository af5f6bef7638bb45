"""Linear sentiment heads on frozen features: fitted by scikit-learn, applied by NumPy."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save as safetensors
from scipy.special import softmax

from arlib._support.files import read_json
from arlib._support.storage import write_atomic

SHIPPED = Path(__file__).with_name("oasis-efficientnet_lite0.safetensors")
"""The head that ships with the package."""


@dataclass(frozen=True)
class LinearHead:
    """Softmax of an affine map of penultimate features.

    Attributes:
        weight: (M, D) float32.
        bias: (M,) float32.
        emotions: the M classes, in order.
        backbone: the network whose features it reads.
        provenance: what it was fitted on and how; JSON values.

    Example:
        >>> head = LinearHead(np.eye(2, dtype=np.float32), np.zeros(2, np.float32),
        ...                   ("positive", "negative"), "squeezenet1_1")
        >>> head.probability(np.array([[0.0, 0.0]], dtype=np.float32))
        array([[0.5, 0.5]], dtype=float32)
    """

    weight: np.ndarray
    bias: np.ndarray
    emotions: tuple[str, ...]
    backbone: str
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        classes = len(self.emotions)
        fits = self.weight.ndim == 2 and len(self.weight) == classes >= 2
        if not fits or self.bias.shape != (classes,):
            raise ValueError(
                f"{classes} emotions need weight ({classes}, D) and bias ({classes},), "
                f"not {self.weight.shape} and {self.bias.shape}"
            )
        if not (np.isfinite(self.weight).all() and np.isfinite(self.bias).all()):
            raise ValueError("weight and bias must be finite")

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities (..., M) float32 of features (..., D)."""
        if features.shape[-1] != self.weight.shape[1]:
            raise ValueError(
                f"this head reads {self.weight.shape[1]} features of {self.backbone}, "
                f"not {features.shape[-1]}"
            )
        return softmax(features @ self.weight.T + self.bias, axis=-1).astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Write weight and bias to `path` (safetensors), the rest beside it as .json."""
        path = Path(path)
        weight = np.ascontiguousarray(self.weight)  # safetensors ignores strides
        data = safetensors({"weight": weight, "bias": np.ascontiguousarray(self.bias)})
        write_atomic(path, data)
        facts = {"emotions": self.emotions, "backbone": self.backbone, **self.provenance}
        write_atomic(path.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "LinearHead":
        """Read what `save` wrote.

        Raises:
            ValueError: one of the two files is missing or damaged, or they are not of one head.
        """
        path = Path(path)
        if path.suffix == ".json":
            raise ValueError(f"{path} describes a head: give {path.with_suffix('.safetensors')}")
        described = path.with_suffix(".json")
        for file in (path, described):
            if not file.is_file():
                raise ValueError(f"no file {file}: a head is X.safetensors and X.json")
        try:
            tensors = load_file(path)
            weight, bias = tensors["weight"], tensors["bias"]
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no linear head, or damaged: {error}") from error
        try:
            facts = read_json(described, {"emotions": list, "backbone": str})
            emotions, backbone = facts.pop("emotions"), facts.pop("backbone")
            if not all(isinstance(name, str) for name in emotions):
                raise ValueError("emotions must be a list of texts")
        except (OSError, ValueError) as error:
            raise ValueError(f"{described} describes no linear head: {error}") from error
        try:
            return cls(weight, bias, tuple(emotions), backbone, facts)
        except ValueError as error:
            raise ValueError(f"{path} and {described.name} are not of one head: {error}") from error

    @classmethod
    def default(cls) -> "LinearHead":
        """Load the head that ships with the package: EfficientNet-Lite0's features, on OASIS.

        Example:
            >>> LinearHead.default().emotions
            ('positive', 'negative')
        """
        return cls.load(SHIPPED)

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        labels: np.ndarray,
        emotions: Sequence[str],
        *,
        backbone: str,
        strengths: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        inner_folds: int = 5,
        seed: int = 0,
    ) -> "LinearHead":
        """Fit a logistic regression on standardised features; inner cross-validation chooses C.

        The standardisation is folded into weight and bias, so that the head reads raw features.
        Where a class has fewer images than inner folds there are as many inner folds as it has
        images; where it has one, none, and C is the middle one of `strengths`.

        Args:
            features: (n, D) penultimate features.
            labels: (n,) int, indices into `emotions`; every class must occur.
            emotions: the M classes, in order.
            backbone: the network that made the features.
            strengths: candidates for scikit-learn's C, the inverse of the L2 penalty.
            inner_folds: stratified folds, at most, on which log loss picks C.
            seed: of the folds' shuffle.

        Returns:
            The head; `provenance` holds C, n and, where they are fewer, the inner folds.

        Raises:
            ValueError: a class without an image, or labels outside 0..M-1.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> labels = np.repeat([0, 1], 50)
            >>> features = rng.normal(size=(100, 3)) + labels[:, None]
            >>> head = LinearHead.fit(features, labels, ("sad", "glad"), backbone="squeezenet1_1")
            >>> float(head.probability(np.array([-1.0, -1.0, -1.0]))[0]) > 0.9
            True
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, StratifiedKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        labels = np.asarray(labels)
        if labels.min() < 0 or labels.max() >= len(emotions):
            raise ValueError(f"labels must lie in 0..{len(emotions) - 1}: {np.unique(labels)}")
        counts = np.bincount(labels, minlength=len(emotions))
        if not counts.min():
            raise ValueError(f"no image of {emotions[int(counts.argmin())]!r} to learn from")
        features, fewer = features.astype(np.float64), {}

        # C by inner cross-validation, on fewer folds where a class does not fill them
        if counts.min() < inner_folds:
            inner_folds = int(counts.min()) if counts.min() > 1 else 0
            fewer = {"inner_folds": inner_folds}
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        if inner_folds:
            search = GridSearchCV(
                model,
                {"logisticregression__C": list(strengths)},
                scoring="neg_log_loss",
                cv=StratifiedKFold(inner_folds, shuffle=True, random_state=seed),
            ).fit(features, labels)
            strength, model = search.best_params_["logisticregression__C"], search.best_estimator_
        else:
            strength = sorted(strengths)[len(strengths) // 2]
            model.set_params(logisticregression__C=strength).fit(features, labels)
        facts = {"C": strength, "images": len(labels), **fewer}
        scaler, regression = model
        return _unscaled(scaler, regression, emotions, backbone, facts)


def _unscaled(
    scaler: Any, model: Any, emotions: Sequence[str], backbone: str, provenance: dict[str, Any]
) -> LinearHead:
    """Fold the standardisation into a linear model, so that the head reads raw features."""
    coefficients, intercept = model.coef_, model.intercept_
    if len(emotions) == 2:  # scikit-learn keeps the logit of class 1 alone
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    weight = coefficients / scaler.scale_
    bias = intercept - weight @ scaler.mean_
    return LinearHead(
        np.ascontiguousarray(weight, np.float32),
        bias.astype(np.float32),
        tuple(emotions),
        backbone,
        provenance,
    )
