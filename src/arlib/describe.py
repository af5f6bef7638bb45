"""A prediction for people: in words, and drawn over its picture."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib.prediction import Prediction


def write_overlay(image: np.ndarray, prediction: Prediction, path: Path) -> None:
    """Draw a prediction's regions over its picture, (H, W, 3) uint8 RGB, into a file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from arlib.figures import show_prediction

    path.parent.mkdir(parents=True, exist_ok=True)
    show_prediction(image, prediction).savefig(path, dpi=150, bbox_inches="tight")


def write_explorer(
    image: np.ndarray, scores: xr.Dataset, name: str, settings: dict[str, Any], path: Path
) -> None:
    """Write the explorer of a picture, (H, W, 3) uint8 RGB, and its scores as a page."""
    from arlib.explorer import explore

    explore(image, scores, title=name, alt=f"The picture {name}", **settings).save(path)


def described(path: Path, prediction: Prediction, made: dict[str, str | None]) -> str:
    """Say a prediction as people read it: label, probabilities, regions, what was made of them.

    Args:
        path: the picture.
        prediction: of it.
        made: "overlay" and "html" -> the file, or None.
    """
    first = next(iter(prediction.probability))
    lines = [f"{path}: {prediction.label}"]
    for name, of in (
        ("fused", prediction.probability),
        ("whole image", prediction.global_probability),
    ):
        shares = "  ".join(f"{emotion} {value:.3f}" for emotion, value in of.items())
        lines.append(f"  {name:<12} {shares}")
    lines.append(f"  region     x0    y0    x1    y1    obj  senti     AR  {first}")
    for number, region in enumerate(prediction.regions, 1):
        corners = " ".join(f"{edge:5.0f}" for edge in region.box)
        measures = (region.objectness, region.sentiment_score, region.affective_score)
        values = "  ".join(f"{value:.3f}" for value in (*measures, region.probability[first]))
        lines.append(f"  {number:>6}  {corners}  {values}")
    enough = "" if prediction.scored == prediction.proposed else "; no other can be among the K"
    lines.append(f"  scored {prediction.scored} of {prediction.proposed} proposed regions{enough}")
    lines += [
        f"  {said} {made[name]}"
        for name, said in (("overlay", "drawn in"), ("html", "to explore:"))
        if made[name] is not None
    ]
    return "\n".join(lines)
