"""Correlations of a Gaussian behind columns of any kind, from rows that may lack values.

For scores s_a, s_b of two columns, functions of z_a and z_b of correlation ρ, Mehler's formula has

    corr(s_a, s_b) = Σ_k ρ^k c_ak c_bk

with the coefficients of the scores in Hermite polynomials. It grows with ρ, so the correlation of
the scores in rows that have both columns determines ρ. Of points this is their correlation, of two
bits the tetrachoric one. The matrix is shrunk towards independence as far as its errors call for,
and moved to one whose eigenvalues are positive.

References:
    A Shrinkage Approach to Large-Scale Covariance Matrix Estimation (J. Schäfer, K. Strimmer, 2005)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_HALVINGS = 40
_LEAST = 1e-4  # eigenvalue
_SWEEPS = 30
_TOLERANCE = 1e-7


def of_pairs(scores: Tensor, weights: Tensor, expansion: Tensor) -> tuple[Tensor, Tensor]:
    """Return ρ of all pairs, and the variance of its estimate; (D, D) each.

    Args:
        scores: Shape (n, D), NaN where a value is missing.
        weights: Mass of each row, shape (n,).
        expansion: Of the columns, shape (D, K).

    Returns:
        NaN for pairs that no row has, or where one of them never varies.
    """
    there = (~scores.isnan()).double()
    x = scores.nan_to_num()
    weighted = weights[:, None] * there
    mass = weighted.T @ there
    mean = (weights[:, None] * x).T @ there / mass  # of a where b is there, too
    square = (weights[:, None] * x.square()).T @ there / mass
    variance = (square - mean.square()).clamp_min(0)
    covariance = (weights[:, None] * x).T @ x / mass - mean * mean.T
    spread = (variance * variance.T).sqrt()
    r = torch.where(spread > 1e-12, covariance / spread, math.nan).clamp(-1, 1)
    rows = mass.square() / (weighted.square().T @ there)  # of equal weight, that say as much
    error = (1 - r.square()).square() / (rows - 1).clamp_min(1)
    return _inverted(r, expansion), error


def _inverted(r: Tensor, expansion: Tensor) -> Tensor:
    """Solve Σ_k ρ^k c_ak c_bk = r for ρ, by halving."""
    low, high = torch.full_like(r, -1.0), torch.full_like(r, 1.0)
    for _ in range(_HALVINGS):
        rho = (low + high) / 2
        value = torch.zeros_like(r)
        for c in reversed(expansion.unbind(1)):
            value = (value + c[:, None] * c) * rho
        low = torch.where(value < r, rho, low)
        high = torch.where(value < r, high, rho)
    rho = torch.where(r.isnan(), math.nan, (low + high) / 2)
    rho.fill_diagonal_(1.0)
    return rho


def shrinkage(rho: Tensor, error: Tensor) -> float:
    """Return by how much to shrink, in [0, 1]: Σ Var ρ / Σ ρ² over all pairs that are known.

    Example:
        >>> rho = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
        >>> round(shrinkage(rho, torch.full((2, 2), 0.0025)), 6)
        0.01
    """
    pairs = ~torch.eye(len(rho), dtype=torch.bool) & ~rho.isnan()
    total = rho[pairs].square().sum().item()
    if not total:
        return 0.0
    return min(1.0, error[pairs].sum().item() / total)


def completed(rho: Tensor) -> Tensor:
    """Fill pairs that are not known, and return a matrix with positive eigenvalues, (D, D).

    What nobody has together is taken to be independent given all other columns: of the matrices
    with the known entries, the result has the largest determinant.

    Args:
        rho: Shape (D, D), NaN where a pair is not known.

    Example:
        >>> nan = math.nan
        >>> rho = torch.tensor([[1.0, 0.8, nan], [0.8, 1.0, 0.5], [nan, 0.5, 1.0]]).double()
        >>> round(completed(rho)[0, 2].item(), 4)  # 0.8 · 0.5
        0.4
    """
    unknown = rho.isnan()
    matrix = torch.where(unknown, 0.0, rho)
    linked = (matrix - torch.eye(len(rho))).abs().sum(1) > 0
    # a column that is linked to nothing stays so
    pairs = (unknown & linked[:, None] & linked).triu(1).nonzero().tolist()
    for _ in range(_SWEEPS if pairs else 0):
        before = matrix
        matrix = _positive(matrix)
        for a, b in pairs:
            precision = torch.linalg.inv(matrix)[[[a], [b]], [a, b]]
            rest = torch.linalg.inv(precision)[0, 1]  # covariance given all others
            matrix[a, b] = matrix[b, a] = matrix[a, b] - rest
        matrix = torch.where(unknown, matrix, rho)
        if (matrix - before).abs().max() <= _TOLERANCE:
            break
    return _positive(matrix)


def _positive(matrix: Tensor) -> Tensor:
    """Return a correlation matrix whose eigenvalues are not too small for a Cholesky factor."""
    values, vectors = torch.linalg.eigh(matrix)
    if values[0] < _LEAST:
        matrix = (vectors * values.clamp_min(_LEAST)) @ vectors.T
    width = matrix.diagonal().sqrt()
    matrix = matrix / (width[:, None] * width)
    matrix = (matrix + matrix.T) / 2
    return matrix.fill_diagonal_(1.0)
