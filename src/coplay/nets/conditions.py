"""What a network draws given: categories that samples may lack, and a hidden cluster beside them.

Levels have shape (n, conditions); the number of levels of a condition stands for "unknown".
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from coplay.core.errors import ModelError
from coplay.core.space import Samples, tensors
from coplay.nets import devices

_MOST = 4000  # combinations of categories whose frequencies are kept


class Conditions:
    """The joint frequencies of some categories, and of clusters within each combination of them.

    Args:
        levels: The number of levels of each category, by name.
        clusters: The number of hidden clusters; 0 without.

    Raises:
        ModelError: The categories have too many combinations.

    Example:
        >>> of = Conditions({"sex": 2, "site": 3})
        >>> of.combinations.shape, of.sizes
        (torch.Size([6, 2]), [2, 3])
        >>> of.shares[4, 0] = 1.0  # all that was learned from is of sex 1 and site 1
        >>> of.drawn(torch.tensor([[2, 1], [0, 3]]), torch.Generator())[0].tolist()
        [1, 1]
    """

    def __init__(self, levels: Mapping[str, int], clusters: int = 0) -> None:
        count = math.prod(levels.values())
        if count > _MOST:
            names = ", ".join(f"'{name}' ({n} levels)" for name, n in levels.items())
            raise ModelError(
                f"rectified_flow is conditional on all categories together, on at most {_MOST:,} "
                f"combinations; {names} have {count:,}. Leave some out of the player's variables"
            )
        self.levels = dict(levels)
        self.clusters = clusters
        axes = [torch.arange(n) for n in levels.values()]
        self.combinations = torch.zeros(1, 0, dtype=torch.int64)
        if axes:
            self.combinations = torch.cartesian_prod(*axes).reshape(count, len(axes))
        self.shares = torch.zeros(count, clusters + 1, dtype=torch.float64)
        """Of combination and cluster, the last for an unknown one; sum 1, or 0 before any."""

    @property
    def sizes(self) -> list[int]:
        """The number of levels of each condition of the network."""
        return [*self.levels.values(), *([self.clusters] if self.clusters else [])]

    def known(self, samples: Samples) -> Tensor:
        """Return the levels of the categories, shape (n, categories)."""
        place = next((values.device for values in tensors(samples).values()), None)
        known = torch.zeros(len(samples), len(self.levels), dtype=torch.int64, device=place)
        for i, (name, levels) in enumerate(self.levels.items()):
            known[:, i] = samples[name] if name in samples.keys() else levels
        return known

    def unknown(self, levels: Tensor) -> Tensor:
        """Which levels are unknown, of the shape of ``levels``."""
        return levels == torch.tensor(self.sizes[: levels.shape[1]]).to(levels.device)

    def agreeing(self, known: Tensor) -> Tensor:
        """Which combinations agree with what is known, shape (n, combinations)."""
        same = known[:, None] == self.combinations.to(known.device)
        return (same | self.unknown(known)[:, None]).all(2)

    def drawn(self, known: Tensor, generator: torch.Generator) -> Tensor:
        """Draw what is unknown given what is known, and clusters, in the frequencies learned.

        What was never learned together is drawn evenly, without a cluster.

        Returns:
            Levels of all conditions, shape (n, conditions).
        """
        agreeing = self.agreeing(known).cpu().double()
        shares = agreeing * self.shares.sum(1)
        shares = torch.where(shares.sum(1, keepdim=True) > 0, shares, agreeing)
        chosen = devices.classes(shares, 1, generator)[:, 0]
        levels = self.combinations[chosen]
        if not self.clusters:
            return levels.to(known.device)
        within = self.shares[chosen]
        within[within.sum(1) <= 0, -1] = 1.0
        clusters = devices.classes(within, 1, generator)
        return torch.cat([levels, clusters], 1).to(known.device)

    def completed(self, known: Tensor, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Draw what is unknown by a classifier's logits, shape (n, combinations)."""
        logits = logits.masked_fill(~self.agreeing(known), -math.inf)
        chosen = devices.classes(logits.softmax(1), 1, generator)[:, 0]
        return self.combinations.to(known.device)[chosen]

    def surprise(self, known: Tensor, logits: Tensor) -> Tensor:
        """−log of the probability that a classifier gives to what is known, shape (n,)."""
        agreeing = logits.masked_fill(~self.agreeing(known), -math.inf)
        return logits.logsumexp(1) - agreeing.logsumexp(1)

    def count(self, levels: Tensor, weight: float) -> None:
        """Add samples with these levels of all conditions to the shares, with a weight in all.

        Args:
            levels: Shape (n, conditions), nothing but clusters unknown.
            weight: Of all of them.
        """
        place = torch.zeros(len(levels), dtype=torch.int64)
        for i, size in enumerate(self.levels.values()):
            place = place * size + levels[:, i]
        cluster = levels[:, -1] if self.clusters else torch.zeros_like(place)
        flat = place * (self.clusters + 1) + cluster
        counts = flat.bincount(minlength=self.shares.numel()).reshape(self.shares.shape)
        self.shares += weight / len(levels) * counts
