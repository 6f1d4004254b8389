"""Moments of samples as they are recorded of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Moments:
    """Moments of the samples of one variable of one player.

    Args:
        means: The moments.
        variances: The sampling variance of each; NaN where fewer than two samples have a value.
    """

    means: Sequence[float]
    variances: Sequence[float]


ByPlayer = Mapping[str, Mapping[str, Moments]]
"""Moments by player (or seat) and variable."""


def moments_to_json(moments: ByPlayer) -> dict[str, dict[str, Any]]:
    """Moments by player and variable as plain values: a list of pairs each."""
    plain = {}
    for player, variables in moments.items():
        plain[player] = {name: _pairs(each) for name, each in variables.items()}
    return plain


def _pairs(moments: Moments) -> list[tuple[float, float]]:
    return list(zip(moments.means, moments.variances, strict=True))


def moments_from_json(
    values: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
) -> dict[str, dict[str, Moments]]:
    """The inverse of :func:`moments_to_json`."""
    moments = {}
    for player, variables in values.items():
        moments[player] = {name: _from_pairs(pairs) for name, pairs in variables.items()}
    return moments


def _from_pairs(pairs: Sequence[Sequence[float]]) -> Moments:
    return Moments([mean for mean, _ in pairs], [variance for _, variance in pairs])
