"""Crops: what part of the image a network sees of a region, and how it is warped."""

from typing import Literal

import numpy as np
import torch
from torch.nn.functional import pad
from torchvision.transforms.v2.functional import resize

CropMode = Literal["warp", "square"]
"""Stretch the region to the square, as R-CNN (Girshick et al. 2014), or cut a square around it."""

_TOGETHER = 25  # frames resized in one product: a photograph of 12 megapixels takes 0.3 GB for them


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
    frames = _frames(boxes, crop, context)
    # a processor resizes in integers, a GPU in float32: their values may differ by 1
    if pixels.device.type == "cuda":
        return resize_frames(pixels, frames, size, fill)
    crops = torch.empty(len(boxes), 3, size, size, dtype=torch.uint8)
    for row, frame in enumerate(frames):
        crops[row] = resize(_cut(pixels, frame, fill), [size, size], antialias=True)
    return crops


def resize_frames(
    pixels: torch.Tensor, frames: np.ndarray, size: int, fill: tuple[int, int, int]
) -> torch.Tensor:
    """Cut and resize all frames (N, 4) of pixels (3, H, W) by matrix products, few at a time.

    A resized row or column is a weighted mean of those of the image. One by one, a GPU would wait
    for hundreds of small kernels to be launched.
    """
    colour = torch.tensor(fill, dtype=torch.float32, device=pixels.device)[:, None, None]
    image = pixels - colour  # 0 stands for what is beyond the image
    height, width = image.shape[1:]
    crops = [torch.empty(0, 3, size, size, device=pixels.device)]
    for start in range(0, len(frames), _TOGETHER):
        part = frames[start : start + _TOGETHER]
        across = _weights(part[:, 0::2], width, size, pixels.device)  # (n, size, W)
        down = _weights(part[:, 1::2], height, size, pixels.device)  # (n, size, H)
        rows = torch.einsum("chw,nxw->nchx", image, across)
        crops.append(torch.einsum("nyh,nchx->ncyx", down, rows) + colour)
    return torch.cat(crops).round().clamp(0, 255).to(torch.uint8)


def _weights(spans: np.ndarray, length: int, size: int, device: torch.device) -> torch.Tensor:
    """Give each of `length` pixels' weight in each of `size` resized ones: (n, size, length).

    Triangles as wide as a resized pixel, or as a pixel of the image where that is wider, as
    torchvision's bilinear resizing with antialiasing; over a span (n, 2) their sum is 1.
    """
    first, last = min(0, int(spans.min())), max(length, int(spans.max()))
    low, high = torch.as_tensor(spans, dtype=torch.float32, device=device).T[:, :, None, None]
    scale = (high - low) / size  # (n, 1, 1)
    center = low + scale * (torch.arange(size, device=device)[:, None] + 0.5)  # (n, size, 1)
    place = torch.arange(first, last, device=device)  # the pixels of spans and image
    weight = (1 - (place + 0.5 - center).abs() / scale.clamp(min=1)).clamp(min=0)
    weight *= (place >= low) & (place < high)
    weight /= weight.sum(dim=2, keepdim=True)
    return weight[:, :, -first : length - first]


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
