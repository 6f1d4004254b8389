"""Numbers over seeds, and the sums of one play that they are made of."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coplay.run.play import Play
from coplay.run.result import Result
from coplay.run.round_record import RoundRecord

SECONDS_OF_PLAY = ("learning", "sampling", "exchange")
"""Kinds of time that are part of the game."""

SECONDS = (*SECONDS_OF_PLAY, "evaluation", "bookkeeping")
"""Kinds of time that every run records."""


@dataclass(frozen=True)
class Spread:
    """One number per seed.

    Args:
        values: The numbers by seed, at least one.

    Example:
        >>> spread = Spread({1: 2.0, 2: 4.0})
        >>> spread.mean, round(spread.std, 4), Spread({1: 2.0}).std
        (3.0, 1.4142, None)
    """

    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return math.fsum(self.values.values()) / len(self.values)

    @property
    def std(self) -> float | None:
        """The standard deviation over seeds, with n − 1.

        It is None for a single seed, and NaN where a value is not finite.
        """
        if len(self.values) < 2:
            return None
        if not all(map(math.isfinite, self.values.values())):
            return math.nan
        return statistics.stdev(self.values.values())

    def json(self) -> dict[str, Any]:
        """The spread as plain values, with those of all seeds."""
        return {
            "mean": self.mean,
            "std": self.std,
            "seeds": len(self.values),
            "values": dict(self.values),
        }


@dataclass(frozen=True)
class Curve:
    """A quantity over the rounds at which all seeds have it; the lists are of one length.

    Args:
        rounds: The measured rounds, ascending.
        bytes: Payload exchanged up to the end of each round, as a mean over seeds.
        seconds: Seconds of play up to the end of each round, as a mean over seeds.
        mean: The mean over seeds.
        std: The standard deviation over seeds; None for a single seed.
    """

    rounds: Sequence[int]
    bytes: Sequence[float]
    seconds: Sequence[float]
    mean: Sequence[float]
    std: Sequence[float | None]

    def json(self) -> dict[str, Any]:
        """The curve as plain values."""
        return {
            "round": list(self.rounds),
            "bytes": list(self.bytes),
            "seconds": list(self.seconds),
            "mean": list(self.mean),
            "std": list(self.std),
        }


# --------------------------------------------------------------------------- sums of a play


def payload_bytes(play: Play, purpose: str) -> int:
    """Add up the payload for a purpose and its parts, in bytes, up to the last checkpoint.

    Args:
        play: One game of a run.
        purpose: A heading of the ledger, such as ``"exchange"``, or a part of one, such as
            ``"exchange/feedback"``.
    """
    start = purpose + "/"
    links = [link for link in play.traffic if (link.purpose + "/").startswith(start)]
    return sum(link.bytes for link in links)


def booked_seconds(play: Play, kind: str) -> float:
    """Add up the seconds of one kind over all rounds.

    Args:
        play: One game of a run.
        kind: Such as ``"learning"``.
    """
    return math.fsum(row.seconds.get(kind, 0.0) for row in play.rows)


def flops(play: Play) -> float | None:
    """Add up the floating-point operations of all players; None if no model counts them.

    Args:
        play: One game of a run.
    """
    counts = []
    for row in play.rows:
        for numbers in row.players.values():
            if "flops" in numbers:
                counts.append(numbers["flops"])
    return math.fsum(counts) if counts else None


def learning_steps(run: Result, play: Play) -> float | None:
    """Return the learning steps of each player; None if the game does not count in steps.

    Args:
        run: The run.
        play: One game of it.
    """
    steps = run.section(play.name).get("local_steps")
    return None if steps is None else float(steps * len(play.rows))


def seconds_by_round(play: Play) -> dict[int, float]:
    """Add up the seconds of learning, sampling and exchange up to the end of each round.

    Args:
        play: One game of a run.
    """
    sums = itertools.accumulate(_seconds_of_play(row) for row in play.rows)
    return {row.round: total for row, total in zip(play.rows, sums, strict=True)}


def _seconds_of_play(row: RoundRecord) -> float:
    return math.fsum(row.seconds.get(kind, 0.0) for kind in SECONDS_OF_PLAY)


def bytes_by_round(run: Result, play: Play) -> dict[int, float]:
    """Add up the payload exchanged up to the end of each round.

    A run that did not count its payload by round has only the ledger's sum. It is spread evenly
    over the rounds in which players exchange samples.

    Args:
        run: The run.
        play: One game of it.
    """
    counted = [row.bytes for row in play.rows if row.bytes is not None]
    if play.rows and len(counted) == len(play.rows):
        sums = itertools.accumulate(counted)
        return {row.round: float(total) for row, total in zip(play.rows, sums, strict=True)}
    alone = _rounds_alone(run, play)
    each = payload_bytes(play, "exchange") / max(1, play.counted_rounds - alone)
    return {row.round: each * max(0, row.round - alone) for row in play.rows}


def _rounds_alone(run: Result, play: Play) -> int:
    """Return the number of rounds at the start in which nothing was exchanged."""
    if play.name != run.main.name:
        return 0
    alone = int(run.section(play.name).get("own_rounds", 0))
    return alone if alone < play.counted_rounds else 0
