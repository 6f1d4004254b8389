"""Figures of several sites as one, where sums suffice: hits of so many rows, and means over rows.

What sites tell of themselves are a value, its interval and a number of rows; these are merged as
:class:`~coplay.metrics.base.Stat` is, so that parts give what the whole gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from coplay.metrics.base import NORMAL_975, Stat, Value, normal_interval, wilson


@dataclass(frozen=True)
class HitSum(Stat):
    """A share by its counts.

    Args:
        name: The quantity.
        hits: How many rows have the property.
        of: How many rows there are, at least one.
        n: Number of generated samples.
        n_real: Number of real rows.
        unit: Unit of the value, in words.
        better: The direction that is better.

    Example:
        >>> one = HitSum("utility", 9, 10, 200, 10, "accuracy", "higher")
        >>> other = HitSum("utility", 15, 30, 200, 30, "accuracy", "higher")
        >>> one.merge(other).result()["utility"].value
        0.6
    """

    name: str
    hits: int
    of: int
    n: int
    n_real: int
    unit: str
    better: Literal["higher", "lower"] | None

    @classmethod
    def from_value(cls, name: str, value: Value, of: int) -> HitSum:
        """Return the counts behind a share of so many rows."""
        assert not isinstance(value.value, list)
        hits = min(of, max(0, round(value.value * of)))
        return cls(name, hits, of, value.n, value.n_real, value.unit, value.better)

    def merge(self, other: HitSum) -> HitSum:
        """Return the share among the rows of both."""
        return HitSum(
            self.name,
            self.hits + other.hits,
            self.of + other.of,
            self.n + other.n,
            self.n_real + other.n_real,
            self.unit,
            self.better,
        )

    def result(self) -> dict[str, Value]:
        """Return the share with Wilson's interval."""
        low, high = wilson(self.hits, self.of)
        share = self.hits / self.of
        value = Value(share, self.unit, self.better, self.n, self.n_real, low, high)
        return {self.name: value}


@dataclass(frozen=True)
class MeanSum(Stat):
    """A mean over rows by its sum, with the variance of the sum.

    Args:
        name: The quantity.
        total: Sum over the rows.
        variance: Of the sum, with independent rows; infinite where a mean has no interval.
        n: Number of generated samples.
        n_real: Number of real rows, at least one.
        unit: Unit of the value, in words.
        better: The direction that is better.
        is_bound: Whether a part is a lower bound, so that the whole has no upper end.

    Example:
        >>> one = MeanSum("log_p", -30.0, 4.0, 0, 10, "nats", "higher")
        >>> one.merge(MeanSum("log_p", -90.0, 5.0, 0, 30, "nats", "higher")).result()["log_p"].value
        -3.0
    """

    name: str
    total: float
    variance: float
    n: int
    n_real: int
    unit: str
    better: Literal["higher", "lower"] | None
    is_bound: bool = False

    @classmethod
    def from_value(cls, name: str, value: Value) -> MeanSum:
        """Return the sum behind a mean over ``n_real`` rows, whose interval is normal."""
        assert not isinstance(value.value, list)
        rows = value.n_real
        variance = math.inf
        if value.low is not None:
            variance = (rows * (value.value - value.low) / NORMAL_975) ** 2
        total = rows * value.value
        is_bound = value.high is None
        return cls(name, total, variance, value.n, rows, value.unit, value.better, is_bound)

    def merge(self, other: MeanSum) -> MeanSum:
        """Return the sum over the rows of both."""
        return MeanSum(
            self.name,
            self.total + other.total,
            self.variance + other.variance,
            self.n + other.n,
            self.n_real + other.n_real,
            self.unit,
            self.better,
            self.is_bound or other.is_bound,
        )

    def result(self) -> dict[str, Value]:
        """Return the mean with its interval; no upper end where a part was a bound."""
        mean = self.total / self.n_real
        low = high = None
        if math.isfinite(self.variance):
            low, high = normal_interval(mean, math.sqrt(self.variance) / self.n_real)
        if self.is_bound:
            high = None
        value = Value(mean, self.unit, self.better, self.n, self.n_real, low, high)
        return {self.name: value}
