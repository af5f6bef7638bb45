"""Crops: what part of the image a network sees of a region, and how it is warped."""

from typing import Literal

import numpy as np
import torch
from torch.nn.functional import pad
from torchvision.transforms.v2.functional import resize

CropMode = Literal["warp", "square"]
"""Stretch the region to the square, as R-CNN (Girshick et al. 2014), or cut a square around it."""


def crop_regions(
    image: np.ndarray,
    boxes: np.ndarray,
    size: int,
    *,
    crop: CropMode = "warp",
    context: float = 0.0,  # added on every side, as a share of it; R-CNN's 16 pixels are 0.082
    fill: tuple[int, int, int] = (124, 116, 104),  # stands beyond the image
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Cut boxes (N, 4) out of an image (H, W, 3) and resize each: (N, 3, size, size) uint8."""
    if crop not in ("warp", "square"):
        raise ValueError(f"crop must be 'warp' or 'square', not {crop!r}")
    if not context >= 0:
        raise ValueError(f"context must be >= 0, not {context}")
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have shape (N, 4), not {boxes.shape}")
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))
    pixels = pixels.to(device).permute(2, 0, 1)  # (3, H, W)
    # a processor resizes in integers, a GPU in float32: their values may differ by 1
    crops = torch.empty(len(boxes), 3, size, size, dtype=torch.uint8, device=device)
    for row, frame in enumerate(_frames(boxes, crop, context)):
        crops[row] = resize(_cut(pixels, frame, fill), [size, size], antialias=True)
    return crops


def _frames(boxes: np.ndarray, crop: CropMode, context: float) -> np.ndarray:
    """Give the pixels (N, 4) xyxy that are cut for boxes; they may reach beyond the image."""
    center = (boxes[:, 2:] + boxes[:, :2]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * (1 + 2 * context)
    if crop == "square":
        half = np.broadcast_to(half.max(axis=1, keepdims=True), half.shape)
    low, high = np.floor(center - half), np.ceil(center + half)
    return np.concatenate([low, np.maximum(high, low + 1)], axis=1).astype(int)


def _cut(pixels: torch.Tensor, frame: np.ndarray, fill: tuple[int, int, int]) -> torch.Tensor:
    """Cut (3, h, w) out of pixels (3, H, W), filled where the frame reaches beyond them."""
    height, width = pixels.shape[1:]
    x0, y0, x1, y1 = (int(edge) for edge in frame)
    inside = pixels[:, max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    margins = (max(-x0, 0), max(x1 - width, 0), max(-y0, 0), max(y1 - height, 0))
    if not any(margins):
        return inside
    return torch.stack(
        [pad(channel, margins, value=colour) for channel, colour in zip(inside, fill, strict=True)]
    )
