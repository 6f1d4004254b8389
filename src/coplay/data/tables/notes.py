"""Sentences on what a table's column was read as."""

from __future__ import annotations

from collections.abc import Mapping

from coplay.data.column import Column
from coplay.data.tables.grid import Cells
from coplay.data.tables.numbers import has_leading_zeros, may_be_thousands
from coplay.data.tables.reading import Rows
from coplay.data.tables.types import USUAL_MARKS, Settings, Typed
from coplay.data.words import counted, quoted, some


def number_notes(name: str, cells: Cells, reading: Settings) -> list[str]:
    """Say if zeros before numbers are lost, and if points may stand between thousands.

    Args:
        name: The column.
        cells: Its cells, all numbers.
        reading: How they are read.
    """
    notes = []
    if reading.marks.decimal == "." and may_be_thousands(cells):
        notes.append(
            f"{quoted(name)}: every point stands before exactly three digits, and 1.000 is read as "
            f"1; {reading.remedies.thousands()}"
        )
    if has_leading_zeros(cells):
        notes.append(
            f"{quoted(name)}: zeros before its numbers are left out; {reading.remedies.zeros(name)}"
        )
    return notes


def marks_as_categories(name: str, column: Typed, reading: Settings) -> list[str]:
    """Say if a category looks like a mark for a missing value."""
    marks = [text for text in column.texts if text.lower() in USUAL_MARKS]
    if not marks:
        return []
    listed = ", ".join(map(quoted, marks))
    remedy = reading.remedies.mark_as_category(listed)
    return [f"{quoted(name)}: {listed} counts as a category; {remedy}"]


def summary(rows: Rows, columns: Mapping[str, Column]) -> str:
    """Say what was read."""
    kinds: dict[str, list[str]] = {}
    for name, column in columns.items():
        kinds.setdefault(column.variable.kind, []).append(quoted(name))
    listed = "; ".join(f"{kind} {some(names)}" for kind, names in kinds.items())
    return f"{counted(len(rows), 'row')} read from {rows.title}: {listed}"
