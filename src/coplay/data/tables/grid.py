"""The cells of a table as text, column after column, with the line that each row stands in."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coplay.core.errors import DataError
from coplay.data.words import quoted, some

ROWS_AT_ONCE = 20_000
"""Rows that are read at a time."""

_BETWEEN = "\0"  # what no cell may hold

_LARGE = 200_000
"""Rows of a column from which on further ones are compressed."""


class Cells:
    """The cells of one column, packed so that a million of them take little more than their text.

    Example:
        >>> cells = Cells()
        >>> cells.add(["a", ""]), cells.add(["b"])
        (None, None)
        >>> list(cells), len(cells)
        (['a', '', 'b'], 3)
    """

    def __init__(self) -> None:
        self._packed: list[str | bytes] = []
        self._count = 0

    def add(self, cells: Sequence[str]) -> int | None:
        """Append the cells of some more rows, at least one.

        Returns:
            The place of a cell that cannot be packed, since it holds a NUL character; None if there
            is no such cell.
        """
        packed = _BETWEEN.join(cells)
        if packed.count(_BETWEEN) != len(cells) - 1:
            return next(place for place, cell in enumerate(cells) if _BETWEEN in cell)
        is_large = self._count >= _LARGE
        self._packed.append(zlib.compress(packed.encode(), 1) if is_large else packed)
        self._count += len(cells)
        return None

    def clear(self) -> None:
        """Forget the cells."""
        self._packed.clear()
        self._count = 0

    def extend(self, other: Cells) -> None:
        """Append the cells of another table's column."""
        self._packed += other._packed
        self._count += len(other)

    def packed(self) -> Iterator[str]:
        """The cells of some rows at a time, as one text."""
        for packed in self._packed:
            yield packed if isinstance(packed, str) else zlib.decompress(packed).decode()

    def parts(self) -> Iterator[list[str]]:
        """The cells of some rows at a time."""
        for packed in self.packed():
            yield packed.split(_BETWEEN)

    def last(self) -> str:
        """Return the last cell; there must be one."""
        packed = self._packed[-1]
        text = packed if isinstance(packed, str) else zlib.decompress(packed).decode()
        return text.rpartition(_BETWEEN)[2]

    def first(self, count: int) -> Cells:
        """Return the first so many cells."""
        cells = Cells()
        for part in self.parts():
            left = count - len(cells)
            if left > 0:
                cells.add(part[:left])
        return cells

    def __iter__(self) -> Iterator[str]:
        for part in self.parts():
            yield from part

    def __len__(self) -> int:
        return self._count


@dataclass
class Grid:
    """A table as text.

    Args:
        path: The file.
        names: Names of the columns.
        unit: What ``lines`` count: lines of a text, or rows.
        cells: Cells by column; a missing cell is an empty text.
        lines: Line of each row, from 1.
        notes: What was left out or mended, in sentences.
        refused: Columns whose type cannot be read, with the reason.
        faults: What is wrong with the file, to be told together with what is wrong with its cells.
        unusual: Settings of the source that were found and are not the usual, such as separator.
    """

    path: Path
    names: list[str]
    unit: str = "line"
    cells: dict[str, Cells] = field(default_factory=dict)
    lines: array[int] = field(default_factory=lambda: array("q"))
    notes: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    unusual: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fault = names_fault(self.names, self.path)
        if fault:
            self.faults.append(fault)
            self.names = _own_names(self.names)
        self.cells = {name: Cells() for name in self.names}
        self._trimmed: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, columns: Mapping[str, Sequence[str]], lines: Sequence[int]) -> None:
        """Append rows; spaces around cells are left out and counted.

        Args:
            columns: The cells of each column.
            lines: The line of each row.
        """
        for name, cells in columns.items():
            trimmed = [cell.strip() for cell in cells]
            if trimmed != list(cells):
                changed = sum(a != b for a, b in zip(trimmed, cells, strict=True))
                self._trimmed[name] = self._trimmed.get(name, 0) + changed
            place = self.cells[name].add(trimmed)
            if place is not None:
                raise DataError(
                    f"{self.path}, {self.unit} {lines[place]}, column {quoted(name)}: a NUL "
                    "character in a cell; remove it"
                )
        self.lines.extend(lines)

    def limited(self, count: int | None) -> Grid:
        """Return the first so many rows; all for None."""
        if count is None or count >= len(self):
            return self
        grid = Grid(self.path, self.names, self.unit, refused=self.refused, faults=self.faults)
        grid.cells = {name: cells.first(count) for name, cells in self.cells.items()}
        grid.lines = self.lines[:count]
        grid._trimmed = self._trimmed
        grid.notes = [
            *self.notes,
            f"read the first {count:,} of {len(self):,} rows, as set by limit",
        ]
        return grid

    def place(self, row: int) -> str:
        """Write where a row stands."""
        return f"{self.path}, {self.unit} {self.lines[row]}"

    def trimmed(self, names: Sequence[str]) -> list[str]:
        """Say in which of these columns spaces were left out."""
        columns = [
            f"{quoted(name)} ({self._trimmed[name]:,})" for name in names if name in self._trimmed
        ]
        return [f"spaces around cells are left out: {some(columns)}"] if columns else []


def names_fault(names: Sequence[str], path: Path) -> str:
    """Name columns without a name and columns of one name; empty where there are none."""
    faults = []
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names, start=1):
        places.setdefault(name, []).append(place)
    for name, columns in places.items():
        listed = some(columns)
        if not name:
            faults.append(f"column {listed} has no name")
        elif len(columns) > 1:
            faults.append(f"columns {listed} are all called {quoted(name)}")
    return f"{path}: {'; '.join(faults)}; give every column a name of its own" if faults else ""


def _own_names(names: Sequence[str]) -> list[str]:
    """Give every column a name of its own, so that its cells can be looked at."""
    own: list[str] = []
    for place, name in enumerate(names, start=1):
        own.append(f"column {place}" if not name or name in own else name)
    return own
