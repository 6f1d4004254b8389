"""Every player learns from its own data alone: the floor of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from coplay.core.expected import Expected
from coplay.core.message import COORDINATOR, Message, Request
from coplay.games.base import LEARNED, Asker, Game, Row, State
from coplay.games.party import Party
from coplay.models.base import OWN
from coplay.player import Player


@dataclass(frozen=True)
class Turn(Request):
    """Take the local steps on your own data."""


class Isolated(Game[State]):
    """No exchange: α is the identity, and so is the prediction.

    Args:
        once: Train the first player's model alone, which is enough where all players are alike.

    Example:
        >>> Isolated(rounds=10).predict(["north", "south"])
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """

    requests: ClassVar[tuple[type[Request], ...]] = (Turn,)

    once: bool = Field(default=False)

    def players_of(self, players: Sequence[str]) -> Sequence[str]:
        """Return all of them, or the first with ``once``."""
        return players[:1] if self.once else players

    def predict(self, players: Sequence[str], seed: int = 0) -> Tensor | None:
        """Predict the identity: every site learns its own data alone."""
        return torch.eye(len(players), dtype=torch.float64)

    def predicted_shares(self, players: Sequence[str], seed: int, shares: Tensor) -> Tensor | None:
        """Return the shares of each site's own data."""
        return shares

    def start(self, players: Sequence[str], seed: int) -> State:
        """Return the initial state, which holds only the player names."""
        return State(tuple(players))

    def play(self, engine: Asker, state: State, round: int) -> tuple[State, Row]:
        """Let every player take its local steps."""
        asks = [Message(Turn(), COORDINATOR, name, round) for name in state.players]
        answers, lost = self.alive(engine.ask(asks))
        state, row = self.lose(state, lost)
        return state, Row.of(answers).merged(row)

    def serve(self, player: Player, message: Message) -> Message:
        """Learn from the player's own data."""
        return message.reply(player.learn({}, {OWN: 1.0}, self.local_steps, message.round))

    def expected_request(self, player: Player, message: Message) -> Expected:
        """Nothing comes along."""
        return Expected()

    def expected_reply(self, player: Party, ask: Message) -> Expected:
        """Only numbers come back, of the model's own."""
        return Expected(numbers=LEARNED)

    @classmethod
    def tiny(cls) -> Self:
        """Return a game of two rounds of one step."""
        return cls(rounds=2, local_steps=1)
