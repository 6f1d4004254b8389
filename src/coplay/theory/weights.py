"""Weights α by their edges: what they cost in memory and time is what there is of them.

A matrix here is scipy's ``csr_matrix``, N × N in float64, that stores the diagonal and whatever
else is not 0, columns in order. Letters are those of :mod:`coplay.theory.equilibrium`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from coplay.theory.elimination import SMALL

Places = np.ndarray
"""Positions of players, from 0, int64."""


def with_diagonal(rows: Places, columns: Places, n: int) -> sp.csr_matrix:
    """Return a matrix of ones at some places off the diagonal; the diagonal is stored as zeros.

    Example:
        >>> with_diagonal(np.array([0, 1]), np.array([1, 0]), 2).toarray().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    diagonal = np.arange(n)
    values = np.concatenate([np.ones(len(rows)), np.zeros(n)])
    places = (np.concatenate([rows, diagonal]), np.concatenate([columns, diagonal]))
    return _sorted(sp.csr_matrix((values, places), shape=(n, n)))


def by_edges(dense: Tensor) -> sp.csr_matrix:
    """Return a dense matrix of shape (N, N) by its edges.

    Example:
        >>> by_edges(torch.eye(3)).nnz
        3
    """
    numbers = dense.double().numpy()
    stored = (numbers != 0) | np.eye(len(numbers), dtype=bool)
    rows, columns = np.nonzero(stored)
    return _sorted(sp.csr_matrix((numbers[stored], (rows, columns)), shape=numbers.shape))


def dense(alpha: sp.csr_matrix) -> Tensor:
    """Return all N² entries, shape (N, N), float64."""
    return torch.from_numpy(alpha.toarray())


def row_of_each(alpha: sp.csr_matrix) -> Places:
    """Return the row of every stored entry."""
    return np.repeat(np.arange(alpha.shape[0]), np.diff(alpha.indptr))


def row_sums(alpha: sp.csr_matrix) -> np.ndarray:
    """Return the sums of rows, shape (N,).

    Rows with as many entries are summed together by torch, in the order in which it sums the rows
    of a matrix: those of a full matrix are the same to the last bit whether it is dense or not.
    """
    lengths = np.diff(alpha.indptr)
    sums = np.zeros(len(lengths))
    order = np.argsort(lengths, kind="stable")
    ends = np.flatnonzero(np.diff(lengths[order])) + 1
    for rows in np.split(order, ends):
        if len(rows) and lengths[rows[0]]:
            places = alpha.indptr[rows][:, None] + np.arange(lengths[rows[0]])
            sums[rows] = torch.from_numpy(alpha.data[places]).sum(1).numpy()
    return sums


def even(neighbours: sp.csr_matrix, own_weight: float) -> sp.csr_matrix:
    """Return α with ``own_weight`` on the diagonal and the rest spread evenly over neighbours.

    A player without neighbours keeps all the weight.

    Args:
        neighbours: Of :func:`with_diagonal`: 1 where the row's player receives from the column's.
        own_weight: α_ii, in [0, 1].

    Example:
        >>> even(with_diagonal(np.array([0, 0, 1]), np.array([1, 2, 0]), 3), 0.5).toarray().tolist()
        [[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    if own_weight == 1:
        return sp.identity(neighbours.shape[0], format="csr")
    rows = row_of_each(neighbours)
    degree = np.bincount(rows, weights=neighbours.data, minlength=neighbours.shape[0])
    values = (1 - own_weight) * neighbours.data / np.maximum(degree, 1)[rows]
    # sevenths do not sum to 1, and an error of 1e-16 is much beside a small weight, or beside 0
    if own_weight < SMALL:
        return _with_own(neighbours, values, lambda _: np.where(degree > 0, own_weight, 1.0))
    return _with_own(neighbours, values, lambda foreign: 1 - foreign)


def admitted(alpha: sp.csr_matrix, share: float) -> sp.csr_matrix:
    """Return α with a share of the others' mass, the rest of which is given to own data."""
    if share == 1:
        return alpha
    own = alpha.diagonal()
    held_back = (1 - share) * (row_sums(alpha) - own)
    return _with_own(alpha, share * alpha.data, lambda _: own + held_back)


def among(alpha: sp.csr_matrix, places: Sequence[int]) -> sp.csr_matrix:
    """Return α among some players, given by increasing positions, with rows that sum to 1.

    A row of zeros is that of a player that lost its last source.
    """
    left = alpha
    if len(places) < alpha.shape[0]:
        chosen = np.asarray(places, dtype=np.int64)
        left = _sorted(cast(Any, alpha)[chosen][:, chosen])
    sums = row_sums(left)[row_of_each(left)]
    values = np.divide(left.data, sums, out=np.zeros(left.nnz), where=sums != 0)
    return _like(left, values)


def of_variable(
    alpha: sp.csr_matrix, learns: np.ndarray, observes: np.ndarray
) -> tuple[sp.csr_matrix, Places]:
    """Return the weights by which one variable is learned: those of sources that have it.

    A sample without a variable teaches nothing of it, so the rest is re-normalised (A5).

    Args:
        alpha: Weights, N × N.
        learns: Which players learn the variable, shape (N,), bool.
        observes: Whose data have it, shape (N,), bool.

    Returns:
        The weights among the players that learn it, and their positions.

    Example:
        Own data of the first player lack the variable.

        >>> alpha = by_edges(torch.full((2, 2), 0.5))
        >>> lacks = of_variable(alpha, np.array([True, True]), np.array([False, True]))[0]
        >>> lacks.toarray().tolist()
        [[0.0, 1.0], [0.5, 0.5]]
    """
    places = np.flatnonzero(learns)
    left = _sorted(cast(Any, alpha)[places][:, places])
    lacking = (left.indices == row_of_each(left)) & ~observes[places][left.indices]
    values = np.where(lacking, 0.0, left.data)
    return among(_like(left, values), range(len(places))), places


def _with_own(
    alpha: sp.csr_matrix, values: np.ndarray, own: Callable[[np.ndarray], np.ndarray]
) -> sp.csr_matrix:
    """Return a matrix of the same places whose diagonal follows from the sums of the others."""
    diagonal = alpha.indices == row_of_each(alpha)
    values = np.where(diagonal, 0.0, values)
    result = _like(alpha, values)
    values[diagonal] = own(row_sums(result))
    return result


def _like(alpha: sp.csr_matrix, values: np.ndarray) -> sp.csr_matrix:
    """Return a matrix of other values at the same places."""
    return sp.csr_matrix((values, alpha.indices, alpha.indptr), shape=alpha.shape)


def _sorted(alpha: sp.csr_matrix) -> sp.csr_matrix:
    alpha.sort_indices()
    return alpha
