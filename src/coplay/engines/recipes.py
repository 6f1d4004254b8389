"""Players that are made where they play: by an engine, in a process of its own."""

from __future__ import annotations

from typing import Protocol

from coplay.player import Player


class Recipe(Protocol):
    """What it takes to make a player in the process that plays it, where its data are read.

    It can be pickled, for engines that send it to processes of their own, and holds no data.
    """

    @property
    def name(self) -> str:
        """The player's name."""
        ...

    @property
    def seed(self) -> int:
        """The run's seed."""
        ...

    def build(self) -> Player:
        """Read the data and make the player."""
        ...


def made(player: Player | Recipe) -> Player:
    """Return a player as it is, or make it."""
    return player if isinstance(player, Player) else player.build()
