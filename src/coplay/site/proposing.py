"""What a site's table holds, in words that may leave it: names, kinds, rounded ranges, levels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from coplay.core.errors import DataError
from coplay.core.variable import Kind
from coplay.data.tables.formats import TextFormat
from coplay.data.tables.numbers import Marks
from coplay.data.tables.reading import Rows, read_tables
from coplay.data.tables.types import Fault, Settings, Typed, typed
from coplay.data.words import counted, quoted, some
from coplay.site.conforming import OTHER

_FEW_NUMBERS = 10
"""So many different whole numbers, or fewer, are categories."""

_UNIT_WORDS = ("id", "patient", "person", "subject", "customer", "case", "unit")


@dataclass(frozen=True)
class Proposed:
    """One variable as a site proposes it.

    Args:
        kind: What it is.
        low: Smallest value, rounded outwards; None where it has no range.
        high: Largest value, rounded outwards.
        levels: Categories, the commonest first; rare ones are in ``other``.
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


def rounded_outwards(low: float, high: float) -> tuple[float, float]:
    """Return a range whose ends have two digits, around one that would show the extreme rows.

    A range of numbers from 0 on stays there.

    Example:
        >>> rounded_outwards(6.981, 28.11), rounded_outwards(0.0, 103.0)
        ((6.0, 29.0), (0.0, 110.0))
        >>> rounded_outwards(-3.27, 4.0), rounded_outwards(5.0, 5.0)
        ((-3.3, 4.0), (4.0, 6.0))
    """
    largest = max(abs(low), abs(high)) or 1.0
    step = 10.0 ** (math.floor(math.log10(largest)) - 1)
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
            notes.append(f"{quoted(name)} seems to name what a row belongs to: unit, no variable")
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
        return column.reason
    present = column.values[~column.missing]
    if column.kind == "binary":
        return Proposed("binary"), Counter(), column.missing
    if column.kind == "texts":
        return _levels(name, [column.texts[i] for i in present], column, small_cell)
    whole = bool((present == np.trunc(present)).all())
    distinct = np.unique(present)
    if set(distinct.tolist()) == {0.0, 1.0}:
        return Proposed("binary"), Counter(), column.missing
    if whole and len(distinct) == len(present) and len(present) > _FEW_NUMBERS:
        return f"column {quoted(name)} holds another whole number in every row, as names of rows do"
    if whole and len(distinct) <= _FEW_NUMBERS and len(distinct) > 1:
        return _levels(name, [str(int(number)) for number in present], column, small_cell)
    if len(distinct) < 2:
        return f"column {quoted(name)} is the same number in every row"
    low, high = rounded_outwards(float(distinct[0]), float(distinct[-1]))
    return Proposed("real", low, high), Counter(), column.missing


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
    """Return the levels with enough rows, the commonest first, and ``other`` if there are more.

    Example:
        >>> common_levels(Counter({"Ulm": 40, "Bonn": 12, "Jena": 3}), 10)
        ('Ulm', 'Bonn', 'other')
    """
    common = [level for level, count in counts.most_common() if count >= small_cell]
    if len(common) < len(counts) and OTHER not in common:
        common.append(OTHER)
    return tuple(common)


def _unit(rows: Rows) -> str | None:
    """Return the first column that is called like a unit and whose texts repeat."""
    for name in rows.names:
        words = name.lower().replace("-", "_").replace(" ", "_").split("_")
        if not set(words) & set(_UNIT_WORDS):
            continue
        texts = list(rows.cells[name])
        distinct = len(set(texts))
        # names of units repeat, and are many: a column of few texts is a category
        if "" not in texts and distinct < len(texts) and 3 * distinct > len(texts):
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
