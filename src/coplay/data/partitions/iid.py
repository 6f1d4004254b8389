"""Sites that are alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coplay.data.partitions.base import Deal, Partition, shuffled


class Iid(Partition):
    """All samples are shuffled and cut into equal parts.

    Example:
        >>> deal = Iid().deal(None, 7, ["a", "b"], torch.Generator())
        >>> len(deal["a"]), len(deal["b"])
        (4, 3)
    """

    def deal(
        self, labels: Tensor | None, n: int, players: Sequence[str], generator: torch.Generator
    ) -> Deal:
        """Cut a shuffled deck."""
        parts = shuffled(torch.arange(n), generator).tensor_split(len(players))
        return {name: part.sort().values for name, part in zip(players, parts, strict=True)}
