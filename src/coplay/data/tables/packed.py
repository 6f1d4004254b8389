"""Columns of large tables converted some thousand rows at a time, so that they fit into memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

import numpy as np

from coplay.data.column import EXACT, needs_64_bits
from coplay.data.tables.grid import Cells

_LARGE = 500_000
"""Rows from which on numbers are kept with 32 bits at once, where these hold them."""

_ISO = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)?(?:\0|$))+"
)
_FIRST = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:(?P<gap>[T ])[0-9:.]+)?")

Missing = Callable[[Collection[str]], set[str]]
"""Returns which of some texts stand for a missing value."""


def is_large(cells: Cells) -> bool:
    """Whether a column has so many rows that its texts are not to be held all at once."""
    return len(cells) >= _LARGE


def plain_numbers(
    cells: Cells, missing: Collection[str], codes: Collection[float] = ()
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the numbers of a column and where they are missing; None where a cell is no number.

    Whole numbers from 2**53 on are left to the slower way, which checks them.

    Args:
        cells: The column.
        missing: Texts that stand for a missing value, beside empty ones.
        codes: Numbers that do.
    """
    texts = frozenset(("", *missing))
    values = []
    absences = []
    for packed in cells.packed():
        if "_" in packed or not packed.isascii():  # Python would take 1_000 for a number
            return None
        row = packed.split("\0")
        absent = np.zeros(len(row), np.bool_)
        if not texts.isdisjoint(row):
            absent = np.array([text in texts for text in row])
            row = ["0" if text in texts else text for text in row]
        try:
            part = np.array(list(map(float, row)))
        except ValueError:
            return None
        if not bool((np.abs(part) < EXACT).all()):
            return None
        if codes:
            absent |= np.isin(part, list(codes))
            part[absent] = 0.0
        values.append(part)
        absences.append(absent)
    return small(values), np.concatenate(absences)


def small(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join numbers, with 32 bits where there are many and 32 bits hold them."""
    joined = np.concatenate(parts)
    if len(joined) >= _LARGE and not needs_64_bits([joined]):
        return joined.astype(np.float32)
    return joined


def iso_dates(cells: Cells, missing: Missing) -> tuple[np.ndarray, np.ndarray, str] | None:
    """Return the dates of a column, as days since 1970, where they are missing, and the first.

    None where one is not written as ISO 8601 has it.
    """
    values = []
    absences = []
    first = ""
    for packed in cells.packed():
        row = np.array(packed.split("\0"))
        distinct = set(np.unique(row).tolist()) if len(row) else set()
        marks = missing(distinct)
        absent = np.isin(row, list(marks)) if marks else np.zeros(len(row), np.bool_)
        present = row[~absent]
        if len(present) and not _ISO.fullmatch("\0".join(present.tolist())):
            return None
        if not first and len(present):
            first = str(present[0])
        days = np.zeros(len(row))
        try:
            moments = present.astype("datetime64[us]").astype(np.int64)
        except ValueError:
            return None
        days[~absent] = moments / 86_400_000_000
        values.append(days)
        absences.append(absent)
    return (small(values), np.concatenate(absences), first) if first else None
