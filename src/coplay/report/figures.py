"""Matrices and grids of images as PNG.

Figures have their own canvas; matplotlib's global state stays as it is.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave
from torch import Tensor

from coplay.core.text import visible
from coplay.report.colours import INK, MUTED
from coplay.report.parts import DPI
from coplay.report.words import shortened

WIDE = 10.0
"""Inches; the page is 960 CSS pixels wide."""

_P = ParamSpec("_P")
_R = TypeVar("_R")

_ZERO = "#a0a8b0"  # ink of a matrix's zeros
_PAPER = 0.9  # grey of the lines between images
_NAME = 26  # letters of a name beside a matrix
_PIXELS = 480  # width of a grid written to a file, about
_FILLED = 0.94  # of the width that a grid of images has to itself


def plain_style(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    r"""Let a function draw in matplotlib's own style, in which no text is taken for mathematics.

    A ``matplotlibrc`` of the current folder, or of the user's, changes nothing, and a name such as
    ``$\frac{1$`` is written as it is.
    """

    @wraps(draw)
    def drawn(*arguments: _P.args, **keywords: _P.kwargs) -> _R:
        with style.context(["default", {"text.parse_math": False}]):
            return draw(*arguments, **keywords)

    return drawn


def canvas(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def png(figure: Figure) -> bytes:
    """A figure as a picture; equal figures give equal bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


@plain_style
def heat_map(
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_label: str,
    column_label: str,
    write: Callable[[float], str],
    most: float | None = None,
) -> bytes:
    """Draw a matrix of non-negative numbers, written into their cells if these are wide enough.

    Args:
        values: Shape (rows, columns), at least one entry.
        rows: Name of each row.
        columns: Name of each column.
        row_label: What the rows are.
        column_label: What the columns are.
        write: How a number is written into its cell.
        most: Value of the darkest colour; by default the largest entry.
    """
    rows = shortened(rows, _NAME)
    columns = shortened(columns, _NAME)
    texts = []
    for row in values:
        texts.append([write(value) for value in row])
    longest_text = max(max(map(len, row)) for row in texts)
    longest_name = max(map(len, columns))
    cell = min(max(0.55, 0.13 * longest_text, 0.1 * longest_name), 8.4 / len(columns))
    width = 1.1 + 0.085 * max(map(len, rows)) + cell * len(columns)
    figure = canvas(width, 1.0 + 0.42 * len(rows))
    axes = figure.add_subplot()
    array = np.asarray(values, dtype=float)
    top = most or max(float(np.nanmax(array)), 1e-12)
    axes.imshow(array / top, cmap=colormaps["Blues"], vmin=0, vmax=1.1, aspect="auto")
    rotation = 45 if 0.1 * longest_name > cell else 0
    axes.set_xticks(range(len(columns)), list(map(visible, columns)), rotation=rotation)
    axes.set_yticks(range(len(rows)), list(map(visible, rows)))
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_parse_math(False)  # names are written as they are
    _set_up_matrix(axes, row_label, column_label, array.shape)
    if 0.075 * longest_text < cell:
        _write_cells(axes, texts, array, top)
    return png(figure)


def _set_up_matrix(axes: Axes, row_label: str, column_label: str, shape: tuple[int, ...]) -> None:
    """Put the columns' names on top, and white lines between the cells."""
    rows, columns = shape
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(visible(column_label), color=MUTED, fontsize=9, labelpad=8)
    axes.set_ylabel(visible(row_label), color=MUTED, fontsize=9)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)


def _write_cells(axes: Axes, texts: Sequence[Sequence[str]], array: np.ndarray, top: float) -> None:
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            colour = INK if array[i, j] else _ZERO
            if array[i, j] / top > 0.6:
                colour = "white"
            axes.text(j, i, visible(text), ha="center", va="center", fontsize=8.5, color=colour)


@plain_style
def mosaics(
    cells: Mapping[tuple[str, str], np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    gap_after: int,
) -> bytes:
    """Draw grids of images by row and column; missing cells stay empty.

    Args:
        cells: By row and column, colours of shape (height, width, 3) in [0, 1].
        rows: Names of the rows.
        columns: Headings of the columns.
        gap_after: How many columns stand before a gap.
    """
    size = min(1.55, 9.2 / len(columns))
    width = size * (len(columns) + 0.25) + 0.5
    height = size * len(rows) + 0.4
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    inner = _FILLED * size
    for i, name in enumerate(rows):
        for j, heading in enumerate(columns):
            gap = 0.25 if j >= gap_after else 0
            left = 0.5 + size * (j + gap)
            bottom = height - 0.4 - size * (i + 1) + (size - inner)
            place = (left / width, bottom / height, inner / width, inner / height)
            axes = figure.add_axes(place)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if (name, heading) in cells:
                axes.imshow(cells[name, heading], interpolation="nearest")
            else:
                axes.text(0.5, 0.5, "–", ha="center", va="center", color=MUTED)
            if i == 0:
                axes.set_title(visible(heading), fontsize=9, color=INK, pad=5)
            if j == 0:
                (label,) = shortened([name], _NAME)
                axes.set_ylabel(visible(label), fontsize=9.5, color=INK, labelpad=6)
    return png(figure)


@plain_style
def strip(cells: Mapping[str, np.ndarray], first: int, across: int = 4) -> bytes:
    """Draw grids of images under their headings; those after ``first`` begin a new line.

    Args:
        cells: By heading, colours of shape (height, width, 3) in [0, 1].
        first: How many stand before the break.
        across: Most in a line.
    """
    size = 2.25
    top = 0.24
    places = [divmod(k, across) for k in range(first)]
    lines = math.ceil(first / across)
    for k in range(len(cells) - first):
        row, column = divmod(k, across)
        places.append((lines + row, column))
    last_row, _ = places[-1]
    width = size * min(across, len(cells))
    height = (size + top) * (last_row + 1)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    inner = _FILLED * size
    for (heading, image), (row, column) in zip(cells.items(), places, strict=True):
        left = column * size
        bottom = height - (row + 1) * (size + top)
        place = (left / width, bottom / height, inner / width, inner / height)
        axes = figure.add_axes(place)
        axes.set_axis_off()
        axes.imshow(image, interpolation="nearest")
        axes.set_title(visible(heading), fontsize=9.5, color=INK, pad=5, loc="left")
    return png(figure)


def mosaic(
    images: np.ndarray,
    side: int,
    low: float,
    high: float,
    *,
    dark_ink: bool = False,
) -> np.ndarray:
    """Put images side by side with thin lines between them.

    Args:
        images: Shape (n, H, W), (n, 1, H, W) or (n, 3, H, W).
        side: Images per row.
        low: Value drawn black (white with ``dark_ink``).
        high: Value drawn white (black with ``dark_ink``).
        dark_ink: Whether high values are dark.

    Returns:
        Colours in [0, 1], shape (height, width, 3).

    Example:
        >>> mosaic(np.zeros((5, 8, 8)), 3, 0.0, 1.0).shape
        (19, 28, 3)
    """
    scale = high - low if high > low else 1.0
    scaled = np.clip((images - low) / scale, 0, 1)
    if scaled.ndim == 3:
        scaled = scaled[:, None]
    if dark_ink:
        scaled = 1 - scaled
    shades = np.moveaxis(scaled, 1, -1)
    height, width = scaled.shape[-2:]
    rows = math.ceil(len(images) / side)
    paper = np.full((rows * (height + 1) + 1, side * (width + 1) + 1, 3), _PAPER)
    for k, image in enumerate(shades):
        top = k // side * (height + 1) + 1
        left = k % side * (width + 1) + 1
        paper[top : top + height, left : left + width] = image  # one channel spreads over three
    return paper


@plain_style
def image_grid(images: Tensor) -> bytes:
    """Draw images as one PNG, as near to a square as they allow.

    Args:
        images: Shape (n, H, W), (n, 1, H, W) or (n, 3, H, W), n ≥ 1. Binary ones are drawn as
            black ink on white; real values from 0 to 1, or over their own range if they leave it.
    """
    is_binary = not images.is_floating_point()
    values = images.double().numpy()
    side = math.ceil(math.sqrt(len(values)))
    low = min(0.0, values.min())
    high = max(1.0, values.max())
    grid = mosaic(values, side, low, high, dark_ink=is_binary)
    scale = max(1, _PIXELS // grid.shape[1])
    file = io.BytesIO()
    imsave(file, grid.repeat(scale, 0).repeat(scale, 1), format="png")
    return file.getvalue()
