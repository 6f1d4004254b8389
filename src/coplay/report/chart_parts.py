"""What a chart consists of: looks, curves, bars, panels, keys, and the same in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coplay.report.words import number

_NAMED = 12  # curves that a text alternative names

Dash = Literal["-", "--", ":", "-.", "- -", ""]
"""Kind of a line: solid, dashed, dotted, both in turn, far apart; or none at all between points."""


@dataclass(frozen=True)
class Look:
    """How a curve is drawn.

    Args:
        colour: Of the line and its points, such as ``"#0072B2"``.
        dash: Kind of the line.
        hollow: Whether points are rings.
        width: Of the line, in pixels.
    """

    colour: str
    dash: Dash = "-"
    hollow: bool = False
    width: float = 1.8


@dataclass(frozen=True)
class Curve:
    """Values over numbers; lists of one length.

    Args:
        name: What it is called on hover.
        x: Ascending numbers.
        y: Values; one that is not finite leaves a gap.
        look: How it is drawn.
        spread: Half the height of a band about the values; None where no spread is known, and empty
            without a band.
        level: Whether only the last value is drawn, across the panel.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    look: Look
    spread: Sequence[float | None] = ()
    level: bool = False

    def half(self, place: int) -> float:
        """Return half the height of the band at a place; 0 where none is known."""
        spread = self.spread[place] if self.spread else None
        return spread if spread is not None and math.isfinite(spread) else 0.0


@dataclass(frozen=True)
class Panel:
    """One pair of axes with curves.

    Args:
        title: Above it.
        x_label: Beneath it, and what x is called on hover.
        curves: What is drawn; later ones lie above.
        x_ticks: Numbers to write beneath the axis; None for round ones.
        y_log: Whether the vertical axis is logarithmic.
        x_log: Whether the horizontal axis is, too.
        marked: A number on the horizontal axis, and what is written at it.
        meaning: What the values mean, on hover above the title; empty for nothing.
    """

    title: str
    x_label: str
    curves: Sequence[Curve]
    x_ticks: Sequence[float] | None = None
    y_log: bool = False
    x_log: bool = False
    marked: tuple[float, str] | None = None
    meaning: str = ""


Mark = Literal["bar", "line", "ring"]
"""How a share is drawn: as a bar from 0, as a level line, or as a ring."""


@dataclass(frozen=True)
class Bars:
    """One number for each place of a panel.

    Args:
        name: What they are called on hover and in the legend.
        heights: The numbers, one for each place; one that is not finite is not drawn.
        colour: Such as ``"#0072B2"``.
        mark: How each is drawn.
        width: Of a bar or a line, as a share of the room of a place.
        shift: How far right of the middle of its place it stands, in rooms.
        spread: Half the height of a band about each number; empty without bands.
        band: What a band is, for hover and legend.
    """

    name: str
    heights: Sequence[float]
    colour: str
    mark: Mark = "bar"
    width: float = 0.8
    shift: float = 0.0
    spread: Sequence[float] = ()
    band: str = ""


@dataclass(frozen=True)
class BarPanel:
    """One pair of axes with a number for each place: a class, a category, a bin.

    Args:
        title: Above it.
        x_label: What a place is called on hover, and beneath the axis if it is ``named``.
        places: Name of each place; the ends of bins beside them, if there are ``edges``.
        bars: What is drawn; later ones lie above.
        edges: Ends of the places, one more than there are places, ascending; empty for places of
            equal width, each with its name beneath.
        named: Whether the label is written.
    """

    title: str
    x_label: str
    places: Sequence[str]
    bars: Sequence[Bars]
    edges: Sequence[float] = ()
    named: bool = True


@dataclass(frozen=True)
class Key:
    """An entry of a legend.

    Args:
        label: What a look stands for.
        look: The look.
        has_points: Whether it has a point beside its line.
        is_filled: Whether it is a bar, or a band, instead of a line.
        opacity: Of what is filled.
    """

    label: str
    look: Look
    has_points: bool = True
    is_filled: bool = False
    opacity: float = 1.0


def alternative(panel: Panel | BarPanel) -> str:
    """Say in a sentence what a panel shows, for readers without sight."""
    return _of_bars(panel) if isinstance(panel, BarPanel) else _of_curves(panel)


def _of_curves(panel: Panel) -> str:
    texts = []
    for curve in panel.curves[:_NAMED]:
        places = [place for place, value in enumerate(curve.y) if math.isfinite(value)]
        if not places:
            continue
        first, last = places[0], places[-1]
        name = f"{curve.name}: " if curve.name else ""
        end = f"{number(curve.y[last])} at {number(curve.x[last])}"
        if first == last or curve.level:
            texts.append(f"{name}{end}")
        else:
            start = f"{number(curve.y[first])} at {number(curve.x[first])}"
            texts.append(f"{name}{start}, {end}")
    if len(panel.curves) > _NAMED:
        texts.append(f"and {len(panel.curves) - _NAMED} more")
    shown = "; ".join(texts) or "no value is a finite number"
    return f"Curves of {panel.title} over {panel.x_label}: {shown}."


def _of_bars(panel: BarPanel) -> str:
    texts = []
    shown = panel.places[:_NAMED]
    for bars in panel.bars:
        pairs = zip(shown, bars.heights, strict=False)
        each = [f"{place}: {number(height)}" for place, height in pairs if math.isfinite(height)]
        texts.append(f"{bars.name} ({', '.join(each)})")
    rest = len(panel.places) - len(shown)
    more = f" and {rest} more places" if rest else ""
    return f"Shares of {panel.title} by {panel.x_label}: {'; '.join(texts)}{more}."


def amount(value: float, half: float) -> str:
    """Write a value with its spread, if there is any."""
    return f"{number(value)} ± {number(half, 3)}" if half else number(value)
