"""Settings by name, as command lines, editions and run.json have them.

`SETTINGS` is what there is to set: each with its kind, range and meaning. Defaults stand where a
setting is used: in a chapter's cell, or in a dataclass.
"""

import math
import os
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Setting:
    """The type, the range and the meaning of a setting.

    Attributes:
        kind: bool, int, float, str, list (of texts) or dict (of settings).
        meaning: in a line.
        least: the smallest number.
        most: the largest number.
        above: the smallest number is itself too small.
        choices: the only texts; or, with `or_path`, also the path of a file or folder.
        of: the settings in a dict.
        nothing: a text may also be null, which is None.
    """

    kind: type[Any]
    meaning: str
    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    choices: tuple[str, ...] = ()
    or_path: bool = False
    of: "Mapping[str, Setting] | None" = None
    nothing: bool = False

    @property
    def wanted(self) -> str:
        """Describe the allowed values in words.

        Example:
            >>> SETTINGS["k"].wanted, SETTINGS["base"].wanted
            ('a whole number from 1 to 10000', 'e or classes')
        """
        if self.choices:
            *others, last = (*self.choices, *(["a path"] if self.or_path else []))
            return f"{', '.join(others)} or {last}"
        if self.kind in (int, float):
            number = "a whole number" if self.kind is int else "a number"
            if math.isinf(self.most):
                return number
            bounds = f"above {self.least:g}, at most" if self.above else f"from {self.least:g} to"
            return f"{number} {bounds} {self.most:.12g}"
        words = {
            bool: "true or false",
            list: "a list such as [a, b]",
            dict: "a mapping such as {a: 1}",
        }
        return words.get(self.kind, "a text")

    def read(self, name: str, value: Any) -> Any:
        """Convert a value to the setting's type: a text is parsed, any other must have the type.

        Only lists and mappings are YAML, and what stands in them is text, read likewise.

        Raises:
            ValueError: naming the setting, and what it may be.

        Example:
            >>> SETTINGS["dataset"].read("dataset", "photos #1"), SETTINGS["k"].read("k", "010")
            ('photos #1', 10)
            >>> SETTINGS["training"].read("training", "{lr: 1e-3, augment: no}")
            {'lr': 0.001, 'augment': False}
        """
        try:
            return self._items(name, self._of_kind(value))
        except _Unfit as error:
            detail = f" ({error})" if str(error) else ""
            raise ValueError(
                f"parameter {name}: must be {self.wanted}, not {short(value)}{detail}"
            ) from error

    def _of_kind(self, value: Any) -> Any:
        if isinstance(value, str) and self.kind is not str:
            value = self._parse(value)
        if self.nothing and value in (None, "null", "~"):
            return None
        if type(value) is not self.kind and not (self.kind is float and type(value) is int):
            raise _Unfit
        if self.kind in (int, float):
            if not self.least <= value <= self.most or (self.above and value == self.least):
                raise _Unfit  # NaN too
            return self.kind(value)
        if self.choices and value not in self.choices:
            if not (self.or_path and value and os.path.exists(value)):  # noqa: PTH110 - any text
                raise _Unfit
            return str(Path(value).resolve())  # what reads it may run elsewhere
        return value

    def _parse(self, text: str) -> Any:
        if self.kind is bool:
            return _BOOLEANS.get(text.lower())
        if self.kind in (list, dict):
            try:
                return read_yaml(text)
            except ValueError as error:
                raise _Unfit(str(error)) from error
        if not text.isascii() or "_" in text:  # Python's own spellings of numbers
            raise _Unfit
        try:
            return self.kind(text)
        except ValueError as error:
            raise _Unfit from error

    def _items(self, name: str, value: Any) -> Any:
        """Read what a list or a mapping holds."""
        if value is None:
            return None
        if self.kind is list:
            if not value:
                raise _Unfit("it is empty")
            if wrong := [item for item in value if not isinstance(item, str)]:
                raise _Unfit(f"{short(wrong[0])} is no text")
            if twice := [item for index, item in enumerate(value) if item in value[:index]]:
                raise _Unfit(f"{short(twice[0])} comes twice")
        if self.kind is dict:
            return read_settings(value, self.of or {}, name, within=f"{name}.")
        return value


class _Unfit(Exception):
    """A value that a setting cannot have, with a detail where there is one."""


_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
short = _SHORT.repr
"""`repr` cut to a line of an error."""

_MANY = 10**9
_SEED = Setting(int, "of everything random", 0, 2**31 - 1)

_TRAINING = {
    "iterations": Setting(int, "steps of SGD; 0 takes epochs", 0, _MANY),
    "epochs": Setting(float, "passes over the set", 0, 1e5, above=True),
    "batch_size": Setting(int, "images in a step", 1, 100_000),
    "lr": Setting(float, "learning rate of the pre-trained layers", 0, 100, above=True),
    "head_factor": Setting(float, "the new classifier learns this many times faster", 0, 10_000),
    "momentum": Setting(float, "of SGD", 0, 1),
    "weight_decay": Setting(float, "of SGD", 0, 1),
    "step": Setting(float, "share of the run after which rates drop; 0: never", 0, 1),
    "gamma": Setting(float, "the factor by which they drop", 0, 1, above=True),
    "head": Setting(str, "its own classifier, or WSCNet's", choices=("linear", "coupled")),
    "class_weights": Setting(bool, "weight classes by the inverse of their share"),
    "augment": Setting(bool, "random crops and mirror images"),
    "resize": Setting(float, "size before a random crop, in the network's", 1, 10),
    "precision": Setting(str, "of numbers", choices=("auto", "32-true", "bf16-mixed", "16-mixed")),
    "ema": Setting(float, "decay of a moving average of the weights; 0: none", 0, 1),
    "frozen_norm": Setting(bool, "keep the batch norms' pre-trained mean and variance"),
    "round": Setting(int, "steps between two validations; 0: a pass over the set", 0, _MANY),
    "patience": Setting(int, "rounds without gain before it stops; 0: never", 0, _MANY),
    "seed": _SEED,
    "workers": Setting(int, "processes that load images; -1 chooses", -1, 1024),
}

_READER = {
    "classes": Setting(str, "of sets of emotions", choices=("emotions", "polarity")),
    "tags": Setting(str, "of emoset: an attribute of its images; null: none", nothing=True),
    "agree": Setting(str, "of twitter1: how many of five agree", choices=("five", "four", "three")),
    "positive_from": Setting(float, "of oasis: least valence of a positive image", 1, 7),
    "negative_to": Setting(float, "of oasis: greatest valence of a negative image", 1, 7),
    "n_folds": Setting(int, "how many folds; 0: none", 0, 127),
    "held_out": Setting(bool, "of vso: only the first fold is tested"),
    "emotions": Setting(list, "the classes, in order"),
    "labels": Setting(bool, "of a folder: false takes all images without labels"),
    "image": Setting(str, "column of Arrow shards"),
    "label": Setting(str, "column of Arrow shards; null: none", nothing=True),
    "fold": Setting(str, "column of Arrow shards; null: none", nothing=True),
    "agreement": Setting(int, "of scenes-annotated: how many of five agree", 3, 5),
    "positive": Setting(float, "of scenes-folded: share of positive images", 0, 1),
    "n": Setting(int, "of synthetic scenes: how many", 1, 1_000_000),
    "seed": _SEED,
    "root": Setting(str, "the folder of a dataset by name"),
    "folds": Setting(str, "a file of folds"),
    "max_pixels": Setting(int, "width x height that an image may have", 1, _MANY),
}

SETTINGS: Mapping[str, Setting] = {
    # the method
    "k": Setting(int, "K, how many affective regions an image", 1, 10_000),
    "alpha": Setting(float, "of Eq. 2: the weight of the sentiment score", 0, 1000),
    "beta": Setting(float, "of Eq. 3: the weight of the regions", 0, 1000),
    "base": Setting(str, "of the logarithm in Eq. 1", choices=("e", "classes")),
    "max_regions": Setting(int, "N, how many proposals an image", 1, 10_000),
    # what is scored, by what
    "dataset": Setting(str, "images: a name (arlib data list), a table, or a folder"),
    "backbones": Setting(list, "networks, as arlib backbones lists them"),
    "backbone": Setting(str, "the network of the synthetic scenes"),
    "proposals": Setting(
        str, "how regions are proposed, such as edge_boxes or grid, or a file of boxes"
    ),
    "crop": Setting(str, "how regions are cropped", choices=("warp", "square")),
    "context": Setting(float, "padding around a region, as a share of its sides", 0, 10),
    "weights": Setting(str, "auto, random, or a safetensors file"),
    "finetune_on": Setting(
        list, "what networks learn from: none, shipped, auto, folds, or datasets"
    ),
    "training": Setting(dict, "of fine-tuning (arlib finetune --help)", of=_TRAINING),
    "anps": Setting(str, "the dataset of adjective-noun pairs, for SentiBank"),
    "caffenet": Setting(str, "the network in place of CaffeNet: alexnet is torchvision's"),
    "rows": Setting(str, "rows of Table 1 beside the scores", choices=("main", "controls", "all")),
    "reader": Setting(dict, "of the dataset's reader (arlib.datasets.load)", of=_READER),
    "precision": Setting(str, "of scoring", choices=("float32", "bf16", "auto")),
    "features": Setting(str, "of regions", choices=("crops", "shared")),
    "batch_size": Setting(int, "crops in one pass of scoring", 1, 100_000),
    "local_share": Setting(float, "share of the sentiment that objects carry", 0, 1),
    "scale": Setting(float, "size of the synthetic sets", 0, 10, above=True),
    "seed": _SEED,
    # what chapters show
    "run": Setting(str, "the run that is examined: a folder of results/, or computed live"),
    "runs": Setting(list, "the runs that are columns of Table 1"),
    "compared": Setting(list, "the runs of the chapter beyond the paper"),
    "truth": Setting(str, "whose objects count for recall", choices=("scenes", "coco_val64")),
    "network": Setting(
        str,
        "the explorer's classifier, a name or what was trained",
        choices=("auto", "efficientnet_lite0", "scenes"),
        or_path=True,
    ),
    "photographs": Setting(str, "whose photographs pages show", choices=("own", "all", "none")),
    "max_images": Setting(int, "images of the recall experiment", 1, 10_000),
}
"""Everything that an edition, `-p` and run.json may set."""

_FINETUNE = {
    "dataset": Setting(str, "what the network learns from: a name, a table, or a folder"),
    "hold_out": Setting(float, "the share that nothing learns from", 0, 0.5),
    "training": SETTINGS["training"],
}

PROTOCOL: Mapping[str, Setting] = {
    "backbone": Setting(str, "the network, as arlib backbones lists it"),
    "finetune": Setting(dict, "dataset, hold_out and training", of=_FINETUNE),
    "columns": Setting(list, "what is tested: datasets, and the held-out part"),
    "weights": SETTINGS["weights"],
    "pretrain": Setting(
        dict,
        "what networks learn first: dataset, hold_out and training",
        of=_FINETUNE,
        nothing=True,
    ),
    **{name: SETTINGS[name] for name in ("caffenet", "anps", "proposals")},
    "pairs": Setting(str, "a file that names SentiBank's pairs, one a line; empty: chosen"),
    **{name: SETTINGS[name] for name in ("max_regions", "crop", "context")},
    **{name: SETTINGS[name] for name in ("precision", "features", "batch_size")},
    "fit_on": Setting(int, "images that linear classifiers learn from; 0: other folds", 0, _MANY),
    "reader": SETTINGS["reader"],
    "rows": Setting(list, "rows of Table 1 beside the scores"),
    **{name: SETTINGS[name] for name in ("seed", "local_share", "scale")},
    "tested": Setting(int, "of synthetic scenes: images at scale 1 of a tested set", 1, 1_000_000),
}
"""What a protocol, `experiments.Protocol`, may set."""


def read_settings(
    values: Mapping[str, Any], table: Mapping[str, Setting], where: str, *, within: str = ""
) -> dict[str, Any]:
    """Convert each value to the type of its setting.

    Args:
        values: name -> value or text.
        table: the settings that there are here.
        where: what they are of, for errors.
        within: what an error puts before a name.

    Raises:
        ValueError: an unknown name, with the nearest; or a value that its setting cannot have.

    Example:
        >>> read_settings({"k": "3", "alpha": 2}, SETTINGS, "an edition")
        {'k': 3, 'alpha': 2.0}
    """
    read = {}
    for name, value in values.items():
        if name not in table:
            known = ", ".join(table)
            raise ValueError(
                f"no setting {short(name)} of {where}{near(name, table)}; there are {known}"
            )
        read[name] = table[name].read(within + name, value)
    return read


def near(name: object, names: Iterable[str]) -> str:
    """Suggest the nearest of some names, as a part of an error; "" where none is near.

    Example:
        >>> near("data", ["dataset", "k"]), near("data", ["k"])
        (' (did you mean dataset?)', '')
    """
    lower = {each.lower(): each for each in names}
    nearest = get_close_matches(str(name).lower(), lower, n=1)
    return f" (did you mean {lower[nearest[0]]}?)" if nearest else ""


_DEEPEST = 20


class _TextLoader(yaml.BaseLoader):
    """YAML whose scalars are texts; anchors, tags and repeated keys are errors."""

    depth = 0  # of the node that is read

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        for what in ("anchor", "tag"):
            if getattr(event, what, None) is not None:
                raise yaml.MarkedYAMLError(None, None, f"{what}s are not read", event.start_mark)
        if self.depth == _DEEPEST:
            raise yaml.MarkedYAMLError(None, None, "too many lists within lists", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value]
        for index, key in enumerate(keys):
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(None, None, "a key is no text", key.start_mark)
            if key.value in [earlier.value for earlier in keys[:index]]:
                problem = f"key {key.value!r} comes twice"
                raise yaml.MarkedYAMLError(None, None, problem, key.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(text: str | bytes) -> Any:
    """Read YAML as texts, lists and mappings: no text becomes a number, a date or a null.

    Raises:
        ValueError: it is not well formed, or has anchors, tags or a key twice: line and column.

    Example:
        >>> read_yaml("[010, no, 1:30, ~]")
        ['010', 'no', '1:30', '~']
    """
    try:
        return yaml.load(text, _TextLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(str(error).partition("\n")[0]) from error


def fits(value: Any, default: Any) -> bool:
    """Tell whether a value has its default's type: int serves as float, None stands for any.

    Example:
        >>> fits(1, 0.5), fits(1.0, 2), fits(True, 1), fits("a.yml", None)
        (True, False, False, True)
    """
    if default is None:
        return True
    return type(value) is type(default) or (type(default) is float and type(value) is int)


def check_settings(
    settings: Mapping[str, Any], defaults: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Return the settings if each has a default, and its type.

    Raises:
        ValueError: an unknown name, or a value of another type; it lists what there is.

    Example:
        >>> check_settings({"seed": 1}, {"seed": 0}, "a run")
        {'seed': 1}
    """
    for name, value in settings.items():
        if name not in defaults:
            raise ValueError(
                f"no setting {name!r} of {where}{near(name, defaults)}; "
                f"there are {', '.join(defaults)}"
            )
        if not fits(value, defaults[name]):
            raise ValueError(f"{name} must be {type(defaults[name]).__name__}, not {value!r}")
    return dict(settings)


def names_function(network: str) -> bool:
    """Tell whether a network's name is the import path of a function.

    Example:
        >>> names_function("my_nets:build"), names_function("timm:test_vit")
        (True, False)
    """
    return ":" in network and not network.startswith("timm:")
