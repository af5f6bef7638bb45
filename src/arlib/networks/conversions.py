"""Conversions that are kept in the cache, so that a later process needs no PyTorch."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from arlib._support.files import read_json
from arlib._support.storage import cache_folder, replace_folder, write_atomic
from arlib.networks.engines import (
    Converted,
    Engine,
    Preprocessing,
    convert,
    import_openvino,
    may_run_openvino,
)
from arlib.networks.sources import is_own, weight_files

if TYPE_CHECKING:
    from arlib.networks.backbones import Backbone

_LOG = logging.getLogger(__name__)

_CODE = "networks.conversions", "networks.engines", "networks.sources"
"""Modules on which a conversion depends."""

_NAMES = "network.xml", "network.bin"
"""Files of a network that is kept, beside network.json."""


def load_converted(name: str, weights: str | Path, engine: Engine = "auto") -> Converted | None:
    """Read what `keep_converted` kept of a network's weights, without PyTorch.

    None where there is nothing, or where the engine is another.
    """
    if engine == "torch" or is_own(name):
        return None
    if engine == "auto" and not may_run_openvino(name):
        return None
    for file in weight_files(name, weights):
        try:
            return _read(_folder(file, name))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            _LOG.warning("what is kept of %s is damaged, and made anew: %s", file, error)
    return None


def _read(folder: Path) -> Converted:
    facts = read_json(folder / "network.json")
    contents = [(folder / each).read_bytes() for each in _NAMES]
    if [hashlib.sha256(each).hexdigest() for each in contents] != facts.pop("files"):
        raise ValueError("its files are not those that were written")
    size, mean, std = facts.pop("preprocessing").values()
    ov = import_openvino()
    weights = ov.Tensor(np.frombuffer(contents[1], np.uint8))
    model = ov.Core().read_model(contents[0].decode(), weights)
    return Converted(
        preprocessing=Preprocessing(size, tuple(mean), tuple(std)), model=model, **facts
    )


def keep_converted(network: Backbone, weights: str | Path = "auto") -> Converted:
    """Convert a network, and keep it in the cache under the file that its weights are from.

    A network whose code is not this package's or torchvision's is not kept: the code may change. A
    cache that cannot be written is a warning.
    """
    converted = convert(network)
    if is_own(network.name):
        return converted
    files = weight_files(network.name, weights)
    if weights == "auto" and len(files) > 1:  # torch may have downloaded other weights of it too
        from arlib.networks.weights import published_file

        files = [published_file(network.name)]
    folder = _folder(files[0], network.name)
    fresh = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    try:
        fresh.mkdir(parents=True)
        paths = [fresh / each for each in _NAMES]
        import_openvino().serialize(converted.model, *map(str, paths))
        facts = {
            "name": converted.name,
            "preprocessing": asdict(converted.preprocessing),
            "classes": converted.classes,
            "n_features": converted.n_features,
            "weights_sha256": converted.weights_sha256,
            "files": [hashlib.sha256(each.read_bytes()).hexdigest() for each in paths],
        }
        write_atomic(fresh / "network.json", json.dumps(facts, indent=1) + "\n")
        replace_folder(fresh, folder)
        return _read(folder)  # as every later process has it, to the bit
    except OSError as error:
        _LOG.warning("the converted network is not kept: %s", error)
        return converted
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _folder(file: Path, name: str) -> Path:
    """Name the folder of what is kept of a file of weights."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return cache_folder("engine", {"network": name, "weights": digest}, *_CODE)
