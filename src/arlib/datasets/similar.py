"""Images that are nearly the same: scaled, recoded, brightened or mirrored copies of another."""

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_SIDES = (18, 16)  # of a thumbnail: width, height
_BITS = 10  # of 64, in which the hashes of copies differ at most
_CORRELATION = 0.95  # of the grey levels of copies, at least
_AT_ONCE = 2**22  # pairs of hashes, 32 MB


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Reduce an image, (H, W, 3) uint8 RGB, to (16, 18) uint8 grey levels."""
    grey = Image.fromarray(image).convert("L")
    return np.asarray(grey.resize(_SIDES, Image.Resampling.BOX))


def similar_groups(thumbnails: np.ndarray) -> list[list[int]]:
    """Group the images that are nearly the same, or are so when one is mirrored.

    The difference hash (dHash) of an image has a bit for each two neighbours in a row of 9 x 8 grey
    levels: which one is lighter. Where the hashes of two images are at most 10 bits apart, their
    thumbnails must also correlate by 0.95. On photographs this finds nearly all copies that were
    scaled, recoded or brightened, and few that were cropped.

    Args:
        thumbnails: (n, 16, 18) uint8, as `thumbnail` makes them.

    Returns:
        Groups of two images or more, by their indices, each like another one of its group.
    """
    n = len(thumbnails)
    hashes, levels = _hashes(thumbnails), _levels(thumbnails)
    versions = (
        (hashes, levels),
        (_hashes(thumbnails[:, :, ::-1]), _levels(thumbnails[:, :, ::-1])),
    )
    group = np.arange(n)  # an image of the same group, for each
    pairs: list[np.ndarray] = []
    step = max(1, _AT_ONCE // max(1, n))  # rows
    for start in range(0, n, step):
        for of_others, levels_of_others in versions:
            distance = np.bitwise_count(
                hashes[start : start + step, None] ^ of_others[None, start:]
            )
            candidates = np.argwhere(distance <= _BITS) + start
            candidates = candidates[candidates[:, 0] < candidates[:, 1]]
            for first in range(0, len(candidates), _AT_ONCE // 64):
                i, j = candidates[first : first + _AT_ONCE // 64].T
                near = np.einsum("ik,ik->i", levels[i], levels_of_others[j]) >= _CORRELATION
                pairs.append(np.stack([i[near], j[near]]))
        if sum(map(np.size, pairs)) > _AT_ONCE or start + step >= n:
            group, pairs = _joined(group, pairs), []
    members: dict[int, list[int]] = {}
    for index, of in enumerate(group.tolist()):
        members.setdefault(of, []).append(index)
    return [each for each in members.values() if len(each) > 1]


def _joined(group: np.ndarray, pairs: list[np.ndarray]) -> np.ndarray:
    """Join the groups of the images of each pair: (n,) the first image of each image's group."""
    n = len(group)
    i, j = np.concatenate([[np.arange(n), group], *pairs], axis=1)
    graph = coo_array((np.ones(len(i), bool), (i, j)), (n, n))
    _, first, label = np.unique(
        connected_components(graph, directed=False)[1], return_index=True, return_inverse=True
    )
    return first[label]


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
