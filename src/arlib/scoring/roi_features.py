"""One pass over the whole picture, then only the head on each region: Fast R-CNN's sharing.

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

from arlib.networks import Backbone, Precision, best_device, resolve_dtype

SIDE = 2.0
"""The longer side of the shared picture, as a multiple of the network's own."""


_STEP = 32  # pixels; sides are multiples of it, so that strides divide them


def split(network: Backbone) -> tuple[nn.Module, nn.Module, int]:
    """Cut a network where its last feature map is pooled.

    Args:
        network: VGG, AlexNet, SqueezeNet, MobileNet, EfficientNet, ResNet and their like, or one
            of this project's small ones.

    Returns:
        trunk: pictures (B, 3, H, W) -> maps (B, C, h, w), without a last max pooling.
        tail: maps of regions (R, C, s, s) -> logits (R, M).
        s: side of the map that the tail reads.

    Raises:
        ValueError: the network is built in another way.

    Example:
        >>> from arlib.networks import load_backbone
        >>> split(load_backbone("vgg16", classes=2, weights="random"))[2]
        7
    """
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
    tail = nn.Sequential(*rest).eval()
    size = network.preprocessing.size
    with torch.inference_mode():
        picture = torch.linspace(-2, 2, 3 * size * size).reshape(1, 3, size, size)
        pooled = trunk.eval()(picture)
        if not torch.allclose(tail(pooled), network(picture), rtol=1e-3, atol=1e-4):
            raise ValueError(f"{network.name} cannot be shared: it does more than its parts say")
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
    """Make the function that scores all regions of a picture from one feature map.

    Args:
        network: as for `split`.
        features: give penultimate features (N, D); otherwise probabilities (N, M).
        device: None takes a GPU if there is one.
        precision: of weights and activations.
        side: the picture's longer side in the pass, as a multiple of the network's own, > 0.

    Returns:
        (image (H, W, 3) uint8, boxes (N, 4) xyxy in pixels) -> (N, D or M) float32.

    Raises:
        ValueError: the network cannot be split, or side is not positive.

    Example:
        >>> from arlib.networks import load_backbone
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> run = shared_forward(network, features=False, device="cpu")
        >>> picture = np.zeros((48, 64, 3), np.uint8)
        >>> run(picture, np.array([[0, 0, 64, 48], [8, 8, 24, 24]])).shape
        (2, 2)
    """
    if not side > 0:
        raise ValueError(f"side must be positive, not {side}")
    where = best_device(device)
    dtype = resolve_dtype(precision, where)
    first, second, size = split(network)
    preprocessing = network.preprocessing
    trunk = Backbone(network.name, first, preprocessing).for_inference().to(where, dtype).network
    tail = Backbone(network.name, second, preprocessing).for_inference().to(where, dtype)

    @torch.inference_mode()
    def run(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        longer = side * preprocessing.size / max(height, width)
        sides = [max(1, round(one * longer / _STEP)) * _STEP for one in (height, width)]
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(where)
        small = resize(pixels.permute(2, 0, 1), sides, antialias=True)  # (3, h', w')
        batch = preprocessing.normalize(small[None]).to(dtype)
        maps = trunk(batch.contiguous(memory_format=torch.channels_last)).float()  # (1, C, h, w)
        scale = np.array([maps.shape[3] / width, maps.shape[2] / height] * 2)
        places = torch.from_numpy((boxes * scale).astype(np.float32)).to(where)
        regions = roi_align(maps, [places], size, sampling_ratio=2, aligned=True)  # (N, C, s, s)
        regions = regions.to(dtype).contiguous(memory_format=torch.channels_last)
        found, logits = tail.features_and_logits(regions)
        return (found.float() if features else logits.float().softmax(dim=1)).cpu().numpy()

    return run


def _last(module: nn.Module) -> nn.Module:
    """Give the last layer with weights."""
    return [one for one in module.modules() if isinstance(one, nn.Linear | nn.Conv2d)][-1]
