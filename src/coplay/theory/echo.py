"""How a fault comes back: what a bias that models add in every round has become at rest (E).

Let player i's model add a bias ε to what it learns, in every round. The others learn it from its
samples and send it back. At rest, the bias in k's model is

    (E)  (I − W)⁻¹_ki ε,

in its own (I − W)⁻¹_ii ε, and where every model adds the same bias, the sum of row k: for equal own
weights α exactly ε/α. The formula is ours; ``docs/theory.md`` derives it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse import linalg
from torch import Tensor

from coplay.core.errors import EquilibriumError
from coplay.theory.equilibrium import weight_faults
from coplay.theory.weights import by_edges

_PRECISION = 1e-9  # wanted residual, of a mean number of steps of at least 1


@dataclass(frozen=True)
class Echo:
    """Factors by which a bias per round grows.

    Args:
        own: In a player's own model, if only this model adds one, shape (N,).
        all: In a player's model, if all add the same one, shape (N,).
    """

    own: Tensor
    all: Tensor


def echo_matrix(alpha: Tensor) -> Tensor:
    """Return (I − W)⁻¹: entry (k, i) is the echo in k's model of a bias that i's model adds.

    Args:
        alpha: Weights, shape (N, N).

    Raises:
        EquilibriumError: The weights are faulty or have no unique equilibrium.
    """
    faults = weight_faults(alpha)
    if faults:
        raise EquilibriumError("; ".join(faults))
    others = alpha.double() - torch.diag(alpha.double().diag())
    return torch.linalg.inv(torch.eye(len(alpha), dtype=torch.float64) - others)


def echo(alpha: Tensor) -> Echo:
    """Return how faults come back, for every player (E).

    Args:
        alpha: Weights, shape (N, N).

    Example:
        >>> even = torch.full((4, 4), 0.2).fill_diagonal_(0.4)
        >>> echo(even).own[0].round(decimals=6).item(), echo(even).all[0].round(decimals=6).item()
        (1.25, 2.5)
    """
    inverse = echo_matrix(alpha)
    return Echo(inverse.diag(), inverse.sum(1))


def echo_of_all(alpha: Tensor | sp.csr_matrix) -> np.ndarray:
    """Return the echo of a bias that all models add, by the edges: (I − W)⁻¹ 1, shape (N,).

    It is also the mean number of rounds back to somebody's own data.

    Args:
        alpha: Weights, N × N.

    Raises:
        EquilibriumError: Iteration does not come to an end.

    Example:
        >>> echo_of_all(torch.tensor([[0.25, 0.75], [0.75, 0.25]])).round(6).tolist()
        [4.0, 4.0]
    """
    edges = by_edges(alpha) if isinstance(alpha, Tensor) else alpha
    return _solved(_system(edges), np.ones(edges.shape[0]))


def echo_of_one(alpha: Tensor | sp.csr_matrix, player: int) -> np.ndarray:
    """Return the echo in all models of a bias that one player's model adds, by the edges.

    Args:
        alpha: Weights, N × N.
        player: i, a position.

    Returns:
        Column i of (I − W)⁻¹, shape (N,).

    Example:
        >>> echo_of_one(torch.tensor([[0.5, 0.5], [0.5, 0.5]]), 0).round(4).tolist()
        [1.3333, 0.6667]
    """
    edges = by_edges(alpha) if isinstance(alpha, Tensor) else alpha
    right = np.zeros(edges.shape[0])
    right[player] = 1
    return _solved(_system(edges), right)


def rounds_within(alpha: Tensor | sp.csr_matrix, error: float) -> tuple[int, bool]:
    """Return after how many rounds the error is certainly below one, by the edges.

    The largest row sum of Wᵗ is the largest entry of Wᵗ 1, which is followed round by round. Where
    it takes more than a thousand rounds, ‖Wˢᵗ‖ ≤ ‖Wᵗ‖ˢ gives a bound.

    Args:
        alpha: Weights, N × N.
        error: Wanted bound on the deviation of any share from the equilibrium, in (0, 1).

    Returns:
        The rounds, and whether they are the smallest number with ‖Wᵗ‖_∞ ≤ error, not a bound of it.

    Raises:
        EquilibriumError: After a hundred thousand rounds nothing is forgotten.

    Example:
        >>> rounds_within(torch.tensor([[0.5, 0.5], [0.5, 0.5]]), 0.01)
        (7, True)
    """
    edges = by_edges(alpha) if isinstance(alpha, Tensor) else alpha
    others = _others(edges)
    row: np.ndarray = np.ones(edges.shape[0])
    for rounds in range(1, 100_001):
        row = others @ row
        left = float(row.max(initial=0))
        if left <= error:
            return rounds, True
        if rounds >= 1000 and left < 0.99:
            return rounds * math.ceil(math.log(error) / math.log(left)), False
    raise EquilibriumError("after 100,000 rounds some player has learned nothing of anybody's data")


def _others(edges: sp.csr_matrix) -> sp.csr_matrix:
    others: sp.csr_matrix = cast(Any, edges - sp.diags(edges.diagonal())).tocsr()
    return others


def _system(edges: sp.csr_matrix) -> sp.csr_matrix:
    system: sp.csr_matrix = cast(Any, sp.identity(edges.shape[0], format="csr") - _others(edges))
    return system.tocsr()


def _solved(system: sp.csr_matrix, right: np.ndarray) -> np.ndarray:
    """Solve by GMRES; nothing is factored, since a factor of a sparse matrix may be dense."""
    values = np.asarray(linalg.gmres(system, right, rtol=1e-12, restart=60, maxiter=20)[0])
    if np.abs(system @ values - right).max() > _PRECISION * max(1, np.abs(values).max()):
        raise EquilibriumError(
            "the weights forget so slowly that iteration does not end (little own weight, or long "
            "ways to data): for few players the dense way computes it"
        )
    return values
