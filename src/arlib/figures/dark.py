"""Every figure a second time, for dark pages: ink and ground change places, pictures stay."""

from base64 import b64encode
from collections.abc import Iterable
from copy import deepcopy
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import Colormap, ListedColormap, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

INK, GROUND = "#d8dee4", "#14181e"
"""What black and white become; the ground is that of the site's dark pages."""


DARK = "application/vnd.arlib.dark+png"
"""The type under which a chapter's output holds a figure's dark form, base64."""


_GREY = 0.1  # red, green and blue that lie no further apart are no colour


_PALER = 0.2  # how far colours move towards white, to stand out as they do on white


class BookFigure(Figure):
    """A figure that shows itself in two forms: notebooks take the light, dark pages the other."""

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """Both forms as PNG, base64; IPython asks for this when a cell ends with the figure."""
        dark = darkened(self)  # before the layout of the first is settled, so that both get one
        return {"image/png": _png(self), DARK: _png(dark)}


def darkened(figure: Figure) -> Figure:
    """Copy a figure for a dark ground: greys are turned round, colours become a little paler.

    What is drawn over a picture stays as it is, for the picture stays too. The figure itself is
    left alone.

    Args:
        figure: on a white ground.

    Example:
        >>> from matplotlib.colors import to_hex
        >>> figure = Figure(facecolor="white")
        >>> _ = figure.text(0, 0, "some", color="black")
        >>> dark = darkened(figure)
        >>> to_hex(dark.get_facecolor()) == GROUND, to_hex(dark.texts[0].get_color()) == INK
        (True, True)
    """
    dark: Figure = deepcopy(figure)
    kept = {
        id(part)
        for axes in dark.axes
        if axes.images
        for drawn in (*axes.patches, *axes.lines, *axes.texts, *axes.collections)
        for part in drawn.findobj()
    }
    for artist in dark.findobj():
        if id(artist) not in kept:
            _turn(artist)
    return dark


def turned(colour: Any) -> np.ndarray:
    """Give colours as they are on a dark ground.

    Args:
        colour: whatever Matplotlib takes for one or several.

    Returns:
        (n, 4) RGBA in [0, 1]; opacity stays. No colour ("none") gives n = 0.

    Example:
        >>> from matplotlib.colors import to_hex
        >>> [to_hex(c) for c in turned(["black", "white", "#0072B2"])] == [INK, GROUND, "#338ec1"]
        True
    """
    rgba: np.ndarray = to_rgba_array(colour).copy()  # (n, 4)
    grey = np.ptp(rgba[:, :3], axis=1) < _GREY
    white = rgba[:, :3].mean(axis=1, keepdims=True)  # (n, 1): 0 is ink, 1 is ground
    ink, ground = to_rgba_array([INK, GROUND])[:, :3]
    paler = rgba[:, :3] + _PALER * (1 - rgba[:, :3])
    rgba[:, :3] = np.where(grey[:, None], ink + white * (ground - ink), paler)
    return rgba


def _turn(artist: Artist) -> None:
    """Change one artist's own colours; its parts are artists too."""
    if isinstance(artist, Text):
        artist.set_color(_one(artist.get_color()))
        if (box := artist.get_bbox_patch()) is not None:
            _turn(box)
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
        _turn_collection(artist)


def _turn_collection(artist: Collection) -> None:
    """Its own colours, or the map from data to colours where that is one of greys."""
    if artist.get_array() is None:
        face, edge = artist.get_facecolor(), artist.get_edgecolor()
        artist.set_facecolor(turned(face).tolist())
        artist.set_edgecolor(turned(edge).tolist())
    elif _is_grey(artist.get_cmap()):
        artist.set_cmap(ListedColormap(turned(artist.get_cmap()(np.linspace(0, 1, 256)))))


def _one(colour: Any) -> Any:
    """A colour turned, or "none" as it is."""
    found = turned(colour)
    return tuple(found[0]) if len(found) else "none"


def _is_grey(colours: Colormap) -> bool:
    return bool((np.ptp(colours(np.linspace(0, 1, 9))[:, :3], axis=1) < _GREY).all())


def _png(figure: Figure) -> str:
    file = BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return b64encode(file.getvalue()).decode()
