"""The nearest shares."""

from __future__ import annotations

import torch
from torch import Tensor


def on_simplex(shares: Tensor) -> Tensor:
    """Return the nearest shares that are not negative and add up to 1 (Euclidean projection).

    Inside, it only spreads what is missing to 1 evenly, which is linear.

    Args:
        shares: Shape (K,).

    Example:
        >>> [round(x, 2) for x in on_simplex(torch.tensor([0.5, 0.7])).tolist()]
        [0.4, 0.6]
        >>> on_simplex(torch.tensor([-1.0, 0.5])).tolist()
        [0.0, 1.0]
    """
    falling = shares.sort(descending=True).values
    excess = (falling.cumsum(0) - 1) / torch.arange(1, len(shares) + 1)
    kept = int((falling > excess).sum())
    return (shares - excess[kept - 1]).clamp_min(0)
