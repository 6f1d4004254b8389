"""How a table of lines is written, found from its first lines: separator, quotes, names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coplay.core.errors import DataError
from coplay.data.tables.formats import TextFormat, ending
from coplay.data.tables.numbers import is_date, is_marked
from coplay.data.words import quoted, some

HEAD = 100_000
"""Bytes of a file from which it is found how it is written."""

_SEPARATORS = (";", "\t", "|", ",")
_NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Written:
    """How a table of lines is written.

    Args:
        separator: Between cells.
        quote: Around cells; empty for none.
        notes: What was found, in sentences.
    """

    separator: str
    quote: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Division:
    """A separator that divides every line into as many cells.

    Args:
        separator: It.
        count: How many cells it divides the first line into.
    """

    separator: str
    count: int


def written(path: Path, head: str, form: TextFormat) -> Written:
    """Find how a table of lines is written, where it was not said.

    Args:
        path: The file.
        head: Its first characters.
        form: What was said.

    Raises:
        DataError: It is written in a way that cannot be read, or what was said divides its lines
            worse than another separator does.
    """
    notes = []
    quote = form.quote
    if quote is None:
        quote = _quote_of(head)
        if quote != '"':
            notes.append(f"cells stand in {quote}, as found")
    usual = "\t" if ending(path) == ".tsv" else ","
    lines = _lines_of(head, quote)
    other = _better_division(lines, form.separator or usual)
    if form.separator is not None:
        _check_separator(path, lines, form.separator, other)
        return Written(form.separator, quote, tuple(notes))
    if other is not None:
        notes.append(
            f"cells are divided by {_called(other.separator)}, as found: {other.count} a line"
        )
        return Written(other.separator, quote, tuple(notes))
    if lines and usual not in lines[0]:
        _check_unusual(path, lines)
    return Written(usual, quote, tuple(notes))


def _called(separator: str) -> str:
    return "tabs" if separator == "\t" else repr(separator)


def _lines_of(head: str, quote: str) -> list[str]:
    """Return the first lines without what stands in quotes, whose separators are text."""
    mark = re.escape(quote or '"')
    plain = re.sub(f"{mark}[^{mark}]*{mark}", "", head)
    lines = [line for line in plain.splitlines() if line.strip()][:20]
    return lines[:-1] if len(head) > HEAD - 10 else lines  # the last may be cut off


def _better_division(lines: Sequence[str], separator: str) -> _Division | None:
    """Return what divides lines better than a separator; None where nothing does."""
    if not lines:
        return None
    own = lines[0].count(separator)
    for other in _SEPARATORS:
        count = lines[0].count(other)
        is_everywhere = all(line.count(other) == count for line in lines)
        if other == separator or not count or not is_everywhere:
            continue
        if own and count < own:
            continue
        if other == "," and _are_commas_of_numbers(lines):
            continue
        return _Division(other, count + 1)
    return None


def _are_commas_of_numbers(lines: Sequence[str]) -> bool:
    """Whether every comma below the first line stands between digits, as that of 1,5 does."""
    below = "\n".join(lines[1:])
    return below.count(",") == len(re.findall(r"(?<=[0-9]),(?=[0-9])", below)) > 0


def _check_separator(
    path: Path, lines: Sequence[str], separator: str, other: _Division | None
) -> None:
    """Refuse a separator that was set and stands nowhere, where another divides every line."""
    if other is None or any(separator in line for line in lines):
        return
    raise DataError(
        f"{path}, line 1: expected cells with {separator!r} between them, as separator says, got a "
        f"line without one; {other.separator!r} divides every line into {other.count} cells: set "
        f"separator = {other.separator!r}, or leave it out"
    )


def _check_unusual(path: Path, lines: Sequence[str]) -> None:
    """Refuse lines of one cell that spaces or colons divide into numbers."""
    for other in (" ", ":"):
        rows = [line.split() if other == " " else line.split(other) for line in lines]
        width = len(rows[0])
        cells = [cell.strip() for row in rows[1:] for cell in row]
        numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
        is_divided = width > 1 and all(len(row) == width for row in rows)
        if not is_divided or 2 * len(numbers) < len(cells) or not numbers:
            continue
        if other == ":" and all(is_date(line.strip()) for line in lines[1:]):
            continue
        what = "spaces divide" if other == " " else "':' divides"
        advice = f"set separator = {other!r}"
        if other == " " and any(len(line.split(" ")) != width for line in lines):
            advice = "they are of several lengths, so write the file with commas"
        raise DataError(
            f"{path}: {what} every line into {width} cells, and no other separator stands in the "
            f"first; {advice}"
        )


def _quote_of(head: str) -> str:
    """Return the mark around cells: a single quote where only such stand around many."""
    if '"' in head:
        return '"'
    lines = head.splitlines()
    around = re.compile(r"(?:^|[,;\t|])\s*'[^'\n]*'\s*(?=$|[,;\t|])")
    with_marks = sum(bool(around.search(line)) for line in lines)
    return "'" if 2 * with_marks >= len(lines) > 0 else '"'


def names_of(header: Sequence[str], below: Sequence[Sequence[str]]) -> tuple[list[str], str]:
    """Return the names of the columns, and a sentence where the first line seems to be a row.

    A first line is a row if its cells are numbers or dates wherever the cells beneath are. Whole
    numbers that rise, such as years, may be names all the same.

    Args:
        header: The cells of the first line.
        below: Those of some lines beneath it.

    Example:
        >>> names_of(["age", "town"], [["31", "Ulm"], ["52", "Bonn"]])
        (['age', 'town'], '')
        >>> names_of(["31", "Ulm"], [["52", "Bonn"], ["47", "Ulm"]])[0]
        ['column 1', 'column 2']
    """
    amounts = []
    for place, name in enumerate(header):
        cells = [row[place] for row in below if place < len(row) and row[place].strip()]
        if cells and all(map(_is_amount, cells)):
            amounts.append(name)
    listed = some([quoted(name) for name in header])
    numbers = [name for name in header if _NUMBER.fullmatch(name)]
    # pandas numbers columns from 0, and a column a year is called by it
    values = [int(name) for name in numbers if name.isdecimal()]
    rises = len(values) == len(numbers) > 1 and values == sorted(set(values))
    if rises and 2 * len(numbers) > len(header):
        note = (
            f"line 1 ({listed}) is taken for the names of the columns, though it holds numbers; "
            'set names = ["…", …] if it is a row'
        )
        return list(header), note
    is_row = bool(amounts) and all(map(_is_amount, amounts))
    if not is_row and not (not below and 2 * len(numbers) > len(header)):
        return list(header), ""
    names = [f"column {place}" for place in range(1, len(header) + 1)]
    note = (
        f"line 1 ({listed}) is taken for a row, since its cells are like those beneath it; the "
        f'columns are called {quoted(names[0])} and so on: set names = ["…", …] to name them'
    )
    return names, note


def _is_amount(cell: str) -> bool:
    text = cell.strip()
    return bool(_NUMBER.fullmatch(text)) or is_date(text) or is_marked(text)
