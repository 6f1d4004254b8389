r"""When a game ends before its last round: minutes are over, or nothing changes any more.

It is decided before a round is played whether it is the last one. It is then played, measured and
written as the last of a game with so many ``rounds``, and so that game repeats its bits.

**Minutes.** A round is the last one if the time of play before it and the mean time of a round
reach ``game.minutes``. The time goes on counting where a run is resumed. At least two rounds are
played.

**Steady.** After a measured round the coordinator has n fresh samples of every player, and of each
variable some moments: means, and means of squares; shares, where it is categorical. A variable of
more than 16 numbers counts by means over 16 runs of neighbours. With :math:`m_t` a moment after the
t-th of the last five measured rounds and :math:`v_t` the sampling variance of it,

.. math:: q = \sum_t (m_t - \bar m)^2 / \bar v

has a χ² distribution with 4 degrees of freedom if nothing but the draw differs. The game is steady
if for each of the K pairs of a player and a variable the mean of q over its moments is at most the
quantile of 1 - 0.05/K. The next round is the last one. A model that moves by more than the sampling
error from round to round is not steady, however long it plays; fewer ``measure.samples`` make the
rule coarser. Rounds at the start in which players do not listen to all others do not count.

Nothing but samples that were sent enters: no loss, no score, and no real row.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from scipy.special import chdtri
from torch import Tensor

from coplay.core.components import name_of
from coplay.core.errors import ConfigError
from coplay.core.facts import Facts
from coplay.core.space import Samples, Space, tensors
from coplay.core.variable import Variable
from coplay.games.base import Game, State
from coplay.run.moments import ByPlayer, Moments
from coplay.run.round_record import RoundRecord

WINDOW = 5
"""Measured rounds that are compared."""

LEVEL = 0.05
"""Probability that a game in which nothing changes goes on after a window, at most about."""

MOST_NUMBERS = 16
"""Numbers of a variable that are compared; more are averaged over runs of neighbours."""

NO_CHANGE = "nothing changed any more"


def check_stopping(game: Game) -> None:
    """Refuse an early end for a game whose course depends on its number of rounds.

    Raises:
        ConfigError: It does.
    """
    if getattr(game, "leave_evenly", False) and (game.minutes or game.until_steady):
        setting = "minutes" if game.minutes else "until_steady"
        fault = (
            f"{name_of('game', game)}: with leave_evenly players leave evenly over all rounds, and "
            f"with {setting} nobody knows how many there are; leave one of them out, or name each "
            "leave by leaves"
        )
        raise ConfigError([fault])


def minutes_over(minutes: float) -> str:
    """Say why a game ended.

    Example:
        >>> minutes_over(5), minutes_over(1)
        ('5 minutes were over', '1 minute was over')
    """
    return f"{minutes:g} {'minute was' if minutes == 1 else 'minutes were'} over"


@dataclass
class Stopping:
    """Decides which round of a game is the last one.

    Args:
        game: The rules, with all rounds.
        seconds: Time of play so far.
        rounds: Rounds so far.
        reason: Why the current round is the last one; empty if it is not, or was planned to be.
    """

    game: Game[State]
    seconds: float = 0.0
    rounds: int = 0
    reason: str = ""
    _moments: list[ByPlayer] = field(default_factory=list)
    _began: float = 0.0

    def go_on_after(self, records: Sequence[RoundRecord]) -> Game[State]:
        """Take up a game after some rounds, and return it with the rounds that it has."""
        for record in records:
            self._count(record)
        if records and records[-1].stopped:  # it was killed when only the models were to be moved
            return _ending(self.game, records[-1].round)
        return self.game

    def begin(self, round: int) -> Game[State]:
        """Begin a round, and return the game as it is played: a last round is its last."""
        self._began = time.perf_counter()
        self.reason = ""
        if round >= self.game.rounds:
            return self.game
        if self.game.minutes and self._are_over(self.game.minutes):
            self.reason = minutes_over(self.game.minutes)
        if self.game.until_steady and steady(self._moments):
            self.reason = NO_CHANGE
        return _ending(self.game, round) if self.reason else self.game

    def _are_over(self, minutes: float) -> bool:
        return self.rounds > 0 and self.seconds * (1 + 1 / self.rounds) >= 60 * minutes

    @property
    def expected_rounds(self) -> int:
        """Number of rounds that the game will have by the time they took so far, for progress."""
        if not (self.game.minutes and self.rounds and self.seconds):
            return self.game.rounds
        in_time = math.ceil(60 * self.game.minutes * self.rounds / self.seconds)
        return min(self.game.rounds, max(in_time, self.rounds + 1))

    def noted(
        self, record: RoundRecord, drawn: Mapping[str, Samples], facts: FactsBy
    ) -> RoundRecord:
        """Return a round's record with what decides about the next, and why this was the last.

        Args:
            record: The round.
            drawn: Fresh samples of everybody; empty where nothing was measured.
            facts: What the players say of themselves.
        """
        if self.game.until_steady and drawn:
            record = replace(record, moments=moments_by_player(drawn, facts))
        if self.game.minutes:
            elapsed = self.seconds + time.perf_counter() - self._began
            record = replace(record, elapsed=elapsed)
        record = replace(record, stopped=self.reason)
        self._count(record)
        return record

    def _count(self, record: RoundRecord) -> None:
        self.rounds = record.round
        if record.elapsed is not None:
            self.seconds = record.elapsed
        if record.moments and record.round > _opening(self.game):
            self._moments = [*self._moments, record.moments][-WINDOW:]


FactsBy = Mapping[str, Facts]
"""What players say of themselves, by name."""


def _ending(game: Game[State], round: int) -> Game[State]:
    return game.model_copy(update={"rounds": round})


def _opening(game: Game) -> int:
    """Return the number of rounds at the start in which others count less than later."""
    return int(getattr(game, "own_rounds", 0)) + int(getattr(game, "warmup_rounds", 0))


# ------------------------------------------------------------------------------------- moments


def moments_by_player(
    drawn: Mapping[str, Samples], facts: FactsBy
) -> dict[str, dict[str, Moments]]:
    """Return the moments of everybody's samples, by player and variable."""
    moments: dict[str, dict[str, Moments]] = {}
    for player, samples in drawn.items():
        space = facts[player].space if player in facts else Space({})
        known = {name: space[name] for name in space}
        moments[player] = {}
        for name, values in tensors(samples).items():
            moments[player][name] = moments_of(values, known.get(name))
    return moments


def moments_of(values: Tensor, variable: Variable | None) -> Moments:
    """Return the moments of one variable.

    Args:
        values: Samples of it, shape (n, …).
        variable: What it is; None counts as numbers.

    Example:
        >>> moments_of(torch.tensor([0.0, 2.0]), None)
        Moments(means=[1.0, 2.0], variances=[1.0, 4.0])
        >>> pet = Variable(kind="categorical", classes=2)
        >>> moments_of(torch.tensor([0, 1, 1, -1]), pet).means
        [0.3333333333333333, 0.6666666666666666]
    """
    numbers = values.reshape(len(values), -1)
    rows = numbers.double()
    if variable is not None and variable.classes is not None:
        classes = torch.arange(variable.classes)
        rows = (numbers.unsqueeze(-1) == classes).double()
        rows[numbers < 0] = math.nan
        rows = _few(rows.flatten(1))
    else:
        if variable is not None and variable.optional:
            rows[~variable.present(values).reshape(len(values), -1)] = math.nan
        rows = _few(rows)
        rows = torch.cat([rows, rows.square()], dim=1)
    count = (~rows.isnan()).sum(0)
    means = rows.nanmean(0)
    spread = (rows - means).square().nansum(0) / (count - 1)
    return Moments(means.tolist(), (spread / count).tolist())


def _few(rows: Tensor) -> Tensor:
    """Average columns over runs of neighbours if there are many, shape (n, at most 16)."""
    if rows.shape[1] <= MOST_NUMBERS:
        return rows
    runs = rows.tensor_split(MOST_NUMBERS, dim=1)
    return torch.stack([run.nanmean(1) for run in runs], dim=1)


# ---------------------------------------------------------------------------------- steadiness


def steady(moments: Sequence[ByPlayer]) -> bool:
    """Whether nothing but the draw differs between some measured rounds.

    Args:
        moments: Of each round, by player and variable; fewer than five are too few to say so.
    """
    if len(moments) < WINDOW:
        return False
    pairs = [_pairs(each) for each in moments]
    if not pairs[0] or any(set(each) != set(pairs[0]) for each in pairs):
        return False  # somebody was lost, or has not sent yet
    limit = float(chdtri(WINDOW - 1, LEVEL / len(pairs[0])))
    changes = []
    for pair in pairs[0]:
        changes.append(change([each[pair] for each in pairs]))
    return max(changes) <= limit


def _pairs(moments: ByPlayer) -> dict[tuple[str, str], Moments]:
    pairs = {}
    for player, variables in moments.items():
        for name, each in variables.items():
            pairs[player, name] = each
    return pairs


def change(moments: Sequence[Moments]) -> float:
    """Return q of one player's variable, on the average over its moments; inf where it is unknown.

    Moments that are the same in every draw, such as those of a pixel that is always black, are left
    out.

    Example:
        >>> still, moved = Moments([1.0], [0.5]), Moments([3.0], [0.5])
        >>> change([still, still]), change([still, moved])
        (0.0, 4.0)
    """
    means = torch.tensor([each.means for each in moments], dtype=torch.float64)
    variances = torch.tensor([each.variances for each in moments], dtype=torch.float64).mean(0)
    squares = (means - means.mean(0)).square().sum(0)
    if not (squares.isfinite().all() and variances.isfinite().all()):
        return math.inf
    moving = (squares > 0) | (variances > 0)
    if not moving.any():
        return 0.0
    return float((squares[moving] / variances[moving]).mean())
