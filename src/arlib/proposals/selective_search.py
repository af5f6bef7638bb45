"""Selective Search (Uijlings et al. 2013): boxes of segments, merged again and again."""

from dataclasses import dataclass

import numpy as np

from arlib.proposals.edges import check_image
from arlib.proposals.types import Proposals, check_count, clipped, working_copy

LEAST_SIDE = 8
"""Pixels; OpenCV's segmentation needs a neighbourhood."""


@dataclass(frozen=True)
class SelectiveSearch:
    """Propose the boxes of OpenCV's Selective Search.

    The boxes come without a score. The paper's order is a random number times the place in the
    hierarchy, large segments first; OpenCV draws it from a generator that cannot be seeded. Here
    the place is that by area and the number comes from `seed`, so that the same picture always has
    the same proposals. The objectness is the place in that order: 1 for the best, 1/n for the last.

    Attributes:
        max_regions: N, the most boxes an image.
        mode: "fast" or "quality", which takes about ten times as long.
        seed: of the order.
        max_side: a larger picture is worked on in a copy with this longer side, >= 16.

    Raises:
        ValueError: a setting is none of the above.
    """

    max_regions: int = 100
    mode: str = "fast"
    seed: int = 0
    max_side: int = 640

    def __post_init__(self) -> None:
        """Check every setting."""
        check_count("max_regions", self.max_regions, 1)
        check_count("max_side", self.max_side, 16)
        check_count("seed", self.seed, 0)
        if self.mode not in ("fast", "quality"):
            raise ValueError(f"mode must be 'fast' or 'quality', not {self.mode!r}")

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB; none below 8 pixels a side."""
        import cv2

        check_image(image)
        small, scale = working_copy(image, self.max_side)
        if min(small.shape[:2]) < LEAST_SIDE:
            return clipped([], [], image, self.max_regions)
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(np.ascontiguousarray(small[..., ::-1]))  # BGR
        if self.mode == "fast":
            search.switchToSelectiveSearchFast()
        else:
            search.switchToSelectiveSearchQuality()
        found = np.unique(np.reshape(search.process(), (-1, 4)), axis=0).astype(np.float64)
        place = np.argsort(np.argsort(-found[:, 2] * found[:, 3], kind="stable")) + 1
        drawn = np.random.default_rng(self.seed).random(len(found)) * place
        order = np.argsort(drawn, kind="stable")
        boxes = found[order]
        boxes[:, 2:] += boxes[:, :2]  # xywh -> xyxy
        objectness = 1 - np.arange(len(boxes)) / max(1, len(boxes))
        return clipped(boxes * scale, objectness, image, self.max_regions)
