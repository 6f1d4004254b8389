"""One panel of curves as SVG, with each value on hover."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from coplay.report.axes import Scale, evenly, linear_ticks, log_ticks, room, thinned
from coplay.report.chart_parts import Curve, Panel, amount
from coplay.report.colours import INK, MUTED
from coplay.report.frame import FRAME, heading, level_lines, title_lines
from coplay.report.svg import (
    LETTER,
    LINE,
    Drawing,
    letters,
    path,
    point,
    px,
    spot,
    stroke_of,
    title,
)
from coplay.report.words import number

_MARKED = 20  # a curve with more points shows them on hover only
_DRAWN = 240  # most points of a curve that are drawn


@dataclass(frozen=True)
class Plot:
    """A panel on its way to a drawing.

    Args:
        panel: The panel.
        width: In pixels.
        height: Of what is between title and label, in pixels.
        hovers: Most points of a long curve that have a value on hover.
    """

    panel: Panel
    width: float
    height: float
    hovers: int

    @property
    def drawing(self) -> Drawing:
        """The panel: later curves lie above earlier ones, and what is hovered over above all.

        Where two curves are one, the dashes of the later leave the line of the earlier visible.
        """
        heads = heading(self.title_lines, self.panel.meaning)
        body = [heads, *self._grid(), *self._mark()]
        for curve in self.panel.curves:
            body += self._level(curve) if curve.level else self._line(curve)
        return Drawing(self.width, self.y.start + 40, "".join([*body, self._spots()]))

    # --------------------------------------------------------------------------------- axes

    @cached_property
    def title_lines(self) -> list[str]:
        """The title, in as many lines as it needs."""
        return title_lines(self.panel.title, self.width)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The ends of the vertical axis: all values lie between them, their bands included."""
        values: list[float] = []
        for curve in self.panel.curves:
            places = range(len(curve.y))
            for place in places[-1:] if curve.level else places:
                value = curve.y[place]
                half = curve.half(place)
                # on a logarithmic axis a band ends where the axis does
                low = value if self.panel.y_log else value - half
                values += [low, value + half]
        return room(values, self.panel.y_log)

    @cached_property
    def x(self) -> Scale:
        """The horizontal axis."""
        panel = self.panel
        longest = max((len(number(tick)) for tick in self.y_ticks), default=1)
        numbers = [float(x) for curve in panel.curves if not curve.level for x in curve.x]
        if panel.marked is not None:
            numbers.append(panel.marked[0])
        low, high = room(numbers, panel.x_log, 0.03)
        return Scale(low, high, 10 + LETTER * longest, self.width - 12, panel.x_log)

    @cached_property
    def y(self) -> Scale:
        """The vertical axis."""
        top = 6.0 + LINE * len(self.title_lines)
        low, high = self.ends
        return Scale(low, high, top + self.height, top, self.panel.y_log)

    @cached_property
    def x_ticks(self) -> Sequence[float]:
        """Numbers beneath the horizontal axis."""
        if self.panel.x_ticks is not None:
            return self.panel.x_ticks
        ticks = log_ticks if self.panel.x_log else linear_ticks
        return ticks(self.x.low, self.x.high, 5)

    @cached_property
    def y_ticks(self) -> list[float]:
        """Numbers beside the vertical axis."""
        low, high = self.ends
        return log_ticks(low, high) if self.panel.y_log else linear_ticks(low, high, 5)

    def _grid(self) -> Iterator[str]:
        """Yield level lines with their numbers, then the axis with its numbers and its label."""
        yield from level_lines(self.y, self.y_ticks, self.x.start, self.x.end)
        bottom = self.y.start
        axis = [f"M{px(self.x.start)} {px(bottom)}H{px(self.x.end)}"]
        for tick in self.x_ticks:
            at = self.x.place(tick)
            axis.append(f"M{px(at)} {px(bottom)}v4")
            yield letters(at, bottom + 17, number(tick), MUTED, "middle")
        yield path("".join(axis), FRAME)
        middle = (self.x.start + self.x.end) / 2
        yield letters(middle, bottom + 33, self.panel.x_label, MUTED, "middle")

    def _mark(self) -> Iterator[str]:
        """Yield an upright line at the number that is marked."""
        if self.panel.marked is not None:
            value, text = self.panel.marked
            at = self.x.place(value)
            yield path(f"M{px(at)} {px(self.y.end)}V{px(self.y.start)}", f'stroke="{MUTED}"')
            yield letters(at + 4, self.y.end + 10, text, MUTED)

    # ------------------------------------------------------------------------------- curves

    def _level(self, curve: Curve) -> Iterator[str]:
        """Yield a level line at the last value, with its band."""
        value = curve.y[-1]
        if not math.isfinite(value):
            return
        half = curve.half(len(curve.y) - 1)
        left = px(self.x.start)
        right = px(self.x.end)
        if half:
            low = self._up(value - half)
            high = self._up(value + half)
            band = f"M{left} {low}H{right}V{high}H{left}Z"
            yield path(band, f'fill="{curve.look.colour}" fill-opacity=".1"')
        line = f"M{left} {self._up(value)}H{right}"
        yield path(line, stroke_of(curve.look))
        text = f"{curve.name}\n{amount(value, half)}".strip()
        yield path(line, 'stroke="transparent" stroke-width="9"', title(text))

    def _line(self, curve: Curve) -> Iterator[str]:
        """Yield the band and the line, in stretches between gaps, and points where they are few."""
        stretches = []
        for places in _stretches(curve):
            if any(curve.half(place) for place in places):
                yield self._band(curve, places)
            values = [curve.y[place] for place in places]
            points = self._joined([curve.x[place] for place in places], values)
            # a stretch of one point is a dot, by the round ends of the line
            stretches.append(f"M{points}{'' if 'L' in points else 'h0'}")
        if curve.look.dash and stretches:
            yield path("".join(stretches), stroke_of(curve.look))
        finite = _finite(curve)
        for place in finite if len(finite) <= _MARKED else []:
            yield point(self.x.place(curve.x[place]), self.y.place(curve.y[place]), curve.look)

    def _band(self, curve: Curve, places: Sequence[int]) -> str:
        """Return what lies within one spread about the values."""
        edges = []
        for sign, order in ((1, places), (-1, places[::-1])):
            edge = [curve.y[place] + sign * curve.half(place) for place in order]
            edges.append(self._joined([curve.x[place] for place in order], edge))
        points = f"M{'L'.join(edges)}Z"
        return path(points, f'fill="{curve.look.colour}" fill-opacity=".15"')

    def _shown(self, curve: Curve) -> list[int]:
        """Return places whose values are shown on hover: all of a short curve, else some."""
        finite = _finite(curve)
        if len(finite) <= _MARKED:
            return finite
        return [finite[k] for k in evenly(len(finite), self.hovers)]

    def _spots(self) -> str:
        """Return what is shown on hover, once where several curves have one point."""
        texts: dict[tuple[float, float], list[str]] = {}
        for curve in self.panel.curves:
            for place in [] if curve.level else self._shown(curve):
                across = round(self.x.place(curve.x[place]), 1)
                up = round(self.y.place(curve.y[place]), 1)
                at = f"{self.panel.x_label} {number(curve.x[place])}"
                text = f"{curve.name}\n{at}: {amount(curve.y[place], curve.half(place))}"
                texts.setdefault((across, up), []).append(text.strip())
        spots = [spot(*place, "\n".join(lines)) for place, lines in texts.items()]
        return f'<g fill="{INK}" fill-opacity="0">{"".join(spots)}</g>'

    def _joined(self, x: Sequence[float], y: Sequence[float]) -> str:
        """Return points as those of a line."""
        points = []
        for across, up in thinned(x, y, _DRAWN):
            points.append(f"{px(self.x.place(across))} {self._up(up)}")
        return "L".join(points)

    def _up(self, value: float) -> str:
        """Return where a value stands, or the end of the axis where that is nearer."""
        return px(self.y.place(min(max(value, self.y.low), self.y.high)))


def _finite(curve: Curve) -> list[int]:
    """Return places of values that are numbers."""
    return [place for place, value in enumerate(curve.y) if math.isfinite(value)]


def _stretches(curve: Curve) -> Iterator[list[int]]:
    """Yield places of values without a gap between them."""
    stretch: list[int] = []
    for place, value in enumerate(curve.y):
        if math.isfinite(value):
            stretch.append(place)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch
