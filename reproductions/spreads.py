"""Means over seeds and times of runs, as experiments keep them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from coplay.metrics.base import Value
from coplay.run.result import Result
from coplay.run.round_record import RoundRecord


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, standard deviation and the single values.

    Example:
        >>> spread([1.0, 3.0])
        {'mean': 2.0, 'std': 1.4142135623730951, 'values': [1.0, 3.0]}
    """
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "values": list(values),
    }


def other_share(measured: Mapping[str, Value], quantity: str, own_classes: range) -> float:
    """Return a player's share of the classes that it does not hold.

    Args:
        measured: What was measured of the player.
        quantity: ``class_shares``, corrected for confusions, or ``class_shares_raw``.
        own_classes: The classes that it holds.
    """
    shares = measured[quantity].value
    assert isinstance(shares, list)
    return sum(share for c, share in enumerate(shares) if c not in own_classes)


def seconds_playing(rows: Sequence[RoundRecord]) -> float:
    """Seconds that rounds took, without measuring; of players in several processes, their sum."""
    return sum(sum(row.seconds.values()) - row.seconds["evaluation"] for row in rows)


def seconds_of_run(result: Result) -> float:
    """Seconds of all games of a run, with measuring and without loading data."""
    seconds = 0.0
    for play in result.plays.values():
        seconds += sum(sum(row.seconds.values()) for row in play.rows)
    return seconds


def paired(values: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Return the mean difference of two games over seeds, and its standard error.

    Example:
        >>> paired([3.0, 5.0, 7.0], [1.0, 1.0, 1.0])["mean"]
        4.0
    """
    differences = [one - other for one, other in zip(values, others, strict=True)]
    error = math.nan
    if len(differences) > 1:
        error = statistics.stdev(differences) / math.sqrt(len(differences))
    return {"mean": statistics.fmean(differences), "error": error, "n": len(differences)}
