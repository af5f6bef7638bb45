"""One image's regions by falling objectness: what to score next, and when the top K is known.

With a faster, less exact network, every region that could be among the K is scored again exactly.
"""

from dataclasses import dataclass, field

import numpy as np

from arlib.scoring.choice import Choice, kth, log_error

TOLERANCE = 0.25
"""How far log-probabilities may be off in reduced precision, by `log_error`."""


_SAFETY = 2.0  # a bound that was broken becomes this many times what broke it


@dataclass
class Tolerance:
    """The bound on a fast network's error, held against every region that is scored both ways.

    Attributes:
        value: the bound, on the scale of `log_error`.
        largest: the largest error seen.
        broken: how often the bound was exceeded, and raised.
    """

    value: float = TOLERANCE
    largest: float = 0.0
    broken: int = 0

    def observe(self, found: np.ndarray, exact: np.ndarray) -> None:
        """Compare probabilities (n, M) of the two networks, and raise a bound that is broken."""
        worst = float(log_error(found, exact).max(initial=0.0))
        self.largest = max(self.largest, worst)
        if worst > self.value:
            self.value, self.broken = _SAFETY * worst, self.broken + 1


@dataclass
class Walk:
    """Which regions of one image are scored, and which are still needed.

    Call `ask` for the next rows, and `tell` what the network said of them, until `ask` gives None.
    At the end the top K of the rows that were walked is that of all rows in exact arithmetic. This
    holds without condition where no fast network is used; with one it holds if the error of the
    rows that were not scored again is within the tolerance, as it was in all that were.

    Attributes:
        objectness: (N,) float32, descending.
        emotions: M.
        choice: what will be asked; None scores every row, once.
        fast: whether rows are first scored by the fast network.
        tolerance: of the fast network; one object for all images.

    Example:
        >>> walk = Walk(np.float32([2.0, 0.5]), 2, Choice(k=1))
        >>> walk.ask(1)
        ('exact', array([0]))
        >>> walk.tell("exact", np.array([0]), np.float32([[0.5, 0.5]]))
        >>> walk.ask(1) is None, walk.walked
        (True, 1)
    """

    objectness: np.ndarray
    emotions: int
    choice: Choice | None
    fast: bool = False
    tolerance: Tolerance = field(default_factory=Tolerance)

    def __post_init__(self) -> None:
        """Start before the first row."""
        n = len(self.objectness)
        self.walked = 0
        self.probability = np.full((n, self.emotions), np.nan, np.float32)
        self.exact = np.zeros(n, bool)

    def ask(self, most: int) -> tuple[str, np.ndarray] | None:
        """Which rows (at most `most`) to score next, by "fast" or "exact"; None when all is known.

        What was asked must be told before it is asked again.
        """
        if self.walked < len(self.objectness) and not self._settled():
            rows = np.arange(self.walked, min(self.walked + most, len(self.objectness)))
            self.walked = int(rows[-1]) + 1
            return ("fast" if self.fast else "exact"), rows
        doubtful = self._doubtful()
        if self.choice is None or not len(doubtful):
            return None
        return "exact", doubtful[: min(most, self.choice.k)]  # may make the others needless

    def tell(self, how: str, rows: np.ndarray, probability: np.ndarray) -> None:
        """Take what the network, "fast" or "exact", said of rows: (n, M) float32."""
        if how == "exact":
            again = ~np.isnan(self.probability[rows, 0])
            self.tolerance.observe(self.probability[rows[again]], probability[again])
            self.exact[rows] = True
        self.probability[rows] = probability

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and greatest value (walked,) of every row so far."""
        assert self.choice is not None
        objectness, probability = self.objectness[: self.walked], self.probability[: self.walked]
        value = self.choice.value(objectness, probability)
        if not self.fast:
            return value, value
        low, high = self.choice.interval(objectness, probability, self.tolerance.value)
        exact = self.exact[: self.walked]
        return np.where(exact, value, low), np.where(exact, value, high)

    def _settled(self) -> bool:
        if self.choice is None or self.walked < self.choice.k:
            return False
        return bool(self.choice.settled(self._bounds()[0], self.objectness[self.walked]))

    def _doubtful(self) -> np.ndarray:
        """Rows not scored exactly that may be among the K, the likeliest first."""
        if self.choice is None or not self.fast:
            return np.empty(0, int)
        low, high = self._bounds()
        least = kth(low, self.choice.k) if len(low) >= self.choice.k else -np.inf
        rows = np.flatnonzero((high >= least) & ~self.exact[: self.walked])
        return rows[np.argsort(-high[rows], kind="stable")]
