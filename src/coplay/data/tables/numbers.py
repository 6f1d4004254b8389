"""Numbers as tables write them: decimal marks, marks between thousands, and what is none."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from coplay.data.column import EXACT
from coplay.data.tables.grid import Cells

_PLAIN = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")

_MARKED = re.compile(
    r"[+-]?[0-9]{1,3}([.,'’ \u00a0\u202f][0-9]{3})+([.,][0-9]+)?|[+-]?[0-9]+,[0-9]+"
)
"""A number that is one with other marks than those of the settings, such as 1,000 or 1,5."""

_ZEROS = re.compile(r"(^|\0)[+-]?0[0-9]")

_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")

_DATE = re.compile(
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}([T ][0-9:.]+(Z| ?[+-][0-9:]+| ?[AaPp][Mm])?)?"
    r"|[0-9]{1,2}:[0-9]{2}(:[0-9.]+)?( ?[AaPp][Mm])?"
)


@dataclass(frozen=True)
class Marks:
    """The marks inside numbers.

    Args:
        decimal: Before the fraction.
        thousands: Between thousands; empty for none.
    """

    decimal: str = "."
    thousands: str = ""

    @property
    def are_plain(self) -> bool:
        """Whether numbers are written as Python writes them."""
        return self.decimal == "." and not self.thousands

    def number(self, text: str) -> float | None:
        """Return the number that a cell holds; None if it is none, or not finite.

        Example:
            >>> Marks().number("1e3"), Marks(",", ".").number("1.234,5"), Marks().number("1,000")
            (1000.0, 1234.5, None)
            >>> Marks(thousands=",").number("1,00"), Marks().number("1_0"), Marks().number("nan")
            (None, None, None)
        """
        plain = self.plain(text)
        if plain is None:
            return None
        value = float(plain)
        return value if np.isfinite(value) else None

    def plain(self, text: str) -> str | None:
        """Return the text of a number with Python's marks; None if it is no number.

        Example:
            >>> Marks(thousands=",").plain("1,000"), Marks(",").plain("1,5"), Marks().plain("a")
            ('1000', '1.5', None)
        """
        plain = self._plain(text)
        return plain if plain is not None and _PLAIN.fullmatch(plain) else None

    def is_inexact(self, text: str, value: float) -> bool:
        """Whether a cell is a whole number that 64-bit floats cannot hold."""
        if abs(value) < EXACT:
            return False
        plain = self._plain(text) or ""
        return bool(_WHOLE.fullmatch(plain)) and int(plain.partition(".")[0]) != int(value)

    def _plain(self, text: str) -> str | None:
        """Return a number with Python's marks; None if its marks are in the wrong places."""
        if self.are_plain:
            return text
        whole, point, fraction = text.partition(self.decimal)
        if self.thousands and self.thousands in whole:
            groups = whole.lstrip("+-").split(self.thousands)
            if not 1 <= len(groups[0]) <= 3 or any(len(group) != 3 for group in groups[1:]):
                return None
            whole = whole.replace(self.thousands, "")
        if not whole.lstrip("+-").isascii() or "." in whole or self.decimal in fraction:
            return None
        if "." in fraction:
            return None
        return f"{whole}.{fraction}" if point else whole


def is_marked(text: str) -> bool:
    """Whether a cell is a number with other marks.

    Example:
        >>> is_marked("1,000"), is_marked("1,5"), is_marked("n/k")
        (True, True, False)
    """
    return bool(_MARKED.fullmatch(text))


def has_leading_zeros(cells: Cells) -> bool:
    """Whether a cell is a number with a zero before it, as postcodes have.

    Args:
        cells: A column of numbers.
    """
    return any(_ZEROS.search(packed) for packed in cells.packed())


def may_be_thousands(cells: Cells) -> bool:
    """Whether every point in a column stands before exactly three digits, as one in 1.000 does.

    Args:
        cells: A column of numbers.
    """
    is_met = False
    for packed in cells.packed():
        if "." not in packed:
            continue
        is_met = True
        if any("." in cell and not _THOUSANDS.fullmatch(cell) for cell in packed.split("\0")):
            return False
    return is_met


def is_date(text: str) -> bool:
    """Whether a cell is a date or a time of day.

    Example:
        >>> is_date("2023-06-01"), is_date("1.6.2023 12:30"), is_date("20230601")
        (True, True, False)
    """
    return bool(_DATE.fullmatch(text))
