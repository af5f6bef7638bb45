"""A network split at its last feature map, and networks made of its lower part."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from arlib.networks.backbones import Backbone, build, check_classes, fit_weights
from arlib.networks.coupled import CoupledHead, CoupledNetwork
from arlib.networks.weights import read_foreign
from arlib.networks.zoo import check_name

_WIDER = 32  # pixels by which an image is wider than the network's own size, to try it


class _Outline(fx.Tracer):
    """Traces a network as little as it takes to cut it before its classifier."""

    def __init__(self, classifier: nn.Module):
        super().__init__()
        self.classifier = classifier

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Look only into sequences, and what holds the classifier."""
        inside = isinstance(m, nn.Sequential) or self.classifier in set(m.modules())
        return m is self.classifier or not inside


def split_network(network: Backbone) -> tuple[nn.Module, nn.Module, int]:
    """Split a network at its last feature map, as Fast R-CNN does (Girshick 2015).

    The parts share the network's layers: what trains them trains it.

    Args:
        network: the network.

    Returns:
        The trunk, images (B, 3, H, W) -> maps (B, D, h, w), without a last max pooling; the tail,
        maps (R, D, s, s) -> logits (R, M); and s, in cells. Of a coupled network they are its own.

    Raises:
        ValueError: no feature map enters the classifier, or more than one; or the network reads
            images of its own size alone, or cannot be traced.

    Example:
        >>> from arlib.networks import load_backbone
        >>> trunk, tail, side = split_network(load_backbone("vgg_tiny", weights="random"))
        >>> trunk(torch.zeros(1, 3, 96, 48)).shape, side
        (torch.Size([1, 128, 12, 6]), 6)
    """
    size, refused = network.preprocessing.size, f"{network.name} cannot be split"
    image = torch.linspace(-2, 2, 3 * size * size).reshape(1, 3, size, size)
    if isinstance(network.network, CoupledNetwork):
        trunk, head = network.network.trunk, network.network.head
        with torch.no_grad():
            return trunk, head, trunk(image).shape[-1]
    try:
        graph = _Outline(network.classifier).trace(network.network.eval())
        whole = fx.GraphModule(network.network, graph)
        with torch.no_grad():
            ShapeProp(whole).propagate(image)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise ValueError(f"{refused}: it cannot be traced, {error}") from error
    # the last map that enters the classifier
    *nodes, output = graph.nodes
    (ends,) = (n for n, node in enumerate(nodes) if _module(whole, node) is network.classifier)
    averages = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
    maps = [
        n
        for n, node in enumerate(nodes[:ends])
        if _is_map(node) and not isinstance(_module(whole, node), averages)
    ]
    if not maps:
        raise ValueError(f"{refused}: no feature map enters its classifier")
    cut = nodes[maps[-1]]
    constant = [node for node in nodes if node.op == "get_attr"]
    try:
        tail = _part(whole, [*constant, *nodes[maps[-1] + 1 :]], output.args[0], cut)
    except KeyError as error:
        raise ValueError(f"{refused}: its classifier reads more than one feature map") from error
    side = cut.meta["tensor_meta"].shape[-1]
    if isinstance(_module(whole, cut), nn.MaxPool2d):
        cut = cut.args[0]
    trunk = _part(whole, nodes[: nodes.index(cut) + 1], cut)
    try:
        with torch.no_grad():
            trunk(torch.nn.functional.pad(image, (0, _WIDER)))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"{refused}: it reads images of its own size alone") from error
    return trunk, tail, side


def _part(
    whole: fx.GraphModule, nodes: Iterable[fx.Node], end: fx.Node, start: fx.Node | None = None
) -> nn.Module:
    """Take the nodes of a network between two of them; KeyError where they read others."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    if start is not None:
        copies[start] = entering = graph.placeholder("maps")
        for node in start.graph.nodes:  # a batch of maps is as long as that of images was
            if (node.op, node.target, node.args[1:]) == ("call_method", "size", (0,)):
                copies[node] = graph.call_method("size", (entering, 0))
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[end])
    part = fx.GraphModule(whole, graph)
    part.graph.eliminate_dead_code()
    part.recompile()
    return part.eval()


def _module(whole: nn.Module, node: fx.Node) -> nn.Module | None:
    return whole.get_submodule(str(node.target)) if node.op == "call_module" else None


def _is_map(node: fx.Node) -> bool:
    shape = getattr(node.meta.get("tensor_meta"), "shape", ())
    return node.op != "placeholder" and len(shape) == 4 and min(shape[2:]) > 1


class _Coupled(Backbone):
    """A network with a coupled head; its features are both pooled maps, twice as many."""

    kind = "coupled"
    network: CoupledNetwork

    @property
    def head(self) -> nn.Module:
        return self.network.head

    def supervised(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.network.head.branches(self.network.trunk(batch))[:2]

    def set_classes(self, classes: int) -> None:
        if classes != self.classes:
            check_classes(classes)
            self.network.head = CoupledHead(self.n_features // 2, classes)


def couple(network: Backbone, *, classes: int | None = None, seed: int = 0) -> Backbone:
    """Put a new coupled head on a network's last feature map; the layers below are its own."""
    try:
        trunk, _, _ = split_network(network)
    except ValueError as error:
        raise ValueError(f"a coupled head reads a network's last feature map: {error}") from error
    size = network.preprocessing.size
    with torch.no_grad():
        channels = trunk(torch.zeros(1, 3, size, size)).shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = CoupledHead(channels, network.classes if classes is None else classes)
    return _Coupled(network.name, CoupledNetwork(trunk, head), network.preprocessing).eval()


def load_coupled(name: str, file: Path) -> Backbone:
    """Load a network with a coupled head from a safetensors file of it."""
    check_name(name)
    state = read_foreign(file, name)
    with torch.random.fork_rng(devices=[]):
        backbone = couple(build(name))
    backbone.network.load_state_dict(fit_weights(backbone, state, file))
    return backbone.eval()


class FeatureMaps(Backbone):
    """A network whose features are its last feature map, flat: of D channels, then rows.

    Args:
        network: the network, whose layers it has.

    Example:
        >>> from arlib.networks import load_backbone
        >>> maps = FeatureMaps(load_backbone("vgg_tiny", weights="random"))
        >>> maps.features(torch.zeros(1, 3, 48, 48)).shape == (1, 128 * 6 * 6)
        True
    """

    def __init__(self, network: Backbone):
        trunk, _, _ = split_network(network)
        super().__init__(network.name, trunk, network.preprocessing)

    def features_and_logits(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (N, D h w), and their means over places, (N, D), as logits."""
        maps = self.network(batch)
        return maps.flatten(1), maps.mean(dim=(2, 3))
