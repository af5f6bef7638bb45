"""What pages show of executed chapters' figures: a dark form beside the light one, thumbnails."""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image

from arlib.editions import chapters
from arlib.figures.dark import DARK

THUMBNAIL = "thumbnail"
"""The tag of the cell whose figure stands for its chapter; without one the first figure does."""

FOLDER = "thumbnails"
"""Where a staged book has them, beside its chapters."""

_WIDTH = 640  # pixels: a card is half as wide, and some screens have two pixels for one
_IMAGE = re.compile(r'<img\b[^>]*\bsrc="([^"]*_images/([^"/]+))"[^>]*>')


@dataclass(frozen=True)
class Shown:
    """A figure among a chapter's outputs.

    Attributes:
        light: PNG.
        dark: PNG, for dark pages; None where the figure has one form.
        alt: it in words, "" where nobody said.
        chosen: its cell has the tag `THUMBNAIL`.
    """

    light: bytes
    dark: bytes | None
    alt: str
    chosen: bool


def figures_in(notebook: nbformat.NotebookNode) -> list[Shown]:
    """Find the figures that an executed chapter shows.

    Example:
        >>> from nbformat.v4 import new_code_cell, new_notebook, new_output
        >>> shown = new_output("execute_result", {"image/png": "aGk="})
        >>> cell = new_code_cell("f", outputs=[shown], metadata={"tags": ["thumbnail"]})
        >>> figures_in(new_notebook(cells=[cell]))
        [Shown(light=b'hi', dark=None, alt='', chosen=True)]
    """
    found = []
    for cell in notebook.cells:
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        chosen = THUMBNAIL in cell.metadata.get("tags", [])
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                dark = b64decode(data[DARK]) if DARK in data else None
                found.append(Shown(b64decode(data["image/png"]), dark, alt, chosen))
    return found


def gallery(stage: Path) -> str:
    """Make a card for every chapter of a staged book, with a small picture of one of its figures.

    Args:
        stage: chapters executed; the pictures are put beside them.

    Returns:
        MyST Markdown, for a page in the chapters' own folder.
    """
    lines = ["::::{grid} 1 2 2 3", ":gutter: 3"]
    for chapter in chapters(stage):
        notebook = nbformat.read(stage / chapter, as_version=4)
        heading = next(c.source for c in notebook.cells if c.cell_type == "markdown")
        title = re.search(r"^# (.+)$", heading, re.MULTILINE)
        lines += ["", f":::{{grid-item-card}} {title[1] if title else chapter.stem}"]
        lines += [f":link: {chapter.stem}", ":link-type: doc"]
        if shown := sorted(figures_in(notebook), key=lambda figure: not figure.chosen)[:1]:
            name = _thumbnails(stage / chapter, shown[0])
            lines += [f":img-top: {FOLDER}/{name}", f":img-alt: {shown[0].alt or title[1]}"]
        lines.append(":::")
    return "\n".join([*lines, "::::", ""])


def _thumbnails(chapter: Path, shown: Shown) -> str:
    """Write the small forms of a chapter's figure beside it; the name of the light one."""
    folder = chapter.parent / FOLDER
    folder.mkdir(exist_ok=True)
    name = f"{chapter.stem}.png"
    (folder / name).write_bytes(_small(shown.light))
    if shown.dark is not None:
        (folder / _dark_name(name)).write_bytes(_small(shown.dark))
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
        stage: what the site was built from, chapters executed.
        site: its folder; pages and images are added to.
    """
    dark: dict[str, bytes] = {}
    for chapter in chapters(stage):
        for shown in figures_in(nbformat.read(stage / chapter, as_version=4)):
            if shown.dark is not None:  # MyST-NB names an image by its content
                dark[f"{sha256(shown.light).hexdigest()}.png"] = shown.dark
        small = stage / chapter.parent / FOLDER / _dark_name(f"{chapter.stem}.png")
        if small.is_file():
            dark[f"{chapter.stem}.png"] = small.read_bytes()
    for name, png in dark.items():
        if (site / "_images" / name).is_file():
            (site / "_images" / _dark_name(name)).write_bytes(png)
    names = {name: _dark_name(name) for name in dark}
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        if (both := with_dark(page, names)) != page:
            path.write_text(both, encoding="utf-8")


def with_dark(page: str, names: Mapping[str, str]) -> str:
    """Let a page show the dark form of its figures in the dark, by the theme's own classes.

    Args:
        page: HTML.
        names: of light images in `_images`, and of the dark ones beside them.

    Example:
        >>> with_dark('<img src="_images/a.png" alt="A" />', {"a.png": "b.png"})
        '<img class="only-light" src="_images/a.png" alt="A" /><img class="only-dark" \
src="_images/b.png" alt="A" loading="lazy" />'
    """

    def both(found: re.Match[str]) -> str:
        light, address, name = found[0], found[1], found[2]
        if name not in names or "only-light" in light:
            return light
        other = address.removesuffix(name) + escape(names[name])
        dark = light.replace(f'src="{address}"', f'src="{other}"').rstrip("/> ")
        return _classed(light, "only-light") + _classed(f'{dark} loading="lazy" />', "only-dark")

    return _IMAGE.sub(both, page)


def _classed(image: str, name: str) -> str:
    """The image with one more class."""
    if ' class="' in image:
        return image.replace(' class="', f' class="{name} ', 1)
    return image.replace("<img ", f'<img class="{name}" ', 1)


def _dark_name(name: str) -> str:
    return f"{Path(name).stem}-dark.png"
