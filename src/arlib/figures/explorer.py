"""The explorer: an image and the scores of its regions as one HTML element without a server."""

import io
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from arlib._support.storage import write_atomic
from arlib.method import predict_labels

LONGEST = 800
"""The longer side of an embedded image, at most, in pixels."""

_BYTES = 250_000  # of an embedded image
_NOTE = "Sliders that rank the regions anew need JavaScript."


@dataclass(frozen=True)
class Explorer:
    """An interactive element; a notebook shows it, and `title` names a saved page."""

    title: str
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html

    def save(self, path: str | Path) -> Path:
        """Write a self-contained page into a file, whose folder is created where it is missing."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        head, tail = _asset("explorer_page.html").split("EXPLORER")
        head = head.replace("TITLE", escape(self.title))
        write_atomic(path, head + self.html + tail)
        return path


def explore(
    image: np.ndarray,
    scores: xr.Dataset,
    *,
    k: int = 8,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: str = "e",
    rank_by: str = "both",
    title: str = "Affective regions",
    alt: str = "The image",
) -> Explorer:
    """Create an element in which sliders rank one image's regions anew, by Eq. 1 to 3.

    Its arithmetic is that of `arlib.method.predict_labels`, in float64. It is operated by mouse,
    touch, keyboard and screen reader, and follows a dark page.

    Args:
        image: (H, W, 3) uint8 RGB; it is embedded with its longer side at most `LONGEST` pixels.
        scores: of this one image and all of its N regions.
        k: K to begin with, >= 1; the slider ends at N.
        alpha: of Eq. 2 to begin with, >= 0.
        beta: of Eq. 3 to begin with, >= 0.
        base: of Eq. 1's logarithm to begin with, "e" or "classes".
        rank_by: "both", "objectness" or "sentiment" to begin with.
        title: text above the image.
        alt: a description of the image, for those who do not see it.

    Returns:
        The element; a notebook shows it, `Explorer.save` writes it as a page.

    Raises:
        ValueError: an image or a base of another kind, scores of several images, or a setting that
            `arlib.method.predict_labels` refuses, such as base "e" with more than two emotions.

    Example:
        >>> scores = xr.Dataset({
        ...     "objectness": (("image", "region"), [[0.5, 0.4]]),
        ...     "box": (("image", "region", "corner"), [[[0, 0, 9, 9], [2, 2, 5, 5]]]),
        ...     "region_probability": (("image", "region", "emotion"), [[[0.5, 0.5], [1.0, 0.0]]]),
        ...     "global_probability": (("image", "emotion"), [[0.375, 0.625]]),
        ... }, coords={"emotion": ["positive", "negative"]})
        >>> explorer = explore(np.zeros((9, 9, 3), np.uint8), scores, k=1, title="Nine pixels")
        >>> explorer
        Explorer(title='Nine pixels')
        >>> "positive, 58.3 %" in explorer.html
        True
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if base not in ("e", "classes"):
        raise ValueError(f'the explorer has the bases "e" and "classes", not {base!r}')
    if scores.sizes["image"] != 1:
        raise ValueError(f"scores must be of one image, not of {scores.sizes['image']}")
    # the prediction by the settings to begin with, for readers without JavaScript
    fused = predict_labels(scores, k, alpha=alpha, beta=beta, base=base, rank_by=rank_by)
    emotions = [str(name) for name in scores.emotion.values]
    label, probability = int(fused.label[0]), float(fused.probability[0].max())
    caption = f"{title}: {emotions[label]}, {100 * probability:.1f} %. {_NOTE}"
    # what the script reads
    regions = scores.isel(image=0, region=scores.objectness.notnull().values[0])
    settings = {"k": int(k), "alpha": float(alpha), "beta": float(beta), "base": base}
    facts = {
        "title": title,
        "emotions": emotions,
        "size": [image.shape[1], image.shape[0]],
        "global": scores.global_probability.values[0].tolist(),
        "boxes": regions.box.values.astype(float).round(1).tolist(),
        "objectness": regions.objectness.values.tolist(),
        "probability": regions.region_probability.values.tolist(),
        "settings": {**settings, "rankBy": rank_by},
    }
    return Explorer(title, _element(_embedded(image), alt, caption, facts))


def _element(source: str, alt: str, caption: str, facts: Mapping[str, Any]) -> str:
    """A static figure, and the script that replaces it."""
    scripts = ("explorer_method.js", "explorer_plane.js", "explorer.js")
    code = "".join(map(_asset, scripts))
    view = ", ".join(_inert(_asset(name)) for name in ("explorer.html", "explorer.css"))
    return (
        '<div class="arlib-explorer tex2jax_ignore mathjax_ignore"'
        ' data-lm-suppress-shortcuts="true">'  # or JupyterLab takes the sliders' arrow keys
        f'<figure style="margin: 0"><img src="{source}" alt="{escape(alt)}"'
        f' style="max-width: 100%"><figcaption>{escape(caption)}</figcaption></figure>'
        f'<script type="application/json">{_inert(facts)}</script></div>\n'
        f"<script>(() => {{\n{code}startExplorers({view});\n}})();</script>"
    )


def _inert(value: Any) -> str:
    """JSON in which no tag can begin or end."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _embedded(image: np.ndarray) -> str:
    """The image as a data URI: PNG where that is small, else the best JPEG that is."""
    embedded = Image.fromarray(image)
    embedded.thumbnail((LONGEST, LONGEST))
    encodings: list[tuple[str, dict[str, int]]] = [("png", {})]
    encodings += [("jpeg", {"quality": quality}) for quality in (85, 70, 50, 30, 10)]
    for kind, settings in encodings:
        file = io.BytesIO()
        embedded.save(file, kind, **settings)
        if len(file.getvalue()) <= (_BYTES if kind == "jpeg" else _BYTES // 10):
            break
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"
