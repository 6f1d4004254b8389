"""What privacy costs: how noise in the sites' data ends up in the players' models (V).

Let site j's moments carry noise of covariance S_j. Drawn once, as where a stand-in takes the place
of data, the noise is part of the data, and by (A2) player i's equilibrium carries

    (V)  Σ_j M_ij² S_j.

Drawn anew in every round, noise averages over rounds: the covariance at rest solves
Σ = W Σ Wᵀ + Λ S Λ, which is smaller, at a privacy budget that grows with the rounds. The formula is
ours; ``docs/theory.md`` derives it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coplay.theory.bands import resting_covariance
from coplay.theory.equilibrium import influence_matrix


def noise_once(alpha: Tensor, deviations: Tensor) -> Tensor:
    """Return the standard deviation in the models of noise that was drawn once.

    Args:
        alpha: Weights, shape (N, N).
        deviations: Standard deviation of the noise in each site's moments, shape (N,) or (N, D).

    Returns:
        Of the same shape, float64.

    Example:
        >>> noise_once(torch.tensor([[0.5, 0.5], [0.5, 0.5]]), torch.tensor([3.0, 3.0]))
        tensor([2.2361, 2.2361], dtype=torch.float64)
    """
    return (influence_matrix(alpha).square() @ deviations.double().square()).sqrt()


def noise_anew(alpha: Tensor, deviations: Tensor) -> Tensor:
    """Return the standard deviation in the models, at rest, of noise drawn anew in every round.

    Args:
        alpha: Weights, shape (N, N).
        deviations: Standard deviation of the noise in each site's moments, shape (N,).

    Returns:
        Shape (N,), float64.

    Example:
        >>> noise_anew(torch.tensor([[0.5, 0.5], [0.5, 0.5]]), torch.tensor([3.0, 3.0]))
        tensor([1.7321, 1.7321], dtype=torch.float64)
    """
    influence_matrix(alpha)  # says what is wrong with weights
    own = alpha.double().diag()
    added = torch.diag((own * deviations.double()).square())
    covariance = resting_covariance(alpha.double() - torch.diag(own), added)
    return covariance.diag().sqrt()
