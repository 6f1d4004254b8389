"""What privacy costs: how noise in the sites' data ends up in the players' models (V).

Let site j's moments carry noise of covariance S_j. Drawn once, as where a stand-in takes the place
of data, the noise is part of the data, and by (A2) player i's equilibrium carries

    (V)  Σ_j M_ij² S_j.

Drawn anew in every round, noise averages over rounds: the covariance at rest solves
Σ = W Σ Wᵀ + Λ S Λ, which is smaller, at a privacy budget that grows with the rounds. The formula is
ours; ``docs/theory.md`` derives it.

How much noise a privacy budget takes is exact for Gaussian noise: with Φ the normal distribution,
noise of standard deviation s, for a number that one row changes by at most 1, is (ε, δ) private iff

    (V1)  Φ(1/2s − εs) − e^ε Φ(−1/2s − εs) ≤ δ,

and drawn anew in T rounds, noise of s√T in each spends what noise of s spends once.

References:
    Improving the Gaussian mechanism for differential privacy: analytical calibration and optimal
    denoising (B. Balle, Y.-X. Wang, ICML 2018).
    Gaussian differential privacy (J. Dong, A. Roth, W. Su, Journal of the Royal Statistical Society
    B 2022): composition.
"""

from __future__ import annotations

import math

import torch
from scipy.optimize import brentq
from scipy.special import log_ndtr
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


def gaussian_noise(epsilon: float, delta: float) -> float:
    """Return the least standard deviation of noise that is (ε, δ) private (V1).

    Args:
        epsilon: ε, above 0.
        delta: δ, in (0, 1).

    Returns:
        For a number that one row changes by at most 1; in proportion for others.

    Raises:
        ValueError: ε or δ is out of its range.

    Example:
        >>> round(gaussian_noise(1.0, 1e-5), 4)
        3.7306
    """
    if not (0 < epsilon < math.inf and 0 < delta < 1):
        raise ValueError(
            f"expected epsilon above 0 and delta between 0 and 1, got {epsilon:g} and {delta:g}"
        )

    def excess(log_deviation: float) -> float:
        return spent_delta(epsilon, math.exp(log_deviation)) - delta

    # δ falls as noise grows, from 1 to 0
    return math.exp(brentq(excess, math.log(1e-9), math.log(1e12), xtol=1e-14))


def spent_delta(epsilon: float, deviation: float) -> float:
    """Return the least δ for which noise of a standard deviation is (ε, δ) private (V1).

    Args:
        epsilon: ε, at least 0.
        deviation: s, above 0, for a number that one row changes by at most 1.

    Example:
        >>> round(spent_delta(0.0, 0.5), 4)  # the total variation of two normals 2 s apart
        0.6827
    """
    half = 1 / (2 * deviation)
    shift = epsilon * deviation
    first = math.exp(log_ndtr(half - shift))
    return first - math.exp(epsilon + log_ndtr(-half - shift))
