"""What was trained, in files: X.safetensors, the weights, and X.json, what they are of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safetensors import SafetensorError, safe_open

from arlib._support.files import read_json
from arlib._support.settings import names_function
from arlib._support.storage import write_atomic
from arlib.networks.conversions import keep_converted, load_converted
from arlib.networks.engines import Engine, resolve_engine
from arlib.networks.heads import LinearHead
from arlib.networks.sources import own_names

if TYPE_CHECKING:
    from arlib.networks.backbones import Backbone

_GIVE = "give the folder of a fine-tuning, or X.safetensors beside its X.json"


@dataclass(frozen=True)
class Model:
    """A classifier of emotions that was trained: a network, or a linear head on its features.

    Attributes:
        network: with the emotions as its classes, unless there is a head.
        emotions: the M classes, in order.
        head: on the network's features; None takes its own classes.
        facts: what it was trained on and how; JSON values.

    Example:
        >>> import tempfile
        >>> from arlib.networks import load_backbone
        >>> network = load_backbone("vgg_tiny", classes=3, weights="random")
        >>> path = Path(tempfile.mkdtemp(), "moods.safetensors")
        >>> Model(network, ("joy", "fear", "awe"), facts={"dataset": "photos"}).save(path)
        >>> load_model(path).description
        'vgg_tiny, fine-tuned on photos'
    """

    network: Backbone
    emotions: tuple[str, ...]
    head: LinearHead | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        if self.head is None:
            outputs = self.network.classes
            if outputs != len(self.emotions):
                raise ValueError(f"{len(self.emotions)} emotions, but {outputs} outputs")
            return
        reads = (self.head.backbone, self.head.weight.shape[1])
        if reads != (self.network.name, self.network.n_features):
            raise ValueError(
                f"the head reads {reads[1]} features of {reads[0]}, not "
                f"{self.network.n_features} of {self.network.name}"
            )

    @property
    def description(self) -> str:
        """What it is and what it learned from, in words."""
        kind = "fine-tuned" if self.head is None else "frozen, under a linear head fitted"
        if self.facts.get("head") == "coupled":
            kind += " with a coupled head"
        return f"{self.network.name}, {kind} on {self.facts.get('dataset', 'an unnamed set')}"

    def save(self, path: str | Path) -> None:
        """Write the weights to `path` (safetensors), the rest beside it as .json, that last."""
        path = Path(path)
        if self.head is not None:
            self.head.save(path)
            return
        facts = {
            "backbone": self.network.name,
            "emotions": list(self.emotions),
            **self.facts,
            "head": self.network.kind,
            "preprocessing": asdict(self.network.preprocessing),
            "weights_sha256": self.network.sha256(),
        }
        self.network.save(path)
        write_atomic(path.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")


def load_model(path: str | Path, *, trusted: bool = False) -> Model:
    """Load what was trained: a network with its emotions, or a head with its network.

    Args:
        path: the folder of a fine-tuning (`arlib finetune`, or a stage of a run), which holds
            `network.safetensors` and `network.json`; or X.safetensors, a network or a linear head
            (`arlib head`), beside its X.json.
        trusted: allow a network of one's own, by the function that the JSON names, which is then
            imported and called: only for models of people whose code you would run. Names that
            installed packages add need no such leave.

    Returns:
        The model, its network in evaluation mode. Where the JSON names the weights' SHA-256, they
        are those; the network under a head has the weights that `load_backbone` finds.

    Raises:
        ValueError: the folder holds no finished training; or a file is missing, damaged, or not of
            one model with the other; or it names a function, and is not `trusted`. It is one line,
            which names the file.

    Example:
        >>> load_model("nowhere")
        Traceback (most recent call last):
        ...
        ValueError: no model nowhere: give the folder of a fine-tuning, or X.safetensors ...
    """
    from arlib.networks.backbones import load_backbone
    from arlib.networks.feature_maps import load_coupled
    from arlib.networks.zoo import check_name

    path, described = _files(Path(path))
    backbone, emotions, head, facts = _described(path, described)
    _check_trusted(backbone, described, trusted)
    try:
        check_name(backbone)
    except ValueError as error:
        detail = f" ({error})" if ":" in backbone else ""
        raise ValueError(
            f"{described} names a network that there is not, {backbone!r}{detail}"
        ) from error
    if head is None and facts.get("head") == "coupled":
        network = load_coupled(backbone, path)
    else:
        network = load_backbone(backbone, weights="auto" if head else path)
    return _together(network, emotions, head, facts, path, described)


def load_predictor(
    path: str | Path | None = None, engine: Engine = "auto", *, trusted: bool = False
) -> Model:
    """Load what predicts: as `load_model`, but for predictions alone, and faster.

    Where the engine is OpenVINO, the network is its conversion, which is kept in the cache under
    the file of weights: when it is there, PyTorch is not imported.

    Args:
        path: as for `load_model`; None takes EfficientNet-Lite0 under the head that ships with
            the package.
        engine: as of `resolve_engine`.
        trusted: as of `load_model`.

    Returns:
        The model; it cannot be trained, nor saved, where its network is a conversion.

    Raises:
        ValueError: as `load_model` says.
        WeightsError: the default network's weights cannot be had.
        ImportError: the engine is not installed.
    """
    # what it is, and the conversion that was kept of its weights
    place: tuple[Path, Path] | None = None
    if path is None:
        head: LinearHead | None = LinearHead.default()
        assert head is not None
        backbone, emotions, facts = head.backbone, head.emotions, head.provenance
    else:
        place = _files(Path(path))
        backbone, emotions, head, facts = _described(*place)
        _check_trusted(backbone, place[1], trusted)
    weights: str | Path = "auto" if head or place is None else place[0]
    network: Any = load_converted(backbone, weights, engine)
    if network is not None and place is None:
        return Model(network, emotions, head, facts)
    if network is not None and place is not None:
        return _together(network, emotions, head, facts, *place)
    # else the network, and its conversion
    if path is None:
        from arlib.networks.backbones import load_backbone

        model = Model(load_backbone(backbone), emotions, head, facts)
    else:
        model = load_model(path, trusted=trusted)
    if resolve_engine(model.network, engine) == "torch":
        return model
    return replace(model, network=cast(Any, keep_converted(model.network, weights)))


def _described(
    path: Path, described: Path
) -> tuple[str, tuple[str, ...], LinearHead | None, dict[str, Any]]:
    """Read what a model's files are: its network's name, its emotions, head and facts."""
    if _is_head(path):
        head = LinearHead.load(path)
        return head.backbone, head.emotions, head, head.provenance
    facts = read_json(described, {"backbone": str, "emotions": list}, {"preprocessing": dict})
    backbone, emotions = facts.pop("backbone"), tuple(facts.pop("emotions"))
    texts = {each for each in emotions if isinstance(each, str)}
    if len(texts) < max(2, len(emotions)):
        raise ValueError(f"{described}: 'emotions' must be two different texts, or more")
    if facts.get("head", "linear") not in ("linear", "coupled"):
        raise ValueError(f"{described}: 'head' must be 'linear' or 'coupled'")
    return backbone, emotions, None, facts


def _check_trusted(backbone: str, described: Path, trusted: bool) -> None:
    """Refuse a function that a model's file names, before anything of it is imported."""
    if names_function(backbone) and backbone not in own_names() and not trusted:
        raise ValueError(
            f"{described} names a function, {backbone!r}, which would be imported and called: "
            "--trust-code (trusted=True) allows it, for models whose code you would run"
        )


def _together(
    network: Any,
    emotions: tuple[str, ...],
    head: LinearHead | None,
    facts: dict[str, Any],
    path: Path,
    described: Path,
) -> Model:
    """Put a model together, of files that belong together."""
    try:
        model = Model(network, emotions, head, facts)
    except ValueError as error:
        raise ValueError(f"{path} and {described.name} are not of one model: {error}") from error
    _check_facts(model, path, described)
    return model


def _files(path: Path) -> tuple[Path, Path]:
    """Find the two files of a model; ValueError where they are not, or not yet, there."""
    if path.is_dir():
        weights, described = path / "network.safetensors", path / "network.json"
        begun = (path / "plan.json").is_file() or (path / "checkpoints").is_dir()
        if not described.is_file() and begun:
            raise ValueError(
                f"{path} holds a training that is not finished, without network.json: "
                "`arlib finetune` with the same arguments resumes it"
            )
        if not described.is_file():
            raise ValueError(f"{path} is no model, without network.json: {_GIVE}")
    else:
        weights, described = path, path.with_suffix(".json")
        if not path.exists():
            raise ValueError(f"no model {path}: {_GIVE}")
        if path.suffix == ".json":
            raise ValueError(f"{path} describes a model: give {path.with_suffix('.safetensors')}")
        if path.suffix != ".safetensors":
            raise ValueError(
                f"{path} is no model: {_GIVE}; `arlib weights convert` makes one of PyTorch's file"
            )
    for file in (weights, described):
        if not file.is_file():
            raise ValueError(f"no file {file}: a model is X.safetensors and X.json")
    return weights, described


def _is_head(path: Path) -> bool:
    """Tell by the names of the numbers whether they are a linear head's, not a network's."""
    try:
        with safe_open(path, framework="numpy") as tensors:
            return set(tensors.keys()) == {"weight", "bias"}
    except (SafetensorError, OSError, ValueError):
        return False  # damaged: reading it says so


def _check_facts(model: Model, path: Path, described: Path) -> None:
    """Refuse weights, or an input, other than those that the JSON names."""
    wanted, actual = model.facts.get("weights_sha256"), model.network.sha256()
    if wanted not in (None, actual):
        raise ValueError(
            f"{path} has other weights than {described.name} describes (SHA-256 {actual[:12]}…, "
            f"not {str(wanted)[:12]}…): bring back the file that was there, or train anew in "
            "another folder"
            if model.head is None
            else f"{path} is a head on other weights of {model.network.name} than those that are "
            f"found (SHA-256 {actual[:12]}…, not {str(wanted)[:12]}…): `arlib head` fits one on "
            "these"
        )
    actual_input = json.loads(json.dumps(asdict(model.network.preprocessing)))
    if model.facts.get("preprocessing", actual_input) != actual_input:
        raise ValueError(
            f"{described} describes an input (size, mean, std) that is not {model.network.name}'s "
            f"here, {actual_input}"
        )
