"""Panels and legends that all charts share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from coplay.core.text import visible
from coplay.report.colours import INK, MUTED
from coplay.report.figures import canvas

_GRID = "#e3e6ea"
WIDE = 10.0
"""Inches; the page is 960 CSS pixels wide."""
NARROW = 0.6 * WIDE
"""Width of a figure with a single panel."""


def tidy(axes: Axes) -> None:
    """Leave two spines, pale ticks and a horizontal grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#aab2bb")
    axes.tick_params(colors=MUTED, labelsize=8.5, length=3)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def set_title(axes: Axes, text: str) -> None:
    """Write a panel's title above its left edge, as it is."""
    axes.set_title(visible(text), loc="left", fontsize=9.5, color=INK, parse_math=False)


def add_legend(figure: Figure, keys: Sequence[Patch | Line2D], across: int) -> None:
    """Put a legend above all panels, with ``across`` keys in a line."""
    for key in keys:
        key.set_label(visible(str(key.get_label())))
    figure.legend(
        handles=keys,
        loc="outside upper center",
        ncols=across,
        frameon=False,
        fontsize=9,
    )


def figure_width(panels: int) -> float:
    """Width in inches of a figure with so many panels."""
    return WIDE if panels > 1 else NARROW


def add_panels(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, each ``height`` inches high, in rows of at most ``columns``."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = canvas(figure_width(count), height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, list(grid[:count])
