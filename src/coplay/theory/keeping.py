"""How much of its own data a site ends with, by its own weight alone.

Let site i divide what it gives to others in fixed proportions q, and let φ = Σ_j q_j F_ji, where
F_ji is the probability that the chain of the weights that starts at j meets i before it ends at own
data. Then

    M_ii = α_ii / (1 − (1 − α_ii) φ),        so that        α_ii = t (1 − φ) / (1 − t φ)

makes it t, for every t in (0, 1]: a site reaches any share of its own, whatever the weights of the
others, as long as some of them have data. (I − W)⁻¹_ii = 1 / (1 − (1 − α_ii) φ) gives φ. Where
several sites want a share, all own weights are solved for again until none moves: each only grows
with the others', and they begin too large, so they fall to the largest solution. The formula is
ours; φ is the probability of return in an absorbing Markov chain.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_MOST_TURNS = 3000
_STILL = 1e-14


def own_weights_for(alpha: Tensor, keeps: Mapping[int, float], least_own: float = 0.01) -> Tensor:
    """Return α in which some sites end with wanted shares of their own data.

    A site that listens to nobody is given even weights for all others. Where shares are too small
    to be had together (two sites cannot both end with less than half of their own), own weights go
    down to the least one, and :func:`coplay.theory.equilibrium.influence_matrix` says what is
    reached.

    Args:
        alpha: Weights, shape (N, N), positive own weights.
        keeps: Wanted M_ii in (0, 1], by position.
        least_own: Least own weight of these sites.

    Returns:
        Shape (N, N), float64; the rows of other sites are as they were.

    Example:
        >>> alpha = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
        >>> own_weights_for(alpha, {0: 2 / 3}).round(decimals=6)
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    changed = alpha.double().clone()
    n = len(changed)
    proportions = {}
    for i, share in keeps.items():
        others = changed[i].clone()
        others[i] = 0
        if not others.sum() and n > 1:
            others = torch.ones(n, dtype=torch.float64)
            others[i] = 0
        proportions[i] = others / others.sum().clamp(min=1e-300)
        changed[i] = _row(proportions[i], i, share if n > 1 else 1.0)
    for _ in range(_MOST_TURNS):
        own = changed.diag().clone()
        returns = torch.linalg.inv(torch.eye(n, dtype=torch.float64) - changed + own.diag()).diag()
        for i, share in keeps.items():
            if own[i] < 1:
                back = ((1 - 1 / returns[i]) / (1 - own[i])).item()
                wanted = share * (1 - back) / (1 - share * back) if back < 1 else share
                changed[i] = _row(proportions[i], i, max(wanted, least_own))
        if (changed.diag() - own).abs().max() <= _STILL:
            break
    return changed


def _row(proportions: Tensor, site: int, own: float) -> Tensor:
    """Return a row of weights with an own weight, the rest in proportions."""
    row = (1 - own) * proportions
    row[site] = own
    return row
