"""`arlib predict`: predictions for people, in words and drawn over the image."""

from __future__ import annotations

import hashlib
import io
import json
import mimetypes
import os
import re
import stat
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arlib.cli.options import ENGINE, FILE, MAX_PIXELS, MODEL, REGIONS, TRUST, WEIGHT, Finite

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from arlib.proposals import Proposals, Propose
    from arlib.scoring import Prediction

_OVERLAY, _PAGE = ".regions.png", ".explorer.html"

OF_1 = Finite(0, 1)

_MARKS = {_OVERLAY: b"Software\0Matplotlib", _PAGE: b'class="arlib-explorer'}
"""What stands in the first bytes of the files that this command writes."""


def _about(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the model card, and end."""
    if asked and not context.resilient_parsing:
        from arlib.networks import model_card

        click.echo(model_card(), nl=False)
        context.exit()


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--model", type=FILE, help=MODEL)
@TRUST
@click.option("--k", default=8, type=REGIONS, help="K, how many affective regions.")
@click.option("--alpha", default=1.0, type=WEIGHT, help="alpha of Eq. 2.")
@click.option("--beta", default=0.5, type=WEIGHT, help="beta of Eq. 3.")
@click.option("--min-sentiment", type=OF_1, help="Drop regions below it by Eq. 1; else none.")
@click.option("--nms", type=OF_1, help="Drop regions that overlap a better one by more.")
@click.option(
    "--regions",
    default="proposals",
    type=click.Choice(["proposals", "cam"]),
    help="Of a proposal method, or of the network's own class activation map.",
)
@click.option(
    "--proposals", help="Proposal method (edge_boxes), or X.csv or X.json: boxes of a file."
)
@click.option(
    "--max-regions", type=REGIONS, help="N, how many proposals (100), or regions of the map (8)."
)
@MAX_PIXELS
@ENGINE
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one an image.")
@click.option("--overlay", default=".", type=FILE, help="Folder for NAME.regions.png.")
@click.option("--no-overlay", is_flag=True, help="Draw no regions.")
@click.option("--html", is_flag=True, help="Also write NAME.explorer.html there, with sliders.")
@click.option(
    "--about",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_about,
    help="Print the default classifier's model card: its data, failures and limits.",
)
def predict(
    images: tuple[str, ...],
    model: Path | None,
    trusted: bool,
    regions: Any,
    proposals: str | None,
    max_regions: int | None,
    max_pixels: int,
    engine: Any,
    as_json: bool,
    overlay: Path,
    no_overlay: bool,
    html: bool,
    **settings: Any,
) -> None:
    """Predict each image's sentiment and the regions that carry it.

    The classifier is --model, or else EfficientNet-Lite0 (weights: ARLIB_DATA/weights/, or a
    package that is installed with this one) under a linear head fitted on OASIS, which ships with
    the package.

    NAME is the image's name without its type; where images share it, with type and folders:
    a-1.jpg.regions.png. An existing file is replaced only if this command wrote it, and such a file
    is skipped if it is given as an image. An image that cannot be read or drawn, or whose box in
    a file of boxes is not within it, does not end the batch, but the exit status is 1.
    """
    from arlib.datasets import ImageError, read_image
    from arlib.networks import load_predictor
    from arlib.proposals import bound, make_proposals
    from arlib.scoring import prediction_from_scores, score_image

    if regions == "cam" and proposals:
        raise click.UsageError(
            "give one of --proposals and --regions cam, whose regions are its own"
        )
    if html and any(settings[name] is not None for name in ("min_sentiment", "nms")):
        raise click.UsageError("--html ranks all regions: give no --nms and no --min-sentiment")
    if regions == "cam" and engine == "auto":
        engine = "torch"

    @cache
    def classifier() -> dict[str, Any]:
        trained = load_predictor(model, engine, trusted=trusted)
        own = {name: getattr(trained, name) for name in ("network", "head", "emotions")}
        most = {"max_regions": max_regions} if regions == "cam" and max_regions else {}
        return {**own, "engine": engine, "regions": regions, **most}

    if model is not None:  # the default's weights may have to be downloaded: for an image
        classifier()
    given = [text for text in images if not _written_here(Path(text))]
    if passed := len(images) - len(given):
        _complain(f"{passed} of the files were written by this command and are passed over")
    failed = not given
    names = names_apart(given)
    method = None
    if regions == "proposals":
        method = make_proposals(proposals or "edge_boxes", max_regions=max_regions or 100)
        method = bound(method, given) if given else method
    for text in given:
        path = Path(text)
        try:
            image = read_image(path, max_pixels=max_pixels)
            own = method and partial(_propose, method, text)
            scores = score_image(image, own, **classifier())
            prediction = prediction_from_scores(scores, **settings)
        except (ImageError, MemoryError) as error:
            way_out = _way_out(text) if isinstance(error, ImageError) else "too little memory"
            _complain(f"{text}: {way_out}" if way_out else str(error))
            failed = True
            continue
        files: dict[str, str | None] = {"overlay": None, "html": None}
        if not no_overlay:
            target = overlay / f"{names[text]}{_OVERLAY}"
            files["overlay"] = _written(target, write_overlay, image, prediction)
        if html:
            target = overlay / f"{names[text]}{_PAGE}"
            shown = {name: settings[name] for name in ("k", "alpha", "beta")}
            facts = (image, scores, path.name, shown)
            files["html"] = _written(target, write_explorer, *facts)
        failed |= (not no_overlay and not files["overlay"]) or (html and not files["html"])
        if as_json:
            record = {"image": str(path), **files, **prediction.to_dict()}
            click.echo(json.dumps(record, allow_nan=False))
        else:
            click.echo(described(path, prediction, files))
    if failed:
        sys.exit(1)


def _propose(method: Propose, text: str, image: np.ndarray) -> Proposals:
    """Propose boxes for an image that was given; where that fails it is this image's failure."""
    from arlib.datasets import ImageError
    from arlib.proposals import propose_named

    try:
        return propose_named(method, image, text)
    except ValueError as error:  # such as a box of a file that is not within the image
        raise ImageError(text, str(error)) from error


def names_apart(images: Sequence[str]) -> dict[str, str]:
    """Name images by their paths' stems, or by as much of the paths as makes the names differ.

    Names that some file systems hold to be the same are: those that differ by case alone.

    Example:
        >>> names_apart(["b/2.jpg", "a/1.jpg", "b/1.jpg"])
        {'b/2.jpg': '2', 'a/1.jpg': 'a-1.jpg', 'b/1.jpg': 'b-1.jpg'}
    """
    # `Path.resolve` would name a link's target
    places = {image: Path(os.path.abspath(image)) for image in images}  # noqa: PTH100
    folder = os.path.commonpath([place.parent for place in places.values()]) if places else ""

    def below(place: Path) -> str:
        return "-".join(place.relative_to(folder).parts)

    def digest(place: Path) -> str:
        return f"{below(place)}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"

    names: dict[Path, str] = {}
    left = set(places.values())
    for form in (lambda place: place.stem, lambda place: place.name, below, digest):
        names |= {place: form(place) for place in left}
        same = {place: unicodedata.normalize("NFC", names[place]).casefold() for place in names}
        count = Counter(same.values())
        left = {place for place in names if count[same[place]] > 1}
    return {image: names[place] for image, place in places.items()}


def write_overlay(image: np.ndarray, prediction: Prediction, path: Path) -> None:
    """Draw a prediction's regions over its image, (H, W, 3) uint8 RGB, into a file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from arlib._support.storage import write_atomic
    from arlib.figures import show_prediction

    content = io.BytesIO()
    show_prediction(image, prediction).savefig(content, dpi=150, bbox_inches="tight")
    write_atomic(path, content.getvalue())


def write_explorer(
    image: np.ndarray, scores: xr.Dataset, name: str, settings: dict[str, Any], path: Path
) -> None:
    """Write the explorer of an image, (H, W, 3) uint8 RGB, and its scores as a page."""
    from arlib.figures import explore
    from arlib.method import usable_base

    base = usable_base(scores.sizes["emotion"])
    title = click.format_filename(name)
    alt = f"The image {title}"
    explore(image, scores, title=title, alt=alt, base=base, **settings).save(path)


def _written_here(path: Path) -> bool:
    """Check by name and content whether this command has written a file."""
    marks = [mark for suffix, mark in _MARKS.items() if path.name.endswith(suffix)]
    try:
        if not marks or not path.is_file():
            return False
        with path.open("rb") as file:
            return marks[0] in file.read(4096)
    except OSError:
        return False


def _written(path: Path, write: Callable[..., None], *what: Any) -> str | None:
    """Write a file, and name it; None, with a line on stderr, where it cannot be written."""
    try:
        if path.exists() and path.stat().st_size and not _written_here(path):
            raise FileExistsError("a file of this name was not written by this command")
        if path.parent.exists() and not path.parent.is_dir():
            raise NotADirectoryError(f"{path.parent} is no folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(*what, path)
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "too little memory"
        _complain(f"{path} is not written: {reason}; --overlay FOLDER writes elsewhere")
        return None
    return str(path)


def _way_out(text: str) -> str | None:
    """Suggest what to give instead of a path that is no image, where that is known."""
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        return "an address: download the image, and give its file"
    if text == "-":
        return "standard input is not read: give a file"
    try:
        mode = Path(text).stat().st_mode
    except FileNotFoundError:
        return "no file matches this pattern" if re.search(r"[*?[]", text) else None
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return f"a folder: give its images, or `arlib score --images {text} --out scores.zarr`"
    if (mimetypes.guess_type(text)[0] or "").startswith("video/"):
        return "a video: give images out of it, such as of `ffmpeg -i VIDEO -frames:v 1 image.png`"
    return None


def _complain(text: str) -> None:
    click.echo(f"arlib: {text}", err=True)


def described(path: Path, prediction: Prediction, files: dict[str, str | None]) -> str:
    """Describe a prediction in lines: label, probabilities, regions, files ("overlay", "html")."""
    first = next(iter(prediction.probability))
    if len(prediction.probability) > 2:
        first = prediction.label
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
