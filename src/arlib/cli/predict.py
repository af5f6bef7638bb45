"""`arlib predict`: predictions for people, in words and drawn over the image."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arlib.cli.options import FILE, MAX_PIXELS, WEIGHT, N

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from arlib.scoring import Prediction


@click.command()
@click.argument("images", nargs=-1, required=True, type=FILE, metavar="IMAGE...")
@click.option("--k", default=8, type=N, help="K, how many affective regions.")
@click.option("--alpha", default=1.0, type=WEIGHT, help="alpha of Eq. 2.")
@click.option("--beta", default=0.5, type=WEIGHT, help="beta of Eq. 3.")
@click.option("--max-regions", default=100, type=N, help="N, how many proposals.")
@MAX_PIXELS
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one an image.")
@click.option("--overlay", default=".", type=FILE, help="Folder for NAME.regions.png.")
@click.option("--no-overlay", is_flag=True, help="Draw no regions.")
@click.option("--html", is_flag=True, help="Also write NAME.explorer.html there: move the sliders.")
def predict(
    images: tuple[Path, ...],
    max_regions: int,
    max_pixels: int,
    as_json: bool,
    overlay: Path,
    no_overlay: bool,
    html: bool,
    **settings: Any,
) -> None:
    """Predict each image's sentiment and the regions that carry it.

    The classifier is SqueezeNet 1.1 as torchvision publishes it (ARLIB_DATA/weights/, or
    downloaded), under a linear head fitted on OASIS that ships with the package.
    """
    from arlib.datasets import ImageError, read_image
    from arlib.proposals import EdgeBoxes
    from arlib.scoring import prediction_from_scores, score_image

    method = EdgeBoxes(max_regions=max_regions)
    failed = 0
    for path in images:
        try:
            image = read_image(path, max_pixels=max_pixels)
        except ImageError as error:
            click.echo(f"arlib: {error}", err=True)
            failed += 1
            continue
        scores = score_image(image, proposals=method)
        prediction = prediction_from_scores(scores, **settings)
        files: dict[str, str | None] = {"overlay": None, "html": None}
        if not no_overlay:
            drawing = overlay / f"{path.stem}.regions.png"
            write_overlay(image, prediction, drawing)
            files["overlay"] = str(drawing)
        if html:
            page = overlay / f"{path.stem}.explorer.html"
            write_explorer(image, scores, path.name, settings, page)
            files["html"] = str(page)
        if as_json:
            click.echo(json.dumps({"image": str(path), **files, **prediction.to_dict()}))
        else:
            click.echo(described(path, prediction, files))
    if failed:
        sys.exit(1)


def write_overlay(image: np.ndarray, prediction: Prediction, path: Path) -> None:
    """Draw a prediction's regions over its image, (H, W, 3) uint8 RGB, into a file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from arlib.figures import show_prediction

    path.parent.mkdir(parents=True, exist_ok=True)
    show_prediction(image, prediction).savefig(path, dpi=150, bbox_inches="tight")


def write_explorer(
    image: np.ndarray, scores: xr.Dataset, name: str, settings: dict[str, Any], path: Path
) -> None:
    """Write the explorer of an image, (H, W, 3) uint8 RGB, and its scores as a page."""
    from arlib.figures import explore

    explore(image, scores, title=name, alt=f"The image {name}", **settings).save(path)


def described(path: Path, prediction: Prediction, files: dict[str, str | None]) -> str:
    """Describe a prediction in lines: label, probabilities, regions, files ("overlay", "html")."""
    first = next(iter(prediction.probability))
    lines = [f"{path}: {prediction.label}"]
    for name, probability in (
        ("fused", prediction.probability),
        ("full image", prediction.global_probability),
    ):
        shares = "  ".join(f"{emotion} {value:.3f}" for emotion, value in probability.items())
        lines.append(f"  {name:<12} {shares}")
    lines.append(f"  region     x0    y0    x1    y1    obj  senti     AR  {first}")
    for number, region in enumerate(prediction.regions, 1):
        corners = " ".join(f"{edge:5.0f}" for edge in region.box)
        measures = (region.objectness, region.sentiment_score, region.affective_score)
        values = "  ".join(f"{value:.3f}" for value in (*measures, region.probability[first]))
        lines.append(f"  {number:>6}  {corners}  {values}")
    for name, text in (("overlay", "drawn in"), ("html", "to explore:")):
        if files[name] is not None:
            lines.append(f"  {text} {files[name]}")
    return "\n".join(lines)
