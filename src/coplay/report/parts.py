"""What a page is made of: sections of sentences, tables and pictures with their data."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from coplay.metrics.base import Value
from coplay.report.chart import Chart
from coplay.report.words import Writer, interval, scalar, sentence_case

SHOWN_PLAYERS = 12
"""How many players tables and figures show; ``report.json`` has them all."""

DPI = 150
"""Resolution of the figures; a page shows 96 of their inches' dots per CSS inch."""

_LONGEST = 18  # letters of a word; longer ones break
_BETWEEN = 1.5  # letters of room that a column of a table has beside its words

Cell = str | tuple[str, str]
"""Text of a table's cell, or text with a smaller line beneath."""


def _longest_word(cell: Cell) -> int:
    texts = [cell] if isinstance(cell, str) else cell
    return max((len(word) for text in texts for word in text.split()), default=0)


def has_long_word(cell: Cell) -> bool:
    """Whether a cell has a word that has to break, or it would make its column too wide.

    Example:
        >>> has_long_word("many short words"), has_long_word(("a", "longer/than/a/narrow/column"))
        (False, True)
    """
    return _longest_word(cell) > _LONGEST


@dataclass(frozen=True)
class Picture:
    """A picture and its texts.

    Args:
        name: File name without suffix.
        png: The picture.
        alt: A description for readers without sight.
        caption: How to read it, with the counts behind its numbers.
    """

    name: str
    png: bytes
    alt: str
    caption: str

    @property
    def ending(self) -> str:
        """Ending of its file."""
        return "png"

    @property
    def content(self) -> bytes:
        """Content of its file."""
        return self.png

    @property
    def uri(self) -> str:
        """The picture as part of a page."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    @property
    def width(self) -> int:
        """Natural width on a page in CSS pixels, from the PNG's header."""
        return round(int.from_bytes(self.png[16:20], "big") / DPI * 96)


@dataclass(frozen=True)
class ChartPicture:
    """Curves and their texts; each panel has an alternative in words of its own.

    Args:
        name: File name without suffix.
        chart: The curves.
        caption: How to read it, with the counts behind its numbers.
    """

    name: str
    chart: Chart
    caption: str

    @property
    def ending(self) -> str:
        """Ending of its file."""
        return "svg"

    @property
    def content(self) -> bytes:
        """Content of its file."""
        return self.chart.file


@dataclass(frozen=True)
class Term:
    """What a heading of a table means: shown on hover, and in a line beneath the table.

    Args:
        name: The heading, as it stands in the table.
        meaning: What it is, in a sentence without a full stop; empty where nothing is known.
        detail: Sentences on unit and counts.
    """

    name: str
    meaning: str
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        header: One text per column.
        rows: The first cell of a row names it.
        caption: How to read it.
        groups: A row above the header: text and how many columns it spans.
        numeric: Whether the columns after the first hold numbers.
        total: Whether the last row sums up the others.
        terms: What headings mean.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    groups: Sequence[tuple[str, int]] = ()
    numeric: bool = True
    total: bool = False
    terms: Sequence[Term] = ()

    @property
    def letters(self) -> float:
        """About how many letters wide it is where lines break between words, as in print."""
        total = 0.0
        for column, heading in enumerate(self.header):
            longest = _longest_word(heading)
            for row in self.rows:
                longest = max(longest, _longest_word(row[column]))
            total += min(longest, _LONGEST) + _BETWEEN
        return total

    def hover(self, text: str) -> str:
        """Return what is shown where a heading is hovered over; empty for nothing."""
        meanings = [term.meaning for term in self.terms if term.name == text]
        return sentence_case(meanings[0]) if meanings else ""


@dataclass(frozen=True)
class PageSection:
    """One part of the page.

    Args:
        id: Its key in ``report.json`` and its anchor.
        title: Its heading.
        text: Sentences before everything else.
        tables: Shown after the text.
        pictures: Shown after the tables.
        points: A list after everything else.
        is_empty: Whether the text only says why there is nothing; a page lists such sections.
        data: What the tables and pictures show, as plain values.
    """

    id: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture | ChartPicture] = ()
    points: Sequence[str] = ()
    data: Any = field(default_factory=dict)
    is_empty: bool = False


def value_cell(value: Value | None, write: Writer) -> Cell:
    """Write a value that is one number, with its interval in the line beneath where it has one.

    Example:
        >>> from coplay.report.words import aligned
        >>> value_cell(Value(33.6, "", "lower", 10, low=31.9, high=35.4), aligned([33.6]))
        ('33.6', '[31.9, 35.4]')
    """
    if value is None:
        return write(None)
    number = write(scalar(value))
    beneath = interval(value, write).strip()
    return (number, beneath) if beneath else number


def plain(value: Any) -> Any:
    """Turn values into JSON ones.

    A number that is not finite becomes null, which every JSON reader understands.

    Example:
        >>> plain({"a": (1.5, float("nan"))})
        {'a': [1.5, None]}
    """
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def first_players(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the players to show, and a sentence that says so if they are not all."""
    shown = list(names[:SHOWN_PLAYERS])
    notes = []
    if len(shown) < len(names):
        players = f"The first {len(shown)} of {len(names):,} players"
        notes.append(f"{players} are shown; report.json has them all.")
    return shown, notes
