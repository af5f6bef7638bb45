"""The explorer: a picture and the scores of its regions as one HTML element that asks no server."""

import io
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from PIL import Image

from arlib.method import predict_labels

if TYPE_CHECKING:
    from arlib.scoring import Prediction


LONGEST = 800
"""The longer side of an embedded picture, at most, in pixels."""


_BYTES = 250_000  # of an embedded picture


_NOTE = "Sliders that rank the regions anew need JavaScript."


@dataclass(frozen=True)
class Explorer:
    """An interactive element; a notebook shows it.

    Attributes:
        title: above it, and the name of a saved page.
        html: the element: a picture, facts and a script, self-contained.
    """

    title: str
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html

    def save(self, path: str | Path) -> Path:
        """Write a whole page that loads nothing else.

        Args:
            path: of the file, in a folder that is made where it is missing.

        Returns:
            The file.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        head, tail = _asset("explorer_page.html").split("EXPLORER")
        head = head.replace("TITLE", escape(self.title))
        path.write_text(head + self.html + tail, encoding="utf-8")
        return path


def explore(
    image: np.ndarray,
    scores: "xr.Dataset | Prediction",
    *,
    k: int = 8,
    alpha: float = 1.0,
    beta: float = 0.5,
    base: str = "e",
    rank_by: str = "both",
    title: str = "Affective regions",
    alt: str = "The picture",
) -> Explorer:
    """Make an element in which sliders rank one picture's regions anew, by Eq. 1 to 3.

    Its arithmetic is that of `arlib.method.predict_labels`, in float64. It is moved by mouse, touch
    and keyboard, speaks to screen readers, and follows a dark page.

    Args:
        image: (H, W, 3) uint8 RGB; it is embedded with its longer side at most `LONGEST` pixels.
        scores: of this one image, as `arlib.scoring.score_image` gives them; or a `Prediction`
            that holds all N regions, where of equal regions the better ranked comes first.
        k: K to begin with, >= 1; the slider ends at N.
        alpha: of Eq. 2 to begin with, >= 0.
        beta: of Eq. 3 to begin with, >= 0.
        base: of Eq. 1's logarithm to begin with, "e" or "classes".
        rank_by: "both", "objectness" or "sentiment" to begin with.
        title: text above the picture.
        alt: what the picture shows, for those who do not see it.

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
        >>> made = explore(np.zeros((9, 9, 3), np.uint8), scores, k=1, title="Nine pixels")
        >>> made
        Explorer(title='Nine pixels')
        >>> "positive, 58.3 %" in made.html
        True
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if base not in ("e", "classes"):
        raise ValueError(f'the explorer knows the bases "e" and "classes", not {base!r}')
    scores = scores if isinstance(scores, xr.Dataset) else _scores_of(scores)
    if scores.sizes["image"] != 1:
        raise ValueError(f"scores must be of one image, not of {scores.sizes['image']}")
    settings = {"k": int(k), "alpha": float(alpha), "beta": float(beta), "base": base}
    first = predict_labels(scores, k, alpha=alpha, beta=beta, base=base, rank_by=rank_by).isel(
        image=0
    )
    one = scores.isel(image=0)
    there = one.objectness.notnull().values
    emotions = [str(name) for name in one.emotion.values]
    facts = {
        "title": title,
        "emotions": emotions,
        "size": [image.shape[1], image.shape[0]],
        "whole": one.global_probability.values.tolist(),
        "boxes": one.box.values[there].astype(float).round(1).tolist(),
        "objectness": one.objectness.values[there].tolist(),
        "probability": one.region_probability.values[there].tolist(),
        "settings": {**settings, "rankBy": rank_by},
    }
    label = int(first.label)
    said = f"{emotions[label]}, {100 * float(first.probability[label]):.1f} %"
    return Explorer(title, _element(_embedded(image), alt, f"{title}: {said}. {_NOTE}", facts))


def _scores_of(prediction: "Prediction") -> xr.Dataset:
    emotions = list(prediction.global_probability)
    regions = prediction.regions
    said = [[region.probability[name] for name in emotions] for region in regions]
    whole = [prediction.global_probability[name] for name in emotions]
    return xr.Dataset(
        {
            "objectness": (("image", "region"), [[region.objectness for region in regions]]),
            "box": (
                ("image", "region", "corner"),
                np.array([region.box for region in regions], float).reshape(1, -1, 4),
            ),
            "region_probability": (
                ("image", "region", "emotion"),
                np.array(said, float).reshape(1, -1, len(emotions)),
            ),
            "global_probability": (("image", "emotion"), [whole]),
        },
        coords={"emotion": emotions},
    )


def _element(picture: str, alt: str, caption: str, facts: Mapping[str, Any]) -> str:
    """A figure that stands by itself, and the script that takes its place."""
    scripts = ("explorer_method.js", "explorer_plane.js", "explorer.js")
    code = "".join(map(_asset, scripts))
    view = ", ".join(_inert(_asset(name)) for name in ("explorer.html", "explorer.css"))
    return (
        '<div class="arlib-explorer tex2jax_ignore mathjax_ignore"'
        ' data-lm-suppress-shortcuts="true">'  # or JupyterLab takes the sliders' arrow keys
        f'<figure style="margin: 0"><img src="{picture}" alt="{escape(alt)}"'
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
    """The picture as a data URI: PNG where that is small, else the best JPEG that is."""
    picture = Image.fromarray(image)
    picture.thumbnail((LONGEST, LONGEST))
    ways: list[tuple[str, dict[str, int]]] = [("png", {})]
    ways += [("jpeg", {"quality": quality}) for quality in (85, 70, 50, 30, 10)]
    for kind, how in ways:
        file = io.BytesIO()
        picture.save(file, kind, **how)
        if len(file.getvalue()) <= (_BYTES if kind == "jpeg" else _BYTES // 10):
            break
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"
