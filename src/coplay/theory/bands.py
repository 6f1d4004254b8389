"""How far chance alone moves the shares of a run around what theory predicts (B).

With n samples a round, of which i asks n α_ij of j, the shares of a class follow

    x' = W x + Λ μ + noise,      D_ii = Σ_{j≠i} α_ij m_j (1 − m_j) / n,

where m = M μ are the shares at the equilibrium. A player's own data are the same in every round, so
they add nothing. The covariance at rest solves the discrete Lyapunov equation

    (B)  Σ = W Σ Wᵀ + D

by the doubling of R. Smith, *Matrix equation XA + BX = C* (SIAM Journal on Applied Mathematics
1968). The equation of the game is ours; ``docs/theory.md`` derives it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from coplay.core.errors import EquilibriumError
from coplay.theory.equilibrium import influence_matrix, reaches_data
from coplay.theory.weights import by_edges

NORMAL = 1.959963984540054
"""Half the width of a band of 95 % in standard deviations."""

_MOST_DOUBLINGS = 60
_NEGLIGIBLE = 1e-5
_MOST_ROWS = 100_000


def resting_covariance(w: Tensor, noise: Tensor) -> Tensor:
    """Solve Σ = W Σ Wᵀ + D.

    Args:
        w: W, shape (N, N), spectral radius below 1.
        noise: D, covariances of what every round adds, shape (…, N, N).

    Returns:
        Shape (…, N, N), float64.

    Raises:
        EquilibriumError: What a round adds does not die out.

    Example:
        >>> resting_covariance(torch.tensor([[0.5]]), torch.tensor([[3.0]]))
        tensor([[4.]], dtype=torch.float64)
    """
    power = w.double()
    total = noise.double()
    for _ in range(_MOST_DOUBLINGS):  # total is the sum of the first 2^k terms
        added = power @ total @ power.mT
        total = total + added
        if added.abs().max() <= 1e-15 * total.abs().max():
            return total
        power = power @ power
    raise EquilibriumError("what a round adds does not die out: no path leads to own data")


def drawing_variance(alpha: Tensor, shares: Tensor, samples: float) -> Tensor:
    """Return the variance that drawing adds to shares in every round: D_ii.

    Args:
        alpha: Weights, shape (N, N).
        shares: m, what the senders draw, shape (N, C), each in [0, 1].
        samples: n, samples a round.

    Returns:
        Shape (N, C), float64.
    """
    others = alpha.double() - torch.diag(alpha.double().diag())
    drawn = shares.double()
    return others @ (drawn * (1 - drawn)) / samples


def share_deviations(alpha: Tensor, data: Tensor, samples: float) -> Tensor:
    """Return the standard deviation at rest of every player's share of every class (B).

    Args:
        alpha: Weights, shape (N, N).
        data: Class shares of the sites' data, shape (N, C).
        samples: n, samples a round.

    Returns:
        Shape (N, C), float64.

    Raises:
        EquilibriumError: The weights are faulty or have no unique equilibrium.

    Example:
        Two players, own weight 1/2, disjoint classes: m = (2/3, 1/3), D = 1/9n, and Σ_ii = D / (1 −
        1/4).

        >>> alpha = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
        >>> deviations = share_deviations(alpha, torch.tensor([[1.0], [0.0]]), 400)
        >>> (deviations**2 * 400 * 9 * 3 / 4).round(decimals=9).flatten().tolist()
        [1.0, 1.0]
    """
    shares = influence_matrix(alpha) @ data.double()
    variance = drawing_variance(alpha, shares.clamp(0, 1), samples)
    w = alpha.double() - torch.diag(alpha.double().diag())
    covariance = resting_covariance(w, torch.diag_embed(variance.T))
    return covariance.diagonal(dim1=-2, dim2=-1).T.sqrt()


def deviations_of(
    alpha: Tensor | sp.csr_matrix, player: int, shares: np.ndarray, samples: float
) -> np.ndarray:
    """Return the standard deviation at rest of one player's shares, at the cost of the edges.

    Σ_ii = Σ_t Σ_j (Wᵗ)²_ij D_jj, of which only row i of every power is formed.

    Args:
        alpha: Weights, N × N.
        player: i, a position.
        shares: m, the shares of all players at the equilibrium, shape (N, C).
        samples: n, samples a round.

    Returns:
        Shape (C,), to about six digits.

    Raises:
        EquilibriumError: The weights have no unique equilibrium, or forget very slowly.

    Example:
        >>> alpha = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
        >>> float(deviations_of(alpha, 0, np.array([[2 / 3], [1 / 3]]), 400)[0].round(6))
        0.019245
    """
    edges = by_edges(alpha) if isinstance(alpha, Tensor) else alpha
    if not all(reaches_data(edges)):
        raise EquilibriumError("some player hears nobody with data, so that nothing rests")
    others = cast(Any, edges - sp.diags(edges.diagonal())).tocsr()
    variance = others @ (shares * (1 - shares)) / samples
    backwards = others.T.tocsr()
    row = np.zeros(edges.shape[0])
    row[player] = 1
    total = np.zeros(shares.shape[1])
    # what is left after row t is of the order of its square, beside the 1 of row 0
    for _ in range(_MOST_ROWS):
        if row.sum() <= _NEGLIGIBLE:
            return np.sqrt(total)
        total += np.square(row) @ variance
        row = backwards @ row
    raise EquilibriumError(
        f"after {_MOST_ROWS:,} rounds the player still has some of what it began with, so that its "
        "shares do not rest"
    )


def band_width(deviation: Tensor, share: Tensor, samples: int, slope: float = 1.0) -> Tensor:
    """Return half the width of the band of 95 % of a share that is measured on samples.

    Args:
        deviation: Standard deviation of the share at rest, any shape.
        share: The predicted share.
        samples: Samples that it is measured on.
        slope: How much the error of a raw share grows where it is corrected for confusions.

    Example:
        >>> band_width(torch.tensor(0.03), torch.tensor(0.5), 2000).round(decimals=4).item()
        0.0627...
    """
    counted = slope**2 * share * (1 - share) / samples
    return NORMAL * (deviation.square() + counted).sqrt()
