"""Region -> network input: what part of the picture a network sees, and how it is warped."""

from typing import Literal

import numpy as np
import torch
from torch.nn.functional import pad
from torchvision.transforms.v2.functional import resize

CropMode = Literal["warp", "square"]


def crop_regions(
    image: np.ndarray,
    boxes: np.ndarray,
    size: int,
    *,
    crop: CropMode = "warp",
    context: float = 0.0,
    fill: tuple[int, int, int] = (124, 116, 104),
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Cut regions out of a picture and resize each to size x size, bilinear with antialiasing.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) xyxy in pixels; a fractional border takes in the whole pixel.
        size: height and width of the result in pixels.
        crop: "warp" stretches the region to the square, as R-CNN (Girshick et al. 2014) and
            "square" takes the tightest square around it, so that shapes keep their proportions.
        context: how much of the region's width and height is added on every side, >= 0. R-CNN's
            16 pixels of 227 are a context of 16 / (227 - 32) = 0.082.
        fill: uint8 RGB shown where the region reaches beyond the picture.
        device: where to cut and resize; the picture is copied there once. A processor resizes in
            integers, a GPU in float32, so that their values may differ by 1.

    Returns:
        (N, 3, size, size) uint8, on the device.

    Raises:
        ValueError: an unknown crop, a negative context, or boxes of another shape.

    Example:
        >>> picture = np.zeros((40, 60, 3), np.uint8)
        >>> tuple(crop_regions(picture, np.array([[0, 0, 60, 40], [5, 5, 9, 30]]), 32).shape)
        (2, 3, 32, 32)
    """
    if crop not in ("warp", "square"):
        raise ValueError(f"crop must be 'warp' or 'square', not {crop!r}")
    if not context >= 0:
        raise ValueError(f"context must be >= 0, not {context}")
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have shape (N, 4), not {boxes.shape}")
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))
    pixels = pixels.to(device).permute(2, 0, 1)  # (3, H, W)
    crops = torch.empty(len(boxes), 3, size, size, dtype=torch.uint8, device=device)
    for row, window in enumerate(_windows(boxes, crop, context)):
        crops[row] = resize(_cut(pixels, window, fill), [size, size], antialias=True)
    return crops


def _windows(boxes: np.ndarray, crop: CropMode, context: float) -> np.ndarray:
    """Whole-pixel windows (N, 4) xyxy around the boxes; they may reach beyond the picture."""
    center = (boxes[:, 2:] + boxes[:, :2]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * (1 + 2 * context)
    if crop == "square":
        half = np.broadcast_to(half.max(axis=1, keepdims=True), half.shape)
    low, high = np.floor(center - half), np.ceil(center + half)
    return np.concatenate([low, np.maximum(high, low + 1)], axis=1).astype(int)


def _cut(pixels: torch.Tensor, window: np.ndarray, fill: tuple[int, int, int]) -> torch.Tensor:
    height, width = pixels.shape[1:]
    x0, y0, x1, y1 = (int(edge) for edge in window)
    inside = pixels[:, max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    margins = (max(-x0, 0), max(x1 - width, 0), max(-y0, 0), max(y1 - height, 0))
    if not any(margins):
        return inside
    return torch.stack(
        [pad(channel, margins, value=colour) for channel, colour in zip(inside, fill, strict=True)]
    )
