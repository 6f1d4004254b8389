"""How a report says names and writes numbers: one home for order, arrows and words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

from coplay.metrics.base import Value

Writer = Callable[[float | None], str]
"""How to write the numbers of one column."""

_NAMES = {
    "fid": "FID",
    "kid": "KID",
    "log_p": "log p",
    "nash_gap": "Nash gap",
    "md_gan": "MD-GAN",
    "fl_gan": "FL-GAN",
}

_FIRST = ("fid", "domain_score", "distance_to_prediction")

_ARROWS = {"higher": " ↑", "lower": " ↓"}


def in_order(quantities: Iterable[str]) -> list[str]:
    """Quantities without repetition, the usual scores first, the others by name.

    Example:
        >>> in_order(["kid", "domain_score", "kid", "fid"])
        ['fid', 'domain_score', 'kid']
    """
    names = set(quantities)
    return [name for name in _FIRST if name in names] + sorted(names - set(_FIRST))


def heading(quantity: str, better: Literal["higher", "lower"] | None) -> str:
    """A quantity's name as a column is headed, with an arrow in the better direction.

    Example:
        >>> heading("fid", "lower"), heading("distance_to_prediction", None)
        ('FID ↓', 'distance to prediction')
    """
    return words(quantity) + _ARROWS.get(better or "", "")


def direction(better: Literal["higher", "lower"] | None) -> str:
    """Which direction is better, in words; empty where neither is.

    Example:
        >>> direction("lower")
        'lower is better'
    """
    return f"{better} is better" if better else ""


def interval(value: Value | None, write: Writer) -> str:
    """The 95 % interval of a value in brackets; empty where it has none.

    Example:
        >>> interval(Value(33.6, "", "lower", 10, low=31.9, high=35.4), aligned([33.6]))
        ' [31.9, 35.4]'
        >>> interval(Value(-5.0, "", "higher", 10, low=-6.0), aligned([-5.0]))
        ' [−6.00, ∞]'
    """
    if value is None or (value.low is None and value.high is None):
        return ""
    low = -math.inf if value.low is None else value.low
    high = math.inf if value.high is None else value.high
    return f" [{write(low)}, {write(high)}]"


def scalar(value: Value) -> float:
    """The number of a value that is one number."""
    assert not isinstance(value.value, list)
    return float(value.value)


def write_value(value: Value | None, write: Writer) -> str:
    """A value that is one number, with its interval where it has one; a dash if there is none.

    Example:
        >>> write_value(Value(33.6, "", "lower", 10, low=31.9, high=35.4), aligned([33.6]))
        '33.6 [31.9, 35.4]'
        >>> write_value(None, aligned([33.6]))
        '–'
    """
    if value is None:
        return write(None)
    return write(scalar(value)) + interval(value, write)


def words(name: str) -> str:
    """A name from a record as a reader would say it.

    Example:
        >>> words("distance_to_prediction"), words("md_gan")
        ('distance to prediction', 'MD-GAN')
    """
    return _NAMES.get(name, name.replace("_", " "))


def sentence_case(text: str) -> str:
    """With a capital to begin with, and the rest as it is.

    Example:
        >>> sentence_case("sample exchange"), sentence_case("MD-GAN")
        ('Sample exchange', 'MD-GAN')
    """
    return text[:1].upper() + text[1:]


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits; a dash if there is none.

    Example:
        >>> number(188.33476), number(0.15110), number(2000), number(None), number(float("nan"))
        ('188.3', '0.1511', '2,000', '–', 'NaN')
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}".replace("-", "−")
    return (
        f"{value:,.{digits}g}".replace("-", "−")
        if abs(value) < 10**digits
        else f"{value:,.0f}".replace("-", "−")
    )


def aligned(values: Iterable[float | None], whole: bool = False) -> Writer:
    """How to write the numbers of one column: with as many decimals as its largest needs, so that they can be compared.

    Args:
        values: What stands in the column.
        whole: Whether they are counts, which have no decimals if they are large or all whole.

    Example:
        >>> write = aligned([12.345, 6.0])
        >>> write(12.345), write(6.0), write(None), write(float("inf"))
        ('12.3', '6.0', '–', '∞')
    """
    most = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    decimals = (
        0
        if whole and (most >= 1000 or most == int(most))
        else 1
        if most >= 10
        else 2
        if most >= 1
        else 3
    )

    def write(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return number(value)
        return f"{value:,.{decimals}f}".replace("-", "−")

    return write


def span(values: Iterable[int]) -> str:
    """One number if all are alike, else the smallest and the largest.

    Example:
        >>> span([2000, 2000]), span([500, 2000])
        ('2,000', '500 to 2,000')
    """
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def listed(items: Iterable[str]) -> str:
    """Items as a sentence lists them.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a"])
        ('a, b and c', 'a')
    """
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def ranges(numbers: Iterable[int]) -> str:
    """Ascending whole numbers, runs of three or more written as one.

    Example:
        >>> ranges([0, 1, 2, 3, 7, 9, 10])
        '0–3, 7, 9, 10'
    """
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{r[0]}–{r[-1]}" if len(r) > 2 else ", ".join(map(str, r)) for r in runs)
