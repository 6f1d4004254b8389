"""Tables of lines with separators: CSV and its relatives, with the line of every fault.

Python's ``csv`` reads the cells: it is slower than pyarrow, but knows the line that it is in, and
tells an unclosed quote from a long cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coplay.core.errors import DataError
from coplay.data.tables.encodings import encoding_of, read_bytes
from coplay.data.tables.formats import TextFormat, ending
from coplay.data.tables.grid import ROWS_AT_ONCE, Grid
from coplay.data.words import counted, quoted, some

_SEPARATORS = (";", "\t", "|", ",")
_NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")

_HEAD = 100_000  # bytes in which another separator is looked for


def read_delimited(path: Path, form: TextFormat) -> Grid:
    """Read a table of lines.

    Args:
        path: The file, gzipped if it ends in ``.gz``.
        form: How it is written.

    Raises:
        DataError: It cannot be decoded, or its lines are no table; the message names the lines.
    """
    content = read_bytes(path)
    encoding, notes = encoding_of(content, path, form.encoding)
    separator = form.separator or ("\t" if ending(path) == ".tsv" else ",")
    head = content[:_HEAD].decode(encoding, "ignore")
    if re.match("sep=.?[\r\n]", head, re.IGNORECASE):
        raise DataError(
            f"{path}: the first line is Excel's {quoted(head.splitlines()[0])}; remove it, and set "
            "separator to what it says"
        )
    if form.separator is None:
        _check_separator(path, head, separator)
    text = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    rows = _Rows(path, text, separator, form)
    header = list(form.names or rows.first())
    if form.names is None:
        header = [name.strip() for name in header]
        notes += _check_header(path, header)
    is_padded = form.names is None and len(header) > 1 and not header[-1]
    header = header[:-1] if is_padded else header
    numbers_rows = form.names is None and len(header) > 1 and not header[0]
    if numbers_rows:
        header[0] = _ROW_NUMBERS
    grid = Grid(path, header)
    for batch, lines in rows.batches(len(header), is_padded):
        columns = zip(*batch, strict=True)
        grid.add(dict(zip(header, columns, strict=True)), lines)
    rows.raise_faults(header)
    grid.notes += [*notes, *rows.notes()]
    if not len(grid):
        raise DataError(f"{path}: expected rows, got none{_only(header, form)}")
    if numbers_rows:
        _check_row_numbers(grid)
    return grid


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
    separator: str
    form: TextFormat
    blank: int = 0
    padded: int = 0
    uneven: list[tuple[int, int]] = field(default_factory=list)
    uneven_count: int = 0
    longest: tuple[int, int] = (1, 0)
    several: int = 0

    def __post_init__(self) -> None:
        self._reader = csv.reader(
            self.text,
            delimiter=self.separator,
            quotechar=self.form.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.form.quote else csv.QUOTE_NONE,
            strict=True,
            skipinitialspace=self.separator != " ",  # so that a quote after a space is one
        )

    def first(self) -> list[str]:
        """Return the first line that is not blank, which has the names."""
        for _, row in self._rows():
            if any(cell.strip() for cell in row):
                return row
            self.blank += 1
        raise DataError(f"{self.path}: expected a table, got an empty file")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows with the lines that they begin in."""
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
        quote = self.form.quote
        what = (
            f"a quote {quote} inside a quoted cell ({reason}), or one that an earlier cell opened"
        )
        if "field limit" in reason:
            what = f"a cell of more than {csv.field_size_limit():,} characters, or one that opens "
            what += f"with {quote} and is never closed"
        if "end of data" in reason:
            what = f"a cell that opens with {quote} in this row is never closed"
        return (
            f'{self.path}, line {line}: {what}; mend it, or set quote = "" if quotes are ordinary '
            "characters"
        )

    def batches(self, width: int, is_padded: bool) -> Iterator[tuple[list[list[str]], list[int]]]:
        """Some rows of this width at a time, with their lines.

        Args:
            width: Number of columns.
            is_padded: Whether the line of names ends with a separator.
        """
        batch: list[list[str]] = []
        lines: list[int] = []
        for line, row in self._rows():
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

    def raise_faults(self, header: Sequence[str]) -> None:
        """Refuse rows that have more or fewer cells than there are columns."""
        if not self.uneven:
            return
        lines = [f"{cells} in line {line}" for line, cells in self.uneven]
        more = f" ({self.uneven_count:,} lines in all)" if self.uneven_count > 1 else ""
        raise DataError(
            f"{self.path}: expected {counted(len(header), 'cell')} a line, as there are names of "
            f"columns, got {', '.join(lines)}{more}; mend these lines, quote cells that hold "
            f"{self.separator!r}, or set separator"
        )

    def notes(self) -> list[str]:
        """Say what was left out."""
        notes = []
        if self.blank:
            notes.append(f"{counted(self.blank, 'blank line')} left out")
        if self.padded:
            notes.append(f"{counted(self.padded, 'row')} end with a separator, which is left out")
        if self.several:
            span, line = self.longest
            notes.append(
                f"{counted(self.several, 'row')} go on over several lines inside quotes, the "
                f"longest over {span:,} from line {line:,}"
            )
        return notes


@dataclass(frozen=True)
class _Division:
    """A separator that divides every line into as many cells.

    Args:
        separator: It.
        count: How many cells it divides the first line into.
        has_commas: Whether numbers such as 1,5 are among them.
    """

    separator: str
    count: int
    has_commas: bool


def _lines_of(head: str) -> list[str]:
    """Return the first lines without what stands in quotes, whose separators are text."""
    plain = re.sub(r'"[^"]*"', "", head)
    lines = [line for line in plain.splitlines() if line.strip()][:20]
    return lines[:-1] if len(head) > _HEAD - 10 else lines  # the last may be cut off


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
        cells = [cell.strip() for line in lines[1:] for cell in line.split(other)]
        has_commas = any(re.fullmatch(r"[+-]?[0-9]+,[0-9]+", cell) for cell in cells)
        return _Division(other, count + 1, has_commas)
    return None


def form_of(path: Path) -> tuple[TextFormat, str]:
    """Return how a table of lines seems to be written, and the mark before its numbers' fraction.

    It is for those who write down what they saw; who reads a table says how it is written.

    Args:
        path: The file. For one that is no table of lines, and where nothing else can be seen, the
            usual form is returned, and reading says what is wrong.

    Raises:
        DataError: It cannot be read.
    """
    if ending(path) not in (".csv", ".tsv"):
        return TextFormat(), "."
    content = read_bytes(path)
    encoding = "utf-8"
    if not _decodes(content, encoding) and _decodes(content, "cp1252"):
        encoding = "cp1252"
    head = content[:_HEAD].decode(encoding, "ignore").removeprefix("\ufeff")
    usual = "\t" if ending(path) == ".tsv" else ","
    division = _better_division(_lines_of(head), usual)
    if division is None:
        return TextFormat(encoding=encoding), "."
    decimal = "," if division.has_commas else "."
    return TextFormat(separator=division.separator, encoding=encoding), decimal


def _decodes(content: bytes, encoding: str) -> bool:
    is_utf_16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        content.decode(encoding)
    except UnicodeError:
        return False
    return not is_utf_16  # single bytes would read it, as nonsense


def _check_separator(path: Path, text: str, separator: str) -> None:
    """Refuse a text whose lines another separator divides better."""
    lines = _lines_of(text)
    if not lines:
        return
    other = _better_division(lines, separator)
    if other is not None:
        decimal = ", and decimal = ',' for numbers like 1,5" if other.has_commas else ""
        own = lines[0].count(separator) + 1
        raise DataError(
            f"{path}: {other.separator!r} divides every line into {other.count} cells, the "
            f"separator {separator!r} the first into {own}; set separator = {other.separator!r}"
            f"{decimal}, or separator = {separator!r} if that is right"
        )
    if separator not in lines[0]:
        _check_unusual(path, lines)


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
        what = "spaces divide" if other == " " else "':' divides"
        advice = f"set separator = {other!r}"
        if other == " " and any(len(line.split(" ")) != width for line in lines):
            advice = "they are of several lengths, so write the file with commas"
        raise DataError(
            f"{path}: {what} every line into {width} cells, and no other separator stands in the "
            f"first; {advice}"
        )


def _check_header(path: Path, header: Sequence[str]) -> list[str]:
    """Refuse a first line that looks like data, or say that one of numbers is taken for names."""
    numbers = [name for name in header if _NUMBER.fullmatch(name)]
    if 2 * len(numbers) <= len(header) or not numbers:
        return []
    listed = some([quoted(name) for name in header])
    if all(name.isdecimal() for name in numbers):
        # pandas numbers columns from 0, and a column a year is called by it
        values = [int(name) for name in numbers]
        if len(values) > 1 and values == sorted(set(values)):
            return [
                f"line 1 ({listed}) is taken for the names of the columns, though it holds "
                'numbers; set names = ["…", …] if it is a row'
            ]
    raise DataError(
        f"{path}, line 1: expected the names of the columns, got what looks like a row ({listed}); "
        'set names = ["…", …] to name the columns of a file without such a line'
    )


def _check_row_numbers(grid: Grid) -> None:
    """Leave out a first column without a name if it numbers the rows, and refuse any other."""
    cells = grid.cells[_ROW_NUMBERS]
    values = [cell.strip('"') for cell in cells]
    for first in (0, 1):
        if values == [str(number) for number in range(first, first + len(values))]:
            grid.refused[_ROW_NUMBERS] = "column 1 has no name and numbers the rows"
            return
    raise DataError(f"{grid.path}: column 1 has no name; name it in the first line")
