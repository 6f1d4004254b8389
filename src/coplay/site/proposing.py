"""What a site's table holds, in words that may leave it: names, kinds, rounded ranges, levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from coplay.core.errors import DataError
from coplay.core.pace import Pace
from coplay.core.space import LABEL
from coplay.data.tables.formats import ENDINGS, TextFormat, ending
from coplay.data.tables.found_marks import found_marks
from coplay.data.tables.numbers import Marks
from coplay.data.tables.reading import Rows, read_tables
from coplay.data.tables.types import Settings, missing_among
from coplay.data.tables.whole_numbers import few_distinct
from coplay.data.words import counted, quoted, some
from coplay.site.codes import notes_on_codes, notes_on_codes_among_texts
from coplay.site.conforming import OTHER
from coplay.site.proposed_column import Proposed, ProposedColumn, proposed_column
from coplay.site.units import unit_of

_MISSING_MARKS = ("NA", "?", "N/A", "null", "NaN")
"""Texts that count as missing while a table is proposed."""


@dataclass(frozen=True)
class Single:
    """A column with too few values to be a variable unless other sites have more.

    Args:
        variable: What it would be.
        values: Its values as they stand in the table.
        reason: What is so in a few words, with its name.
    """

    variable: Proposed
    values: frozenset[str]
    reason: str


@dataclass(frozen=True)
class Proposal:
    """What a site proposes of its table.

    Args:
        path: The table.
        variables: By column.
        unit: A column that seems to name what a row belongs to, such as a patient; None for none.
        rows: Number of rows.
        notes: What was left out and decided, in sentences; they stay at the site.
        level_counts: Rows of each level, by column.
        reading: Settings of a table's source that say how this one is written, such as separator.
        missing_marks: What stands for a missing value in it, beside empty cells.
        columns: All of its columns.
        absent: In which rows a proposed variable is missing, shape (n,), by column.
        single: Columns with too few values to be variables unless other sites have more.
        empty: Columns without any value.
    """

    path: Path
    variables: dict[str, Proposed]
    unit: str | None
    rows: int
    notes: Sequence[str] = ()
    level_counts: dict[str, Counter[str]] = field(default_factory=dict)
    reading: Mapping[str, str] = field(default_factory=dict)
    missing_marks: Sequence[str] = _MISSING_MARKS
    columns: Sequence[str] = ()
    absent: Mapping[str, np.ndarray] = field(default_factory=dict)
    single: Mapping[str, Single] = field(default_factory=dict)
    empty: Sequence[str] = ()

    def keeping(self, names: Collection[str]) -> Proposal:
        """Return the proposal with some of its columns of one value among its variables."""
        chosen = {name: each.variable for name, each in self.single.items() if name in names}
        variables = self.variables | chosen
        return replace(self, variables={c: variables[c] for c in self.columns if c in variables})

    def incomplete_in(self, columns: Iterable[str]) -> int:
        """Return the number of rows in which one of some columns is missing."""
        missing = np.zeros(self.rows, dtype=np.bool_)
        for name in columns:
            if name in self.absent:
                missing |= self.absent[name]
        return int(missing.sum())


def proposal(
    path: Path,
    small_cell: int = 10,
    unit: str | None = None,
    missing_marks: Sequence[str] = (),
) -> Proposal:
    """Read a table and say what it could share.

    Args:
        path: The table.
        small_cell: Categories with fewer rows go into ``other``.
        unit: The column that names what a row belongs to; None to guess it.
        missing_marks: Cells that stand for a missing value, beside the usual ones.

    Raises:
        DataError: It cannot be read, has no such column, or holds nothing to learn from.
    """
    _check_is_table(path)
    rows = read_tables([path], [], TextFormat(), None)
    rows.check()
    cells = {name: each for name, each in rows.cells.items() if name not in rows.refused}
    marks, _ = found_marks(cells, None, None)
    reading = {**rows.unusual, **_reading(marks)}
    if unit is not None:
        rows.check_names({"unit": [unit]})
    seeming, of_units = unit_of(rows)
    guessed = unit or seeming
    notes = [*_said_of_reading(reading), *rows.notes(rows.names)]
    notes += of_units if unit is None else []
    settings = Settings(
        marks, tuple(dict.fromkeys([*_MISSING_MARKS, *missing_marks])), infers=False
    )
    columns: dict[str, ProposedColumn] = {}
    empty = []
    pace = Pace(f"columns of {path}", len(rows.names))
    for place, name in enumerate(rows.names):
        pace.at(place)
        if name == guessed:
            how = "was said" if unit else "seems"
            notes.append(
                f"{quoted(name)} {how} to name what a row belongs to: unit, no variable (unit = "
                f"{quoted(name)} in the site file, so that its rows stay together)"
            )
            continue
        column = proposed_column(name, rows, small_cell, settings)
        if isinstance(column, str):
            notes.append(f"left out: {column}")
            if _is_empty(name, rows, settings):
                empty.append(name)
        else:
            columns[name] = _with_optional(name, column)
            notes += column.cells.notes
        rows.forget_cells([name])  # of a large table, texts and values do not fit beside each other
    notes += _said_of_units_line(rows, notes)
    several = {name: each for name, each in columns.items() if not each.only}
    if not columns:
        raise DataError(f"{path}: no column can be read as a variable: {'; '.join(notes)}")
    variables = {name: each.variable for name, each in several.items()}
    counts = {name: each.counts for name, each in columns.items()}
    notes += [*_said_of_rare(several, small_cell), *_notes_on_numbers(several)]
    single = {}
    for name, each in columns.items():
        if each.only:
            single[name] = Single(each.variable, frozenset(each.counts), each.only)
    return Proposal(
        path,
        variables,
        guessed,
        len(rows),
        notes,
        counts,
        reading,
        settings.missing,
        rows.names,
        {name: each.cells.missing for name, each in columns.items()},
        single,
        empty,
    )


def _said_of_units_line(rows: Rows, notes: Sequence[str]) -> list[str]:
    """Say if the first row seems to hold units or a second line of names."""
    first = f"left out: {rows.place(0)}, column "
    count = sum(note.startswith(first) for note in notes)
    if count < 2:
        return []
    return [
        f"{rows.place(0)}: it holds no number in {count} columns that hold numbers elsewhere, as a "
        "line of units or a second line of names does; remove the line if it is one"
    ]


def _with_optional(name: str, column: ProposedColumn) -> ProposedColumn:
    """Return a column of which cells may be missing if some are; a class may not."""
    optional = name != LABEL and bool(column.cells.missing.any())
    variable = replace(column.variable, optional=optional)
    cells = column.cells
    if cells.kind != "real":  # nothing more is asked of them
        cells = replace(cells, values=np.zeros(0))
    return replace(column, variable=variable, cells=cells)


def _is_empty(name: str, rows: Rows, settings: Settings) -> bool:
    """Whether all cells of a column are missing."""
    if name in rows.refused:
        return False
    return all(missing_among(part, settings).issuperset(part) for part in rows.cells[name].parts())


def _notes_on_numbers(columns: Mapping[str, ProposedColumn]) -> list[str]:
    """Say which numbers seem to be codes, of missing values or of categories."""
    numbers = {}
    for name, each in columns.items():
        if each.cells.kind == "real":
            numbers[name] = each.cells.values[~each.cells.missing]
    notes = [*notes_on_codes(numbers)]
    notes += notes_on_codes_among_texts({name: each.counts for name, each in columns.items()})
    notes += _said_of_few_numbers({name: each.variable for name, each in columns.items()}, numbers)
    return notes


def _check_is_table(path: Path) -> None:
    """Refuse what is no table.

    Raises:
        DataError: There is no table of this name.
    """
    if not path.exists():
        raise DataError(f"the file {path} does not exist (looked for from {Path.cwd()})")
    if path.is_dir() or ending(path) not in ENDINGS:
        what = "a folder" if path.is_dir() else "no table by its name"
        raise DataError(
            f"{path} is {what}: expected one that ends in {', '.join(ENDINGS)}. Other data, such "
            "as images and arrays, are named in a site file that you write: 'coplay list source' "
            "shows which there are"
        )


def _said_of_few_numbers(
    variables: Mapping[str, Proposed], numbers: Mapping[str, np.ndarray]
) -> list[str]:
    """Say which columns of numbers may be codes of categories, such as 0.0, 1.0 and 2.0."""
    names = []
    for name, values in numbers.items():
        distinct = few_distinct(values)
        is_few = distinct is not None and bool((distinct == np.trunc(distinct)).all())
        if variables[name].kind == "real" and is_few:
            names.append(quoted(name))
    if not names:
        return []
    return [
        f"{some(names, 12)}: few whole numbers, written as 1.0 is, count as numbers; if they are "
        'codes of categories, agree on kind = "categorical" and categories = ["0", "1", …] in the '
        "place of low and high"
    ]


def _said_of_rare(columns: Mapping[str, ProposedColumn], small_cell: int) -> list[str]:
    """Say which columns have values with few rows, and what is shared of them; none is named."""
    notes = []
    for name, column in columns.items():
        variable, counts = column.variable, column.counts
        rare = sum(count < small_cell for count in counts.values())
        if rare and variable.kind == "binary":
            notes.append(
                f"{quoted(name)}: one of its two values has fewer than {small_cell} rows. Nothing "
                "says which, but that it is binary says that both are there: take the variable out "
                "if that is not to be known"
            )
        elif rare and OTHER in variable.levels:
            notes.append(
                f"{quoted(name)}: categories with fewer than {small_cell} rows ({rare} of "
                f"{len(counts)}) count as {quoted(OTHER)}, without a name"
            )
    return notes


def _reading(marks: Marks) -> dict[str, str]:
    """Return the settings of a table's source that say which marks are in its numbers."""
    usual = Marks()
    reading = {}
    if marks.decimal != usual.decimal:
        reading["decimal"] = marks.decimal
    if marks.thousands != usual.thousands:
        reading["thousands"] = marks.thousands
    return reading


def _said_of_reading(reading: Mapping[str, str]) -> list[str]:
    """Say how a table was read, if not as most are."""
    if not reading:
        return []
    settings = " and ".join(f"{key} = {value!r}" for key, value in reading.items())
    return [f"read with {settings}, as it seems to be written"]


def summary(proposals: Sequence[Proposal]) -> list[str]:
    """Say what was read, a line a file."""
    lines = []
    for each in proposals:
        kinds = Counter(variable.kind for variable in each.variables.values())
        listed = some([f"{count} {kind}" for kind, count in kinds.items()])
        lines.append(f"{each.path}: {counted(each.rows, 'row')}; variables: {listed}")
    return lines
