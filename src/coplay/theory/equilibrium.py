"""The theory of the cooperative game: its equilibrium, computed before any model is trained.

Players i = 1 … N weigh sources with α (N×N, rows sum to 1); W is α with a zero diagonal,
Λ = diag(α_ii). Equation numbers (A1)–(A3) are those of ``docs/theory.md``, which follows the paper:

    (A1)  U_i(θ) = α_ii E_{π_i}[log p_θi] + Σ_{j≠i} α_ij E_{p_θj}[log p_θi]
    (A2)  μ* = (I − W)⁻¹ Λ φ̄ = M φ̄
    (A3)  p_i = Σ_j M_ij π_j

References:
    Game-theoretic distributed learning of generative models for heterogeneous data collections
    (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from coplay.core.errors import EquilibriumError
from coplay.theory.elimination import eliminated, is_ill
from coplay.theory.sparse import ROW_SUM_TOLERANCE, moments_by_edges

# The functions for many players; callers take all of the theory from this module.
from coplay.theory.sparse import Solution as Solution
from coplay.theory.sparse import influence_rows as influence_rows
from coplay.theory.sparse import reaches_data as reaches_data
from coplay.theory.sparse import solve_sparse as solve_sparse
from coplay.theory.weights import by_edges, row_of_each, row_sums

_LISTED = 12  # players that a fault lists by name


class Family(Protocol):
    """What the theory needs of an exponential family; shapes (…, D)."""

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """Return ⟨θ(μ), t⟩ − A(θ(μ)) in nats, shape (…).

        It is the utility (A1) of moments μ for a mixture with moments t.
        """
        ...

    def mean(self, natural: Tensor) -> Tensor:
        """Return the moments μ(θ) = ∇A(θ)."""
        ...


# ----------------------------------------------------------------------------------------- weights


def weight_faults(alpha: Tensor | sp.csr_matrix, names: Sequence[str] | None = None) -> list[str]:
    """List everything that is wrong with a weight matrix, one sentence each.

    Args:
        alpha: Weights, shape (N, N), dense or by its edges (:mod:`coplay.theory.weights`).
        names: Names of the players for the sentences; their positions by default.

    Example:
        >>> weight_faults(torch.tensor([[0.5, 0.6], [0.0, 1.0]]), ["north", "south"])
        ["row of 'north' sums to 1.1, expected 1"]
    """
    shape = tuple(alpha.shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        return [f"expected a square matrix, got shape {shape}"]
    n = shape[0]
    names = names or [str(i) for i in range(n)]
    if len(names) != n:
        return [f"expected one row per player ({len(names)}), got {n}"]
    edges = by_edges(alpha) if isinstance(alpha, Tensor) else alpha
    faults = []
    wrong = ~np.isfinite(edges.data) | (edges.data < 0)
    of_wrong_sign = set(row_of_each(edges)[wrong].tolist())
    with np.errstate(invalid="ignore"):
        sums = row_sums(edges)
        uneven = np.flatnonzero(~(np.abs(sums - 1) <= ROW_SUM_TOLERANCE)).tolist()
    for i in sorted(of_wrong_sign | set(uneven)):
        if i in of_wrong_sign:
            row = edges[[i]].toarray()[0].tolist()
            faults.append(f"row of '{names[i]}' has a negative or non-finite weight: {row}")
        else:
            faults.append(f"row of '{names[i]}' sums to {sums[i]:.6g}, expected 1")
    # paths mean something only between rows that are right
    if faults:
        return faults
    reached = zip(names, reaches_data(edges), strict=True)
    without_path = [repr(name) for name, has_path in reached if not has_path]
    if not without_path:
        return []
    listed = ", ".join(without_path[:_LISTED])
    if len(without_path) > _LISTED:
        listed += f" and {len(without_path) - _LISTED:,} more"
    return [
        f"no path of positive weights leads from {listed} to a player with own "
        "weight > 0, so there is no unique equilibrium; give one of them, or a player they listen "
        "to, a positive own weight"
    ]


def spectral_radius(alpha: Tensor) -> float:
    """Return ρ(W), the asymptotic rate at which simultaneous best response contracts.

    Args:
        alpha: Weights, shape (N, N).

    Example:
        >>> round(spectral_radius(torch.tensor([[0.3, 0.7], [0.7, 0.3]])), 6)
        0.7
    """
    return torch.linalg.eigvals(_others(alpha)).abs().max().item()


# ------------------------------------------------------------------------------------- equilibrium


def influence_matrix(alpha: Tensor) -> Tensor:
    """Compute M = (I − W)⁻¹ Λ (A2).

    M_ij is the share of site j's data in player i's equilibrium model.

    Args:
        alpha: Weights, shape (N, N).

    Returns:
        Shape (N, N), float64, rows sum to 1.

    Raises:
        EquilibriumError: The weights are faulty or have no unique equilibrium.

    Example:
        Two players with own weight 0.3: the other's share is (1−α)/(2−α).

        >>> influence_matrix(torch.tensor([[0.3, 0.7], [0.7, 0.3]]))
        tensor([[0.5882, 0.4118],
                [0.4118, 0.5882]], dtype=torch.float64)
    """
    faults = weight_faults(alpha)
    if faults:
        raise EquilibriumError("; ".join(faults))
    own = alpha.double().diag()
    w = _others(alpha)
    system = torch.eye(len(alpha), dtype=torch.float64) - w

    def solve(right: np.ndarray) -> np.ndarray:
        return torch.linalg.solve(system, torch.from_numpy(right)).numpy()

    if is_ill(own.numpy(), solve):
        return torch.from_numpy(eliminated(w.numpy(), own.numpy(), torch.diag(own).numpy()))
    return torch.linalg.solve(system, torch.diag(own))


def equilibrium_moments(alpha: Tensor | sp.csr_matrix, own: Tensor) -> Tensor:
    """Apply M to one row per site: μ* = M φ̄ (A2), or the predicted mixtures Σ_j M_ij c_j (A3).

    Args:
        alpha: Weights, shape (N, N); by their edges, M is never formed.
        own: Means over each site's data, shape (N, D): moments φ̄_i, or class shares c_i.

    Returns:
        Shape (N, D), float64.

    Example:
        >>> alpha = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
        >>> equilibrium_moments(alpha, torch.tensor([[0.0], [3.0]]))
        tensor([[1.],
                [2.]], dtype=torch.float64)
    """
    if isinstance(alpha, Tensor):
        return influence_matrix(alpha) @ own.double()
    return moments_by_edges(alpha, own)


def best_response(alpha: Tensor, own: Tensor, moments: Tensor) -> Tensor:
    """Return every player's best response to the last moves: α_ii φ̄_i + Σ_{j≠i} α_ij μ_j.

    Args:
        alpha: Weights, shape (N, N).
        own: φ̄, shape (N, D).
        moments: μ, the moments of the last moves, shape (N, D).

    Returns:
        Moments of the best responses, shape (N, D), float64.
    """
    return alpha.double().diag()[:, None] * own.double() + _others(alpha) @ moments.double()


def rounds_needed(alpha: Tensor, error: float, start: float = 1.0) -> int:
    """Return a number of rounds of best response that certainly brings the error below ``error``.

    It is the smallest t with ‖Wᵗ‖_∞ · start ≤ error. As ‖Wᵗ‖_∞ is the largest row sum, it never
    grows, and it falls like ρ(W)ᵗ.

    Args:
        alpha: Weights, shape (N, N).
        error: Wanted bound on the largest deviation of any moment from the equilibrium.
        start: The same deviation at the start; 1 bounds shares and probabilities.

    Example:
        >>> rounds_needed(torch.tensor([[0.5, 0.5], [0.5, 0.5]]), 0.01)
        7
    """
    faults = weight_faults(alpha)
    if faults:
        raise EquilibriumError("; ".join(faults))
    if not error > 0:
        raise EquilibriumError(f"expected an error above 0, got {error}")
    w = _others(alpha)

    def is_enough(power: Tensor) -> bool:
        return bool(power.sum(1).max() * start <= error)

    if start <= error:
        return 0
    powers = [w]  # W¹, W², W⁴, …
    while not is_enough(powers[-1]):
        powers.append(powers[-1] @ powers[-1])
    # bisect on the bits of t, the largest number of rounds that is not enough; power is Wᵗ
    t = 0
    power = torch.eye(len(w), dtype=torch.float64)
    for k in range(len(powers) - 2, -1, -1):
        longer = power @ powers[k]
        if not is_enough(longer):
            t += 2**k
            power = longer
    return t + 1


# ------------------------------------------------------------------------------ utilities and gaps


def nash_gap(alpha: Tensor, own: Tensor, moments: Tensor, family: Family) -> Tensor:
    """Return what each player could still gain alone: max_θi U_i(θi, θ_−i) − U_i(θ), in nats.

    For an exponential family the maximum is at moments m̄_i = α_ii φ̄_i + Σ α_ij μ_j, so the gap is
    the divergence KL(p_{m̄_i} ‖ p_{μ_i}): zero exactly at the equilibrium. Constants E[log h]
    cancel.

    Args:
        alpha: Weights, shape (N, N).
        own: φ̄, shape (N, D).
        moments: μ, the present moments of all players, shape (N, D).
        family: The family that all players share.

    Returns:
        Nats per sample, shape (N,), float64; the sum is NashConv.

    Example:
        >>> from coplay import Space, Variable
        >>> from coplay.models.families import ProductFamily
        >>> family = ProductFamily(Space({"x": Variable(kind="binary")}))
        >>> alpha = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
        >>> own = torch.tensor([[0.2], [0.8]])
        >>> bool((nash_gap(alpha, own, equilibrium_moments(alpha, own), family) < 1e-12).all())
        True
        >>> nash_gap(alpha, own, own, family)
        tensor([0.2231, 0.2231], dtype=torch.float64)
    """
    target = best_response(alpha, own, moments)
    return family.utility(target, target) - family.utility(target, moments.double())


@dataclass(frozen=True)
class DualView:
    """The game seen as entropy maximisation, one number per player.

    Args:
        entropy: −E_{p_i}[log(p_i / h)] of the present models, in nats.
        violation: Largest violation of the moment constraint E_{p_i}[φ] = α_ii φ̄_i + Σ_j α_ij
            E_{p_j}[φ].
        duality_gap: Utility plus entropy; zero iff the constraint holds, i.e. at a best response.
    """

    entropy: Tensor
    violation: Tensor
    duality_gap: Tensor


def dual_view(alpha: Tensor, own: Tensor, moments: Tensor, family: Family) -> DualView:
    """View the game as its dual: player i maximises its entropy under the constraint of (A2).

    At the equilibrium every constraint holds and every utility equals minus the entropy.

    Args:
        alpha: Weights, shape (N, N).
        own: φ̄, shape (N, D).
        moments: μ, the present moments of all players, shape (N, D).
        family: The family that all players share.
    """
    moments = moments.double()
    target = best_response(alpha, own, moments)
    entropy = -family.utility(moments, moments)
    violation = (target - moments).abs().amax(-1)
    return DualView(entropy, violation, family.utility(target, moments) + entropy)


def gradient_play(
    alpha: Tensor, own: Tensor, natural: Tensor, family: Family, step: float, rounds: int
) -> Tensor:
    """Play simultaneous gradient ascent on the utilities: θ_i ← θ_i + step · (m̄_i − μ_i(θ_i)).

    Args:
        alpha: Weights, shape (N, N).
        own: φ̄, shape (N, D).
        natural: Initial θ, shape (N, D).
        family: The family that all players share.
        step: Step size; small enough steps converge to (A2).
        rounds: Number of steps.

    Returns:
        Natural parameters, shape (N, D).
    """
    theta = natural.double()
    for _ in range(rounds):
        moments = family.mean(theta)
        theta = theta + step * (best_response(alpha, own, moments) - moments)
    return theta


def _others(alpha: Tensor) -> Tensor:
    """Return W: the weights of the others, α with a zero diagonal."""
    return alpha.double() - torch.diag(alpha.double().diag())
