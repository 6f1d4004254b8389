"""All players in this process, one after the other: the default, and the oracle for every other engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field, PrivateAttr
from threadpoolctl import ThreadpoolController

from coplay.engines.base import Engine, answer_all
from coplay.games.base import Game
from coplay.message import Message, PlayerLost
from coplay.player import Player


class Local(Engine):
    """Play in one process.

    Args:
        threads: Threads that torch and scikit-learn use. Sums of floats depend on it, so it is part of the config and not
            taken from the machine: the same config gives the same bits on 2 and on 64 cores.
        keep_memory: Whether coplay's command line makes its process keep freed memory, which is faster; from Python call
            :func:`coplay.memory.keep_freed_memory` yourself.

    Example:
        >>> Local(threads=2)
        Local(threads=2, keep_memory=True)
    """

    threads: int = Field(default=1, ge=1)
    keep_memory: bool = True

    _players: dict[str, Player] = PrivateAttr(default_factory=dict)
    _game: Game | None = PrivateAttr(default=None)
    _controller: ThreadpoolController | None = PrivateAttr(default=None)
    _modules: int = PrivateAttr(default=0)
    _threads_before: int | None = PrivateAttr(default=None)

    def seat(self, players: Sequence[Player], game: Game) -> None:
        """Take the players; torch is set to ``threads`` until :meth:`close`."""
        self._players, self._game = {player.name: player for player in players}, game
        if self._threads_before is None:
            self._threads_before = torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def deliver(self, messages: Sequence[Message]) -> list[Message | PlayerLost]:
        """Answer message after message."""
        if self._game is None:
            raise RuntimeError("seat the players before asking them")
        with self._pools().limit(limits=self.threads):  # scikit-learn's OpenMP and BLAS have pools of their own
            return answer_all(self._game, [self._players[message.receiver] for message in messages], messages)

    def _pools(self) -> ThreadpoolController:
        """The thread pools of this process; looked for anew when a library may have come."""
        if self._controller is None or self._modules != len(sys.modules):
            self._controller, self._modules = ThreadpoolController(), len(sys.modules)
        return self._controller

    def close(self) -> None:
        """Let the players go and give torch its threads back."""
        self._players, self._game = {}, None
        if self._threads_before is not None:
            torch.set_num_threads(self._threads_before)
            self._threads_before = None

    @classmethod
    def tiny(cls) -> Self:
        """One thread."""
        return cls(threads=1)
