"""How well a player itself classifies real test samples."""

from __future__ import annotations

from collections.abc import Mapping
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

    meanings: ClassVar[Mapping[str, str]] = {
        "class_accuracy": (
            "the share of real rows whose class the player itself gets right; 1 is best"
        ),
    }

    wants_classified: ClassVar[bool] = True
    needs_classifier: ClassVar[bool] = False

    def obstacle(self, observed: Observed) -> str:
        """Say that the player did not classify, or the real test samples have no classes."""
        if observed.classified is None:
            return "the model does not classify"
        if observed.reference.labels is None or not len(observed.reference.labels):
            return "the classes of the real test samples are not known"
        return ""

    def observe(self, observed: Observed) -> Stat:
        """Count right classes."""
        classified = observed.classified
        labels = observed.reference.labels
        assert classified is not None
        assert labels is not None
        return _Hits(int((classified == labels).sum()), len(labels))
