"""Columns of a table read as what was agreed that they are, whatever their cells look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from coplay.core.components import nearest
from coplay.core.errors import DataError
from coplay.core.pace import Pace
from coplay.core.variable import Variable
from coplay.data.classes import coded_column
from coplay.data.column import Column, array_column, real_column
from coplay.data.sources.base import LABEL, SplitRows
from coplay.data.tables.booleans import BITS
from coplay.data.tables.reading import Rows
from coplay.data.tables.types import Fault, Settings, Typed, missing_among, typed
from coplay.data.words import all_of, quoted, some


def wanted_of(
    chosen: Sequence[str], agreed: Mapping[str, Variable], label: str | None
) -> dict[str, str]:
    """Return by column that is read the name under which it was agreed.

    The column of the classes goes by its own name or by ``class``, whichever was agreed.
    """
    wanted = {}
    for name in chosen:
        key = LABEL if name == label and name not in agreed else name
        if key in agreed:
            wanted[name] = key
    return wanted


def typed_as(
    wanted: Mapping[str, str], rows: Rows, settings: Settings, agreed: Mapping[str, Variable]
) -> dict[str, Typed]:
    """Convert columns to what was agreed.

    Args:
        wanted: By column the name under which it was agreed.
        rows: The table.
        settings: The marks of numbers and of missing cells.
        agreed: What the columns are to be.

    Raises:
        DataError: Cells are not what was agreed; the message has a line for each column.
    """
    columns: dict[str, Typed] = {}
    faults = []
    pace = Pace(f"columns of {rows.title}", len(wanted))
    for place, (name, key) in enumerate(wanted.items()):
        pace.at(place)
        column = _typed(name, rows, settings, agreed[key])
        if isinstance(column, Typed):
            columns[name] = column
            rows.forget_cells([name])  # of a large table, texts and values do not fit both
        else:
            faults.append(column)
    if faults:
        raise DataError(all_of(faults))
    return columns


def split_rows(
    rows: Rows, train: np.ndarray, test: np.ndarray, unit: str | None
) -> tuple[SplitRows, SplitRows]:
    """Return the lines and the units of the rows of both splits."""
    units = None if unit is None else rows.units(unit)
    splits = []
    for places in (train, test):
        of_split = None if units is None else units[places]
        splits.append(SplitRows(partial(_place, rows, places), of_split))
    return splits[0], splits[1]


def _place(rows: Rows, places: np.ndarray, row: int) -> str:
    """Write where a row of a split stands."""
    return rows.place(int(places[row]))


def _typed(name: str, rows: Rows, settings: Settings, agreed: Variable) -> Typed | str:
    """Return a column as what was agreed, or what is wrong with it, with its line."""
    refused = rows.refused.get(name)
    if refused is not None:
        return f"{rows.title}: {refused}"
    if agreed.kind == "categorical":
        settings = replace(settings, categories=(*settings.categories, name))
    settings = replace(settings, infers=False, identifiers=())
    column = typed(name, rows.cells[name], settings)
    if isinstance(column, Fault):
        return f"{rows.place(column.row)}, {column.text}"
    if column.kind == "unread" and agreed.kind == "binary" and _is_bit(column):
        bit = column.texts[0].lower() in BITS[1]
        return replace(column, kind="binary", values=~column.missing & bit)
    is_read = bool(column.texts) or not column.missing.any()
    if column.kind == "unread" and is_read and agreed.kind != "categorical":
        return _no_numbers(name, rows, settings, column, agreed)
    if column.kind == "unread":
        return f"{rows.title}: {column.reason}"
    if column.kind == "texts" and agreed.kind != "categorical":
        return _no_numbers(name, rows, settings, column, agreed)
    return column


def _is_bit(column: Typed) -> bool:
    """Whether the only text of a column is a word of 0 or 1, such as y."""
    return all(text.lower() in BITS[0] | BITS[1] for text in column.texts) and bool(column.texts)


def _no_numbers(name: str, rows: Rows, settings: Settings, column: Typed, agreed: Variable) -> str:
    """Say which cell of a column of numbers is none."""
    left_out = missing_among(set(rows.cells[name]), settings)
    words = "yes or no" if agreed.kind == "binary" else "a number"
    counts = Counter(cell for cell in rows.cells[name] if cell not in left_out)
    if not counts:
        return f"{rows.title}: {column.reason}"
    wrong = [text for text in counts if settings.marks.number(text) is None] or list(counts)
    row = next(i for i, cell in enumerate(rows.cells[name]) if cell == wrong[0])
    others = ""
    if len(counts) > 1:
        others = f" (its cells are {some([quoted(text) for text in counts], 3)})"
    return (
        f"{rows.place(row)}, column {quoted(name)}: expected {words}, since {agreed} was agreed; "
        f"got {quoted(wrong[0])}{others}"
    )


def column_as(
    name: str,
    column: Typed,
    agreed: Variable,
    train: np.ndarray,
    test: np.ndarray,
    title: str,
) -> Column:
    """Return the values of a column, of the kind that was agreed where its cells allow it.

    Args:
        name: The column's name.
        column: Its cells.
        agreed: What it is to be.
        train: Places of the rows to train on.
        test: Places of the others.
        title: What errors call the table.
    """
    origin = f"{title}, column {quoted(name)}"
    values = column.values
    if column.kind == "texts":
        known = agreed.class_names
        return coded_column(values[train], values[test], column.texts, origin, name, known)
    if column.kind == "binary":
        return array_column(Variable(kind="binary"), values[train], values[test])
    is_date = column.dates is not None
    numbers = real_column(values[train], values[test], name, origin, is_exact=is_date)
    if agreed.kind == "real":
        return numbers
    # whole numbers up to 2**53 are exact in 64 bits, whatever the networks compute in
    exact = [torch.from_numpy(values[places].astype(np.float64)) for places in (train, test)]
    return replace(numbers, train=exact[0], test=exact[1], notes=())


def none_of(agreed: Mapping[str, Variable], names: Sequence[str]) -> str:
    """Say that a table has none of the columns that are asked for."""
    wanted = some(map(quoted, agreed), 6)
    known: Iterable[str] = nearest(next(iter(agreed)), names).split(", ")
    return f"expected at least one of the columns {wanted}; the table has {some(known, 12)}"


def with_missing(
    made: Mapping[str, Column],
    columns: Mapping[str, Typed],
    column_of: Mapping[str, str],
    train: np.ndarray,
    test: np.ndarray,
) -> dict[str, Column]:
    """Return the variables of which cells are missing, with the mark for it in their place.

    Args:
        made: Variables by name, converted as if nothing were missing; the marks are put into them.
        columns: The cells by column.
        column_of: The column of each variable that may have missing values; no class may.
        train: Places of the rows to train on.
        test: Places of the others.
    """
    changed = {}
    for name, of_name in column_of.items():
        column = made[name]
        missing = columns[of_name].missing
        if not missing[train].any() and not missing[test].any():
            continue
        variable = column.variable.model_copy(update={"optional": True})
        # in place: they were just made, and of a large table no second copy fits
        for values, places in ((column.train, train), (column.test, test)):
            values[torch.from_numpy(missing[places])] = variable.missing
        count = int(missing[train].sum() + missing[test].sum())
        note = f"{quoted(name)}: {count:,} of {len(train) + len(test):,} values are missing"
        changed[name] = Column(variable, column.train, column.test, (*column.notes, note))
    return changed
