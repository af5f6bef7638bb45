"""Engines: what runs a network on crops, PyTorch or OpenVINO, behind one function.

Nothing here imports PyTorch until a network needs it, so that a network that was converted before,
and kept, runs without it.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from arlib.networks.sources import is_own

if TYPE_CHECKING:
    import torch

    from arlib.networks.backbones import Backbone


Engine = Literal["auto", "torch", "openvino"]
"""What runs a network: "auto" as `resolve_engine` says."""

Run = Callable[[Any], tuple[np.ndarray, np.ndarray]]
"""Uint8 crops (B, 3, size, size) -> features (B, D) and logits (B, M), float32."""

_SMALL = ("vgg_tiny", "alexnet_tiny")
"""Networks of the synthetic scenes."""

_AGREE = 1e-3
"""By how much outputs of a converted network may differ, as a share of the largest."""


@dataclass(frozen=True)
class Preprocessing:
    """A network's input: height and width in pixels; mean and deviation of RGB values in [0, 1]."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map uint8 RGB (N, 3, H, W) to the float32 that the network was trained on."""
        import torch

        mean = torch.tensor(self.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(3, 1, 1)
        return (pixels.float() / 255 - mean) / std

    @property
    def fill(self) -> tuple[int, int, int]:
        """The uint8 RGB colour nearest to the mean, which normalises to about 0."""
        red, green, blue = (round(255 * channel) for channel in self.mean)
        return red, green, blue


@dataclass(frozen=True, eq=False)
class Converted:
    """A network as OpenVINO runs it: it stands where a `Backbone` does, but cannot be trained.

    Attributes:
        name: of the network, as `load_backbone` takes it.
        preprocessing: what its input must look like.
        classes: M, the number of the network's outputs.
        n_features: D, the number of the penultimate features.
        weights_sha256: of the network that was converted.
        model: the `openvino.Model`: uint8 crops -> features, logits.
    """

    name: str
    preprocessing: Preprocessing
    classes: int
    n_features: int
    weights_sha256: str
    model: Any

    def sha256(self) -> str:
        """SHA-256 of the weights, as `Backbone.sha256`."""
        return self.weights_sha256


def resolve_engine(
    network: Backbone | Converted,
    engine: Engine = "auto",
    *,
    device: str | None = None,
    precision: Literal["float32", "bf16", "auto"] = "float32",
    features: str = "crops",
) -> Literal["torch", "openvino"]:
    """Resolve what runs a network.

    Args:
        network: the network.
        engine: "torch"; "openvino", of the extra `arlib[cpu]`, on a processor in float32; "auto",
            which is "openvino" there for torchvision's networks and EfficientNet-Lite if it is
            installed, and else "torch": always for timm's and one's own, and for the small networks
            of the synthetic scenes, where it gains nothing and whose numbers stay those of PyTorch.
        device: "cpu", "cuda", ...; None takes a GPU if there is one.
        precision: of weights and activations, as for `arlib.scoring.score`.
        features: "crops" or "shared"; the shared map is PyTorch's alone.

    Raises:
        ValueError: no such engine, or "openvino" for what it does not compute.
        ImportError: "openvino" is asked for and not installed.

    Example:
        >>> from arlib.networks import load_backbone
        >>> resolve_engine(load_backbone("vgg_tiny", weights="random"))
        'torch'
    """
    if engine not in ("auto", "torch", "openvino"):
        raise ValueError(f"engine must be 'auto', 'torch' or 'openvino', not {engine!r}")
    if isinstance(network, Converted):
        plain = (precision, features) == ("float32", "crops") and device in (None, "cpu")
        if engine == "torch" or not plain:
            raise ValueError(
                f"{network.name} is converted for OpenVINO, which runs crops in float32 on a "
                "processor: load it by `load_model` or `load_backbone`"
            )
        return "openvino"
    from arlib.networks.devices import resolve_device

    where, dtype = resolve_device(device, precision)
    kind = f"{str(dtype).removeprefix('torch.')} on {where.type}"
    fits = kind == "float32 on cpu" and features == "crops"
    if engine == "openvino":
        if not fits:
            raise ValueError(
                "engine 'openvino' runs crops in float32 on a processor, not "
                f"{features} in {kind}: take engine 'torch'"
            )
        _check_installed()
        return "openvino"
    return "openvino" if engine == "auto" and fits and _pays(network.name) else "torch"


def make_engine(
    network: Backbone | Converted,
    engine: Engine = "auto",
    *,
    device: str | None = None,
    precision: Literal["float32", "bf16", "auto"] = "float32",
) -> Run:
    """Make the function that runs a network; what it prepares is kept, of the last two networks.

    Batch norms are folded into convolutions, and no gradients are taken. The number of threads is
    that of PyTorch where it is loaded, and else of `OMP_NUM_THREADS` or of the cores. Threads may
    call the function at the same time.

    Args:
        network: the network; where its weights have changed, it is prepared anew.
        engine: as of `resolve_engine`, and so are the others.
        device: None takes a GPU if there is one.
        precision: of weights and activations; pixels are normalised in float32.

    Returns:
        Uint8 crops (B, 3, size, size), an array or a tensor -> features (B, D) and logits (B, M),
        float32.

    Raises:
        ValueError: as of `resolve_engine`; or OpenVINO cannot convert the network.

    Example:
        >>> from arlib.networks import load_backbone
        >>> run = make_engine(load_backbone("vgg_tiny", classes=2, weights="random"))
        >>> features, logits = run(np.zeros((4, 3, 48, 48), np.uint8))
        >>> features.shape, logits.shape
        ((4, 128), (4, 2))
    """
    resolved = resolve_engine(network, engine, device=device, precision=precision)
    what: tuple[Any, ...] = (resolved, network.sha256())
    if resolved == "openvino":
        what += (_threads(),)
    else:
        from arlib.networks.devices import resolve_device

        what += resolve_device(device, precision)
    kept = _PREPARED.get(network)
    if kept is None or kept[0] != what:
        if resolved == "openvino":
            converted = network if isinstance(network, Converted) else convert(network)
            run = _openvino_run(converted, what[2])
        else:
            run = _torch_run(network, *what[2:])  # type: ignore[arg-type]
        _PREPARED.pop(network, None)
        for oldest in list(_PREPARED)[: 1 - _MOST]:
            _PREPARED.pop(oldest, None)
        kept = _PREPARED[network] = what, run
    return kept[1]


_MOST = 2  # networks that are kept prepared: each is as large again

_PREPARED: WeakKeyDictionary[Any, tuple[tuple[Any, ...], Run]] = WeakKeyDictionary()
"""Network -> what decides how it is prepared, and the function; the oldest first."""


def convert(network: Backbone) -> Converted:
    """Convert a network for OpenVINO, and compare the two on random crops.

    Raises:
        ValueError: it cannot be converted, or computes something else then.
        ImportError: OpenVINO is not installed.
    """
    import torch

    if not network.classes:
        raise ValueError(f"OpenVINO does not run {network.name}, of features only: take 'torch'")
    ov = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    size, fast = network.preprocessing.size, network.for_inference()

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fast = fast

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.fast.features_and_logits(network.preprocessing.normalize(pixels))

    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator)
    front = FrontEndManager().load_by_framework("pytorch")
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        try:  # not `openvino.convert_model`, which reports its use to its makers
            traced = torch.jit.trace(Whole().eval(), crops, check_trace=False)
            decoder = TorchScriptPythonDecoder(traced, shared_memory=False)
            model = front.convert(front.load(decoder))
            model.reshape(ov.PartialShape([-1, 3, size, size]))
        except Exception as error:  # whatever an operation that it does not know raises
            raise ValueError(
                f"OpenVINO cannot convert {network.name} ({' '.join(str(error).split())[:200]}): "
                "take engine 'torch'"
            ) from error
    facts = network.name, network.preprocessing, network.classes, network.n_features
    converted = Converted(*facts, network.sha256(), model)
    theirs = _openvino_run(converted, _threads())(crops)
    for own, other in zip(
        _torch_run(network, "cpu", torch.float32, fast)(crops), theirs, strict=True
    ):
        if not np.abs(own - other).max() <= _AGREE * max(1e-6, float(np.abs(own).max())):
            raise ValueError(
                f"OpenVINO computes something else of {network.name} than PyTorch: take engine "
                "'torch'"
            )
    return converted


def _pays(name: str) -> bool:
    """Tell whether OpenVINO is there, and a network is torchvision's or EfficientNet-Lite."""
    return name not in _SMALL and not is_own(name) and find_spec("openvino") is not None


def _check_installed() -> None:
    if find_spec("openvino") is None:
        raise ImportError("engine 'openvino' needs OpenVINO: pip install 'arlib[cpu]'")


@lru_cache(maxsize=1)
def import_openvino() -> Any:
    """Import OpenVINO without what reports to its makers whenever it is imported."""
    _check_installed()
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _threads() -> int:
    """Count the threads that a network may take."""
    if "torch" in sys.modules:
        return sys.modules["torch"].get_num_threads()
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdigit() and int(named):
        return int(named)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def may_run_openvino(name: str) -> bool:
    """Tell, without PyTorch, whether "auto" takes OpenVINO for a network here."""
    return _pays(name) and not _may_have_gpu()


def _may_have_gpu() -> bool:
    """Tell, without PyTorch, whether it might find a GPU: a driver of one is here."""
    if "torch" in sys.modules:
        return sys.modules["torch"].cuda.is_available()
    places = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    return sys.platform == "win32" or any(Path(each).exists() for each in places)


def _openvino_run(network: Converted, threads: int) -> Run:
    how = {
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # workers would be pinned to the same cores
    }
    core, lock = import_openvino().Core(), threading.Lock()
    compiled = core.compile_model(network.model, "CPU", how)

    def run(crops: Any) -> tuple[np.ndarray, np.ndarray]:
        with lock:
            features, logits = compiled(np.asarray(crops)).values()
            return features, logits

    return run


def _torch_run(network: Backbone, where: Any, dtype: Any, fast: Backbone | None = None) -> Run:
    import torch

    fast = (fast or network.for_inference()).to(where, dtype)
    where, lock = torch.device(where), threading.Lock()

    @torch.inference_mode()
    def run(crops: Any) -> tuple[np.ndarray, np.ndarray]:
        crops = torch.as_tensor(crops)
        if where.type == "cuda" and crops.device.type == "cpu":
            crops = crops.pin_memory()  # so that the copy does not wait, nor is waited for
        # pixels are normalised in float32, whatever the network's precision
        batch = fast.preprocessing.normalize(crops.to(where, non_blocking=True)).to(dtype)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with lock:  # features are caught on the way, of one batch at a time
            entering, logits = fast.features_and_logits(batch)
        return entering.float().cpu().numpy(), logits.float().cpu().numpy()

    return run
