"""What privacy costs: the error that noise of a budget leaves in the players' shares (V)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.theory import bands
from coplay.theory.noise import gaussian_noise, noise_anew, noise_once

EPSILONS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Budgets of which a plan tells the price."""

DELTA = 1e-5
"""The δ of these budgets."""


@dataclass(frozen=True)
class PrivacyCost:
    """The error of shares for one privacy budget.

    Every site puts Gaussian noise on the shares of its rows, as much as (ε, δ) differential privacy
    takes for one row that is replaced, which moves two shares by 1/n.

    Args:
        epsilon: ε.
        delta: δ.
        once: Half of the width in which 95 % of the noise in a share lies, one per player, if the
            noise is drawn once.
        anew: The same if it is drawn anew in every round and all rounds together spend ε.
        rounds: How many rounds these are.
    """

    epsilon: float
    delta: float
    once: Sequence[float]
    anew: Sequence[float]
    rounds: int


def privacy_costs(
    alpha: Tensor, counts: Sequence[int | None], rounds: int
) -> Sequence[PrivacyCost]:
    """Return what privacy costs for several budgets.

    Args:
        alpha: Weights, shape (N, N).
        counts: Rows of each site; None where it does not say.
        rounds: Rounds in which noise is drawn, where it is drawn anew.

    Returns:
        By falling noise; empty where a number of rows is not known or 0.

    Example:
        One site alone with 1,000 rows: noise of √2/1000 for every unit of (V1).

        >>> alone = torch.ones(1, 1)
        >>> round(privacy_costs(alone, [1000], 4)[2].once[0], 5)  # ε = 1
        0.01034
    """
    known = [count for count in counts if count]
    if len(known) < len(alpha):
        return []
    moved = 2**0.5 / torch.tensor(known, dtype=torch.float64)
    once = bands.NORMAL * noise_once(alpha, moved)
    anew = bands.NORMAL * noise_anew(alpha, moved) * rounds**0.5
    costs = []
    for epsilon in EPSILONS:
        noise = gaussian_noise(epsilon, DELTA)
        cost = PrivacyCost(epsilon, DELTA, (noise * once).tolist(), (noise * anew).tolist(), rounds)
        costs.append(cost)
    return costs
