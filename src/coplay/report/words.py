"""How a report writes names and numbers: one home for order, arrows and words."""

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
    """Sort quantities without repetition, the usual scores first, the others by name.

    Example:
        >>> in_order(["kid", "domain_score", "kid", "fid"])
        ['fid', 'domain_score', 'kid']
    """
    names = set(quantities)
    return [name for name in _FIRST if name in names] + sorted(names - set(_FIRST))


def heading(quantity: str, better: Literal["higher", "lower"] | None) -> str:
    """Write a quantity's name as a column is headed, with an arrow in the better direction.

    Example:
        >>> heading("fid", "lower"), heading("distance_to_prediction", None)
        ('FID ↓', 'distance to prediction')
    """
    return words(quantity) + _ARROWS.get(better or "", "")


def direction(better: Literal["higher", "lower"] | None) -> str:
    """Say which direction is better; empty where neither is.

    Example:
        >>> direction("lower")
        'lower is better'
    """
    return f"{better} is better" if better else ""


def interval(value: Value | None, write: Writer) -> str:
    """Write the 95 % interval of a value in brackets; empty where it has none.

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
    """Return the number of a value that is one number."""
    assert not isinstance(value.value, list)
    return float(value.value)


def write_value(value: Value | None, write: Writer) -> str:
    """Write a value that is one number, with its interval if it has one; None is a dash.

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
    """Write a name from a record as a reader would say it.

    Example:
        >>> words("distance_to_prediction"), words("md_gan")
        ('distance to prediction', 'MD-GAN')
    """
    return _NAMES.get(name, name.replace("_", " "))


def sentence_case(text: str) -> str:
    """Begin a text with a capital, and leave the rest as it is.

    Example:
        >>> sentence_case("sample exchange"), sentence_case("MD-GAN")
        ('Sample exchange', 'MD-GAN')
    """
    return text[:1].upper() + text[1:]


def number(value: float | None, digits: int = 4) -> str:
    """Write a number with so many significant digits; None is a dash.

    Example:
        >>> number(188.33476), number(0.15110), number(2000), number(None), number(float("nan"))
        ('188.3', '0.1511', '2,000', '–', 'NaN')
    """
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e9:
        text = f"{int(value):,}"
    elif abs(value) < 10**digits:
        text = f"{value:,.{digits}g}"
    else:
        text = f"{value:,.0f}"
    return text.replace("-", "−")


def aligned(values: Iterable[float | None], whole: bool = False) -> Writer:
    """Return a function that writes the numbers of one column, all with the same decimals.

    Args:
        values: The numbers of the column; the largest decides how many decimals there are.
        whole: Whether they are counts, which have no decimals if they are large or all whole.

    Example:
        >>> write = aligned([12.345, 6.0])
        >>> write(12.345), write(6.0), write(None), write(float("inf"))
        ('12.3', '6.0', '–', '∞')
    """
    most = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    if whole and (most >= 1000 or most == int(most)):
        decimals = 0
    elif most >= 10:
        decimals = 1
    elif most >= 1:
        decimals = 2
    else:
        decimals = 3

    def write(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return number(value)
        return f"{value:,.{decimals}f}".replace("-", "−")

    return write


def span(values: Iterable[int]) -> str:
    """Write one number if all are alike, else the smallest and the largest.

    Example:
        >>> span([2000, 2000]), span([500, 2000])
        ('2,000', '500 to 2,000')
    """
    distinct = sorted(set(values))
    lowest = f"{distinct[0]:,}"
    return lowest if len(distinct) == 1 else f"{lowest} to {distinct[-1]:,}"


def listed(items: Iterable[str]) -> str:
    """Join items as a sentence lists them.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a"])
        ('a, b and c', 'a')
    """
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def ranges(numbers: Iterable[int]) -> str:
    """Write ascending whole numbers, runs of three or more as a range.

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
    texts = []
    for run in runs:
        if len(run) > 2:
            texts.append(f"{run[0]}–{run[-1]}")
        else:
            texts += map(str, run)
    return ", ".join(texts)
