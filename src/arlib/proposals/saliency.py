"""Saliency (Hou and Zhang 2007): the residual of an image's log spectrum."""

from dataclasses import dataclass

import numpy as np

from arlib.proposals.types import Proposals, check_between, check_count, check_image, clipped


def saliency_map(image: np.ndarray) -> np.ndarray:
    """Compute OpenCV's spectral residual: (H, W) float32 in [0, 1]; all 0 for a flat image."""
    import cv2

    check_image(image)
    if (image == image[0, 0]).all():  # its spectrum is empty, and OpenCV answers with NaN
        return np.zeros(image.shape[:2], np.float32)
    succeeded, salient = cv2.saliency.StaticSaliencySpectralResidual.create().computeSaliency(
        np.ascontiguousarray(image[..., ::-1])  # BGR
    )
    if not succeeded:
        raise ValueError(f"OpenCV finds no saliency in an image of {image.shape}")
    return np.nan_to_num(salient.astype(np.float32))


@dataclass(frozen=True)
class Saliency:
    """Propose boxes around salient parts; a control that knows of no sentiment.

    The map is cut at several shares of its greatest value, and each connected part becomes a box,
    whose objectness is the part's mean saliency.

    Attributes:
        max_regions: N, the most boxes an image.
        levels: how many cuts, evenly spaced between 0.2 and 0.8.
        min_box_area: of a box in pixels, >= 1.

    Example:
        >>> image = np.zeros((64, 64, 3), np.uint8)
        >>> image[20:24, 40:44] = 255
        >>> x0, y0, x1, y1 = Saliency()(image).boxes[0]
        >>> x0 < 42 < x1 and y0 < 22 < y1
        np.True_
    """

    max_regions: int = 100
    levels: int = 7
    min_box_area: float = 100.0

    def __post_init__(self) -> None:
        """Check the settings."""
        check_count("max_regions", self.max_regions, 1)
        check_count("levels", self.levels, 1)
        check_between("min_box_area", self.min_box_area, 1, np.inf, "[)")

    def __call__(self, image: np.ndarray) -> Proposals:
        """Propose boxes for an image (H, W, 3) uint8 RGB; none for a flat one."""
        from skimage.measure import label, regionprops

        salient = saliency_map(image)
        boxes, means = [], []
        for level in np.linspace(0.2, 0.8, self.levels):
            parts = label(salient > level * max(salient.max(), 1e-12))
            for part in regionprops(parts, salient):
                y0, x0, y1, x1 = part.bbox
                if (x1 - x0) * (y1 - y0) >= self.min_box_area:
                    boxes.append((x0, y0, x1, y1))
                    means.append(part.intensity_mean)
        return clipped(boxes, means, image, self.max_regions)


def regions_of_map(
    weights: np.ndarray, image: np.ndarray, *, threshold: float = 0.2, max_regions: int = 8
) -> Proposals:
    """Find the connected parts of a map from a share of its greatest value on, as boxes.

    Args:
        weights: (h, w), at least 0, of places of the image, such as a class activation map.
        image: (H, W, 3) that it is of; the map may be smaller.
        threshold: share of the greatest value, in (0, 1); of class activation maps Zhou et al.
            (CVPR 2016, Sec. 3.2) take 0.2.
        max_regions: the most boxes.

    Returns:
        Boxes in pixels of the image, whose objectness is the share of the map's weight that the
        part holds, the largest first; none of a map of zeros.

    Raises:
        ValueError: `weights` are not a finite map of at least 0, or a setting is out of its range.

    Example:
        >>> weights = np.zeros((4, 8))
        >>> weights[1, 1:3], weights[3, 6] = 3, 2
        >>> regions = regions_of_map(weights, np.zeros((40, 80, 3), np.uint8))
        >>> regions.boxes.tolist(), regions.objectness.tolist()
        ([[10.0, 10.0, 30.0, 20.0], [60.0, 30.0, 70.0, 40.0]], [0.75, 0.25])
    """
    from scipy.ndimage import find_objects, label, sum_labels

    check_between("threshold", threshold, 0, 1)
    check_count("max_regions", max_regions, 1)
    weights = np.asarray(weights, float)
    if weights.ndim != 2 or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("a map must be (h, w) of finite numbers of at least 0")
    highest = weights.max(initial=0)
    if not highest:
        return clipped([], [], image, max_regions)
    parts, n = label(weights > threshold * highest, np.ones((3, 3)))  # corners connect
    share = sum_labels(weights, parts, np.arange(1, n + 1)) / weights.sum()
    scale = np.divide(image.shape[:2], weights.shape)  # pixels of a place, down and across
    corners = [[x.start, y.start, x.stop, y.stop] for y, x in find_objects(parts)]
    return clipped(corners * np.tile(scale[::-1], 2), share, image, max_regions)


def most_salient_point(image: np.ndarray) -> tuple[float, float]:
    """Find x, y of the most salient pixel, in pixels: its centre.

    Example:
        >>> image = np.zeros((64, 64, 3), np.uint8)
        >>> image[20:24, 40:44] = 255
        >>> x, y = most_salient_point(image)
        >>> 36 < x < 48, 16 < y < 28
        (True, True)
    """
    salient = saliency_map(image)
    y, x = np.unravel_index(int(salient.argmax()), salient.shape)
    return float(x) + 0.5, float(y) + 0.5
