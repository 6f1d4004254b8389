"""What a site's table holds, in words that may leave it: names, kinds, rounded ranges, levels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from coplay.core.errors import DataError
from coplay.core.variable import Kind
from coplay.data.classes import natural_key
from coplay.data.tables.formats import TextFormat
from coplay.data.tables.grid import Cells
from coplay.data.tables.numbers import Marks
from coplay.data.tables.reading import Rows, read_tables
from coplay.data.tables.types import Fault, Settings, Typed, typed
from coplay.data.words import counted, quoted, some
from coplay.site.conforming import OTHER

_FEW_NUMBERS = 10
"""So many different whole numbers, or fewer, are categories."""

_NAMING_WORDS = {"id", "patient", "person", "subject", "customer", "mrn"}
_UNIT_WORDS = _NAMING_WORDS | {"case", "unit"}

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
    """

    kind: Kind
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """What a site proposes of its table.

    Args:
        path: The table.
        variables: By column.
        unit: A column that seems to name what a row belongs to, such as a patient; None for none.
        rows: Number of rows.
        incomplete: Number of rows in which a proposed variable is missing.
        notes: What was left out and decided, in sentences; they stay at the site.
    """

    path: Path
    variables: dict[str, Proposed]
    unit: str | None
    rows: int
    incomplete: int
    notes: Sequence[str] = ()
    level_counts: dict[str, Counter[str]] = field(default_factory=dict)


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


def proposal(path: Path, small_cell: int = 10, unit: str | None = None) -> Proposal:
    """Read a table and say what it could share.

    Args:
        path: The table.
        small_cell: Categories with fewer rows go into ``other``.
        unit: The column that names what a row belongs to; None to guess it.

    Raises:
        DataError: It cannot be read, has no such column, or holds nothing to learn from.
    """
    if not path.is_file():
        raise DataError(f"the file {path} does not exist (looked for from {Path.cwd()})")
    rows = read_tables([path], [], TextFormat(), None)
    if unit is not None:
        rows.check_names({"unit": [unit]})
    guessed = unit or _unit(rows)
    notes = list(rows.notes(rows.names))
    variables: dict[str, Proposed] = {}
    counts: dict[str, Counter[str]] = {}
    missing = np.zeros(len(rows), dtype=np.bool_)
    for name in rows.names:
        if name == guessed:
            how = "was said" if unit else "seems"
            notes.append(f"{quoted(name)} {how} to name what a row belongs to: unit, no variable")
            continue
        column = _proposed(name, rows, small_cell)
        if isinstance(column, str):
            notes.append(f"left out: {column}")
            continue
        variables[name], counts[name], absent = column
        missing |= absent
    if not variables:
        raise DataError(f"{path}: no column can be read as a variable: {'; '.join(notes)}")
    return Proposal(path, variables, guessed, len(rows), int(missing.sum()), notes, counts)


def _proposed(
    name: str, rows: Rows, small_cell: int
) -> tuple[Proposed, Counter[str], np.ndarray] | str:
    """Return a column as it is proposed, with its levels and missing cells, or why it is not."""
    if name in rows.refused:
        return rows.refused[name]
    settings = Settings(Marks(), ("NA", "?", "N/A", "null", "NaN"))
    column = typed(name, rows.cells[name], settings)
    if isinstance(column, Fault):
        return f"{rows.place(column.row)}, {column.text}"
    if column.kind == "unread":
        return column.reason.split("; ")[0]  # the rest is advice for those who write the file
    if _words(name) & _NAMING_WORDS and len(set(rows.cells[name])) > _FEW_NUMBERS:
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
    whole = whole and all(text == f"{float(text):.0f}" for text in set(texts))
    if set(distinct.tolist()) == {0.0, 1.0}:
        return _bits(texts, column, small_cell)
    if whole and len(distinct) == len(present) and _are_names(distinct):
        return f"column {quoted(name)} holds another whole number in every row, as names of rows do"
    if len(distinct) < 2:
        return f"column {quoted(name)} is the same number in every row"
    low, high = rounded_outwards(float(distinct[0]), float(distinct[-1]), _grid(distinct))
    if whole and len(distinct) <= _FEW_NUMBERS:
        levels = _levels(name, texts, column, small_cell)
        if isinstance(levels, str):
            return levels
        return replace(levels[0], low=low, high=high), levels[1], column.missing
    return Proposed("real", low, high), Counter(), column.missing


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
) -> tuple[Proposed, Counter[str], np.ndarray]:
    """Return a binary column, with its words for sites that know a third."""
    counts = Counter(texts)
    levels = common_levels(counts, small_cell)
    return Proposed("binary", levels=levels), counts, column.missing


def _are_names(numbers: np.ndarray) -> bool:
    """Whether numbers, another in every row, number the rows or are long as those of files are."""
    if len(numbers) <= _FEW_NUMBERS:
        return False
    return bool(numbers[-1] - numbers[0] < 2 * len(numbers) or numbers[0] >= _MANY_DIGITS)


def _words(name: str) -> set[str]:
    return set(name.lower().replace("-", "_").replace(" ", "_").split("_"))


def _levels(
    name: str, texts: Sequence[str], column: Typed, small_cell: int
) -> tuple[Proposed, Counter[str], np.ndarray] | str:
    """Return a categorical column with rare levels in ``other``."""
    counts = Counter(texts)
    if len(counts) == len(texts) and len(texts) > _FEW_NUMBERS:
        return f"column {quoted(name)} holds another text in every row, as names do"
    levels = common_levels(counts, small_cell)
    if len(levels) < 2:
        return f"column {quoted(name)} has fewer than two categories with {small_cell} rows"
    return Proposed("categorical", levels=levels), counts, column.missing


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


def _unit(rows: Rows) -> str | None:
    """Return the first column that is called like a unit and whose texts repeat."""
    for name in rows.names:
        words = _words(name)
        if not words & _UNIT_WORDS:
            continue
        texts = list(rows.cells[name])
        distinct = len(set(texts))
        # names of units repeat, and are many: a column of few texts is a category
        are_many = 3 * distinct > len(texts)
        if words & _NAMING_WORDS:
            are_many = are_many or distinct > _FEW_NUMBERS
        if "" not in texts and distinct < len(texts) and are_many:
            return name
    return None


def summary(proposals: Sequence[Proposal]) -> list[str]:
    """Say what was read, a line a file."""
    lines = []
    for each in proposals:
        kinds = Counter(variable.kind for variable in each.variables.values())
        listed = some([f"{count} {kind}" for kind, count in kinds.items()])
        lines.append(f"{each.path}: {counted(each.rows, 'row')}; variables: {listed}")
    return lines
