"""Name runs: by a folder's name, to be typed, and in words, to be read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arlib import datasets
from arlib._support.files import file_name

FROZEN, SHIPPED, FOLDS, AUTO = MODES = ("none", "shipped", "folds", "auto")
"""What a network learns from, where it is not the name of a dataset."""

HELD_OUT = "-held-out"

_NETWORKS = {
    "alexnet": "AlexNet",
    "alexnet_tiny": "small AlexNet",
    "convnext_tiny": "ConvNeXt-T",
    "densenet121": "DenseNet-121",
    "efficientnet_b0": "EfficientNet-B0",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "efficientnet_lite2": "EfficientNet-Lite2",
    "googlenet": "GoogLeNet",
    "inception_v3": "Inception v3",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_large": "MobileNetV3-Large",
    "mobilenet_v3_small": "MobileNetV3-Small",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "resnet152": "ResNet-152",
    "squeezenet1_0": "SqueezeNet 1.0",
    "squeezenet1_1": "SqueezeNet 1.1",
    "vgg11": "VGG-11",
    "vgg13": "VGG-13",
    "vgg16": "VGG-16",
    "vgg19": "VGG-19",
    "vgg_tiny": "small VGG",
    "vit_b_16": "ViT-B/16",
}
"""A network's name in words; one that has none keeps its own."""


def run_name(column: str, backbone: str, source: str) -> str:
    """Name the run of a column by a network, after what that learned from.

    >>> run_name("twitter2", "mobilenet_v2", "none"), run_name("twitter2", "mobilenet_v2", "folds")
    ('twitter2-mobilenet_v2', 'twitter2-mobilenet_v2-ft')
    >>> run_name("photos/my labels.csv", "efficientnet_lite0", "shipped")
    'own-my_labels-efficientnet_lite0-shipped'
    >>> run_name("oasis", "mobilenet_v2", "../photos/all.csv")
    'oasis-mobilenet_v2-ft-own-all'
    >>> run_name("oasis", "my_package.nets:build", "none")
    'oasis-my_package.nets-build'
    """
    tail = {FROZEN: "", AUTO: "", FOLDS: "-ft", SHIPPED: "-shipped"}.get(source)
    tail = f"-ft-{_word(source)}" if tail is None else tail
    return f"{_word(column)}-{file_name(backbone)}{tail}"


def _word(name: str) -> str:
    """Turn a dataset's name into a part of a folder's name; a path becomes own-STEM.

    >>> _word("twitter1-five"), _word("vso-held-out"), _word("photos/my labels.csv")
    ('twitter1-five', 'vso-held-out', 'own-my_labels')
    """
    own = name.removesuffix(HELD_OUT)
    if own in datasets.names() or name in datasets.names():
        return name
    if not re.search(r"[./\\]", own):  # no path, but what a set was called elsewhere
        return re.sub(r"[^\w-]", "_", name)
    return re.sub(r"[^\w.-]", "_", f"own-{Path(own).stem}{name[len(own) :]}")


def words_of(name: str, experiment: Mapping[str, Any]) -> dict[str, str]:
    """Name in words the images and the network of a run: `dataset` and `network`.

    A run that someone named has that name in parentheses.

    >>> settings = {"dataset": "twitter2", "backbones": ["mobilenet_v2"], "finetune_on": ["oasis"]}
    >>> words_of("twitter2-mobilenet_v2-ft-oasis", settings)
    {'dataset': 'Twitter II', 'network': 'MobileNetV2 fine-tuned on OASIS'}
    >>> words_of("mine", settings)["dataset"]
    'Twitter II (mine)'
    """
    (source,) = experiment.get("finetune_on", [FROZEN])
    (backbone, *_), column = experiment["backbones"], experiment["dataset"]
    title = datasets.title(column)
    title = title[0].upper() + title[1:]
    usual = (run_name(column, backbone, source), column.removesuffix(HELD_OUT))
    return {
        "dataset": title if name in usual else f"{title} ({name})",
        "network": network_words(backbone, source),
    }


def network_words(backbone: str, source: str) -> str:
    """Name in words a network and what it learned from.

    Args:
        backbone: Its name; one that has no words keeps it.
        source: What it learned from, a dataset or a mode, as `Experiment.finetune_on`.

    Example:
        >>> network_words("vgg16", "none"), network_words("swin_t", "vso")
        ('VGG-16, frozen', 'swin_t fine-tuned on Flickr')
    """
    how = {
        FROZEN: ", frozen",
        SHIPPED: ", frozen, with a head fitted on OASIS",
        FOLDS: " fine-tuned on the other folds",
    }.get(source, f" fine-tuned on {datasets.title(source)}")
    return f"{_NETWORKS.get(backbone, backbone)}{how}"
