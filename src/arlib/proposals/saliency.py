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
