"""The scores of one round of a game: by the coordinator, by the players, and what to mind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import scipy.sparse as sp

from coplay.core.message import COORDINATOR, PlayerLost
from coplay.core.space import Samples
from coplay.engines.base import Engine
from coplay.games.base import Game, State
from coplay.metrics.base import Value
from coplay.run import measuring_at_players
from coplay.run.caution import Caution
from coplay.run.copy_watch import CopyWatch
from coplay.run.measuring import Measuring
from coplay.run.sites import Seats

Measured = dict[str, dict[str, Value]]
"""Values by player and quantity."""


@dataclass
class Scoring:
    """Scores the samples of one game.

    Args:
        game: The rules.
        seats: Everybody who takes part.
        measuring: What is measured, and against what.
        engine: Where the players are.
        cautions: What a reader of the last measurement must know, by player.
    """

    game: Game[State]
    seats: Seats
    measuring: Measuring
    engine: Engine
    cautions: dict[str, Caution] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._watch = CopyWatch(self.seats, self.measuring.real)

    def scores(
        self,
        received: Mapping[str, Mapping[str, Samples]],
        predicted: Mapping[str, Sequence[float]],
    ) -> Measured:
        """Return what the coordinator can score, and note what a reader must know.

        Args:
            received: What each player sent to be measured.
            predicted: Class shares that theory predicts, by player.
        """
        scores = {}
        for name, parts in received.items():
            private = self.seats.learned_from.get(name)
            scores[name], unmeasured = self.measuring.scores(parts, predicted.get(name), private)
            caution = Caution(unmeasured)
            if self.measuring.chosen:
                caution = self._watch.noted(caution, parts[COORDINATOR], name)
            if caution:
                self.cautions[name] = caution
        return scores

    def ask_players(
        self, names: Sequence[str], measured: Measured, round: int
    ) -> Sequence[PlayerLost]:
        """Add what players measure on rows of their own, and say what they keep to themselves.

        What the coordinator could measure is not asked for again.

        Args:
            names: Whose samples are measured.
            measured: What was measured so far; it is added to.
            round: Current round.
        """
        facts = self.seats.facts
        chosen = self.measuring.chosen if self.measuring.reference is None else ()
        metrics = measuring_at_players.of_players(chosen)
        target = measuring_at_players.target_of(self.measuring.chosen)
        settings = self.measuring.settings
        asks = measuring_at_players.asks(settings, chosen, target, facts, names, round)
        if not asks:
            return ()
        answers, lost = self.game.alive(self.engine.ask(asks, purpose="evaluation"))
        for answer in answers:
            values = measuring_at_players.told(answer.numbers)
            measured.setdefault(answer.sender, {}).update(values)
            player = facts[answer.sender]
            kept = measuring_at_players.not_told(metrics, values, player, target)
            caution = self.cautions.get(answer.sender, Caution())
            caution = replace(caution, unmeasured={**caution.unmeasured, **kept})
            if caution:
                self.cautions[answer.sender] = caution
        return lost

    def gains(
        self,
        alpha: sp.csr_matrix,
        players: Sequence[str],
        drawn: Mapping[str, Samples],
        measured: Measured,
        round: int,
    ) -> Sequence[PlayerLost]:
        """Add each player's part of the Nash gap to what was measured (A3).

        Args:
            alpha: Weights of the players, by their edges.
            players: The living players.
            drawn: Samples by player.
            measured: What was measured so far; it is added to.
            round: Current round.
        """
        asks = self.measuring.gains(alpha, players, drawn, round)
        answers, lost = self.game.alive(self.engine.ask(asks, purpose="evaluation"))
        for answer in answers:
            if answer.numbers:  # a player without log p has none
                gain = self.measuring.gain(answer.numbers)
                measured.setdefault(answer.sender, {})["nash_gap"] = gain
        return lost
