"""What whole numbers are: amounts, categories, or names of rows."""

from __future__ import annotations

import re

import numpy as np

FEW = 10
"""So many different whole numbers, or fewer, are categories."""

ROWS_A_LEVEL = 3
"""Rows that each of them has on average; with fewer they are amounts."""

_FEWEST_ROWS = 10  # rows of a table, or fewer, do not show that a column names them

_MANY_DIGITS = 100_000
"""Whole numbers from here on, another in every row, are names rather than amounts."""

_REPEATS = 10.0
"""So many pairs of rows would have one number by chance, if numbers were not names."""

_FEWEST_LONG = 50
"""Rows of a table from which on long numbers alone show that they name them."""

_AMOUNTS = {
    *("age", "amount", "balance", "budget", "capital", "charge", "cost", "costs", "count"),
    *("credit", "day", "days", "debt", "distance", "duration", "earnings", "fee", "height"),
    *("hours", "income", "length", "limit", "loss", "minutes", "month", "months", "pay"),
    *("population", "price", "profit", "rent", "revenue", "salary", "sales", "score", "seconds"),
    *("size", "sum", "tax", "time", "total", "turnover", "value", "wage", "wages", "weight"),
    *("width", "worth", "year", "years"),
}
"""Words of a column that is an amount, whatever its numbers look like."""

_NAMES = {"id", "ids", "uuid", "guid", "mrn", "pid", "nr", "no", "number", "index", "key", "row"}
"""Words of a column that names rows if its whole numbers differ in all of them."""


def few_distinct(numbers: np.ndarray) -> np.ndarray | None:
    """Return the different numbers of a column in ascending order; None if there are many.

    Args:
        numbers: Shape (n,), none missing.
    """
    if len(np.unique(numbers[:1000])) > FEW:
        return None
    distinct = np.unique(numbers)
    return distinct if len(distinct) <= FEW else None


def are_names_of_rows(name: str, numbers: np.ndarray) -> bool:
    """Whether whole numbers name the rows: none stands twice, where amounts would.

    With n amounts in a range of R numbers, n(n-1)/2R pairs of rows have one number by chance, and
    more where amounts are not spread evenly.

    Args:
        name: The column's name; one such as ``case_id`` needs no other evidence.
        numbers: Shape (n,), none missing.

    Example:
        >>> are_names_of_rows("case", np.arange(100.0)), are_names_of_rows("age", np.arange(12.0))
        (True, False)
        >>> are_names_of_rows("case_id", np.arange(12.0) * 7)
        True
        >>> prices = 100_000 + 1_700 * np.arange(40.0) ** 2
        >>> are_names_of_rows("asked", prices), are_names_of_rows("income", np.arange(100.0))
        (False, False)
    """
    count = len(numbers)
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    # a number of visits counts them
    is_amount = bool(_AMOUNTS.intersection(words)) or "of" in words
    if count <= _FEWEST_ROWS or is_amount or len(np.unique(numbers)) < count:
        return False
    low, high = float(numbers.min()), float(numbers.max())
    pairs = count * (count - 1) / 2 / (high - low + 1)
    is_round = bool((numbers % 10 == 0).all())  # as prices are, and names of rows are not
    are_long = count >= _FEWEST_LONG and low >= _MANY_DIGITS and not is_round
    return bool(_NAMES.intersection(words)) or pairs > _REPEATS or are_long
