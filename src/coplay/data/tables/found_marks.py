"""Marks inside numbers, found from the cells of a table: decimal commas and thousands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice

from coplay.data.tables.grid import Cells
from coplay.data.tables.numbers import Marks, is_date
from coplay.data.words import quoted, some

_PARTS = 2
"""Batches of rows that are looked at; they hold some ten thousand rows."""

_MOST = 0.9
"""Share of a column's cells that are numbers under some marks, where its marks count."""

_SPACES = "'’ \u00a0\u202f"

_NUMBER = re.compile(rf"[+-]?[0-9][0-9.,{_SPACES}]*([eE][+-]?[0-9]+)?|[+-]?[.,][0-9]+")

_FORMS = {
    "1.000,5": re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]+|[+-]?[0-9]{1,3}(\.[0-9]{3}){2,}"),
    "1,000.5": re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]+|[+-]?[0-9]{1,3}(,[0-9]{3}){2,}"),
    # three digits behind a mark may as well follow a thousand, unless a 0 stands before it
    "1,5": re.compile(r"[+-]?([0-9]*,([0-9]{1,2}|[0-9]{4,})|0,[0-9]+|[0-9]{4,},[0-9]+)"),
    "1.5": re.compile(
        r"[+-]?([0-9]*\.([0-9]{1,2}|[0-9]{4,})|0\.[0-9]+|[0-9]{4,}\.[0-9]*)([eE][+-]?[0-9]+)?"
    ),
    "1,000": re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}"),
    "1.000": re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}"),
}


def found_marks(
    columns: Mapping[str, Cells], decimal: str | None, thousands: str | None
) -> tuple[Marks, list[str]]:
    """Return the marks of a table's numbers, and a sentence on those that are not usual.

    What cannot be told from the cells stays as Python writes numbers.

    Args:
        columns: The cells by column.
        decimal: The mark before a fraction if it was said.
        thousands: The mark between thousands if it was said; empty for none.

    Example:
        >>> dose, pay = Cells(), Cells()
        >>> dose.add(["1,5", "2,25"]), pay.add(["1.000", "12.500"])
        (None, None)
        >>> found_marks({"dose": dose, "pay": pay}, None, None)
        (Marks(decimal=',', thousands='.'), ["numbers are read with ',' before a fraction and '.'
        between thousands, as found in 'dose', 'pay'"])
        >>> found_marks({"pay": pay}, None, None)[0]
        Marks(decimal='.', thousands='')
    """
    if decimal is not None and thousands is not None:
        return Marks(decimal, thousands), []
    forms: Counter[str] = Counter()
    witnesses: dict[str, str] = {}
    for name, cells in columns.items():
        for form in _forms(_looked_at(cells)):
            forms[form] += 1
            witnesses.setdefault(form, name)
    met = _marks(forms)
    marks = Marks(decimal or met.decimal, met.thousands if thousands is None else thousands)
    if marks.decimal == marks.thousands:  # what was said wins
        other = "," if marks.thousands == "." else "."
        marks = Marks(marks.decimal, "") if thousands is None else Marks(other, thousands)
    unusual = []
    if marks.decimal != "." and decimal is None:
        unusual.append(f"{marks.decimal!r} before a fraction")
    if marks.thousands and thousands is None:
        unusual.append(f"{marks.thousands!r} between thousands")
    if not unusual:
        return marks, []
    names = dict.fromkeys(witnesses[form] for form in witnesses if form != "1.5")
    listed = some(map(quoted, names))
    return marks, [f"numbers are read with {' and '.join(unusual)}, as found in {listed}"]


def _looked_at(cells: Cells) -> Counter[str]:
    """Return the cells of some rows that are not empty."""
    counts: Counter[str] = Counter()
    for part in islice(cells.parts(), _PARTS):
        counts.update(part)
    del counts[""]
    return counts


def _forms(counts: Counter[str]) -> set[str]:
    """Return the forms of numbers in a column; none where it is no column of numbers."""
    if not counts:
        return set()
    numbers = [text for text in counts if _NUMBER.fullmatch(text) and not is_date(text)]
    if sum(counts[text] for text in numbers) < _MOST * counts.total():
        return set()
    return set(_forms_of(numbers))


def _forms_of(numbers: Iterable[str]) -> Iterable[str]:
    """The forms of some numbers; the mark itself for one of the rarer ones between thousands."""
    for text in numbers:
        if "." not in text and "," not in text and text.isascii() and text.isdecimal():
            continue
        for mark in _SPACES:
            if mark in text and re.fullmatch(
                rf"[+-]?[0-9]{{1,3}}({mark}[0-9]{{3}})+([.,][0-9]+)?", text
            ):
                yield mark
                text = text.replace(mark, "")
        for form, pattern in _FORMS.items():
            if pattern.fullmatch(text):
                yield form


def _marks(forms: Mapping[str, int]) -> Marks:
    """Return the marks that fit all forms; the usual ones where none do."""
    points = "1.5" in forms or "1,000.5" in forms
    commas = "1,5" in forms or "1.000,5" in forms
    if points and commas:
        return Marks()
    rare = next((mark for mark in _SPACES if mark in forms), "")
    if commas:
        return Marks(",", rare or ("." if "1.000,5" in forms or "1.000" in forms else ""))
    if "1,000.5" in forms or ("1,000" in forms and "1.5" in forms):
        return Marks(".", ",")
    return Marks(".", rare)
