"""The last values of a comparison, one by one."""

from __future__ import annotations

from dataclasses import dataclass

from coplay.comparison.arms import Arm, Comparison
from coplay.metrics.base import Value
from coplay.run.result import Result


@dataclass(frozen=True)
class Measurement:
    """One value of a comparison and where it comes from.

    Args:
        arm: Label of its arm.
        seed: Seed of its run.
        run: The run.
        game: Name of the game.
        round: The round after which it was measured.
        player: Name of the player or seat.
        quantity: Name of the quantity, which is one number.
        value: The value with its unit, interval and counts.
    """

    arm: str
    seed: int
    run: Result
    game: str
    round: int
    player: str
    quantity: str
    value: Value


def measurements(comparison: Comparison) -> list[Measurement]:
    """Return the last values of every arm, run and player that are one number.

    Args:
        comparison: The arms.

    Example:
        ``[each.value.low for each in measurements(Comparison.load(["runs/a"]))]``
    """
    collected: list[Measurement] = []
    for arm in comparison.arms:
        for seed, run in arm.runs.items():
            collected += _measurements_of(arm, seed, run)
    return collected


def _measurements_of(arm: Arm, seed: int, run: Result) -> list[Measurement]:
    """Return the last values of one game of one run."""
    play = arm.plays[seed]
    collected: list[Measurement] = []
    if play.last_round is None:
        return collected
    for player, values in play.last.items():
        for quantity, value in values.items():
            if value.is_scalar:
                place = (arm.label, seed, run, arm.game, play.last_round, player)
                collected.append(Measurement(*place, quantity, value))
    return collected
