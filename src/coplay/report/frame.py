"""What panels of curves and of bars have in common: a title, level lines and their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from coplay.core.text import visible
from coplay.report.axes import Scale
from coplay.report.colours import INK, MUTED
from coplay.report.svg import LETTER, LINE, letters, path, px, title
from coplay.report.words import number

FRAME = 'stroke="#aab2bb"'
"""How an axis is drawn, as attributes."""

_GRID = 'stroke="#e3e6ea"'


def title_lines(text: str, width: float) -> list[str]:
    """Return a title in as many lines as it needs in so many pixels, at least one.

    Example:
        >>> title_lines("a title of two lines", 90)
        ['a title of', 'two lines']
    """
    return wrap(visible(text), int(width / (LETTER + 0.4))) or [""]


def heading(lines: Sequence[str], meaning: str = "") -> str:
    """Return the lines of a title, with what it means on hover."""
    drawn = []
    for place, line in enumerate(lines):
        drawn.append(letters(0, 12 + LINE * place, line, INK, bold=True))
    return f"<g>{title(meaning) if meaning else ''}{''.join(drawn)}</g>"


def level_lines(y: Scale, ticks: Sequence[float], start: float, end: float) -> Iterator[str]:
    """Yield a number for each tick of the vertical axis, then a line at each.

    Args:
        y: The axis.
        ticks: Numbers on it.
        start: Where lines begin, in pixels.
        end: Where they end.
    """
    rules = []
    for tick in ticks:
        at = y.place(tick)
        rules.append(f"M{px(start)} {px(at)}H{px(end)}")
        yield letters(start - 5, at + 4, number(tick), MUTED, "end")
    yield path("".join(rules), _GRID)
