"""Read one or more tables of the same columns, and remember where each row stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from coplay.core.components import nearest
from coplay.core.errors import DataError
from coplay.core.memory import give_back
from coplay.data.tables.delimited import read_delimited
from coplay.data.tables.formats import ENDINGS, TextFormat, ending
from coplay.data.tables.grid import ROWS_AT_ONCE, Cells, Grid
from coplay.data.tables.json_lines import read_json_lines
from coplay.data.tables.parquet import read_arrow, read_parquet
from coplay.data.words import all_of, quoted, some

_LARGE = 500_000
"""Rows of which the texts take memory that is worth returning."""


class Rows:
    """The rows of several tables, one after the other.

    Args:
        grids: At least one; the columns of the first are those of all.
        train_count: How many rows are those to train on; the others are to test on.
    """

    def __init__(self, grids: Sequence[Grid], train_count: int) -> None:
        self._grids = grids
        self.train_count = train_count
        self.names = grids[0].names
        self.title = some([grid.path for grid in grids], 3)
        self.refused: dict[str, str] = {}
        self.faults: list[str] = []
        self.unusual = dict(grids[0].unusual)
        self.cells: dict[str, Cells] = {}
        for name in self.names:
            self.cells[name] = Cells()
            for grid in grids:
                self.cells[name].extend(grid.cells[name])
        for grid in grids:
            self.refused |= grid.refused
            self.faults += grid.faults

    def __len__(self) -> int:
        return sum(map(len, self._grids))

    def place(self, row: int) -> str:
        """Write the file and the line of a row."""
        for grid in self._grids:
            if row < len(grid):
                return grid.place(row)
            row -= len(grid)
        raise IndexError(row)

    def forget_cells(self, names: Sequence[str]) -> None:
        """Let the texts of columns go once they are values; where rows stand is still known."""
        for name in names:
            for grid in self._grids:
                grid.cells[name].clear()
            self.cells[name].clear()
        if len(self) >= _LARGE:
            give_back()

    def check(self) -> None:
        """Refuse files with faults, for those who do not tell them together with cells'.

        Raises:
            DataError: There are some; the message has a line for each.
        """
        if self.faults:
            raise DataError(all_of(self.faults, "faults"))

    def units(self, name: str) -> np.ndarray:
        """Return the texts of a column that names what rows belong to, shape (n,).

        Raises:
            DataError: A cell is empty.
        """
        parts = [np.array(part) for part in self.cells[name].parts()]
        cells = np.concatenate(parts)
        if (cells == "").any():
            empty = self.place(int(np.flatnonzero(cells == "")[0]))
            raise DataError(
                f"{empty}, column {quoted(name)}: the cell is empty, and unit "
                "says that the column names what each row belongs to; give every row its unit"
            )
        return cells

    def notes(self, chosen: Sequence[str]) -> list[str]:
        """Say what was left out or mended in the files, of columns that are read."""
        notes = []
        for grid in self._grids:
            where = f"{grid.path}: " if len(self._grids) > 1 else ""
            notes += [f"{where}{note}" for note in [*grid.notes, *grid.trimmed(chosen)]]
        return notes

    def check_names(self, settings: Mapping[str, Sequence[str]]) -> None:
        """Refuse settings that name columns that there are not.

        Raises:
            DataError: There are some; the message names all, and the nearest columns.
        """
        faults = []
        for setting, names in settings.items():
            for name in names:
                if name not in self.names:
                    known = some(nearest(name, self.names).split(", "), 12)
                    faults.append(
                        f"{setting}: no column {quoted(name)}; known, nearest first: {known}"
                    )
        if faults:
            raise DataError(f"{self.title}: {'; '.join(faults)}")


def read_tables(
    files: Sequence[Path], test_files: Sequence[Path], form: TextFormat, limit: int | None
) -> Rows:
    """Read the tables to train on and those to test on.

    Args:
        files: At least one.
        test_files: Perhaps none.
        form: How those of text are written.
        limit: Read only the first so many rows of each split; None for all.

    Raises:
        DataError: A file cannot be read, or the columns differ.
    """
    train = [read_table(path, form) for path in files]
    test = [read_table(path, form) for path in test_files]
    # also of files beyond the limit: they are part of the data once the limit goes
    for grid in [*train, *test][1:]:
        _check_columns(train[0], grid)
    train = _limited(train, limit)
    return Rows([*train, *_limited(test, limit)], sum(map(len, train)))


def read_first(path: Path, form: TextFormat) -> Rows:
    """Read the first rows of a table, which show how it is written; of a small one all.

    Raises:
        DataError: It cannot be read.
    """
    if ending(path) in (".csv", ".tsv"):
        grid = read_delimited(path, form, ROWS_AT_ONCE)
    else:
        grid = read_table(path, form).limited(ROWS_AT_ONCE)
    return Rows([grid], len(grid))


def read_table(path: Path, form: TextFormat) -> Grid:
    """Read one table by its ending.

    Args:
        path: The file.
        form: How it is written, if it is a text.

    Raises:
        DataError: It cannot be read, or has no ending of a table.
    """
    kind = ending(path)
    if kind == ".parquet":
        return read_parquet(path)
    if kind in (".feather", ".arrow"):
        return read_arrow(path)
    if kind in (".json", ".jsonl", ".ndjson"):
        return read_json_lines(path)
    if kind in (".csv", ".tsv") or form.separator is not None:
        return read_delimited(path, form)
    raise DataError(
        f"{path}: expected a name that ends in {', '.join(ENDINGS)}; set separator to read any "
        "other file as lines of cells"
    )


def _limited(grids: list[Grid], limit: int | None) -> list[Grid]:
    """Cut the tables of a split to its first rows."""
    kept = []
    left = limit
    for grid in grids:
        if left is None:
            kept.append(grid)
        elif left > 0:
            kept.append(grid.limited(left))
            left -= len(kept[-1])
        else:
            kept[-1].notes.append(f"limit = {limit}: nothing is read of {grid.path}")
    return kept


def _check_columns(first: Grid, other: Grid) -> None:
    """Refuse a table that lacks columns of the first, or has others."""
    lacking = [quoted(name) for name in first.names if name not in other.names]
    more = [quoted(name) for name in other.names if name not in first.names]
    if not lacking and not more:
        return
    faults = []
    if lacking:
        faults.append(f"it lacks {some(lacking)}")
    if more:
        faults.append(f"it has {some(more)} beside them")
    raise DataError(f"{other.path}: expected the columns of {first.path}; {', and '.join(faults)}")
