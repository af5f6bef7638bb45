"""Convert figures for dark pages: black and white are swapped, images stay."""

from base64 import b64encode
from collections.abc import Iterable
from copy import deepcopy
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, QuadMesh
from matplotlib.colors import Colormap, ListedColormap, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

INK, GROUND = "#d8dee4", "#14181e"
"""What black and white become; the ground is that of the site's dark pages."""

DARK = "application/vnd.arlib.dark+png"
"""The MIME type of a figure's dark form, base64, in a chapter's outputs."""

_GREY = 0.1  # a colour whose red, green and blue lie no further apart counts as grey
_PALER = 0.2  # how far colours move towards white, to stand out as they do on white


class BookFigure(Figure):
    """A figure with two representations: notebooks show the light one, dark pages the dark one."""

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """Both forms as PNG, base64; IPython asks for this when a cell ends with the figure."""
        dark = darkened(self)  # before the layout of the first is computed, so that both get one
        return {"image/png": encoded(self), DARK: encoded(dark)}


def darkened(figure: Figure) -> Figure:
    """Copy a figure for a dark ground; images, maps and what lies on them keep their colours."""
    dark: Figure = deepcopy(figure)
    kept = {
        id(part)
        for axes in dark.axes
        if axes.images or _is_map(axes)
        for artist in (*axes.patches, *axes.lines, *axes.texts, *axes.collections)
        for part in artist.findobj()
    }
    kept |= {id(axes.patch) for axes in dark.axes if _is_map(axes)}  # of cells without a value
    for artist in dark.findobj():
        if id(artist) not in kept:
            _invert(artist)
    return dark


def inverted(colour: Any) -> np.ndarray:
    """Convert colours, (n, 4) RGBA, to a dark ground: greys are inverted, colours become paler."""
    rgba: np.ndarray = to_rgba_array(colour).copy()  # (n, 4)
    grey = np.ptp(rgba[:, :3], axis=1) < _GREY
    white = rgba[:, :3].mean(axis=1, keepdims=True)  # (n, 1): 0 is ink, 1 is ground
    ink, ground = to_rgba_array([INK, GROUND])[:, :3]
    paler = rgba[:, :3] + _PALER * (1 - rgba[:, :3])
    rgba[:, :3] = np.where(grey[:, None], ink + white * (ground - ink), paler)
    return rgba


def _invert(artist: Artist) -> None:
    """Convert one artist's own colours; its parts are artists too."""
    if isinstance(artist, Text):
        artist.set_color(_one(artist.get_color()))
        if (box := artist.get_bbox_patch()) is not None:
            _invert(box)
    elif isinstance(artist, Line2D):
        face, edge = artist.get_markerfacecolor(), artist.get_markeredgecolor()
        artist.set_color(_one(artist.get_color()))
        artist.set_markerfacecolor(_one(face))
        artist.set_markeredgecolor(_one(edge))
    elif isinstance(artist, Patch):
        face, edge = artist.get_facecolor(), artist.get_edgecolor()
        artist.set_facecolor(_one(face))
        artist.set_edgecolor(_one(edge))
    elif isinstance(artist, Collection):
        _invert_collection(artist)


def _invert_collection(artist: Collection) -> None:
    """Convert a collection's own colours, or its colour map if that is one of greys."""
    if artist.get_array() is None:
        face, edge = artist.get_facecolor(), artist.get_edgecolor()
        artist.set_facecolor(inverted(face).tolist())
        artist.set_edgecolor(inverted(edge).tolist())
    elif _is_grey(artist.get_cmap()):
        artist.set_cmap(ListedColormap(inverted(artist.get_cmap()(np.linspace(0, 1, 256)))))


def _is_map(axes: Axes) -> bool:
    """Whether a panel's cells are coloured by their values, and not in greys."""
    meshes = [each for each in axes.collections if isinstance(each, QuadMesh)]
    return any(not _is_grey(mesh.get_cmap()) for mesh in meshes)


def _one(colour: Any) -> Any:
    """Convert one colour; "none" stays."""
    rgba = inverted(colour)
    return tuple(rgba[0]) if len(rgba) else "none"


def _is_grey(colours: Colormap) -> bool:
    return bool((np.ptp(colours(np.linspace(0, 1, 9))[:, :3], axis=1) < _GREY).all())


def encoded(figure: Figure) -> str:
    """Draw a figure as PNG, base64."""
    file = BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return b64encode(file.getvalue()).decode()
