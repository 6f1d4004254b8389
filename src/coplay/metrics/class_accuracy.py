"""How well a player itself classifies real test samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from coplay.metrics.base import Metric, Observed, Stat, Value, share_value


@dataclass(frozen=True)
class _Hits(Stat):
    hits: int
    n_real: int

    def merge(self, other: _Hits) -> _Hits:
        # the real test samples are the same, whatever was generated beside them
        return self

    def result(self) -> dict[str, Value]:
        unit = "share of real test samples that the player classifies rightly"
        value = share_value(self.hits, self.n_real, unit, "higher", 0, self.n_real)
        return {"class_accuracy": value}


class ClassAccuracy(Metric):
    """Share of real test samples that the player itself classifies correctly.

    Generated samples play no part in it (n = 0), so it applies to players without inputs too. The
    95 % interval is Wilson's.
    """

    wants_classified: ClassVar[bool] = True

    def applies(self, observed: Observed) -> bool:
        """Whether the player classified the real test samples and their classes are known."""
        return observed.classified is not None and observed.reference.labels is not None

    def observe(self, observed: Observed) -> Stat:
        """Count right classes."""
        classified = observed.classified
        labels = observed.reference.labels
        assert classified is not None
        assert labels is not None
        return _Hits(int((classified == labels).sum()), len(labels))
