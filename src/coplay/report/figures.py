"""Matrices and grids of images as PNG. Figures have their own canvas; matplotlib's global state stays as it is."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.image import imsave
from torch import Tensor

from coplay.report.parts import DPI

INK, MUTED, PALE = "#1b1f24", "#5b6570", "#e9edf1"
_PAPER = 0.9  # grey of the lines between images
_PIXELS = 480  # width of a grid written to a file, about


def canvas(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def png(figure: Figure) -> bytes:
    """A figure as a picture; equal figures give equal bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


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
    """A matrix of non-negative numbers, written into their cells as long as these are wide enough."""
    longest = max(len(name) for name in rows)
    texts = [[write(v) for v in row] for row in values]
    widest = max(len(text) for row in texts for text in row)
    cell = min(max(0.55, 0.13 * widest, 0.1 * max(map(len, columns))), 8.4 / len(columns))
    figure = canvas(1.1 + 0.085 * longest + cell * len(columns), 1.0 + 0.42 * len(rows))
    axes = figure.add_subplot()
    array = np.asarray(values, dtype=float)
    top = most or max(float(np.nanmax(array)), 1e-12)
    axes.imshow(array / top, cmap=colormaps["Blues"], vmin=0, vmax=1.1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45 if 0.1 * max(map(len, columns)) > cell else 0)
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(column_label, color=MUTED, fontsize=9, labelpad=8)
    axes.set_ylabel(row_label, color=MUTED, fontsize=9)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    if 0.075 * widest < cell:
        for i, row in enumerate(texts):
            for j, text in enumerate(row):
                dark = array[i, j] / top > 0.6
                colour = "white" if dark else (INK if array[i, j] else "#a0a8b0")
                axes.text(j, i, text, ha="center", va="center", fontsize=8.5, color=colour)
    return png(figure)


def mosaics(
    cells: Mapping[tuple[str, str], np.ndarray], rows: Sequence[str], columns: Sequence[str], gap_after: int
) -> bytes:
    """Grids of images by row and column; after ``gap_after`` columns comes a gap. Missing cells stay empty.

    Args:
        cells: By row and column, colours of shape (height, width, 3) in [0, 1].
        rows: Names of the rows.
        columns: Headings of the columns.
        gap_after: How many columns stand before the gap.
    """
    size = min(1.55, 9.2 / len(columns))
    width, height = size * (len(columns) + 0.25) + 0.5, size * len(rows) + 0.4
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    inner = 0.94 * size
    for i, name in enumerate(rows):
        for j, heading in enumerate(columns):
            left = 0.5 + size * (j + (0.25 if j >= gap_after else 0))
            bottom = height - 0.4 - size * (i + 1) + (size - inner)
            axes = figure.add_axes((left / width, bottom / height, inner / width, inner / height))
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if (name, heading) in cells:
                axes.imshow(cells[name, heading], interpolation="nearest")
            else:
                axes.text(0.5, 0.5, "–", ha="center", va="center", color=MUTED)
            if i == 0:
                axes.set_title(heading, fontsize=9, color=INK, pad=5)
            if j == 0:
                axes.set_ylabel(name, fontsize=9.5, color=INK, labelpad=6)
    return png(figure)


def strip(cells: Mapping[str, np.ndarray], first: int, across: int = 4) -> bytes:
    """Grids of images under their headings, so many in a row; those after ``first`` begin a new one.

    Args:
        cells: By heading, colours of shape (height, width, 3) in [0, 1].
        first: How many stand before the break.
        across: Most in a row.
    """
    names, size, top = list(cells), 2.25, 0.24
    places = [divmod(k, across) for k in range(first)]
    lines = math.ceil(first / across)
    places += [(lines + row, column) for row, column in (divmod(k, across) for k in range(len(names) - first))]
    wide, high = size * min(across, len(names)), (size + top) * (places[-1][0] + 1)
    figure = Figure(figsize=(wide, high), dpi=DPI, facecolor="white")
    inner = 0.94 * size
    for name, (row, column) in zip(names, places, strict=True):
        bottom = high - (row + 1) * (size + top)
        axes = figure.add_axes((column * size / wide, bottom / high, inner / wide, inner / high))
        axes.set_axis_off()
        axes.imshow(cells[name], interpolation="nearest")
        axes.set_title(name, fontsize=9.5, color=INK, pad=5, loc="left", parse_math=False)
    return png(figure)


def mosaic(images: np.ndarray, side: int, low: float, high: float, *, dark_ink: bool = False) -> np.ndarray:
    """Images side by side with thin lines between them.

    Args:
        images: Shape (n, H, W), (n, 1, H, W) or (n, 3, H, W).
        side: Images per row.
        low: Value drawn black (white with ``dark_ink``).
        high: Value drawn white (black with ``dark_ink``).
        dark_ink: Whether high values are dark.

    Returns:
        Colours in [0, 1], shape (height, width, 3).
    """
    scaled = np.clip((images - low) / (high - low if high > low else 1.0), 0, 1)
    if scaled.ndim == 3:
        scaled = scaled[:, None]
    shades = np.moveaxis(1 - scaled if dark_ink else scaled, 1, -1)
    height, width = scaled.shape[-2:]
    rows = math.ceil(len(images) / side)
    paper = np.full((rows * (height + 1) + 1, side * (width + 1) + 1, 3), _PAPER)
    for k, image in enumerate(shades):
        top, left = k // side * (height + 1) + 1, k % side * (width + 1) + 1
        paper[top : top + height, left : left + width] = image  # one channel spreads over three
    return paper


def image_grid(images: Tensor) -> bytes:
    """Images as one PNG, as near to a square as they allow; binary ones are drawn as black ink on white.

    Args:
        images: Shape (n, H, W), (n, 1, H, W) or (n, 3, H, W), n ≥ 1. Real values are drawn from 0 to 1, or over their
            own range if they leave it.
    """
    binary, values = not images.is_floating_point(), images.double().numpy()
    side = math.ceil(math.sqrt(len(values)))
    grid = mosaic(values, side, min(0.0, values.min()), max(1.0, values.max()), dark_ink=binary)
    scale = max(1, _PIXELS // grid.shape[1])
    file = io.BytesIO()
    imsave(file, grid.repeat(scale, 0).repeat(scale, 1), format="png")
    return file.getvalue()
