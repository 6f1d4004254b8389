"""Figures as text: tables, means with their spread, differences in percentage points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table.

    Args:
        columns: Headings.
        rows: Texts of each row, one per heading.

    Example:
        >>> print(table(["site", "FID"], [["low", "504"]]))
        | site | FID |
        |---|---|
        | low | 504 |
    """
    lines = [_row(columns), "|---" * len(columns) + "|"]
    lines += [_row(cells) for cells in rows]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def format_spread(values: Mapping[str, Any], digits: int = 3) -> str:
    """Return mean and standard deviation; of a single run there is no deviation.

    Example:
        >>> format_spread({"mean": 0.25, "std": 0.125}, 2)
        '0.25 ± 0.12'
    """
    mean = f"{values['mean']:.{digits}f}"
    if len(values.get("values", (0, 0))) == 1:
        return mean
    return f"{mean} ± {values['std']:.{digits}f}"


def format_points(difference: Mapping[str, Any], digits: int, with_unit: bool = True) -> str:
    """Return a difference of accuracies in percentage points.

    Args:
        difference: ``mean`` and ``standard_error``, from -1 to 1; the error may be None.
        digits: Decimals.
        with_unit: False for bare numbers, where a table names them.

    Example:
        >>> format_points({"mean": 0.025, "standard_error": 0.004}, 1)
        '+2.5 ± 0.4 (standard error) points'
    """
    text = f"{100 * difference['mean']:+.{digits}f}"
    error = difference["standard_error"]
    if error is not None:
        text += f" ± {100 * error:.{digits}f}"
        if with_unit:
            text += " (standard error)"
    if with_unit:
        text += " points"
    return text


def listing(values: Iterable[Any]) -> str:
    """Return values with commas between them, such as seeds."""
    return ", ".join(map(str, values))


def difference(paired: Mapping[str, float] | None) -> str:
    """Return a paired difference with its standard error, if it has one; nothing for None."""
    if paired is None:
        return ""
    if math.isnan(paired["error"]):
        return f"{paired['mean']:+.1f}"
    return f"{paired['mean']:+.1f} ± {paired['error']:.1f}"
