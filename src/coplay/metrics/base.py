"""The contract of a metric: observe samples, merge observations, state the result with its unit and its counts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

from torch import Tensor

from coplay.core.components import Component
from coplay.core.space import LABEL as LABEL  # the name that callers of this contract use
from coplay.core.space import Samples, Space
from coplay.metrics.features import DomainClassifier

_NORMAL_975 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution: ± so many standard errors hold 95 %."""


@dataclass(frozen=True)
class Value:
    """One measured quantity.

    Args:
        value: A number, or one number per class.
        unit: Its unit, in words.
        better: Which direction is better; None where neither is.
        n: Number of generated samples it was measured on.
        n_real: Number of real samples it was compared with; 0 for none.
        low: Lower end of its 95 % interval; None where none is given.
        high: Upper end of its 95 % interval; None where none is given.
    """

    value: float | list[float]
    unit: str
    better: Literal["higher", "lower"] | None
    n: int
    n_real: int = 0
    low: float | None = None
    high: float | None = None

    def json(self) -> dict[str, Any]:
        """For the record."""
        return asdict(self)


def normal_interval(estimate: float, standard_error: float) -> tuple[float, float]:
    """The 95 % interval of an estimate whose error is about normal.

    Example:
        >>> [round(end, 2) for end in normal_interval(1.0, 0.5)]
        [0.02, 1.98]
    """
    return estimate - _NORMAL_975 * standard_error, estimate + _NORMAL_975 * standard_error


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share that was counted as ``hits`` of ``n`` independent samples.

    Unlike the normal interval it never leaves [0, 1], and it has a width where all or none are hits.

    Args:
        hits: How many samples have the property.
        n: How many samples there are, at least one.

    Example:
        >>> [round(end, 4) for end in wilson(5, 10)], [round(end, 4) for end in wilson(0, 10)]
        ([0.2366, 0.7634], [0.0, 0.2775])

    References:
        Probable Inference, the Law of Succession, and Statistical Inference (E. B. Wilson, Journal of the American
        Statistical Association 22, 1927).
    """
    share, extra = hits / n, _NORMAL_975**2 / n
    middle = (share + extra / 2) / (1 + extra)
    half = math.sqrt(extra * (share * (1 - share) + extra / 4)) / (1 + extra)
    # at 0 and at n hits one end is exactly 0 or 1, which rounding would miss
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == n else middle + half)


def share_value(
    hits: int, of: int, unit: str, better: Literal["higher", "lower"], n: int, n_real: int
) -> Value:
    """The value ``hits / of`` with Wilson's interval.

    Example:
        >>> found = share_value(3, 4, "share", "higher", n=4, n_real=9)
        >>> found.value, round(found.low, 3), round(found.high, 3), found.n, found.n_real
        (0.75, 0.301, 0.954, 4, 9)
    """
    low, high = wilson(hits, of)
    return Value(hits / of, unit, better, n, n_real, low, high)


@dataclass(frozen=True)
class Reference:
    """What samples are measured against. It exists only where a reference set does, never inside a game.

    Args:
        test: Real samples that no player holds, without their classes.
        classifier: The fixed domain classifier.
        labels: Classes of the real samples, shape (n,); None where they are unknown.
    """

    test: Samples
    classifier: DomainClassifier
    labels: Tensor | None = None

    @cached_property
    def test_features(self) -> Tensor:
        """Features of the real test samples, shape (n, F)."""
        return self.classifier.features(self.test)


@dataclass(frozen=True)
class Observed:
    """Generated samples as metrics see them; what several metrics need is computed once.

    Args:
        samples: Generated samples, at least one.
        reference: What they are measured against.
        predicted: Class shares that the theory predicts for them, shape (C,), if there is a theory.
        classified: The player's own class for each real test sample, shape (n_real,), if its model classifies.
        held: What the player learned from, where the run is a simulation that knows.
    """

    samples: Samples
    reference: Reference
    predicted: Tensor | None = None
    classified: Tensor | None = None
    held: Samples | None = None

    @cached_property
    def features(self) -> Tensor:
        """Features of the domain classifier, shape (n, F)."""
        return self.reference.classifier.features(self.samples)

    @cached_property
    def probabilities(self) -> Tensor:
        """Class probabilities by the domain classifier, shape (n, C)."""
        return self.reference.classifier.classify(self.features)


def complete(samples: Samples, space: Space) -> bool:
    """Whether the samples have every variable of the space."""
    return all(name in samples.keys() for name in space)


class Stat(ABC):
    """A mergeable statistic: ``observe(a).merge(observe(b))`` equals ``observe(a and b)``."""

    @abstractmethod
    def merge(self, other: Self) -> Self:
        """The statistic of both sets of samples; neither operand changes."""

    @abstractmethod
    def result(self) -> dict[str, Value]:
        """Name to value."""


class Metric(Component):
    """Something to measure on samples."""

    wants_classified: ClassVar[bool] = False
    """Whether it judges how players classify the real test samples, which are sent to them only if some metric does."""

    def applies(self, observed: Observed) -> bool:
        """Whether there is what this metric needs: by default samples that the domain classifier can see."""
        return complete(observed.samples, observed.reference.classifier.space)

    @abstractmethod
    def observe(self, observed: Observed) -> Stat:
        """Reduce samples to a mergeable statistic."""
