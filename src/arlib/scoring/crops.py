"""Crops: what part of the image a network sees of a region, and how it is warped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

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
    import torch
    from torchvision.transforms.v2.functional import resize

    frames, image = _frames(boxes, crop, context), np.require(image, requirements=["C", "W"])
    # a processor resizes in integers, a GPU in float32: their values may differ by 1
    if torch.device(device).type == "cuda":
        pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)  # (3, H, W)
        return resize_frames(pixels, frames, size, fill)
    crops = torch.empty(len(frames), 3, size, size, dtype=torch.uint8)
    for row, frame in enumerate(frames):
        pixels = torch.from_numpy(_cut(image, frame, fill)).permute(2, 0, 1)
        crops[row] = resize(pixels, [size, size], antialias=True)
    return crops


def crop_arrays(
    image: np.ndarray,
    boxes: np.ndarray,
    size: int,
    *,
    crop: CropMode = "warp",
    context: float = 0.0,
    fill: tuple[int, int, int] = (124, 116, 104),
) -> np.ndarray:
    """Cut and resize as `crop_regions` does on a processor, bit for bit, without PyTorch."""
    if "torch" in sys.modules:  # which is there, and faster
        settings = {"crop": crop, "context": context, "fill": fill}
        return crop_regions(image, boxes, size, **settings).numpy()  # type: ignore[arg-type]
    frames = _frames(boxes, crop, context)
    crops = np.empty((len(frames), 3, size, size), np.uint8)
    for row, frame in enumerate(frames):
        crops[row] = resize_pixels(_cut(image, frame, fill), size).transpose(2, 0, 1)
    return crops


def resize_pixels(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize (h, w, 3) uint8 to (size, size, 3) in the integers of PyTorch: the width, the height.

    Its bilinear resizing with antialiasing weighs pixels by triangles, as Pillow's does, but in 16
    bits, with as many of them behind the point as the largest weight leaves.
    """
    for _ in range(2):
        across = np.ascontiguousarray(pixels.swapaxes(0, 1))  # (w, h, 3), then (h, size, 3)
        pixels = _along(across.reshape(len(across), -1), size).reshape(size, -1, 3)
    return pixels


def _along(values: np.ndarray, size: int) -> np.ndarray:
    """Resize the first axis of uint8 values (n, m): (size, m) uint8."""
    from scipy.sparse import csr_array

    if len(values) == size:
        return values
    # each resized value's pixels, first to last, and their weights
    scale = len(values) / size
    support, center = max(scale, 1.0), scale * (np.arange(size) + 0.5)
    first = np.maximum((center - support + 0.5).astype(int), 0)
    last = np.minimum((center + support + 0.5).astype(int), len(values))
    place = first[:, None] + np.arange((last - first).max())  # (size, k)
    weight = np.clip(1 - np.abs((place - center[:, None] + 0.5) / support), 0, None)
    weight[place >= last[:, None]] = 0
    weight /= weight.sum(axis=1, keepdims=True)
    # the same in 16 bits
    bits = next(n for n in range(23) if n == 22 or int(0.5 + weight.max() * 2 ** (n + 1)) >= 2**15)
    whole = (0.5 + weight * 2**bits).astype(np.int32)
    columns = np.minimum(place, len(values) - 1)
    rows = np.arange(0, place.size + 1, place.shape[1])
    matrix = csr_array((whole.ravel(), columns.ravel(), rows), shape=(size, len(values)))
    total = matrix @ values.astype(np.int32) + (1 << bits >> 1)
    return np.clip(total >> bits, 0, 255).astype(np.uint8)


def resize_frames(
    pixels: torch.Tensor, frames: np.ndarray, size: int, fill: tuple[int, int, int]
) -> torch.Tensor:
    """Cut and resize all frames (N, 4) of pixels (3, H, W) by matrix products, few at a time.

    A resized row or column is a weighted mean of those of the image. One by one, a GPU would wait
    for hundreds of small kernels to be launched.
    """
    import torch

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
    import torch

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
    if crop not in ("warp", "square"):
        raise ValueError(f"crop must be 'warp' or 'square', not {crop!r}")
    if not context >= 0:
        raise ValueError(f"context must be >= 0, not {context}")
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have shape (N, 4), not {boxes.shape}")
    center = (boxes[:, 2:] + boxes[:, :2]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * (1 + 2 * context)
    if crop == "square":
        half = np.broadcast_to(half.max(axis=1, keepdims=True), half.shape)
    low, high = np.floor(center - half), np.ceil(center + half)
    return np.concatenate([low, np.maximum(high, low + 1)], axis=1).astype(int)


def _cut(image: np.ndarray, frame: np.ndarray, fill: tuple[int, int, int]) -> np.ndarray:
    """Cut (h, w, 3) out of an image (H, W, 3), filled where the frame reaches beyond it."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(edge) for edge in frame)
    inside = image[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    top, left = max(-y0, 0), max(-x0, 0)
    if not (top or left or x1 > width or y1 > height):
        return inside
    filled = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
    filled[:] = fill
    filled[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return filled
