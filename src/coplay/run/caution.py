"""What a reader of scores must know: what was not measured, copies, a classifier near chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from coplay.metrics.base import wilson
from coplay.metrics.copies import Copies, Matches

_COUNTED = ("equal", "equal_real", "repeated", "near", "near_real")  # of Copies
_LOOSE = 0.3  # width of the accuracy's interval from which it says little


@dataclass(frozen=True)
class Caution:
    """What a reader of one player's scores in one round must know.

    Args:
        unmeasured: Why a metric was not measured, by its name.
        copies: Copies of training rows among the samples; None where there are none, or where the
            training rows are not at hand.
    """

    unmeasured: Mapping[str, str] = field(default_factory=dict)
    copies: Copies | None = None

    def __bool__(self) -> bool:
        return bool(self.unmeasured) or self.copies is not None

    def json(self) -> dict[str, Any]:
        """The caution as plain values, without what is empty."""
        values: dict[str, Any] = {}
        if self.unmeasured:
            values["unmeasured"] = dict(self.unmeasured)
        if self.copies is not None:
            values["copies"] = {**asdict(self.copies), "warning": self.copies.warning}
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`json`."""
        copies = None
        if "copies" in values:
            counts = values["copies"]
            matches = {name: Matches(**counts[name]) for name in _COUNTED}
            copies = Copies(**matches, discrete=counts["discrete"])
        return cls(values.get("unmeasured", {}), copies)


def cautions_to_json(cautions: Mapping[str, Caution]) -> dict[str, dict[str, Any]]:
    """Cautions by player as plain values."""
    return {player: caution.json() for player, caution in cautions.items()}


def cautions_from_json(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Caution]:
    """The inverse of :func:`cautions_to_json`."""
    return {player: Caution.from_json(caution) for player, caution in values.items()}


def classifier_warning(accuracy: float, n_test: int, largest_class: float) -> str:
    """Say that the domain classifier is no judge; empty if it is one.

    Its accuracy must be above the share of the largest class, which a classifier that looks at
    nothing reaches, with the whole of its 95 % interval, and the interval must not be too wide.

    Args:
        accuracy: Share of real test samples that it classifies correctly.
        n_test: Number of these samples, at least one.
        largest_class: Share of the largest class among them.

    Example:
        >>> classifier_warning(0.97, 400, 0.5)
        ''
        >>> classifier_warning(0.488, 400, 0.5)[:64]
        'the domain classifier is near chance: it is right on 48.8% of 40'
    """
    low, high = wilson(round(accuracy * n_test), n_test)
    interval = f"95 % interval {low:.1%} to {high:.1%}"
    right = f"it is right on {accuracy:.1%} of {n_test:,} real test samples ({interval})"
    if largest_class >= 1:
        return (
            "all real test samples are of one class, so nothing shows whether the domain "
            "classifier can distinguish classes; scores that rest on it mean little"
        )
    if low <= largest_class:
        return (
            f"the domain classifier is near chance: {right}, and their largest class is "
            f"{largest_class:.1%} of them; scores that rest on it mean little"
        )
    if high - low > _LOOSE:
        return (
            f"there are too few real test samples to say how good the domain classifier is: {right}"
            "; scores that rest on it mean little"
        )
    return ""
