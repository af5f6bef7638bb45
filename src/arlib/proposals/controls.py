"""Controls: boxes that do not depend on the image's content, which other methods must beat."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from arlib.proposals.types import Proposals, check_count, check_image, ranked


@dataclass(frozen=True)
class _Control(ABC):
    """Boxes by the image's size alone; the objectness is their rank, 1 for the first, 1/n last."""

    max_regions: int = 100

    def __post_init__(self) -> None:
        """Check the settings."""
        check_count("max_regions", self.max_regions, 1)

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB."""
        check_image(image)
        height, width = image.shape[:2]
        boxes = self._boxes(height, width) * [width, height, width, height]
        return ranked(boxes, image, self.max_regions)

    @abstractmethod
    def _boxes(self, height: int, width: int) -> np.ndarray:
        """Boxes (n, 4) xyxy of the unit square, best first."""


@dataclass(frozen=True)
class Grid(_Control):
    """Propose boxes at regular places, coarse ones first.

    A layer of a x b boxes spans the image, each twice as wide and high as its step, so that
    neighbours share half; a and b are powers of 2, at most a factor 4 apart. Layers come in order
    of a b; of the last, evenly spaced boxes fill up to `max_regions`. The objectness is the
    rank in that order, 1 for the first and 1/n for the last.

    Attributes:
        max_regions: N, exactly that many boxes unless the image has too few pixels.

    Example:
        >>> Grid(max_regions=3)(np.zeros((60, 90, 3), np.uint8)).boxes
        array([[ 0.,  0., 90., 60.],
               [ 0.,  0., 90., 40.],
               [ 0., 20., 90., 60.]], dtype=float32)
    """

    def _boxes(self, height: int, width: int) -> np.ndarray:
        sides = 2 ** np.arange(2 + np.log2(self.max_regions))
        shapes = [(int(a), int(b)) for a in sides for b in sides if a <= 4 * b <= 16 * a]
        layers: list[np.ndarray] = []
        room = self.max_regions
        for across, down in sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape)):
            if across > width or down > height:
                continue  # boxes of less than two pixels
            layer = _layer(across, down)
            kept = np.linspace(0, len(layer) - 1, min(room, len(layer))).round().astype(int)
            layers.append(layer[kept])
            room -= len(kept)
            if room == 0:
                break
        return np.concatenate(layers)


@dataclass(frozen=True)
class RandomBoxes(_Control):
    """Propose boxes between two uniformly drawn points; the same for all images of one size.

    The objectness is the rank in the order drawn, 1 for the first and 1/n for the last.

    Attributes:
        max_regions: N.
        seed: of the draw.

    Example:
        >>> len(RandomBoxes(max_regions=3)(np.zeros((60, 90, 3), np.uint8)))
        3
    """

    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        check_count("seed", self.seed, 0)

    def _boxes(self, height: int, width: int) -> np.ndarray:
        points = np.random.default_rng(self.seed).random((self.max_regions, 2, 2))
        return np.sort(points, axis=1).reshape(-1, 4)


@dataclass(frozen=True)
class CenterCrops(_Control):
    """Propose centred boxes whose sides fall evenly from 1 - 1/(n + 1) to 1/(n + 1)."""

    max_regions: int = 20

    def _boxes(self, height: int, width: int) -> np.ndarray:
        side = 1 - np.arange(1, self.max_regions + 1) / (self.max_regions + 1)
        low, high = (1 - side) / 2, (1 + side) / 2
        return np.stack([low, low, high, high], axis=1)


@dataclass(frozen=True)
class FiveCrops(_Control):
    """Propose the centre and the four corners at 224/256 of the sides: ten-crop without mirrors."""

    max_regions: int = 5

    def _boxes(self, height: int, width: int) -> np.ndarray:
        room = 1 - 224 / 256
        corner = np.array([[room / 2] * 2, [0, 0], [room, 0], [0, room], [room, room]])
        return np.concatenate([corner, corner + 1 - room], axis=1)[: self.max_regions]


def _layer(across: int, down: int) -> np.ndarray:
    """Compute boxes (across * down, 4) xyxy of the unit square, neighbours sharing half."""
    x, y = np.meshgrid(np.arange(across) / (across + 1), np.arange(down) / (down + 1))
    corner = np.stack([x.ravel(), y.ravel()], axis=-1)
    size = np.array([2 / (across + 1), 2 / (down + 1)])
    return np.concatenate([corner, corner + size], axis=-1)
