"""Which regions will be asked for, and what is known of their rank before all are scored.

Senti_score is at most 1, so objectness alone bounds from above what a region can reach by Eq. 2.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import entr

from arlib.method import affective_score, sentiment_range, sentiment_score

_ULPS = 4  # left for rounding: a softmax may exceed 1 by one, hypot need not be monotone


@dataclass(frozen=True)
class Choice:
    """The regions that Algorithm 1 will keep of each image, so that no others need be scored.

    Attributes:
        k: K, at least 1.
        alpha: of Eq. 2.
        base: of Eq. 1's logarithm.
        rank_by: "both", "objectness" or "sentiment", as in `arlib.method.affective_regions`.
        form: of Eq. 2, "euclidean" or "linear".

    Raises:
        ValueError: a setting is none of the above.

    Example:
        >>> choice = Choice(k=1)
        >>> bool(choice.settled(np.float32([0.9]), np.float32(0.1)))
        False
        >>> bool(choice.settled(np.float32([1.2]), np.float32(0.1)))
        True
    """

    k: int = 8
    alpha: float = 1.0
    base: float | str = "e"
    rank_by: str = "both"
    form: str = "euclidean"

    def __post_init__(self) -> None:
        """Check every setting."""
        if type(self.k) is not int or self.k < 1:
            raise ValueError(f"k must be a whole number of at least 1, not {self.k!r}")
        if self.rank_by not in ("both", "objectness", "sentiment"):
            raise ValueError(
                f'rank_by must be "both", "objectness" or "sentiment", not {self.rank_by!r}'
            )
        affective_score(0.0, 0.0, self.alpha, self.form)

    def check(self, emotions: int) -> None:
        """Raise ValueError where Eq. 2 would square a negative sentiment score."""
        low, _ = sentiment_range(emotions, self.base)
        if low < 0 and self.rank_by == "both" and self.form == "euclidean":
            raise ValueError(
                f"with {emotions} emotions and base {self.base!r} Eq. 1 reaches {low:.2f}, which "
                'Eq. 2 would square: use base="classes", or form="linear"'
            )

    def value(self, objectness: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """What regions are ranked by, in the arithmetic of `affective_regions`.

        Args:
            objectness: (N,) float32.
            probability: (N, M) float32.

        Returns:
            (N,) float32.
        """
        if self.rank_by == "objectness":
            return objectness
        return self._of(objectness, sentiment_score(probability, base=self.base))

    def ceiling(self, objectness: np.ndarray) -> np.ndarray:
        """What `value` cannot exceed, whatever the network says: float32, like objectness."""
        if self.rank_by == "objectness":
            return objectness
        return _raised(self._of(objectness, np.ones_like(objectness)))

    def settled(self, values: np.ndarray, objectness: np.ndarray) -> Any:
        """Whether no region of this objectness or less, and of a higher index, can enter.

        Args:
            values: (n,) float32 of the regions before it; of a region that is not known exactly,
                what it has at least.
            objectness: float32, of the next region.
        """
        if len(values) < self.k:
            return False
        return kth(values, self.k) >= self.ceiling(objectness)

    def interval(
        self, objectness: np.ndarray, probability: np.ndarray, error: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bound `value` where log-probabilities are off by at most `error` (see `log_error`).

        Args:
            objectness: (N,) float32.
            probability: (N, M) float32, not exact.
            error: at least 0.

        Returns:
            The least and the greatest value, (N,) float32 each.
        """
        if self.rank_by == "objectness":
            return objectness, objectness
        low, high = sentiment_interval(probability, error, self.base)
        return -_raised(-self._of(objectness, low)), _raised(self._of(objectness, high))

    def to_dict(self) -> dict[str, Any]:
        """Every setting as a JSON value."""
        return asdict(self)

    def _of(self, objectness: np.ndarray, sentiment: np.ndarray) -> np.ndarray:
        if self.rank_by == "sentiment":
            return sentiment
        return affective_score(objectness, sentiment, self.alpha, self.form)


def kth(values: np.ndarray, k: int) -> np.ndarray:
    """Give the k-th largest of (n,) values, n at least k.

    Example:
        >>> float(kth(np.array([0.25, 1.0, 0.5]), 2))
        0.5
    """
    return np.partition(values, len(values) - k)[len(values) - k]


def log_error(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """How far log-probabilities are apart, up to a constant, which a softmax does not see.

    Args:
        found: (..., M) probabilities, float32.
        exact: (..., M), likewise.

    Returns:
        (...): half the range over classes of log found - log exact; at most 88 a class.

    Example:
        >>> e, q = np.exp(0.25), np.array([0.5, 0.5])
        >>> float(log_error(np.array([e, 1 / e]) / (e + 1 / e), q).round(6))
        0.25
    """
    tiny = np.finfo(np.float32).tiny  # log 0 has no distance
    apart = np.log(np.maximum(found, tiny)) - np.log(np.maximum(exact, tiny))
    return np.ptp(apart, axis=-1) / 2


def sentiment_interval(
    probability: np.ndarray, error: float, base: float | str = "e"
) -> tuple[np.ndarray, np.ndarray]:
    """Bound Eq. 1 over all distributions within a `log_error` of a given one.

    A class's log-odds then move by at most 2 `error`, so its probability lies in an interval, and
    its share of the entropy in another; the sum of these bounds the entropy.

    Args:
        probability: (N, M) float32.
        error: at least 0.
        base: of the logarithm.

    Returns:
        The least and the greatest Senti_score, (N,) float32 each.

    Example:
        >>> low, high = sentiment_interval(np.float32([[0.9, 0.1]]), 0.1)
        >>> low.round(3), high.round(3)
        (array([0.634], dtype=float32), array([0.713], dtype=float32))
    """
    p = probability.astype(np.float64)
    move = np.exp(2 * error)
    rest = p @ (1 - np.eye(p.shape[-1]))  # 1 - p would cancel
    least, most = p / (p + rest * move), p * move / (p * move + rest)
    ends = entr(least), entr(most)
    peak = (least <= 1 / math.e) & (1 / math.e <= most)
    low = np.minimum(*ends).sum(-1)
    high = np.where(peak, 1 / math.e, np.maximum(*ends)).sum(-1)
    bottom, _ = sentiment_range(p.shape[-1], base)
    scale = (1 - bottom) / np.log(p.shape[-1])  # 1 / log of the base
    senti = np.maximum(1 - high * scale, bottom), np.minimum(1 - low * scale, 1)
    return senti[0].astype(np.float32), senti[1].astype(np.float32)


def _raised(value: np.ndarray) -> np.ndarray:
    return value + _ULPS * np.spacing(np.abs(value))
