"""Types of columns, decided from all of their cells: numbers, yes and no, categories, or none.

Nothing is dropped without a word: what cannot be read is named with its reason, and a column of
numbers with a cell that is none is an error that names line, column and cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from coplay.data.tables.booleans import yes_and_no
from coplay.data.tables.dates import DateForm, Dates, NoDate, Order, dates_of
from coplay.data.tables.dressed import dress_of
from coplay.data.tables.grid import Cells
from coplay.data.tables.numbers import Marks, is_date, is_marked
from coplay.data.tables.packed import is_large, iso_dates, plain_numbers
from coplay.data.tables.remedies import Remedies
from coplay.data.tables.whole_numbers import ROWS_A_LEVEL, are_names_of_rows, few_distinct
from coplay.data.words import counted, quoted, some

MOST_CATEGORIES = 100
"""Different texts that a column may have to be read as categories without being asked."""

_MOST_CODES = 30_000  # codes that are stored in two bytes

_MANY_TEXTS = 100_000
"""Different texts of a column beyond which no more are counted: they are no categories."""

_FEW_MARKS = 3
_SEVERAL = 10

MISSING = ("NA", "?", "N/A", "null", "NaN", "nan", "<NA>", "None", "NULL")
"""Texts that stand for a missing value where no setting names others."""


@dataclass(frozen=True)
class Settings:
    """What decides the types of columns.

    Args:
        marks: The marks inside numbers.
        missing: Cells that stand for a missing value, beside empty ones.
        categories: Columns that are categories even where they hold numbers.
        numbers: Columns whose whole numbers are amounts, whatever they look like.
        identifiers: Columns that name rows, and are left out.
        dates: Which of day and month comes first in dates; None to find it.
        infers: Whether whole numbers that look like categories, or like names of rows, are those.
        finds_categories: Whether few whole numbers are categories.
        remedies: What one can do about cells that cannot be read, for errors.
    """

    marks: Marks = field(default_factory=Marks)
    missing: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    dates: Order | None = None
    infers: bool = True
    finds_categories: bool = True
    remedies: Remedies = field(default_factory=Remedies)


@dataclass(frozen=True)
class Typed:
    """A column whose type is known.

    Args:
        kind: What it becomes.
        values: Shape (n,): numbers, 0 and 1, or places in ``texts``; 0 where a cell is missing.
        missing: Shape (n,), where a cell is missing.
        texts: The different texts of categories, or what 0 and 1 are called; the only text of a
            column that cannot be read since it has no other.
        reason: Why it cannot be read.
        dates: How its dates are written; None for no dates.
        unit: What one of a date's numbers is.
        is_whole: Whether it holds whole numbers alone.
        notes: What was decided, in sentences.
    """

    kind: Literal["real", "binary", "texts", "unread"]
    values: np.ndarray
    missing: np.ndarray
    texts: tuple[str, ...] = ()
    reason: str = ""
    dates: DateForm | None = None
    unit: str = ""
    is_whole: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """Cells that are not what their column is.

    Args:
        row: The first of them.
        text: What is wrong, and what to do.
    """

    row: int
    text: str


def typed(name: str, cells: Cells, settings: Settings, is_label: bool = False) -> Typed | Fault:
    """Decide the type of a column and convert it.

    Args:
        name: The column's name.
        cells: All of its cells, of both splits.
        settings: See there.
        is_label: Whether it holds the classes.
    """
    are_categories = is_label or name in settings.categories
    if name in settings.identifiers:
        return _unread(
            np.zeros(len(cells), np.int64), f"column {quoted(name)} is an identifier, as set"
        )
    marks = settings.marks
    if marks.are_plain and not are_categories:
        stand_for = [marks.number(mark) for mark in settings.missing]
        numbers = plain_numbers(
            cells, settings.missing, [number for number in stand_for if number is not None]
        )
        if numbers is not None and not numbers[1].all():
            return of_numbers(name, *numbers, settings)
    if is_large(cells) and not are_categories:
        early = _of_many(name, cells, settings)
        if early is not None:
            return early
    counts = Counter(cells)
    missing = missing_among(counts, settings)
    counts = Counter({text: count for text, count in counts.items() if text not in missing})
    places = {text: place for place, text in enumerate(counts)}
    kind = "int64" if len(counts) > _MOST_CODES else "int16"
    codes = np.fromiter((places.get(cell, -1) for cell in cells), kind, len(cells))
    if not counts:
        return _unread(codes, f"column {quoted(name)} is empty")
    if are_categories:
        texts = [_class_text(text, marks) for text in counts]
        return Typed("texts", codes.clip(0), codes < 0, tuple(texts))
    return _numbers_or_texts(name, counts, codes, settings)


def _of_many(name: str, cells: Cells, settings: Settings) -> Typed | None:
    """Convert a column with very many rows without all of its texts; None where they are few."""
    iso = iso_dates(cells, lambda texts: missing_among(texts, settings))
    if iso is not None:
        values, absent, first = iso
        dates = dates_of(name, Counter([first]))
        if isinstance(dates, Dates):
            return Typed("real", values, absent, dates=dates.form, unit=dates.unit)
    counts: Counter[str] = Counter()
    for part in cells.parts():
        counts.update(part)
        if len(counts) > _MANY_TEXTS:
            break
    else:
        return None
    number = settings.marks.number
    amounts = sum(counts[text] for text in counts if number(text) is not None or is_date(text))
    if 2 * amounts >= counts.total():
        return None  # numbers with a fault, of which the line is to be named
    what = "free text" if are_sentences(counts) else "an identifier"
    reason = f"column {quoted(name)} is {what}: more than {_MANY_TEXTS:,} different texts"
    return Typed("unread", np.zeros(len(cells), np.int8), _nowhere(len(cells)), reason=reason)


def _nowhere(count: int) -> np.ndarray:
    """Return that no cell is missing, without memory for it."""
    return np.broadcast_to(np.zeros(1, np.bool_), (count,))


def of_numbers(name: str, values: np.ndarray, missing: np.ndarray, settings: Settings) -> Typed:
    """Decide what a column of numbers is: an amount, a category, or a name of rows.

    Args:
        name: The column's name.
        values: Shape (n,).
        missing: Shape (n,), where there is none.
        settings: How columns are read.
    """
    present = values[~missing] if missing.any() else values
    is_whole = bool((present == np.trunc(present)).all())
    if not is_whole or name in settings.numbers or not settings.infers or not len(present):
        return Typed("real", values, missing, is_whole=is_whole)
    distinct = few_distinct(present)
    if distinct is None:
        if are_names_of_rows(name, present):
            reason = (
                f"column {quoted(name)} is an identifier: it holds another whole number in each of "
                f"{counted(len(present), 'row')}; {settings.remedies.as_numbers(name)}"
            )
            return Typed("unread", values, missing, reason=reason)
        return Typed("real", values, missing, is_whole=True)
    are_few_rows = len(present) < ROWS_A_LEVEL * len(distinct)
    if are_few_rows or len(distinct) < 2 or not settings.finds_categories:
        return Typed("real", values, missing, is_whole=True)
    if distinct.tolist() == [0, 1]:
        return Typed("binary", (values == 1) & ~missing, missing, ("0", "1"))
    codes = np.searchsorted(distinct, values).clip(0, len(distinct) - 1)
    texts = tuple(str(int(number)) for number in distinct)
    note = (
        f"{quoted(name)}: {len(distinct)} whole numbers are categories; "
        f"{settings.remedies.as_numbers(name)}"
    )
    return Typed("texts", codes, missing, texts, notes=(note,))


def missing_among(texts: Iterable[str], settings: Settings) -> set[str]:
    """Return the texts that stand for a missing value; -9999 and -9999.0 are one mark.

    Example:
        >>> sorted(missing_among(["1", "-9999.0", ""], Settings(missing=("-9999",))))
        ['', '-9999.0']
    """
    number = settings.marks.number
    values = {number(mark) for mark in settings.missing} - {None}
    chosen = {"", *settings.missing}
    missing = set()
    for text in texts:
        if text in chosen or (values and number(text) in values):
            missing.add(text)
    return missing


def unmet_marks(columns: Iterable[Cells], settings: Settings) -> list[str]:
    """Return the marks for missing values that stand in no cell.

    Args:
        columns: The columns that are read.
        settings: See there.
    """
    if not settings.missing:
        return []
    texts: set[str] = set()
    for cells in columns:
        texts.update(cells)
    unmet = []
    for mark in settings.missing:
        if not missing_among(texts, replace(settings, missing=(mark,))) - {""}:
            unmet.append(mark)
    return unmet


def _class_text(text: str, marks: Marks) -> str:
    """Return a label as it is, or with Python's marks where it is a number with others."""
    return text if marks.are_plain else marks.plain(text) or text


def _unread(codes: np.ndarray, reason: str) -> Typed:
    return Typed("unread", codes, np.zeros(len(codes), np.bool_), reason=reason)


def _numbers_or_texts(
    name: str, counts: Counter[str], codes: np.ndarray, settings: Settings
) -> Typed | Fault:
    """Convert a column that holds something; ``codes`` are places in ``counts``, or −1."""
    marks = settings.marks
    numbers = [marks.number(text) for text in counts]
    total = counts.total()
    wrong = [text for text, number in zip(counts, numbers, strict=True) if number is None]
    dates = sum(counts[text] for text in wrong if is_date(text))
    marked = [text for text in wrong if is_marked(text) and not is_date(text)]
    right = total - sum(counts[text] for text in wrong)
    if not wrong:
        values = np.array([number or 0.0 for number in numbers])
        inexact = _inexact(name, counts, numbers, codes, settings)
        absent = codes < 0
        values = np.where(absent, 0.0, values[codes.clip(0)])
        return inexact or of_numbers(name, values, absent, settings)
    nearly = right + sum(counts[text] for text in marked)
    # many different numbers and a few marks are numbers, however often the marks stand there
    is_marked_often = len(wrong) <= _FEW_MARKS and len(counts) - len(wrong) > _SEVERAL
    if 2 * nearly >= total or is_marked_often:
        return _bad_cells(name, counts, wrong, marked, codes, settings)
    if 2 * dates >= total:
        return _dates(name, counts, codes, settings)
    words = yes_and_no(list(counts))
    if words:
        bits = np.array([text.lower() == words[1] for text in counts])
        return Typed("binary", bits[codes.clip(0)] & (codes >= 0), codes < 0, words)
    if len(counts) == 1:
        (text,) = counts
        where = "in every row"
        if total < len(codes):
            where = f"in {total:,} rows and empty in {len(codes) - total:,}"
        reason = f"column {quoted(name)} is {quoted(text)} {where}"
        return Typed("unread", codes.clip(0), codes < 0, (text,), reason)
    dress = dress_of(counts)
    if dress is not None:
        row = int(np.flatnonzero(codes == list(counts).index(dress.text))[0])
        return Fault(row, f"column {quoted(name)}: {dress}; {settings.remedies.dressed(name)}")
    if len(counts) > MOST_CATEGORIES or (2 * len(counts) >= total and len(counts) > 2):
        return _unread(codes, _said_of_texts(name, counts, settings))
    return Typed("texts", codes.clip(0), codes < 0, tuple(counts))


def are_sentences(counts: Counter[str]) -> bool:
    """Whether texts have three words or more on average, as notes have and names do not."""
    spaces = sum(count * text.count(" ") for text, count in counts.items())
    return spaces >= 2 * counts.total()


def _said_of_texts(name: str, counts: Counter[str], settings: Settings) -> str:
    """Say why many different texts are no categories."""
    total = counts.total()
    what = f"holds {len(counts):,} different texts in {counted(total, 'row')}"
    if are_sentences(counts):
        what = f"is free text: {len(counts):,} different texts in {counted(total, 'row')}"
    elif len(counts) == total:
        what = f"is an identifier: it holds another text in each of {counted(total, 'row')}"
    # no example: notes are part of the record, and a text of its own may be a person's
    return f"column {quoted(name)} {what}; {settings.remedies.as_classes(name)}"


def _dates(name: str, counts: Counter[str], codes: np.ndarray, settings: Settings) -> Typed | Fault:
    """Convert a column of which most cells are dates; ``codes`` are places in ``counts``."""
    dates = dates_of(name, counts, settings.dates)
    if isinstance(dates, NoDate):
        row = int(np.flatnonzero(codes == list(counts).index(dates.text))[0])
        return Fault(
            row,
            f"column {quoted(name)}: {dates.reason}, got {quoted(dates.text)}; mend it, or "
            f"{settings.remedies.leave_out(name).removeprefix('or ')}",
        )
    values = np.array([dates.values[text] for text in counts])
    absent = codes < 0
    return Typed(
        "real",
        np.where(absent, 0.0, values[codes.clip(0)]),
        absent,
        dates=dates.form,
        unit=dates.unit,
        notes=dates.notes,
    )


def _inexact(
    name: str,
    counts: Counter[str],
    numbers: Sequence[float | None],
    codes: np.ndarray,
    settings: Settings,
) -> Fault | None:
    """Refuse whole numbers that 64-bit floats would change."""
    for place, (text, number) in enumerate(zip(counts, numbers, strict=True)):
        if settings.marks.is_inexact(text, number or 0.0):
            row = int(np.flatnonzero(codes == place)[0])
            return Fault(
                row,
                f"column {quoted(name)}: {quoted(text)} has more digits than a 64-bit float holds; "
                f"{settings.remedies.too_long(name)}",
            )
    return None


def _bad_cells(
    name: str,
    counts: Counter[str],
    wrong: Sequence[str],
    marked: Sequence[str],
    codes: np.ndarray,
    settings: Settings,
) -> Fault:
    """Describe the cells of a numeric column that are no numbers."""
    known = set(wrong)
    is_wrong = np.array([text in known for text in counts])
    bad = (codes >= 0) & is_wrong[codes.clip(0)]
    first = int(np.flatnonzero(bad)[0])
    text = list(counts)[codes[first]]
    others = ""
    if bad.sum() > 1:
        others = f" ({int(bad.sum()):,} cells of {len(codes):,} are none: {_listed(wrong)})"
    return Fault(
        first,
        f"column {quoted(name)}: expected a number, got {quoted(text)}{others}; "
        f"{_advice(name, text, marked, settings)}",
    )


def _listed(texts: Sequence[str]) -> str:
    return some([quoted(text) for text in texts], 3)


def _advice(name: str, text: str, marked: Sequence[str], settings: Settings) -> str:
    """Say what helps."""
    if text in marked:
        return settings.remedies.marked(name, settings.marks.are_plain)
    return settings.remedies.no_number(name, text)
