"""Scales of charts: where numbers stand on an axis, and which of them are written there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST = 6
"""Most numbers on an axis, about."""


@dataclass(frozen=True)
class Scale:
    """A part of the line of numbers, laid on a part of a picture.

    Args:
        low: The number at ``start``.
        high: The number at ``end``; another one than ``low``.
        start: A place in the picture, in pixels.
        end: Another place, in pixels.
        is_log: Whether equal factors take equal room; ``low`` and ``high`` are then positive.

    Example:
        >>> Scale(0.0, 10.0, 100.0, 300.0).place(2.5), Scale(1.0, 100.0, 0.0, 80.0, True).place(10)
        (150.0, 40.0)
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return where a number stands, in pixels."""
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = math.log(low), math.log(high), math.log(value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)


def room(values: Iterable[float], is_log: bool = False, share: float = 0.06) -> tuple[float, float]:
    """Return the ends of an axis that holds all finite values, with some room beside them.

    Args:
        values: Numbers; those that are not finite take no part.
        is_log: Whether the axis is logarithmic; values are then positive.
        share: Room at each end, as a share of what the values span.

    Example:
        >>> room([0.0, 10.0], share=0.1), room([4.0]), room([])
        ((-1.0, 11.0), (3.8, 4.2), (0.0, 1.0))
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if is_log:
        factor = (high / low) ** share if high > low else 1.1
        return low / factor, high * factor
    beside = share * (high - low) if high > low else 0.05 * abs(low) or 0.5
    return low - beside, high + beside


def linear_ticks(low: float, high: float, most: int = _MOST) -> list[float]:
    """Return round numbers at equal steps, all of them between two ends.

    Args:
        low: The lower end.
        high: The upper end, above it.
        most: Most numbers.

    Example:
        >>> linear_ticks(0.0, 10.0), linear_ticks(-0.3, 0.4, 4)
        ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [-0.2, 0.0, 0.2, 0.4])
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    sizes = [step * power for step in _STEPS]
    numbers: list[int] = []
    size = sizes[-1]
    for size in sizes:
        numbers = list(range(math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9) + 1))
        if len(numbers) <= most:
            break
    return [float(f"{number * size:.12g}") for number in numbers]


def log_ticks(low: float, high: float, most: int = _MOST) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between two ends, or, where these are many, fewer.

    Args:
        low: The lower end, above 0.
        high: The upper end.
        most: Most numbers.

    Example:
        >>> log_ticks(1.0, 60.0), log_ticks(0.5, 2e4)
        ([1.0, 2.0, 5.0, 10.0, 20.0, 50.0], [1.0, 10.0, 100.0, 1000.0, 10000.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors, step in (((1, 2, 5), 1), ((1, 3), 1), *(((1,), step) for step in range(1, 99))):
        ticks = []
        for power in range(first, last + 1):
            if power % step == 0:
                ticks += [float(f"{factor}e{power}") for factor in factors]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= most:
            return inside
    return []


def whole_ticks(numbers: Iterable[float], most: int = 7) -> list[int]:
    """Return all of some whole numbers, or some of them at about equal steps, and the last.

    Args:
        numbers: Whole numbers, such as the rounds that were measured.
        most: Most numbers to return.

    Example:
        >>> whole_ticks([2, 1, 3]), whole_ticks(range(1, 9))
        ([1, 2, 3], [2, 4, 6, 8])
    """
    latest_first = sorted({int(number) for number in numbers}, reverse=True)
    step = max(1, math.ceil(len(latest_first) / most))
    return latest_first[::step][::-1]


def thinned(x: Sequence[float], y: Sequence[float], most: int) -> list[tuple[float, float]]:
    """Return the points of a curve, or of a long one the ends and extremes of each stretch.

    Args:
        x: Ascending numbers.
        y: A finite number for each.
        most: Most points to return, at least four.

    Example:
        >>> thinned([1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 9, 0, 0, 0, -9, 0], 4)
        [(1, 0), (3, 9), (7, -9), (8, 0)]
    """
    points = list(zip(x, y, strict=True))
    if len(points) <= most:
        return points
    stretches = (most - 2) // 2  # each has two extremes
    borders = [round(1 + k * (len(points) - 2) / stretches) for k in range(stretches + 1)]
    chosen = {0, len(points) - 1}
    for start, end in pairwise(borders):
        inside = range(start, end)
        chosen |= {min(inside, key=y.__getitem__), max(inside, key=y.__getitem__)}
    return [points[place] for place in sorted(chosen)]


def evenly(count: int, most: int) -> list[int]:
    """Return places 0 to count − 1, or at most so many of them, with the first and the last.

    Example:
        >>> evenly(3, 5), evenly(9, 3), evenly(9, 1)
        ([0, 1, 2], [0, 4, 8], [8])
    """
    if count <= most:
        return list(range(count))
    if most == 1:
        return [count - 1]
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]
