"""Solving for the equilibrium where own weights are small: elimination that never subtracts.

I − W is known by its off-diagonal entries and by its row sums, which are the own weights. Written
in these, Gaussian elimination only adds, multiplies and divides non-negative numbers, so every
digit of an own weight counts, however small it is beside 1.

References:
    Regenerative analysis and steady state distributions for Markov chains (W. Grassmann, M. Taksar,
    D. Heyman, Operations Research 1985).
    Accurate computation of the smallest eigenvalue of a diagonally dominant M-matrix (A. Alfa,
    J. Xue, Q. Ye, Mathematics of Computation 2002).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SMALL = 1e-4
"""Own weight from which on plain elimination loses less than four digits."""

MOST_STEPS = 1 / SMALL
"""Largest mean number of steps to data, ‖(I − W)⁻¹‖, at which plain elimination is used."""

MOST_ELIMINATED = 3000
"""Most players for which all N² weights are held."""


def is_ill(own: np.ndarray, solve: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Whether plain elimination would lose digits.

    Args:
        own: Own weights, shape (N,).
        solve: Solves (I − W) x = b in the plain way.
    """
    if own.min(initial=1) >= SMALL:  # then no mean number of steps is larger than 1 / SMALL
        return False
    try:
        steps = solve(np.ones((len(own), 1)))
    except RuntimeError:  # exactly singular, in floating point
        return True
    return not 0 <= steps.min() <= steps.max() <= MOST_STEPS


def eliminated(w: np.ndarray, own: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve (I − W) x = b, where rows of W and own weights sum to 1.

    Args:
        w: Weights of the others, shape (N, N), with a zero diagonal.
        own: Own weights, shape (N,).
        right: Right sides, shape (N, D).

    Returns:
        Shape (N, D).

    Example:
        >>> w = np.array([[0, 1.0], [1.0, 0]])
        >>> own = np.array([1e-20, 3e-20])
        >>> eliminated(w, own, np.diag(own)).round(12).tolist()
        [[0.25, 0.75], [0.25, 0.75]]
    """
    w, own, values = w.copy(), own.copy(), right.copy()
    np.fill_diagonal(w, 0)
    pivots = np.zeros(len(own))
    for k in range(len(own) - 1, -1, -1):
        pivots[k] = own[k] + w[k, :k].sum()
        share = w[:k, k] / pivots[k]
        w[:k, :k] += np.outer(share, w[k, :k])
        np.fill_diagonal(w[:k, :k], 0)
        own[:k] += share * own[k]
        values[:k] += np.outer(share, values[k])
    for k in range(len(own)):
        values[k] = (values[k] + w[k, :k] @ values[:k]) / pivots[k]
    return values
