"""All players in this process, one after the other: the default, and the oracle of all engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field, PrivateAttr

from coplay.core.facts import Facts
from coplay.core.message import Message, PlayerLost
from coplay.core.streams import single_pools
from coplay.engines.base import Engine, answer_all, grouped, spare
from coplay.engines.recipes import Recipe, made
from coplay.games.base import Game
from coplay.player import Player


class Local(Engine):
    """Play in one process.

    Args:
        threads: Threads that torch and scikit-learn use. Sums of floats depend on it, so it is part
            of the config and not taken from the machine: the same config gives the same bits on 2
            and on 64 cores.
        keep_memory: Whether coplay's command line makes its process keep freed memory, which is
            faster; from Python call :func:`coplay.core.memory.keep_freed_memory` yourself.
        groups: Number of groups of players; those of one group may be served together, and sums of
            floats depend on it. As many groups as another engine's processes give that engine's
            bits.
        games_at_once: Most games of a run that play at the same time, each in a process of its own;
            0 for as many as are soonest done. No bit depends on it. On Linux, with one thread and
            without a GPU; otherwise games play one after the other.

    Example:
        >>> Local(threads=2)
        Local(threads=2, keep_memory=True, groups=1, games_at_once=0)
    """

    threads: int = Field(default=1, ge=1)
    keep_memory: bool = True
    groups: int = Field(default=1, ge=1)
    games_at_once: int = Field(default=0, ge=0)

    _players: dict[str, Player] = PrivateAttr(default_factory=dict)
    _groups: list[set[str]] = PrivateAttr(default_factory=list)
    _threads_before: int | None = PrivateAttr(default=None)

    def start(self, players: Sequence[Player | Recipe], game: Game) -> None:
        """Start with these players; torch uses ``threads`` threads until :meth:`close`."""
        self._players = {player.name: made(player) for player in players}
        self.seat(list(self._players.values()), game)
        self._groups = [set(names) for names in grouped(list(self._players), self.groups)]
        if self._threads_before is None:
            self._threads_before = torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def deliver(self, messages: Sequence[Message], purpose: str) -> list[Message | PlayerLost]:
        """Let one group of players answer after the other."""
        if self._game is None:
            raise RuntimeError("start the engine before asking players")
        answers: dict[int, Message | PlayerLost] = {}
        with single_pools(self.threads):
            for group in self._groups:
                places = [i for i, message in enumerate(messages) if message.receiver in group]
                if not places:
                    continue
                of_group = [messages[i] for i in places]
                players = [self._players[message.receiver] for message in of_group]
                replies = answer_all(self._game, players, of_group)
                answers |= dict(zip(places, replies, strict=True))
        return [answers[i] for i in range(len(messages))]

    def describe(self) -> dict[str, Facts]:
        """Return what each player says of itself."""
        return {name: player.facts() for name, player in self._players.items()}

    def notes(self, players: int) -> Sequence[str]:
        """Say so if there are more groups than players, or games cannot play at the same time."""
        notes = spare("groups", self.groups, players)
        if self.games_at_once > 1 and self.threads > 1:
            setting = f"engine.games_at_once = {self.games_at_once}"
            reason = f"with engine.threads = {self.threads} games play one after the other"
            notes += (f"{setting}, but {reason}",)
        return notes

    def close(self) -> None:
        """Release the players and give torch its threads back."""
        super().close()
        self._players = {}
        if self._threads_before is not None:
            torch.set_num_threads(self._threads_before)
            self._threads_before = None

    @classmethod
    def tiny(cls) -> Self:
        """Return an engine with one thread."""
        return cls(threads=1)
