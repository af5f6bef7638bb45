"""Low-level features of an image: colour, GIST, local binary patterns and visual words."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np

_FREQUENCIES = tuple(0.35 / 1.85**scale for scale in range(4))  # cycles a pixel


_PATCHES = 20_000  # at most, that the visual words are learned from


@dataclass(frozen=True)
class Descriptor:
    """Settings of the low-level features."""

    size: int = 128  # side in pixels of the square that images are warped to; a multiple of 8
    bins: int = 32  # of the colour histogram, a channel; at most 256, Borth et al.'s number
    words: int = 200  # visual words; Borth et al. use 1,000
    step: int = 8  # pixels between the patches of dense SIFT; divides `size`
    patch: int = 16  # side in pixels of the 4 x 4 cells of a SIFT descriptor

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.size, self.step, self.patch) < 1 or self.size % 8 or self.size % self.step:
            raise ValueError(f"size must be a multiple of 8 and of step, patch positive: {self}")
        if not 1 <= self.bins <= 256 or self.words < 1:
            raise ValueError(f"bins must lie in 1..256, words be positive: {self}")

    @property
    def length(self) -> int:
        """The number D of features of an image."""
        return 3 * self.bins + 512 + 59 + 5 * self.words


def low_level(image: np.ndarray, descriptor: Descriptor) -> tuple[np.ndarray, np.ndarray]:
    """Compute global features (D - 5 words,) float32 in 0..1, and RootSIFT (K, 128) float16.

    The first are the histograms of R, G and B, GIST, and the shares of 59 local binary patterns
    (Ojala et al. 2002: 58 uniform ones and the rest); square roots of all, as Hellinger's distance
    takes them, let differences between small values count.
    """
    import cv2
    from skimage.feature import local_binary_pattern

    size, bins = descriptor.size, descriptor.bins
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    colour = [cv2.calcHist([image], [c], None, [bins], [0, 256]).ravel() for c in range(3)]
    pattern = local_binary_pattern(grey, P=8, R=1, method="nri_uniform").astype(np.intp)
    patterns = np.bincount(pattern.ravel(), minlength=59)
    features = np.concatenate([*(h / size**2 for h in colour), gist(grey), patterns / size**2])
    return np.sqrt(features).astype(np.float32), sift(grey, descriptor.step, descriptor.patch)


def gist(grey: np.ndarray) -> np.ndarray:
    """Compute GIST (Oliva and Torralba 2001): Gabor magnitudes over a 4 x 4 grid: (512,).

    Order: scale from fine to coarse, orientation, grid row, grid column.
    """
    import cv2
    from scipy.fft import fft2, ifft2

    side = len(grey) // 2
    margin = side // 4
    half = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA) / np.float32(255)
    padded = np.pad(half - half.mean(), margin, mode="symmetric")
    response = ifft2(fft2(padded) * _transfer(len(padded)))  # (filter, row, column) complex64
    inner = np.abs(response[:, margin : margin + side, margin : margin + side])
    return inner.reshape(32, 4, side // 4, 4, side // 4).mean(axis=(2, 4)).ravel()


@lru_cache(maxsize=4)
def _transfer(side: int) -> np.ndarray:
    """Compute transfer functions of Gabor filters, 4 scales x 8 orientations: (32, side, side)."""
    from scipy.fft import fft2
    from skimage.filters import gabor_kernel

    filters = np.zeros((32, side, side), np.complex64)
    angles = np.arange(8) * np.pi / 8
    for number, (f, theta) in enumerate((f, theta) for f in _FREQUENCIES for theta in angles):
        kernel = gabor_kernel(f, theta)
        y, x = (np.arange(n) - n // 2 for n in kernel.shape)
        np.add.at(filters[number], np.ix_(y % side, x % side), kernel)  # wraps around the square
    return fft2(filters)


def sift(grey: np.ndarray, step: int, patch: int) -> np.ndarray:
    """Compute SIFT (Lowe 2004) of upright patches, row by row: (K, 128) float16.

    As RootSIFT (Arandjelovic and Zisserman 2012), square roots of shares; a flat patch is zeros.
    """
    import cv2

    centres = np.arange(step / 2, len(grey), step).tolist()
    points = [cv2.KeyPoint(x, y, patch / 6, 0) for y in centres for x in centres]  # 4 cells of 1.5
    histograms = cv2.SIFT.create().compute(grey, points)[1]
    total = histograms.sum(axis=1, keepdims=True)
    return np.sqrt(histograms / np.maximum(total, 1)).astype(np.float16)


def learn_words(patches: Sequence[np.ndarray], words: int, seed: int) -> np.ndarray:
    """Learn visual words (words, 128) float32: centres of k-means on patches of each image."""
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng([seed, 0, 1])
    share = -(-_PATCHES // max(len(patches), 1))
    drawn = [p[rng.permutation(len(p))[:share]] for p in patches]
    if (n := sum(map(len, drawn))) < words:
        raise ValueError(
            f"{n} patches of {len(patches)} readable images are too few for {words} words"
        )
    means = MiniBatchKMeans(
        words, batch_size=1024, max_iter=10, n_init=1, max_no_improvement=None, random_state=seed
    )
    return means.fit(np.concatenate(drawn).astype(np.float32)).cluster_centers_


def pooled(patches: np.ndarray, vocabulary: np.ndarray) -> np.ndarray:
    """Mark the words that occur, in the image and in each quarter: (5 words,) float32 of 0 and 1.

    Max pooling over a spatial pyramid (Lazebnik et al. 2006) of two levels.
    """
    likeness = patches.astype(np.float32) @ vocabulary.T - (vocabulary**2).sum(axis=1) / 2
    word = likeness.argmax(axis=1)  # the nearest
    side = isqrt(len(patches))
    second = np.arange(side) >= side / 2
    quarter = (2 * second[:, None] + second).ravel()
    present = np.zeros((5, len(vocabulary)), np.float32)
    present[0, word] = present[1 + quarter, word] = 1
    return present.ravel()
