"""Stacked bars: the share that each part has of a total, as PNG."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from coplay.core.text import visible
from coplay.report.colours import INK, MUTED
from coplay.report.figures import WIDE, canvas, plain_style, png
from coplay.report.words import number, words

_PART_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#b9c0c8")


@plain_style
def stacked(bars: Mapping[str, Mapping[str, float]], unit: str) -> bytes:
    """Draw a row per entry: the share that each part has of the total, which stands at the end.

    Args:
        bars: By row and part, how much; not negative.
        unit: Unit of the total.
    """
    parts: dict[str, None] = {}
    for bar in bars.values():
        parts |= dict.fromkeys(bar)
    colours = dict.fromkeys(parts, MUTED)
    colours |= dict(zip(parts, _PART_COLOURS, strict=False))
    figure = canvas(WIDE * 0.9, 0.75 + 0.42 * len(bars))
    axes = figure.add_subplot()
    for row, bar in enumerate(bars.values()):
        _stack(axes, row, bar, colours)
        total = visible(f"{number(sum(bar.values()), 3)} {unit}")
        axes.text(1.01, row, total, va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(bars)), [visible(words(name)) for name in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    keys = [Patch(color=colour, label=visible(part)) for part, colour in colours.items()]
    figure.legend(
        handles=keys,
        loc="outside upper center",
        ncols=len(keys),
        frameon=False,
        fontsize=9,
    )
    return png(figure)


def _stack(axes: Axes, row: int, bar: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """One row of stacked bars, from 0 to 1; wide enough parts say their share."""
    total = sum(bar.values()) or 1.0
    left = 0.0
    for place, (part, colour) in enumerate(colours.items()):
        share = bar.get(part, 0.0) / total
        axes.barh(row, share, left=left, height=0.62, color=colour)
        if share > 0.06:
            ink = "white" if place == 0 else INK  # the first colour is dark
            middle = left + share / 2
            text = axes.text(middle, row, f"{share:.0%}", ha="center", va="center", fontsize=8.5)
            text.set_color(ink)
        left += share
