"""A classification network by name: its features, its logits, its own preprocessing.

The classifier is the network's last linear or 1x1-convolution layer; what enters it are the
penultimate features ("fc7" of VGG). Both come out of one forward pass.
"""

import copy
import hashlib
import logging
import re
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn
from torch.fx.experimental.optimization import fuse

from arlib._support.storage import write_atomic
from arlib.networks.engines import Preprocessing
from arlib.networks.weights import TIMM, WeightsError, find_weights, import_timm, read_foreign
from arlib.networks.zoo import check_name, make

_LOG = logging.getLogger(__name__)

_PREFIXES = ("module.", "network.", "backbone.", "model.", "_orig_mod.")
"""What stands before the names of weights: of DDP, of modules that hold the network, of compile."""

_NUMBERED = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""Old names in torchvision's files of DenseNets, norm.1 for norm1, as its own loader finds them."""


class Backbone(nn.Module):
    """A classification network whose penultimate features and logits are both reachable.

    Args:
        name: of the network, e.g. "vgg16".
        network: the network itself; its last linear or 1x1-convolution layer is its classifier.
        preprocessing: what its input must look like.

    Example:
        >>> from arlib.networks import Preprocessing
        >>> layers = nn.Sequential(nn.Conv2d(3, 4, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> usual = Preprocessing(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> mine = Backbone("mine", nn.Sequential(layers, nn.Linear(4, 2)), usual)
        >>> mine.n_features, mine.classes
        (4, 2)
    """

    kind = "linear"
    """Of its head, as `Training.head`."""

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

    @property
    def head(self) -> nn.Module:
        """The layers that are new where a network is fine-tuned."""
        return self.classifier

    def supervised(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (N, M) that learn from the labels: those of `forward`, and others."""
        return (self(batch),)

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
        if logits.ndim != 2 or logits.shape[1] != self.classes:
            raise ValueError(
                f"{self.name} gives outputs of shape {tuple(logits.shape)}, and its last layer "
                f"{self.classes} classes: a network's classifier is its last layer"
            )
        return features, logits

    def for_inference(self) -> "Backbone":
        """A copy with batch norms folded into convolutions, channels last: same outputs, faster.

        A network that `torch.fx` cannot trace is copied as it is, and gives the same outputs too.
        """
        fast = copy.copy(self)
        fast._modules = {}
        fast.network = self._folded().to(memory_format=torch.channels_last)
        return fast.requires_grad_(False).eval()

    def _folded(self) -> nn.Module:
        """A copy of the network, with batch norms folded where they can be."""
        network = self.network.eval()
        if type(self).features_and_logits is Backbone.features_and_logits:
            try:
                return fuse(network)
            except Exception as error:  # whatever its code raises when it is traced
                _LOG.info("%s is not traced: %s", self.name, error)
        return copy.deepcopy(network)

    def set_classes(self, classes: int) -> None:
        """Replace the classifier by a new one of M outputs, unless it has as many already."""
        _swap_classifier(self.network, classes)

    def _classes_of(self, state: dict[str, torch.Tensor]) -> int:
        """Count the classes of weights; those of a classifier that is not there are its own."""
        weight = state.get(f"{_classifier(self.network)[0]}.weight")
        sized = weight is not None and weight.ndim and weight.shape[0] > 1
        return weight.shape[0] if sized else self.classes  # type: ignore[union-attr]

    def _renamed(self, state: dict[str, torch.Tensor], _: Path) -> dict[str, torch.Tensor]:
        """Give weights the names that they have here."""
        return {_NUMBERED.sub(r"\1\2", key): tensor for key, tensor in state.items()}

    def save(self, path: str | Path) -> None:
        """Write the weights as safetensors, under the network's own names of them."""
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


class _Timm(Backbone):
    """A network of timm: what enters its classifier, and the logits, by its own functions.

    One without a classifier, such as the image tower of DINOv2, has features only.
    """

    @property
    def classes(self) -> int:
        return self.network.num_classes  # type: ignore[return-value]

    @property
    def n_features(self) -> int:
        return getattr(self.network, "head_hidden_size", None) or self.network.num_features  # type: ignore[return-value]

    @property
    def classifier(self) -> nn.Module:
        layers = self.network.get_classifier()  # type: ignore[operator]
        return layers if isinstance(layers, nn.Module) else nn.ModuleList(layers)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if not self.classes:
            raise ValueError(
                f"{self.name} has features, and no classes: give a head, or load it with classes=M"
            )
        return super().forward(batch)

    def features_and_logits(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.network.forward_features(batch)  # type: ignore[operator]
        features = self.network.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        if features.ndim == 4:
            features = features.mean(dim=(2, 3))
        if not self.classes:
            return features, features.new_zeros(len(features), 0)
        return features, self.network.forward_head(maps)  # type: ignore[operator]

    def set_classes(self, classes: int) -> None:
        if classes != self.classes:
            check_classes(classes or 2)  # a network of features only has none
            self.network.reset_classifier(classes)  # type: ignore[operator]

    def _classes_of(self, state: dict[str, torch.Tensor]) -> int:
        layers = self.network.get_classifier()  # type: ignore[operator]
        first = layers if isinstance(layers, nn.Module) else layers[0]
        (name,) = (name for name, module in self.network.named_modules() if module is first)
        sizes = (len(t) for key, t in state.items() if key.startswith(f"{name}.") and t.ndim > 1)
        return next(sizes, 0)

    def _renamed(self, state: dict[str, torch.Tensor], file: Path) -> dict[str, torch.Tensor]:
        """As timm reads files of the hub, some of which have other names."""
        if state.keys() <= self.network.state_dict().keys() or not file.is_file():
            return state
        try:
            network = import_timm().create_model(
                self.name.removeprefix(TIMM),
                pretrained=True,
                pretrained_cfg_overlay={"file": str(file), "hf_hub_id": None},
            )
        except (RuntimeError, ValueError, KeyError):
            return state  # which then does not fit, and is refused
        return network.state_dict()


def load_backbone(
    name: str,
    *,
    classes: int | None = None,
    weights: str | Path = "auto",
    seed: int = 0,
) -> Backbone:
    """Build a classification network with its weights, in evaluation mode.

    Args:
        name: torchvision's name; "efficientnet_lite0" or "efficientnet_lite2"; "vgg_tiny" or
            "alexnet_tiny", the synthetic scenes' networks; "timm:" and timm's name, of the extra
            `arlib[timm]`; a name that an installed package adds, in the group of entry points
            `arlib.backbones`; or a function of one's own by its import path,
            "my_package.nets:build", which returns a `Backbone`, or a module of ImageNet's usual
            input at 224 pixels.
        classes: M; a classifier of another size is replaced by a new one. None keeps it.
        weights: "auto" takes `ARLIB_DATA/weights/<name>.safetensors` if it exists (":" and "/" are
            written "-") and otherwise what is published: a package's file, or the download of
            torchvision or timm, or what one's own function returns; "random" initialises from
            `seed`; anything else is a safetensors file with the network's names of its weights.
        seed: for whatever is not loaded: a new classifier, or all of a random network.

    Returns:
        The network in float32.

    Raises:
        ValueError: no such network.
        ImportError: the package of its code is not installed.
        WeightsError: the weights are not available, naming the file that was wanted, or do not fit.

    Example:
        >>> backbone = load_backbone("squeezenet1_1", classes=2, weights="random")
        >>> features, logits = backbone.features_and_logits(torch.zeros(1, 3, 224, 224))
        >>> tuple(features.shape), tuple(logits.shape), backbone.preprocessing.size
        ((1, 512), (1, 2), 224)
    """
    check_name(name)
    found = None if weights == "random" else find_weights(name, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = build(name)
        if found is not None:
            file, state = found
            backbone.network.load_state_dict(fit_weights(backbone, state, file))
        if classes is not None:
            backbone.set_classes(classes)
    return backbone.eval()


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
    check_name(name)
    file = Path(path)
    state = read_foreign(file, name)
    with torch.random.fork_rng(devices=[]):
        backbone = build(name)
    wanted = backbone.network.state_dict().keys()
    while not wanted <= state.keys():
        before = [each for each in _PREFIXES if all(key.startswith(each) for key in state)]
        if not before or not state:
            break
        state = {key.removeprefix(before[0]): tensor for key, tensor in state.items()}
    backbone.network.load_state_dict(fit_weights(backbone, state, file))
    return backbone.eval()


def build(name: str) -> Backbone:
    """Build a network as its code makes it, before any weights are loaded."""
    made, preprocessing = make(name)
    if isinstance(made, Backbone):
        made.name = name
        return made.float()
    if not isinstance(made, nn.Module):
        raise ValueError(f"{name} returns no network, but {made!r}")
    kind = _Timm if name.startswith(TIMM) else Backbone
    return kind(name, made.float(), preprocessing)


def fit_weights(
    backbone: Backbone, state: dict[str, torch.Tensor], file: Path
) -> dict[str, torch.Tensor]:
    """Give the network as many classes as the weights have; check every name, shape and number."""
    state, name = backbone._renamed(state, file), backbone.name
    backbone.set_classes(backbone._classes_of(state))
    want = backbone.network.state_dict()
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
    if not layers:
        raise ValueError("a network without a linear or convolution layer has no classifier")
    return layers[-1]


def check_classes(classes: int) -> None:
    """Refuse a number of classes that is none of a classifier."""
    if classes < 2:
        raise ValueError(f"classes must be at least 2, not {classes}")


def _outputs(classifier: nn.Module) -> int:
    assert isinstance(classifier, nn.Linear | nn.Conv2d)
    return classifier.weight.shape[0]


def _swap_classifier(network: nn.Module, classes: int) -> None:
    """Replace the classifier by a new one of `classes` outputs, unless it has as many already."""
    name, old = _classifier(network)
    if _outputs(old) == classes:
        return
    check_classes(classes)
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
