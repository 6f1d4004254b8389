"""Weights by design: which weights give every site the mixture that it wants (D).

Given the mixture M that every site shall end with, (A2) is solved for the weights:

    (D)  W = I − Λ M⁻¹,   α_ii = 1 / (M⁻¹)_ii,   α_ij = −(M⁻¹)_ij / (M⁻¹)_ii   (j ≠ i)

The rows of α sum to 1 of themselves. No entry is negative iff M⁻¹ has no positive entry off its
diagonal. A mixture that no weights reach gets those weights whose M is nearest to it
(:mod:`coplay.theory.nearest`). The formula is ours; ``docs/theory.md`` derives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.errors import EquilibriumError
from coplay.theory.equilibrium import influence_matrix
from coplay.theory.nearest import STARTS, nearest_weights

_ROW_SUM_TOLERANCE = 1e-6
_ROUNDING = 1e-9  # entries of α nearer to 0 than this are rounding errors of an inverse


@dataclass(frozen=True)
class Design:
    """Weights, and how near they come to the mixtures that were wanted.

    Args:
        alpha: The weights, shape (N, N), float64.
        reached: Their influence matrix, shape (N, N): the mixtures that sites end with.
        exact: Whether these are the wanted ones.
        distance: Root of the sum of squares of what is between the two; ½ Σ|…| of a row, the total
            variation, is at most √N/2 times as large.
        optimality: How far the weights are from a place where no small change comes nearer: the
            largest step of projected gradient descent; 0 where the mixtures are exact.
        starts: How many beginnings were tried.
    """

    alpha: Tensor
    reached: Tensor
    exact: bool
    distance: float
    optimality: float
    starts: int


def weights_for(target: Tensor) -> Tensor:
    """Return the only α whose influence matrix is a given one (D), entries of any sign.

    Where an entry is negative, no weights have this influence matrix. The way back and forth loses
    digits as own weights become small: it is exact to 1e-10 for own weights from 0.01.

    Args:
        target: M, shape (N, N), rows sum to 1.

    Returns:
        Shape (N, N), float64, rows sum to 1.

    Raises:
        EquilibriumError: M has no inverse, or one with a 0 on the diagonal.

    Example:
        >>> weights_for(torch.tensor([[2 / 3, 1 / 3], [1 / 3, 2 / 3]])).round(decimals=6)
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    inverse, info = torch.linalg.inv_ex(target.double())
    own = inverse.diag()
    if info.item() or not inverse.isfinite().all() or (own == 0).any():
        raise EquilibriumError(
            "the wanted mixtures have no inverse: two sites want the same, or one wants a mean of "
            "others'; only a limit of own weights of 0 would reach them"
        )
    alpha = -inverse / own[:, None]
    alpha.diagonal().copy_(1 / own)
    return alpha


def common_mixture(share: float, mixture: Tensor) -> Tensor:
    """Return the M of "everybody keeps a share of its own, the rest is one common mixture".

    M = t I + (1 − t) 1 pᵀ, which positive weights reach for every t > 0.

    Args:
        share: t, in (0, 1].
        mixture: p, shape (N,), sums to 1.

    Example:
        >>> common_mixture(0.5, torch.tensor([0.5, 0.5])).tolist()
        [[0.75, 0.25], [0.25, 0.75]]
    """
    p = mixture.double()
    return share * torch.eye(len(p), dtype=torch.float64) + (1 - share) * p.expand(len(p), -1)


def design(
    target: Tensor,
    *,
    least_own: float = 0.01,
    links: Tensor | None = None,
    starts: int = STARTS,
    seed: int = 0,
) -> Design:
    """Return weights whose mixtures are the wanted ones, or nearest to them.

    Args:
        target: M, shape (N, N), rows sum to 1 and are not negative.
        least_own: Least α_ii, in (0, 1].
        links: Which site may listen to which, shape (N, N), bool; everybody by default.
        starts: How many beginnings are tried where no weights are exact.
        seed: Decides the beginnings.

    Raises:
        EquilibriumError: The target is no set of mixtures, or no weights are allowed; all faults.

    Example:
        >>> wanted = common_mixture(0.2, torch.tensor([0.5, 0.5]))
        >>> design(wanted).alpha.round(decimals=4)
        tensor([[0.3333, 0.6667],
                [0.6667, 0.3333]], dtype=torch.float64)
    """
    faults = target_faults(target, least_own)
    if faults:
        raise EquilibriumError("; ".join(faults))
    wanted = target.double()
    allowed = torch.ones_like(wanted, dtype=torch.bool) if links is None else links.bool().clone()
    allowed.fill_diagonal_(True)
    alpha = _exact(wanted, least_own, allowed)
    if alpha is not None:
        reached = influence_matrix(alpha)
        return Design(alpha, reached, True, _distance(reached, wanted), 0.0, 0)
    alpha, optimality = nearest_weights(wanted, least_own, allowed, starts, seed)
    reached = influence_matrix(alpha)
    return Design(alpha, reached, False, _distance(reached, wanted), optimality, starts)


def target_faults(target: Tensor, least_own: float) -> list[str]:
    """List what is wrong with wanted mixtures and a least own weight, one sentence each."""
    if target.ndim != 2 or target.shape[0] != target.shape[1]:
        return [f"expected one mixture of all sites per site, got shape {tuple(target.shape)}"]
    faults = []
    if not 0 < least_own <= 1:
        faults.append(
            f"expected a least own weight above 0 and at most 1, got {least_own:g}: with own "
            "weight 0 a site's data reach nobody, itself included"
        )
    for place, row in enumerate(target.double()):
        total = row.sum().item()
        if not row.isfinite().all() or (row < 0).any():
            faults.append(f"row {place} has a negative or non-finite share: {row.tolist()}")
        elif abs(total - 1) > _ROW_SUM_TOLERANCE:
            faults.append(f"row {place} sums to {total:.6g}, expected 1")
    return faults


def _exact(wanted: Tensor, least_own: float, allowed: Tensor) -> Tensor | None:
    """Return the weights that reach what is wanted; None where none that are allowed do."""
    try:
        alpha = weights_for(wanted)
    except EquilibriumError:
        return None
    if (alpha < -_ROUNDING).any() or (alpha.diag() < least_own - _ROUNDING).any():
        return None
    if (alpha[~allowed].abs() > _ROUNDING).any():
        return None
    alpha = torch.where(allowed & (alpha > _ROUNDING), alpha, 0.0)
    alpha = alpha / alpha.sum(1, keepdim=True)
    # a matrix that is nearly singular is inverted with few digits
    return alpha if _distance(influence_matrix(alpha), wanted) <= 1e-8 else None


def _distance(reached: Tensor, wanted: Tensor) -> float:
    return (reached - wanted).norm().item()
