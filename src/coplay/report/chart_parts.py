"""What a chart of curves consists of: looks, curves, panels, keys, and the same in words."""

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


@dataclass(frozen=True)
class Key:
    """An entry of a legend.

    Args:
        label: What a look stands for.
        look: The look.
        has_points: Whether it has a point beside its line.
    """

    label: str
    look: Look
    has_points: bool = True


def alternative(panel: Panel) -> str:
    """Say in a sentence what a panel shows, for readers without sight."""
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


def amount(value: float, half: float) -> str:
    """Write a value with its spread, if there is any."""
    return f"{number(value)} ± {number(half, 3)}" if half else number(value)
