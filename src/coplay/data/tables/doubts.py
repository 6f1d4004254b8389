"""Numbers and dates that mostly stand for something else: 999 for no answer, the year 9999."""

from __future__ import annotations

import numpy as np

from coplay.data.tables.types import Typed
from coplay.data.words import counted, quoted

_FAR = 2.0
"""Ranges of the other numbers that lie between them and a mark."""

_FIRST_YEAR = 1800
_LAST_YEAR = 2200


def likely_marks(name: str, column: Typed) -> list[str]:
    """Say where a number of nines, far from all others, may stand for a missing value.

    Args:
        name: The column.
        column: Its numbers.
    """
    values = column.values[~column.missing] if column.missing.any() else column.values
    notes = []
    for end in (values.min(), values.max()) if len(values) else ():
        digits = f"{abs(end):.0f}"
        if len(digits) < 2 or set(digits) != {"9"} or abs(end) != int(digits):
            continue
        others = values[values != end]
        if not len(others):
            continue
        low, high = float(others.min()), float(others.max())
        gap = max(low - float(end), float(end) - high)
        if gap > _FAR * (high - low) and high > low:
            notes.append(
                f"{quoted(name)}: {end:.0f} in {counted(int((values == end).sum()), 'row')} is far "
                f"from all others; missing_marks = ['{end:.0f}'] if it stands for a missing value"
            )
    return notes


def doubtful_dates(name: str, column: Typed) -> list[str]:
    """Say where years are so early or late that they may stand for a missing date.

    Args:
        name: The column.
        column: Its dates, if that is what it holds.
    """
    if column.dates is None or not column.dates.order:
        return []
    first, last = (
        (np.datetime64(f"{year}-01-01") - np.datetime64("1970-01-01")).astype(int)
        for year in (_FIRST_YEAR, _LAST_YEAR)
    )
    values = column.values[~column.missing] if column.missing.any() else column.values
    odd = values[(values < first) | (values >= last)]
    if not len(odd) or len(odd) == len(values):
        return []
    return [
        f"{quoted(name)}: {counted(len(odd), 'date')} before {_FIRST_YEAR} or after {_LAST_YEAR}; "
        "if they stand for missing dates, missing_marks = […] names their texts"
    ]
