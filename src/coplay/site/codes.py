"""Numbers in a table that seem to be codes for a missing value, such as -9 or 999."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coplay.data.tables.numbers import Marks
from coplay.data.words import counted, quoted, some


def _usual_codes() -> list[float]:
    """Return -1 and what is written with sevens, eights or nines alone, with either sign."""
    codes = [-1.0]
    for digit in "789":
        for length in range(1, 7):
            number = float(digit * length)
            codes += [number, -number]
    return codes


_CODES = np.array(_usual_codes())
_REPEATED = 2


@dataclass(frozen=True)
class Code:
    """A number that seems to stand for a missing value.

    Args:
        value: The number.
        rows: In how many rows it stands.
        low: The smallest of the other numbers.
        high: The largest of them.
    """

    value: float
    rows: int
    low: float
    high: float


def codes_in(numbers: np.ndarray) -> list[Code]:
    """Return the numbers of a column that seem to be codes.

    They are of the usual forms, repeat, and lie apart: below numbers that are never negative, or
    farther from all others than these are from each other.

    Args:
        numbers: The column without missing cells, shape (n,).

    Example:
        >>> ages = [34.0, 58.0, 41.0, 77.0, 50.0, -9.0, -9.0, 999.0, 999.0]
        >>> [(code.value, code.rows) for code in codes_in(np.array(ages))]
        [(-9.0, 2), (999.0, 2)]
        >>> codes_in(np.array([7.0, 8.0, 9.0, 9.0, 10.0]))
        []
    """
    distinct, counts = np.unique(numbers, return_counts=True)
    may_be_codes = np.isin(distinct, _CODES)
    others = distinct[~may_be_codes]
    if not len(others):
        return []
    low, high = float(others[0]), float(others[-1])
    codes = []
    met = zip(distinct[may_be_codes].tolist(), counts[may_be_codes].tolist(), strict=True)
    for value, count in met:
        is_negative = value < 0 <= low
        gap = low - value if value < 0 else value - high
        if count >= _REPEATED and (is_negative or gap > high - low):
            codes.append(Code(value, count, low, high))
    return codes


def notes_on_codes(columns: Mapping[str, np.ndarray]) -> list[str]:
    """Say which numbers seem to be codes, and the lines of a site file that make them missing.

    Args:
        columns: The numbers of each column, without missing cells.

    Example:
        >>> chol = np.array([233.0, 250.0, 204.0, -9.0, -9.0])
        >>> print(notes_on_codes({"chol": chol})[0])
        'chol': -9 stands in 2 rows, apart from the other numbers (204 to 250), as codes for missing
        values do. If it is one: missing_marks = ["-9"] and missing = "drop rows" under
        [data.source] of the site file (--missing-marks -9 at init and propose); until then it
        counts as a number
    """
    of_column = {name: codes_in(numbers) for name, numbers in columns.items()}
    notes = []
    for name, codes in of_column.items():
        for code in codes:
            text = f"{code.value:g}"
            also = []
            for other, values in columns.items():
                is_code = any(each.value == code.value for each in of_column[other])
                if not is_code and code.value in values:
                    also.append(quoted(other))
            warning = f"; it would be missing in {some(also)} too" if also else ""
            notes.append(
                f"{quoted(name)}: {text} stands in {counted(code.rows, 'row')}, apart from the "
                f"other numbers ({code.low:g} to {code.high:g}), as codes for missing values do. "
                f"{_remedy(text)}{warning}; until then it counts as a number"
            )
    return notes


def notes_on_codes_among_texts(levels: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Say which categories seem to be codes: numbers of the usual forms among words.

    Args:
        levels: Rows of each category, by column.

    Example:
        >>> print(notes_on_codes_among_texts({"smokes": {"no": 40, "yes": 12, "-9": 3}})[0])
        'smokes': '-9' stands among words in 3 rows, as codes for missing values do. If it is one:
        missing_marks = ["-9"] and missing = "drop rows" under [data.source] of the site file
        (--missing-marks -9 at init and propose); until then it is a category
    """
    notes = []
    for name, counts in levels.items():
        codes = [text for text in counts if _number(text) in _CODES]
        has_words = any(_number(text) is None for text in counts)
        for text in codes if has_words else ():
            notes.append(
                f"{quoted(name)}: {quoted(text)} stands among words in "
                f"{counted(counts[text], 'row')}, as codes for missing values do. "
                f"{_remedy(text)}; until then it is a category"
            )
    return notes


def _remedy(text: str) -> str:
    """Return the lines of a site file that make a code a missing value."""
    return (
        f'If it is one: missing_marks = ["{text}"] and missing = "drop rows" under [data.source] '
        f"of the site file (--missing-marks {text} at init and propose)"
    )


def _number(text: str) -> float | None:
    return Marks().number(text)
