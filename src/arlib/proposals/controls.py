"""Boxes that never look at the picture: what a method that does must beat."""

from dataclasses import dataclass

import numpy as np

from arlib.proposals.edges import check_image
from arlib.proposals.types import Proposals, check_count, clipped


@dataclass(frozen=True)
class Grid:
    """Propose windows at regular places, coarse ones first.

    A layer of a x b windows spans the picture, each twice as wide and high as its step, so that
    neighbours share half; a and b are powers of 2, at most a factor 4 apart. Layers come in order
    of a b; of the last, evenly spaced windows fill up to `max_regions`. The objectness is the
    place in that order, 1 for the first and 1/n for the last.

    Attributes:
        max_regions: N, exactly that many boxes unless the picture has too few pixels.

    Example:
        >>> Grid(max_regions=3)(np.zeros((60, 90, 3), np.uint8)).boxes
        array([[ 0.,  0., 90., 60.],
               [ 0.,  0., 90., 40.],
               [ 0., 20., 90., 60.]], dtype=float32)
    """

    max_regions: int = 100

    def __post_init__(self) -> None:
        """Check the setting."""
        check_count("max_regions", self.max_regions, 1)

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB."""
        check_image(image)
        height, width = image.shape[:2]
        sides = 2 ** np.arange(2 + np.log2(self.max_regions))
        shapes = [(int(a), int(b)) for a in sides for b in sides if a <= 4 * b <= 16 * a]
        layers: list[np.ndarray] = []
        room = self.max_regions
        for across, down in sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape)):
            if across > width or down > height:
                continue  # windows of less than two pixels
            layer = _layer(across, down)
            kept = np.linspace(0, len(layer) - 1, min(room, len(layer))).round().astype(int)
            layers.append(layer[kept])
            room -= len(kept)
            if room == 0:
                break
        boxes = np.concatenate(layers) * [width, height, width, height]
        return clipped(boxes, 1 - np.arange(len(boxes)) / len(boxes), image, self.max_regions)


@dataclass(frozen=True)
class RandomBoxes:
    """Propose boxes between two uniformly drawn points; the same for every picture of one size.

    The objectness is the place in the order drawn, 1 for the first and 1/n for the last.

    Attributes:
        max_regions: N.
        seed: of the draw.
    """

    max_regions: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        check_count("max_regions", self.max_regions, 1)
        check_count("seed", self.seed, 0)

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB."""
        check_image(image)
        height, width = image.shape[:2]
        points = np.random.default_rng(self.seed).random((self.max_regions, 2, 2))
        corners = np.sort(points, axis=1).reshape(-1, 4) * [width, height, width, height]
        objectness = 1 - np.arange(len(corners)) / len(corners)
        return clipped(corners, objectness, image, self.max_regions)


@dataclass(frozen=True)
class CenterCrops:
    """Propose windows around the picture's middle, each smaller than the one before.

    Sides fall evenly from 1 - 1 / (n + 1) of the picture's to 1 / (n + 1). The objectness is the
    place in that order, 1 for the first and 1/n for the last.

    Attributes:
        max_regions: N, exactly that many boxes.

    Example:
        >>> CenterCrops(max_regions=1)(np.zeros((60, 90, 3), np.uint8)).boxes
        array([[22.5, 15. , 67.5, 45. ]], dtype=float32)
    """

    max_regions: int = 20

    def __post_init__(self) -> None:
        """Check the setting."""
        check_count("max_regions", self.max_regions, 1)

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB."""
        check_image(image)
        n = self.max_regions
        side = 1 - np.arange(1, n + 1) / (n + 1)
        low, high = (1 - side) / 2, (1 + side) / 2
        return _placed(np.stack([low, low, high, high], axis=1), image, n)


@dataclass(frozen=True)
class FiveCrops:
    """Propose the middle and the four corners at 224/256 of the sides: half of ten-crop.

    The other half of ten-crop (Krizhevsky et al. 2012) is the same windows, mirrored.

    Attributes:
        max_regions: how many of the five.

    Example:
        >>> FiveCrops()(np.zeros((64, 128, 3), np.uint8)).boxes[:2]
        array([[  8.,   4., 120.,  60.],
               [  0.,   0., 112.,  56.]], dtype=float32)
    """

    max_regions: int = 5

    def __post_init__(self) -> None:
        """Check the setting."""
        check_count("max_regions", self.max_regions, 1)

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB."""
        check_image(image)
        room = 1 - 224 / 256
        corner = np.array([[room / 2] * 2, [0, 0], [room, 0], [0, room], [room, room]])
        boxes = np.concatenate([corner, corner + 1 - room], axis=1)[: self.max_regions]
        return _placed(boxes, image, self.max_regions)


def _placed(boxes: np.ndarray, image: np.ndarray, n: int) -> Proposals:
    """Boxes (n, 4) xyxy of the unit square, best first -> proposals in pixels."""
    height, width = image.shape[:2]
    return clipped(
        boxes * [width, height, width, height], 1 - np.arange(len(boxes)) / len(boxes), image, n
    )


def _layer(across: int, down: int) -> np.ndarray:
    """Windows (across * down, 4) xyxy of the unit square, neighbours sharing half."""
    x, y = np.meshgrid(np.arange(across) / (across + 1), np.arange(down) / (down + 1))
    corner = np.stack([x.ravel(), y.ravel()], axis=-1)
    size = np.array([2 / (across + 1), 2 / (down + 1)])
    return np.concatenate([corner, corner + size], axis=-1)
