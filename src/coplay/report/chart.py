"""A chart of curves or bars: SVG, sharp on screens and in print, that shows values on hover.

A page has one drawing per panel, so that a narrow one puts them beneath each other; the file in
``figures`` has all of them in one. Matplotlib's SVG has neither titles on points nor a text
alternative, and one drawing of all panels, which a narrow page makes too small to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coplay.report.bar_plot import BarPlot
from coplay.report.chart_parts import BarPanel, Key, Panel, alternative
from coplay.report.colours import INK
from coplay.report.plot import Plot
from coplay.report.svg import LINE, Drawing, key_of, letters, px

_HOVERS = 480  # most points of a chart of long curves that have a value on hover
_ACROSS = 3  # panels beside each other in a file; four are two and two
_GAP = 12  # between panels in a file, in pixels


@dataclass(frozen=True)
class Chart:
    """Panels that share a legend.

    Args:
        panels: At least one.
        keys: The legend.
    """

    panels: Sequence[Panel | BarPanel]
    keys: Sequence[Key]

    @property
    def is_alone(self) -> bool:
        """Whether there is one panel, which is then larger."""
        return len(self.panels) == 1

    @property
    def drawings(self) -> list[str]:
        """Each panel as a drawing of its own, for a page."""
        drawings = []
        for panel, drawing in zip(self.panels, self._drawn, strict=True):
            drawings.append(drawing.svg(alternative(panel)))
        return drawings

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The legend for a page: drawings, which readers without sight do without, and labels."""
        keys = []
        for key in self.keys:
            frame = '<svg width="28" height="12" fill="none" aria-hidden="true">'
            keys.append((f"{frame}{key_of(key)}</svg>", key.label))
        return keys

    @property
    def file(self) -> bytes:
        """The legend above all panels, as one drawing."""
        body = []
        top = 6.0
        for key in self.keys:
            line = f'<g transform="translate(4 {px(top)})">{key_of(key)}</g>'
            body.append(line + letters(38, top + 10, key.label, INK))
            top += LINE
        drawn = self._drawn
        across = 2 if len(drawn) == 4 else _ACROSS
        for first in range(0, len(drawn), across):
            row = drawn[first : first + across]
            for place, drawing in enumerate(row):
                left = place * (drawing.width + _GAP)
                body.append(f'<g transform="translate({px(left)} {px(top)})">{drawing.body}</g>')
            top += max(drawing.height for drawing in row) + _GAP
        columns = min(across, len(drawn))
        width = columns * (drawn[0].width + _GAP) - _GAP
        paper = f'<rect width="{px(width)}" height="{px(top)}" fill="#fff"/>'
        whole = Drawing(width, top, paper + "".join(body))
        shown = whole.svg("; ".join(panel.title for panel in self.panels))
        return shown.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).encode()

    @property
    def _drawn(self) -> list[Drawing]:
        width, height = (440.0, 220.0) if self.is_alone else (310.0, 180.0)
        curves = sum(len(panel.curves) for panel in self.panels if isinstance(panel, Panel))
        hovers = max(1, _HOVERS // max(1, curves))
        drawings = []
        for panel in self.panels:
            if isinstance(panel, BarPanel):
                drawings.append(BarPlot(panel, width, 0.75 * height).drawing)
            else:
                drawings.append(Plot(panel, width, height, hovers).drawing)
        return drawings
