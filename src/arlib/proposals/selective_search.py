"""Selective Search (Uijlings et al. 2013): boxes of a hierarchy of merged segments."""

from dataclasses import dataclass

import numpy as np

from arlib.proposals.types import Proposals, check_count, check_image, ranked, working_copy

LEAST_SIDE = 8
"""Pixels; OpenCV's segmentation needs a neighbourhood."""


@dataclass(frozen=True)
class SelectiveSearch:
    """Propose the boxes of OpenCV's Selective Search.

    The boxes come without a score. The paper's order is a random number times the place in the
    hierarchy, large segments first; OpenCV draws it from a generator that cannot be seeded. Here
    the place is that by area and the number comes from `seed`, so that the same image always has
    the same proposals. The objectness is the rank in that order: 1 for the best, 1/n for the last.

    Attributes:
        max_regions: N, the most boxes an image.
        mode: "fast" or "quality", which takes about ten times as long.
        seed: of the order.
        max_side: a larger image is worked on in a copy with this longer side, >= 16.

    Raises:
        ValueError: a setting is none of the above.

    Example:
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> image[:, 40:] = 255
        >>> SelectiveSearch()(image).boxes[0]
        array([40.,  0., 80., 60.], dtype=float32)
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
            return ranked(np.empty((0, 4)), image, self.max_regions)
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(np.ascontiguousarray(small[..., ::-1]))  # BGR
        if self.mode == "fast":
            search.switchToSelectiveSearchFast()
        else:
            search.switchToSelectiveSearchQuality()
        boxes = np.unique(np.reshape(search.process(), (-1, 4)), axis=0).astype(np.float64)
        place = np.argsort(np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")) + 1
        drawn = np.random.default_rng(self.seed).random(len(boxes)) * place
        boxes = boxes[np.argsort(drawn, kind="stable")]
        boxes[:, 2:] += boxes[:, :2]  # xywh -> xyxy
        return ranked(boxes * scale, image, self.max_regions)
