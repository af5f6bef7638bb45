"""Your own photograph: the classifiers for it, and the widget that takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from arlib import proposals
from arlib._support.progress import has_reader
from arlib.datasets import ImageError, read_image
from arlib.experiments import Protocol, network_words
from arlib.figures.explorer import explore
from arlib.method import usable_base
from arlib.networks import (
    Backbone,
    LinearHead,
    load_backbone,
    load_model,
    weights_at_hand,
)
from arlib.proposals import Propose
from arlib.scoring import score_image

if TYPE_CHECKING:
    from IPython.display import Markdown
    from ipywidgets import VBox

METHODS = ("edge_boxes", "selective_search", "grid", "saliency")
"""Proposal methods that the widget offers."""

_NOTE = """This page has no running kernel, so it cannot accept a photograph. Open the chapter in
JupyterLab (`make lab`) and run all cells; or, without a notebook: `arlib predict --html photo.jpg`.
"""


@dataclass(frozen=True)
class Classifier:
    """A network, its head if its own classes are not the emotions, and a description of it."""

    description: str
    network: Backbone
    head: LinearHead | None = None
    emotions: tuple[str, ...] = ("positive", "negative")  # without a head

    def scores(self, image: np.ndarray, propose: Propose) -> xr.Dataset:
        """Score an image, (H, W, 3) uint8 RGB, and its proposals: scores of one image."""
        return score_image(image, propose, self.network, head=self.head, emotions=self.emotions)


def load_classifier(which: str, settings: Protocol) -> Classifier:
    """Load a classifier of single images; nothing is downloaded unless it is asked for by name.

    Args:
        which: "scenes", the network of the synthetic scenes, trained where it is not in the cache;
            "efficientnet_lite0", the package's default for photographs;
            "auto", the latter where its weights are on this machine, else the former; or what was
            trained, by its path, as `arlib.networks.load_model` takes it.
        settings: of the protocol on synthetic scenes; those of chapter 2 share its network.

    Returns:
        The classifier; its `description` names the network.

    Raises:
        ValueError: no such choice, or as `arlib.networks.load_model` raises.
        WeightsError: the weights were asked for and are not available.

    Example:
        >>> from arlib.experiments import scenes_protocol
        >>> load_classifier("vgg16", scenes_protocol())
        Traceback (most recent call last):
        ...
        ValueError: network must be "auto", "efficientnet_lite0", "scenes" or a model's path, not...
    """
    head = LinearHead.default()
    if which not in ("auto", head.backbone, "scenes"):
        if not Path(which).exists():
            raise ValueError(
                f'network must be "auto", "{head.backbone}", "scenes" or a model\'s path, '
                f"not {which!r}"
            )
        model = load_model(which)
        return Classifier(model.description, model.network, model.head, model.emotions)
    if which == "scenes" or (which == "auto" and not weights_at_hand(head.backbone)):
        network = settings.stages(progress=False).network
        return Classifier(network_words(settings.backbone, "scenes-tagged"), network)
    description = network_words(head.backbone, "shipped")
    return Classifier(description, load_backbone(head.backbone), head)


def upload_widget(
    classifiers: Mapping[str, Classifier], *, max_regions: int = 100, **settings: Any
) -> "VBox | Markdown":
    """Create the widget that takes a photograph and shows its explorer; it needs a running kernel.

    The photograph stays in the kernel's memory; a temporary file holds it while it is decoded. A
    notebook that a program executes, as for a page of the book, gets a note instead; see `knobs`.

    Args:
        classifiers: name to choose by -> classifier, from `load_classifier`; the first is chosen.
        max_regions: N to begin with.
        settings: where the explorer's sliders begin, as `explore` takes them.

    Returns:
        Upload, choices, a line of status, and the explorer; or the note.

    Raises:
        ImportError: ipywidgets is not installed.

    Example:
        >>> network = load_backbone("squeezenet1_1", classes=2, weights="random")
        >>> widget = upload_widget({"a guess": Classifier("random weights", network)})
        >>> [type(part).__name__ for part in widget.children]
        ['FileUpload', 'Dropdown', 'Dropdown', 'IntSlider', 'Label', 'Output']
    """
    if has_reader() is False:
        from IPython.display import Markdown

        return Markdown(_NOTE)
    import ipywidgets as widgets

    # the controls, a line of status, and the place of the explorer
    layout = {"style": {"description_width": "7em"}, "layout": {"width": "28em"}}
    upload = widgets.FileUpload(accept="image/*", description="Photograph")
    classifier = widgets.Dropdown(options=list(classifiers), description="Network", **layout)
    method = widgets.Dropdown(options=METHODS, description="Proposals", **layout)
    most = widgets.IntSlider(
        max_regions, 1, 300, description="N, at most", continuous_update=False, **layout
    )
    status = widgets.Label("Choose a photograph; it stays on this machine.")
    output = widgets.Output()

    def update(_change: Any = None) -> None:
        """Decode, propose, score, and show the explorer."""
        if not upload.value:
            return
        file = upload.value[0]
        status.value = f"{file['name']}: proposing and scoring …"
        output.outputs = ()
        try:
            image = _decoded(file["content"])
        except ImageError as error:
            status.value = f"{file['name']}: {error.reason}"
            return
        chosen = classifiers[classifier.value]
        scores = chosen.scores(
            image, proposals.make_proposals(method.value, max_regions=most.value)
        )
        regions = int(scores.objectness.notnull().sum())
        status.value = f"{file['name']}: {regions} regions, predicted by {chosen.description}"
        usable = usable_base(scores.sizes["emotion"])
        base = {"base": usable} if usable != "e" else {}  # "e" is for two emotions
        how = {"title": file["name"], "alt": "Your photograph", **settings, **base}
        explorer = explore(image, scores, **how)
        output.append_display_data(explorer)

    for widget in (upload, classifier, method, most):
        widget.observe(update, "value")
    return widgets.VBox([upload, classifier, method, most, status, output])


def _decoded(content: memoryview) -> np.ndarray:
    with TemporaryDirectory() as folder:
        path = Path(folder, "photograph")
        path.write_bytes(content)
        return read_image(path)
