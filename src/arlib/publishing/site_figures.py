"""What pages show of executed chapters' figures: a dark form beside the light one, thumbnails."""

import re
import shutil
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image

from arlib.figures import DARK
from arlib.publishing.editions import chapters

THUMBNAIL = "thumbnail"
"""The tag of the cell whose figure stands for its chapter; without one the first figure does."""


THUMBNAILS = "thumbnails"
"""Where a staged book has them, beside its chapters."""


_DARK = "dark"  # the staged book's folder of dark forms, under the names of the light ones


_WIDTH = 640  # pixels: a card is half as wide, and some screens have two pixels for one


_IMAGE = re.compile(r'<img\b[^>]*\bsrc="([^"]*_images/([^"/]+))"[^>]*>')


@dataclass(frozen=True)
class ChapterFigure:
    """A figure among a chapter's outputs.

    Attributes:
        png: its light form.
        alt: it in words, "" where nobody said.
        chosen: its cell has the tag `THUMBNAIL`.
    """

    png: bytes
    alt: str
    chosen: bool

    @property
    def name(self) -> str:
        """Of its image in the site: MyST-NB names an image by its content."""
        return f"{sha256(self.png).hexdigest()}.png"


def figures_in(notebook: nbformat.NotebookNode) -> list[ChapterFigure]:
    """Find the figures that an executed chapter shows.

    Example:
        >>> from nbformat.v4 import new_code_cell, new_notebook, new_output
        >>> shown = new_output("execute_result", {"image/png": "aGk="})
        >>> cell = new_code_cell("f", outputs=[shown], metadata={"tags": ["thumbnail"]})
        >>> figures_in(new_notebook(cells=[cell]))
        [Shown(png=b'hi', alt='', chosen=True)]
    """
    return [shown for shown, _ in _figures(notebook)]


def _figures(notebook: nbformat.NotebookNode) -> Iterator[tuple[ChapterFigure, dict[str, str]]]:
    """Each figure, and the forms that its output holds."""
    for cell in notebook.cells:
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        chosen = THUMBNAIL in cell.metadata.get("tags", [])
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                yield ChapterFigure(b64decode(data["image/png"]), alt, chosen), data


def extract_dark_figures(stage: Path) -> None:
    """Take the dark forms of figures out of a staged book's executed chapters, into files.

    Readers who download a chapter have no use for them, and MyST-NB does not know their type.

    Args:
        stage: chapters executed; those with dark forms are written anew.
    """
    folder = stage / _DARK
    folder.mkdir(exist_ok=True)
    for chapter in chapters(stage):
        notebook = nbformat.read(stage / chapter, as_version=4)
        dark = [(shown, data.pop(DARK)) for shown, data in _figures(notebook) if DARK in data]
        for shown, png in dark:
            (folder / shown.name).write_bytes(b64decode(png))
        if dark:
            nbformat.write(notebook, stage / chapter)


def gallery(stage: Path) -> str:
    """Make a card for every chapter of a staged book, with a small picture of one of its figures.

    Args:
        stage: chapters executed, dark forms set aside; the pictures are put beside the chapters.

    Returns:
        MyST Markdown, for a page in the chapters' own folder.
    """
    lines = ["::::{grid} 1 2 2 3", ":gutter: 3"]
    for chapter in chapters(stage):
        notebook = nbformat.read(stage / chapter, as_version=4)
        texts = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        heading = re.search(r"^# (.+)$", texts, re.MULTILINE)
        title = heading[1] if heading else chapter.stem
        lines += ["", f":::{{grid-item-card}} {title}", f":link: {chapter.stem}", ":link-type: doc"]
        if shown := sorted(figures_in(notebook), key=lambda figure: not figure.chosen)[:1]:
            name = _thumbnail(stage, chapter, shown[0])
            lines += [f":img-top: {THUMBNAILS}/{name}", f":img-alt: {shown[0].alt or title}"]
        lines.append(":::")
    return "\n".join([*lines, "::::", ""])


def _thumbnail(stage: Path, chapter: Path, shown: ChapterFigure) -> str:
    """Write the small forms of a chapter's figure; the name of the light one."""
    folder = stage / chapter.parent / THUMBNAILS
    folder.mkdir(exist_ok=True)
    name = f"{chapter.stem}.png"
    (folder / name).write_bytes(_small(shown.png))
    if (dark := stage / _DARK / shown.name).is_file():
        dark.with_name(name).write_bytes(_small(dark.read_bytes()))
    return name


def _small(png: bytes) -> bytes:
    """At most `_WIDTH` pixels wide."""
    image = Image.open(BytesIO(png)).convert("RGB")
    image.thumbnail((_WIDTH, _WIDTH))
    file = BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def add_dark_figures(stage: Path, site: Path) -> None:
    """Put the dark forms of a built site's figures beside the light ones, on every page.

    Args:
        stage: what the site was built from, dark forms set aside.
        site: its folder; pages and images are added to.
    """
    sizes = {}
    for dark in (stage / _DARK).glob("*.png"):
        if (site / "_images" / dark.name).is_file():
            shutil.copy(dark, site / "_images" / _dark_name(dark.name))
            with Image.open(dark) as image:
                sizes[dark.name] = image.size
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        if (both := with_dark(page, sizes)) != page:
            path.write_text(both, encoding="utf-8")


def with_dark(page: str, sizes: Mapping[str, tuple[int, int]]) -> str:
    """Let a page show the dark form of its figures in the dark, by the theme's own classes.

    Dark forms are not loaded until they are seen; their places are kept.

    Args:
        page: HTML.
        sizes: names of light images in `_images` that have a dark form beside them -> its width and
            height in pixels.

    Example:
        >>> with_dark('<img src="_images/a.png" alt="A" />', {"a.png": (20, 10)})
        '<img class="only-light" src="_images/a.png" alt="A" /><img class="only-dark" \
src="_images/a-dark.png" alt="A" width="20" height="10" loading="lazy" />'
    """

    def both(found: re.Match[str]) -> str:
        light, address, name = found[0], found[1], found[2]
        if name not in sizes or "only-light" in light:
            return light
        other = address.removesuffix(name) + _dark_name(name)
        dark = light.replace(f'src="{address}"', f'src="{other}"').rstrip("/> ")
        width, height = sizes[name]
        dark += f' width="{width}" height="{height}" loading="lazy" />'
        return _classed(light, "only-light") + _classed(dark, "only-dark")

    return _IMAGE.sub(both, page)


def _classed(image: str, name: str) -> str:
    """The image with one more class."""
    if ' class="' in image:
        return image.replace(' class="', f' class="{name} ', 1)
    return image.replace("<img ", f'<img class="{name}" ', 1)


def _dark_name(name: str) -> str:
    return f"{Path(name).stem}-dark.png"
