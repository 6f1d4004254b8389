"""Cells of a table of lines replaced, while every other character stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from coplay.core.text import cell
from coplay.core.variable import Variable
from coplay.data.tables.dates import DAYS, HOURS, DateForm
from coplay.data.tables.numbers import Marks

_PAIRS = (("no", "yes"), ("false", "true"), ("n", "y"), ("f", "t"), ("0", "1"))


@dataclass(frozen=True)
class RawRow:
    """One row of a text as it stands there.

    Args:
        line: The line in which it begins, from 1.
        cells: Its cells with their quotes and spaces.
        end: What ends it: a line break, or nothing.
    """

    line: int
    cells: list[str]
    end: str


def raw_rows(text: str, separator: str, quote: str) -> Iterator[RawRow]:
    r"""The rows of a text, of which cells and ends give the text again.

    Args:
        text: A table that :func:`read_delimited` reads.
        separator: Between cells.
        quote: Around cells; empty where quotes are ordinary characters.

    Example:
        >>> [row.cells for row in raw_rows('a, "b;\n"\r\n1,2', ",", '"')]
        [['a', ' "b;\n"'], ['1', '2']]
    """
    plain = rf"[^{re.escape(separator)}\r\n]*"
    pattern = plain
    if quote:
        q = re.escape(quote)
        spaces = "" if separator == " " else " *"
        pattern = rf"{spaces}{q}[^{q}]*(?:{q}{q}[^{q}]*)*{q}{plain}|{plain}"
    one = re.compile(pattern)
    place, line = 0, 1
    while place < len(text):
        cells = []
        while True:
            match = one.match(text, place)
            assert match is not None  # it may be empty
            cells.append(match.group())
            place = match.end()
            if text[place : place + 1] != separator:
                break
            place += 1
        end = "\r\n" if text.startswith("\r\n", place) else text[place : place + 1]
        place += len(end)
        yield RawRow(line, cells, end)
        line += 1 + sum(map(_breaks, cells))


def _breaks(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def filled(
    text: str, separator: str, quote: str, new: Mapping[int, Mapping[int, str]]
) -> tuple[str, int]:
    """Replace cells of a text.

    Args:
        text: The table.
        separator: Between cells.
        quote: Around cells.
        new: By the line of a row, by the place of a column, the new cell.

    Returns:
        The text, and how many cells were replaced.
    """
    parts = []
    count = 0
    for row in raw_rows(text, separator, quote):
        cells = row.cells
        for place, value in new.get(row.line, {}).items():
            cells[place] = _quoted(value, separator, quote)
            count += 1
        parts.append(separator.join(cells) + row.end)
    return "".join(parts), count


def _quoted(value: str, separator: str, quote: str) -> str:
    """Put quotes around a cell that needs them."""
    if not quote or not any(mark in value for mark in (separator, quote, "\n", "\r")):
        return value
    return quote + value.replace(quote, quote + quote) + quote


@dataclass(frozen=True)
class Spelling:
    """How values of a column are written, as its own cells are.

    Args:
        variable: What the column is.
        cells: The different cells that it has.
        marks: The marks inside numbers.
        dates: How it writes dates; None for no dates, or to write them as ISO 8601 has it.

    Example:
        >>> Spelling(Variable(kind="real"), ("1,25", "3"), Marks(",")).text(2.0)
        '2,00'
        >>> Spelling(Variable(kind="binary"), ("YES",), Marks()).text(0)
        'NO'
    """

    variable: Variable
    cells: tuple[str, ...]
    marks: Marks
    dates: DateForm | None = None

    def text(self, value: float) -> str:
        """Write a value."""
        v = self.variable
        if v.kind == "categorical":
            name = v.class_names[int(value)]
            # a level that nobody has written here may be a formula of a stranger
            return name if name in self.cells else cell(name)
        if v.kind == "binary":
            return self._bit(int(value))
        if v.kind == "count":
            return str(int(value))
        if self.dates is not None or v.unit in (DAYS, HOURS):
            return self._date(value)
        return self._number(value).replace(".", self.marks.decimal)

    def _bit(self, value: int) -> str:
        for text in self.cells:
            for pair in _PAIRS:
                if text.lower() in pair:
                    return _in_case_of(text, pair[value])
        return str(value)

    def _date(self, value: float) -> str:
        """Write a date that rounding does not lead out of the agreed range."""
        usual = DateForm("", has_seconds=True) if self.variable.unit == HOURS else DateForm()
        form = self.dates or usual
        low, high = self.variable.range
        step = 0.0 if form.gap or not form.order else 1.0  # whole days
        if step and round(value) > high:
            value -= step
        elif step and round(value) < low:
            value += step
        return form.write(value)

    def _number(self, value: float) -> str:
        decimals = self._decimals()
        if decimals is None:
            return f"{value:.6g}"
        low, high = self.variable.range
        text = f"{value:.{decimals}f}"
        step = 10.0**-decimals
        # rounding must not lead out of the agreed range
        if float(text) > high:
            text = f"{float(text) - step:.{decimals}f}"
        if float(text) < low:
            text = f"{float(text) + step:.{decimals}f}"
        if not low <= float(text) <= high:
            return f"{value:.6g}"
        return text.removeprefix("-") if float(text) == 0 else text

    def _decimals(self) -> int | None:
        """Return the digits behind the point; None where cells do not say."""
        counts = []
        for text in self.cells:
            plain = self.marks.plain(text)
            if plain is None or "e" in plain.lower():
                return None
            counts.append(len(plain.partition(".")[2]))
        return max(counts) if counts else None


def _in_case_of(example: str, word: str) -> str:
    if example.isupper() and len(example) > 0:
        return word.upper()
    return word.capitalize() if example[:1].isupper() else word


def different(cells: Iterable[str], without: Iterable[str]) -> tuple[str, ...]:
    """Return the different cells of a column but some, in order."""
    left_out = set(without)
    return tuple(text for text in dict.fromkeys(cells) if text not in left_out)
