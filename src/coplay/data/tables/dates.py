"""Dates and times of day as numbers, and the forms in which tables write them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from coplay.data.words import quoted

DAYS = "days since 1970-01-01"
"""Unit of a variable that is a date, with the time of day as a fraction."""

HOURS = "hours since midnight"
"""Unit of a variable that is a time of day."""

Order = Literal["day first", "month first"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_TIME = (
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(:(?P<second>[0-9]{2}(\.[0-9]+)?))?"
    r"( ?(?P<half>[AaPp])[Mm])?(?P<zone>Z| ?[+-][0-9]{2}:?[0-9]{2})?"
)
_PARTS = (
    re.compile(
        r"(?P<a>[0-9]{1,4})(?P<sep>[-/.])(?P<b>[0-9]{1,2})(?P=sep)(?P<c>[0-9]{1,4})"
        rf"((?P<gap>[T ]){_TIME})?"
    ),
    re.compile(
        r"(?P<a>[0-9]{1,2})(?P<sep>[-/. ])(?P<b>[A-Za-z]{3})[A-Za-z]*(?P=sep)(?P<c>[0-9]{4})"
        rf"((?P<gap>[T ]){_TIME})?"
    ),
    re.compile(_TIME),
)

_PIVOT = 69  # two digits from here on are of the last century, as POSIX has it


@dataclass(frozen=True)
class DateForm:
    """How a column writes its dates.

    Args:
        order: Order of day, month and year, such as ``dmy``; empty for a time of day.
        mark: Between them.
        pads: Whether 1 is written 01.
        has_name: Whether a month is written with letters.
        gap: Between date and time; empty for a date alone.
        has_seconds: Whether the time has seconds.
    """

    order: str = "ymd"
    mark: str = "-"
    pads: bool = True
    has_name: bool = False
    gap: str = ""
    has_seconds: bool = False

    def write(self, value: float) -> str:
        """Write a date, or a time of day.

        Args:
            value: Days since 1970-01-01, or hours since midnight.

        Example:
            >>> DateForm().write(19509.0), DateForm("dmy", ".", pads=False).write(19509.0)
            ('2023-06-01', '1.6.2023')
            >>> DateForm("", has_seconds=True).write(12.5)
            '12:30:00'
        """
        step = 1 if self.has_seconds else 60
        if not self.order:
            return self._time(round(value * 3600 / step) * step % 86400)
        whole = round(value * 86400 / step) * step if self.gap else round(value) * 86400
        day = date.fromordinal(min(max(whole // 86400 + _EPOCH, 1), date.max.toordinal()))
        width = 2 if self.pads else 1
        month = f"{day.month:0{width}}"
        if self.has_name:
            month = _MONTHS[day.month - 1].capitalize()
        parts = {"y": f"{day.year:04}", "m": month, "d": f"{day.day:0{width}}"}
        text = self.mark.join(parts[letter] for letter in self.order)
        return f"{text}{self.gap}{self._time(whole % 86400)}" if self.gap else text

    def _time(self, seconds: int) -> str:
        text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
        return f"{text}:{seconds % 60:02}" if self.has_seconds else text


@dataclass(frozen=True)
class Dates:
    """The dates of a column.

    Args:
        values: By text, in the unit.
        unit: ``DAYS`` or ``HOURS``.
        form: How most of them are written.
        notes: What was guessed, in sentences.
    """

    values: Mapping[str, float]
    unit: str
    form: DateForm
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoDate:
    """A cell that keeps a column from being dates.

    Args:
        text: The cell.
        reason: What is wrong with it.
    """

    text: str
    reason: str


_EPOCH = date(1970, 1, 1).toordinal()


def dates_of(name: str, texts: Counter[str], order: Order | None = None) -> Dates | NoDate:
    """Read the different cells of a column of dates.

    Args:
        name: The column, for notes.
        texts: Its different cells, with the number of rows of each.
        order: Which comes first where either may; None to find it.

    Example:
        >>> dates_of("born", Counter(["13/02/2001", "01/03/2001"])).values["01/03/2001"]
        11382.0
        >>> dates_of("born", Counter(["13/02/2001", "02/13/2001"])).text
        '02/13/2001'
        >>> dates_of("woken", Counter(["6:45", "07:30 PM"])).values
        {'6:45': 6.75, '07:30 PM': 19.5}
    """
    matches = {}
    for text in texts:
        matches[text] = next((m for p in _PARTS if (m := p.fullmatch(text))), None)
        if matches[text] is None:
            return NoDate(text, "expected a date")
    met: dict[Order, str] = {}
    has_slash = False
    for text, match in matches.items():
        assert match is not None
        parts = match.groupdict()
        if parts.get("a") is None or len(parts["a"]) == 4 or not parts["b"].isdecimal():
            continue
        has_slash = has_slash or parts["sep"] == "/"
        if int(parts["a"]) > 12:
            met.setdefault("day first", text)
        elif int(parts["b"]) > 12:
            met.setdefault("month first", text)
        else:
            continue
        here: Order = "day first" if int(parts["a"]) > 12 else "month first"
        other: Order = "month first" if here == "day first" else "day first"
        if other in met or order == other:
            which = f"dates = {other!r} is set"
            if other in met:
                which = f"{quoted(met[other])} has the {other}"
            return NoDate(
                text, f"expected one order of day and month: {which}, and here is the {here}"
            )
    is_open = any(_is_open(match.groupdict()) for match in matches.values() if match is not None)
    usual: Order = "month first" if has_slash else "day first"
    chosen: Order = next(iter(met), usual)
    if order is not None:
        chosen = order
    values = {}
    forms: Counter[DateForm] = Counter()
    for text, match in matches.items():
        assert match is not None
        value = _value(match.groupdict(), chosen)
        if value is None:
            return NoDate(text, "expected a date that the calendar has")
        values[text] = value
        forms[_form(match.groupdict(), chosen)] += texts[text]
    form = forms.most_common(1)[0][0]
    kinds = {not each.order for each in forms}
    if len(kinds) > 1:
        odd = next(text for text, match in matches.items() if _is_time(match) != (not form.order))
        return NoDate(odd, "expected dates alone, or times of day alone")
    notes = _guesses(name, [match.groupdict() for match in matches.values() if match is not None])
    if is_open and not met and order is None and has_slash:
        other = "day first" if chosen == "month first" else "month first"
        notes.append(
            f"{quoted(name)}: no date shows whether day or month comes first; read with the "
            f"{chosen}: dates = '{other}' changes that"
        )
    return Dates(values, DAYS if form.order else HOURS, form, tuple(notes))


def _guesses(name: str, matches: Sequence[Mapping[str, str | None]]) -> list[str]:
    """Say what was guessed of years and zones.

    Args:
        name: The column.
        matches: The parts of its different cells.
    """
    notes = []
    if any(_has_short_year(parts) for parts in matches):
        last = 2000 + _PIVOT - 1
        notes.append(
            f"{quoted(name)}: years of two digits are taken for those from {1900 + _PIVOT} to "
            f"{last}; write them with four if others are meant"
        )
    zones = {parts.get("zone") for parts in matches if parts.get("hour") and parts.get("a")}
    if zones - {None} and len(zones) > 1:
        which = "times without a zone are taken for UTC" if None in zones else "zones differ"
        notes.append(f"{quoted(name)}: {which}; all times are turned into UTC")
    return notes


def _has_short_year(parts: Mapping[str, str | None]) -> bool:
    """Whether a date has its year with two digits."""
    first, last = parts.get("a"), parts.get("c")
    return first is not None and last is not None and len(first) < 4 and len(last) <= 2


def _is_time(match: re.Match[str] | None) -> bool:
    return match is not None and match.groupdict().get("a") is None


def _is_open(parts: Mapping[str, str | None]) -> bool:
    """Whether either of two numbers may be the day."""
    a, b = parts.get("a"), parts.get("b")
    return a is not None and b is not None and len(a) < 4 and b.isdecimal() and a != b


def _value(parts: Mapping[str, str | None], order: Order) -> float | None:
    """Return a date or a time as a number; None where there is no such day or hour."""
    seconds = 0.0
    if parts.get("hour") is not None:
        hour, minute = int(parts["hour"] or 0), int(parts["minute"] or 0)
        if parts["half"]:
            hour = hour % 12 + (12 if parts["half"] in "Pp" else 0)
        seconds = 3600 * hour + 60 * minute + float(parts["second"] or 0)
        if hour > 24 or minute > 59 or seconds > 86400:
            return None
    if parts.get("a") is None:
        return seconds / 3600
    zone = (parts.get("zone") or "").strip().replace(":", "")
    if zone and zone != "Z":
        offset = 3600 * int(zone[1:3]) + 60 * int(zone[3:5])
        seconds -= offset if zone[0] == "+" else -offset
    numbers = _day_month_year(parts, order)
    try:
        return date(*numbers[::-1]).toordinal() - _EPOCH + seconds / 86400
    except ValueError:
        return None


def _day_month_year(parts: Mapping[str, str | None], order: Order) -> tuple[int, int, int]:
    a, b, c = parts["a"] or "", parts["b"] or "", parts["c"] or ""
    if len(a) == 4:
        return int(c), int(b), int(a)
    year = int(c)
    if len(c) <= 2:
        year += 1900 if year >= _PIVOT else 2000
    if not b.isdecimal():
        month = _MONTHS.index(b.lower()) + 1 if b.lower() in _MONTHS else 0
        return int(a), month, year
    return (int(a), int(b), year) if order == "day first" else (int(b), int(a), year)


def _form(parts: Mapping[str, str | None], order: Order) -> DateForm:
    has_seconds = parts.get("second") is not None
    a, b = parts.get("a"), parts.get("b")
    if a is None or b is None:
        return DateForm("", has_seconds=has_seconds)
    letters = "dmy" if order == "day first" or not b.isdecimal() else "mdy"
    letters = "ymd" if len(a) == 4 else letters
    days = a if letters == "dmy" else (parts["c"] if letters == "ymd" else b) or ""
    months = {"ymd": b, "dmy": b, "mdy": a}[letters]
    pads = len(days) == 2 and len(months) >= 2
    gap = parts.get("gap") or ""
    return DateForm(letters, parts["sep"] or "-", pads, not b.isdecimal(), gap, has_seconds)
