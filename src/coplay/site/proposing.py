"""What a site's table holds, in words that may leave it: names, kinds, rounded ranges, levels."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from coplay.core.errors import DataError
from coplay.core.space import LABEL
from coplay.core.variable import Kind
from coplay.data.classes import natural_key
from coplay.data.tables.formats import ENDINGS, TextFormat, ending
from coplay.data.tables.found_marks import found_marks
from coplay.data.tables.grid import Cells
from coplay.data.tables.numbers import Marks
from coplay.data.tables.reading import Rows, read_tables
from coplay.data.tables.types import Fault, Settings, Typed, typed
from coplay.data.words import counted, quoted, some
from coplay.site.codes import notes_on_codes, notes_on_codes_among_texts
from coplay.site.conforming import OTHER
from coplay.site.units import may_name_somebody, names_somebody, unit_of

_FEW_NUMBERS = 10
"""So many different whole numbers, or fewer, are categories."""

_WHOLE = re.compile("0|-?[1-9][0-9]*")
"""A whole number as it is written where it is a name."""

_MISSING_MARKS = ("NA", "?", "N/A", "null", "NaN")
"""Texts that count as missing while a table is proposed."""

_MANY_DIGITS = 100_000
"""Whole numbers from here on, another in every row, are names rather than amounts."""


@dataclass(frozen=True)
class Proposed:
    """One variable as a site proposes it.

    Args:
        kind: What it is.
        low: Smallest value, rounded outwards; None where it has no range. Categories that are
            numbers have one too, for another site may have too many of them for categories.
        high: Largest value, rounded outwards.
        levels: Categories in the order of their names, which does not say which is commonest; rare
            ones are in ``other``. What is binary has the words that stand in the table.
        optional: Whether cells of it are missing.
    """

    kind: Kind
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] = ()
    optional: bool = False


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

    def incomplete_in(self, columns: Iterable[str]) -> int:
        """Return the number of rows in which one of some columns is missing."""
        missing = np.zeros(self.rows, dtype=np.bool_)
        for name in columns:
            if name in self.absent:
                missing |= self.absent[name]
        return int(missing.sum())


def rounded_outwards(low: float, high: float, grid: float = 0.0) -> tuple[float, float]:
    """Return a range whose ends have two digits, around one that would show the extreme rows.

    A range of numbers from 0 on stays there.

    Args:
        low: Smallest value.
        high: Largest value.
        grid: What all values are multiples of, such as 1 for whole numbers; 0 for nothing. The
            ends are multiples of ten times as much, for with as many digits as the values have
            they would be the extreme rows themselves.

    Example:
        >>> rounded_outwards(6.981, 28.11), rounded_outwards(0.0, 103.0)
        ((6.0, 29.0), (0.0, 110.0))
        >>> rounded_outwards(-3.27, 4.0), rounded_outwards(5.0, 5.0)
        ((-3.3, 4.0), (4.0, 6.0))
        >>> rounded_outwards(18.0, 97.0, grid=1.0)
        (10.0, 100.0)
    """
    largest = max(abs(low), abs(high)) or 1.0
    step = max(10.0 ** (math.floor(math.log10(largest)) - 1), 10 * grid)
    # whole multiples, written with as many digits as they have
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        first, last = first - 10, last + 10
    return round(first * step, digits), round(last * step, digits)


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
    variables: dict[str, Proposed] = {}
    counts: dict[str, Counter[str]] = {}
    numbers: dict[str, np.ndarray] = {}
    absent: dict[str, np.ndarray] = {}
    settings = Settings(
        marks, tuple(dict.fromkeys([*_MISSING_MARKS, *missing_marks])), infers=False
    )
    for name in rows.names:
        if name == guessed:
            how = "was said" if unit else "seems"
            notes.append(
                f"{quoted(name)} {how} to name what a row belongs to: unit, no variable (unit = "
                f"{quoted(name)} in the site file, so that its rows stay together)"
            )
            continue
        column = _proposed(name, rows, small_cell, settings)
        if isinstance(column, str):
            notes.append(f"left out: {column}")
            continue
        variable, counts[name], read = column
        # a class may not be missing
        optional = name != LABEL and bool(read.missing.any())
        variables[name] = replace(variable, optional=optional)
        absent[name] = read.missing
        if read.kind == "real":
            numbers[name] = read.values[~read.missing]
    if not variables:
        raise DataError(f"{path}: no column can be read as a variable: {'; '.join(notes)}")
    notes += [*_said_of_rare(variables, counts, small_cell), *notes_on_codes(numbers)]
    notes += notes_on_codes_among_texts(counts)
    notes += _said_of_few_numbers(variables, numbers)
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
        absent,
    )


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
        distinct = np.unique(values)
        is_few = len(distinct) <= _FEW_NUMBERS and bool((distinct == np.trunc(distinct)).all())
        if variables[name].kind == "real" and is_few:
            names.append(quoted(name))
    if not names:
        return []
    return [
        f"{some(names, 12)}: few whole numbers, written as 1.0 is, count as numbers; if they are "
        'codes of categories, agree on kind = "categorical" and categories = ["0", "1", …] in the '
        "place of low and high"
    ]


def _said_of_rare(
    variables: Mapping[str, Proposed], counts: Mapping[str, Counter[str]], small_cell: int
) -> list[str]:
    """Say which columns have values with few rows, and what is shared of them; none is named."""
    notes = []
    for name, variable in variables.items():
        rare = sum(count < small_cell for count in counts[name].values())
        if rare and variable.kind == "binary":
            notes.append(
                f"{quoted(name)}: one of its two values has fewer than {small_cell} rows. Nothing "
                "says which, but that it is binary says that both are there: take the variable out "
                "if that is not to be known"
            )
        elif rare and OTHER in variable.levels:
            notes.append(
                f"{quoted(name)}: categories with fewer than {small_cell} rows ({rare} of "
                f"{len(counts[name])}) count as {quoted(OTHER)}, without a name"
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


def _proposed(
    name: str, rows: Rows, small_cell: int, settings: Settings
) -> tuple[Proposed, Counter[str], Typed] | str:
    """Return a column as it is proposed, with its levels and cells, or why it is not."""
    if name in rows.refused:
        return rows.refused[name]
    column = typed(name, rows.cells[name], settings)
    if isinstance(column, Fault):
        return f"{rows.place(column.row)}, {column.text}"
    if column.kind == "unread":
        return column.reason.split("; ")[0]  # the rest is advice for those who write the file
    is_varied = len(set(rows.cells[name])) > _FEW_NUMBERS
    if names_somebody(name) or (may_name_somebody(name) and is_varied):
        return f"column {quoted(name)} seems to name somebody"
    present = column.values[~column.missing]
    if column.kind == "binary":
        return _bits(_present_cells(rows.cells[name], column), column, small_cell)
    if column.kind == "texts":
        return _levels(name, [column.texts[i] for i in present], column, small_cell)
    texts = _present_cells(rows.cells[name], column)
    whole = bool((present == np.trunc(present)).all())
    distinct = np.unique(present)
    # a cell of 1.0 is the number 1, and no category of that name
    whole = whole and all(map(_WHOLE.fullmatch, set(texts)))
    if set(distinct.tolist()) == {0.0, 1.0}:
        plain = [f"{number:g}" for number in present.tolist()]  # 1.0 and 1 are one value
        return _bits(plain, column, small_cell)
    if whole and len(distinct) == len(present) and _are_names(distinct):
        return f"column {quoted(name)} holds another whole number in every row, as names of rows do"
    if len(distinct) < 2:
        return f"column {quoted(name)} is the same number in every row"
    low, high = rounded_outwards(float(distinct[0]), float(distinct[-1]), _grid(distinct))
    if whole and len(distinct) <= _FEW_NUMBERS:
        levels = _levels(name, texts, column, small_cell)
        if isinstance(levels, str):
            return levels
        return replace(levels[0], low=low, high=high), levels[1], column
    return Proposed("real", low, high), Counter(), column


def _grid(numbers: np.ndarray) -> float:
    """Return the largest power of ten that all are multiples of; 0 beyond six decimals."""
    for decimals in range(-12, 7):
        if np.array_equal(numbers.round(decimals), numbers):
            return float(10.0**-decimals)
    return 0.0


def _present_cells(cells: Cells, column: Typed) -> list[str]:
    """Return the texts that are not missing, as they stand in the table."""
    return [cell for cell, absent in zip(cells, column.missing, strict=True) if not absent]


def _bits(
    texts: Sequence[str], column: Typed, small_cell: int
) -> tuple[Proposed, Counter[str], Typed]:
    """Return a binary column, with its words for sites that know a third."""
    counts = Counter(texts)
    levels = common_levels(counts, small_cell)
    return Proposed("binary", levels=levels), counts, column


def _are_names(numbers: np.ndarray) -> bool:
    """Whether numbers, another in every row, number the rows or are long as those of files are."""
    if len(numbers) <= _FEW_NUMBERS:
        return False
    return bool(numbers[-1] - numbers[0] < 2 * len(numbers) or numbers[0] >= _MANY_DIGITS)


def _levels(
    name: str, texts: Sequence[str], column: Typed, small_cell: int
) -> tuple[Proposed, Counter[str], Typed] | str:
    """Return a categorical column with rare levels in ``other``."""
    counts = Counter(texts)
    if len(counts) == len(texts) and len(texts) > _FEW_NUMBERS:
        return f"column {quoted(name)} holds another text in every row, as names do"
    levels = common_levels(counts, small_cell)
    if len(levels) < 2:
        return f"column {quoted(name)} has fewer than two categories with {small_cell} rows"
    return Proposed("categorical", levels=levels), counts, column


def common_levels(counts: Counter[str], small_cell: int) -> tuple[str, ...]:
    """Return the levels with enough rows in the order of their names, and ``other`` for more.

    Example:
        >>> common_levels(Counter({"Ulm": 40, "Bonn": 12, "Jena": 3}), 10)
        ('Bonn', 'Ulm', 'other')
    """
    common = [level for level, count in counts.items() if count >= small_cell and level != OTHER]
    common.sort(key=natural_key)
    if len(common) < len(counts):
        common.append(OTHER)
    return tuple(common)


def summary(proposals: Sequence[Proposal]) -> list[str]:
    """Say what was read, a line a file."""
    lines = []
    for each in proposals:
        kinds = Counter(variable.kind for variable in each.variables.values())
        listed = some([f"{count} {kind}" for kind, count in kinds.items()])
        lines.append(f"{each.path}: {counted(each.rows, 'row')}; variables: {listed}")
    return lines
