"""Sentences on what a table's column was read as."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import numpy as np

from coplay.data.column import Column
from coplay.data.tables.booleans import are_answers
from coplay.data.tables.dates import DAYS, HOURS
from coplay.data.tables.grid import Cells
from coplay.data.tables.numbers import has_leading_zeros, may_be_thousands
from coplay.data.tables.reading import Rows
from coplay.data.tables.types import Settings, Typed
from coplay.data.words import counted, quoted, some

_SPREADSHEET = ("#div/0!", "#n/a", "#name?", "#null!", "#num!", "#ref!", "#value!")

USUAL_MARKS = (
    *("?", "-", ".", "na", "n/a", "nan", "null", "none", "missing", "unknown"),
    *_SPREADSHEET,
)
"""Texts that mostly stand for a missing value; some do only where a setting says so."""


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


def met_marks(columns: Mapping[str, Cells], reading: Settings) -> list[str]:
    """Say which of the usual marks for a missing value stand in which columns.

    Args:
        columns: The cells by column.
        reading: How they are read.
    """
    met: dict[str, list[str]] = {}
    for name, cells in columns.items():
        marks = set(reading.missing)
        for part in cells.parts():
            here = marks.intersection(part)
            marks -= here
            for mark in here:
                met.setdefault(mark, []).append(quoted(name))
    notes = []
    for mark in sorted(met):
        notes.append(
            f"{quoted(mark)} counts as missing in {some(met[mark])}; missing_marks = […] names "
            "other marks, or none"
        )
    return notes


def spelled_two_ways(name: str, rows: Rows, column: Typed) -> list[str]:
    """Say which categories differ in what one does not hear or see, with the first line of each.

    Those are capitals, spaces, and other characters for the same letters; and yes and no in several
    words.

    Args:
        name: The column.
        rows: The table.
        column: Its categories.
    """
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(column.texts if column.kind == "texts" else ()):
        groups.setdefault(_as_spoken(text), []).append(place)
    notes = []
    for places in groups.values():
        if len(places) < 2:
            continue
        each: list[str] = []
        for place in places:
            row = int(np.flatnonzero((column.values == place) & ~column.missing)[0])
            where = rows.place(row) if not each else rows.place(row).rpartition(", ")[2]
            each.append(f"{where}, has {quoted(column.texts[place])}")
        notes.append(
            f"{quoted(name)}: one category seems to be spelled {len(places)} ways: "
            f"{' and '.join(each)}; they are categories of their own until they are written alike"
        )
    if not notes and are_answers(column.texts):
        listed = some([quoted(text) for text in column.texts], 6)
        notes.append(
            f"{quoted(name)}: yes and no seem to be written in several ways ({listed}); they are "
            "categories of their own until they are written alike"
        )
    return notes


def _as_spoken(text: str) -> str:
    """Return a text without what one does not hear or see."""
    letters = [
        letter
        for letter in unicodedata.normalize("NFKC", text)
        if unicodedata.category(letter) not in ("Cc", "Cf")
    ]
    return " ".join("".join(letters).casefold().split()).strip("'\"’‘“”")


def summary(rows: Rows, columns: Mapping[str, Column], cells: Mapping[str, Typed]) -> str:
    """Say what was read.

    Args:
        rows: The table.
        columns: The variables that were made of it.
        cells: Its columns, which say which numbers are whole and which are dates.
    """
    kinds: dict[str, list[str]] = {}
    for name, column in columns.items():
        kind: str = column.variable.kind
        read = cells.get(name)
        if read is not None and kind == "real":
            kind = "whole" if read.is_whole else kind
            kind = "date" if read.unit == DAYS else kind
            kind = "time of day" if read.unit == HOURS else kind
        kinds.setdefault(kind, []).append(quoted(name))
    listed = "; ".join(f"{kind} {some(names)}" for kind, names in kinds.items())
    return f"{counted(len(rows), 'row')} read from {rows.title}: {listed}"
