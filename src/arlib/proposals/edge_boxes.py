"""EdgeBoxes (Zitnick and Dollar 2014): boxes scored by the contours that they enclose."""

from dataclasses import dataclass

import numpy as np

from arlib.proposals.edges import edge_map, structured_edges
from arlib.proposals.types import (
    Proposals,
    check_between,
    check_count,
    check_image,
    clipped,
    working_copy,
)

_MAX_EDGES = 60_000
"""Pixels of edges that are searched: the search takes longer than they are many.

A photograph of 640 x 480 pixels has 10,000 to 45,000, noise 80,000.
"""

_RANGES = (
    (("alpha", "beta"), 0, 1, "()"),
    (("eta",), 0, 1, "(]"),
    (("edge_min_mag",), 0, 1, "[)"),
    (("min_score", "cluster_min_mag"), 0, np.inf, "[)"),
    (("max_aspect_ratio", "min_box_area"), 1, np.inf, "[)"),
    (("edge_merge_thr", "gamma", "kappa", "sigma"), 0, np.inf, "()"),
)


@dataclass(frozen=True)
class EdgeBoxes:
    """Propose boxes from a thinned colour edge map, or from a structured forest's.

    OpenCV does the search (`cv2.ximgproc.createEdgeBoxes`). Every call makes a detector of its own:
    a reused one keeps state, and returns other boxes for the same image. An image without an edge
    has no proposals; of noise, whose edges are too many, the 60,000 strongest pixels are searched.

    Attributes:
        max_regions: N, the most boxes an image.
        alpha: IoU of neighbouring boxes in the search, in (0, 1).
        beta: IoU at which the worse of two boxes is dropped, in (0, 1).
        eta: factor by which `beta` falls after each box, in (0, 1].
        min_score: boxes below that are dropped, >= 0.
        edge_min_mag: edges below that are ignored, in [0, 1).
        edge_merge_thr: difference of direction at which edges are no longer one group, > 0.
        cluster_min_mag: groups whose strengths sum to less are ignored, >= 0.
        max_aspect_ratio: of a box, >= 1.
        min_box_area: of a box, in pixels of the working copy, >= 1.
        gamma: affinity's sensitivity to direction, > 0.
        kappa: the exponent by which large boxes are penalised, > 0.
        sigma: smoothing before edges are taken, in pixels of the working copy, > 0.
        max_side: a larger image is worked on in a copy with this longer side, >= 16.
        model: path of a structured-forest model; None takes our own edge map.

    Raises:
        ValueError: a setting is out of its range, before OpenCV sees it; it would return nothing
            or never return.

    Example:
        >>> image = np.full((120, 160, 3), 255, np.uint8)
        >>> image[30:90, 40:110] = 0
        >>> EdgeBoxes(max_regions=1)(image).boxes.round(-1)
        array([[ 40.,  30., 110.,  90.]], dtype=float32)
    """

    max_regions: int = 100
    alpha: float = 0.65
    beta: float = 0.55
    eta: float = 1.0
    min_score: float = 0.01
    edge_min_mag: float = 0.1
    edge_merge_thr: float = 1.0
    cluster_min_mag: float = 0.5
    max_aspect_ratio: float = 3.0
    min_box_area: float = 200.0
    gamma: float = 2.0
    kappa: float = 1.5
    sigma: float = 2.0
    max_side: int = 640
    model: str | None = None

    def __post_init__(self) -> None:
        """Check every setting."""
        check_count("max_regions", self.max_regions, 1)
        check_count("max_side", self.max_side, 16)
        for names, low, high, ends in _RANGES:
            for name in names:
                check_between(name, getattr(self, name), low, high, ends)

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB."""
        import cv2

        check_image(image)
        small, scale = working_copy(image, self.max_side)
        if self.model is None:
            magnitude, orientation = edge_map(small, self.sigma)
        else:
            magnitude, orientation = structured_edges(small, self.model)
        magnitude = _strongest(magnitude, self.edge_min_mag, _MAX_EDGES)
        detector = cv2.ximgproc.createEdgeBoxes(
            maxBoxes=self.max_regions,
            alpha=self.alpha,
            beta=self.beta,
            eta=self.eta,
            minScore=self.min_score,
            edgeMinMag=self.edge_min_mag,
            edgeMergeThr=self.edge_merge_thr,
            clusterMinMag=self.cluster_min_mag,
            maxAspectRatio=self.max_aspect_ratio,
            minBoxArea=self.min_box_area,
            gamma=self.gamma,
            kappa=self.kappa,
        )
        raw, scores = detector.getBoundingBoxes(magnitude, orientation)
        if scores is None:
            return clipped([], [], image, self.max_regions)
        boxes = np.array(raw, np.float64)
        boxes[:, 2:] += boxes[:, :2]  # xywh -> xyxy
        return clipped(boxes * scale, np.ravel(scores), image, self.max_regions)


def _strongest(magnitude: np.ndarray, least: float, most: int) -> np.ndarray:
    """Set all but the `most` strongest edges to 0, where more of them exceed `least`."""
    if np.count_nonzero(magnitude > least) <= most:
        return magnitude
    kept = np.argpartition(magnitude, -most, axis=None)[-most:]
    strongest = np.zeros_like(magnitude)
    strongest.flat[kept] = magnitude.flat[kept]
    return strongest
