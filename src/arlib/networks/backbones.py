"""A torchvision classification network by name: its features, its logits, its own preprocessing.

The classifier is the network's last linear or 1x1-convolution layer; what enters it are the
penultimate features ("fc7" of VGG). Both come out of one forward pass.
"""

import hashlib
import re
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn
from torch.fx.experimental.optimization import fuse

from arlib._support.storage import write_atomic
from arlib.networks.engines import PACKAGED, Preprocessing
from arlib.networks.tiny import NETWORKS, SIZE
from arlib.networks.weights import WeightsError, find_weights, read_foreign, torchvision_models

_PREFIXES = ("module.", "network.", "backbone.", "model.", "_orig_mod.")
"""What stands before the names of weights: of DDP, of modules that hold the network, of compile."""

_NUMBERED = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""Old names in torchvision's files of DenseNets, norm.1 for norm1, as its own loader finds them."""


class Backbone(nn.Module):
    """A classification network whose penultimate features and logits are both reachable.

    Args:
        name: torchvision's name of the network, e.g. "vgg16".
        network: the network itself.
        preprocessing: what its input must look like.
    """

    def __init__(self, name: str, network: nn.Module, preprocessing: Preprocessing):
        super().__init__()
        self.name, self.network, self.preprocessing = name, network, preprocessing

    @property
    def classes(self) -> int:
        """M, the number of the network's outputs."""
        return _outputs(self.classifier)

    @property
    def n_features(self) -> int:
        """D, the number of the penultimate features."""
        classifier = self.classifier
        assert isinstance(classifier, nn.Linear | nn.Conv2d)
        return classifier.weight.shape[1]

    @property
    def classifier(self) -> nn.Module:
        """The layer whose outputs are the logits."""
        return _classifier(self.network)[1]

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Logits (N, M) float of a normalised batch (N, 3, size, size) float."""
        return self.features_and_logits(batch)[1]

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        """Penultimate features (N, D) float of a normalised batch (N, 3, size, size) float."""
        return self.features_and_logits(batch)[0]

    def features_and_logits(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both of them, from one pass: features (N, D) and logits (N, M)."""
        entering: list[torch.Tensor] = []
        handle = self.classifier.register_forward_pre_hook(
            lambda _module, inputs: entering.append(inputs[0])
        )
        try:
            output = self.network(batch)
        finally:
            handle.remove()
        features = entering[0] if entering[0].ndim == 2 else entering[0].mean(dim=(2, 3))
        logits = output if isinstance(output, torch.Tensor) else output[0]  # Inception in training
        return features, logits

    def for_inference(self) -> "Backbone":
        """A copy with batch norms folded into convolutions, channels last: same outputs, faster."""
        network = fuse(self.network.eval()).to(memory_format=torch.channels_last)
        return Backbone(self.name, network.requires_grad_(False), self.preprocessing).eval()

    def save(self, path: str | Path) -> None:
        """Write the weights as safetensors, under torchvision's names of them."""
        state = {key: value.contiguous() for key, value in self.network.state_dict().items()}
        write_atomic(Path(path), save(state))

    def sha256(self) -> str:
        """SHA-256 over every weight as loaded, in order of its name: it identifies the network.

        Example:
            >>> one, two = (load_backbone("vgg_tiny", weights="random", seed=s) for s in (0, 0))
            >>> one.sha256() == two.sha256()
            True
        """
        digest = hashlib.sha256()
        for key, value in sorted(self.network.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def names() -> list[str]:
    """Every network: torchvision's of classification, EfficientNet-Lite, the scenes' small ones."""
    models = torchvision_models()
    return sorted([*models.list_models(module=models), *PACKAGED, *NETWORKS])


def load_backbone(
    name: str,
    *,
    classes: int | None = None,
    weights: str | Path = "auto",
    seed: int = 0,
) -> Backbone:
    """Build a torchvision classification network with its weights, in evaluation mode.

    Args:
        name: torchvision's name, or "vgg_tiny" or "alexnet_tiny", the synthetic scenes' networks.
        classes: M; a classifier of another size is replaced by a new one. None keeps it.
        weights: "auto" takes `ARLIB_DATA/weights/<name>.safetensors` if it exists and otherwise
            torchvision's download (with progress); "random" initialises from `seed`; anything else
            is a safetensors file with torchvision's key names.
        seed: for whatever is not loaded: a new classifier, or all of a random network.

    Returns:
        The network in float32.

    Raises:
        ValueError: no such network.
        WeightsError: the weights are not available, naming the file that was wanted, or do not fit.

    Example:
        >>> backbone = load_backbone("squeezenet1_1", classes=2, weights="random")
        >>> features, logits = backbone.features_and_logits(torch.zeros(1, 3, 224, 224))
        >>> tuple(features.shape), tuple(logits.shape), backbone.preprocessing.size
        ((1, 512), (1, 2), 224)
    """
    _check_name(name)
    found = None if weights == "random" else find_weights(name, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _build(name)
        if found is not None:
            file, state = found
            network.load_state_dict(_fit(network, state, name, file))
        if classes is not None:
            _swap_classifier(network, classes)
    return Backbone(name, network, _preprocessing(name)).eval()


def convert_weights(path: str | Path, name: str) -> Backbone:
    """Load a network from a file of `torch.save`, or of other names of its weights.

    Only tensors are read, never other Python objects, which could run any code.

    Args:
        path: a state dict, alone or as "state_dict", "model_state_dict" or "model" of a checkpoint,
            in any precision; what stands before all of its names ("module.", "network.",
            "backbone.", "model.", "_orig_mod.") is dropped. Checkpoints of `finetune` are such
            files, and safetensors are read too.
        name: the network, as `load_backbone` takes it.

    Returns:
        The network in float32, with as many classes as the file has; its `save` writes safetensors.

    Raises:
        ValueError: no such network.
        WeightsError: the file is missing, damaged, holds more than tensors, or does not fit.

    Example:
        >>> import tempfile
        >>> saved = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> path = Path(tempfile.mkdtemp(), "w.pth")
        >>> torch.save({"state_dict": saved.state_dict(), "epoch": 3}, path)  # of "network.…"
        >>> convert_weights(path, "vgg_tiny").sha256() == saved.sha256()
        True
    """
    _check_name(name)
    file = Path(path)
    state = read_foreign(file, name)
    with torch.random.fork_rng(devices=[]):
        network = _build(name)
    wanted = network.state_dict().keys()
    while not wanted <= state.keys():
        before = [each for each in _PREFIXES if all(key.startswith(each) for key in state)]
        if not before or not state:
            break
        state = {key.removeprefix(before[0]): tensor for key, tensor in state.items()}
    network.load_state_dict(_fit(network, state, name, file))
    return Backbone(name, network, _preprocessing(name)).eval()


def _check_name(name: str) -> None:
    if name not in names():
        raise ValueError(f"no network {name!r}; there are {', '.join(names())}")


def _build(name: str) -> nn.Module:
    if name in NETWORKS:
        return NETWORKS[name]()
    if name in PACKAGED:
        return _lite(name)
    extra = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return torchvision_models().get_model(name, weights=None, **extra)


def _lite(name: str) -> nn.Module:
    """Build an EfficientNet-Lite, under the names that its package's weights have."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(f"{name} needs efficientnet_lite_pytorch: pip install it") from error
    return EfficientNet.from_name(name.replace("_", "-"))


def _preprocessing(name: str) -> Preprocessing:
    if name in NETWORKS:
        return Preprocessing(SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    if name in PACKAGED:  # (x - 127) / 128
        size = 224 if name == "efficientnet_lite0" else 260
        return Preprocessing(size, (127 / 255,) * 3, (128 / 255,) * 3)
    transform = torchvision_models().get_model_weights(name).DEFAULT.transforms()
    return Preprocessing(transform.crop_size[0], tuple(transform.mean), tuple(transform.std))


def _fit(
    network: nn.Module, state: dict[str, torch.Tensor], name: str, file: Path
) -> dict[str, torch.Tensor]:
    """Give the network as many classes as the weights have; check every name, shape and number."""
    state = {_NUMBERED.sub(r"\1\2", key): tensor for key, tensor in state.items()}
    classifier_name, classifier = _classifier(network)
    weight = state.get(f"{classifier_name}.weight")
    if weight is not None and weight.ndim and weight.shape[0] not in (0, 1, _outputs(classifier)):
        _swap_classifier(network, weight.shape[0])
    want = network.state_dict()
    counts = [key for key in want if key.endswith(".num_batches_tracked")]  # not in old files
    state = {key: want[key] for key in counts} | state
    missing = sorted(want.keys() - state.keys())
    unknown = sorted(state.keys() - want.keys())
    misfits = [
        key
        for key in sorted(want.keys() & state.keys())
        if want[key].shape != state[key].shape
        or want[key].is_floating_point() != state[key].is_floating_point()
    ]
    if missing or unknown or misfits:
        raise WeightsError(
            f"the weights in {file} do not fit {name}: {len(missing)} missing {missing[:3]}, "
            f"{len(unknown)} unknown {unknown[:3]}, {len(misfits)} of another shape or kind "
            f"{misfits[:3]}"
        )
    broken = [key for key in want if not state[key].isfinite().all()]
    if broken:
        raise WeightsError(
            f"{len(broken)} weights in {file} are not finite: {broken[:3]}; where they were "
            "trained, the training diverged"
        )
    return state


def _classifier(network: nn.Module) -> tuple[str, nn.Module]:
    layers = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ]
    return layers[-1]


def _outputs(classifier: nn.Module) -> int:
    assert isinstance(classifier, nn.Linear | nn.Conv2d)
    return classifier.weight.shape[0]


def _swap_classifier(network: nn.Module, classes: int) -> None:
    """Replace the classifier by a new one of `classes` outputs, unless it has as many already."""
    name, old = _classifier(network)
    if _outputs(old) == classes:
        return
    if classes < 2:
        raise ValueError(f"classes must be at least 2, not {classes}")
    new: nn.Module
    if isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, classes, old.kernel_size)  # type: ignore[arg-type]
        nn.init.normal_(new.weight, std=0.01)
        assert new.bias is not None
        nn.init.zeros_(new.bias)
    else:
        assert isinstance(old, nn.Linear)
        new = nn.Linear(old.in_features, classes)
    network.set_submodule(name, new)
