"""Values of a variable that a condition allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Subset:
    """The values from ``low`` to ``high``, both included, or only those of a list.

    Args:
        low: Smallest value.
        high: Largest value.
        values: The only values, such as codes of categories; None for all between the ends.

    Example:
        >>> Subset(40, 60).holds(torch.tensor([39, 40, 60, 61])).tolist()
        [False, True, True, False]
        >>> Subset(values=(0, 2)).holds(torch.tensor([0, 1, 2])).tolist()
        [True, False, True]
        >>> Subset(high=0.3).holds(torch.tensor([0.3, float("nan")])).tolist()
        [True, False]
    """

    low: float = -math.inf
    high: float = math.inf
    values: tuple[float, ...] | None = None

    def holds(self, values: Tensor) -> Tensor:
        """Return which values are allowed, bool; a missing real one is not."""
        if self.values is not None:
            allowed = torch.zeros(values.shape, dtype=torch.bool)
            for value in self.values:
                allowed |= values == value
            return allowed
        low, high = self.ends(values.dtype)
        return (values >= low) & (values <= high)

    def ends(self, dtype: torch.dtype) -> tuple[float, float]:
        """Return the ends as values of a type hold them: 0.3 in 32 bits is a little more."""
        if dtype != torch.float32:
            return self.low, self.high
        low, high = torch.tensor([self.low, self.high], dtype=dtype).tolist()
        return min(self.low, low), max(self.high, high)
