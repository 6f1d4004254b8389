"""The theory of the cooperative game: what the equilibrium is, before anybody has trained.

Players i = 1 … N weigh sources with α (N×N, rows sum to 1); W is α with a zero diagonal, Λ = diag(α_ii). Equation numbers
(A1)–(A3) are those of ``docs/theory.md``, which follows the paper:

    (A1)  U_i(θ) = α_ii E_{π_i}[log p_θi] + Σ_{j≠i} α_ij E_{p_θj}[log p_θi]
    (A2)  μ* = (I − W)⁻¹ Λ φ̄ = M φ̄
    (A3)  p_i = Σ_j M_ij π_j

References:
    Game-theoretic distributed learning of generative models for heterogeneous data collections
    (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse import csgraph
from torch import Tensor

from coplay.core.errors import EquilibriumError

# How far a row sum may be from 1: rounding errors of sums, not of thirds written with four decimals.
_ROW_SUM_TOLERANCE = 1e-6


class Family(Protocol):
    """What the theory needs of an exponential family; shapes (…, D)."""

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """⟨θ(μ), t⟩ − A(θ(μ)) in nats, shape (…): the utility (A1) of moments μ for a mixture with moments t."""
        ...

    def mean(self, natural: Tensor) -> Tensor:
        """μ(θ) = ∇A(θ)."""
        ...


# ---------------------------------------------------------------------------------------------------- weights


def weight_faults(alpha: Tensor, names: list[str] | None = None) -> list[str]:
    """Say everything that is wrong with a weight matrix, one sentence each; an empty list if nothing is.

    Example:
        >>> weight_faults(torch.tensor([[0.5, 0.6], [0.0, 1.0]]), ["north", "south"])
        ["row of 'north' sums to 1.1, expected 1"]
    """
    if alpha.dim() != 2 or alpha.shape[0] != alpha.shape[1]:
        return [f"expected a square matrix, got shape {tuple(alpha.shape)}"]
    names = names or [str(i) for i in range(len(alpha))]
    if len(names) != len(alpha):
        return [f"expected one row per player ({len(names)}), got {len(alpha)}"]
    faults = []
    for name, row in zip(names, alpha.double(), strict=True):
        if not torch.isfinite(row).all() or (row < 0).any():
            faults.append(f"row of '{name}' has a negative or non-finite weight: {row.tolist()}")
        elif abs(row.sum().item() - 1) > _ROW_SUM_TOLERANCE:
            faults.append(f"row of '{name}' sums to {row.sum().item():.6g}, expected 1")
    if not faults:
        deaf = [
            name for name, reached in zip(names, reaches_data(alpha), strict=True) if not reached
        ]
        if deaf:
            faults.append(
                f"no path of positive weights leads from {', '.join(map(repr, deaf))} to a player with own weight > 0, so "
                "there is no unique equilibrium; give one of them, or a player they listen to, a positive own weight"
            )
    return faults


def reaches_data(alpha: Tensor | sp.spmatrix) -> list[bool]:
    """Per player, whether a path of positive weights leads to a player with own weight > 0.

    The equilibrium exists and is unique iff all do, i.e. iff ρ(W) < 1.

    Example:
        >>> reaches_data(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        [False, False]
    """
    matrix = _sparse(alpha)
    n = matrix.shape[0]
    # a graph in which an edge leads from every player to those that listen to it; one more node stands for "data" and
    # leads to every player that hears its own
    hears_own = sp.csr_matrix((matrix.diagonal() > 0).astype(float))
    blocks: Any = [[matrix.T, sp.csr_matrix((n, 1))], [hears_own, sp.csr_matrix((1, 1))]]
    graph: Any = sp.bmat(blocks, format="csr")
    reached = csgraph.breadth_first_order(graph, n, return_predecessors=False)
    return np.isin(np.arange(n), reached).tolist()


def spectral_radius(alpha: Tensor) -> float:
    """ρ(W): the asymptotic rate at which simultaneous best response contracts.

    Example:
        >>> round(spectral_radius(torch.tensor([[0.3, 0.7], [0.7, 0.3]])), 6)
        0.7
    """
    return torch.linalg.eigvals(_foreign(alpha)).abs().max().item()


# ------------------------------------------------------------------------------------------------ equilibrium


def influence_matrix(alpha: Tensor) -> Tensor:
    """M = (I − W)⁻¹ Λ (A2): M_ij is the share of site j's data in player i's equilibrium model.

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
    identity = torch.eye(len(alpha), dtype=torch.float64)
    return torch.linalg.solve(identity - _foreign(alpha), torch.diag(alpha.double().diag()))


def equilibrium_moments(alpha: Tensor, own: Tensor) -> Tensor:
    """μ* = M φ̄ (A2), or the predicted mixtures Σ_j M_ij c_j (A3): M applied to one row per site.

    Args:
        alpha: Weights, shape (N, N).
        own: What each site's data average to, shape (N, D): moments φ̄_i, or class shares c_i.

    Returns:
        Shape (N, D), float64.
    """
    return influence_matrix(alpha) @ own.double()


def best_response(alpha: Tensor, own: Tensor, moments: Tensor) -> Tensor:
    """Everybody's best response to everybody's last move: μ_i = α_ii φ̄_i + Σ_{j≠i} α_ij μ_j; shapes (N, D)."""
    return alpha.double().diag()[:, None] * own.double() + _foreign(alpha) @ moments.double()


def rounds_needed(alpha: Tensor, error: float, start: float = 1.0) -> int:
    """Rounds of simultaneous best response after which the error is certainly below ``error``.

    The smallest t with ‖Wᵗ‖_∞ · start ≤ error; as ‖Wᵗ‖_∞ is the largest row sum it never grows, and it falls like ρ(W)ᵗ.

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
    w = _foreign(alpha)

    def bound(power: Tensor) -> bool:
        return bool(power.sum(1).max() * start <= error)

    powers = [w]  # W¹, W², W⁴, …
    if start <= error:
        return 0
    while not bound(powers[-1]):
        powers.append(powers[-1] @ powers[-1])
    t, reached = 0, torch.eye(len(w), dtype=torch.float64)
    for k in range(len(powers) - 2, -1, -1):  # bisect on the bits of t
        if not bound(reached @ powers[k]):
            t, reached = t + 2**k, reached @ powers[k]
    return t + 1


# ----------------------------------------------------------------------------------------- utilities and gaps


def nash_gap(alpha: Tensor, own: Tensor, moments: Tensor, family: Family) -> Tensor:
    """What each player could still gain alone: max_θi U_i(θi, θ_−i) − U_i(θ), in nats per sample.

    For an exponential family the maximum is at moments m̄_i = α_ii φ̄_i + Σ α_ij μ_j, so the gap is the divergence
    KL(p_{m̄_i} ‖ p_{μ_i}): zero exactly at the equilibrium. Constants E[log h] cancel.

    Args:
        alpha: Weights, shape (N, N).
        own: φ̄, shape (N, D).
        moments: μ, everybody's present mean parameters, shape (N, D).
        family: The family that all players share.

    Returns:
        Shape (N,), float64; its sum is NashConv.
    """
    target = best_response(alpha, own, moments)
    return family.utility(target, target) - family.utility(target, moments.double())


@dataclass(frozen=True)
class DualView:
    """The game seen as entropy maximisation, one number per player.

    Args:
        entropy: −E_{p_i}[log(p_i / h)] of the present models, in nats.
        violation: Largest violation of the moment constraint E_{p_i}[φ] = α_ii φ̄_i + Σ_j α_ij E_{p_j}[φ].
        duality_gap: Utility plus entropy; zero iff the constraint holds, i.e. at a best response.
    """

    entropy: Tensor
    violation: Tensor
    duality_gap: Tensor


def dual_view(alpha: Tensor, own: Tensor, moments: Tensor, family: Family) -> DualView:
    """The dual game: player i maximises its entropy under the moment constraint of (A2).

    At the equilibrium every constraint holds and every utility equals minus the entropy.
    """
    moments = moments.double()
    target = best_response(alpha, own, moments)
    entropy = -family.utility(moments, moments)
    return DualView(
        entropy, (target - moments).abs().amax(-1), family.utility(target, moments) + entropy
    )


def gradient_play(
    alpha: Tensor, own: Tensor, natural: Tensor, family: Family, step: float, rounds: int
) -> Tensor:
    """Simultaneous gradient ascent on the utilities: θ_i ← θ_i + step · (m̄_i − μ_i(θ_i)).

    Args:
        alpha: Weights, shape (N, N).
        own: φ̄, shape (N, D).
        natural: Start θ, shape (N, D).
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


# ----------------------------------------------------------------------------------- many players, sparse weights


@dataclass(frozen=True)
class Solution:
    """A solution found by iteration.

    Args:
        values: Shape (N, D) for moments, (rows, N) for rows of M.
        residual: Largest absolute residual of the linear system.
        error_bound: Certain bound on the largest error of any value.
        iterations: How many sweeps it took.
    """

    values: np.ndarray
    residual: float
    error_bound: float
    iterations: int


def solve_sparse(
    alpha: sp.spmatrix, own: np.ndarray, *, tolerance: float = 1e-8, max_iterations: int = 100_000
) -> Solution:
    """M φ̄ for many players without ever forming M: iterate x ← Λ φ̄ + W x, which is best-response play itself.

    Args:
        alpha: Sparse weights, N × N.
        own: φ̄, shape (N, D) or (N,).
        tolerance: Wanted bound on the residual ‖Λφ̄ + Wx − x‖_∞.
        max_iterations: Give up after so many sweeps.

    Returns:
        The moments with residual and error bound. The bound is rigorous: (I − W)⁻¹ is non-negative, so its norm is the
        largest entry of (I − W)⁻¹ 1, which the same sweeps deliver.

    Raises:
        EquilibriumError: A player reaches no data, or the tolerance was not reached.

    Example:
        >>> alpha = sp.csr_matrix([[0.3, 0.7], [0.7, 0.3]])
        >>> solve_sparse(alpha, np.array([1.0, 0.0])).values.round(4).tolist()
        [0.5882, 0.4118]
    """
    matrix = _checked_sparse(alpha)
    w, own_weight = _split(matrix)
    own = np.asarray(own, dtype=np.float64)
    columns = own.reshape(len(own), -1)
    # the last column accumulates (I − W)⁻¹ 1
    right = np.hstack([own_weight[:, None] * columns, np.ones((len(own), 1))])
    values, residual, slack, iterations = _sweep(
        w, right, columns.shape[1], tolerance, max_iterations
    )
    norm = values[:, -1].max() / max(1 - slack, np.finfo(float).tiny)
    return Solution(values[:, :-1].reshape(own.shape), residual, residual * norm, iterations)


def influence_rows(
    alpha: sp.spmatrix, rows: list[int], *, tolerance: float = 1e-8, max_iterations: int = 100_000
) -> Solution:
    """Chosen rows of M, each of length N, without forming the rest: M_i = Λ (I − Wᵀ)⁻¹ e_i.

    The error bound is in the sum norm over a row: what is missing of a row's mass, which must be 1.

    Example:
        >>> alpha = sp.csr_matrix([[0.3, 0.7], [0.7, 0.3]])
        >>> influence_rows(alpha, [0]).values.round(4).tolist()
        [[0.5882, 0.4118]]
    """
    matrix = _checked_sparse(alpha)
    w, own_weight = _split(matrix)
    right = np.zeros((matrix.shape[0], len(rows)))
    right[rows, np.arange(len(rows))] = 1
    # what a row still lacks is spread over all players, so its residual is summed, not maximised
    visits, residual, _, iterations = _sweep(
        w.T.tocsr(), right, len(rows), tolerance, max_iterations, np.sum
    )
    found = (visits * own_weight[:, None]).T
    missing = float(np.abs(1 - found.sum(1)).max())
    return Solution(found, residual, missing, iterations)


def _sweep(
    w: sp.csr_matrix,
    right: np.ndarray,
    wanted: int,
    tolerance: float,
    max_iterations: int,
    norm: Callable[..., np.ndarray] = np.max,
) -> tuple[np.ndarray, float, float, int]:
    """Iterate x ← right + W x until the first ``wanted`` columns have residual ≤ tolerance and the others ≤ 1/2."""
    values = right.copy()
    for iteration in range(1, max_iterations + 1):
        following = right + w @ values
        change = norm(np.abs(following - values), axis=0)
        residual = float(change[:wanted].max(initial=0.0))
        slack = float(change[wanted:].max(initial=0.0))
        if residual <= tolerance and slack <= 0.5:
            return values, residual, slack, iteration
        values = following
    raise EquilibriumError(
        f"residual {residual:.3g} after {max_iterations} sweeps, expected ≤ {tolerance:g}: the weights forget their start "
        "slowly (little own weight); allow more sweeps or a larger tolerance"
    )


def _checked_sparse(alpha: sp.spmatrix) -> sp.csr_matrix:
    matrix = _sparse(alpha)
    sums = np.asarray(matrix.sum(1)).ravel()
    if matrix.data.min(initial=0) < 0 or np.abs(sums - 1).max() > _ROW_SUM_TOLERANCE:
        worst = int(np.abs(sums - 1).argmax())
        raise EquilibriumError(
            f"expected non-negative weights with rows that sum to 1; row {worst} sums to {sums[worst]:g}"
        )
    deaf = np.flatnonzero(~np.array(reaches_data(matrix)))
    if len(deaf):
        raise EquilibriumError(
            f"{len(deaf)} players reach nobody with own weight > 0, first {deaf[0]}"
        )
    return matrix


def _split(matrix: sp.csr_matrix) -> tuple[sp.csr_matrix, np.ndarray]:
    own_weight = matrix.diagonal()
    return (matrix - sp.diags(own_weight)).tocsr(), own_weight


def _sparse(alpha: Tensor | sp.spmatrix) -> sp.csr_matrix:
    if isinstance(alpha, Tensor):
        return sp.csr_matrix(alpha.double().numpy())
    return sp.csr_matrix(cast(Any, alpha), dtype=np.float64)


def _foreign(alpha: Tensor) -> Tensor:
    """W: the weights of the others."""
    return alpha.double() - torch.diag(alpha.double().diag())
