"""Your own photograph: who can judge it here, and the widget that takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from arlib import proposals
from arlib.datasets import ImageError, read_image
from arlib.experiments import SyntheticProtocol, fine_tune
from arlib.figures.explorer import explore
from arlib.networks import Backbone, LinearHead, default_head, load_backbone, weights_at_hand
from arlib.proposals import Propose
from arlib.scoring import score_picture

if TYPE_CHECKING:
    from ipywidgets import VBox


METHODS = ("edge_boxes", "selective_search", "grid", "saliency")
"""Proposal methods that the widget offers."""


@dataclass(frozen=True)
class Classifier:
    """A network that judges pictures, and what it is.

    Attributes:
        said: which network this is, in a few words.
        network: the network.
        head: on its features; None takes its own classes, positive and negative.
    """

    said: str
    network: Backbone
    head: LinearHead | None = None

    def scores(self, image: np.ndarray, propose: Propose) -> xr.Dataset:
        """Score a picture, (H, W, 3) uint8 RGB, and its proposals: scores of one image."""
        return score_picture(image, network=self.network, head=self.head, proposals=propose)


def scenes_classifier(settings: SyntheticProtocol) -> Classifier:
    """Take the network of the synthetic scenes, trained live where it is not kept yet.

    Args:
        settings: of the chain; those of chapter 2 share its network.
    """
    network, _ = fine_tune(settings, progress=False)
    return Classifier(f"{settings.backbone}, fine-tuned on tagged scenes", network)


def photograph_classifier(which: str, settings: SyntheticProtocol) -> Classifier:
    """Take a network for photographs; nothing is downloaded unless it is asked for by name.

    Args:
        which: "squeezenet1_1", the package's default, downloaded where it is missing; "scenes",
            the synthetic scenes's network; "auto", the former where its weights are at hand, else
            the latter. `Classifier.said` tells which it was.
        settings: of the synthetic scenes.

    Raises:
        ValueError: no such choice.
        WeightsError: the weights were asked for and cannot be had.

    Example:
        >>> photograph_classifier("vgg16", SyntheticProtocol())
        Traceback (most recent call last):
        ...
        ValueError: network must be "auto", "squeezenet1_1" or "scenes", not 'vgg16'
    """
    head = default_head()
    if which not in ("auto", head.backbone, "scenes"):
        raise ValueError(f'network must be "auto", "{head.backbone}" or "scenes", not {which!r}')
    if which == "scenes" or (which == "auto" and not weights_at_hand(head.backbone)):
        return scenes_classifier(settings)
    said = f"{head.backbone}, frozen, under a linear head fitted on OASIS"
    return Classifier(said, load_backbone(head.backbone), head)


def upload_widget(
    classifiers: Mapping[str, Classifier], *, max_regions: int = 100, **settings: Any
) -> "VBox":
    """Make the widget that takes a photograph and shows its explorer; it needs a live kernel.

    The photograph stays in the kernel's memory; a temporary file holds it while it is decoded.

    Args:
        classifiers: name to choose by -> judge; the first is chosen.
        max_regions: N to begin with.
        settings: where the explorer's sliders begin, as `explore` takes them.

    Returns:
        Upload, choices, a line that says what was done, and the explorer.

    Raises:
        ImportError: ipywidgets is not installed.

    Example:
        >>> network = load_backbone("squeezenet1_1", classes=2, weights="random")
        >>> made = upload_widget({"a guess": Classifier("random weights", network)})
        >>> [type(part).__name__ for part in made.children]
        ['FileUpload', 'Dropdown', 'Dropdown', 'IntSlider', 'Label', 'Output']
    """
    import ipywidgets as widgets

    layout = {"style": {"description_width": "7em"}, "layout": {"width": "28em"}}
    upload = widgets.FileUpload(accept="image/*", description="Photograph")
    who = widgets.Dropdown(options=list(classifiers), description="Network", **layout)
    how = widgets.Dropdown(options=METHODS, description="Proposals", **layout)
    most = widgets.IntSlider(
        max_regions, 1, 300, description="N, at most", continuous_update=False, **layout
    )
    told, shown = widgets.Label("Choose a photograph; it stays on this machine."), widgets.Output()

    def judge(_change: Any = None) -> None:
        if not upload.value:
            return
        file = upload.value[0]
        told.value = f"{file['name']}: proposing and scoring …"
        shown.outputs = ()
        try:
            image = _decoded(file["content"])
        except ImageError as error:
            told.value = f"{file['name']}: {error.reason}"
            return
        chosen = classifiers[who.value]
        scores = chosen.scores(image, proposals.make_proposals(how.value, max_regions=most.value))
        found = int(scores.objectness.notnull().sum())
        told.value = f"{file['name']}: {found} regions, judged by {chosen.said}"
        made = explore(image, scores, title=file["name"], alt="Your photograph", **settings)
        shown.append_display_data(made)

    for widget in (upload, who, how, most):
        widget.observe(judge, "value")
    return widgets.VBox([upload, who, how, most, told, shown])


def _decoded(content: memoryview) -> np.ndarray:
    with TemporaryDirectory() as folder:
        path = Path(folder, "photograph")
        path.write_bytes(content)
        return read_image(path)
