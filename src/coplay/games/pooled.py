"""Every player learns from the data of all: the ceiling, which only a simulation has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from coplay.games.isolated import Isolated


class Pooled(Isolated):
    """Each player's own kind of model on the union of all data; real sites cannot play this.

    A player gets its variables of all players' rows, also where it observes fewer itself, and where
    no player has them together.

    Example:
        >>> Pooled.pools_data
        True
    """

    pools_data: ClassVar[bool] = True

    def predict(self, players: Sequence[str], seed: int = 0) -> Tensor | None:
        """Return None: every player learns the union, in which sites count by their size."""
        return None

    def predicted_shares(self, players: Sequence[str], seed: int, shares: Tensor) -> Tensor | None:
        """Return None, as :meth:`predict` does."""
        return None
