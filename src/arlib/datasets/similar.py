"""Images that are nearly the same: scaled, recoded, brightened or mirrored copies of another."""

import numpy as np
from PIL import Image

_SIDES = (18, 16)  # of a thumbnail: width, height
_BITS = 10  # of 64, in which the hashes of copies differ at most
_CORRELATION = 0.95  # of the grey levels of copies, at least


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Reduce an image, (H, W, 3) uint8 RGB, to (16, 18) uint8 grey levels."""
    grey = Image.fromarray(image).convert("L")
    return np.asarray(grey.resize(_SIDES, Image.Resampling.BOX))


def similar_pairs(thumbnails: np.ndarray) -> np.ndarray:
    """Find pairs of images that are nearly the same, or are so when one is mirrored.

    The difference hash (dHash) of an image has a bit for each two neighbours in a row of 9 x 8 grey
    levels: which one is lighter. Where the hashes of two images are at most 10 bits apart, their
    thumbnails must also correlate by 0.95. On photographs this finds nearly all copies that were
    scaled, recoded or brightened, and few that were cropped.

    Args:
        thumbnails: (n, 16, 18) uint8, as `thumbnail` makes them.

    Returns:
        (m, 2) int, indices i < j, in order.
    """
    hashes, mirrored = _hashes(thumbnails), _hashes(thumbnails[:, :, ::-1])
    levels, mirrored_levels = _levels(thumbnails), _levels(thumbnails[:, :, ::-1])
    pairs = []
    step = max(1, 2**22 // max(1, len(hashes)))  # rows at a time: 32 MB
    for start in range(0, len(hashes), step):
        for others, of_others in ((hashes, levels), (mirrored, mirrored_levels)):
            distance = np.bitwise_count(hashes[start : start + step, None] ^ others[None, start:])
            first, second = (distance <= _BITS).nonzero()
            first, second = (first + start)[first < second], (second + start)[first < second]
            correlation = (levels[first] * of_others[second]).sum(axis=-1)
            near = correlation >= _CORRELATION
            pairs.append(np.stack([first[near], second[near]], axis=-1))
    return np.unique(np.concatenate([np.empty((0, 2), np.intp), *pairs]), axis=0)


def _hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Compute the difference hash of each thumbnail: (n,) uint64."""
    n = len(thumbnails)
    levels = thumbnails.reshape(n, 8, 2, 9, 2).mean(axis=(2, 4))  # (n, 8, 9)
    bits = (levels[:, :, 1:] > levels[:, :, :-1]).reshape(n, 64)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _levels(thumbnails: np.ndarray) -> np.ndarray:
    """Standardise thumbnails, so that the product of two is their correlation; 0 where flat."""
    levels = thumbnails.reshape(len(thumbnails), _SIDES[0] * _SIDES[1]).astype(np.float32)
    levels -= levels.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(levels, axis=1, keepdims=True)
    return np.divide(levels, norm, out=np.zeros_like(levels), where=norm > 0)
