"""How sure a number is: intervals by resampling."""

import numpy as np
import numpy.typing as npt

_BLOCK = 2**20  # drawn images at once: bounds the memory for any number of images


def bootstrap_mean(
    values: npt.ArrayLike, *, confidence: float = 0.95, n_bootstrap: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Give a mean over images and its percentile bootstrap interval: estimate, low, high.

    Args:
        values: Shape (image,), finite.
        confidence: Of the interval, in (0, 1).
        n_bootstrap: Resamples, at least 1.
        seed: Of the resampling.

    Raises:
        ValueError: Where there is no value.

    Example:
        >>> estimate, low, high = bootstrap_mean([0, 1, 1, 1])
        >>> estimate, 0 <= low < estimate < high <= 1
        (0.75, True)
    """
    values = np.asarray(values, dtype=float)
    if not values.size:
        raise ValueError("there is no value to take a mean of")
    rng, means = np.random.default_rng(seed), []
    block = max(1, _BLOCK // values.size)
    for start in range(0, n_bootstrap, block):
        drawn = rng.integers(values.size, size=(min(block, n_bootstrap - start), values.size))
        means.append(values[drawn].mean(axis=1))
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(np.concatenate(means), tails)
    return float(values.mean()), float(low), float(high)
