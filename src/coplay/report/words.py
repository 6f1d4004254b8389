"""How a report says names and writes numbers: one home for order, arrows and words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
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
    "utility_of_real": "utility of real rows",
    "utility_boosted": "utility, boosted trees",
    "utility_of_real_boosted": "utility of real rows, boosted trees",
}

_FIRST = (
    "fid",
    "domain_score",
    "distance_to_prediction",
    "column_fidelity",
    "utility",
    "utility_of_real",
    "utility_boosted",
    "utility_of_real_boosted",
    "pair_fidelity",
)

_MOST_LISTED = 12  # names of classes in a cell

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


def whole(text: str, names: Iterable[str] = ()) -> str:
    """A sentence with a capital and a full stop, as far as it lacks them.

    Args:
        text: The sentence.
        names: Names that keep their first letter where the sentence begins with one.

    Example:
        >>> whole("each seed has its own"), whole("north has none.", ["north"]), whole("Why?")
        ('Each seed has its own.', 'north has none.', 'Why?')
    """
    end = "" if text.endswith((".", "?", "!", ":")) else "."
    begun = text if text.startswith(tuple(names)) else sentence_case(text)
    return f"{begun}{end}"


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits; a dash if there is none.

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
    """How to write the numbers of one column, so that they can be compared.

    All have as many decimals as the largest needs.

    Args:
        values: What stands in the column.
        whole: Whether they are counts, which have no decimals if they are large or all whole.

    Example:
        >>> write = aligned([12.345, 6.0])
        >>> write(12.345), write(6.0), write(None), write(float("inf"))
        ('12.3', '6.0', '–', '∞')
    """
    most = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    decimals = 3
    if whole and (most >= 1000 or most == int(most)):
        decimals = 0
    elif most >= 10:
        decimals = 1
    elif most >= 1:
        decimals = 2

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
    ascending = sorted(set(values))
    if len(ascending) == 1:
        return f"{ascending[0]:,}"
    return f"{ascending[0]:,} to {ascending[-1]:,}"


def listed(items: Iterable[str]) -> str:
    """Items as a sentence lists them.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a"])
        ('a, b and c', 'a')
    """
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def are_numbers(names: Sequence[str]) -> bool:
    """Whether classes are called by their numbers."""
    return list(names) == [str(number) for number in range(len(names))]


def class_list(numbers: Sequence[int], names: Sequence[str]) -> str:
    """Classes by their names, or as ranges of numbers where they have no others.

    Example:
        >>> class_list([0, 2], ["cat", "dog", "eel"]), class_list([0, 1, 2], ["0", "1", "2"])
        ('cat, eel', '0–2')
    """
    if are_numbers(names):
        return ranges(numbers)
    listed = shortened(names[number] for number in numbers[:_MOST_LISTED])
    more = len(numbers) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")


def shortened(names: Iterable[str], most: int = 16) -> list[str]:
    """Names of classes for a picture, cut to so many characters.

    Example:
        >>> shortened(["cat", "Self-emp-not-incorporated"])
        ['cat', 'Self-emp-not-in…']
    """
    texts = []
    for name in names:
        texts.append(name if len(name) <= most else name[: most - 1] + "…")
    return texts


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
    texts = []
    for run in runs:
        if len(run) > 2:
            texts.append(f"{run[0]}–{run[-1]}")
        else:
            texts += map(str, run)
    return ", ".join(texts)
