"""Tables of lines with separators: CSV and its relatives, with the line of every fault.

Python's ``csv`` reads the cells: it is slower than pyarrow, but knows the line that it is in, and
tells an unclosed quote from a long cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from coplay.core.errors import DataError
from coplay.core.pace import Pace
from coplay.data.tables.encodings import encoding_of, misfit_at, misfit_text, opened
from coplay.data.tables.formats import TextFormat
from coplay.data.tables.grid import ROWS_AT_ONCE, Grid
from coplay.data.tables.sheets import alike_names, check_is_text, title_fault, totals_fault
from coplay.data.tables.written import HEAD, Written, names_of, written
from coplay.data.words import all_of, counted, quoted, some


def read_delimited(path: Path, form: TextFormat, most: int | None = None) -> Grid:
    """Read a table of lines.

    Args:
        path: The file, gzipped if it ends in ``.gz``.
        form: How it is written.
        most: Stop after so many rows, or some thousand more; None to read all.

    Raises:
        DataError: It cannot be decoded, or its lines are no table; the message names the lines.
    """
    check_is_text(path)
    head = _head_of(path, form)
    if re.match("sep=.?[\r\n]", head, re.IGNORECASE):
        raise DataError(
            f"{path}: the first line is Excel's {quoted(head.splitlines()[0])}; remove it, and set "
            "separator to what it says"
        )
    how = written(path, head, form)
    encoding, notes, misfit = encoding_of(path, form.encoding)
    if misfit is not None:
        raise DataError(_misfit(path, head, how, form, misfit))
    notes += how.notes
    with opened(path) as stream:
        text = io.TextIOWrapper(stream, encoding, newline="")
        pace = Pace(f"reading {path}", _size(path))

        def goes_on(rows: int) -> bool:
            pace.at(stream.tell())
            return most is None or rows < most

        grid = _grid(path, text, how, form, notes, goes_on)
        text.detach()
    if form.separator is None and how.separator != ",":
        grid.unusual["separator"] = how.separator
    if form.encoding is None and encoding != "utf-8-sig":
        grid.unusual["encoding"] = encoding
    if form.quote is None and how.quote != '"':
        grid.unusual["quote"] = how.quote
    return grid


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 for one that is packed, whose text is longer."""
    return 0 if path.name.lower().endswith(".gz") else path.stat().st_size


def _grid(
    path: Path,
    text: io.TextIOWrapper,
    how: Written,
    form: TextFormat,
    notes: list[str],
    goes_on: Callable[[int], bool],
) -> Grid:
    """Read the cells of a text that is open."""
    rows = _Rows(path, text, how)
    header, numbers_rows, is_padded = _header(rows, form, notes)
    grid = Grid(path, header)
    for batch, lines in rows.batches(grid.names, is_padded):
        columns = zip(*batch, strict=True)
        grid.add(dict(zip(grid.names, columns, strict=True)), lines)
        if not goes_on(len(grid)):
            break
    title = title_fault(grid, rows.line_of_names, [cells for _, cells in rows.uneven])
    grid.faults += title or rows.faults(header)
    grid.notes += [*notes, *rows.notes(), *alike_names(grid.names)]
    if len(grid):
        grid.faults += totals_fault(grid)
    else:
        if grid.faults:
            raise DataError(all_of(grid.faults))
        raise DataError(f"{path}: expected rows, got none{_only(header, form)}")
    if numbers_rows:
        _check_row_numbers(grid)
    return grid


def _header(rows: _Rows, form: TextFormat, notes: list[str]) -> tuple[list[str], bool, bool]:
    """Return the names, whether the first numbers the rows, and whether the last was left out."""
    if form.names is not None:
        return list(form.names), False, False
    header = [name.strip() for name in rows.first()]
    is_padded = len(header) > 1 and not header[-1]
    header = header[:-1] if is_padded else header
    names, note = names_of(header, rows.peeked(20))
    if note:
        notes.append(note)
    if names != header:
        rows.put_back_first()
        return names, False, is_padded
    numbers_rows = len(header) > 1 and not header[0]
    if numbers_rows:
        header[0] = _ROW_NUMBERS
    return header, numbers_rows, is_padded


def _head_of(path: Path, form: TextFormat) -> str:
    """Return the first characters of a file, well enough to see how it is written."""
    with opened(path) as stream:
        head = stream.read(HEAD)
    codec = form.encoding or "utf-8"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") and form.encoding is None:
        codec = "utf-16"
    return head.decode(codec, "ignore").removeprefix("\ufeff")


def _misfit(path: Path, head: str, how: Written, form: TextFormat, place: int) -> str:
    """Say where a byte stands that is no character, and what to do."""
    misfit = misfit_at(path, place)
    before = misfit.before.decode("latin-1").split(how.separator)
    column = ""
    names = next(csv.reader([head.splitlines()[0]], delimiter=how.separator), []) if head else []
    if misfit.line > 1 and len(before) <= len(names):
        column = f", column {quoted(names[len(before) - 1].strip())}"
    return f"{path}, line {misfit.line}{column}: {misfit_text(misfit, form.encoding)}"


_ROW_NUMBERS = "(row numbers)"
"""What a first column without a name is called, which may be the rows' own numbers only."""


def _only(header: Sequence[str], form: TextFormat) -> str:
    """Say that the one line of a file was taken for the names of the columns."""
    if form.names is not None:
        return ""
    listed = some([quoted(name) for name in header])
    return f", only the names {listed}; set names if that line is a row"


@dataclass
class _Rows:
    """The rows of a text, with what is odd about them."""

    path: Path
    text: io.TextIOWrapper
    how: Written
    blank: int = 0
    hollow: int = 0
    padded: int = 0
    uneven: list[tuple[int, int]] = field(default_factory=list)
    uneven_count: int = 0
    longest: tuple[int, int] = (1, 0)
    several: int = 0
    again: list[int] = field(default_factory=list)
    again_count: int = 0
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = csv.reader(
            self.text,
            delimiter=self.how.separator,
            quotechar=self.how.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.how.quote else csv.QUOTE_NONE,
            strict=True,
            skipinitialspace=self.how.separator != " ",  # so that a quote after a space is one
        )
        self._read: Iterator[tuple[int, list[str]]] = self._lines()
        self._ahead: list[tuple[int, list[str]]] = []
        self._first: tuple[int, list[str]] = (1, [])

    def first(self) -> list[str]:
        """Return the first line that is not blank, which has the names."""
        for line, row in self._read:
            if any(cell.strip() for cell in row):
                self._first = (line, row)
                self.names = [cell.strip() for cell in row]
                return row
            self.blank += 1
        raise DataError(f"{self.path}: expected a table, got an empty file")

    def peeked(self, count: int) -> list[list[str]]:
        """Return some rows that stay to be read; none after a fault, which is met later."""
        try:
            for line, row in self._read:
                self._ahead.append((line, row))
                if len(self._ahead) == count:
                    break
        except DataError as error:
            self._read = _Raising(error)
        return [row for _, row in self._ahead if len(row) > 1 or any(row)]

    @property
    def line_of_names(self) -> int:
        """The line that was taken for the names of the columns."""
        return self._first[0]

    def put_back_first(self) -> None:
        """Let the first line be a row."""
        self._ahead.insert(0, self._first)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows with the lines that they begin in."""
        yield from self._ahead
        yield from self._read

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        reader = self._reader
        line = reader.line_num + 1
        try:
            for row in reader:
                if reader.line_num > line:
                    self._count_lines(line, reader.line_num)
                yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(self._fault(line, str(error))) from error

    def _count_lines(self, first: int, last: int) -> None:
        """Remember that a row goes on over several lines."""
        self.several += 1
        self.longest = max(self.longest, (last - first + 1, first))

    def _fault(self, line: int, reason: str) -> str:
        """Return the message for a quote that csv stumbles over."""
        quote = self.how.quote
        what = (
            f"a quote {quote} inside a quoted cell ({reason}), or one that an earlier cell opened"
        )
        if "field limit" in reason:
            what = f"a cell of more than {csv.field_size_limit():,} characters, or one that opens "
            what += f"with {quote} and is never closed"
        column = ""
        if "end of data" in reason:
            what = f"a cell that opens with {quote} in this row is never closed"
            place = self._open_cell(line)
            if place < len(self.names):
                column = f", column {quoted(self.names[place])}"
        return (
            f'{self.path}, line {line}{column}: {what}; mend it, or set quote = "" if quotes are '
            "ordinary characters"
        )

    def _open_cell(self, line: int) -> int:
        """Return the place of the cell that opens in a line and is not closed in it."""
        with opened(self.path) as stream:
            text = io.TextIOWrapper(stream, self.text.encoding, newline="")
            row = next(islice(text, line - 1, None), "")
            text.detach()
        cells = 0
        is_open = False
        for letter in row:
            if letter == self.how.quote:
                is_open = not is_open
            elif letter == self.how.separator and not is_open:
                cells += 1
        return cells

    def batches(
        self, names: Sequence[str], is_padded: bool
    ) -> Iterator[tuple[list[list[str]], list[int]]]:
        """Some rows at a time, with their lines.

        Args:
            names: Names of the columns.
            is_padded: Whether the line of names ends with a separator.
        """
        batch: list[list[str]] = []
        lines: list[int] = []
        width, wanted = len(names), [name.casefold() for name in names]
        for line, row in self._rows():
            may_be_names = len(row) == width and row[0].strip().casefold() == wanted[0]
            if may_be_names and [cell.strip().casefold() for cell in row] == wanted:
                self._note_again(line)
                continue
            if width > 1 and len(row) == width and not any(map(str.strip, row)):
                self.hollow += 1
                continue
            if len(row) != width:
                row = self._mended(line, row, width)
                if not row:
                    continue
            batch.append(row)
            lines.append(line)
            if len(batch) == ROWS_AT_ONCE:
                yield batch, lines
                batch, lines = [], []
        if batch:
            yield batch, lines
        self.padded = 0 if is_padded else self.padded

    def _mended(self, line: int, row: list[str], width: int) -> list[str]:
        """Return a row of another width without the empty cell at its end; empty if there is none.

        Blank lines are counted, and so are rows that cannot be mended.
        """
        if not any(cell.strip() for cell in row) and len(row) < 2:
            self.blank += 1
            return []
        if len(row) == width + 1 and not row[-1].strip():
            self.padded += 1
            return row[:-1]
        self.uneven_count += 1
        if len(self.uneven) < 5:
            self.uneven.append((line, len(row)))
        return []

    def _note_again(self, line: int) -> None:
        """Remember a line with the names of the columns among the rows."""
        self.again_count += 1
        if len(self.again) < 5:
            self.again.append(line)

    def faults(self, header: Sequence[str]) -> list[str]:
        """Name rows that have more or fewer cells than there are columns, or are their names."""
        faults = []
        if self.again:
            others = ""
            if self.again_count > 1:
                listed = ", ".join(map(str, self.again[1:]))
                others = f" ({self.again_count} such lines, next {listed})"
            faults.append(
                f"{self.path}, line {self.again[0]}: the names of the columns stand here again, "
                f"column {quoted(header[0])} first{others}; remove the line"
            )
        if self.uneven:
            lines = [f"{cells} in line {line}" for line, cells in self.uneven]
            more = f" ({self.uneven_count:,} lines in all)" if self.uneven_count > 1 else ""
            faults.append(
                f"{self.path}: expected {counted(len(header), 'cell')} a line, as there are names "
                f"of columns, got {', '.join(lines)}{more}; mend these lines, quote cells that "
                f"hold {self.how.separator!r}, or set separator"
            )
        return faults

    def notes(self) -> list[str]:
        """Say what was left out."""
        notes = []
        if self.blank:
            notes.append(f"{counted(self.blank, 'blank line')} left out")
        if self.hollow:
            notes.append(f"{counted(self.hollow, 'line')} of separators alone left out")
        if self.padded:
            verb = "ends" if self.padded == 1 else "end"
            notes.append(
                f"{counted(self.padded, 'row')} {verb} with a separator, which is left out"
            )
        if self.several:
            span, line = self.longest
            verb = "goes" if self.several == 1 else "go"
            notes.append(
                f"{counted(self.several, 'row')} {verb} on over several lines inside quotes, the "
                f"longest over {span:,} from line {line:,}"
            )
        return notes


class _Raising:
    """Raises an error where a row is asked for."""

    def __init__(self, error: DataError) -> None:
        self._error = error

    def __iter__(self) -> _Raising:
        return self

    def __next__(self) -> tuple[int, list[str]]:
        raise self._error


def _check_row_numbers(grid: Grid) -> None:
    """Leave out a first column without a name if it numbers the rows, and refuse any other."""
    cells = grid.cells[_ROW_NUMBERS]
    values = [cell.strip('"') for cell in cells]
    for first in (0, 1):
        if values == [str(number) for number in range(first, first + len(values))]:
            grid.refused[_ROW_NUMBERS] = "column 1 has no name and numbers the rows"
            return
    raise DataError(f"{grid.path}: column 1 has no name; name it in the first line")
