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

    def applies(self, observed: Observed) -> bool:
        """Whether there is what this metric needs: by default samples that the domain classifier can see."""
        return all(name in observed.samples.keys() for name in observed.reference.classifier.space)

    @abstractmethod
    def observe(self, observed: Observed) -> Stat:
        """Reduce samples to a mergeable statistic."""
