"""Sites whose class shares differ, more or less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from coplay.core.streams import numpy_stream, unbiased_counts
from coplay.data.partitions.base import Deal, Partition, need_labels, shuffled


class Dirichlet(Partition):
    """Each class is split in proportions drawn from a symmetric Dirichlet distribution.

    Args:
        concentration: Above 0; small values give each class to few players, large ones make the
            players alike.

    Example:
        >>> labels = torch.arange(100) % 2
        >>> generator = torch.Generator().manual_seed(1)
        >>> deal = Dirichlet(concentration=1.0).deal(labels, 100, ["a", "b", "c"], generator)
        >>> sum(len(part) for part in deal.values())
        100

    References:
        Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification
        (T.-M. H. Hsu, H. Qi, M. Brown, 2019), arXiv:1909.06335.
    """

    concentration: float = Field(default=0.5, gt=0, allow_inf_nan=False)

    def deal(
        self, labels: Tensor | None, n: int, players: Sequence[str], generator: torch.Generator
    ) -> Deal:
        """Draw proportions class after class."""
        labels = need_labels(labels, "dirichlet")
        hands: dict[str, list[Tensor]] = {name: [] for name in players}
        rng = numpy_stream(generator)
        for c in labels.unique().tolist():
            cards = shuffled((labels == c).nonzero().flatten(), generator)
            shares = torch.from_numpy(rng.dirichlet([self.concentration] * len(players)))
            counts = unbiased_counts(shares, len(cards), generator)
            for name, hand in zip(players, cards.split(counts), strict=True):
                hands[name].append(hand)
        return {name: torch.cat(hand).sort().values for name, hand in hands.items()}

    @classmethod
    def tiny(cls) -> Self:
        """Return a partition that is nearly even."""
        return cls(concentration=100.0)
