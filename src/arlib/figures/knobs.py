"""Controls that draw a figure anew, where a reader is there to move them."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from arlib._support.progress import has_reader
from arlib.figures.dark import encoded

if TYPE_CHECKING:
    from ipywidgets import VBox

RANKINGS = (("both (Eq. 2)", "both"), ("objectness", "objectness"), ("sentiment", "sentiment"))
"""What `knobs` offers to rank by: how it is shown, and what the library calls it."""


def knobs(
    draw: Callable[..., Figure],
    *,
    k: int | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    rank_by: str | None = None,
) -> "Figure | VBox":
    """Show a figure under controls that draw it anew, in a notebook that is open before a reader.

    A notebook that papermill, nbconvert or `jupyter execute` runs gets the figure alone. They are
    known by what they send with a cell: that nobody is there to answer `input()`.

    Args:
        draw: Draws the figure of the settings below that are given, by their names.
        k: K to begin with, >= 1; None makes no control, here and below.
        alpha: of Eq. 2 to begin with, >= 0.
        beta: of Eq. 3 to begin with, >= 0.
        rank_by: "both", "objectness" or "sentiment" to begin with.

    Returns:
        The controls in a row, and the figure below; or the figure.

    Raises:
        ImportError: ipywidgets is not installed.

    Example:
        >>> def draw(k, alpha):
        ...     return Figure()
        >>> row, output = knobs(draw, k=8, alpha=1.0).children
        >>> [(control.description, control.value) for control in row.children]
        [('K, regions', 8), ('alpha of Eq. 2', 1.0)]
    """
    named = {"k": k, "alpha": alpha, "beta": beta, "rank_by": rank_by}
    settings = {name: value for name, value in named.items() if value is not None}
    if has_reader() is False:
        return draw(**settings)
    import ipywidgets as widgets

    controls = {name: _control(name, value) for name, value in settings.items()}
    output = widgets.Output()

    def redraw(_change: Any = None) -> None:
        figure = draw(**{name: control.value for name, control in controls.items()})
        image = {"image/png": encoded(figure)}
        output.outputs = ({"output_type": "display_data", "data": image, "metadata": {}},)

    for control in controls.values():
        control.observe(redraw, "value")
    redraw()
    layout = widgets.Layout(flex_flow="row wrap")
    return widgets.VBox([widgets.Box(list(controls.values()), layout=layout), output])


def _control(name: str, value: Any) -> Any:
    """Make the control of one setting, wide enough for its name."""
    import ipywidgets as widgets

    look: Any = {"style": {"description_width": "7em"}, "layout": {"width": "22em"}}
    if name == "rank_by":
        return widgets.Dropdown(options=RANKINGS, value=value, description="ranked by", **look)
    if name == "k":
        return widgets.IntSlider(value, 1, max(20, value), description="K, regions", **look)
    most, equation = {"alpha": (4, 2), "beta": (2, 3)}[name]
    name = f"{name} of Eq. {equation}"
    return widgets.FloatSlider(
        value, min=0, max=max(most, math.ceil(value)), step=0.05, description=name, **look
    )
