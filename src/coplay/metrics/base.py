"""The contract of a metric: observe samples, merge observations, state the result with its unit and its counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, Self

from torch import Tensor

from coplay.components import Component
from coplay.metrics.features import DomainClassifier
from coplay.space import Samples


@dataclass(frozen=True)
class Value:
    """One measured quantity.

    Args:
        value: A number, or one number per class.
        unit: Its unit, in words.
        better: Which direction is better; None where neither is.
        n: Number of generated samples it was measured on.
        n_real: Number of real samples it was compared with; 0 for none.
    """

    value: float | list[float]
    unit: str
    better: Literal["higher", "lower"] | None
    n: int
    n_real: int = 0

    def json(self) -> dict[str, Any]:
        """For the record."""
        return asdict(self)


@dataclass(frozen=True)
class Reference:
    """What samples are measured against. It exists only where a reference set does, never inside a game.

    Args:
        test: Real samples that no player holds.
        classifier: The fixed domain classifier.
    """

    test: Samples
    classifier: DomainClassifier

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
    """

    samples: Samples
    reference: Reference
    predicted: Tensor | None = None

    @cached_property
    def features(self) -> Tensor:
        """Features of the domain classifier, shape (n, F)."""
        return self.reference.classifier.features(self.samples)

    @cached_property
    def probabilities(self) -> Tensor:
        """Class probabilities by the domain classifier, shape (n, C)."""
        return self.reference.classifier.classify(self.features)


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

    @abstractmethod
    def observe(self, observed: Observed) -> Stat:
        """Reduce samples to a mergeable statistic."""
