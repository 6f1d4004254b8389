"""Every player learns from everybody's data: the ceiling, which only a simulation has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from coplay.games.isolated import Isolated


class Pooled(Isolated):
    """Each player's own kind of model on the union of all data; real sites cannot play this.

    Args:
        once: Train the first player's model alone: enough where all players have the same.

    Example:
        >>> Pooled.pools_data
        True
    """

    pools_data: ClassVar[bool] = True

    once: bool = Field(default=False)

    def players_of(self, players: Sequence[str]) -> Sequence[str]:
        """All of them, or the first."""
        return players[:1] if self.once else players

    def predict(self, players: Sequence[str], seed: int = 0) -> Tensor | None:
        """None: every player sees the union, in which sites count by their size."""
        return None
