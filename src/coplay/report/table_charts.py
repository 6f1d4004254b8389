"""Pictures of tables: a panel for each column, and how columns go together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib import colormaps
from matplotlib.image import AxesImage

from coplay.core.text import visible
from coplay.metrics.table_view import REAL, ColumnView, TableView
from coplay.report.chart import Chart
from coplay.report.chart_parts import BarPanel, Bars, Key, Look, Mark
from coplay.report.colours import COLOURS, HELD, INK, MUTED
from coplay.report.figures import WIDE, canvas, plain_style, png
from coplay.report.parts import ChartPicture, Picture
from coplay.report.words import number, shortened

_HEIGHTS = {1: 4.6, 2: 4.6, 3: 3.9}  # inches of a matrix by how many stand side by side
_NAMED = 14  # columns whose names fit beside a matrix of its own


def pictures(view: TableView, key: str, of: str, most: int) -> list[Picture | ChartPicture]:
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
    made: list[Picture | ChartPicture] = []
    made.append(ChartPicture(key, column_panels(shown, list(view.rows)), caption))
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


def column_panels(columns: Sequence[ColumnView], titles: Sequence[str]) -> Chart:
    """Return a panel for each column: real rows filled, samples of each table as a line.

    Args:
        columns: What is drawn, at least one.
        titles: The tables, in the order of their colours.
    """
    colours = _colours(titles)
    panels = []
    for column in columns:
        title = shortened([column.name], 36)[0] + _missing(column)
        panels.append(
            _bins(column, title, colours) if column.edges else _levels(column, title, colours)
        )
    keys = []
    for title in titles:
        look = Look(colours[title], width=2.4)
        keys.append(Key(title, look, has_points=False, is_filled=title == REAL))
    return Chart(panels, keys)


def _colours(titles: Sequence[str]) -> dict[str, str]:
    drawn = [title for title in titles if title != REAL]
    colours = {title: COLOURS[place % len(COLOURS)] for place, title in enumerate(drawn)}
    return colours | {REAL: HELD}


def _missing(column: ColumnView) -> str:
    """Say which shares of the values are missing, where any is."""
    shares = [share for share in column.missing.values() if share > 0]
    if not shares:
        return ""
    low, high = (f"{100 * share:.0f}" for share in (min(shares), max(shares)))
    return f" ({low} % missing)" if low == high else f" ({low} to {high} % missing)"


def _bins(column: ColumnView, title: str, colours: Mapping[str, str]) -> BarPanel:
    """Return the panel of a number, whose bins have their ends beneath."""
    names = [f"{number(low)} to {number(high)}" for low, high in pairwise(column.edges)]
    bars = []
    for table, shares in column.shares.items():
        mark: Mark = "bar" if table == REAL else "line"
        bars.append(Bars(table, shares, colours[table], mark))
    return BarPanel(title, "bin", names, _real_first(bars), column.edges, named=False)


def _levels(column: ColumnView, title: str, colours: Mapping[str, str]) -> BarPanel:
    """Return the panel of a category: the lines of several tables stand beside each other."""
    drawn = [table for table in column.shares if table != REAL]
    width = 0.7 / max(1, len(drawn))
    bars = []
    for table, shares in column.shares.items():
        if table == REAL:
            bars.append(Bars(table, shares, colours[table], width=0.84))
        else:
            shift = -0.35 + width * (drawn.index(table) + 0.5)
            bars.append(Bars(table, shares, colours[table], "line", width, shift))
    return BarPanel(title, "level", column.levels, _real_first(bars), named=False)


def _real_first(bars: Sequence[Bars]) -> list[Bars]:
    """Return bars with those of real rows behind the others."""
    return sorted(bars, key=lambda each: each.name != REAL)


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
        axes.set_title(visible(title), loc="left", fontsize=9.5, color=INK, parse_math=False)
        size = 8 if len(names) <= _NAMED else 5
        axes.set_xticks(range(len(names)), texts, rotation=60, ha="right")
        axes.set_yticks(range(len(names)), texts if place % across == 0 else [""] * len(names))
        axes.tick_params(length=0, labelsize=size, colors=INK)
        axes.spines[:].set_visible(False)
    assert image is not None, "there is a table"
    bar = figure.colorbar(image, ax=list(grid[: len(matrices)]), shrink=0.6, pad=0.02)
    bar.ax.tick_params(labelsize=8, colors=MUTED)
    return png(figure)
