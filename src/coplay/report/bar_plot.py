"""One panel of bars as SVG, with the numbers of each place on hover."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from coplay.report.axes import Scale, evenly, linear_ticks
from coplay.report.chart_parts import BarPanel, Bars, Look
from coplay.report.colours import INK, MUTED
from coplay.report.frame import FRAME, heading, level_lines, title_lines
from coplay.report.svg import LETTER, LINE, Drawing, letters, path, point, px, title
from coplay.report.words import number, shortened

_MOST_NAMES = 24  # with more places, some have no name beneath them
_LONGEST = 12  # letters of a name beneath its place
_TURNED = 0.77, 0.65  # room across and down of a turned letter, in letters
BAND = 0.25
"""Opacity of bands."""


@dataclass(frozen=True)
class BarPlot:
    """A panel of bars on its way to a drawing.

    Args:
        panel: The panel.
        width: In pixels.
        height: Of what is between title and names, in pixels.
    """

    panel: BarPanel
    width: float
    height: float

    @property
    def drawing(self) -> Drawing:
        """The panel: later bars lie above earlier ones, and what is hovered over above all."""
        lines = level_lines(self.y, self.y_ticks, self.x.start, self.x.end)
        body = [heading(self.title_lines), *lines]
        for bars in self.panel.bars:
            body += self._stairs(bars) if self._is_stairs(bars) else self._marks(bars)
        body += [*self._axis(), self._spots()]
        height = self.y.start + self._beneath + (18 if self.panel.named else 2)
        return Drawing(self.width, height, "".join(body))

    # --------------------------------------------------------------------------------- axes

    @cached_property
    def title_lines(self) -> list[str]:
        """The title, in as many lines as it needs."""
        return title_lines(self.panel.title, self.width)

    @cached_property
    def y(self) -> Scale:
        """The vertical axis: 0 and all marks with their bands lie on it."""
        top = 6.0 + LINE * len(self.title_lines)
        low, high = self.ends
        return Scale(low, high, top + self.height, top)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The ends of the vertical axis."""
        values = [0.0]
        for bars in self.panel.bars:
            for place, height in enumerate(bars.heights):
                if math.isfinite(height):
                    values += [height, height + _half(bars, place)]
        low, high = 1.06 * min(values), 1.06 * max(values)
        return low, high if high > low else 1.0

    @cached_property
    def y_ticks(self) -> list[float]:
        """Numbers beside the vertical axis."""
        return linear_ticks(*self.ends, 5)

    @cached_property
    def x(self) -> Scale:
        """The horizontal axis: the number of a place is in its middle, or bins have their ends."""
        start = 10 + LETTER * max(len(number(tick)) for tick in self.y_ticks)
        end = self.width - 8
        if self.panel.edges:
            return Scale(self.panel.edges[0], self.panel.edges[-1], start, end)
        if self._is_turned:  # the first name must not begin left of the picture
            start = max(start, _TURNED[0] * LETTER * len(self._names[0]))
        return Scale(-0.6, len(self.panel.places) - 0.4, start, end)

    @cached_property
    def _names(self) -> list[str]:
        """What stands beneath the places that have a name there."""
        places = evenly(len(self.panel.places), _MOST_NAMES)
        return shortened([self.panel.places[place] for place in places], _LONGEST)

    @cached_property
    def _is_turned(self) -> bool:
        """Whether names are too long to stand beside each other."""
        if self.panel.edges:
            return False
        return LETTER * (sum(map(len, self._names)) + len(self._names)) > self.width - 50

    @property
    def _beneath(self) -> float:
        """Room for names beneath the axis, in pixels."""
        if not self._is_turned:
            return 20.0
        return 16 + _TURNED[1] * LETTER * max(map(len, self._names))

    def _axis(self) -> Iterator[str]:
        """Yield the axis with its names or numbers, and its label."""
        bottom = self.y.start
        axis = [f"M{px(self.x.start)} {px(bottom)}H{px(self.x.end)}"]
        if self.panel.edges:
            for tick in linear_ticks(self.x.low, self.x.high, 5):
                at = self.x.place(tick)
                axis.append(f"M{px(at)} {px(bottom)}v4")
                yield letters(at, bottom + 17, number(tick), MUTED, "middle")
        else:
            places = evenly(len(self.panel.places), _MOST_NAMES)
            for place, name in zip(places, self._names, strict=True):
                at = self.x.place(place)
                if self._is_turned:
                    yield letters(at + 3, bottom + 12, name, MUTED, "end", turned=True)
                else:
                    yield letters(at, bottom + 17, name, MUTED, "middle")
        yield path("".join(axis), FRAME)
        if self.panel.named:
            middle = (self.x.start + self.x.end) / 2
            beneath = bottom + self._beneath + 12
            yield letters(middle, beneath, self.panel.x_label, MUTED, "middle")

    # --------------------------------------------------------------------------------- bars

    def _ends(self, place: int, width: float = 1.0, shift: float = 0.0) -> tuple[float, float]:
        """Return where a mark of a place begins and ends, in pixels."""
        if self.panel.edges:
            low, high = self.panel.edges[place : place + 2]
            return self.x.place(low), self.x.place(high)
        middle = place + shift
        return self.x.place(middle - width / 2), self.x.place(middle + width / 2)

    def _marks(self, bars: Bars) -> Iterator[str]:
        """Yield bars, level lines or rings, one for each place, and their bands."""
        shapes = []
        for place, height in enumerate(bars.heights):
            if not math.isfinite(height):
                continue
            left, right = self._ends(place, bars.width, bars.shift)
            half = _half(bars, place)
            if half:
                yield self._box(left, right, max(0.0, height - half), height + half, bars, BAND)
            if bars.mark == "ring":
                look = Look(bars.colour, hollow=True)
                yield point((left + right) / 2, self.y.place(height), look)
            elif bars.mark == "line":
                shapes.append(f"M{px(left)} {px(self.y.place(height))}H{px(right)}")
            else:
                yield self._box(left, right, 0.0, height, bars, 1.0)
        if shapes:
            yield path("".join(shapes), f'stroke="{bars.colour}" stroke-width="2.4"')

    def _box(
        self, left: float, right: float, low: float, high: float, bars: Bars, opacity: float
    ) -> str:
        """Return a filled box between two numbers."""
        down, up = px(self.y.place(low)), px(self.y.place(high))
        points = f"M{px(left)} {down}V{up}H{px(right)}V{down}Z"
        filled = f'fill="{bars.colour}"'
        if opacity < 1:
            filled += f' fill-opacity="{opacity:g}"'
        return path(points, filled)

    def _is_stairs(self, bars: Bars) -> bool:
        """Whether level lines are joined, as those of bins are."""
        return bool(self.panel.edges) and bars.mark == "line"

    def _stairs(self, bars: Bars) -> Iterator[str]:
        """Yield one line over all bins, which begins and ends at 0."""
        bottom = px(self.y.place(0.0))
        points = [f"M{px(self.x.start)} {bottom}"]
        for (_, high), height in zip(pairwise(self.panel.edges), bars.heights, strict=True):
            up = px(self.y.place(height)) if math.isfinite(height) else bottom
            points.append(f"V{up}H{px(self.x.place(high))}")
        yield path("".join([*points, f"V{bottom}"]), f'stroke="{bars.colour}" stroke-width="1.6"')

    def _spots(self) -> str:
        """Return what is shown on hover: over each place, all numbers of that place."""
        spots = []
        top, bottom = px(self.y.end), px(self.y.start)
        for place, name in enumerate(self.panel.places):
            left, right = map(px, self._ends(place))
            lines = [f"{self.panel.x_label} {name}"]
            for bars in self.panel.bars:
                if math.isfinite(bars.heights[place]):
                    lines.append(_line(bars, place))
            points = f"M{left} {top}H{right}V{bottom}H{left}Z"
            spots.append(path(points, 'class="spot"', title("\n".join(lines))))
        return f'<g fill="{INK}" fill-opacity="0">{"".join(spots)}</g>'


def _half(bars: Bars, place: int) -> float:
    """Return half the height of the band at a place; 0 without one."""
    return bars.spread[place] if bars.spread else 0.0


def _line(bars: Bars, place: int) -> str:
    """Write a number with its name, and the ends of its band."""
    height, half = bars.heights[place], _half(bars, place)
    text = f"{bars.name}: {number(height)}"
    if not half:
        return text
    return f"{text}; {bars.band}: {number(max(0.0, height - half))} to {number(height + half)}"
