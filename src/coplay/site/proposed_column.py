"""What one column of a site's table is proposed to be: kind, rounded range, levels."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from coplay.core.variable import Kind
from coplay.data.classes import natural_key
from coplay.data.tables.grid import Cells
from coplay.data.tables.reading import Rows
from coplay.data.tables.types import Fault, Settings, Typed, missing_among, typed
from coplay.data.tables.whole_numbers import are_names_of_rows
from coplay.data.words import quoted
from coplay.site.conforming import OTHER
from coplay.site.units import may_name_somebody, names_somebody

_FEW_NUMBERS = 10
"""So many different whole numbers, or fewer, are categories."""

_WHOLE = re.compile("0|-?[1-9][0-9]*")
"""A whole number as it is written where it is a name."""


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
        unit: What one of its numbers is, where it is a date or a time of day.
    """

    kind: Kind
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] = ()
    optional: bool = False
    unit: str = ""


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


@dataclass(frozen=True)
class ProposedColumn:
    """A column as a site proposes it.

    Args:
        variable: What it is.
        counts: Rows of each category; those of its only value where it has no other.
        cells: Its values.
        only: That it has too few values to be a variable unless other sites have more; empty for
            one that is a variable in any case.
    """

    variable: Proposed
    counts: Counter[str]
    cells: Typed
    only: str = ""


def proposed_column(
    name: str, rows: Rows, small_cell: int, settings: Settings
) -> ProposedColumn | str:
    """Return a column as it is proposed, or why it is not.

    Args:
        name: The column's name.
        rows: The table.
        small_cell: Categories with fewer rows go into ``other``.
        settings: How cells become values.
    """
    if name in rows.refused:
        return rows.refused[name]
    column = typed(name, rows.cells[name], settings)
    if isinstance(column, Fault):
        return f"{rows.place(column.row)}, {column.text}"
    if column.kind == "unread" and not column.texts:
        return column.reason.split("; ")[0]  # the rest is advice for those who write the file
    if names_somebody(name) or (may_name_somebody(name) and _is_varied(rows.cells[name])):
        return f"column {quoted(name)} seems to name somebody"
    if column.kind == "unread":  # one text alone
        return _levels(name, _counts(rows.cells[name], settings), column, small_cell)
    if column.kind == "binary":
        return _bits(name, _counts(rows.cells[name], settings), column, small_cell)
    if column.kind == "texts":
        return _levels(name, _counts(rows.cells[name], settings), column, small_cell)
    return _numbers(name, rows.cells[name], small_cell, settings, column)


def _numbers(
    name: str, cells: Cells, small_cell: int, settings: Settings, column: Typed
) -> ProposedColumn | str:
    """Return a column of numbers: amounts, categories or bits, or why it is nothing of these."""
    present = column.values[~column.missing]
    whole = bool((present == np.trunc(present)).all())
    distinct = np.unique(present)
    if np.array_equal(distinct, [0, 1]):
        bits = Counter({f"{number:g}": int((present == number).sum()) for number in (0, 1)})
        return _bits(name, bits, column, small_cell)  # 1.0 and 1 are one value
    low, high = rounded_outwards(float(distinct[0]), float(distinct[-1]), _grid(distinct))
    amounts = Proposed("real", low, high, unit=column.unit)
    if column.dates is not None and len(distinct) > 1:
        return ProposedColumn(amounts, Counter(), column)
    if len(distinct) <= _FEW_NUMBERS:
        counts = _counts(cells, settings)
        # a cell of 1.0 is the number 1, and no category of that name
        if whole and all(map(_WHOLE.fullmatch, counts)):
            levels = _levels(name, counts, column, small_cell)
            if isinstance(levels, str):
                return levels
            return replace(levels, variable=replace(levels.variable, low=low, high=high))
    elif whole and are_names_of_rows(name, present):
        return (
            f"column {quoted(name)} holds another whole number in every row, as names of rows do; "
            f'if they are amounts, agree on it as [variables.{name}] with kind = "real", and '
            "take it out of lacks in the site file"
        )
    if len(distinct) < 2:
        number = f"{float(distinct[0]):.12g}"
        only = f"column {quoted(name)} is {number} in every row"
        return ProposedColumn(amounts, Counter({number: len(present)}), column, only)
    return ProposedColumn(amounts, Counter(), column)


def _is_varied(cells: Cells) -> bool:
    """Whether a column has too many different cells for codes of categories."""
    distinct: set[str] = set()
    for part in cells.parts():
        distinct.update(part)
        if len(distinct) > _FEW_NUMBERS:
            return True
    return False


def _grid(numbers: np.ndarray) -> float:
    """Return the largest power of ten that all are multiples of; 0 beyond six decimals."""
    some = numbers[:: max(1, len(numbers) // 1000)]  # they show most of what does not fit
    for decimals in range(-12, 7):
        if not np.array_equal(some.round(decimals), some):
            continue
        if np.array_equal(numbers.round(decimals), numbers):
            return float(10.0**-decimals)
    return 0.0


def _counts(cells: Cells, settings: Settings) -> Counter[str]:
    """Return how many rows hold each text, as it stands in the table; missing ones are left out."""
    counts: Counter[str] = Counter()
    for part in cells.parts():
        counts.update(part)
    for text in missing_among(counts, settings):
        del counts[text]
    return counts


def _bits(name: str, counts: Counter[str], column: Typed, small_cell: int) -> ProposedColumn:
    """Return a binary column, with its words for sites that know a third."""
    levels = common_levels(counts, small_cell)
    words = {text.lower() for text in counts}
    only = f"column {quoted(name)} is {quoted(next(iter(counts)))} in every row"
    return ProposedColumn(
        Proposed("binary", levels=levels), counts, column, only if len(words) < 2 else ""
    )


def _levels(
    name: str, counts: Counter[str], column: Typed, small_cell: int
) -> ProposedColumn | str:
    """Return a categorical column with rare levels in ``other``."""
    if len(counts) == counts.total() and len(counts) > _FEW_NUMBERS:
        return f"column {quoted(name)} holds another text in every row, as names do"
    levels = common_levels(counts, small_cell)
    only = ""
    if len(counts) < 2:
        only = f"column {quoted(name)} is {quoted(next(iter(counts)))} in every row"
    elif len(levels) < 2:
        only = f"column {quoted(name)} has fewer than two categories with {small_cell} rows"
    return ProposedColumn(Proposed("categorical", levels=levels), counts, column, only)


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
