"""The federation's figure: what sites measured on rows of their own, as of all their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coplay.core.measures import MEASURES
from coplay.core.space import LABEL
from coplay.metrics.base import Value
from coplay.metrics.sums import HitSum, MeanSum
from coplay.run.result import Result

ALL_ROWS = (
    "all rows together: by the hits and sums of the sites that told both a value and how many rows "
    "it is of"
)
"""What such a figure is, for the reader of a table."""

_SHARES_OF_ROWS = (
    "utility",
    "utility_of_real",
    "utility_boosted",
    "utility_of_real_boosted",
)
_SHARES_OF_SAMPLES = ("copies_share", "partial_copies_share")
_MEANS = ("log_p",)


@dataclass(frozen=True)
class Together:
    """One figure for the rows of several sites.

    Args:
        value: The figure, with the interval that all rows give it.
        players: Names of the sites that told enough for it.
    """

    value: Value
    players: Sequence[str]


def together(result: Result, play: str, quantity: str) -> Together | None:
    """Return what a quantity is over the rows of all sites that told it.

    Only what follows from sums has such a figure: an accuracy by its hits, a share of samples, a
    mean of log p. A site is left out that does not tell of how many rows its value is.

    Args:
        result: The run.
        play: The game's name.
        quantity: Name of a quantity that is one number.

    Returns:
        None where fewer than two sites told enough, or where the quantity is of another kind or was
        measured at the coordinator.
    """
    values = {}
    for name in result.sampled_from[play]:
        value = result.plays[play].last.get(name, {}).get(quantity)
        if value is not None:
            values[name] = value
    is_number = quantity in _SHARES_OF_ROWS and _target_is_number(result)
    return None if is_number else together_of(quantity, values)


def together_of(quantity: str, values: Mapping[str, Value]) -> Together | None:
    """Return what a quantity is over the rows of the sites whose values are given.

    Example:
        >>> unit = MEASURES["utility"].unit
        >>> north = Value(0.9, unit, "higher", 200, 10, 0.6, 0.98)
        >>> south = Value(0.5, unit, "higher", 200, 30, 0.33, 0.67)
        >>> together_of("utility", {"north": north, "south": south}).value.value
        0.6
    """
    meaning = MEASURES.get(quantity)
    stats: dict[str, HitSum | MeanSum] = {}
    for name, value in values.items():
        if meaning is None or value.unit != meaning.unit:
            continue
        if quantity in _SHARES_OF_ROWS and value.n_real:
            stats[name] = HitSum.from_value(quantity, value, value.n_real)
        elif quantity in _SHARES_OF_SAMPLES and value.n:
            stats[name] = HitSum.from_value(quantity, value, value.n)
        elif quantity in _MEANS and value.n_real:
            stats[name] = MeanSum.from_value(quantity, value)
    if len(stats) < 2:
        return None
    first, *others = stats.values()
    for other in others:
        first = first.merge(other)  # type: ignore[arg-type]
    return Together(first.result()[quantity], list(stats))


def _target_is_number(result: Result) -> bool:
    """Whether what samples are to predict is a number, whose R² no sums of what is told give."""
    measure = result.record.config.get("measure") or {}
    target = measure.get("target") or LABEL
    space = result.record.data.space
    return target in space and space[target].kind in ("real", "count")
