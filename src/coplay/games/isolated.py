"""Every player learns from its own data alone: the floor of every comparison."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from coplay.core.message import COORDINATOR, Message
from coplay.games.base import Asker, Game, Row, State
from coplay.models.base import OWN
from coplay.player import Player


class Isolated(Game):
    """No exchange: α is the identity, and so is the prediction.

    Args:
        once: Train the first player's model alone: enough where all players are alike.

    Example:
        >>> Isolated(rounds=10).predict(["north", "south"])
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """

    once: bool = Field(default=False)

    def players_of(self, players: Sequence[str]) -> Sequence[str]:
        """All of them, or the first."""
        return players[:1] if self.once else players

    def predict(self, players: Sequence[str], seed: int = 0) -> Tensor | None:
        """Every site keeps to itself."""
        return torch.eye(len(players), dtype=torch.float64)

    def start(self, players: Sequence[str], seed: int) -> State:
        """Nothing but the names."""
        return State(tuple(players))

    def play(self, engine: Asker, state: State, round: int) -> tuple[State, Row]:
        """Everybody takes its local steps."""
        asks = [Message("turn", COORDINATOR, name, round, {"steps": self.local_steps}) for name in state.players]
        answers, lost = self.alive(engine.ask(asks))
        state, row = self.lose(state, lost)
        return state, {"players": {answer.sender: dict(answer.numbers) for answer in answers}} | row

    def serve(self, player: Player, message: Message) -> Message:
        """Learn from the own data."""
        begin = time.perf_counter()
        numbers = player.learn({}, {OWN: 1.0}, int(message.numbers["steps"]), message.round)
        return message.reply(numbers | {"seconds_learning": time.perf_counter() - begin})

    @classmethod
    def tiny(cls) -> Self:
        """Two rounds of one step."""
        return cls(rounds=2, local_steps=1)
