"""The contract of a metric: observe samples, merge statistics, return values with their units."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

from torch import Tensor

from coplay.core.components import Component
from coplay.core.errors import FAILURES
from coplay.core.scaling import Scaling
from coplay.core.space import LABEL as LABEL  # the name that callers of this contract use
from coplay.core.space import Samples, Space
from coplay.core.surroundings import settings_restored
from coplay.metrics.features import DomainClassifier

NORMAL_975 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution: ± so many standard errors hold 95 %."""


@dataclass(frozen=True)
class Value:
    """One measured quantity.

    Args:
        value: A number, or one number per class.
        unit: Its unit, in words.
        better: The direction that is better; None where neither is.
        n: Number of generated samples it was measured on.
        n_real: Number of real samples it was compared with; 0 for none.
        low: Lower end of its 95 % interval; None if it has no interval.
        high: Upper end of its 95 % interval; None if it has no interval.
        of: The variables that it is of, where it is one of many of its kind; tables leave it out.

    Example:
        >>> share = Value(0.25, "share", "higher", n=2000, low=0.23, high=0.27)
        >>> share.is_scalar, Value.from_json(share.json()) == share
        (True, True)
    """

    value: float | list[float]
    unit: str
    better: Literal["higher", "lower"] | None
    n: int
    n_real: int = 0
    low: float | None = None
    high: float | None = None
    of: tuple[str, ...] = ()

    @property
    def is_scalar(self) -> bool:
        """Whether it is one number of its own, and not one of many of its kind."""
        return not isinstance(self.value, list) and not self.of

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Value:
        """Undo :meth:`json`."""
        return cls(**{**values, "of": tuple(values.get("of", ()))})

    def json(self) -> dict[str, Any]:
        """Return the value as a run's record stores it."""
        values = asdict(self)
        if not self.of:
            del values["of"]
        return values


def normal_interval(estimate: float, standard_error: float) -> tuple[float, float]:
    """Return the 95 % interval of an estimate whose error is about normal.

    Example:
        >>> [round(end, 2) for end in normal_interval(1.0, 0.5)]
        [0.02, 1.98]
    """
    half = NORMAL_975 * standard_error
    return estimate - half, estimate + half


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval for a share counted as ``hits`` of ``n`` independent samples.

    Unlike the normal interval it never leaves [0, 1], and it has a width where all or none are
    hits.

    Args:
        hits: How many samples have the property.
        n: How many samples there are, at least one.

    Example:
        >>> [round(end, 4) for end in wilson(5, 10)], [round(end, 4) for end in wilson(0, 10)]
        ([0.2366, 0.7634], [0.0, 0.2775])

    References:
        Probable Inference, the Law of Succession, and Statistical Inference (E. B. Wilson, Journal
        of the American Statistical Association 22, 1927).
    """
    share = hits / n
    extra = NORMAL_975**2 / n
    middle = (share + extra / 2) / (1 + extra)
    half = math.sqrt(extra * (share * (1 - share) + extra / 4)) / (1 + extra)
    # at 0 and at n hits one end is exactly 0 or 1, which rounding would miss
    low = 0.0 if hits == 0 else middle - half
    high = 1.0 if hits == n else middle + half
    return low, high


def share_value(
    hits: int, of: int, unit: str, better: Literal["higher", "lower"], n: int, n_real: int
) -> Value:
    """Return the value ``hits / of`` with Wilson's interval.

    Args:
        hits: How many samples have the property.
        of: How many samples were looked at, at least one.
        unit: Unit of the value, in words.
        better: The direction that is better; None where neither is.
        n: Number of generated samples it was measured on.
        n_real: Number of real samples it was compared with.

    Example:
        >>> value = share_value(3, 4, "share", "higher", n=4, n_real=9)
        >>> value.value, round(value.low, 3), round(value.high, 3), value.n, value.n_real
        (0.75, 0.301, 0.954, 4, 9)
    """
    low, high = wilson(hits, of)
    return Value(hits / of, unit, better, n, n_real, low, high)


@dataclass(frozen=True)
class Reference:
    """Real samples to compare with; they are never used inside a game.

    Args:
        test: Real samples that no player learns from, without their classes.
        judge: The fixed domain classifier; None where there is none.
        labels: Classes of the real samples, shape (n,); None where they are unknown.
        rows: The same samples with all variables, as tables are compared; None without them.
        variables: What the variables of ``rows`` are.
    """

    test: Samples
    judge: DomainClassifier | None
    labels: Tensor | None = None
    rows: Samples | None = None
    variables: Space | None = None

    @property
    def classifier(self) -> DomainClassifier:
        """The domain classifier, for metrics that need it."""
        assert self.judge is not None, "a metric that needs no classifier asked for it"
        return self.judge

    @property
    def space(self) -> Space:
        """The variables of ``test``."""
        if self.judge is not None:
            return self.judge.space
        return self.space_of_rows.only([str(name) for name in self.test.keys()])

    @property
    def whole(self) -> Samples:
        """The real samples with all variables."""
        return self.test if self.rows is None else self.rows

    @property
    def space_of_rows(self) -> Space:
        """What the variables of :attr:`whole` are."""
        if self.variables is not None:
            return self.variables
        return self.classifier.space

    @cached_property
    def test_features(self) -> Tensor:
        """Features of the real test samples, shape (n, F)."""
        return self.classifier.features(self.test)

    @property
    def scaling(self) -> Scaling | None:
        """The scales in which samples are compared; None for a classifier that has none."""
        return self._own_scaling if self.judge is None else getattr(self.judge, "scaling", None)

    @cached_property
    def _own_scaling(self) -> Scaling:
        """Scales that are fitted on the real samples, where no classifier has any."""
        scaling = Scaling(self.space)
        scaling.follow([self.test], [1.0])
        return scaling


@dataclass(frozen=True)
class Observed:
    """Generated samples as metrics see them; what several metrics need is computed once.

    Args:
        samples: Generated samples, at least one.
        reference: Real samples to compare with, and the domain classifier.
        predicted: Class shares that the theory predicts for them, shape (C,), if there is a theory.
        classified: The player's own class for each real test sample, shape (n_real,), if its model
            classifies.
        held: Samples the player learned from; None unless the run is a simulation that knows them.
    """

    samples: Samples
    reference: Reference
    predicted: Tensor | None = None
    classified: Tensor | None = None
    held: Samples | None = None

    @cached_property
    def features(self) -> Tensor:
        """Features by the domain classifier, shape (n, F)."""
        return self.reference.classifier.features(self.samples)

    @cached_property
    def probabilities(self) -> Tensor:
        """Class probabilities by the domain classifier, shape (n, C)."""
        return self.reference.classifier.classify(self.features)


NO_CLASSIFIER = (
    "it needs a domain classifier, which is trained where the coordinator has real samples with "
    "classes"
)
"""Why a metric is not measured where there is no domain classifier."""


def complete(samples: Samples, space: Space) -> bool:
    """Whether the samples have every variable of the space."""
    return all(name in samples.keys() for name in space)


def missing_inputs(observed: Observed) -> str:
    """Say which variables the samples lack by which they are compared; empty if they have all."""
    space = observed.reference.space
    missing = [name for name in space if name not in observed.samples.keys()]
    if not missing:
        return ""
    names = ", ".join(map(repr, missing))
    if observed.reference.judge is None:
        return f"the samples lack {names}, by which they are compared"
    return f"the samples lack {names}, which the domain classifier needs"


class Stat(ABC):
    """A mergeable statistic: ``observe(a).merge(observe(b))`` equals ``observe(a and b)``.

    Example:
        >>> @dataclass(frozen=True)
        ... class Count(Stat):
        ...     n: int
        ...     def merge(self, other):
        ...         return Count(self.n + other.n)
        ...     def result(self):
        ...         return {"samples": Value(self.n, "samples", None, self.n)}
        >>> Count(2).merge(Count(3)).result()["samples"].value
        5
    """

    @abstractmethod
    def merge(self, other: Self) -> Self:
        """Return the statistic of both sets of samples; neither operand changes."""

    @abstractmethod
    def result(self) -> dict[str, Value]:
        """Return the measured values by name."""


class Metric(Component):
    """A quantity, or several, to measure on samples.

    Example:
        >>> from coplay import find
        >>> metric = find("metric", "fid")()
        >>> metric.needs_classifier, metric.want_of_samples(1, 100)
        (True, 'it needs 2 generated samples or more, and there is 1')
    """

    needs_classifier: ClassVar[bool] = True
    """Whether it is measured by the domain classifier, which needs real samples with classes."""

    meanings: ClassVar[Mapping[str, str]] = {}
    """What each of its values is, by name: words that go on after "it is", as pages show them.

    A value of single columns (:attr:`Value.of`) has none; its statistic says what it is.
    """

    wants_classified: ClassVar[bool] = False
    """Whether it needs each player's own classes for the real test samples.

    These samples are sent to the players only if some metric needs them.
    """

    @property
    def fewest(self) -> int:
        """The fewest generated samples, and real ones, with which it can be measured."""
        return 1

    def applies(self, observed: Observed) -> bool:
        """Whether the metric can be measured: by default, if nothing stands against it."""
        return not self.obstacle(observed)

    def obstacle(self, observed: Observed) -> str:
        """Say why the metric cannot be measured; empty if it can.

        By default the classifier must have all its inputs, and there must be enough samples.
        """
        if self.needs_classifier and observed.reference.judge is None:
            return NO_CLASSIFIER
        return missing_inputs(observed) or self.want_of_samples(
            len(observed.samples), len(observed.reference.test)
        )

    def want_of_samples(self, n: int, n_real: int) -> str:
        """Say that there are too few samples; empty if there are enough.

        Args:
            n: Number of generated samples.
            n_real: Number of real test samples.

        Example:
            >>> from coplay.metrics.kid import Kid
            >>> Kid().want_of_samples(2000, 1)
            'it needs 3 real test samples or more, and there is 1'
        """
        for count, kind in ((n, "generated"), (n_real, "real test")):
            if count < self.fewest:
                are = "is" if count == 1 else "are"
                noun = "sample" if self.fewest == 1 else "samples"
                return f"it needs {self.fewest} {kind} {noun} or more, and there {are} {count}"
        return ""

    def aimed(self, target: str | None) -> Self:
        """Return the metric for a run in which a target is to be predicted.

        Args:
            target: The variable; None where none was named. Most metrics need none.
        """
        return self

    @abstractmethod
    def observe(self, observed: Observed) -> Stat:
        """Reduce samples to a mergeable statistic."""


@settings_restored()  # a metric may be foreign code
def measured(metric: Metric, observed: Observed) -> tuple[dict[str, Value], str]:
    """Return a metric's values, and why some or all are missing; empty if none is.

    A metric that fails, or whose value is not finite, is not measured; it never ends a run.

    Args:
        metric: The metric.
        observed: What it is measured on.
    """
    if metric.needs_classifier and observed.reference.judge is None:
        return {}, NO_CLASSIFIER
    try:
        if not metric.applies(observed):
            return {}, metric.obstacle(observed) or "it does not apply to these samples"
        values = metric.observe(observed).result()
    except FAILURES as error:
        text = str(error).strip().splitlines() or ["no reason given"]
        return {}, f"{type(error).__name__}: {text[0]}"
    broken = [name for name, value in values.items() if not _is_finite(value)]
    for name in broken:
        del values[name]
    if not broken:
        return values, ""
    return values, f"the value of {', '.join(broken)} is not finite"


def _is_finite(value: Value) -> bool:
    """Whether a value and its interval are numbers."""
    numbers = value.value if isinstance(value.value, list) else [value.value]
    ends = [end for end in (value.low, value.high) if end is not None]
    return all(math.isfinite(number) for number in [*numbers, *ends])
