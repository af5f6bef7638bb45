"""Shared features: one pass over the image, then only the head on each region, as Fast R-CNN.

Girshick (2015) pools a region from the last feature map in place of the last pooling; RoIAlign (He
et al. 2017) samples it without rounding. It is another estimator than cropping: a region sees its
surroundings through the receptive fields, and small regions are seen coarsely.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torchvision.ops import roi_align
from torchvision.transforms.v2.functional import resize

from arlib.networks import Backbone, resolve_device
from arlib.scoring.inference import Precision

SIDE = 2.0
"""The longer side of the image in the shared pass, as a multiple of the network's own."""


_STEP = 32  # pixels; sides are multiples of it, so that strides divide them


def split(network: Backbone) -> tuple[nn.Module, nn.Module, int]:
    """Split a network at its last pooling: trunk, tail, and the side s of the tail's map."""
    # trunk: images (B, 3, H, W) -> maps (B, C, h, w), without a last max pooling
    # tail: maps of regions (R, C, s, s) -> logits (R, M)
    # which of its parts come before the last pooling
    net = network.network
    parts = dict(net.named_children())
    if isinstance(net, nn.Sequential):
        trunk, rest = net[0], list(net[1:])
    elif {"features", "classifier"} <= parts.keys() <= {"features", "avgpool", "classifier"}:
        trunk = net.get_submodule("features")
        pool = parts.get("avgpool", nn.AdaptiveAvgPool2d(1))  # MobileNetV2 pools without a module
        flat = isinstance(_last(net.get_submodule("classifier")), nn.Linear)
        head = parts["classifier"]
        rest = [pool, nn.Flatten(), head] if flat else [head, nn.Flatten()]
    elif "layer4" in parts and "fc" in parts:
        names = list(parts)
        before = names[: names.index("avgpool")]
        trunk = nn.Sequential(*(parts[name] for name in before))
        rest = [parts["avgpool"], nn.Flatten(), parts["fc"]]
    else:
        raise ValueError(
            f"{network.name} cannot be shared: {sorted(parts)} have no one feature map"
        )
    # together they must be the network
    tail = nn.Sequential(*rest).eval()
    size = network.preprocessing.size
    with torch.inference_mode():
        image = torch.linspace(-2, 2, 3 * size * size).reshape(1, 3, size, size)
        pooled = trunk.eval()(image)
        if not torch.allclose(tail(pooled), network(image), rtol=1e-3, atol=1e-4):
            raise ValueError(f"{network.name} cannot be shared: it computes more than its parts do")
    if isinstance(trunk, nn.Sequential) and isinstance(trunk[-1], nn.MaxPool2d):
        trunk = trunk[:-1]
    return trunk, tail, pooled.shape[-1]


def shared_forward(
    network: Backbone,
    *,
    features: bool,
    device: str | None = None,
    precision: Precision = "float32",
    side: float = SIDE,
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Make the function (image, boxes (N, 4) xyxy) -> outputs (N, D or M) of one feature map."""
    if not side > 0:
        raise ValueError(f"side must be positive, not {side}")
    where, dtype = resolve_device(device, precision)
    first, second, size = split(network)
    preprocessing = network.preprocessing
    trunk = Backbone(network.name, first, preprocessing).for_inference().to(where, dtype).network
    tail = Backbone(network.name, second, preprocessing).for_inference().to(where, dtype)

    @torch.inference_mode()
    def forward(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        # the image at its size for the pass, and its map
        height, width = image.shape[:2]
        longer = side * preprocessing.size / max(height, width)
        sides = [max(1, round(length * longer / _STEP)) * _STEP for length in (height, width)]
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(where)
        small = resize(pixels.permute(2, 0, 1), sides, antialias=True)  # (3, h', w')
        batch = preprocessing.normalize(small[None]).to(dtype)
        maps = trunk(batch.contiguous(memory_format=torch.channels_last)).float()  # (1, C, h, w)
        # each region's part of the map, and its outputs
        scale = np.array([maps.shape[3] / width, maps.shape[2] / height] * 2)
        rois = torch.from_numpy((boxes * scale).astype(np.float32)).to(where)
        regions = roi_align(maps, [rois], size, sampling_ratio=2, aligned=True)  # (N, C, s, s)
        regions = regions.to(dtype).contiguous(memory_format=torch.channels_last)
        entering, logits = tail.features_and_logits(regions)
        return (entering.float() if features else logits.float().softmax(dim=1)).cpu().numpy()

    return forward


def _last(module: nn.Module) -> nn.Module:
    """Give the last layer with weights."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
