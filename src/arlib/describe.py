"""A prediction for people: in words, and drawn over its picture."""

from pathlib import Path

import numpy as np

from arlib.prediction import Prediction


def write_overlay(image: np.ndarray, prediction: Prediction, path: Path) -> None:
    """Draw a prediction's regions over its picture, (H, W, 3) uint8 RGB, into a file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from arlib.figures import show_prediction

    path.parent.mkdir(parents=True, exist_ok=True)
    show_prediction(image, prediction).savefig(path, dpi=150, bbox_inches="tight")


def described(path: Path, prediction: Prediction, picture: Path | None) -> str:
    """Say a prediction as people read it: label, probabilities, regions, where they are drawn."""
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
    if picture is not None:
        lines.append(f"  drawn in {picture}")
    return "\n".join(lines)
