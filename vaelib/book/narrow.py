"""A figure of matplotlib laid out for a phone: its panels one below the other."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpecBase
    from matplotlib.legend import Legend
    from matplotlib.text import Text

#: Inches. A point is 4/3 pixels on the page, so that these are 355 pixels.
NARROW = 3.7
#: A panel of a chart is at most that high where figures are narrow, unless it is higher than wide.
PANEL = 2.9
Place = Literal["outside upper left", "outside lower left"]
ABOVE: Place = "outside upper left"
BELOW: Place = "outside lower left"


def narrow(figure: Figure) -> None:
    """Set the panels of a figure one below the other, for a phone."""
    from matplotlib.gridspec import GridSpec

    panels = {}
    for axes in figure.axes:
        if (spec := axes.get_subplotspec()) is not None:
            panels[spec.rowspan.start, spec.colspan.start] = axes
    if not panels:
        return
    order = sorted(panels)
    columns = len({column for _, column in order})
    rows = len({row for row, _ in order})
    width, height = figure.get_size_inches()
    heights = [panel_height(panels[place], height / rows, width / columns) for place in order]
    grid = panels[order[0]].get_subplotspec().get_gridspec()  # type: ignore[union-attr]
    if columns > 1:
        grid = GridSpec(len(order), 1, figure)
        for number, place in enumerate(order):
            name_alone(panels, place)
            panels[place].set_subplotspec(grid[number])
    for place, high in zip(order, heights, strict=True):
        axes = panels[place]
        for title in (axes.title, axes._left_title, axes.xaxis.label):  # type: ignore[attr-defined]
            wrap(title, 0.86 * NARROW)
        wrap(axes.yaxis.label, 0.9 * high)
    set_heights(figure, grid, heights)
    figure.draw_without_rendering()
    fitted = [
        fitting(panels[place], figure, high) for place, high in zip(order, heights, strict=True)
    ]
    set_heights(figure, grid, fitted)
    legends = list(figure.legends)  # those of the whole figure, which are above it
    if len(order) == 1 and (legend := panels[order[0]].get_legend()):
        lift(legend, figure, BELOW if titled(panels[order[0]]) else ABOVE)
    for legend in legends:
        lift(legend, figure, ABOVE)


def set_heights(figure: Figure, grid: GridSpecBase, heights: list[float]) -> None:
    """Give a figure the width of a phone and its panels these heights."""
    grid.set_height_ratios(heights)
    figure.set_size_inches(NARROW, sum(heights))


def panel_height(axes: Axes, height: float, width: float) -> float:
    """Return how high a panel of this height and width is where it is as wide as a phone."""
    if axes.get_aspect() != "auto":
        return height * NARROW / width
    return height if height > width else min(height, PANEL)


def fitting(axes: Axes, figure: Figure, height: float) -> float:
    """Return the height at which a picture or a map is as wide as there is room."""
    if axes.get_aspect() == "auto":
        return height
    inches = figure.get_size_inches()[1]
    room, taken = axes.get_position(original=True), axes.get_position()
    return float(height + inches * (taken.height * room.width / taken.width - room.height))


def titled(axes: Axes) -> bool:
    """Whether a panel has a title."""
    return any(axes.get_title(loc=place) for place in ("left", "center"))


def name_alone(panels: dict[tuple[int, int], Axes], place: tuple[int, int]) -> None:
    """Write at a panel what it had in common with those beside, above and below it."""
    axes, (row, column) = panels[place], place
    if not axes.axison:
        return
    axes.tick_params(labelleft=True, labelbottom=True)
    first = panels.get((row, 0), axes)
    last = panels.get((max(panels)[0], column), axes)
    top = panels.get((0, column), axes)
    axes.set_ylabel(axes.get_ylabel() or first.get_ylabel())
    axes.set_xlabel(axes.get_xlabel() or last.get_xlabel())
    if not axes.get_title(loc="left"):
        axes.set_title(top.get_title(loc="left"), loc="left")


def wrap(text: Text, inches: float) -> None:
    """Break a line that is longer than that."""
    letters = int(inches * 72 / (0.57 * float(text.get_fontsize())))
    lines = text.get_text().splitlines()
    text.set_text("\n".join(textwrap.fill(line, letters) for line in lines))


def lift(legend: Legend, figure: Figure, where: Place) -> None:
    """Set a legend above or below the panels, in as many columns as fit."""
    handles = [handle for handle in legend.legend_handles if handle is not None]
    labels = [text.get_text() for text in legend.get_texts()]
    title = legend.get_title().get_text()
    if legend in figure.legends:  # of a copy it would be removed from the figure that was copied
        figure.legends.remove(legend)
    else:
        legend.remove()
    for columns in range(len(labels), 0, -1):
        lifted = figure.legend(handles, labels, title=title or None, loc=where, ncols=columns)
        figure.draw_without_rendering()
        taken = lifted.get_window_extent()
        if columns == 1 or taken.width <= figure.bbox.width:
            # It does not take its room from the panels.
            width, height = figure.get_size_inches()
            figure.set_size_inches(width, height + taken.height / figure.dpi)
            return
        lifted.remove()
