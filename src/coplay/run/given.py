"""Conditions under which samples are drawn, as people write them: ``age=40..60``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coplay.core.components import nearest
from coplay.core.errors import CoplayError
from coplay.core.space import Space
from coplay.core.subset import Subset
from coplay.core.variable import Variable
from coplay.data.tables.dates import DAYS, HOURS, DateForm, Dates, dates_of
from coplay.data.words import quoted, some

MOST_DRAWS = 1_000_000
"""Rows that are drawn for conditions at most, where nothing else is said."""

YES = ("1", "yes", "true", "y", "t")
"""How a bit that is 1 may be written, in any case."""

NO = ("0", "no", "false", "n", "f")
"""How a bit that is 0 may be written."""


@dataclass(frozen=True)
class Condition:
    """What one variable of all samples must be.

    Args:
        name: The variable.
        text: The condition as it was written.
        subset: The values that fulfil it.
        point: The only such value, where there is one.
    """

    name: str
    text: str
    subset: Subset
    point: float | None = None


class _Fault(ValueError):
    """What is wrong with one condition, from the name of its variable on."""


@dataclass(frozen=True)
class Asked:
    """Whom conditions are for.

    Args:
        player: The player's name.
        space: The variables that it draws.
        lacking: Variables that it should have and has learned nothing of.
        holders: By variable that it does not have, the players that do.
        aliases: By other name of a variable, such as the column of its classes, its own.
    """

    player: str
    space: Space
    lacking: Collection[str] = ()
    holders: Mapping[str, Sequence[str]] | None = None
    aliases: Mapping[str, str] | None = None

    def conditions(self, given: Sequence[str] | Mapping[str, Any]) -> dict[str, Condition]:
        """Read conditions.

        Args:
            given: Texts such as ``age=40..60``; or by variable a value, a pair ``(low, high)`` of
                which None is no limit, a list or set of values, or the text behind the ``=``.

        Returns:
            By variable.

        Raises:
            CoplayError: With all faults.

        Example:
            >>> sex = Variable(kind="categorical", classes=2, names=("female", "male"))
            >>> space = Space({"age": Variable(kind="real", low=0, high=120), "sex": sex})
            >>> asked = Asked("north", space)
            >>> read = asked.conditions(["age=40..60", "sex=male"])
            >>> read["age"].subset, read["sex"].point
            (Subset(low=40.0, high=60.0, values=None), 1)
            >>> asked.conditions({"age": (60, 40)})
            Traceback (most recent call last):
            coplay.core.errors.CoplayError: given age=60..40: no number lies in it, since 60 is more
            than 40
        """
        faults: list[str] = []
        conditions: dict[str, Condition] = {}
        for name, value, text in self._pairs(given, faults):
            try:
                condition = self._condition(name, value, text)
            except _Fault as fault:
                faults.append(f"given {text}: {fault}")
                continue
            if condition.name in conditions:
                first = conditions[condition.name].text
                faults.append(
                    f"given {first} and {text}: expected one condition on {quoted(condition.name)}"
                )
            conditions[condition.name] = condition
        if faults:
            raise CoplayError("\n".join(faults))
        return conditions

    def _pairs(
        self, given: Sequence[str] | Mapping[str, Any], faults: list[str]
    ) -> list[tuple[str, Any, str]]:
        """Return name, value and text of each condition."""
        if isinstance(given, Mapping):
            return [(str(name), value, _written(name, value)) for name, value in given.items()]
        if isinstance(given, str):
            given = [given]
        pairs = []
        names = [*self.space, *(self.aliases or ()), *(self.holders or ()), *self.lacking]
        for text in given:
            fitting = [name for name in names if text.startswith(f"{name}=")]
            name, equals, value = text.partition("=")
            if fitting:  # a name may have an = of its own
                name = max(fitting, key=len)
                value = text[len(name) + 1 :]
            if equals:
                pairs.append((name.strip(), value, text))
            else:
                faults.append(
                    f"given {text}: expected NAME=VALUE, NAME=LOW..HIGH or NAME=ONE|OTHER"
                )
        return pairs

    def _condition(self, name: str, value: Any, text: str) -> Condition:
        name = (self.aliases or {}).get(name, name)
        if name in self.lacking:
            raise _Fault(f"player {quoted(self.player)} has learned nothing of {quoted(name)}")
        if name not in self.space:
            holders = (self.holders or {}).get(name, ())
            whose = f"; {some(holders, 3)} has it" if holders else ""
            known = nearest(name, [*self.space, *(self.aliases or ())])
            raise _Fault(
                f"player {quoted(self.player)} has no variable {quoted(name)}{whose}; known, "
                f"nearest first: {known}"
            )
        v = self.space[name]
        if v.shape:
            raise _Fault(f"{quoted(name)} is {v}; a condition takes a variable of one number")
        subset = _subset(v, value.strip() if isinstance(value, str) else value)
        return Condition(name, text, subset, _point(subset))


def _point(subset: Subset) -> float | None:
    """Return the only value of a subset; None if there are more."""
    if subset.values is not None:
        return subset.values[0] if len(subset.values) == 1 else None
    return subset.low if subset.low == subset.high else None


def _written(name: str, value: Any) -> str:
    """Write a condition of Python as the command line has it."""
    if isinstance(value, tuple) and len(value) == 2:
        low, high = value
        begin = "" if low is None else low
        end = "" if high is None else high
        return f"{name}={begin}..{end}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"{name}={'|'.join(map(str, value))}"
    return f"{name}={value}"


def _subset(v: Variable, value: Any) -> Subset:
    """Return the values that a condition allows."""
    if isinstance(value, str):
        return _of_text(v, value)
    if isinstance(value, tuple):
        if len(value) != 2:
            raise _Fault(f"expected a pair (low, high), got {len(value)} values; a list is a set")
        no_limit = (-math.inf, math.inf)
        ends = []
        for end, none in zip(value, no_limit, strict=True):
            ends.append(None if end is None or end == none else str(end))
        return _range(v, ends[0], ends[1])
    if isinstance(value, list | set | frozenset):
        return _any_of(v, [str(each) for each in value])
    if value is None or value != value:
        raise _Fault("expected a value; what is drawn has no missing ones")
    return _any_of(v, [str(value)])


def _of_text(v: Variable, text: str) -> Subset:
    if v.kind == "categorical" and _is_level(v, text):  # also one with .. or | in it
        return _any_of(v, [text])
    if ".." in text:
        low, _, high = text.partition("..")
        return _range(v, low.strip() or None, high.strip() or None)
    return _any_of(v, [part.strip() for part in text.split("|")])


def _any_of(v: Variable, texts: Sequence[str]) -> Subset:
    """Return the subset of some values."""
    if not texts:
        raise _Fault("expected at least one value")
    values = [value_of(v, text) for text in texts]
    different = tuple(dict.fromkeys(values))
    if v.kind == "real" and len(different) > 1:
        raise _Fault("a set of values of a real number has no chance of its own; give a range")
    if v.kind == "real":
        return Subset(different[0], different[0])
    return Subset(values=different)


def value_of(v: Variable, text: str) -> float:
    """Return the value that a text stands for: a category's code, a bit, a number.

    Raises:
        ValueError: It stands for none; the message says what was expected.

    Example:
        >>> value_of(Variable(kind="categorical", classes=2, names=("no", "mild")), "mild")
        1
        >>> value_of(Variable(kind="binary"), "Yes")
        1
    """
    if not text:
        raise _Fault("expected a value")
    if v.kind == "categorical":
        return _level(v, text)
    if v.kind == "binary":
        lowered = text.lower().removesuffix(".0")
        if lowered in (*YES, *NO):
            return int(lowered in YES)
        raise _Fault(f"expected yes or no, true or false, 1 or 0; got {quoted(text)}")
    number = _number(v, text)
    if v.kind == "count" and (not number.is_integer() or number < 0):
        raise _Fault(f"expected a whole number from 0 on, got {quoted(text)}")
    low, high = v.range
    if not low <= number <= high:
        agreed = _range_of(v)
        raise _Fault(f"expected a value in the agreed range {agreed}, got {_shown(v, number)}")
    return int(number) if v.kind == "count" else number


def _number(v: Variable, text: str) -> float:
    """Return the number that a text stands for; a date or a time of day stands for one, too."""
    try:
        number = float(text.replace("_", "x"))
    except ValueError:
        number = _moment(v, text)
    if not math.isfinite(number):
        such = "a number such as 40 or 0.5"
        if v.unit == DAYS:
            such = "a date such as 2024-02-29 or 2024-02-29 13:30, or its days since 1970-01-01"
        elif v.unit == HOURS:
            such = "a time of day such as 13:30, or its hours since midnight"
        raise _Fault(f"expected {such}, got {quoted(text)}")
    return number


def _moment(v: Variable, text: str) -> float:
    """Return a date or a time of day as its variable holds it; NaN for what is none.

    A date begins with its year: which of 02/03/2024 is the day differs between people.
    """
    read = dates_of("", Counter([text]))
    if not isinstance(read, Dates) or read.unit != v.unit:
        return math.nan
    is_clear = v.unit == HOURS or text[:4].isdecimal()
    return read.values[text] if is_clear else math.nan


def _shown(v: Variable, number: float) -> str:
    """Write a number of a variable for people: a date as a date."""
    if v.unit not in (DAYS, HOURS) or not math.isfinite(number):
        return f"{number:g}"
    if v.unit == HOURS:
        return DateForm("").write(number)
    is_whole = float(number).is_integer()
    return DateForm().write(number) if is_whole else DateForm(gap=" ").write(number)


def _range_of(v: Variable) -> str:
    """Write the range of a variable."""
    return f"[{', '.join(_shown(v, end) for end in v.range)}]"


def _is_level(v: Variable, text: str) -> bool:
    return text in v.class_names


def _level(v: Variable, text: str) -> int:
    """Return the code of a level by its text; numbers are compared as numbers."""
    if _is_level(v, text):
        return v.class_names.index(text)
    for code, name in enumerate(v.class_names):
        if _same_number(name, text):
            return code
    raise _Fault(f"no level {quoted(text)}; known, nearest first: {_listed(v, text)}")


def _listed(v: Variable, text: str) -> str:
    """List levels, the nearest first, however they are written."""
    lowered = {name.lower(): name for name in v.class_names}
    if text.lower() in lowered:
        return lowered[text.lower()]
    return some(map(quoted, nearest(text, v.class_names).split(", ")), 6)


def _same_number(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _range(v: Variable, low: str | None, high: str | None) -> Subset:
    """Return a range within what was agreed."""
    if low is None and high is None:
        raise _Fault("expected a limit, as in 40..60, 40.. or ..60")
    if v.kind == "binary":
        raise _Fault("yes and no have no range; give one of them")
    ends = [
        -math.inf if low is None else _number(v, low),
        math.inf if high is None else _number(v, high),
    ]
    if ends[0] > ends[1]:
        first, last = (_shown(v, end) for end in ends)
        raise _Fault(f"no number lies in it, since {first} is more than {last}")
    if v.kind == "categorical":
        return _levels_between(v, ends[0], ends[1])
    least, most = v.range
    if ends[1] < least or ends[0] > most:
        raise _Fault(f"it lies outside the agreed range {_range_of(v)}")
    if (low is not None and ends[0] < least) or (high is not None and ends[1] > most):
        raise _Fault(f"expected limits in the agreed range {_range_of(v)}")
    if v.kind == "count" and math.isfinite(ends[1]) and math.ceil(ends[0]) > math.floor(ends[1]):
        raise _Fault("no whole number lies in it")
    return Subset(ends[0], ends[1])


def _levels_between(v: Variable, low: float, high: float) -> Subset:
    """Return the levels whose names are numbers in a range."""
    try:
        numbers = [float(name) for name in v.class_names]
    except ValueError:
        names = some(map(quoted, v.class_names), 4)
        fault = f"its levels {names} have no order; list some with | between them"
        raise _Fault(fault) from None
    codes = tuple(code for code, number in enumerate(numbers) if low <= number <= high)
    if not codes:
        raise _Fault(f"no level lies in it; the levels are {some(v.class_names, 6)}")
    return Subset(values=codes)
