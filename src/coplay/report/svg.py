"""Pieces of SVG: lines, points, letters, and what is shown on hover."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from coplay.core.text import visible
from coplay.report.chart_parts import Key, Look

LETTER = 6.1
"""Width of a letter in pixels, about."""

LINE = 15
"""Height of a line of letters in pixels."""

_SIZE = 11  # of letters, in pixels
_DASHES = {"-": "", "--": "6 3", ":": "1.5 2.5", "-.": "7 3 1.5 3", "- -": "3 6", "": ""}


@dataclass(frozen=True)
class Drawing:
    """A drawing without its frame.

    Args:
        width: In pixels.
        height: In pixels.
        body: What is inside, as SVG.
    """

    width: float
    height: float
    body: str

    def svg(self, alternative: str) -> str:
        """Return the drawing with its frame.

        Args:
            alternative: What it shows, in words, for readers without sight.
        """
        size = f"{px(self.width)} {px(self.height)}"
        label = escape(visible(alternative))
        return (
            f'<svg viewBox="0 0 {size}" width="{px(self.width)}" role="img" aria-label="{label}" '
            f'font-family="system-ui,sans-serif" font-size="{_SIZE}" fill="none">{self.body}</svg>'
        )


def path(points: str, stroke: str, inner: str = "") -> str:
    """Return a line.

    Args:
        points: Its points, as the letters and numbers of a path.
        stroke: How it is drawn, as attributes.
        inner: What stands inside, such as a title.
    """
    start = f'<path d="{points}" {stroke}'
    return f"{start}>{inner}</path>" if inner else f"{start}/>"


def stroke_of(look: Look) -> str:
    """Return how the line of a look is drawn, as attributes."""
    colour = f'stroke="{look.colour}" stroke-width="{look.width:g}"'
    if _DASHES[look.dash]:
        return f'{colour} stroke-dasharray="{_DASHES[look.dash]}"'
    return f'{colour} stroke-linejoin="round" stroke-linecap="round"'


def point(x: float, y: float, look: Look) -> str:
    """Return a point of a curve: a disc, or a ring."""
    inside = f'r="2.8" fill="{look.colour}"'
    if look.hollow:
        inside = f'r="2.6" fill="#fff" stroke="{look.colour}" stroke-width="1.5"'
    return f'<circle cx="{px(x)}" cy="{px(y)}" {inside}/>'


def spot(x: float, y: float, text: str) -> str:
    """Return a place that shows a text on hover, larger than the point that it lies on."""
    return f'<circle class="spot" cx="{px(x)}" cy="{px(y)}" r="6">{title(text)}</circle>'


def key_of(key: Key) -> str:
    """Return the line of a key, 28 by 12 pixels, with a point in its middle."""
    if key.is_filled:
        return path("M5 0H23V12H5Z", f'fill="{key.look.colour}" fill-opacity="{key.opacity:g}"')
    line = path("M1 6H27", stroke_of(key.look)) if key.look.dash else ""
    return line + (point(14, 6, key.look) if key.has_points else "")


def letters(
    x: float,
    y: float,
    text: str,
    colour: str,
    anchor: str = "start",
    *,
    bold: bool = False,
    turned: bool = False,
) -> str:
    """Return a text.

    Args:
        x: Where it stands, in pixels.
        y: Where its letters stand on, in pixels.
        text: The text; what would hide or reorder text is escaped.
        colour: Of the letters.
        anchor: Whether its ``"start"``, ``"middle"`` or ``"end"`` is at x.
        bold: Whether letters are heavier.
        turned: Whether they rise, by 40 degrees about their place.
    """
    more = "" if anchor == "start" else f' text-anchor="{anchor}"'
    more += ' font-weight="600"' if bold else ""
    more += f' transform="rotate(-40 {px(x)} {px(y)})"' if turned else ""
    content = escape(visible(text), quote=False)
    return f'<text x="{px(x)}" y="{px(y)}" fill="{colour}"{more}>{content}</text>'


def title(text: str) -> str:
    """Return what is shown on hover; it may have several lines."""
    return f"<title>{escape(visible(text), quote=False)}</title>"


def px(value: float) -> str:
    """Write pixels, to a tenth.

    Example:
        >>> px(12.04), px(3.25)
        ('12', '3.2')
    """
    return f"{value:.1f}".removesuffix(".0")
