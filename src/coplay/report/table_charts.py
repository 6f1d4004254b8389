"""Pictures of tables: a panel for each column, and how columns go together, as PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from coplay.core.text import visible
from coplay.metrics.table_view import REAL, ColumnView, TableView
from coplay.report.colours import COLOURS, INK, MUTED
from coplay.report.figures import canvas, plain_style, png
from coplay.report.panels import WIDE, add_legend, add_panels, set_title, tidy
from coplay.report.parts import Picture
from coplay.report.words import shortened

_ACROSS = 3
_REAL_FILL = "#c9d1d9"
_HEIGHTS = {1: 4.6, 2: 4.6, 3: 3.9}  # inches of a matrix by how many stand side by side
_NAMED = 14  # columns whose names fit beside a matrix of its own


def pictures(view: TableView, key: str, of: str, most: int) -> list[Picture]:
    """Return a picture of the columns, and one of how they go together.

    Args:
        view: What is drawn.
        key: File name of the first picture, without suffix.
        of: What is drawn, as the beginning of a sentence.
        most: Panels at most.
    """
    shown = view.columns[:most]
    if not shown:
        return []
    counts = ", ".join(f"{title}: {rows:,}" for title, rows in view.rows.items())
    has_real = REAL in view.rows
    what = "Filled: rows that nobody learned from. Lines: samples. " if has_real else ""
    cut = ""
    if len(shown) < len(view.columns):
        cut = f" The first {len(shown)} of {len(view.columns)} columns are drawn."
    caption = (
        f"{of}, column by column: shares of the values by bin or category. {what}The first and "
        f"the last bin of a number hold what lies beyond them, too. Rows: {counts}.{cut}"
    )
    alt = "Histogram of each number and bars of each category, of real rows and samples"
    made = [Picture(key, column_panels(shown, list(view.rows)), alt, caption)]
    names = [column.name for column in view.columns]
    if len(names) > 1:
        caption = (
            f"{of}, how two columns go together: Pearson's correlation of two numbers, the "
            "correlation ratio of a number and a category, Cramér's V of two categories. Grey: not "
            f"known. Rows: {counts}."
        )
        alt = "Matrices of the association of every two columns, of real rows and samples"
        png_of_pairs = association_maps(names, view.associations)
        made.append(Picture(f"{key}-pairs", png_of_pairs, alt, caption))
    return made


@plain_style
def column_panels(columns: Sequence[ColumnView], titles: Sequence[str]) -> bytes:
    """Draw a panel for each column: real rows filled, samples of each table as a line.

    Args:
        columns: What is drawn, at least one.
        titles: The tables, in the order of their colours.
    """
    figure, panels = add_panels(len(columns), _ACROSS, 2.1)
    colours = _colours(titles)
    for axes, column in zip(panels, columns, strict=True):
        if column.levels:
            _draw_bars(axes, column, colours)
        else:
            _draw_histogram(axes, column, colours)
        tidy(axes)
        set_title(axes, shortened([column.name], 36)[0] + _missing(column))
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=7.5)
    keys: list[Patch | Line2D] = []
    for title in titles:
        if title == REAL:
            keys.append(Patch(color=_REAL_FILL, label=title))
        else:
            keys.append(Line2D([], [], color=colours[title], linewidth=1.8, label=title))
    add_legend(figure, keys, min(4, len(keys)))
    return png(figure)


def _colours(titles: Sequence[str]) -> dict[str, str]:
    drawn = [title for title in titles if title != REAL]
    colours = {title: COLOURS[place % len(COLOURS)] for place, title in enumerate(drawn)}
    return colours | {REAL: _REAL_FILL}


def _missing(column: ColumnView) -> str:
    """Say which shares of the values are missing, where any is."""
    shares = [share for share in column.missing.values() if share > 0]
    if not shares:
        return ""
    low, high = (f"{100 * share:.0f}" for share in (min(shares), max(shares)))
    return f" ({low} % missing)" if low == high else f" ({low} to {high} % missing)"


def _draw_histogram(axes: Axes, column: ColumnView, colours: Mapping[str, str]) -> None:
    for title, shares in column.shares.items():
        if title == REAL:
            axes.stairs(shares, column.edges, fill=True, color=_REAL_FILL)
        else:
            axes.stairs(shares, column.edges, color=colours[title], linewidth=1.6)


def _draw_bars(axes: Axes, column: ColumnView, colours: Mapping[str, str]) -> None:
    places = np.arange(len(column.levels))
    drawn = [title for title in column.shares if title != REAL]
    if REAL in column.shares:
        axes.bar(places, column.shares[REAL], width=0.84, color=_REAL_FILL)
    width = 0.7 / max(1, len(drawn))
    for place, title in enumerate(drawn):
        left = places - 0.35 + width * place
        for start, share in zip(left, column.shares[title], strict=True):
            axes.plot([start, start + width], [share, share], color=colours[title], linewidth=2.4)
    longest = max(map(len, column.levels))
    is_crowded = len(column.levels) * longest > 30
    labels = [visible(text) for text in shortened(column.levels, 12)]
    axes.set_xticks(places, labels, rotation=40 if is_crowded else 0)
    if is_crowded:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    axes.set_xlim(-0.6, len(places) - 0.4)


@plain_style
def association_maps(
    names: Sequence[str], matrices: Mapping[str, Sequence[Sequence[float | None]]]
) -> bytes:
    """Draw a matrix of how columns go together for each table, side by side.

    Args:
        names: The columns, D of them.
        matrices: Of each table, shape (D, D), in [-1, 1]; None where it is not known.
    """
    across = min(3, len(matrices))
    down = math.ceil(len(matrices) / across)
    figure = canvas(WIDE if across > 1 else 0.6 * WIDE, _HEIGHTS[across] * down)
    grid = figure.subplots(down, across, squeeze=False).flatten()
    for axes in grid[len(matrices) :]:
        axes.set_visible(False)
    colours = colormaps["RdBu"].with_extremes(bad="#d7dce1")
    image: AxesImage | None = None
    texts = [visible(text) for text in shortened(names, 20)]
    for place, (axes, (title, matrix)) in enumerate(zip(grid, matrices.items(), strict=False)):
        array = np.array(matrix, dtype=float)
        image = axes.imshow(array, cmap=colours, vmin=-1, vmax=1)
        set_title(axes, title)
        size = 8 if len(names) <= _NAMED else 5
        axes.set_xticks(range(len(names)), texts, rotation=60, ha="right")
        axes.set_yticks(range(len(names)), texts if place % across == 0 else [""] * len(names))
        axes.tick_params(length=0, labelsize=size, colors=INK)
        axes.spines[:].set_visible(False)
    assert image is not None, "there is a table"
    bar = figure.colorbar(image, ax=list(grid[: len(matrices)]), shrink=0.6, pad=0.02)
    bar.ax.tick_params(labelsize=8, colors=MUTED)
    return png(figure)
