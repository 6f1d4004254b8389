"""Columns whose types are known, made variables: rows that are kept, values, classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from coplay.core.errors import DataError
from coplay.core.variable import Variable
from coplay.data.classes import coded_column
from coplay.data.column import Column, array_column, real_column
from coplay.data.sources.base import LABEL
from coplay.data.tables.doubts import doubtful_dates, likely_marks
from coplay.data.tables.notes import marks_as_categories, number_notes
from coplay.data.tables.numbers import Marks
from coplay.data.tables.reading import Rows
from coplay.data.tables.types import Settings, Typed
from coplay.data.words import all_of, counted, quoted


def label_faults(rows: Rows, label: str, column: Typed | None) -> list[str]:
    """Refuse a column that holds no classes."""
    if column is None or column.kind == "unread":
        return [f"{rows.title}: label_column {quoted(label)} holds nothing"]
    if len(column.texts) < 2:
        return [
            f"{rows.place(0)}, label_column {quoted(label)}: expected at least two classes, got "
            f"{quoted(column.texts[0])} in every row; leave label_column out if there are none"
        ]
    numbers = [Marks().number(text) for text in column.texts]  # labels have plain marks
    fractions = [text for text, n in zip(column.texts, numbers, strict=True) if n and n % 1]
    if fractions and None not in numbers:
        return [
            f"{rows.title}: expected whole numbers or texts in label_column "
            f"{quoted(label)}, got numbers such as {quoted(fractions[0])}"
        ]
    return []


def kept_rows(
    rows: Rows,
    columns: Mapping[str, Typed],
    keeping: Collection[str],
    missing: Literal["refuse", "drop rows", "keep"],
    settings: Settings,
) -> tuple[np.ndarray, list[str]]:
    """Return which rows are kept, shape (n,), and a sentence on the others.

    Raises:
        DataError: Cells are missing and rows are not to be dropped, or none is left.
    """
    incomplete = np.zeros(len(rows), np.bool_)
    faults = []
    counts = []
    for name, column in columns.items():
        count = int(column.missing.sum())
        if not count or name in keeping:
            continue
        incomplete |= column.missing
        first = rows.place(int(np.flatnonzero(column.missing)[0]))
        counts.append(f"{quoted(name)} {count:,}")
        faults.append(
            f"{first}, column {quoted(name)}: the cell is missing; {count:,} of {len(rows):,} are"
        )
    if not faults:
        return ~incomplete, []
    if missing != "drop rows":
        gone = f"{counted(int(incomplete.sum()), 'row')} of {len(rows):,}"
        raise DataError(f"{all_of(faults)}\n{settings.remedies.missing(gone)}")
    if incomplete.all():
        raise DataError(
            f"{rows.title}: every row has a missing cell ({', '.join(counts)}); "
            f"{settings.remedies.none_complete()}"
        )
    dropped = f"{counted(int(incomplete.sum()), 'row')} of {len(rows):,} dropped"
    return ~incomplete, [f"{dropped}, since cells are missing: {', '.join(counts)}"]


def made_columns(
    rows: Rows,
    columns: dict[str, Typed],
    train: np.ndarray,
    test: np.ndarray,
    settings: Settings,
    label: str | None,
) -> tuple[dict[str, Column], list[str]]:
    """Convert the columns, the classes last, and say which of them hold nothing any more."""
    made: dict[str, Column] = {}
    notes = []
    for name, column in list(columns.items()):
        if name == label:
            continue
        if column.kind == "texts" and not _has_two(column.values, train, test):
            notes.append(f"not read: column {quoted(name)} has one text in the rows that are left")
        else:
            made[name] = _column(name, column, train, test, rows.title, settings)
        if column.kind == "real" and name in made:
            doubts = doubtful_dates(name, column)
            if column.dates is None:
                doubts = number_notes(name, rows.cells[name], settings)
                doubts += likely_marks(name, column)
            made[name] = made[name].noted(*doubts)
        # the values are in the variable now; of a large table they do not fit twice
        columns[name] = replace(column, values=np.zeros(0))
    if label is not None:
        values = columns[label]
        origin = f"{rows.title}, label_column {quoted(label)}"
        classes = coded_column(values.values[train], values.values[test], values.texts, origin)
        made[LABEL] = classes.noted(*marks_as_categories(label, values, settings))
    return made, notes


def _column(
    name: str, column: Typed, train: np.ndarray, test: np.ndarray, title: str, reading: Settings
) -> Column:
    """Convert a column of a known type."""
    origin = f"{title}, column {quoted(name)}"
    values = column.values
    if column.kind == "texts":
        return coded_column(values[train], values[test], column.texts, origin, name).noted(
            *column.notes, *marks_as_categories(name, column, reading)
        )
    if column.kind == "binary":
        bits = array_column(Variable(kind="binary"), values[train], values[test])
        return bits.noted(f"{quoted(name)}: {column.texts[1]} is 1, {column.texts[0]} is 0")
    numbers = real_column(
        values[train], values[test], name, origin, is_exact=column.dates is not None
    ).noted(*column.notes)
    if column.unit:
        variable = numbers.variable.model_copy(update={"unit": column.unit})
        return replace(numbers, variable=variable)
    if not _has_two(values, train, test):
        return numbers.noted(f"{quoted(name)} is {values[train[0]]:g} in every row")
    return numbers


def _has_two(values: np.ndarray, train: np.ndarray, test: np.ndarray) -> bool:
    """Whether some rows of a column have unlike values."""
    first = values[train[0]]
    return bool((values[train] != first).any() or (values[test] != first).any())
