"""The equilibrium of many players with sparse weights, without ever forming M.

Letters and equation numbers are those of :mod:`coplay.theory.equilibrium`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse import csgraph, linalg
from torch import Tensor

from coplay.core.errors import EquilibriumError
from coplay.theory.elimination import MOST_ELIMINATED, MOST_STEPS, SMALL, eliminated, is_ill
from coplay.theory.weights import by_edges

ROW_SUM_TOLERANCE = 1e-6
"""How far a row sum may be from 1: rounding errors of sums, not of thirds written as 0.3333."""


_RESIDUAL = 1e-12  # of shares, which lie between 0 and 1


@dataclass(frozen=True)
class Solution:
    """A solution of a linear system, computed by iteration.

    Args:
        values: Shape (N, D) for moments, (rows, N) for rows of M.
        residual: Largest absolute residual of the linear system.
        error_bound: Certain bound on the largest error of any value.
        iterations: Number of sweeps it took.
    """

    values: np.ndarray
    residual: float
    error_bound: float
    iterations: int


def reaches_data(alpha: Tensor | sp.spmatrix) -> list[bool]:
    """Say for each player whether a path of positive weights leads to one with own weight > 0.

    The equilibrium exists and is unique iff it does for all, i.e. iff ρ(W) < 1.

    Args:
        alpha: Weights, N × N, dense or sparse.

    Example:
        >>> import torch
        >>> reaches_data(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        [False, False]
    """
    matrix = _as_sparse(alpha)
    n = matrix.shape[0]
    # a graph in which an edge leads from every player to those that listen to it; one more node
    # stands for "data" and leads to every player with own weight
    has_own = sp.csr_matrix((matrix.diagonal() > 0).astype(float))
    blocks: Any = [[matrix.T, sp.csr_matrix((n, 1))], [has_own, sp.csr_matrix((1, 1))]]
    graph: Any = sp.bmat(blocks, format="csr")
    reached = csgraph.breadth_first_order(graph, n, return_predecessors=False)
    return np.isin(np.arange(n), reached).tolist()


def moments_by_edges(alpha: sp.csr_matrix, own: Tensor) -> Tensor:
    """Compute M φ̄ to about twelve digits, at the cost of the edges.

    It takes GMRES, whose sweeps do not grow in number as play itself forgets more slowly, and
    factors the matrix where those do not suffice.

    Args:
        alpha: Weights, N × N.
        own: φ̄, shape (N, D).

    Returns:
        Shape (N, D), float64.

    Raises:
        EquilibriumError: The weights are faulty, or a player reaches no data.
    """
    matrix = _checked(alpha)
    w, own_weight = _split(matrix)
    system = (sp.identity(len(own_weight), format="csr") - w).tocsc()
    right = own_weight[:, None] * own.double().numpy()
    if _is_eliminated(system, own_weight):
        return torch.from_numpy(eliminated(w.toarray(), own_weight, right))
    return torch.from_numpy(_solved(system, right))


def influence_by_edges(alpha: sp.csr_matrix, rows: list[int]) -> np.ndarray:
    """Compute chosen rows of M as :func:`moments_by_edges` does; shape (rows, N).

    Example:
        >>> alpha = sp.csr_matrix([[0.3, 0.7], [0.7, 0.3]])
        >>> influence_by_edges(alpha, [0]).round(4).tolist()
        [[0.5882, 0.4118]]
    """
    matrix = _checked(alpha)
    w, own_weight = _split(matrix)
    plain = (sp.identity(len(own_weight), format="csr") - w).tocsc()
    if _is_eliminated(plain, own_weight):
        return eliminated(w.toarray(), own_weight, np.diag(own_weight))[rows]
    system = plain.T.tocsc()
    right = np.zeros((len(own_weight), len(rows)))
    right[rows, np.arange(len(rows))] = 1
    return (own_weight[:, None] * _solved(system, right)).T


def _is_eliminated(system: sp.csc_matrix, own_weight: np.ndarray) -> bool:
    """Whether own weights are so small that the system is solved by elimination."""
    if not is_ill(own_weight, lambda right: _solved(system, right)):
        return False
    if len(own_weight) > MOST_ELIMINATED:
        warnings.warn(
            f"some of {len(own_weight)} players are more than {MOST_STEPS:g} steps from data (the "
            f"smallest own weight is {own_weight.min():g}): the prediction has few digits; give "
            f"own weights of {SMALL:g} and more",
            stacklevel=3,
        )
        return False
    return True


def _solved(system: sp.csc_matrix, right: np.ndarray) -> np.ndarray:
    """Solve for several right sides: by GMRES, or by factors where that is not exact."""
    each = []
    for column in right.T:
        # rounding may keep it from 1e-13, hence few sweeps
        solved, _ = linalg.gmres(system, column, rtol=1e-13, restart=60, maxiter=8)
        each.append(solved)
    values = np.stack(each, 1)
    if np.abs(system @ values - right).max(initial=0) > _RESIDUAL:
        values = linalg.splu(system).solve(right)
    return values


def solve_sparse(
    alpha: sp.spmatrix, own: np.ndarray, *, tolerance: float = 1e-8, max_iterations: int = 100_000
) -> Solution:
    """Compute M φ̄ by iterating x ← Λ φ̄ + W x, which is best-response play itself.

    Args:
        alpha: Sparse weights, N × N.
        own: φ̄, shape (N, D) or (N,).
        tolerance: Wanted bound on the residual ‖Λφ̄ + Wx − x‖_∞.
        max_iterations: Give up after so many sweeps.

    Returns:
        The moments with residual and error bound. The bound is rigorous: (I − W)⁻¹ is non-negative,
        so its norm is the largest entry of (I − W)⁻¹ 1, which the same sweeps deliver.

    Raises:
        EquilibriumError: A player reaches no data, or the tolerance was not reached.

    Example:
        >>> alpha = sp.csr_matrix([[0.3, 0.7], [0.7, 0.3]])
        >>> solve_sparse(alpha, np.array([1.0, 0.0])).values.round(4).tolist()
        [0.5882, 0.4118]
    """
    matrix = _checked(alpha)
    w, own_weight = _split(matrix)
    own = np.asarray(own, dtype=np.float64)
    columns = own.reshape(len(own), -1)
    # the last column accumulates (I − W)⁻¹ 1
    right = np.hstack([own_weight[:, None] * columns, np.ones((len(own), 1))])
    wanted = columns.shape[1]
    values, residual, slack, iterations = _sweep(w, right, wanted, tolerance, max_iterations)
    norm = values[:, -1].max() / max(1 - slack, np.finfo(float).tiny)
    return Solution(values[:, :-1].reshape(own.shape), residual, residual * norm, iterations)


def influence_rows(
    alpha: sp.spmatrix, rows: list[int], *, tolerance: float = 1e-8, max_iterations: int = 100_000
) -> Solution:
    """Compute chosen rows of M without forming the rest: M_i = Λ (I − Wᵀ)⁻¹ e_i.

    Args:
        alpha: Sparse weights, N × N.
        rows: Positions of the wanted rows.
        tolerance: Wanted bound on the residual, summed over a row.
        max_iterations: Give up after so many sweeps.

    Returns:
        The rows, shape (rows, N). The error bound is in the sum norm over a row: what is missing of
        a row's mass, which must be 1.

    Raises:
        EquilibriumError: A player reaches no data, or the tolerance was not reached.

    Example:
        >>> alpha = sp.csr_matrix([[0.3, 0.7], [0.7, 0.3]])
        >>> influence_rows(alpha, [0]).values.round(4).tolist()
        [[0.5882, 0.4118]]
    """
    matrix = _checked(alpha)
    w, own_weight = _split(matrix)
    right = np.zeros((matrix.shape[0], len(rows)))
    right[rows, np.arange(len(rows))] = 1
    # what a row still lacks is spread over all players, so its residual is summed, not maximised
    visits, residual, _, iterations = _sweep(
        w.T.tocsr(), right, len(rows), tolerance, max_iterations, np.sum
    )
    shares = (visits * own_weight[:, None]).T
    missing = float(np.abs(1 - shares.sum(1)).max())
    return Solution(shares, residual, missing, iterations)


def _sweep(
    w: sp.csr_matrix,
    right: np.ndarray,
    wanted: int,
    tolerance: float,
    max_iterations: int,
    norm: Callable[..., np.ndarray] = np.max,
) -> tuple[np.ndarray, float, float, int]:
    """Iterate x ← right + W x.

    The iteration ends when the first ``wanted`` columns have residual ≤ tolerance and the others
    ≤ 1/2.

    Returns:
        x, the residual of the wanted columns, that of the others, and the number of sweeps.
    """
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
        f"residual {residual:.3g} after {max_iterations} sweeps, expected ≤ {tolerance:g}: the "
        "weights forget their start slowly (little own weight); allow more sweeps or a larger "
        "tolerance"
    )


def _checked(alpha: sp.spmatrix) -> sp.csr_matrix:
    """Return the weights if they have a unique equilibrium, or raise."""
    matrix = _as_sparse(alpha)
    sums = np.asarray(matrix.sum(1)).ravel()
    if matrix.data.min(initial=0) < 0 or np.abs(sums - 1).max() > ROW_SUM_TOLERANCE:
        worst = int(np.abs(sums - 1).argmax())
        raise EquilibriumError(
            "expected non-negative weights with rows that sum to 1; "
            f"row {worst} sums to {sums[worst]:g}"
        )
    without_path = np.flatnonzero(~np.array(reaches_data(matrix)))
    if len(without_path):
        raise EquilibriumError(
            f"{len(without_path)} players reach nobody with own weight > 0, first {without_path[0]}"
        )
    return matrix


def _split(matrix: sp.csr_matrix) -> tuple[sp.csr_matrix, np.ndarray]:
    """Split α into W and the diagonal of Λ."""
    own_weight = matrix.diagonal()
    return (matrix - sp.diags(own_weight)).tocsr(), own_weight


def _as_sparse(alpha: Tensor | sp.spmatrix) -> sp.csr_matrix:
    if isinstance(alpha, Tensor):
        return by_edges(alpha)
    return sp.csr_matrix(cast(Any, alpha), dtype=np.float64)
