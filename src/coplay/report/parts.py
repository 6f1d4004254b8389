"""What a report is made of: sections of sentences, tables and figures with their data; and how numbers are written."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

SHOWN_PLAYERS = 12
"""How many players tables and figures show; ``report.json`` has them all."""

DPI = 150
"""Resolution of the figures; a page shows 96 of their inches' dots per CSS inch."""

_SAID = {
    "fid": "FID", "kid": "KID", "log_p": "log p", "nash_gap": "Nash gap", "md_gan": "MD-GAN", "fl_gan": "FL-GAN"
}  # fmt: skip

Cell = str | tuple[str, str]
"""Text of a table's cell, or text with a smaller line beneath."""


@dataclass(frozen=True)
class Figure:
    """A picture and what it says.

    Args:
        name: File name without suffix.
        png: The picture.
        alt: What a reader who cannot see it should know.
        caption: How to read it, with the counts behind its numbers.
    """

    name: str
    png: bytes
    alt: str
    caption: str

    @property
    def uri(self) -> str:
        """The picture as part of a page."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    @property
    def width(self) -> int:
        """Natural width on a page in CSS pixels, from the PNG's header."""
        return round(int.from_bytes(self.png[16:20], "big") / DPI * 96)


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
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    groups: Sequence[tuple[str, int]] = ()
    numeric: bool = True
    total: bool = False


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Args:
        id: Its key in ``report.json`` and its anchor.
        title: Its heading.
        text: Sentences before everything else.
        tables: Shown after the text.
        figures: Shown after the tables.
        points: A list after everything else.
        data: What the tables and figures show, as plain values.
    """

    id: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    points: Sequence[str] = ()
    data: Any = field(default_factory=dict)


def words(name: str) -> str:
    """A name from a record as a reader would say it.

    Example:
        >>> words("distance_to_prediction"), words("md_gan")
        ('distance to prediction', 'MD-GAN')
    """
    return _SAID.get(name, name.replace("_", " "))


def sentence_case(text: str) -> str:
    """With a capital to begin with, and the rest as it is.

    Example:
        >>> sentence_case("sample exchange"), sentence_case("MD-GAN")
        ('Sample exchange', 'MD-GAN')
    """
    return text[:1].upper() + text[1:]


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits; a dash if there is none.

    Example:
        >>> number(188.33476), number(0.15110), number(2000), number(None), number(float("nan"))
        ('188.3', '0.1511', '2,000', '–', 'NaN')
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}".replace("-", "−")
    return f"{value:,.{digits}g}".replace("-", "−") if abs(value) < 10**digits else f"{value:,.0f}".replace("-", "−")


def aligned(values: Iterable[float | None], whole: bool = False) -> Callable[[float | None], str]:
    """How to write the numbers of one column: with as many decimals as its largest needs, so that they can be compared.

    Args:
        values: What stands in the column.
        whole: Whether they are counts, which have no decimals if they are large or all whole.

    Example:
        >>> write = aligned([12.345, 6.0])
        >>> write(12.345), write(6.0), write(None), write(float("inf"))
        ('12.3', '6.0', '–', '∞')
    """
    most = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    decimals = 0 if whole and (most >= 1000 or most == int(most)) else 1 if most >= 10 else 2 if most >= 1 else 3

    def write(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return number(value)
        return f"{value:,.{decimals}f}".replace("-", "−")

    return write


def span(values: Iterable[int]) -> str:
    """One number if all are alike, else the smallest and the largest.

    Example:
        >>> span([2000, 2000]), span([500, 2000])
        ('2,000', '500 to 2,000')
    """
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def listed(items: Iterable[str]) -> str:
    """Items as a sentence lists them.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a"])
        ('a, b and c', 'a')
    """
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def ranges(numbers: Iterable[int]) -> str:
    """Ascending whole numbers, runs of three or more written as one.

    Example:
        >>> ranges([0, 1, 2, 3, 7, 9, 10])
        '0–3, 7, 9, 10'
    """
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{r[0]}–{r[-1]}" if len(r) > 2 else ", ".join(map(str, r)) for r in runs)


def plain(value: Any) -> Any:
    """JSON values only: what is no finite number becomes null, which every JSON reader understands.

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
    """The players shown, and a sentence that says so if they are not all."""
    shown = list(names[:SHOWN_PLAYERS])
    if len(shown) == len(names):
        return shown, []
    return shown, [f"The first {len(shown)} of {len(names):,} players are shown; report.json has them all."]
