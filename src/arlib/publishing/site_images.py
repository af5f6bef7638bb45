"""Prepare a site's images: a dark form beside each light figure, thumbnails, WebP for PNG."""

import re
import shutil
from base64 import b64decode
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image

from arlib.figures import DARK
from arlib.publishing.editions import chapter_paths

THUMBNAIL = "thumbnail"
"""The tag of the cell whose figure stands for its chapter; without one the first figure does."""

THUMBNAILS = "thumbnails"
"""The folder of thumbnails in a staged book, beside its chapters."""

QUALITY = 92
"""Of an image that is not kept pixel for pixel; 100 is the most."""

_DARK = "dark"  # the staged book's folder of dark forms, under the names of the light ones
_WIDTH = 640  # pixels: a card is half as wide, and some screens have two pixels for one
_WORTH = 0.5  # an image that is this much smaller with loss is a photograph, or holds some
_IMAGE = re.compile(r'<img\b[^>]*\bsrc="([^"]*_images/([^"/]+))"[^>]*>')
_PNG = re.compile(r"_images/([^\"'#?/]+)\.png")


@dataclass(frozen=True)
class ChapterFigure:
    """A figure among a chapter's outputs; `chosen` if its cell has the tag `THUMBNAIL`."""

    png: bytes
    alt: str
    chosen: bool

    @property
    def name(self) -> str:
        """Of its image in the site: MyST-NB names an image by its content."""
        return f"{sha256(self.png).hexdigest()}.png"


def figures_in(notebook: nbformat.NotebookNode) -> Iterator[tuple[ChapterFigure, dict[str, str]]]:
    """Find the figures of an executed chapter, each with the forms that its output holds."""
    for cell in notebook.cells:
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        chosen = THUMBNAIL in cell.metadata.get("tags", [])
        for output in cell.get("outputs", []):
            forms = output.get("data", {})
            if "image/png" in forms:
                yield ChapterFigure(b64decode(forms["image/png"]), alt, chosen), forms


def extract_dark_figures(stage: Path) -> None:
    """Move the dark forms of figures out of a staged book's executed chapters, into files.

    Readers who download a chapter have no use for them, and MyST-NB does not know their type.
    """
    folder = stage / _DARK
    folder.mkdir(exist_ok=True)
    for chapter in chapter_paths(stage):
        notebook = nbformat.read(stage / chapter, as_version=4)
        dark = [
            (figure, forms.pop(DARK)) for figure, forms in figures_in(notebook) if DARK in forms
        ]
        for figure, png in dark:
            (folder / figure.name).write_bytes(b64decode(png))
        if dark:
            nbformat.write(notebook, stage / chapter)


def gallery_page(stage: Path) -> str:
    """Write a page of cards in MyST Markdown, one a chapter, with a thumbnail of its figure.

    Thumbnails are put beside the chapters; dark forms have been extracted.
    """
    lines = ["::::{grid} 1 2 2 3", ":gutter: 3"]
    for chapter in chapter_paths(stage):
        notebook = nbformat.read(stage / chapter, as_version=4)
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        heading = re.search(r"^# (.+)$", text, re.MULTILINE)
        title = heading[1] if heading else chapter.stem
        lines += ["", f":::{{grid-item-card}} {title}", f":link: {chapter.stem}", ":link-type: doc"]
        figures = [figure for figure, _ in figures_in(notebook)]
        if figures:
            figure = max(figures, key=lambda figure: figure.chosen)  # the first of equals
            name = _write_thumbnail(stage, chapter, figure)
            lines += [f":img-top: {THUMBNAILS}/{name}", f":img-alt: {figure.alt or title}"]
        lines.append(":::")
    return "\n".join([*lines, "::::", ""])


def _write_thumbnail(stage: Path, chapter: Path, figure: ChapterFigure) -> str:
    """Write the small forms of a chapter's figure, and return the name of the light one."""
    folder = stage / chapter.parent / THUMBNAILS
    folder.mkdir(exist_ok=True)
    name = f"{chapter.stem}.png"
    (folder / name).write_bytes(_small(figure.png))
    if (dark := stage / _DARK / figure.name).is_file():
        dark.with_name(name).write_bytes(_small(dark.read_bytes()))
    return name


def _small(png: bytes) -> bytes:
    """Scale an image down to at most `_WIDTH` pixels, or the top of one that is higher than wide.

    A card is twice as wide as high: all of a tall figure would be a narrow strip in it.
    """
    image = Image.open(BytesIO(png)).convert("RGB")
    if image.height > image.width:
        image = image.crop((0, 0, image.width, image.width // 2))
    image.thumbnail((_WIDTH, _WIDTH))
    file = BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def copy_dark_images(stage: Path, site: Path) -> dict[str, tuple[int, int]]:
    """Copy the dark forms of a site's images beside them: name of the light one -> pixels."""
    sizes = {}
    for dark in (stage / _DARK).glob("*.png"):
        if (site / "_images" / dark.name).is_file():
            shutil.copy(dark, site / "_images" / _dark_name(dark.name))
            with Image.open(dark) as image:
                sizes[dark.name] = image.size
    return sizes


def add_dark_images(page: str, sizes: Mapping[str, tuple[int, int]]) -> str:
    """Put the dark form beside each image that has one, by the theme's own classes.

    Dark forms are not loaded until they are visible; their width and height keep their place.
    """

    def both(match: re.Match[str]) -> str:
        light, address, name = match[0], match[1], match[2]
        if name not in sizes:
            return light
        width, height = sizes[name]
        dark_address = address.removesuffix(name) + _dark_name(name)
        dark = light.replace(f'src="{address}"', f'src="{dark_address}"').rstrip("/> ")
        dark += f' width="{width}" height="{height}" loading="lazy" />'
        return _with_class(light, "only-light") + _with_class(dark, "only-dark")

    return _IMAGE.sub(both, page)


def describe_images(page: str, alts: Mapping[str, str]) -> str:
    """Give the images of chapters, name -> text, their text on pages that glue them too.

    There Sphinx writes none.
    """

    def described(match: re.Match[str]) -> str:
        image, name = match[0], match[2]
        if not alts.get(name) or " alt=" in image.replace(f'alt="{match[1]}"', ""):
            return image
        return re.sub(r'<img( alt="[^"]*")?', f'<img alt="{escape(alts[name])}"', image, count=1)

    return _IMAGE.sub(described, page)


def figure_alts(stage: Path) -> dict[str, str]:
    """Gather the text of each figure of a staged book's executed chapters, by its image's name."""
    chapters = (nbformat.read(stage / path, as_version=4) for path in chapter_paths(stage))
    return {figure.name: figure.alt for chapter in chapters for figure, _ in figures_in(chapter)}


def _with_class(image: str, name: str) -> str:
    if ' class="' in image:
        return image.replace(' class="', f' class="{name} ', 1)
    return image.replace("<img ", f'<img class="{name}" ', 1)


def _dark_name(name: str) -> str:
    return f"{Path(name).stem}-dark.png"


def convert_images(site: Path) -> set[str]:
    """Replace the PNG images of a site by WebP, and return their names without the suffix."""
    images = sorted((site / "_images").glob("*.png"))
    with ThreadPoolExecutor(2) as pool:  # the encoder releases the interpreter's lock
        for path, webp in zip(images, pool.map(as_webp, map(Path.read_bytes, images)), strict=True):
            path.with_suffix(".webp").write_bytes(webp)
            path.unlink()
    return {path.stem for path in images}


def name_webp(page: str, names: Container[str]) -> str:
    """Let a page name the WebP images that replace its PNG images."""
    return _PNG.sub(
        lambda match: f"_images/{match[1]}.webp" if match[1] in names else match[0], page
    )


def as_webp(png: bytes) -> bytes:
    """Encode a PNG as WebP: pixel for pixel, or with loss where that takes half the bytes or less.

    Lines and text stay as they are; photographs lose what is not visible.
    """
    with Image.open(BytesIO(png)) as image:
        pixels = image.convert("RGBA" if image.has_transparency_data else "RGB")
    exact, lossy = BytesIO(), BytesIO()
    pixels.save(exact, format="WEBP", lossless=True, method=4)
    pixels.save(lossy, format="WEBP", quality=QUALITY, method=4)
    worth = len(lossy.getvalue()) <= _WORTH * len(exact.getvalue())
    return lossy.getvalue() if worth else exact.getvalue()
