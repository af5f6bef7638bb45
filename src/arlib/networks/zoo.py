"""Networks by name, before they have weights: where their code is, and what is known of them."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import torch
from torch import nn

from arlib._support.files import one_line
from arlib.networks.engines import Preprocessing
from arlib.networks.sources import ENTRY_POINTS, PACKAGED, own_names
from arlib.networks.tiny import NETWORKS, SIZE
from arlib.networks.weights import TIMM, import_timm, torchvision_models, weights_at_hand

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_FEW = 20  # networks of timm that are built, without weights, to count their parameters


def names() -> list[str]:
    """Every network that has a name here: torchvision's, EfficientNet-Lite, small ones, plugged in.

    `timm:NAME` and `my_package.nets:build` are not listed.
    """
    models = torchvision_models()
    return sorted({*models.list_models(module=models), *PACKAGED, *NETWORKS, *own_names()})


def check_name(name: str) -> None:
    """Refuse a name that is no network's."""
    if name.startswith(TIMM):
        if not import_timm().is_model(name.removeprefix(TIMM)):
            raise ValueError(
                f"timm has no network {name.removeprefix(TIMM)!r}: `arlib backbones "
                f"{TIMM}` lists them"
            )
    elif ":" in name:
        _function(name)
    elif name not in names():
        raise ValueError(
            f"no network {name!r}; there are {', '.join(names())}, timm:NAME, and a function of "
            "one's own, my_package.nets:build"
        )


def make(name: str) -> tuple[Any, Preprocessing]:
    """Build a network by its name, and give the input that it was trained on.

    One's own function may return a `Backbone`, which has its own input.
    """
    mean, std = _IMAGENET
    if name.startswith(TIMM):
        return _of_timm(name)
    if name in NETWORKS:
        return NETWORKS[name](), Preprocessing(SIZE, mean, std)
    if name in PACKAGED:  # (x - 127) / 128
        size = 224 if name == "efficientnet_lite0" else 260
        return _lite(name), Preprocessing(size, (127 / 255,) * 3, (128 / 255,) * 3)
    models = torchvision_models()
    if ":" in name or name not in models.list_models(module=models):
        return _function(name)(), Preprocessing(224, mean, std)
    published = models.get_model_weights(name).DEFAULT
    transform = published.transforms()
    size = transform.crop_size[0]
    extra: dict[str, Any] = {"image_size": size} if name.startswith("vit_") else {}
    extra |= {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    network = models.get_model(name, weights=None, **extra)
    return network, Preprocessing(size, tuple(transform.mean), tuple(transform.std))


def _lite(name: str) -> nn.Module:
    """Build an EfficientNet-Lite, under the names that its package's weights have."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(f"{name} needs efficientnet_lite_pytorch: pip install it") from error
    return EfficientNet.from_name(name.replace("_", "-"))


def _of_timm(name: str) -> tuple[nn.Module, Preprocessing]:
    timm = import_timm()
    try:
        network = timm.create_model(name.removeprefix(TIMM))
    except (RuntimeError, ValueError) as error:  # such as a tag that there is not
        raise ValueError(f"timm cannot build {name}: {one_line(error)}") from error
    config = timm.data.resolve_model_data_config(network)
    _, height, width = config["input_size"]
    if height != width:
        raise ValueError(f"{name} takes images of {width} x {height}, and crops are square")
    return network, Preprocessing(width, tuple(config["mean"]), tuple(config["std"]))


def _function(name: str) -> Any:
    """Import the function, or the class, that builds a network of one's own."""
    plugged = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    path = plugged[name].value if name in plugged else name
    module, _, attribute = path.partition(":")
    if module.partition(".")[0] in sys.stdlib_module_names:  # a model's file names it too
        raise ValueError(f"no network {name!r}: {module} is Python's own")
    try:
        found = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise ValueError(
            f"no network {name!r}: {one_line(error)}. It names a function that can be imported, "
            "my_package.nets:build; a folder of modules is found by PYTHONPATH"
        ) from error
    if not (inspect.isfunction(found) or inspect.isclass(found)):
        raise ValueError(f"no network {name!r}: {path} is no function")
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise ValueError(f"{name} must be callable without arguments: {one_line(error)}") from error
    except ValueError:  # a class of C that does not tell
        pass
    return found


def list_backbones(wanted: str = "") -> list[dict[str, Any]]:
    """Describe the networks whose names hold a text, or those of timm whose names do.

    Args:
        wanted: a part of names; "timm:" and a part asks timm for its own, with published weights.

    Returns:
        One of each: `name`; `size` of the input in pixels; `parameters`; `licence` of the weights
        as published, and whether these are `here`. What is not known is None.

    Example:
        >>> list_backbones("squeezenet1_1")[0]["parameters"]
        1235496
    """
    if wanted.startswith(TIMM):
        return _described_by_timm(wanted.removeprefix(TIMM))
    models = torchvision_models()
    known, rows = models.list_models(module=models), []
    for name in names():
        if wanted not in name:
            continue
        row: dict[str, Any] = {"name": name, "size": None, "parameters": None, "licence": None}
        if name in known:
            published = models.get_model_weights(name).DEFAULT
            row["size"] = published.transforms().crop_size[0]
            row["parameters"] = published.meta["num_params"]
            row["licence"] = published.meta.get("license")
        elif name in PACKAGED or name in NETWORKS:
            with torch.device("meta"):
                network, preprocessing = make(name)
            row |= {"size": preprocessing.size, "parameters": _count(network)}
            row["licence"] = "Apache-2.0" if name in PACKAGED else None
        rows.append({**row, "here": weights_at_hand(name)})
    return rows


def _described_by_timm(wanted: str) -> list[dict[str, Any]]:
    timm = import_timm()
    found = timm.list_models(f"*{wanted}*", pretrained=True)
    rows = []
    for name in found:
        config, parameters = timm.get_pretrained_cfg(name), None
        if len(found) <= _FEW:
            with torch.device("meta"):
                parameters = _count(timm.create_model(name))
        rows.append(
            {
                "name": f"{TIMM}{name}",
                "size": config.input_size[-1],
                "parameters": parameters,
                "licence": config.license,
                "here": weights_at_hand(f"{TIMM}{name}"),
            }
        )
    return rows


def _count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())
